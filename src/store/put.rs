//! Writing one archive, as it comes: in parts, a few under way at a time, nothing visible before the end.

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use object_store::path::Path;
use object_store::retry::{RetryContext, RetryFailure, RetryPolicy};
use object_store::{MultipartUpload, ObjectStore as _, PutMultipartOptions, PutPayload};
use tokio::task::JoinSet;

use super::again::{ATTEMPTS, LONG, again, pause};
use super::archives::MAX_PARTS;
use super::flush::Flush;
use super::location::size_of;
use super::{Store, StoreError, objects};

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
    /// Parts that were sent.
    parts: usize,
    under_way: JoinSet<Result<(), object_store::Error>>,
    /// Of a directory.
    flush: Option<Flush>,
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
        let multipart = again(|| async {
            let attributes = store.archives.attributes();
            let options = PutMultipartOptions { attributes, ..PutMultipartOptions::default() };
            let options = options.with_retry_policy(Arc::new(Parts));
            let begun = store.client.put_multipart_opts(&path, options).await;
            begun.map_err(|error| StoreError::from_client(&place, &error))
        })
        .await?;
        Ok(Self {
            store: store.clone(),
            path,
            place,
            multipart: Some(multipart),
            part: Vec::new(),
            part_bytes: 0,
            parts: 0,
            under_way: JoinSet::new(),
            flush: store.directory.as_ref().map(|directory| Flush::of(directory.join(key))),
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
            let full = self.store.archives.part_bytes(self.parts);
            let room = full.saturating_sub(self.part_bytes);
            let piece = bytes.split_to(room.min(bytes.len()));
            self.part_bytes += piece.len();
            self.part.push(piece);
            if self.part_bytes >= full {
                self.send_part().await?;
            }
        }
        Ok(())
    }

    async fn send_part(&mut self) -> Result<(), StoreError> {
        while self.under_way.len() >= PARTS_UNDER_WAY {
            self.join_one().await?;
        }
        // A directory has no such limit.
        if self.parts >= MAX_PARTS && self.store.directory.is_none() {
            return Err(StoreError::TooLong { place: self.place.clone(), bytes: self.written });
        }
        self.parts += 1;
        self.part_bytes = 0;
        let part: PutPayload = std::mem::take(&mut self.part).into_iter().collect();
        if let Some(multipart) = &mut self.multipart {
            self.under_way.spawn(multipart.put_part(part));
        }
        if let Some(flush) = &mut self.flush {
            flush.begin();
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
            // The answer may have been lost on its way, and the upload that a second attempt wanted to complete was no
            // more. Nobody else writes to this key but with the same bytes.
            let sent = self.part.is_empty() && self.under_way.is_empty();
            let lost = matches!(error, StoreError::Unreachable { .. } | StoreError::NotFound { .. });
            if sent && lost && size_written(&self.store, &self.path, &self.place).await == Ok(self.written) {
                self.multipart = None;
                return Ok(self.written);
            }
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
    let denied = match again(|| size_of(store.client.as_ref(), path, place)).await {
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

/// When a part is sent once more, after the client's own attempts: also when it arrived as another than was signed (400),
/// or its connection said what cannot be understood.
#[derive(Debug)]
struct Parts;

impl RetryPolicy for Parts {
    fn retry<'a, 'retry>(
        &'a self,
        context: RetryContext,
    ) -> Pin<Box<dyn Future<Output = bool> + Send + 'retry>>
    where
        'a: 'retry,
        Self: 'retry,
    {
        Box::pin(async move {
            let attempt = u32::try_from(context.attempt).unwrap_or(u32::MAX);
            let passing = match context.failure {
                RetryFailure::Transport(_) => true,
                RetryFailure::Status(status) => status.as_u16() == 400,
                _ => false,
            };
            if !passing || attempt >= ATTEMPTS || context.elapsed >= LONG {
                return false;
            }
            tokio::time::sleep(pause(attempt)).await;
            true
        })
    }
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
