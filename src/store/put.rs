//! Writing one archive, as it comes: parts of one size, a few under way at a time, nothing visible before the end.

use bytes::Bytes;
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStoreExt as _, PutPayload};
use tokio::task::JoinSet;

use super::location::size_of;
use super::{Store, StoreError, objects};

/// Bytes of a part. All but the last have this size (R2 wants that). S3 takes 10,000 parts: 156 GiB of archive.
const PART_BYTES: usize = 16 << 20;

/// How long the abort of an upload may take: the store may be what failed.
const ABORT: std::time::Duration = std::time::Duration::from_secs(5);

/// Parts under way at a time.
const PARTS_UNDER_WAY: usize = 2;

/// An upload. Dropped before [`Upload::finish`] it is aborted in the background; [`Upload::abort`] waits for that.
#[derive(Debug)]
pub struct Upload {
    store: Store,
    path: Path,
    place: String,
    multipart: Option<Box<dyn MultipartUpload>>,
    /// The part being gathered: what was given, not copied.
    part: Vec<Bytes>,
    part_bytes: usize,
    under_way: JoinSet<Result<(), object_store::Error>>,
    written: u64,
}

impl Upload {
    /// Begins an upload to a key that must not exist.
    ///
    /// # Errors
    /// [`StoreError::AlreadyExists`], and those of the store.
    pub async fn begin(store: &Store, key: &str) -> Result<Self, StoreError> {
        let (path, place) = (store.path(key), store.display(key));
        match size_written(store, &path, &place).await {
            Ok(_) => return Err(StoreError::AlreadyExists { place }),
            Err(StoreError::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
        let multipart = store
            .client
            .put_multipart(&path)
            .await
            .map_err(|error| StoreError::from_client(&place, &error))?;
        Ok(Self {
            store: store.clone(),
            path,
            place,
            multipart: Some(multipart),
            part: Vec::new(),
            part_bytes: 0,
            under_way: JoinSet::new(),
            written: 0,
        })
    }

    /// Takes bytes; waits while too many parts are under way.
    ///
    /// # Errors
    /// Those of the store, also of parts that were taken before.
    pub async fn write(&mut self, mut bytes: Bytes) -> Result<(), StoreError> {
        self.written += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        while !bytes.is_empty() {
            let room = PART_BYTES.saturating_sub(self.part_bytes);
            let piece = bytes.split_to(room.min(bytes.len()));
            self.part_bytes += piece.len();
            self.part.push(piece);
            if self.part_bytes >= PART_BYTES {
                self.send_part().await?;
            }
        }
        Ok(())
    }

    async fn send_part(&mut self) -> Result<(), StoreError> {
        while self.under_way.len() >= PARTS_UNDER_WAY {
            self.join_one().await?;
        }
        self.part_bytes = 0;
        let part: PutPayload = std::mem::take(&mut self.part).into_iter().collect();
        if let Some(multipart) = &mut self.multipart {
            self.under_way.spawn(multipart.put_part(part));
        }
        Ok(())
    }

    async fn join_one(&mut self) -> Result<(), StoreError> {
        match self.under_way.join_next().await {
            None | Some(Ok(Ok(()))) => Ok(()),
            Some(Ok(Err(error))) => Err(StoreError::from_client(&self.place, &error)),
            Some(Err(error)) => {
                Err(StoreError::Unreachable { place: self.place.clone(), reason: error.to_string() })
            }
        }
    }

    /// Makes the archive visible, whole, and compares its length with what was written.
    ///
    /// # Errors
    /// Those of the store, [`StoreError::Length`].
    pub async fn finish(mut self) -> Result<u64, StoreError> {
        if let Err(error) = self.complete().await {
            // Waited for: the process may end right after. The first error tells what happened; one of the abort
            // would only hide it.
            drop(self.abort().await);
            return Err(error);
        }
        self.multipart = None;
        let found = size_written(&self.store, &self.path, &self.place).await?;
        if found != self.written {
            return Err(StoreError::Length { place: self.place.clone(), found, expected: self.written });
        }
        Ok(found)
    }

    async fn complete(&mut self) -> Result<(), StoreError> {
        if !self.part.is_empty() {
            self.send_part().await?;
        }
        while !self.under_way.is_empty() {
            self.join_one().await?;
        }
        match &mut self.multipart {
            Some(multipart) => {
                let done = multipart.complete().await;
                done.map(drop).map_err(|error| StoreError::from_client(&self.place, &error))
            }
            None => Ok(()),
        }
    }

    /// Leaves nothing behind.
    ///
    /// # Errors
    /// Those of the store: something may be left.
    pub async fn abort(mut self) -> Result<(), StoreError> {
        self.under_way.shutdown().await;
        let Some(mut multipart) = self.multipart.take() else { return Ok(()) };
        match tokio::time::timeout(ABORT, multipart.abort()).await {
            Ok(done) => done.map_err(|error| StoreError::from_client(&self.place, &error)),
            Err(_) => Err(StoreError::Unreachable {
                place: self.place.clone(),
                reason: "the upload could not be aborted in time".to_owned(),
            }),
        }
    }
}

/// Length of an archive. Who may write archives and not read them may not ask for it by name either, but finds it in a listing.
async fn size_written(store: &Store, path: &Path, place: &str) -> Result<u64, StoreError> {
    let denied = match size_of(store.client.as_ref(), path, place).await {
        Err(error @ StoreError::PermissionDenied { .. }) => error,
        other => return other,
    };
    let Some(key) = store.key(path) else { return Err(denied) };
    let folder = key.rsplit_once('/').map_or("", |(folder, _)| folder);
    // A listing that is denied too says nothing new: the first error is the one to tell.
    let listed = objects::below(store, folder).await.map_err(|_| denied)?;
    let found = listed.into_iter().find(|object| object.key == key);
    found.map(|object| object.bytes).ok_or_else(|| StoreError::NotFound { place: place.to_owned() })
}

impl Drop for Upload {
    fn drop(&mut self) {
        if let (Some(mut multipart), Ok(runtime)) =
            (self.multipart.take(), tokio::runtime::Handle::try_current())
        {
            drop(runtime.spawn(async move { multipart.abort().await }));
        }
    }
}
