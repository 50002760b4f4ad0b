//! A calibration: a made-up database is backed up and restored on a server of the drill's own, and its rates are measured.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::estimate::Basis;
use super::rates;
use super::target::{Target, Whereto};
use super::timeline::Recorder;
use crate::backup;
use crate::catalog::profile::Wish;
use crate::clock::Clock;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::event::SharedObserver;
use crate::opened::Found;
use crate::pg::quote::ident;
use crate::pg::{ConnectOptions, ServerVersion, Session, SessionKind};
use crate::plan::select::Selection;
use crate::restore::{self, Wanted};
use crate::seal::compress::Level;
use crate::stop::Stop;
use crate::store::Location;
use crate::store::get::Source;
use crate::store::naming::{Kind, new_id};

/// Tables such as applications have: keys, text, times, indexes, a reference. About 60 MiB of rows.
const TABLES: &str = "CREATE TABLE a (id bigint, n int, at timestamptz, k text, note text);
    INSERT INTO a SELECT i, i % 1000, timestamptz '2026-01-01' + i * interval '1 min', md5(i::text), repeat(md5((i * 7)::text), 2) \
        FROM generate_series(1, 300000) i;
    ALTER TABLE a ADD PRIMARY KEY (id); CREATE INDEX ON a (k); CREATE INDEX ON a (n, at);
    CREATE TABLE b (id bigint PRIMARY KEY, a bigint REFERENCES a, note text);
    INSERT INTO b SELECT i, 1 + (i * 31) % 300000, md5(i::text) FROM generate_series(1, 200000) i;
    CREATE INDEX ON b (a);
    CREATE TABLE c AS SELECT i AS id, md5(i::text) AS note FROM generate_series(1, 1000) i; CREATE INDEX ON c (id);
    CREATE MATERIALIZED VIEW m AS SELECT n, count(*) FROM a GROUP BY n";

/// Measures this machine.
///
/// # Errors
/// When there is no server, or it fails; what was made is removed before.
pub async fn calibrate(
    whereto: &Whereto,
    folder: &std::path::Path,
    jobs: usize,
    observer: &SharedObserver,
    stop: &Stop,
) -> Result<Basis> {
    let target = Target::open(whereto, ServerVersion::OLDEST, Clock::System.now(), stop).await?;
    let store = folder.join(format!("pgcask-calibration-{}", new_id()?));
    let measured = stop.or(Box::pin(measure(&target, &store, jobs, observer, stop))).await;
    if store.exists() {
        std::fs::remove_dir_all(&store).map_err(|error| {
            Error::with_source(ErrorKind::Failed, "remove the calibration's archive", error)
        })?;
    }
    target.remove().await?;
    measured
}

async fn measure(
    target: &Target,
    folder: &std::path::Path,
    jobs: usize,
    observer: &SharedObserver,
    stop: &Stop,
) -> Result<Basis> {
    let source = target.database.with_database(&format!("{}s", target.database.database));
    let result = restored(target, &source, folder, jobs, observer, stop).await;
    if !target.is_private() {
        let session = Session::open(&target.database.with_database("postgres"), SessionKind::Target).await?;
        session.execute(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", ident(&source.database))).await?;
    }
    result
}

async fn restored(
    target: &Target,
    source: &ConnectOptions,
    folder: &std::path::Path,
    jobs: usize,
    observer: &SharedObserver,
    stop: &Stop,
) -> Result<Basis> {
    let session = Session::open(&target.database.with_database("postgres"), SessionKind::Target).await?;
    session.execute(&format!("CREATE DATABASE {} TEMPLATE template0", ident(&source.database))).await?;
    let session = Session::open(source, SessionKind::Target).await?;
    session.execute("SET search_path = public").await?;
    session.execute(TABLES).await.context(|| "make the calibration's tables".to_owned())?;
    let options = backup::Options {
        source: source.clone(),
        kind: Kind::Manual,
        keep_for: None,
        jobs,
        level: Level::new(1).map_err(|error| Error::new(ErrorKind::Failed, error.to_string()))?,
        recipients: Vec::new(),
        selection: Selection::default(),
        personal: Vec::new(),
        strict_names: false,
        parts: backup::Parts::All,
        globals: backup::Globals::IfAllowed,
        role_passwords: false,
        profile: Wish::Detect,
        lock_timeout: Duration::from_secs(10),
        serializable_deferrable: false,
        audit: None,
        replaced_by: None,
        unlogged_rows: true,
    };
    let store = Location::Directory(folder.to_owned()).open()?;
    let made = Box::pin(backup::run(&options, &store, Clock::System, observer, stop)).await?;
    let archive = Found::locate(Source::open(&made.archive).await?).await?.unlock(&[]).await?;
    let recorder = Arc::new(Recorder::new(Arc::clone(observer), Clock::System));
    let shared: SharedObserver = Arc::<Recorder>::clone(&recorder);
    let began = Instant::now();
    let options = super::full::restore_options(target, Wanted::all(), restore::Demands::default(), jobs);
    let summary = Box::pin(restore::run(&options, &archive, &shared, stop)).await?;
    let seconds = began.elapsed().as_secs_f64();
    let jobs = u32::try_from(jobs).unwrap_or(u32::MAX);
    rates::measure(&recorder.timeline(), made.plain_bytes, summary.objects, seconds, jobs)
        .map(Basis::of_calibration)
        .ok_or_else(|| Error::new(ErrorKind::Failed, "the calibration measured nothing"))
}
