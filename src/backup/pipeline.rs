//! The moving parts: workers that empty the list of units, and the one writer that puts frames in order.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::Shared;
use super::worker::{Copied, Worker};
use crate::archive::{SealedFrame, Writer};
use crate::error::{Error, ErrorKind, Result};
use crate::event::Event;
use crate::pg::quote::printable;
use crate::pg::{Session, Snapshot};
use crate::stop::Stop;

/// Sealed frames that may wait for the writer, per worker.
const FRAMES_WAITING: usize = 2;

/// Copies all open units: `sessions`, which see the snapshot, take what they can lock, the coordinator the rest, which is
/// all where there are no other sessions. Gives the writer and the coordinator's session back.
pub(super) async fn copy_all(
    shared: &Arc<Shared>,
    snapshot: &Snapshot,
    sessions: Vec<Session>,
    coordinator: Session,
    writer: Writer,
    output: mpsc::Sender<Bytes>,
    stop: &Stop,
) -> Result<(Writer, Session)> {
    let (frames, incoming) = mpsc::channel(FRAMES_WAITING * (sessions.len() + 1));
    let writing = tokio::spawn(write(writer, incoming, output));
    let part = stop.part();
    let mut tasks = JoinSet::new();
    for session in sessions {
        let worker = Worker::new(session, Some(snapshot.clone()), Arc::clone(shared), frames.clone())?;
        tasks.spawn(guard(work(worker, Arc::clone(shared)), part.clone()));
    }
    let mut worker = Worker::new(coordinator, None, Arc::clone(shared), frames)?;
    let mut first: Option<Error> = None;
    while let Some(ended) = tasks.join_next().await {
        let result = ended.unwrap_or_else(|error| {
            Err(Error::with_source(ErrorKind::Failed, "a worker ended early", error))
        });
        if let Err(error) = result {
            part.fail();
            first = Some(prefer(first, error));
        }
    }
    if first.is_none() {
        first = Box::pin(guard(rest(&mut worker, shared), part.clone())).await.err();
    }
    let session = worker.into_session();
    // The workers and their senders are gone, so the writer ends, well or with the reason why they failed.
    let written = writing
        .await
        .unwrap_or_else(|error| Err(Error::with_source(ErrorKind::Failed, "the writer ended early", error)));
    match (first, written) {
        (None, Ok(writer)) => Ok((writer, session)),
        // The writer's failure is the cause of what it caused in the workers.
        (_, Err(error)) | (Some(error), Ok(_)) => Err(error),
    }
}

/// The first error counts, unless it is only the echo of a stop.
fn prefer(first: Option<Error>, next: Error) -> Error {
    match first {
        Some(first) if first.to_string() != "stopped" => first,
        _ => next,
    }
}

/// A worker's task and how to stop it: its statement is cancelled at the server.
trait Stoppable: Future<Output = Result<()>> + Send {}
impl<F: Future<Output = Result<()>> + Send> Stoppable for F {}

async fn guard(task: impl Stoppable, part: Stop) -> Result<()> {
    tokio::select! {
        biased;
        () = part.requested() => Err(part.error()),
        result = task => result,
    }
}

/// Takes units until none is left.
async fn work(mut worker: Worker, shared: Arc<Shared>) -> Result<()> {
    let cancel = CancelOnDrop(Some(worker.canceller()));
    loop {
        let next = shared.open.lock().await.pop();
        let Some(unit) = next else { break };
        if worker.copy_if_unlocked(&unit).await? == Copied::Locked {
            shared.refused.lock().await.push(unit);
        }
    }
    cancel.disarm();
    Ok(())
}

/// The coordinator copies what no worker took, as there was none, and what no worker could lock: it holds those locks
/// since the beginning.
async fn rest(worker: &mut Worker, shared: &Arc<Shared>) -> Result<()> {
    let cancel = CancelOnDrop(Some(worker.canceller()));
    loop {
        let next = shared.open.lock().await.pop();
        let Some(unit) = next else { break };
        worker.copy(&unit).await?;
    }
    let refused = std::mem::take(&mut *shared.refused.lock().await);
    for unit in refused {
        let name = shared.stream(unit.stream)?.display();
        let message =
            format!("{} is about to be altered by somebody; one connection copies it", printable(&name));
        shared.observer.event(Event::Info { message });
        worker.copy(&unit).await?;
    }
    cancel.disarm();
    Ok(())
}

/// Cancels the statement under way when the task that drives it is dropped: the server would go on for nobody.
#[derive(Debug)]
struct CancelOnDrop(Option<crate::pg::cancel::Canceller>);

impl CancelOnDrop {
    fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if let Some(canceller) = self.0.take() {
            // Best effort: the session's end rolls the transaction back in any case.
            drop(tokio::spawn(async move { canceller.cancel().await }));
        }
    }
}

/// Puts frames in order and hands the bytes on. Ends when all senders are gone.
async fn write(
    mut writer: Writer,
    mut incoming: mpsc::Receiver<SealedFrame>,
    output: mpsc::Sender<Bytes>,
) -> Result<Writer> {
    while let Some(frame) = incoming.recv().await {
        send(&output, writer.push(frame)?).await?;
    }
    Ok(writer)
}

/// Hands bytes to the upload.
pub(super) async fn send(output: &mpsc::Sender<Bytes>, pieces: Vec<Bytes>) -> Result<()> {
    for piece in pieces {
        if output.send(piece).await.is_err() {
            return Err(Error::new(ErrorKind::Store, "the upload has stopped"));
        }
    }
    Ok(())
}
