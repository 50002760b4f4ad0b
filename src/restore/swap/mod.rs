//! Full restore over a live database: fill another one beside it, prove it, then let it take the name in one transaction.
//! The old one is kept under another name.
//!
//! ```text
//! safety backup ─▶ <db>_restore_<id> is created, filled, proven ─▶ swap ─▶ <db>_before_<time> is kept
//! ```
//!
//! Killed anywhere: before the swap the live database is untouched and `<db>_restore_<id>` holds the progress; after it the
//! restored one is live. The names, and the marks in the databases themselves, are all the record there is.

mod exchange;
pub(super) mod facts;
mod leftovers;
mod names;
mod rollback;

use std::time::Instant;

use futures_util::future::BoxFuture;
use serde::Serialize;

pub use leftovers::{Leftover, LeftoverKind, discard, find_discardable, leftovers};
pub use rollback::{RollbackPlan, RollbackSummary, Writes, plan_rollback, rollback};

use self::exchange::{Exchange, Exchanged, exchange};
use self::leftovers::{Kept, database_names};
use super::globals::Globals;
use super::options::{Options, Plan, Sections, Summary};
use super::preflight::Finding;
use super::{exclusive, fill, preflight, prepare, progress};
use crate::catalog::kind::Target;
use crate::clock::Clock;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::event::{Event, SharedObserver};
use crate::manifest::Manifest;
use crate::opened::OpenArchive;
use crate::pg::quote::{printable, shell_word};
use crate::pg::{Session, SessionKind};
use crate::stop::Stop;

/// Takes the backup of the live database and gives where it is: a restore may not know how backups are made.
pub type SafetyBackup<'a> = BoxFuture<'a, Result<String>>;

/// What a swap would do.
#[derive(Debug, Clone, Serialize)]
pub struct SwapPlan {
    /// What would be restored.
    #[serde(flatten)]
    pub restore: Plan,
    /// The database that would be filled, and then renamed.
    pub staging: String,
    /// What the live database would be called from then on, as of now.
    pub kept_as: String,
    /// Its bytes on the server's disk, which stay in use.
    pub live_bytes: u64,
    /// Sessions that would be ended.
    pub sessions: u64,
    /// What does not move with the name, a sentence each.
    pub left_behind: Vec<String>,
    /// Whether it goes on with an interrupted one.
    pub resumes: bool,
    /// The backup of the live database that the interrupted one took; it is taken once.
    pub safety_backup: Option<String>,
}

/// What a swap tells at the end.
#[derive(Debug, Clone, Serialize)]
pub struct SwapSummary {
    /// The restore.
    #[serde(flatten)]
    pub restore: Summary,
    /// The old database's name.
    pub kept_as: String,
    /// The backup of it that was taken first.
    pub safety_backup: Option<String>,
    /// Sessions that were ended.
    pub terminated: u64,
    /// At most so long the name led nowhere.
    pub swap_seconds: f64,
    /// What did not move with the name, a sentence each.
    pub left_behind: Vec<String>,
}

/// The database that is to be replaced, and the backup of it.
#[derive(Debug, Clone)]
pub(super) struct Replaced {
    pub(super) database: crate::catalog::database::DatabaseInfo,
    pub(super) safety: Option<String>,
}

/// Says what a swap would do; touches nothing. `options.target` is the live database.
///
/// # Errors
/// When the archive cannot be read or the live database cannot be reached.
pub async fn plan_swap(options: &Options, archive: &OpenArchive) -> Result<SwapPlan> {
    let live = open_live(options).await?;
    let facts = facts::read(&live).await?;
    let manifest = archive.manifest().await?;
    let staging = names::staging(&options.target.database, &manifest.id);
    let exists = database_names(&live).await?.contains(&staging);
    let beside = beside(options, &staging);
    let existing = if exists { super::open_if_exists(&beside).await? } else { None };
    let mut prepared = prepare::prepare(&options.wanted, options.means(), archive, existing.as_ref()).await?;
    prepared.model.database.take_place_of(&facts.database);
    let globals = Globals::plan(&beside, archive, &prepared, existing.as_ref()).await?;
    let mut findings = preflight::check(&beside, &mut prepared, &globals, existing.as_ref(), true).await?;
    findings.extend(whole(options, &manifest));
    findings.extend(facts.findings.clone());
    findings.extend(facts.may_not_rename.clone());
    findings.extend(half_filled(&live).await?);
    if exists && !options.resume {
        findings.push(begun_earlier(&staging, existing.as_ref()).await?);
    }
    let mut restore = prepared.describe(options, globals.report(), findings);
    restore.create = true;
    let begun = match &existing {
        Some(session) if options.resume => progress::find(session).await?,
        _ => None,
    };
    Ok(SwapPlan {
        restore,
        safety_backup: begun.and_then(|begun| begun.claim.safety),
        kept_as: names::before(&options.target.database, Clock::System.now()),
        staging,
        live_bytes: facts.bytes,
        sessions: facts.sessions,
        left_behind: facts.left_behind,
        resumes: exists && options.resume,
    })
}

/// What an earlier restore of the same archive left, or is still at work on.
async fn begun_earlier(staging: &str, existing: Option<&Session>) -> Result<Finding> {
    let name = printable(staging);
    let holder = match existing {
        Some(session) => exclusive::holder(session).await?,
        None => None,
    };
    let (message, hint) = match holder {
        Some(pid) => (
            format!("a restore of this archive is at work just now: {name} (pid {pid})"),
            "wait for its end".to_owned(),
        ),
        None => (
            format!("an earlier restore of this archive was interrupted: {name} is there"),
            format!(
                "give --resume to go on with it, or `pgcask rollback --discard {}` to drop it",
                shell_word(staging)
            ),
        ),
    };
    Ok(Finding { fatal: true, message, hint: Some(hint) })
}

/// Restores over a live database. `safety` is run first, unless an interrupted swap is gone on with, which has one.
///
/// # Errors
/// The first failure. Until the swap the live database is as it was; what was restored until then is kept for
/// [`Options::resume`].
pub async fn swap(
    options: &Options,
    archive: &OpenArchive,
    safety: Option<SafetyBackup<'_>>,
    observer: &SharedObserver,
    stop: &Stop,
) -> Result<SwapSummary> {
    let began = Instant::now();
    let live = open_live(options).await?;
    let name = &options.target.database;
    let manifest = archive.manifest().await?;
    let id = manifest.id.clone();
    let staging = names::staging(name, &id);
    let is_begun = database_names(&live).await?.contains(&staging);
    if !is_begun
        && options.resume
        && let Some(done) = finish_swapped(options, &live, &id, began).await?
    {
        return Ok(done);
    }
    let facts = facts::read(&live).await?;
    let findings: Vec<Finding> = facts
        .findings
        .iter()
        .cloned()
        .chain(whole(options, &manifest))
        .chain(facts.may_not_rename.clone())
        .chain(half_filled(&live).await?)
        .collect();
    preflight::refuse(&findings)?;
    drop(live);
    let taken = match safety.filter(|_| !is_begun) {
        Some(backup) => {
            observer.event(Event::Phase { name: "safety backup" });
            let place =
                backup.await.context(|| format!("back up {} before it is replaced", printable(name)))?;
            observer.event(Event::Info { message: format!("safety backup: {place}") });
            Some(place)
        }
        None => None,
    };
    stop.check()?;
    let beside = beside(options, &staging);
    let replaced = Replaced { database: facts.database.clone(), safety: taken };
    let filled = Box::pin(fill::fill(&beside, archive, observer, stop, Some(&replaced))).await?;
    if !filled.summary.failures.is_empty() {
        let failed = filled.summary.failures.len();
        return Err(Error::new(
            ErrorKind::Validation,
            format!("{failed} objects could not be restored: no swap"),
        )
        .hint(format!("{} is there to look at", printable(&staging))));
    }
    let swapped = Box::pin(take_place(options, &beside, observer, stop)).await;
    let (kept_as, exchanged) = swapped.map_err(|error| {
        error.hint(format!(
            "{} is restored and proven: the same command with --resume goes on, `pgcask rollback --discard` drops it",
            printable(&staging)
        ))
    })?;
    let safety_backup = finish(options, &kept_as, observer).await?;
    let mut restore = filled.summary;
    restore.database = options.target.display();
    restore.total_seconds = began.elapsed().as_secs_f64();
    Ok(SwapSummary {
        restore,
        kept_as,
        safety_backup,
        terminated: exchanged.terminated,
        swap_seconds: exchanged.seconds,
        left_behind: facts.left_behind,
    })
}

/// Puts the restored database in the place of the live one; gives what that one is called from then on.
async fn take_place(
    options: &Options,
    beside: &Options,
    observer: &SharedObserver,
    stop: &Stop,
) -> Result<(String, Exchanged)> {
    observer.event(Event::Phase { name: "swapping" });
    stop.check()?;
    let kept_as = free_name(options).await?;
    move_properties(beside, options).await?;
    let (live, taker) = (options.target.database.as_str(), beside.target.database.as_str());
    let who = Exchange { live, is_there: true, becomes: &kept_as, taker };
    let exchanged = Box::pin(exchange(&options.target, who, observer, stop)).await?;
    Ok((kept_as, exchanged))
}

/// Whether the live database is only half of one. A swap that was killed after it had happened leaves a whole one with marks.
async fn half_filled(live: &Session) -> Result<Option<Finding>> {
    let begun = progress::find(live).await?.filter(|begun| begun.claim.instead_of.is_none());
    Ok(begun.as_ref().map(preflight::half_filled))
}

/// The options of the restore into the database beside the live one.
fn beside(options: &Options, staging: &str) -> Options {
    Options { target: options.target.with_database(staging), create: true, ..options.clone() }
}

async fn open_live(options: &Options) -> Result<Session> {
    let live = Session::open(&options.target, SessionKind::Target).await;
    live.map_err(|error| {
        Error::of_target(error, "there is nothing to swap with: give --create instead of --swap")
    })
}

/// Only the whole of an archive of a whole database may take a database's place.
pub(super) fn whole(options: &Options, manifest: &Manifest) -> Option<Finding> {
    let left_out = &manifest.left_out;
    let message = if !options.wanted.selection.is_everything() || options.wanted.sections != Sections::ALL {
        "only a part of the archive is asked for, and the rest of the live database would be gone"
    } else if left_out.selection || left_out.rows || left_out.definitions {
        "the archive holds only a part of its database, and the rest would be gone"
    } else {
        return None;
    };
    let hint = Some("restore a part with --table, or into a new database with --create".to_owned());
    Some(Finding { fatal: true, message: message.to_owned(), hint })
}

/// A name for the old database that nobody has.
async fn free_name(options: &Options) -> Result<String> {
    let session = prepare::maintenance(&options.target).await?;
    let taken = database_names(&session).await?;
    Ok(names::free_before(&options.target.database, Clock::System.now(), &taken))
}

/// Gives the restored database the live one's owner, privileges, settings, comment and limits, as they are now.
async fn move_properties(beside: &Options, options: &Options) -> Result<()> {
    let live = Session::open(&options.target, SessionKind::Target).await?;
    let database = facts::read(&live).await?.database;
    let session = prepare::maintenance(&options.target).await?;
    let target = Target {
        version: session.version(),
        source: session.version(),
        superuser: session.info().is_superuser,
    };
    let wanted = &options.wanted;
    for statement in database.finish(&beside.target.database, &target, !wanted.no_owner, !wanted.no_acl) {
        let moved = session.execute(&statement).await;
        moved.context(|| "give the restored database the properties of the live one".to_owned())?;
    }
    Ok(())
}

/// After the swap: keeps in the old database what a rollback wants to know, and takes the marks out of the new one. Gives
/// the safety backup.
async fn finish(options: &Options, kept_as: &str, observer: &SharedObserver) -> Result<Option<String>> {
    let live = Session::open(&options.target, SessionKind::Target).await?;
    let claim = progress::find(&live).await?.map(|begun| begun.claim);
    let safety = claim.as_ref().and_then(|claim| claim.safety.clone());
    let kept = Kept::now(&live, claim.as_ref()).await?;
    leave_note(options, kept_as, &kept, observer).await;
    let own = progress::forget(&live).await.context(|| "remove the marks of the restore".to_owned())?;
    // Once more, so that what was just written is not taken for somebody's rows.
    leave_note(options, kept_as, &kept.and(own), observer).await;
    Ok(safety)
}

/// Notes in the old database what a rollback wants to know. Without it, the rollback's answer is poorer, no more.
async fn leave_note(options: &Options, kept_as: &str, kept: &Kept, observer: &SharedObserver) {
    let noted = async {
        let old = Session::open(&options.target.with_database(kept_as), SessionKind::Target).await?;
        kept.write(&old).await
    };
    if let Err(error) = noted.await {
        let message = format!("no note was left in {}: {error}", printable(kept_as));
        observer.event(Event::Warning { message });
    }
}

/// Finishes a swap that was killed after it had happened: only marks are left.
async fn finish_swapped(
    options: &Options,
    live: &Session,
    id: &str,
    began: Instant,
) -> Result<Option<SwapSummary>> {
    let Some(begun) = progress::find(live).await? else { return Ok(None) };
    if begun.claim.archive != id || begun.claim.instead_of.as_ref() != Some(&options.target.database) {
        return Ok(None);
    }
    let left = leftovers(&options.target, Some(&options.target.database)).await?;
    let kept_as =
        left.into_iter().filter(|left| left.kind == LeftoverKind::Before).max_by_key(|left| left.since);
    let kept_as = kept_as.map(|left| left.name).unwrap_or_default();
    let observer: SharedObserver = std::sync::Arc::new(crate::event::NullObserver);
    let safety_backup = finish(options, &kept_as, &observer).await?;
    Ok(Some(SwapSummary {
        restore: Summary::finished(options, began.elapsed().as_secs_f64()),
        kept_as,
        safety_backup,
        terminated: 0,
        swap_seconds: 0.0,
        left_behind: facts::read(live).await?.left_behind,
    }))
}
