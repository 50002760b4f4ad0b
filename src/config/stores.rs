//! Named stores.

use std::collections::BTreeMap;

use super::file::Value;
use super::{Config, ConfigError, Problem, error, file};
use crate::store::account::Account;
use crate::store::{Location, archives};

/// Keys of a store, and what the client of its platform calls them.
const S3: &[(&str, &str)] = &[
    ("region", "aws_region"),
    ("endpoint", "aws_endpoint"),
    ("path_style", "aws_virtual_hosted_style_request"),
    ("access_key_id", "aws_access_key_id"),
    ("secret_access_key", "aws_secret_access_key"),
    ("session_token", "aws_session_token"),
    ("encryption", "aws_server_side_encryption"),
    ("kms_key_id", "aws_sse_kms_key_id"),
    ("customer_key", "aws_sse_customer_key_base64"),
    ("checksum", "aws_checksum_algorithm"),
    ("storage_class", archives::STORAGE_CLASS),
    ("part_size", archives::PART_BYTES),
];
const GOOGLE: &[(&str, &str)] = &[
    ("service_account", "google_service_account"),
    ("endpoint", "google_base_url"),
    ("storage_class", archives::STORAGE_CLASS),
    ("part_size", archives::PART_BYTES),
];
const AZURE: &[(&str, &str)] = &[
    ("account_name", "azure_storage_account_name"),
    ("account_key", "azure_storage_account_key"),
    ("endpoint", "azure_storage_endpoint"),
    ("storage_class", archives::STORAGE_CLASS),
    ("part_size", archives::PART_BYTES),
];

fn names_of(url: &str) -> &'static [(&'static str, &'static str)] {
    match url.split_once("://").map(|(scheme, _)| scheme) {
        Some("s3") => S3,
        Some("gs") => GOOGLE,
        Some("az") => AZURE,
        _ => &[],
    }
}

impl Config {
    /// What `STORE` means: the URL or folder of a configured name, else the text itself.
    pub fn store(&self, text: &str) -> String {
        match self.entry(&["stores", text, "url"]) {
            Some(entry) => self.placed_store(entry.value.text().unwrap_or_default()),
            None => text.to_owned(),
        }
    }

    /// A store as the file names it: a configured name, a URL, or a folder relative to the file.
    pub fn store_of_file(&self, text: &str) -> String {
        if self.store_names().contains(&text) { self.store(text) } else { self.placed_store(text) }
    }

    fn placed_store(&self, text: &str) -> String {
        if text.contains("://") { text.to_owned() } else { self.path(text).display().to_string() }
    }

    /// What is configured of the stores whose URLs are used: for [`crate::store::account::register`]. Secrets are not taken
    /// here, but when such a store is opened.
    ///
    /// # Errors
    /// [`ConfigError::Value`] for a URL that is none.
    pub fn accounts(&self) -> Result<Vec<Account>, ConfigError> {
        let mut accounts = Vec::new();
        for name in self.store_names() {
            let Some(url) = self.entry(&["stores", name, "url"]).and_then(|entry| entry.value.text()) else {
                continue;
            };
            let Ok(Location::Url(place)) = Location::parse(&self.placed_store(url)) else { continue };
            let mut options = Vec::new();
            let mut secrets = Vec::new();
            for (key, option) in names_of(url) {
                let value = match self.entry(&["stores", name, key]).map(|entry| &entry.value) {
                    Some(Value::Text(text)) if *key == "service_account" => {
                        self.path(text).display().to_string()
                    }
                    Some(Value::Text(text)) if *key == "part_size" => {
                        file::bytes(text).unwrap_or_default().to_string()
                    }
                    Some(Value::Text(text)) => text.clone(),
                    // The client asks the opposite.
                    Some(Value::Flag(path_style)) => (!path_style).to_string(),
                    Some(Value::Secret(source)) => {
                        secrets.push((*option, format!("stores.{name}.{key}"), source.clone()));
                        continue;
                    }
                    _ => continue,
                };
                options.push(((*option).to_owned(), value));
            }
            let config = self.clone();
            let take = move || {
                let mut taken = Vec::new();
                for (option, key, source) in &secrets {
                    let secret = config.take(key, source).map_err(|error| error.to_string())?;
                    taken.push(((*option).to_owned(), zeroize::Zeroizing::new(secret.expose().to_owned())));
                }
                Ok(taken)
            };
            accounts.push(Account::new(name, place, options, Box::new(take)));
        }
        Ok(accounts)
    }

    /// Stores that lack their URL, have keys of another platform, or share one URL; names of stores that there are not.
    pub(super) fn check_stores(&self, problems: &mut Vec<Problem>) {
        let mut places = BTreeMap::new();
        for name in self.store_names() {
            let of_store = |key: &str| self.entry(&["stores", name, key]);
            let any = self.entries.iter().find(|entry| entry.path.get(1).is_some_and(|part| part == name));
            let Some(url) = of_store("url") else {
                if let Some(entry) = any {
                    let message = format!("[stores.{name}] lacks its url");
                    problems.push(Problem { line: entry.line, column: entry.column, message });
                }
                continue;
            };
            let mut problem = |message: String| {
                problems.push(Problem { line: url.line, column: url.column, message });
            };
            let text = url.value.text().unwrap_or_default();
            if let Err(error) = Location::parse(text) {
                problem(error.to_string());
            }
            if let Some(other) = places.insert(text.trim_end_matches('/'), name) {
                problem(format!(
                    "[stores.{other}] and [stores.{name}] have the same url: which is meant could not be told"
                ));
            }
            let encryption = of_store("encryption").and_then(|entry| entry.value.text());
            if (encryption == Some("sse-c")) != of_store("customer_key").is_some() {
                problem(format!("[stores.{name}]: customer_key and encryption = \"sse-c\" go together"));
            }
            let part = of_store("part_size").and_then(|entry| file::bytes(entry.value.text()?));
            if part.is_some_and(|part| !archives::PART_BOUNDS.contains(&part)) {
                problem(format!("[stores.{name}]: part_size is from 5M to 512M"));
            }
            let allowed = names_of(text);
            let strangers = self.entries.iter().filter(|entry| {
                let [first, of, key] = entry.path.as_slice() else { return false };
                first == "stores"
                    && of == name
                    && key != "url"
                    && !allowed.iter().any(|(known, _)| known == key)
            });
            for entry in strangers {
                let key = entry.path.last().map(String::as_str).unwrap_or_default();
                let message = format!("{key} means nothing for {text}");
                problems.push(Problem { line: entry.line, column: entry.column, message });
            }
        }
        self.check_store_names(problems);
    }

    /// A word that is neither a configured store nor looks like a place is a slip.
    fn check_store_names(&self, problems: &mut Vec<Problem>) {
        let names = self.store_names();
        for entry in self.entries.iter().filter(|entry| entry.path.last().is_some_and(|key| key == "store")) {
            let text = entry.value.text().unwrap_or_default();
            let looks_like_a_place = text.contains('/') || text.starts_with('.') || text.starts_with('~');
            if names.contains(&text) || looks_like_a_place {
                continue;
            }
            let meant = error::nearest(text, &names);
            let message = format!("there is no [stores.{text}]{meant} (a folder is written as ./{text})");
            problems.push(Problem { line: entry.line, column: entry.column, message });
        }
    }
}
