//! Small objects: written once, read whole, removed one by one.

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use jiff::Timestamp;
use object_store::{ObjectMeta, ObjectStore as _, ObjectStoreExt as _, PutMode, PutOptions, PutPayload};

use super::again::again;
use super::{Store, StoreError};

/// No small object is longer.
pub(super) const MAX_BYTES: u64 = 1 << 20;

/// An object as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its key.
    pub key: String,
    /// Its length.
    pub bytes: u64,
    /// When it was written, by the store's clock.
    pub written: Timestamp,
}

impl Object {
    pub(super) fn new(key: String, meta: &ObjectMeta) -> Self {
        let written = Timestamp::from_millisecond(meta.last_modified.timestamp_millis());
        // A time that cannot be is one of which nothing is old enough.
        Self { key, bytes: meta.size, written: written.unwrap_or(Timestamp::MAX) }
    }
}

/// Puts a small object that must not exist. One that exists with the very same bytes is taken for the one that is put: the
/// answer to an earlier attempt may have been lost on its way.
///
/// # Errors
/// [`StoreError::AlreadyExists`], and those of the store.
pub async fn put_new(store: &Store, key: &str, bytes: Bytes) -> Result<(), StoreError> {
    match again(|| put_once(store, key, &bytes)).await {
        // Whether it was done is not known, unless it can be seen.
        Err(error @ StoreError::Unreachable { .. }) => match read(store, key).await {
            Ok(Some(found)) if found == bytes => Ok(()),
            _ => Err(error),
        },
        result => result,
    }
}

async fn put_once(store: &Store, key: &str, bytes: &Bytes) -> Result<(), StoreError> {
    let place = store.display(key);
    let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
    let payload = PutPayload::from_bytes(bytes.clone());
    let Err(error) = store.client.put_opts(&store.path(key), payload, options).await else { return Ok(()) };
    let error = StoreError::from_client(&place, &error);
    if !matches!(error, StoreError::AlreadyExists { .. }) {
        return Err(error);
    }
    match read(store, key).await {
        Ok(Some(found)) if found == *bytes => Ok(()),
        // S3 says so, too, while another request for the key is under way.
        Err(StoreError::NotFound { .. }) => Err(StoreError::Unreachable {
            place,
            reason: "the store says that it exists already, and does not have it".to_owned(),
        }),
        Err(lost @ StoreError::Unreachable { .. }) => Err(lost),
        // Who may not read it cannot compare.
        _ => Err(error),
    }
}

/// Reads a small object; `None` for one that is too long to be one.
///
/// # Errors
/// [`StoreError::NotFound`], and those of the store.
pub async fn read(store: &Store, key: &str) -> Result<Option<Bytes>, StoreError> {
    again(|| read_once(store, key)).await
}

async fn read_once(store: &Store, key: &str) -> Result<Option<Bytes>, StoreError> {
    let failed = |error: object_store::Error| StoreError::from_client(&store.display(key), &error);
    let answer = store.client.get(&store.path(key)).await.map_err(failed)?;
    if answer.meta.size > MAX_BYTES {
        return Ok(None);
    }
    answer.bytes().await.map(Some).map_err(failed)
}

/// What a listing would show of an object.
///
/// # Errors
/// [`StoreError::NotFound`], and those of the store.
pub async fn stat(store: &Store, key: &str) -> Result<Object, StoreError> {
    let failed = |error: object_store::Error| StoreError::from_client(&store.display(key), &error);
    let path = store.path(key);
    let meta = again(|| async { store.client.head(&path).await.map_err(failed) }).await?;
    Ok(Object::new(key.to_owned(), &meta))
}

/// Removes an object. One that is not there is as good as removed.
///
/// # Errors
/// Those of the store.
pub async fn remove(store: &Store, key: &str) -> Result<(), StoreError> {
    let failed = |error: object_store::Error| StoreError::from_client(&store.display(key), &error);
    let path = store.path(key);
    match again(|| async { store.client.delete(&path).await.map_err(failed) }).await {
        Err(StoreError::NotFound { .. }) => Ok(()),
        other => other,
    }
}

/// All objects in a folder and below.
///
/// # Errors
/// Those of the store.
pub async fn below(store: &Store, folder: &str) -> Result<Vec<Object>, StoreError> {
    again(|| below_once(store, folder)).await
}

async fn below_once(store: &Store, folder: &str) -> Result<Vec<Object>, StoreError> {
    let failed = |error: object_store::Error| StoreError::from_client(&store.display(folder), &error);
    let mut listed = store.client.list(Some(&store.path(folder)));
    let mut found = Vec::new();
    while let Some(meta) = listed.try_next().await.map_err(failed)? {
        found.extend(store.key(&meta.location).map(|key| Object::new(key, &meta)));
    }
    Ok(found)
}

/// An archive and all that lies beside it under its name.
///
/// # Errors
/// Those of the store.
pub async fn beside(store: &Store, archive: &str) -> Result<Vec<Object>, StoreError> {
    let folder = archive.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut found = below(store, folder).await?;
    found.retain(|object| {
        object.key.strip_prefix(archive).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    });
    Ok(found)
}

/// The folders right below the root.
pub(super) async fn folders(store: &Store) -> Result<Vec<String>, StoreError> {
    let failed = |error: object_store::Error| StoreError::from_client(&store.display(""), &error);
    let listed =
        again(|| async { store.client.list_with_delimiter(Some(&store.prefix)).await.map_err(failed) })
            .await?;
    Ok(listed.common_prefixes.iter().filter_map(|path| store.key(path)).collect())
}
