//! Backs up one database into one archive.
//!
//! ```text
//! coordinator ── snapshot, locks, catalog, units ──▶ workers (one connection each)
//!                                                     │ COPY → blocks → hash, seal
//!                                                     ▼ sealed frames (bounded)
//!                                                   writer ── bytes in order (bounded) ──▶ upload ──▶ sidecars
//! ```

mod access;
mod coordinator;
mod definitions;
mod digest;
mod options;
mod pipeline;
mod relations;
pub mod turn;
mod worker;

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use bytes::Bytes;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use tokio::sync::{Mutex, mpsc};

pub use options::{Globals, Options, Parts, Summary};

use crate::archive::{Packing, Sealer};
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::event::SharedObserver;
use crate::manifest::Stream;
use crate::pg::Session;
use crate::pg::copy::{LargeRows, RowHasher};
use crate::pg::lock::LockTarget;
use crate::stop::Stop;
use crate::store::put::Upload;
use crate::store::sidecar::{Metadata, hex};
use crate::store::{Store, naming, publish};
use coordinator::{Made, Name};

/// What all workers of a backup share.
#[derive(Debug)]
struct Shared {
    sealer: Sealer,
    hasher: RowHasher,
    large: LargeRows,
    observer: SharedObserver,
    streams: Vec<Stream>,
    /// The next chunk number of each stream.
    chunks: Vec<AtomicU32>,
    /// How each stream's chunks are packed.
    packings: Vec<Packing>,
    /// Units that nobody has taken yet, the largest last.
    open: Mutex<Vec<Unit>>,
    /// Units that a worker could not lock: the coordinator's.
    refused: Mutex<Vec<Unit>>,
}

/// A piece of a relation that one connection copies.
#[derive(Debug, Clone)]
struct Unit {
    stream: u32,
    /// The `COPY` statement.
    sql: String,
    /// The table to lock; none where no lock is needed.
    lock: Option<LockTarget>,
    /// Bytes on the server's disk.
    bytes: u64,
}

impl Shared {
    fn stream(&self, id: u32) -> Result<&Stream> {
        let at = usize::try_from(id).unwrap_or(usize::MAX);
        self.streams.get(at).ok_or_else(|| Error::new(ErrorKind::Failed, "no such stream"))
    }

    fn packing(&self, stream: u32) -> Result<&Packing> {
        let at = usize::try_from(stream).unwrap_or(usize::MAX);
        self.packings.get(at).ok_or_else(|| Error::new(ErrorKind::Failed, "no such stream"))
    }

    fn next_chunk(&self, stream: u32) -> u32 {
        let at = usize::try_from(stream).unwrap_or(usize::MAX);
        self.chunks.get(at).map_or(0, |next| next.fetch_add(1, Ordering::Relaxed))
    }
}

/// Pieces of the archive that may wait for the upload: at most a sealed chunk each.
const PIECES_WAITING: usize = 8;

/// Looks whether a session may read all that would be backed up; nothing is locked or copied.
///
/// # Errors
/// When it may not, naming all that it may not.
pub async fn check_access(options: &Options, session: &Session, observer: &SharedObserver) -> Result<()> {
    let mut relations = relations::chosen(options, session, observer).await?;
    access::check(options, session, &mut relations, observer).await.map(drop)
}

/// Backs up a database into a new archive in the store.
///
/// # Errors
/// The first failure. Nothing that looks like a backup is left: an archive that was begun is aborted.
pub async fn run(
    options: &Options,
    store: &Store,
    clock: Clock,
    observer: &SharedObserver,
    stop: &Stop,
) -> Result<Summary> {
    let began = Instant::now();
    if options.role_passwords && options.recipients.is_empty() {
        return Err(Error::new(ErrorKind::Usage, "password hashes go into no archive that anybody can read")
            .hint("encrypt it, or leave --role-passwords out"));
    }
    let taken = clock.now();
    let id = naming::new_id()?;
    let key = naming::key(&options.source.database, options.kind, taken, &id);
    let name =
        Name { id: id.clone(), kind: options.kind.to_string(), created_micros: taken.as_microsecond() };
    let mut upload = Upload::begin(store, &key).await?;
    let (sender, receiver) = mpsc::channel(PIECES_WAITING);
    let part = stop.part();
    let make = coordinator::make(options, &name, sender, observer, &part);
    let (made, uploaded) = tokio::select! {
        biased;
        () = stop.requested() => (Err(stop.error()), Ok(())),
        both = async { tokio::join!(Box::pin(make), carry(&mut upload, receiver)) } => both,
    };
    let made = match (uploaded, made) {
        (Ok(()), Ok(made)) => made,
        // The store's failure is the cause of what it caused in the pipeline.
        (Err(error), _) | (Ok(()), Err(error)) => {
            drop(upload.abort().await);
            return Err(error);
        }
    };
    upload.finish().await?;
    let metadata = metadata_of(options, &made, &key, taken, clock);
    publish::publish(store, &key, &metadata).await?;
    Ok(Summary {
        archive: store.display(&key),
        id,
        kind: metadata.kind,
        database: metadata.database,
        bytes: metadata.bytes,
        plain_bytes: metadata.plain_bytes,
        rows: metadata.rows,
        tables: metadata.tables,
        objects: metadata.objects,
        seconds: began.elapsed().as_secs_f64(),
        sha256: metadata.sha256,
        encrypted: metadata.encrypted,
        jobs: options.jobs,
    })
}

/// Carries the archive's bytes to the store. A failure closes the queue, which ends the pipeline.
async fn carry(upload: &mut Upload, mut pieces: mpsc::Receiver<Bytes>) -> Result<()> {
    while let Some(piece) = pieces.recv().await {
        upload.write(piece).await?;
    }
    Ok(())
}

/// Until when the backup is kept. A span beyond what time can express means for ever.
fn expiry(options: &Options, taken: Timestamp) -> Option<String> {
    let span = options.keep_for.unwrap_or_else(|| options.kind.keeps());
    let until = taken.to_zoned(TimeZone::UTC).checked_add(span).ok()?;
    Some(until.timestamp().to_string())
}

fn metadata_of(options: &Options, made: &Made, key: &str, taken: Timestamp, clock: Clock) -> Metadata {
    let Made { archive, manifest, objects, seconds } = made;
    Metadata {
        format: 1,
        id: manifest.id.clone(),
        kind: manifest.kind.clone(),
        database: manifest.database.clone(),
        server_version: manifest.server.version.to_string(),
        archive: key.rsplit('/').next().unwrap_or(key).to_owned(),
        snapshot_at: manifest.snapshot.taken_at.to_string(),
        finished_at: clock.now().to_string(),
        seconds: *seconds,
        bytes: archive.bytes,
        plain_bytes: archive.totals.plain_bytes,
        tables: u64::try_from(manifest.streams.len()).unwrap_or(u64::MAX),
        rows: archive.totals.rows,
        objects: *objects,
        sha256: hex(&archive.sha256),
        encrypted: !options.recipients.is_empty(),
        keys: archive.recipients.iter().map(ToString::to_string).collect(),
        level: options.level.get(),
        tool: manifest.tool.clone(),
        expires_at: expiry(options, taken),
        partial: options.is_partial(),
        audit: options.audit.clone(),
        without_personal: u64::try_from(manifest.left_out.personal.len()).unwrap_or(u64::MAX),
        rewritten: None,
        replaced_by: options.replaced_by.clone(),
    }
}
