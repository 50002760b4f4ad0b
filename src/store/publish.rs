//! The commit of a backup: archive, then `.sha256`, then `.json`. Without the last it is no backup.

use bytes::Bytes;
use object_store::ObjectStoreExt as _;

use super::objects::put_new;
use super::sidecar::{Metadata, sha256_line};
use super::{Store, StoreError};

/// Puts the sidecars of the archive at `key`.
///
/// # Errors
/// Those of the store. The archive and what was put are removed as far as the store lets us.
pub async fn publish(store: &Store, key: &str, metadata: &Metadata) -> Result<(), StoreError> {
    let result = put_both(store, key, metadata).await;
    if result.is_err() {
        for leftover in [format!("{key}.sha256"), key.to_owned()] {
            // What cannot be removed is an orphan, which every listing names.
            drop(store.client.delete(&store.path(&leftover)).await);
        }
    }
    result
}

async fn put_both(store: &Store, key: &str, metadata: &Metadata) -> Result<(), StoreError> {
    let checksum = sha256_line(&metadata.sha256, &metadata.archive);
    put_new(store, &format!("{key}.sha256"), Bytes::from(checksum)).await?;
    let json = serde_json::to_vec_pretty(metadata)
        .map_err(|error| StoreError::Unreachable { place: store.display(key), reason: error.to_string() })?;
    put_new(store, &format!("{key}.json"), Bytes::from(json)).await
}
