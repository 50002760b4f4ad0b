//! The commit of a backup: archive, then `.sha256`, then what lies beside, then `.json`. Without the last it is no backup.

use bytes::Bytes;

use super::objects::{put_new, remove, stat};
use super::sidecar::{Metadata, sha256_line};
use super::{Store, StoreError};

/// What is put beside an archive that is whole.
#[derive(Debug)]
pub struct Sidecars<'a> {
    /// The line of `.sha256`.
    pub checksum: Bytes,
    /// Other objects beside it: the ends of their names, and their bytes.
    pub beside: &'a [(String, Bytes)],
    /// The `.json`.
    pub json: Bytes,
}

/// Puts the sidecars of the archive at `key`, which nobody else writes to.
///
/// # Errors
/// Those of the store. The archive and what was put are removed as far as the store lets us, and what was put last goes
/// first: a `.json` whose put got no answer may be there.
pub async fn publish(store: &Store, key: &str, metadata: &Metadata) -> Result<(), StoreError> {
    let json = serde_json::to_vec_pretty(metadata)
        .map_err(|error| StoreError::Unreachable { place: store.display(key), reason: error.to_string() })?;
    let checksum = Bytes::from(sha256_line(&metadata.sha256, &metadata.archive));
    commit(store, key, &Sidecars { checksum, beside: &[], json: Bytes::from(json) }).await
}

/// As [`publish`], with sidecars that exist already.
///
/// # Errors
/// As [`publish`].
pub async fn commit(store: &Store, key: &str, sidecars: &Sidecars<'_>) -> Result<(), StoreError> {
    let Err(error) = put_all(store, key, sidecars).await else { return Ok(()) };
    let json = format!("{key}.json");
    if remove(store, &json).await.is_err()
        && !matches!(stat(store, &json).await, Err(StoreError::NotFound { .. }))
    {
        return Err(unknown(store, key, &error));
    }
    let beside = sidecars.beside.iter().map(|(end, _)| format!("{key}.{end}"));
    for leftover in beside.chain([format!("{key}.sha256"), key.to_owned()]) {
        // What cannot be removed is an orphan, which every listing names.
        drop(remove(store, &leftover).await);
    }
    Err(error)
}

/// Puts the sidecars in their order.
///
/// # Errors
/// Those of the store; what was put stays.
pub async fn put_all(store: &Store, key: &str, sidecars: &Sidecars<'_>) -> Result<(), StoreError> {
    put_new(store, &format!("{key}.sha256"), sidecars.checksum.clone()).await?;
    for (end, bytes) in sidecars.beside {
        put_new(store, &format!("{key}.{end}"), bytes.clone()).await?;
    }
    put_new(store, &format!("{key}.json"), sidecars.json.clone()).await
}

/// The store fell silent at the one moment at which a backup becomes one.
fn unknown(store: &Store, key: &str, error: &StoreError) -> StoreError {
    StoreError::Unreachable {
        place: store.display(key),
        reason: format!(
            "whether the last object of the backup was written is not known, and it cannot be removed ({error}); \
             `pgcask list` shows whether it is a backup, and then it is a whole one"
        ),
    }
}
