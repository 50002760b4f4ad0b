//! The resolved configuration, as it is shown: every value with its origin, secrets masked.

use serde::Serialize;

use super::file::Value;
use super::keys::{self, Form, Key};
use super::settings::Lookup;
use super::{Config, ConfigError, Origin};
use crate::pg::ConnectOptions;

/// A value as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// The table, such as `databases.shop`; empty for the top of the file.
    pub section: String,
    /// The key.
    pub key: &'static str,
    /// The value; `null` where nothing is set.
    pub value: Option<String>,
    /// Where it came from.
    pub origin: String,
}

impl Config {
    /// What holds for each database and store. `all`: what nobody set, too, with its default.
    ///
    /// # Errors
    /// [`ConfigError::Value`] for a variable of the environment that has no meaning.
    pub fn show(&self, all: bool) -> Result<Vec<Shown>, ConfigError> {
        let mut shown = Vec::new();
        let keys_of =
            |section: &'static str| keys::KEYS.iter().filter(move |key| key.sections.contains(&section));
        let mut names: Vec<Option<&str>> = self.databases().into_iter().map(Some).collect();
        if names.is_empty() {
            names.push(None);
        }
        for key in keys_of("") {
            let entry = self.entry(&[key.name]);
            let found = entry.map(|entry| (masked(key, &entry.value), self.origin(entry)));
            shown.extend(line("", key, found, all));
        }
        for database in names {
            let section = database.map_or_else(|| "defaults".to_owned(), |name| format!("databases.{name}"));
            let of = Lookup { config: self, database };
            let own = if database.is_some() { "databases.*" } else { "defaults" };
            for key in keys_of(own) {
                let found = of.value(key.name)?.map(|found| (masked(key, &found.value), found.origin));
                shown.extend(line(&section, key, found, all));
            }
        }
        for section in ["stores", "priorities", "retention", "validate", "schedule", "metrics", "notify"] {
            self.show_entries(section, &mut shown);
        }
        Ok(shown)
    }

    fn show_entries(&self, first: &str, shown: &mut Vec<Shown>) {
        let of_databases = self.entries.iter().filter(|entry| {
            entry.path.first().is_some_and(|part| part == first)
                || (entry.path.len() == 4 && entry.path.get(2).is_some_and(|part| part == first))
        });
        for entry in of_databases {
            let Some((name, above)) = entry.path.split_last() else { continue };
            let Some(key) = keys::section_of(above).and_then(|section| keys::find(section, name)) else {
                continue;
            };
            let found = (masked(key, &entry.value), self.origin(entry));
            shown.extend(line(&above.join("."), key, Some(found), false));
        }
    }
}

fn line(section: &str, key: &Key, found: Option<(String, Origin)>, all: bool) -> Option<Shown> {
    let (value, origin) = match found {
        Some((value, origin)) => (Some(value), origin),
        None if all => ((!key.default.is_empty()).then(|| key.default.to_owned()), Origin::Default),
        None => return None,
    };
    Some(Shown { section: section.to_owned(), key: key.name, value, origin: origin.to_string() })
}

/// A value for people's eyes.
fn masked(key: &Key, value: &Value) -> String {
    match value {
        Value::Text(text) if key.form == Form::DatabaseUrl => {
            // Only what is known to be none is shown: the parts without the password.
            ConnectOptions::parse(text).map_or_else(|_| "********".to_owned(), |options| options.display())
        }
        Value::Text(text) => text.clone(),
        Value::Whole(number) => number.to_string(),
        Value::Flag(flag) => flag.to_string(),
        Value::List(list) => list.join(", "),
        Value::Secret(source) => source.describe(),
    }
}
