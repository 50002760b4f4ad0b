//! Which rows of the erasure ledger a backup was searched for, and does not have. Whoever asks later need not open it again,
//! and whoever reports need not count it among those that may hold them.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::list::Backup;
use super::notes::NoteKind;
use super::{Store, StoreError, beside};
use crate::actor::Actor;

/// How many names are tried.
const NAMES: u32 = 10;

/// A search that found nothing of some entries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Searched {
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub by: Actor,
    /// The entries of the erasure ledger whose rows the backup has not.
    pub entries: Vec<String>,
}

impl Searched {
    /// Leaves it beside the archive at `key`; under a later name, where another search of the same second has left one.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn put(&self, store: &Store, key: &str) -> Result<(), StoreError> {
        let bytes = serde_json::to_vec_pretty(self).map_err(|error| StoreError::Unreachable {
            place: store.display(key),
            reason: error.to_string(),
        })?;
        let mut named = self.at;
        for _ in 0..NAMES {
            let suffix = NoteKind::Searched(named).suffix().unwrap_or_default();
            match beside::put(store, key, suffix.trim_start_matches('.'), bytes.clone()).await {
                Err(StoreError::AlreadyExists { .. }) => named += SignedDuration::from_secs(1),
                done => return done,
            }
        }
        Err(StoreError::AlreadyExists { place: store.display(key) })
    }
}

/// The entries whose rows a backup has not, by the notes beside it. A note that cannot be read says nothing.
///
/// # Errors
/// Those of the store.
pub async fn entries(store: &Store, backup: &Backup) -> Result<Vec<String>, StoreError> {
    let mut all = Vec::new();
    for note in backup.notes.iter().filter(|note| matches!(note.kind, NoteKind::Searched(_))) {
        let end = note.object.key.strip_prefix(backup.key.as_str()).unwrap_or_default();
        let bytes = match beside::read(store, &backup.key, end.trim_start_matches('.')).await {
            Err(StoreError::NotFound { .. } | StoreError::PermissionDenied { .. }) => continue,
            other => other?,
        };
        let searched = serde_json::from_slice::<Searched>(&bytes);
        all.extend(searched.into_iter().flat_map(|searched| searched.entries));
    }
    Ok(all)
}
