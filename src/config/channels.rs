//! `[notify.NAME]`: who is told what, and how.

use super::file::{Entry, Value};
use super::secret::SecretSource;
use super::{Config, Problem};

/// The keys that each type must have, and those that it may have besides.
const TYPES: &[(&str, &[&str], &[&str])] = &[
    ("slack", &["url"], &[]),
    ("pagerduty", &["routing_key"], &["url"]),
    ("webhook", &["url"], &["secret"]),
    ("email", &["smtp_host", "from", "to"], &["smtp_port", "tls", "user", "password"]),
    ("ping", &["url"], &["start_url", "fail_url"]),
];
/// Keys that all types have.
const COMMON: &[&str] = &["type", "on", "databases"];

/// One channel as it is configured; its secrets are taken only when it is used.
#[derive(Debug, Clone, Copy)]
pub struct ChannelConfig<'a> {
    config: &'a Config,
    /// Its name.
    pub name: &'a str,
}

impl Config {
    /// The configured channels.
    pub fn channels(&self) -> Vec<ChannelConfig<'_>> {
        self.names("notify").into_iter().map(|name| ChannelConfig { config: self, name }).collect()
    }

    /// Channels without a type, without what their type needs, or with what means nothing to it.
    pub(super) fn check_channels(&self, problems: &mut Vec<Problem>) {
        for channel in self.channels() {
            let entries: Vec<&Entry> = self
                .entries
                .iter()
                .filter(|entry| matches!(entry.path.as_slice(), [first, name, _] if first == "notify" && name == channel.name))
                .collect();
            let Some(first) = entries.first() else { continue };
            let name = channel.name;
            let mut problem = |entry: &Entry, message: String| {
                problems.push(Problem { line: entry.line, column: entry.column, message });
            };
            let kind = channel.text("type").unwrap_or_default();
            let Some((_, needed, allowed)) = TYPES.iter().find(|(word, _, _)| *word == kind) else {
                problem(first, format!("[notify.{name}] lacks its type"));
                continue;
            };
            for key in needed.iter().filter(|key| channel.entry(key).is_none()) {
                problem(first, format!("[notify.{name}] of the type {kind} needs {key}"));
            }
            for entry in &entries {
                let key = entry.path.last().map(String::as_str).unwrap_or_default();
                if ![*needed, *allowed, COMMON].iter().any(|keys| keys.contains(&key)) {
                    problem(entry, format!("{key} means nothing for the type {kind}"));
                }
            }
        }
    }
}

impl<'a> ChannelConfig<'a> {
    fn entry(&self, key: &str) -> Option<&'a Value> {
        self.config.entry(&["notify", self.name, key]).map(|entry| &entry.value)
    }

    /// A text.
    pub fn text(&self, key: &str) -> Option<&'a str> {
        self.entry(key).and_then(Value::text)
    }

    /// A list.
    pub fn list(&self, key: &str) -> Option<&'a [String]> {
        if let Some(Value::List(list)) = self.entry(key) { Some(list) } else { None }
    }

    /// A number.
    pub fn whole(&self, key: &str) -> Option<i64> {
        if let Some(Value::Whole(number)) = self.entry(key) { Some(*number) } else { None }
    }

    /// Where a secret is.
    pub fn secret(&self, key: &str) -> Option<&'a SecretSource> {
        if let Some(Value::Secret(source)) = self.entry(key) { Some(source) } else { None }
    }
}

impl Config {
    /// The environment variables that secrets are taken from: who runs the program must have them.
    pub fn secret_variables(&self) -> Vec<String> {
        let name = |entry: &Entry| match &entry.value {
            Value::Secret(SecretSource::Environment(name)) => Some(name.clone()),
            _ => None,
        };
        let mut names: Vec<String> = self.entries.iter().filter_map(name).collect();
        names.sort();
        names.dedup();
        names
    }

    /// The file for metrics.
    pub fn metrics_textfile(&self) -> Option<std::path::PathBuf> {
        let entry = self.entry(&["metrics", "textfile"]).and_then(|entry| entry.value.text());
        entry.map(|text| self.path(text))
    }

    /// Where a secret of `[metrics]` is: `push`, `otlp`, `otlp_authorization`.
    pub fn metrics_secret(&self, key: &str) -> Option<&SecretSource> {
        if let Value::Secret(source) = &self.entry(&["metrics", key])?.value { Some(source) } else { None }
    }

    /// As which instance metrics are pushed, if that is said.
    pub fn metrics_instance(&self) -> Option<&str> {
        self.entry(&["metrics", "instance"]).and_then(|entry| entry.value.text())
    }

    /// When a job of `[schedule]` runs, as it is written.
    pub fn schedule(&self, job: &str) -> Option<&str> {
        self.entry(&["schedule", job]).and_then(|entry| entry.value.text())
    }
}
