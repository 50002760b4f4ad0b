//! Fills one database from an archive: from the preflight to the proof of content, over lost connections, and from where
//! an interrupted run left off.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::checks::{self, ASSERTIONS, COUNTS, CRITICAL, Check, HASHES, Outcome};
use super::classes::Classes;
use super::definitions::Definitions;
use super::erase::Ended;
use super::failures::Failures;
use super::options::{Options, Summary};
use super::platform_rows::PlatformLoad;
use super::prepare::{self, Prepared};
use super::progress::{self, Begun, Claim, Ledger, PROVEN};
use super::ready::{Ready, ready};
use super::steps::Steps;
use super::swap::Replaced;
use super::{erase, exclusive, execute, finish, platform_rows, proof};
use crate::budget::ByteBudget;
use crate::catalog::database::DatabaseInfo;
use crate::catalog::kind::Target;
use crate::catalog::model::SequenceValue;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::event::{Event, SharedObserver};
use crate::limits::RESTORE_BUDGET_BYTES;
use crate::manifest::Content;
use crate::opened::OpenArchive;
use crate::pg::quote::{printable, shell_word};
use crate::pg::{ConnectOptions, Session, SessionKind};
use crate::plan::restore::{RestorePlan, Step};
use crate::stop::Stop;

/// Seconds to wait before each new try after the server was lost: it may be starting up again.
const RETRY_SECONDS: [u64; 7] = [1, 2, 4, 8, 15, 15, 15];

/// A database that was filled and proven, with its marks still in it.
#[derive(Debug)]
pub(super) struct Filled {
    pub(super) summary: Summary,
    has_marks: bool,
}

impl Filled {
    /// Takes the marks away: the restore is over.
    pub(super) async fn forget(&self, target: &ConnectOptions) -> Result<()> {
        if self.has_marks {
            let session = Session::open(target, SessionKind::Target).await?;
            progress::forget(&session).await.context(|| "remove the marks of the restore".to_owned())?;
        }
        Ok(())
    }
}

/// Fills a database. One that is to take another's place is created in that one's tablespace, and its properties are
/// not set. A failure before anything is touched says nothing of what is left; a later one does.
pub(super) async fn fill(
    options: &Options,
    archive: &OpenArchive,
    observer: &SharedObserver,
    stop: &Stop,
    replaced: Option<&Replaced>,
) -> Result<Filled> {
    let began = Instant::now();
    let ready = ready(options, archive, observer, replaced).await?;
    stop.check()?;
    let filled = Box::pin(ready.fill(options, archive, observer, stop, (replaced, began))).await;
    filled.map_err(|error| error.hint(left(options, replaced)))
}

/// What is left by a restore that failed, and how to go on.
fn left(options: &Options, replaced: Option<&Replaced>) -> String {
    let what = printable(&options.target.display());
    if replaced.is_some() {
        let name = &options.target.database;
        return format!(
            "{} holds what was restored so far: the same command with --resume goes on, `pgcask rollback --discard {}` drops it",
            printable(name),
            shell_word(name)
        );
    }
    if options.keeps_marks() {
        return format!(
            "{what} is left as far as the restore came; the same command with --resume goes on from there"
        );
    }
    format!("what was restored until then is in {what}: remove it before you run the command again")
}

impl Ready {
    async fn fill(
        self,
        options: &Options,
        archive: &OpenArchive,
        observer: &SharedObserver,
        stop: &Stop,
        (replaced, began): (Option<&Replaced>, Instant),
    ) -> Result<Filled> {
        let Self { existing, claim, begun, prepared, globals } = self;
        let not_restored = Failures::new(options.keep_going);
        let globals = globals.restore(options, existing.as_ref(), &not_restored, observer, stop).await?;
        if options.create && existing.is_none() {
            prepare::create_database(options, &prepared).await?;
        }
        drop(existing);
        let resumed = begun.is_some();
        let sessions = open_sessions(options).await?;
        let first = sessions.first().ok_or_else(no_session)?;
        let ledger = begin(options, first, begun, &claim).await?;
        let target = target_of(first, &prepared);
        observer.event(Event::Total { bytes: prepared.bytes(), rows: prepared.rows() });
        let mut work = make_work(prepared, options, archive, observer, target, ledger);
        work.set_properties = options.create && replaced.is_none();
        let mut phases = HashMap::new();
        let Ended { checks, erasure } = work.until_done(options, sessions, stop, &mut phases).await?;
        let verified = checks.iter().any(|check| check.check == HASHES && check.outcome != Outcome::Skipped);
        let mut failures = not_restored.messages();
        failures.extend(work.steps.failures.messages());
        let summary = Summary {
            database: options.target.display(),
            seconds: began.elapsed().as_secs_f64() - phases.get("proof").copied().unwrap_or_default(),
            total_seconds: began.elapsed().as_secs_f64(),
            rows: work.steps.rows.load(Ordering::Relaxed),
            tables: u64::try_from(work.steps.loads.len() + work.platform_loads.len()).unwrap_or(u64::MAX),
            objects: u64::try_from(work.objects).unwrap_or(u64::MAX),
            verified: verified && failures.is_empty(),
            checks,
            failures,
            jobs: options.jobs,
            resumed,
            globals,
            phases,
            classes: work.steps.classes.complete(),
            erasure,
        };
        // What stops early is resumed by its marks.
        let has_marks = work.steps.ledger.is_some() && options.stop_after.is_none();
        Ok(Filled { summary, has_marks })
    }
}

fn no_session() -> Error {
    Error::new(ErrorKind::Failed, "no session is left: at least one job is needed")
}

/// Marks are kept where all of a database is restored: it holds nothing of its owner's yet.
async fn begin(
    options: &Options,
    session: &Session,
    begun: Option<Begun>,
    claim: &Claim,
) -> Result<Option<Ledger>> {
    match begun {
        Some(begun) if !begun.done.is_empty() || progress::find(session).await?.is_some() => {
            Ok(Some(Ledger::resume(begun)))
        }
        _ if options.keeps_marks() => Ledger::begin(session, claim).await.map(Some),
        _ => Ok(None),
    }
}

/// What is done, and in which order.
pub(super) struct Work {
    pub(super) steps: Arc<Steps>,
    plan: RestorePlan,
    pub(super) sequences: Vec<SequenceValue>,
    database: DatabaseInfo,
    objects: usize,
    /// Rows for tables that the target's platform has made.
    platform_loads: Vec<PlatformLoad>,
    /// Where the sequences of those tables stood.
    platform_sequences: Vec<SequenceValue>,
    /// Make the database's owner, privileges and settings what the source's were.
    set_properties: bool,
}

fn make_work(
    prepared: Prepared,
    options: &Options,
    archive: &OpenArchive,
    observer: &SharedObserver,
    target: Target,
    ledger: Option<Ledger>,
) -> Work {
    let objects = prepared.created().count();
    let Prepared { model, loads, sequences, plan, besides, sectioned, platform, publications, .. } = prepared;
    let by_id = model.positions();
    let steps = Arc::new(Steps {
        archive: archive.clone(),
        definitions: Definitions {
            by_id,
            entries: model.entries,
            target,
            acting: platform.acting,
            instead: platform.instead,
            detached: plan.detached.clone(),
            sectioned,
            no_owner: options.wanted.no_owner,
            no_acl: options.wanted.no_acl,
            defer_validation: options.defer_validation,
        },
        loads,
        keep_rows: !options.wanted.sections.pre_data,
        observer: Arc::clone(observer),
        budget: ByteBudget::new(RESTORE_BUDGET_BYTES).at_rate(options.max_rate),
        needed: besides.needed,
        tolerated: platform.tolerated,
        resets: platform.resets,
        rows: AtomicU64::new(0),
        failures: Failures::new(options.keep_going),
        attaching: tokio::sync::Mutex::default(),
        publications,
        analyzes: options.analyze && options.wanted.sections.data,
        classes: Classes::new(),
        ledger,
    });
    Work {
        steps,
        plan,
        sequences,
        database: model.database,
        objects,
        platform_loads: platform.loads,
        platform_sequences: platform.sequences,
        set_properties: false,
    }
}

impl Work {
    /// Works, again after the server was lost, as long as marks tell what is done. Gives what was checked.
    async fn until_done(
        &self,
        options: &Options,
        sessions: Vec<Session>,
        stop: &Stop,
        phases: &mut HashMap<&'static str, f64>,
    ) -> Result<Ended> {
        let mut sessions = Some(sessions);
        let mut waits = RETRY_SECONDS.iter();
        loop {
            let marks = self.marks();
            let error = match Box::pin(self.once(options, sessions.take(), stop, phases)).await {
                Ok(ended) => return Ok(ended),
                Err(error) => error,
            };
            if self.marks() > marks {
                waits = RETRY_SECONDS.iter();
            }
            let wait =
                waits.next().filter(|_| error.kind() == ErrorKind::Server && self.steps.ledger.is_some());
            let Some(wait) = wait.filter(|_| !stop.is_requested()) else { return Err(error) };
            let message = format!("{error}; going on from there in {wait} s");
            self.steps.observer().event(Event::Warning { message });
            tokio::select! {
                () = tokio::time::sleep(Duration::from_secs(*wait)) => {}
                () = stop.requested() => return Err(stop.error()),
            }
        }
    }

    /// Loads what goes into the platform's tables. If that does not fit, the target is left as it was, without marks.
    async fn fill_platform(&self, session: &Session) -> Result<()> {
        let Self { steps, platform_loads, platform_sequences, .. } = self;
        let Err(error) = platform_rows::load(steps, session, platform_loads, platform_sequences).await else {
            return Ok(());
        };
        if error.kind() != ErrorKind::Server && steps.ledger.is_some() && self.marks() == 0 {
            session.execute("ROLLBACK").await?;
            progress::forget(session).await.context(|| "remove the marks of the restore".to_owned())?;
        }
        Err(error)
    }

    fn marks(&self) -> usize {
        self.steps.ledger.as_ref().map_or(0, Ledger::len)
    }

    async fn once(
        &self,
        options: &Options,
        sessions: Option<Vec<Session>>,
        stop: &Stop,
        phases: &mut HashMap<&'static str, f64>,
    ) -> Result<Ended> {
        let Self { steps, plan, .. } = self;
        let mut sessions = if let Some(sessions) = sessions {
            sessions
        } else {
            let first = Session::open(&options.target, SessionKind::Target).await?;
            exclusive::end_earlier_sessions(&first).await?;
            open_sessions(options).await?
        };
        let first = sessions.first().ok_or_else(no_session)?;
        if let Some(ledger) = &steps.ledger {
            ledger.reread(first).await?;
            steps.count_done().await?;
        }
        self.fill_platform(first).await?;
        sessions = run_plan(steps, sessions, plan, options.stop_after, stop, phases).await?;
        if options.stop_after.is_some() {
            return Ok(Ended::default());
        }
        let first = sessions.first().ok_or_else(no_session)?;
        if options.wanted.sections.data {
            finish::set_sequences(first, steps, &self.sequences).await?;
        }
        if self.set_properties {
            finish::finish_database(first, options, &self.database, steps).await?;
        }
        let clock = Instant::now();
        let checks = self.check(options, &sessions, stop).await?;
        phases.insert("proof", clock.elapsed().as_secs_f64());
        let platform = self.platform_loads.iter().map(|load| load.plan.stream.names());
        let erasure = erase::again(options, steps, first, platform).await?;
        Ok(Ended { checks, erasure })
    }

    /// Proves the content, unless an earlier run did, and runs the other checks. A failed one is an error.
    async fn check(&self, options: &Options, sessions: &[Session], stop: &Stop) -> Result<Vec<Check>> {
        let steps = &self.steps;
        let first = sessions.first().ok_or_else(no_session)?;
        if options.keeps_marks() {
            checks::keep_pending(steps, first).await?;
        }
        let proven = steps.ledger.as_ref().is_some_and(|ledger| ledger.has(PROVEN));
        let proofs = if proven {
            Some(Vec::new())
        } else if options.verify && options.wanted.sections.data {
            steps.observer().event(Event::Phase { name: "proving the content" });
            Some(proof::prove(steps, sessions, stop).await?)
        } else {
            None
        };
        if proofs.is_none() && !options.keeps_marks() && options.demands.is_empty() {
            return Ok(Vec::new());
        }
        let (sequences, demands) = (self.sequences.as_slice(), &options.demands);
        let mut checks = checks::run(steps, first, sequences, proofs.as_deref(), demands).await?;
        if !options.keeps_marks() || !steps.failures.messages().is_empty() {
            // What is missing is told already, or was there before.
            let demanded = |check: &Check| {
                matches!(check.check, CRITICAL | ASSERTIONS) && check.outcome != Outcome::Skipped
            };
            checks.retain(|check| matches!(check.check, COUNTS | HASHES) || demanded(check));
        }
        checks::require(&checks)?;
        if let Some(ledger) = steps.ledger.as_ref().filter(|_| !proven && proofs.is_some()) {
            ledger.write(first, &[PROVEN.to_owned()]).await?;
        }
        Ok(checks)
    }
}

/// Sessions of those who only read.
pub(super) async fn open_readers(options: &Options) -> Result<Vec<Session>> {
    let mut sessions = Vec::new();
    for _ in 0..options.jobs.max(1) {
        sessions.push(Session::open(&options.target, SessionKind::Target).await?);
    }
    Ok(sessions)
}

fn target_of(session: &Session, prepared: &Prepared) -> Target {
    Target {
        version: session.version(),
        source: prepared.model.server,
        superuser: session.info().is_superuser,
    }
}

/// The work as it would be done, for those who only look at what was.
pub(super) fn work_for(
    prepared: Prepared,
    options: &Options,
    archive: &OpenArchive,
    observer: &SharedObserver,
    session: &Session,
) -> Work {
    let target = target_of(session, &prepared);
    make_work(prepared, options, archive, observer, target, None)
}

async fn open_sessions(options: &Options) -> Result<Vec<Session>> {
    let mut settings = vec![("check_function_bodies".to_owned(), "off".to_owned())];
    if let Some(memory) = &options.maintenance_work_mem {
        settings.push(("maintenance_work_mem".to_owned(), memory.clone()));
    }
    let mut sessions = Vec::new();
    for _ in 0..options.jobs.max(1) {
        sessions.push(Session::open_with(&options.target, SessionKind::Target, &settings).await?);
    }
    exclusive::claim(&sessions).await?;
    Ok(sessions)
}

/// Runs the stages of a plan, and gives the sessions back.
async fn run_plan(
    steps: &Arc<Steps>,
    mut sessions: Vec<Session>,
    plan: &RestorePlan,
    stop_after: Option<u8>,
    stop: &Stop,
    phases: &mut HashMap<&'static str, f64>,
) -> Result<Vec<Session>> {
    let observer = steps.observer();
    let RestorePlan { first, parallel, last, refresh, .. } = plan;
    let none = || Error::new(ErrorKind::Failed, "no session is left");
    let clock = Instant::now();
    observer.event(Event::Phase { name: "creating" });
    execute::serial(steps, sessions.first().ok_or_else(none)?, first, stop).await?;
    // Large objects must exist before their content is written.
    for (load, plan) in steps.loads.iter().enumerate() {
        if plan.stream.content == Content::LargeObjects {
            for unit in 0..plan.units.len() {
                execute::alone(steps, sessions.first().ok_or_else(none)?, Step::Load { load, unit }).await?;
            }
        }
    }
    phases.insert("definitions", clock.elapsed().as_secs_f64());
    let clock = Instant::now();
    observer.event(Event::Phase { name: "loading" });
    let parallel = parallel.iter().cloned().map(|(step, task)| match step {
        Step::Load { load, .. } if steps.is_large_objects(load) => (Step::Loaded(load), task),
        _ => (step, task),
    });
    let parallel = steps.classes.begin(parallel.collect(), stop_after);
    sessions = execute::parallel(steps, sessions, parallel, stop).await?;
    phases.insert("rows_indexes_keys", clock.elapsed().as_secs_f64());
    if stop_after.is_some() {
        return Ok(sessions);
    }
    let clock = Instant::now();
    observer.event(Event::Phase { name: "finishing" });
    let session = sessions.first().ok_or_else(none)?;
    steps.reset_defaults(session).await?;
    execute::serial(steps, session, last, stop).await?;
    steps.privileges(session, stop).await?;
    let Definitions { target, entries, .. } = &steps.definitions;
    steps.publications.put_back(session, target, entries, &steps.failures, observer).await?;
    if steps.analyzes {
        steps.analyze_parents(session, stop).await?;
    }
    sessions = execute::parallel(steps, sessions, refresh.clone(), stop).await?;
    phases.insert("finishing", clock.elapsed().as_secs_f64());
    Ok(sessions)
}
