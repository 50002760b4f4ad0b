//! One connection that copies units: socket on one thread, hashing, compression and encryption on another.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::digest::digest;
use super::{Shared, Unit};
use crate::archive::{ChunkFacts, ChunkHead, ContentHash, SealScratch, SealedFrame};
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::event::Event;
use crate::fields::Fields;
use crate::pg::cancel::Canceller;
use crate::pg::copy::Block;
use crate::pg::lock_room::WORKER_LOCKS;
use crate::pg::{PgError, Session, Snapshot, lock};

/// Copies units over one session.
#[derive(Debug)]
pub(super) struct Worker {
    session: Session,
    /// What the session's transaction sees; nothing for the coordinator, whose own transaction it is.
    snapshot: Option<Snapshot>,
    shared: Arc<Shared>,
    frames: mpsc::Sender<SealedFrame>,
    /// Out of here while a block is being sealed.
    scratch: Option<Scratch>,
    /// Tables whose locks this session holds.
    locked: HashSet<u32>,
}

/// What a worker keeps between two blocks.
#[derive(Debug)]
struct Scratch {
    sealing: SealScratch,
    fields: Fields,
}

impl Scratch {
    fn new(shared: &Shared) -> Result<Self> {
        Ok(Self { sealing: shared.sealer.scratch()?, fields: Fields::default() })
    }
}

/// How the copy of a unit ended, short of failing.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Copied {
    /// All rows are sealed.
    Done,
    /// The lock could not be had at once; somebody who has it must copy the unit.
    Locked,
}

impl Worker {
    pub(super) fn new(
        session: Session,
        snapshot: Option<Snapshot>,
        shared: Arc<Shared>,
        frames: mpsc::Sender<SealedFrame>,
    ) -> Result<Self> {
        let scratch = Some(Scratch::new(&shared)?);
        Ok(Self { session, snapshot, shared, frames, scratch, locked: HashSet::new() })
    }

    /// Copies a unit whose table must be locked first, without waiting: a worker that queues behind somebody's
    /// `ALTER TABLE` would wait for our own coordinator.
    pub(super) async fn copy_if_unlocked(&mut self, unit: &Unit) -> Result<Copied> {
        if let Some(target) = unit.lock.as_ref().filter(|target| !self.locked.contains(&target.oid)) {
            self.make_room().await?;
            match lock::lock_nowait(&self.session, target).await {
                Ok(()) => self.locked.insert(target.oid),
                Err(PgError::LockTimeout { .. }) => return Ok(Copied::Locked),
                Err(error) => return Err(error.into()),
            };
        }
        self.copy(unit).await?;
        Ok(Copied::Done)
    }

    /// Gives old locks back before there are too many for the server's table of locks: the coordinator holds its own on
    /// every table. The same snapshot is adopted anew, for locks end only with their transaction.
    async fn make_room(&mut self) -> Result<()> {
        let Some(snapshot) = self.snapshot.as_ref().filter(|_| self.locked.len() >= WORKER_LOCKS) else {
            return Ok(());
        };
        self.session.execute("COMMIT").await?;
        snapshot.adopt(&self.session).await?;
        self.locked.clear();
        Ok(())
    }

    /// What stops the session's statement at the server.
    pub(super) fn canceller(&self) -> Canceller {
        self.session.canceller()
    }

    /// Gives the session back.
    pub(super) fn into_session(self) -> Session {
        self.session
    }

    /// Copies a unit.
    pub(super) async fn copy(&mut self, unit: &Unit) -> Result<()> {
        let shared = Arc::clone(&self.shared);
        let stream = shared.stream(unit.stream)?;
        let doing = || format!("copy {}", stream.display());
        let (mut blocks, done) = self.session.copy_out(&unit.sql, &shared.large);
        let (frames, scratch) = (self.frames.clone(), &mut self.scratch);
        let seal = async {
            let mut rows = 0u64;
            while let Some(block) = blocks.recv().await {
                let (count, bytes) = (u64::from(block.rows), block.bytes.len());
                let frame = seal(&shared, unit.stream, block, scratch).await?;
                if frames.send(frame).await.is_err() {
                    return Err(Error::new(ErrorKind::Failed, "the archive's writer has stopped"));
                }
                rows += count;
                let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
                shared.observer.event(Event::Progress { bytes, rows: count });
            }
            Ok(rows)
        };
        let (told, sealed) = tokio::join!(done, seal);
        // The server's own error says more than what it caused here.
        let (told, sealed) = (told.context(doing)?, sealed.context(doing)?);
        if told != sealed {
            let message = format!("the server sent {told} rows of {}, {sealed} arrived", stream.display());
            return Err(Error::new(ErrorKind::Failed, message));
        }
        Ok(())
    }
}

/// Hashes and seals one block on a thread for such work.
async fn seal(
    shared: &Arc<Shared>,
    stream: u32,
    block: Block,
    scratch: &mut Option<Scratch>,
) -> Result<SealedFrame> {
    let mut own = match scratch.take() {
        Some(own) => own,
        None => Scratch::new(shared)?,
    };
    let shared = Arc::clone(shared);
    let work = tokio::task::spawn_blocking(move || {
        let frame = shared.stream(stream).and_then(|info| {
            let Scratch { sealing, fields } = &mut own;
            let digest = digest(&block, &shared.hasher, &info.zones, fields)?;
            let facts = ChunkFacts { hash: ContentHash(digest.hash.sum), zone_map: digest.zones.encode() };
            let head = ChunkHead { stream, number: shared.next_chunk(stream), rows: block.rows };
            let packing = shared.packing(stream)?;
            let layout = packing.layout(fields);
            let frame = shared.sealer.seal_chunk(head, &block.bytes, layout, facts, sealing)?;
            packing.learn(layout, &frame);
            Ok(frame)
        });
        (frame, own)
    });
    let (frame, own) =
        work.await.map_err(|error| Error::with_source(ErrorKind::Failed, "seal a chunk", error))?;
    *scratch = Some(own);
    frame
}
