//! The copy as it is: streamed, hashed on its way, and not visible before the hash is the original's.

use std::time::Instant;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use super::original::{Digest, Original};
use super::{Copied, OF_EVERY_COPY, complete, present};
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Event, SharedObserver};
use crate::stop::Stop;
use crate::store::get::Source;
use crate::store::publish::{Sidecars, put_all};
use crate::store::put::Upload;
use crate::store::{Store, StoreError, objects};

/// Bytes asked of the store at once.
const STEP: u64 = 8 << 20;

/// Requests under way: reading goes on while a part is written.
const AHEAD: usize = 3;

/// Copies the backup at the path or URL `from` into a store, under the same name.
///
/// # Errors
/// [`ErrorKind::Damaged`] when the archive is not what its sidecars say: nothing is then left in the store. Those of the
/// stores, each naming its place.
pub async fn copy(from: &str, to: &Store, observer: &SharedObserver, stop: &Stop) -> Result<Copied> {
    let began = Instant::now();
    let original = Original::open(from).await?;
    let beside = original.beside(&OF_EVERY_COPY).await?;
    let archive = to.display(&original.key);
    let mut copied = Copied {
        from: from.to_owned(),
        archive: archive.clone(),
        id: original.metadata.id.clone(),
        bytes: original.metadata.bytes,
        sha256: original.metadata.sha256.clone(),
        already: false,
        resumed: false,
        beside: beside.iter().map(|(end, _)| end.clone()).collect(),
        rekeyed: false,
        seconds: 0.0,
    };
    if let Some(there) = present(to, &original.key).await? {
        if there.sha256 != original.metadata.sha256 {
            return Err(Error::new(ErrorKind::Refused, format!("{archive} exists, and is another archive")));
        }
        copied.beside = complete(to, &original.key, &beside).await?;
        copied.already = true;
    } else {
        let work = Work { original: &original, to, observer, stop };
        copied.resumed = work.bring().await?;
        let sidecars =
            Sidecars { checksum: original.checksum(), beside: &beside, json: original.json.clone() };
        put_all(to, &original.key, &sidecars).await.map_err(|error| {
            Error::from(error).hint("the archive itself is there; the same command goes on with it")
        })?;
    }
    copied.seconds = began.elapsed().as_secs_f64();
    Ok(copied)
}

struct Work<'a> {
    original: &'a Original,
    to: &'a Store,
    observer: &'a SharedObserver,
    stop: &'a Stop,
}

impl Work<'_> {
    /// Brings the archive into the store. Gives whether it was there already: of a copy that was killed before it put the
    /// sidecars, or of one at the same time.
    async fn bring(&self) -> Result<bool> {
        let key = &self.original.key;
        let mut upload = match Upload::begin(self.to, key).await {
            Err(StoreError::AlreadyExists { .. }) => return self.adopt().await,
            begun => begun?,
        };
        self.observer.event(Event::Phase { name: "copying the archive" });
        let carried = self.unless_stopped(self.carry(&self.original.source, Some(&mut upload))).await;
        let there = match &carried {
            Ok(found) if *found != self.original.metadata.sha256 => Err(self.damaged(found)),
            Ok(_) => Ok(objects::stat(self.to, key).await.is_ok()),
            Err(_) => Ok(false),
        };
        match (carried, there) {
            (Ok(_), Ok(false)) => upload.finish().await.map(|_| false).map_err(Error::from),
            (Err(error), _) | (Ok(_), Err(error)) => {
                drop(upload.abort().await);
                Err(error)
            }
            (Ok(_), Ok(true)) => {
                drop(upload.abort().await);
                self.adopt().await
            }
        }
    }

    /// Takes the archive that is there, if it is the same.
    async fn adopt(&self) -> Result<bool> {
        let there = self.to.display(&self.original.key);
        let in_the_way = || {
            Error::new(
                ErrorKind::Failed,
                format!("{there} exists already, and is not the archive that is copied"),
            )
            .hint("it is no whole copy; remove it and copy again")
        };
        let source = Source::open(&there).await?;
        if source.size() != self.original.metadata.bytes {
            return Err(in_the_way());
        }
        self.observer.event(Event::Phase { name: "comparing what is there" });
        let found = self.unless_stopped(self.carry(&source, None)).await?;
        if found == self.original.metadata.sha256 { Ok(true) } else { Err(in_the_way()) }
    }

    async fn unless_stopped<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            biased;
            () = self.stop.requested() => Err(self.stop.error()),
            result = work => result,
        }
    }

    /// Reads all bytes of an archive, hands them to an upload, and gives their hash.
    async fn carry(&self, source: &Source, mut upload: Option<&mut Upload>) -> Result<String> {
        let size = source.size();
        self.observer.event(Event::Total { bytes: size, rows: 0 });
        let starts = (0..size).step_by(usize::try_from(STEP).unwrap_or(usize::MAX));
        let reads = stream::iter(starts).map(|start| source.read(start..size.min(start + STEP)));
        let mut reads = std::pin::pin!(reads.buffered(AHEAD));
        let mut digest = Digest::default();
        while let Some(bytes) = reads.try_next().await? {
            digest = digest.add(&bytes).await?;
            let count = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            if let Some(upload) = upload.as_deref_mut() {
                upload.write(bytes).await?;
            }
            self.observer.event(Event::Progress { bytes: count, rows: 0 });
        }
        Ok(digest.finish())
    }

    fn damaged(&self, found: &str) -> Error {
        let Original { source, metadata, .. } = self.original;
        let message = format!(
            "{} is damaged: its SHA-256 is {found}, and {} by its sidecars; it was not copied",
            source.display(),
            metadata.sha256
        );
        Error::new(ErrorKind::Damaged, message)
            .hint("`pgcask verify` tells what is damaged; take another archive")
    }
}
