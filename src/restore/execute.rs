//! Runs a plan: workers ask the schedule what may start, each over a connection of its own.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{Mutex, Notify};
use tokio::task::JoinSet;

use super::steps::Steps;
use crate::error::{Error, ErrorKind, Result};
use crate::event::Event;
use crate::pg::{Session, lock_room};
use crate::plan::restore::Step;
use crate::plan::schedule::{Schedule, Task, TaskId};
use crate::stop::Stop;

/// Objects created in one transaction, at most.
const OBJECTS_IN_TRANSACTION: usize = 200;

/// Locks that the creation of one object takes, at most but for rare ones: a table with its sequence, its TOAST table,
/// their indexes, the types.
const LOCKS_OF_AN_OBJECT: u64 = 16;

/// How many objects one transaction creates: what it locks must have room in the server's table of locks.
pub(super) async fn batch(session: &Session) -> Result<usize> {
    let room = lock_room::room(session).await? / LOCKS_OF_AN_OBJECT / 2;
    Ok(usize::try_from(room).unwrap_or(usize::MAX).clamp(1, OBJECTS_IN_TRANSACTION))
}

/// Runs steps one after the other on one session, many in a transaction.
pub(super) async fn serial(steps: &Steps, session: &Session, list: &[Step], stop: &Stop) -> Result<()> {
    let open: Vec<Step> = list.iter().copied().filter(|step| !steps.is_done(*step)).collect();
    for batch in open.chunks(batch(session).await?) {
        stop.check()?;
        let parts = batch.iter().map(|step| steps.part(*step)).collect::<Option<Vec<_>>>();
        let sent = match parts {
            Some(parts) => steps.sent(session, parts).await?,
            None => false,
        };
        if !sent {
            one_by_one(steps, session, batch).await?;
        }
    }
    Ok(())
}

async fn one_by_one(steps: &Steps, session: &Session, batch: &[Step]) -> Result<()> {
    session.execute("BEGIN").await?;
    let mut done = Vec::new();
    for step in batch {
        if steps.guarded(session, Some(*step), steps.run(session, *step)).await? {
            done.extend(steps.mark_of(*step));
        }
    }
    steps.commit(session, done).await
}

/// Runs a step in transactions of its own, unless it is done.
pub(super) async fn alone(steps: &Steps, session: &Session, step: Step) -> Result<()> {
    if steps.is_done(step) {
        return Ok(());
    }
    let Err(error) = steps.run_alone(session, step).await else { return Ok(()) };
    steps.failures.keep(Some(step), error, steps.observer())?;
    // The step's transaction may be open still.
    Ok(session.execute("ROLLBACK").await?)
}

/// What the workers share.
struct Board {
    schedule: Mutex<Schedule>,
    steps_of: Vec<Step>,
    class_of: Vec<u8>,
    cost_of: Vec<u64>,
    changed: Notify,
}

/// Runs tasks as their schedule allows, over all sessions; gives the sessions back.
pub(super) async fn parallel(
    steps: &Arc<Steps>,
    sessions: Vec<Session>,
    tasks: Vec<(Step, Task)>,
    stop: &Stop,
) -> Result<Vec<Session>> {
    let (steps_of, tasks): (Vec<Step>, Vec<Task>) = tasks.into_iter().unzip();
    let class_of = tasks.iter().map(|task| task.class).collect();
    let cost_of = tasks.iter().map(|task| task.cost).collect();
    let schedule = Schedule::new(tasks)
        .map_err(|cycle| Error::with_source(ErrorKind::Failed, "order the work of the restore", cycle))?;
    let board = Arc::new(Board {
        schedule: Mutex::new(schedule),
        steps_of,
        class_of,
        cost_of,
        changed: Notify::new(),
    });
    let part = stop.part();
    let mut workers = JoinSet::new();
    for (number, session) in sessions.into_iter().enumerate() {
        let (steps, board) = (Arc::clone(steps), Arc::clone(&board));
        workers.spawn(worker(steps, board, Worker { number, session }, part.clone()));
    }
    let (mut back, mut first) = (Vec::new(), None);
    while let Some(ended) = workers.join_next().await {
        match ended {
            Ok(Ok(session)) => back.push(session),
            Ok(Err(error)) => {
                part.fail();
                board.changed.notify_waiters();
                first.get_or_insert(error);
            }
            Err(error) => {
                part.fail();
                first.get_or_insert_with(|| {
                    Error::with_source(ErrorKind::Failed, "a worker ended early", error)
                });
            }
        }
    }
    match first {
        Some(_) if stop.by_signal() => Err(stop.error()),
        Some(error) => Err(error),
        None => Ok(back),
    }
}

/// One of the connections.
struct Worker {
    number: usize,
    session: Session,
}

async fn worker(steps: Arc<Steps>, board: Arc<Board>, worker: Worker, part: Stop) -> Result<Session> {
    loop {
        // Registered before looking, so that a change in between is not missed.
        let changed = board.changed.notified();
        let mut changed = std::pin::pin!(changed);
        changed.as_mut().enable();
        part.check()?;
        let next = {
            let mut schedule = board.schedule.lock().await;
            if schedule.is_done() {
                return Ok(worker.session);
            }
            schedule.start_next()
        };
        let Some(task) = next else {
            tokio::select! {
                () = changed => {}
                () = part.requested() => {}
            }
            continue;
        };
        run_one(&steps, &board, &worker, task, &part).await?;
    }
}

async fn run_one(steps: &Steps, board: &Board, worker: &Worker, task: TaskId, part: &Stop) -> Result<()> {
    let Worker { number, session } = worker;
    let began = Instant::now();
    let Some(step) = board.steps_of.get(task).copied() else {
        return Ok(());
    };
    let canceller = session.canceller();
    tokio::select! {
        biased;
        () = part.requested() => {
            // Best effort: the end of the session rolls back what is open.
            drop(canceller.cancel().await);
            return Err(part.error());
        }
        result = alone(steps, session, step) => result?,
    }
    if let Some((work, object)) = steps.subject(step) {
        let cost = board.cost_of.get(task).copied().unwrap_or_default();
        let seconds = began.elapsed().as_secs_f64();
        steps.observer().event(Event::Step { work, object, worker: *number, seconds, cost });
    }
    board.schedule.lock().await.finish(task);
    board.class_of.get(task).into_iter().for_each(|class| steps.classes.finish(*class));
    board.changed.notify_waiters();
    Ok(())
}
