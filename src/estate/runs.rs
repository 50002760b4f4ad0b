//! What was run, by whom, on which host, and how it ended.
//!
//! There are two histories: the audit log, of which each store holds the entries of all hosts, and `history.jsonl`, what one
//! machine remembers. A page about all backups must know of a failure on any host, also on one that is gone, and must not be
//! changed by whoever fails: it reads the audit log. Metrics are told by each host of itself, after each run, also where the store
//! does not answer: they take what the machine remembers.

use jiff::Timestamp;
use serde::Serialize;

use crate::error::Result;
use crate::exit::Exit;
use crate::operate::audit::{Entry, stored};
use crate::store::{Store, naming};

/// So many of the newest entries of each host are read: each is an object of its own.
const NEWEST: u64 = 3000;

/// One run.
#[derive(Debug, Clone, Serialize)]
pub struct RunFacts {
    /// When it ended.
    pub at: Timestamp,
    /// The command.
    pub operation: String,
    /// The database, where it is known.
    pub database: Option<String>,
    /// How it ended, in a word.
    pub result: String,
    /// Its exit code.
    pub exit_code: u8,
    /// How long it took.
    pub seconds: f64,
    /// The machine.
    pub host: String,
    /// Who.
    pub person: String,
    /// The archive, where one is concerned.
    pub archive: Option<String>,
}

impl RunFacts {
    fn of(entry: Entry) -> Self {
        let in_name = |archive: &str| {
            let store = naming::store_of(archive);
            let key = archive.strip_prefix(&store).unwrap_or(archive).trim_start_matches('/');
            naming::parse(key).map(|facts| facts.database)
        };
        let said = entry.details.get("database").cloned();
        Self {
            database: said.or_else(|| entry.archive.as_deref().and_then(in_name)),
            at: entry.at,
            operation: entry.operation,
            result: entry.result,
            exit_code: entry.exit_code,
            seconds: entry.seconds,
            host: entry.by.host,
            person: entry.by.person,
            archive: entry.archive,
        }
    }

    /// Whether it did what it was asked for.
    pub fn is_good(&self) -> bool {
        self.exit_code == Exit::Good as u8
    }

    /// Whether somebody stopped it: that is neither good nor bad.
    pub fn is_stopped(&self) -> bool {
        [Exit::Interrupted as u8, Exit::Terminated as u8].contains(&self.exit_code)
    }
}

/// The runs that a store's audit log tells of since a moment, the oldest first.
///
/// # Errors
/// Those of the store.
pub(super) async fn runs(store: &Store, since: Timestamp) -> Result<Vec<RunFacts>> {
    let lines = stored::newest(store, NEWEST).await?.into_iter().filter_map(|stored| stored.line);
    let entries = lines.filter_map(|line| serde_json::from_str::<Entry>(&line).ok());
    let mut runs: Vec<RunFacts> = entries.filter(|entry| entry.at >= since).map(RunFacts::of).collect();
    runs.sort_by_key(|run| run.at);
    Ok(runs)
}
