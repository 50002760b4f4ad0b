//! Trying a store out with a small object: what a configuration promises is seen before the first backup needs it.

use bytes::Bytes;
use object_store::{ObjectStoreExt as _, PutMode, PutOptions, PutPayload};

use super::naming::new_id;
use super::{Store, StoreError};

/// What the store lets us do. That it takes, gives back and lists an object is what the others of [`probe`] fail for.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Rights {
    /// Whether objects may be removed. A writer need not be able to; `prune` must.
    pub delete: bool,
    /// The object that is left where they may not.
    pub left: Option<String>,
}

/// Begins a multipart upload, sends a part of it, and gives it up: large archives are uploaded so.
///
/// # Errors
/// Those of the store, also when the upload cannot be given up.
pub async fn multipart(store: &Store) -> Result<(), StoreError> {
    let key = format!("pgcask-probe-{}", new_id()?);
    let place = store.display(&key);
    let wrong = |error: object_store::Error| StoreError::from_client(&place, &error);
    let mut upload = store.client.put_multipart(&store.path(&key)).await.map_err(wrong)?;
    let part = upload.put_part(PutPayload::from_static(b"written by pgcask to try this store out\n")).await;
    let aborted = upload.abort().await;
    part.and(aborted).map_err(wrong)
}

/// Puts a small object, reads it back, and removes it.
///
/// # Errors
/// Those of the store, and [`StoreError::Length`] when it gives back something else.
pub async fn probe(store: &Store) -> Result<Rights, StoreError> {
    // No listing takes it for a part of a backup.
    let key = format!("pgcask-probe-{}", new_id()?);
    let (path, place) = (store.path(&key), store.display(&key));
    let wrong = |error: object_store::Error| StoreError::from_client(&place, &error);
    let content = Bytes::from_static(b"written by pgcask to try this store out; it can be removed\n");
    let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
    store.client.put_opts(&path, PutPayload::from_bytes(content.clone()), options).await.map_err(wrong)?;
    let read = store.client.get(&path).await.map_err(wrong)?.bytes().await.map_err(wrong)?;
    let deleted = store.client.delete(&path).await;
    if read != content {
        let length = |bytes: &Bytes| u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        return Err(StoreError::Length { place, found: length(&read), expected: length(&content) });
    }
    Ok(Rights { delete: deleted.is_ok(), left: deleted.is_err().then_some(place) })
}
