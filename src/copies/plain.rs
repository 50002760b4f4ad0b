//! The copy as it is: streamed, hashed on its way, and not visible before the hash is the original's.

use std::time::Instant;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use super::original::{Digest, Original};
use super::{Copied, OF_EVERY_COPY, commit, complete, in_the_way, present};
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Event, SharedObserver};
use crate::stop::Stop;
use crate::store::Store;
use crate::store::put::Upload;

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
        observer.event(Event::Phase { name: "copying the archive" });
        let mut upload = Upload::begin(to, &original.key).await.map_err(in_the_way)?;
        let carried = tokio::select! {
            biased;
            () = stop.requested() => Err(stop.error()),
            result = carry(&original, &mut upload, observer) => result,
        };
        if let Err(error) = carried {
            drop(upload.abort().await);
            return Err(error);
        }
        upload.finish().await?;
        commit(to, &original.key, original.checksum(), &beside, original.json.clone()).await?;
    }
    copied.seconds = began.elapsed().as_secs_f64();
    Ok(copied)
}

/// Carries all bytes over, and compares their hash with that of the sidecars.
async fn carry(original: &Original, upload: &mut Upload, observer: &SharedObserver) -> Result<()> {
    let size = original.source.size();
    observer.event(Event::Total { bytes: size, rows: 0 });
    let starts = (0..size).step_by(usize::try_from(STEP).unwrap_or(usize::MAX));
    let reads = stream::iter(starts).map(|start| original.source.read(start..size.min(start + STEP)));
    let mut reads = std::pin::pin!(reads.buffered(AHEAD));
    let mut digest = Digest::default();
    while let Some(bytes) = reads.try_next().await? {
        digest = digest.add(&bytes).await?;
        let count = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        upload.write(bytes).await?;
        observer.event(Event::Progress { bytes: count, rows: 0 });
    }
    let found = digest.finish();
    if found == original.metadata.sha256 {
        return Ok(());
    }
    let message = format!(
        "{} is damaged: its SHA-256 is {found}, and {} by its sidecars; it was not copied",
        original.source.display(),
        original.metadata.sha256
    );
    Err(Error::new(ErrorKind::Damaged, message)
        .hint("`pgcask verify` tells what is damaged; take another archive"))
}
