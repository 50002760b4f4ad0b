//! Telling people and machines how a run went: one file per channel.
//!
//! A notification that fails never fails what it tells of: [`send`] gives back what became of each channel, and the caller says
//! so.

mod email;
mod pagerduty;
mod ping;
mod slack;
mod webhook;

use std::fmt;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};

pub use email::{Email, Tls};
pub use pagerduty::PagerDuty;
pub use ping::Ping;
pub use slack::Slack;
pub use webhook::Webhook;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// A run began.
    Start,
    /// It succeeded.
    Success,
    /// It failed.
    Failure,
    /// It succeeded after one that failed.
    Recovery,
    /// The newest good backup is too old.
    Stale,
    /// Nothing: the channel is tried out.
    Test,
}

impl Event {
    /// The word of the configuration.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Recovery => "recovery",
            Self::Stale => "stale",
            Self::Test => "test",
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// What stands for the database where a run was about all of them.
pub const ALL: &str = "all databases";

/// What is told.
#[derive(Debug, Clone, Serialize)]
pub struct Notice {
    /// What happened.
    pub event: Event,
    /// To which operation: `backup`, `drill` …
    pub operation: String,
    /// On which database, by its configured name if it has one.
    pub database: String,
    /// On which host the operation ran.
    pub host: String,
    /// When it ended.
    pub time: Timestamp,
    /// How long it took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// Why it failed, with the causes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<String>,
    /// What the operation's `--json` gives: `archive`, `bytes`, `rows` …
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub result: Map<String, Value>,
}

impl Notice {
    /// One line that says it all.
    pub fn headline(&self) -> String {
        let Self { operation, database, host, .. } = self;
        match self.event {
            Event::Start => format!("{operation} of {database} began on {host}"),
            Event::Success => format!("{operation} of {database} succeeded on {host}"),
            Event::Failure => format!("{operation} of {database} FAILED on {host}"),
            Event::Recovery => format!("{operation} of {database} succeeds again on {host}"),
            Event::Stale if operation == "check" => {
                format!("the backups of {database} are not as they should be, says {host}")
            }
            Event::Stale => format!("the newest good backup of {database} is too old, says {host}"),
            Event::Test => format!("a test of pgcask's notifications from {host}"),
        }
    }

    /// The same for the same incident: what a failure opens, a recovery closes.
    pub fn incident(&self) -> String {
        format!("pgcask/{}/{}", self.database, self.operation)
    }

    /// Names and values that people want to see, in order.
    fn facts(&self) -> Vec<(&'static str, String)> {
        let of_result = |key: &str| {
            self.result.get(key).map(|value| match value {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            })
        };
        let seconds = self.seconds.map(|seconds| format!("{seconds:.1} s"));
        let known = [
            ("database", Some(self.database.clone())),
            ("host", Some(self.host.clone())),
            ("duration", seconds),
            ("archive", of_result("archive")),
            ("bytes", of_result("bytes")),
            ("rows", of_result("rows")),
            ("error", self.error.clone()),
            ("what to do", (!self.hints.is_empty()).then(|| self.hints.join("; "))),
        ];
        known.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }

    /// The same as plain text.
    fn text(&self) -> String {
        let mut text = format!("{}\n\n", self.headline());
        for (name, value) in self.facts() {
            text.push_str(&format!("{name}: {value}\n"));
        }
        text.push_str(&format!("time: {}\n", self.time));
        text
    }
}

/// How a channel is reached.
#[derive(Debug)]
pub enum Via {
    /// An incoming webhook of Slack.
    Slack(Slack),
    /// Events API v2 of `PagerDuty`.
    PagerDuty(PagerDuty),
    /// Any HTTP server; signed.
    Webhook(Webhook),
    /// SMTP.
    Email(Email),
    /// A dead man's switch.
    Ping(Ping),
}

/// A configured channel.
#[derive(Debug)]
pub struct Channel {
    /// Its name in the configuration.
    pub name: String,
    /// The events that it is told of.
    pub events: Vec<Event>,
    /// The databases that it is told of; empty: all.
    pub databases: Vec<String>,
    /// How it is reached.
    pub via: Via,
}

/// What became of a notification.
#[derive(Debug, Clone, Serialize)]
pub struct Sent {
    /// The channel.
    pub channel: String,
    /// Why it was not told; secrets of the channel are not in it.
    pub error: Option<String>,
}

impl Channel {
    /// Whether a notice is for this channel.
    pub fn wants(&self, notice: &Notice) -> bool {
        let of_all = self.databases.is_empty() || notice.database == ALL;
        let of_database = of_all || self.databases.contains(&notice.database);
        let told_of = |event| self.events.contains(&event);
        let of_event = match notice.event {
            Event::Test => return true,
            Event::Recovery => told_of(Event::Recovery) || told_of(Event::Success),
            Event::Success if matches!(self.via, Via::PagerDuty(_)) => told_of(Event::Recovery),
            other => told_of(other),
        };
        of_database && of_event
    }

    async fn send(&self, notice: &Notice) -> Result<(), String> {
        match &self.via {
            Via::Slack(slack) => slack.send(notice).await,
            Via::PagerDuty(pagerduty) => pagerduty.send(notice).await,
            Via::Webhook(webhook) => webhook.send(notice).await,
            Via::Email(email) => email.send(notice).await,
            Via::Ping(ping) => ping.send(notice).await,
        }
    }
}

/// Tells each channel that wants to know, at the same time. What became of each is given back, in the order of the channels.
pub async fn send(channels: &[Channel], notice: &Notice) -> Vec<Sent> {
    let wanted = channels.iter().filter(|channel| channel.wants(notice));
    let sends = wanted.map(|channel| async move {
        Sent { channel: channel.name.clone(), error: channel.send(notice).await.err() }
    });
    futures_util::future::join_all(sends).await
}

#[cfg(test)]
pub(crate) fn example(event: Event) -> Notice {
    Notice {
        event,
        operation: "backup".to_owned(),
        database: "shop".to_owned(),
        host: "db1".to_owned(),
        time: "2026-11-24T03:15:00Z".parse().expect("a time"),
        seconds: Some(1.5),
        error: (event == Event::Failure).then(|| "the store is full: <&> \"x\"".to_owned()),
        hints: Vec::new(),
        result: Map::new(),
    }
}
