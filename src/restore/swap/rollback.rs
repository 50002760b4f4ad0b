//! The way back: the database that was replaced takes its name again, in one transaction. The one that it replaces is kept
//! in turn, so that a rollback can be rolled back.

use std::time::Instant;

use jiff::Timestamp;
use serde::Serialize;

use super::exchange::{Exchange, exchange};
use super::facts;
use super::leftovers::{Kept, Leftover, LeftoverKind, database_names, leftovers};
use super::names;
use crate::clock::Clock;
use crate::erasure::{self, Erasures, Report, Scope};
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::event::{Event, SharedObserver};
use crate::pg::quote::printable;
use crate::pg::{ConnectOptions, PgError, Session, SessionKind};
use crate::restore::{prepare, progress};
use crate::stop::Stop;

/// Rows written to a database since it was swapped in, by the server's statistics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Writes {
    /// Inserted.
    pub inserted: u64,
    /// Updated.
    pub updated: u64,
    /// Deleted.
    pub deleted: u64,
}

/// What a rollback would do.
#[derive(Debug, Clone, Serialize)]
pub struct RollbackPlan {
    /// The database.
    pub database: String,
    /// The one that would take its name again.
    pub back_to: String,
    /// When that one was replaced.
    pub since: Option<Timestamp>,
    /// What the present one would be called from then on, as of now; `None` when there is none.
    pub kept_as: Option<String>,
    /// What was written since, and would be in the kept one only; `None` when the server cannot tell.
    pub lost: Option<Writes>,
    /// Sessions that would be ended.
    pub sessions: u64,
    /// The backup of the database that would come back, taken when it was replaced.
    pub safety_backup: Option<String>,
    /// What does not move with the name, a sentence each.
    pub left_behind: Vec<String>,
    /// What stands in the way.
    pub findings: Vec<super::Finding>,
}

/// What a rollback tells at the end.
#[derive(Debug, Clone, Serialize)]
pub struct RollbackSummary {
    /// The database.
    pub database: String,
    /// The one that has its name again.
    pub back_to: String,
    /// What the other one is called now.
    pub kept_as: Option<String>,
    /// Sessions that were ended.
    pub terminated: u64,
    /// How long it took.
    pub seconds: f64,
    /// What the erasure ledger did in the database that has its name again; `None` where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub erasure: Option<Report>,
}

/// Says what a rollback would do: to the database that was replaced last, or to `to`.
///
/// # Errors
/// [`ErrorKind::Refused`] when there is no way back on the server; its hints name the safety backup, if one is known.
pub async fn plan_rollback(target: &ConnectOptions, to: Option<&str>) -> Result<RollbackPlan> {
    let name = &target.database;
    let left = leftovers(target, Some(name)).await?;
    let back = choose(name, left, to)?;
    let live = open(target).await?;
    let mut plan = RollbackPlan {
        database: name.clone(),
        back_to: back.name.clone(),
        since: back.since,
        kept_as: live.is_some().then(|| names::before(name, Clock::System.now())),
        lost: None,
        sessions: 0,
        safety_backup: back.safety_backup,
        left_behind: Vec::new(),
        findings: Vec::new(),
    };
    let Some(live) = live else { return Ok(plan) };
    let facts = facts::read(&live).await?;
    let old = Session::open(&target.with_database(&back.name), SessionKind::Target).await?;
    plan.findings.extend(facts.findings.into_iter().chain(facts.may_not_rename));
    plan.findings.extend(facts::read(&old).await?.findings);
    (plan.sessions, plan.left_behind) = (facts.sessions, facts.left_behind);
    if let Some(kept) = Kept::read(&old).await? {
        plan.lost = writes_since(&kept, &Kept::counters(&live).await?);
    }
    Ok(plan)
}

fn choose(name: &str, left: Vec<Leftover>, to: Option<&str>) -> Result<Leftover> {
    let before = left.into_iter().filter(|left| left.kind == LeftoverKind::Before);
    let before: Vec<Leftover> = before.collect();
    let others: Vec<String> = before.iter().map(|left| printable(&left.name)).collect();
    let found = match to {
        Some(to) => before.into_iter().find(|left| left.name == to),
        None => before.into_iter().max_by_key(|left| left.since),
    };
    found.ok_or_else(|| {
        let what = match to {
            Some(to) => format!("{} is no database that was replaced by it", printable(to)),
            None => "no database that it replaced is on the server".to_owned(),
        };
        let message = format!("there is no way back for {}: {what}", printable(name));
        let error = Error::new(ErrorKind::Refused, message);
        if others.is_empty() {
            return error.hint("give --store to restore the newest backup of the kind pre-restore, which was taken before the swap");
        }
        error.hint(format!("those that were are {}", others.join(", ")))
    })
}

/// The present database, if there is one.
async fn open(target: &ConnectOptions) -> Result<Option<Session>> {
    match Session::open(target, SessionKind::Target).await {
        Ok(session) => Ok(Some(session)),
        Err(PgError::NoSuchDatabase { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The difference of the counters; `None` when they were reset meanwhile, as a crash of the server does.
fn writes_since(kept: &Kept, now: &Kept) -> Option<Writes> {
    let since = |before: i64, now: i64| u64::try_from(now.checked_sub(before)?).ok();
    Some(Writes {
        inserted: since(kept.inserted, now.inserted)?,
        updated: since(kept.updated, now.updated)?,
        deleted: since(kept.deleted, now.deleted)?,
    })
}

/// Rolls back, as planned. What was erased since must not come back with the old database: it is erased there first.
///
/// # Errors
/// When what stands in the way does not go away. Then all databases are as they were.
pub async fn rollback(
    target: &ConnectOptions,
    plan: &RollbackPlan,
    erasures: &Erasures,
    observer: &SharedObserver,
    stop: &Stop,
) -> Result<RollbackSummary> {
    let began = Instant::now();
    super::preflight::refuse(&plan.findings)?;
    let session = prepare::maintenance(target).await?;
    let taken = database_names(&session).await?;
    drop(session);
    let is_there = taken.contains(&plan.database);
    let kept_as = names::free_before(&plan.database, Clock::System.now(), &taken);
    let erasure = erase(target, plan, erasures, observer).await?;
    stop.check()?;
    observer.event(Event::Phase { name: "swapping back" });
    let who = Exchange { live: &plan.database, is_there, becomes: &kept_as, taker: &plan.back_to };
    let exchanged = Box::pin(exchange(target, who, observer, stop)).await?;
    if is_there {
        note_on_both(target, &kept_as, observer).await?;
    } else if let Some(live) = open(target).await? {
        progress::forget(&live).await?;
    }
    Ok(RollbackSummary {
        database: plan.database.clone(),
        back_to: plan.back_to.clone(),
        kept_as: is_there.then_some(kept_as),
        terminated: exchanged.terminated,
        seconds: began.elapsed().as_secs_f64(),
        erasure,
    })
}

/// Erases in the database that comes back what the ledger names.
async fn erase(
    target: &ConnectOptions,
    plan: &RollbackPlan,
    erasures: &Erasures,
    observer: &SharedObserver,
) -> Result<Option<Report>> {
    if erasures.is_empty() {
        return Ok(None);
    }
    observer.event(Event::Phase { name: "erasing" });
    let old = Session::open(&target.with_database(&plan.back_to), SessionKind::Target).await?;
    erasure::apply(&old, erasures, Scope::All).await.map(Some)
}

/// The one that is live again loses its note, the one that was live gets one.
async fn note_on_both(target: &ConnectOptions, kept_as: &str, observer: &SharedObserver) -> Result<()> {
    let live = Session::open(target, SessionKind::Target).await?;
    let counted = Kept::now(&live, None).await?;
    let own = progress::forget(&live)
        .await
        .context(|| "remove the note from the database that is live again".to_owned())?;
    let note = async {
        let old = Session::open(&target.with_database(kept_as), SessionKind::Target).await?;
        counted.and(own).write(&old).await
    };
    if let Err(error) = note.await {
        let message = format!("no note was left in {}: {error}", printable(kept_as));
        observer.event(Event::Warning { message });
    }
    Ok(())
}
