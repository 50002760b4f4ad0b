//! Slack: an incoming webhook with blocks.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Event, Notice};
use crate::operate::http::{self, Request};
use crate::pg::Secret;

/// Most characters of a field (Slack's limit is 2,000, of the whole block 3,000).
const LONGEST: usize = 1_500;

/// An incoming webhook.
#[derive(Debug)]
pub struct Slack {
    /// Its URL, which is a secret.
    pub url: Secret,
}

impl Slack {
    pub(super) async fn send(&self, notice: &Notice) -> Result<(), String> {
        let request = Request {
            method: Method::POST,
            url: self.url.expose().to_owned(),
            headers: vec![("content-type", "application/json".to_owned())],
            body: payload(notice).to_string().into_bytes(),
        };
        http::send(&request).await
    }
}

/// The message: `text` for notifications and old clients, blocks for the rest.
fn payload(notice: &Notice) -> Value {
    let sign = match notice.event {
        Event::Failure | Event::Stale => ":rotating_light:",
        Event::Success | Event::Recovery => ":white_check_mark:",
        Event::Start | Event::Test => ":information_source:",
    };
    let headline = format!("{sign} {}", notice.headline());
    let fields: Vec<Value> = notice
        .facts()
        .into_iter()
        // A section has ten fields at most.
        .take(10)
        .map(|(name, value)| json!({ "type": "mrkdwn", "text": format!("*{name}*\n{}", escaped(&value)) }))
        .collect();
    json!({
        "text": escaped(&headline),
        "blocks": [
            { "type": "section", "text": { "type": "mrkdwn", "text": format!("*{}*", escaped(&headline)) } },
            { "type": "section", "fields": fields },
            { "type": "context", "elements": [{ "type": "mrkdwn", "text": format!("pgcask · {}", notice.time) }] },
        ],
    })
}

/// Text of Slack: three characters are its own, and what is too long is cut.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    let mut length = 0;
    for c in text.chars() {
        let own = match c {
            '&' => "&amp;",
            '<' => "&lt;",
            '>' => "&gt;",
            _ => "",
        };
        length += own.len().max(1);
        if length > LONGEST {
            break;
        }
        if own.is_empty() { out.push(c) } else { out.push_str(own) }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operate::notify::example;

    #[test]
    fn what_slack_would_read_as_markup_is_text_and_stays_within_its_limits() {
        let mut notice = example(Event::Failure);
        let text = payload(&notice)["blocks"][1]["fields"].to_string();
        assert!(text.contains("the store is full: &lt;&amp;&gt;"), "{text}");
        for long in ["x", "<&>"] {
            notice.error = Some(long.repeat(10_000));
            let fields = payload(&notice)["blocks"][1]["fields"].clone();
            let texts = fields.as_array().unwrap().iter().filter_map(|field| field["text"].as_str());
            let longest = texts.map(str::len).max();
            assert!(longest.is_some_and(|longest| longest <= 2_000), "{long}: {longest:?}");
        }
    }
}
