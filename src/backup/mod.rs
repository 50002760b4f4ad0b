//! Backs up one database into one archive.
//!
//! ```text
//! coordinator ── snapshot, locks, catalog, units ──▶ workers (one connection each)
//!                                                     │ COPY → blocks → hash, seal
//!                                                     ▼ sealed frames (bounded)
//!                                                   writer ── bytes in order (bounded) ──▶ upload ──▶ sidecars
//! ```

mod coordinator;
mod digest;
mod options;
mod pipeline;
mod relations;
mod worker;

use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::Mutex;

pub use coordinator::run;
pub use options::{Options, Parts, Summary};

use crate::archive::Sealer;
use crate::error::{Error, ErrorKind, Result};
use crate::event::SharedObserver;
use crate::manifest::Stream;
use crate::pg::copy::{LargeRows, RowHasher};
use crate::pg::lock::LockTarget;

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

    fn next_chunk(&self, stream: u32) -> u32 {
        let at = usize::try_from(stream).unwrap_or(usize::MAX);
        self.chunks.get(at).map_or(0, |next| next.fetch_add(1, Ordering::Relaxed))
    }
}
