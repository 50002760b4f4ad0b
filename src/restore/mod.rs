//! Restores an archive into a database.
//!
//! ```text
//! preflight ─▶ plan ─▶ definitions ─▶ rows, indexes, keys (concurrent) ─▶ triggers, privileges ─▶ materialized views
//!                                                                        ─▶ sequences ─▶ proof of content
//! ```

mod definitions;
mod exclusive;
mod execute;
mod failures;
mod loader;
mod options;
mod preflight;
mod prepare;
mod proof;
mod script;
mod steps;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

pub use options::{Options, Plan, Sections, Summary, Wanted};
pub use preflight::Finding;
pub use script::{ScriptOptions, script};

use crate::budget::ByteBudget;
use crate::catalog::database::DatabaseInfo;
use crate::catalog::kind::Target;
use crate::catalog::model::SequenceValue;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::event::{Event, SharedObserver};
use crate::limits::RESTORE_BUDGET_BYTES;
use crate::manifest::Content;
use crate::opened::OpenArchive;
use crate::pg::{Session, SessionKind};
use crate::plan::restore::{RestorePlan, Step};
use crate::stop::Stop;
use definitions::Definitions;
use failures::Failures;
use prepare::Prepared;
use steps::Steps;

/// Says what a restore would do; touches nothing.
///
/// # Errors
/// When the archive cannot be read or the target cannot be reached.
pub async fn dry_run(options: &Options, archive: &OpenArchive) -> Result<Plan> {
    let session = open_if_exists(options).await?;
    let prepared = prepare::prepare(&options.wanted, options.means(), archive, session.as_ref()).await?;
    let findings = preflight::check(options, &prepared, session.as_ref()).await?;
    Ok(prepared.describe(options, findings))
}

/// Restores.
///
/// # Errors
/// The first failure; what was created until then stays in the target, which was empty before. With
/// [`Options::keep_going`] failures of single objects are told in the summary instead.
pub async fn run(
    options: &Options,
    archive: &OpenArchive,
    observer: &SharedObserver,
    stop: &Stop,
) -> Result<Summary> {
    let began = Instant::now();
    observer.event(Event::Phase { name: "planning" });
    let existing = open_if_exists(options).await?;
    let prepared = prepare::prepare(&options.wanted, options.means(), archive, existing.as_ref()).await?;
    let findings = preflight::check(options, &prepared, existing.as_ref()).await?;
    preflight::refuse(&findings)?;
    for finding in &findings {
        observer.event(Event::Warning { message: finding.message.clone() });
    }
    drop(existing);
    stop.check()?;
    if options.create {
        prepare::create_database(options, &prepared.model).await?;
    }
    let mut sessions = open_sessions(options).await?;
    exclusive::claim(&sessions).await?;
    let first = sessions.first().ok_or_else(|| Error::new(ErrorKind::Usage, "at least one job is needed"))?;
    let target = Target { version: first.version(), source: prepared.model.server };
    observer.event(Event::Total { bytes: prepared.bytes(), rows: prepared.rows() });
    let Ready { steps, plan, sequences, database, objects } =
        make_ready(prepared, options, archive, observer, target);
    let mut phases = HashMap::new();
    sessions = run_plan(&steps, sessions, plan, observer, stop, &mut phases).await?;
    if options.wanted.sections.data {
        let first = sessions.first().ok_or_else(|| Error::new(ErrorKind::Failed, "no session is left"))?;
        set_sequences(first, &steps, &sequences).await?;
    }
    if options.create {
        let first = sessions.first().ok_or_else(|| Error::new(ErrorKind::Failed, "no session is left"))?;
        finish_database(first, options, &database, &steps).await?;
    }
    let restored = began.elapsed().as_secs_f64();
    let mut verified = None;
    if options.verify && options.wanted.sections.data {
        observer.event(Event::Phase { name: "proving the content" });
        let proof = Instant::now();
        proof::prove(&steps, &sessions, observer, stop).await?;
        phases.insert("proof", proof.elapsed().as_secs_f64());
        verified = Some(true);
    }
    let failures = steps.failures.messages();
    Ok(Summary {
        database: options.target.display(),
        seconds: restored,
        total_seconds: began.elapsed().as_secs_f64(),
        rows: steps.rows.load(Ordering::Relaxed),
        tables: u64::try_from(steps.loads.len()).unwrap_or(u64::MAX),
        objects: u64::try_from(objects).unwrap_or(u64::MAX),
        verified: verified.unwrap_or(false) && failures.is_empty(),
        failures,
        jobs: options.jobs,
        phases,
    })
}

/// What is done, and in which order.
struct Ready {
    steps: Arc<Steps>,
    plan: RestorePlan,
    sequences: Vec<SequenceValue>,
    database: DatabaseInfo,
    objects: usize,
}

fn make_ready(
    prepared: Prepared,
    options: &Options,
    archive: &OpenArchive,
    observer: &SharedObserver,
    target: Target,
) -> Ready {
    let objects = prepared.created().count();
    let Prepared { model, loads, sequences, plan, needed, sectioned, .. } = prepared;
    let by_id = model.positions();
    let steps = Arc::new(Steps {
        archive: archive.clone(),
        definitions: Definitions {
            by_id,
            entries: model.entries,
            target,
            detached: plan.detached.clone(),
            sectioned,
            no_owner: options.wanted.no_owner,
            no_acl: options.wanted.no_acl,
        },
        loads,
        keep_rows: !options.wanted.sections.pre_data,
        observer: Arc::clone(observer),
        budget: ByteBudget::new(RESTORE_BUDGET_BYTES),
        needed,
        rows: AtomicU64::new(0),
        failures: Failures::new(options.keep_going),
    });
    Ready { steps, plan, sequences, database: model.database, objects }
}

async fn open_if_exists(options: &Options) -> Result<Option<Session>> {
    match Session::open(&options.target, SessionKind::Target).await {
        Ok(session) => Ok(Some(session)),
        Err(crate::pg::PgError::NoSuchDatabase { .. }) if options.create => Ok(None),
        Err(error) => Err(error.into()),
    }
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
    Ok(sessions)
}

/// Runs the stages of a plan, and gives the sessions back.
async fn run_plan(
    steps: &Arc<Steps>,
    mut sessions: Vec<Session>,
    plan: RestorePlan,
    observer: &SharedObserver,
    stop: &Stop,
    phases: &mut HashMap<&'static str, f64>,
) -> Result<Vec<Session>> {
    let RestorePlan { first, parallel, last, refresh, .. } = plan;
    let none = || Error::new(ErrorKind::Failed, "no session is left");
    let clock = Instant::now();
    observer.event(Event::Phase { name: "creating" });
    execute::serial(steps, sessions.first().ok_or_else(none)?, &first, stop).await?;
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
    let parallel = parallel.into_iter().map(|(step, task)| match step {
        Step::Load { load, .. } if steps.is_large_objects(load) => (Step::Loaded(load), task),
        _ => (step, task),
    });
    sessions = execute::parallel(steps, sessions, parallel.collect(), stop).await?;
    phases.insert("rows_indexes_keys", clock.elapsed().as_secs_f64());
    let clock = Instant::now();
    observer.event(Event::Phase { name: "finishing" });
    let session = sessions.first().ok_or_else(none)?;
    execute::serial(steps, session, &last, stop).await?;
    steps.privileges(session, stop).await?;
    sessions = execute::parallel(steps, sessions, refresh, stop).await?;
    phases.insert("finishing", clock.elapsed().as_secs_f64());
    Ok(sessions)
}

/// Makes a created database what the source's was: owner, privileges, settings.
async fn finish_database(
    session: &Session,
    options: &Options,
    database: &DatabaseInfo,
    steps: &Steps,
) -> Result<()> {
    let Wanted { no_owner, no_acl, .. } = options.wanted;
    let name = &options.target.database;
    for statement in database.finish(name, &steps.definitions.target, !no_owner, !no_acl) {
        let done = session.execute(&statement).await;
        if let Err(error) = done.context(|| "set the properties of the database".to_owned()) {
            steps.failures.keep(None, error, steps.observer())?;
        }
    }
    Ok(())
}

async fn set_sequences(session: &Session, steps: &Steps, sequences: &[SequenceValue]) -> Result<()> {
    let statements: Vec<String> = sequences.iter().map(SequenceValue::set).collect();
    for batch in statements.chunks(200) {
        if !steps.failures.are_kept() {
            session.execute(&batch.join("; ")).await?;
            continue;
        }
        for statement in batch {
            if let Err(error) = session.execute(statement).await {
                steps.failures.keep(None, error.into(), steps.observer())?;
            }
        }
    }
    Ok(())
}
