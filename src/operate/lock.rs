//! Object Lock: the store itself keeps a backup until its expiry, whatever program asks to delete it.

use jiff::Timestamp;

use crate::error::{Error, ErrorKind, Result};
use crate::store::{LockMode, Store, objects, sidecar};

/// Locks all objects of a backup until its expiry, and reads each date back: one that can be deleted would lose all. Gives the
/// date.
///
/// # Errors
/// When the backup never expires, the store has no Object Lock, or it does not let us.
pub async fn until_expiry(store: &Store, key: &str, mode: LockMode) -> Result<Timestamp> {
    let metadata = sidecar::read(store, key).await?;
    let expires = metadata.and_then(|metadata| metadata.expires_at?.parse::<Timestamp>().ok());
    let Some(expires) = expires else {
        return Err(Error::new(ErrorKind::Failed, "the backup has no expiry to be locked until"));
    };
    if store.protection().await?.object_lock == Some(false) {
        let message = format!("{} has no Object Lock", store.display(""));
        return Err(
            Error::new(ErrorKind::Failed, message).hint("Object Lock is switched on when a bucket is made")
        );
    }
    for object in objects::beside(store, key).await? {
        store.set_retention(&object.key, mode, expires).await?;
    }
    Ok(expires)
}
