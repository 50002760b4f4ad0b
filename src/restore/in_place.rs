//! Full restore inside the live database, for servers where none can be created or renamed: emptied in one transaction,
//! then filled as an empty one is. There is no old database to go back to, only the safety backup.

use serde::Serialize;

use super::emptying::{self, Emptier};
use super::fill;
use super::globals::Globals;
use super::options::{Options, Plan, Summary};
use super::preflight::{self, Finding};
use super::prepare;
use super::progress::{self, Begun, Claim, EMPTYING};
use super::rights;
use super::swap::{SafetyBackup, facts, whole};
use super::writers;
use crate::error::{Context as _, Error, Result};
use crate::event::{Event, SharedObserver};
use crate::opened::OpenArchive;
use crate::pg::quote::printable;
use crate::pg::{Session, SessionKind};
use crate::stop::Stop;

/// What a restore in place would do.
#[derive(Debug, Clone, Serialize)]
pub struct InPlacePlan {
    /// What would be restored.
    #[serde(flatten)]
    pub restore: Plan,
    /// What would be dropped: schemas, extensions, objects of `public`, each as `DROP` names it.
    pub drops: Vec<String>,
    /// Whether all of it goes in one transaction. If it has more objects than the server can lock at once, it goes in
    /// several, and a run that is killed meanwhile leaves a part of it.
    pub drops_at_once: bool,
    /// Bytes of the database on the server's disk, as it is.
    pub live_bytes: u64,
    /// Sessions that would be ended.
    pub sessions: u64,
    /// What is to be known about what stays, a sentence each.
    pub left_behind: Vec<String>,
    /// Whether it goes on with an interrupted one: nothing is dropped then.
    pub resumes: bool,
    /// The backup of the database as it was, that the interrupted one took; it is taken once.
    pub safety_backup: Option<String>,
}

/// What a restore in place tells at the end.
#[derive(Debug, Clone, Serialize)]
pub struct InPlaceSummary {
    /// The restore.
    #[serde(flatten)]
    pub restore: Summary,
    /// The backup that was taken first: the way back.
    pub safety_backup: Option<String>,
}

/// Says what a restore in place would do; touches nothing.
///
/// # Errors
/// When the archive cannot be read or the database cannot be reached.
pub async fn plan_in_place(options: &Options, archive: &OpenArchive) -> Result<InPlacePlan> {
    let live = open_live(options).await?;
    let manifest = archive.manifest().await?;
    let (begun, half_filled) = interrupted(&live, options).await?;
    let resumes = begun.is_some();
    let empties = begun.as_ref().is_none_or(|begun| begun.done.contains(EMPTYING));
    let facts = facts::read(&live).await?;
    let mut prepared = prepare::prepare(&options.wanted, options.means(), archive, None).await?;
    let globals = Globals::plan(options, archive, &prepared, Some(&live)).await?;
    let mut findings = preflight::check(options, &mut prepared, &globals, Some(&live), true).await?;
    findings.extend(whole(options, &manifest));
    findings.extend(facts.findings);
    findings.extend(obstacles(&live).await?);
    findings.extend(half_filled);
    Ok(InPlacePlan {
        restore: prepared.describe(options, globals.report(), findings),
        drops: if empties { emptying::names(&live).await? } else { Vec::new() },
        drops_at_once: emptying::fits(&live).await?,
        live_bytes: facts.bytes,
        sessions: facts.sessions,
        left_behind: facts.left_behind,
        resumes,
        safety_backup: begun.and_then(|begun| begun.claim.safety),
    })
}

/// Empties the database and fills it. `safety` is run first, unless an interrupted run is gone on with.
///
/// # Errors
/// The first failure. Once it is emptied, the database holds what was restored until then, and a later run with
/// [`Options::resume`] goes on from there.
pub async fn in_place(
    options: &Options,
    archive: &OpenArchive,
    safety: Option<SafetyBackup<'_>>,
    observer: &SharedObserver,
    stop: &Stop,
) -> Result<InPlaceSummary> {
    let live = open_live(options).await?;
    let manifest = archive.manifest().await?;
    let (begun, half_filled) = interrupted(&live, options).await?;
    let emptier = Emptier { options, session: &live, observer, stop };
    let safety_backup = if let Some(begun) = begun {
        if begun.done.contains(EMPTYING) {
            Claim::new(&manifest.id, options, None).go_on_from(&begun.claim)?;
            Box::pin(emptier.go_on()).await?;
        }
        // A run that stopped with some of the classes let them be used.
        writers::shut_all_out(&live, observer).await?;
        begun.claim.safety
    } else {
        let facts = facts::read(&live).await?;
        let mut refused: Vec<Finding> = [facts.findings, obstacles(&live).await?].concat();
        refused.extend(whole(options, &manifest).into_iter().chain(half_filled));
        preflight::refuse(&refused)?;
        let mut claim = Claim::new(&manifest.id, options, None);
        let mut kept_out = None;
        if let Some(backup) = safety {
            kept_out = Box::pin(emptier.keep_writers_out()).await?;
            observer.event(Event::Phase { name: "safety backup" });
            claim.safety =
                Some(backup.await.context(|| "back up the database before it is emptied".to_owned())?);
        }
        stop.check()?;
        Box::pin(emptier.empty(&claim, kept_out.as_ref())).await?;
        claim.safety
    };
    // Who came in just before others were shut out is not bound by it.
    emptier.end_others().await?;
    drop(live);
    let options = Options { resume: true, create: false, ..options.clone() };
    let filled = Box::pin(fill::fill(&options, archive, observer, stop, None)).await;
    let filled = filled.map_err(|error| {
        let error = match &safety_backup {
            Some(place) => error.hint(format!("the backup of the database as it was is {}", printable(place))),
            None => error,
        };
        error.hint("until it is filled, or `pgcask rollback --discard` has removed the marks, it is read-only for others")
    })?;
    filled.forget(&options.target).await?;
    if options.stop_after.is_some() {
        writers::let_all_in(&Session::open(&options.target, SessionKind::Target).await?).await?;
    }
    Ok(InPlaceSummary { restore: filled.summary, safety_backup })
}

async fn open_live(options: &Options) -> Result<Session> {
    let live = Session::open(&options.target, SessionKind::Target).await;
    live.map_err(|error| {
        Error::of_target(error, "there is nothing to empty: give --create instead of --in-place")
    })
}

/// The interrupted restore to go on with; or why what is in the database must not be replaced. What such a restore left is gone on
/// with, not begun anew: a second safety backup would be one of a half-filled database, the newest of its kind, and pass for the way
/// back.
async fn interrupted(session: &Session, options: &Options) -> Result<(Option<Begun>, Option<Finding>)> {
    let begun = match progress::find(session).await? {
        Some(begun) if !options.resume => begun,
        None if options.resume => {
            let nothing = |what| Finding {
                fatal: true,
                message: format!("no interrupted restore to go on with is in it: {what}"),
                hint: Some("leave --resume out to replace what is in it".to_owned()),
            };
            return Ok((None, preflight::not_empty(session).await?.map(nothing)));
        }
        found => return Ok((found, None)),
    };
    Ok((None, Some(preflight::half_filled(&begun))))
}

/// What stands in the way of emptying the database.
async fn obstacles(session: &Session) -> Result<Vec<Finding>> {
    Ok([subscriptions(session).await?, rights::in_place(session).await?].concat())
}

/// A subscription cannot be dropped in a transaction, and its slot lies on another server.
async fn subscriptions(session: &Session) -> Result<Vec<Finding>> {
    let sql = "SELECT pg_catalog.string_agg(s.subname, ', ' ORDER BY s.subname) FROM pg_catalog.pg_subscription s \
               JOIN pg_catalog.pg_database d ON d.oid = s.subdbid WHERE d.datname = pg_catalog.current_database()";
    let names = session.query_one_text(sql).await?;
    let finding = |names: String| Finding {
        fatal: true,
        message: format!("the database has subscriptions: {}", printable(&names)),
        hint: Some(
            "DROP SUBSCRIPTION them first; the restore makes those of the archive, disabled".to_owned(),
        ),
    };
    Ok(names.map(finding).into_iter().collect())
}
