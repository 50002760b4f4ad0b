//! Locks of the store's own for what is put beside a backup later, or takes its place: one object that can be deleted, and what
//! hangs on it is lost.

use super::{Store, StoreError};

/// Locks objects as the archive at `key` is: until the same date, and held if it is. Gives whether there was anything to be done.
///
/// # Errors
/// Those of the store, also when it does not let us see how the archive is locked.
pub async fn as_archive(store: &Store, key: &str, objects: &[String]) -> Result<bool, StoreError> {
    if store.protection().await?.object_lock != Some(true) {
        return Ok(false);
    }
    let (retention, held) = (store.retention(key).await?, store.legal_hold(key).await?);
    for object in objects {
        if let Some((mode, until)) = retention {
            store.set_retention(object, mode, until).await?;
        }
        if held {
            store.set_legal_hold(object, true).await?;
        }
    }
    Ok(retention.is_some() || held)
}
