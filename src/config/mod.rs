//! `pgcask.toml`, `.env` and the environment: one resolved, typed configuration that knows where each value came from.
//!
//! Flags win over the environment, the environment over the file, the file over the defaults. What a named database or store
//! says of itself holds as an argument would: the environment (`PG*`, `AWS_*`) only fills what it leaves open.

pub mod channels;
pub mod database;
pub mod dotenv;
pub mod env;
mod error;
mod file;
pub mod form;
pub mod keys;
pub mod origin;
pub mod retention;
pub mod secret;
pub mod settings;
pub mod show;
pub mod stores;
pub mod supabase;
pub mod template;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

pub use env::VARIABLES;
pub use error::{ConfigError, Problem};
use file::Entry;
pub use keys::{Form, KEYS, Key, SECTIONS};
pub use origin::{Origin, Sourced};
pub use retention::Retention;
pub use settings::Settings;
pub use show::Shown;

use crate::pg::EnvLookup;

/// The configuration of this run.
#[derive(Debug, Clone)]
pub struct Config {
    env: EnvLookup,
    file: Option<PathBuf>,
    entries: Vec<Entry>,
    warnings: Vec<String>,
}

impl Config {
    /// Finds, reads and checks the configuration. `explicit`: the file that was named by a flag; without it `PGCASK_CONFIG`,
    /// `./pgcask.toml`, the user's configuration folder and `/etc/pgcask` are looked at, and the first file there is counts.
    ///
    /// # Errors
    /// [`ConfigError`] for a named file that is not there, one that somebody else may write, and all that is wrong in it,
    /// each with its line and column.
    pub fn load(explicit: Option<&Path>, env: &EnvLookup) -> Result<Self, ConfigError> {
        let mut config = Self::without_file(env);
        let Some(path) = file::find(explicit, env)? else {
            return Ok(config);
        };
        config.entries = file::read(&path)?;
        config.file = Some(path);
        config.check()?;
        Ok(config)
    }

    /// What the environment alone says.
    pub fn without_file(env: &EnvLookup) -> Self {
        let warnings = dotenv::warning(env).into_iter().collect();
        Self { env: env.clone(), file: None, entries: Vec::new(), warnings }
    }

    /// The configuration file, if there is one.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// What the operator should know.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The surroundings that were consulted.
    pub fn env(&self) -> &EnvLookup {
        &self.env
    }

    /// The names of the configured databases.
    pub fn databases(&self) -> Vec<&str> {
        self.names("databases")
    }

    /// The names of the configured stores.
    pub fn store_names(&self) -> Vec<&str> {
        self.names("stores")
    }

    /// The names of the tables below `[section.…]`.
    pub(crate) fn names(&self, section: &str) -> Vec<&str> {
        let within = self.entries.iter().filter_map(|entry| match entry.path.as_slice() {
            [first, name, ..] if first == section => Some(name.as_str()),
            _ => None,
        });
        within.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// What is written at a place of the file, such as `["databases", "shop", "jobs"]`.
    pub(crate) fn entry(&self, path: &[&str]) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.path.iter().map(String::as_str).eq(path.iter().copied()))
    }

    /// Where something is written.
    pub(crate) fn origin(&self, entry: &Entry) -> Origin {
        let file = self.file.clone().unwrap_or_default();
        Origin::File { file, line: entry.line, column: entry.column }
    }

    /// A path of the file: `~/` is the home directory, and what is relative is so to the folder of the file.
    pub(crate) fn path(&self, text: &str) -> PathBuf {
        if let Some(rest) = text.strip_prefix("~/")
            && let Some(path) = self.env.in_home(rest)
        {
            return path;
        }
        let folder =
            self.file.as_deref().and_then(Path::parent).filter(|folder| !folder.as_os_str().is_empty());
        folder.map_or_else(|| PathBuf::from(text), |folder| folder.join(text))
    }

    /// What only the whole can tell: names that are used and not defined.
    fn check(&self) -> Result<(), ConfigError> {
        let mut problems = Vec::new();
        for entry in &self.entries {
            let defined = match entry.path.last().map(String::as_str) {
                Some("default_database") => self.databases(),
                _ => continue,
            };
            let name = entry.value.text().unwrap_or_default();
            if !defined.contains(&name) {
                problems.push(Problem {
                    line: entry.line,
                    column: entry.column,
                    message: format!("there is no [databases.{name}]{}", error::nearest(name, &defined)),
                });
            }
        }
        self.check_stores(&mut problems);
        self.check_channels(&mut problems);
        if problems.is_empty() {
            return Ok(());
        }
        Err(ConfigError::Invalid { file: self.file.clone().unwrap_or_default(), problems })
    }
}
