//! The audit log: who did what, when, to which archive, with which result. Each host has a chain of entries for each store, in
//! a file of its own and, entry by entry, in the store; each entry carries the hash of the one before. Sidecars of backups name
//! the head that their host's chain had at that time, so that a chain that lost its end is noticed.
//!
//! No entry holds an error's text: the words of a server may quote rows.

pub mod entry;
pub mod journal;
pub mod stored;
pub mod verify;

use std::path::Path;
use std::time::Duration;

pub use entry::Entry;
pub use journal::Journal;

use crate::store::Store;

/// How long the store may take for an entry: the operation is over, and its user waits.
const PATIENCE: Duration = Duration::from_secs(10);

/// What became of an entry. What could not be done is said, and never ends an operation.
#[derive(Debug, Default)]
pub struct Written {
    /// Why it is not in the local file.
    pub not_local: Option<String>,
    /// Why it is not in the store; the next entry takes it along.
    pub not_stored: Option<String>,
}

/// Appends an entry to the chain of this host for a store, and puts into the store what it has not yet. `store`: none for what
/// concerns no store, and for one that has just failed.
pub async fn append(state: &Path, entry: Entry, store: Option<&Store>) -> Written {
    let name = entry.store.clone().unwrap_or_default();
    let journal = Journal::of(state, &name);
    let appending = journal.clone();
    let appended = tokio::task::spawn_blocking(move || appending.append(entry)).await;
    let not_local = match appended {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(format!("{}: {error}", journal.path().display())),
        Err(error) => Some(error.to_string()),
    };
    let Some(store) = store.filter(|_| not_local.is_none()) else {
        return Written { not_local, not_stored: None };
    };
    let not_stored = match tokio::time::timeout(PATIENCE, stored::send(store, &journal)).await {
        Ok(Ok(())) => None,
        Ok(Err(why)) => Some(why),
        Err(_) => Some("the store does not answer in time".to_owned()),
    };
    Written { not_local, not_stored }
}
