//! Events API v2 of `PagerDuty`. A failure triggers an incident, the recovery resolves the same one.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Event, Notice};
use crate::operate::http::{self, Request};
use crate::pg::Secret;

/// The service's address.
pub(crate) const ENDPOINT: &str = "https://events.pagerduty.com/v2/enqueue";

/// Longest summary that is taken.
const LONGEST: usize = 1_024;

/// An integration.
#[derive(Debug)]
pub struct PagerDuty {
    /// Its key.
    pub routing_key: Secret,
    /// Where events are sent, if not to the service itself.
    pub url: Option<Secret>,
}

impl PagerDuty {
    pub(super) async fn send(&self, notice: &Notice) -> Result<(), String> {
        let Some(action) = action(notice.event) else { return Ok(()) };
        self.enqueue(&payload(notice, action, self.routing_key.expose())).await?;
        // A test must leave nobody awake.
        if notice.event == Event::Test {
            self.enqueue(&payload(notice, "resolve", self.routing_key.expose())).await?;
        }
        Ok(())
    }

    async fn enqueue(&self, payload: &Value) -> Result<(), String> {
        let request = Request {
            method: Method::POST,
            url: self.url.as_ref().map_or(ENDPOINT, |url| url.expose()).to_owned(),
            headers: vec![("content-type", "application/json".to_owned())],
            body: payload.to_string().into_bytes(),
        };
        http::send(&request).await
    }
}

const fn action(event: Event) -> Option<&'static str> {
    match event {
        Event::Failure | Event::Stale | Event::Test => Some("trigger"),
        // Where nothing remembers the failure (a new runner each time), each success closes what may be open: that is taken
        // even if nothing is.
        Event::Recovery | Event::Success => Some("resolve"),
        Event::Start => None,
    }
}

fn payload(notice: &Notice, action: &str, routing_key: &str) -> Value {
    let summary: String = notice.headline().chars().take(LONGEST).collect();
    let severity = match notice.event {
        Event::Failure => "critical",
        Event::Stale => "error",
        _ => "info",
    };
    json!({
        "routing_key": routing_key,
        "event_action": action,
        "dedup_key": notice.incident(),
        "client": "pgcask",
        "payload": {
            "summary": summary,
            "source": notice.host,
            "severity": severity,
            "timestamp": notice.time.to_string(),
            "component": notice.database,
            "group": "backups",
            "class": notice.operation,
            "custom_details": notice,
        },
    })
}
