//! The drill: tests the archive, restores it, proves the result, measures, and removes all of it again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Span;

use super::check::{Check, Outcome, Verdict};
use super::estimate::Basis;
use super::evidence::Drilled;
use super::quick::{Keys, Quick, QuickOptions, quick};
use super::record::{FORMAT, ForecastFacts, Objective, Record, TableFacts, TestType, Throughput, Who, due};
use super::target::{ServerFacts, Target, Whereto};
use super::timeline::{Recorder, Timeline};
use super::{rates, text};
use crate::catalog::profile::Wish;
use crate::clock::Clock;
use crate::erasure::SharedErasures;
use crate::error::{ErrorKind, Result};
use crate::event::SharedObserver;
use crate::manifest::{Content, Manifest, Stream};
use crate::opened::OpenArchive;
use crate::plan::globals::TablespaceMap;
use crate::restore::{self, Demands, Finding, GlobalsOptions, Wanted};
use crate::stop::Stop;

/// The check that the archive was restored.
const RESTORED: &str = "restored";
/// The check that rows which were erased did not come back.
const ERASED: &str = "erasure ledger applied";
/// The restore's check of what the rows are.
const HASHES: &str = "content hashes";
/// The check of the time that it took.
const RTO: &str = "time within the RTO";
/// The check that a server is there to restore into.
const SERVER: &str = "server at hand";
/// The check that nothing was left.
const REMOVED: &str = "removed again";

/// Tables that a record names.
const TABLES: usize = 20;

/// How long a stopped restore may take to cancel what runs at the server.
const GRACE: Duration = Duration::from_secs(10);

/// What a drill is asked for.
#[derive(Debug, Clone)]
pub struct DrillOptions {
    /// The test of the archive alone.
    pub quick: QuickOptions,
    /// What of the archive is restored.
    pub wanted: Wanted,
    /// What must hold besides.
    pub demands: Demands,
    /// Connections.
    pub jobs: usize,
    /// How long a recovery may take, in seconds.
    pub rto_seconds: f64,
    /// Where to restore into.
    pub whereto: Whereto,
    /// After how long the next one is due.
    pub next_after: Span,
    /// Who makes it.
    pub who: Who,
    /// What a restore would erase again.
    pub erasures: SharedErasures,
}

/// What forecasts for a database stand on.
pub type Bases<'a> = &'a (dyn Fn(&str) -> Basis + Send + Sync);

/// Makes a drill. What fails is told in the record.
///
/// # Errors
/// When the store does not answer, or a stop is asked for; what was made is removed before.
pub async fn drill(
    place: &str,
    options: &DrillOptions,
    keys: Keys<'_>,
    bases: Bases<'_>,
    observer: &SharedObserver,
    stop: &Stop,
) -> Result<Drilled> {
    let clock = Clock::System;
    let started_at = clock.now();
    let began = Instant::now();
    let recorder = Arc::new(Recorder::new(Arc::clone(observer), clock));
    let shared: SharedObserver = Arc::<Recorder>::clone(&recorder);
    recorder.note(&format!("drill of {place}"));
    let mut tested = quick(place, &options.quick, keys, clock, &shared, stop).await?;
    demand_key(&mut tested.checks);
    let mut run = Run {
        options,
        checks: tested.checks.clone(),
        server: None,
        opening: tested.opening_seconds,
        measured: None,
        restored: None,
    };
    let mut forecast = None;
    if let Some(archive) = &tested.archive {
        // A forecast that cannot be made says nothing about the backup.
        let estimate =
            bases(&tested.facts.database).estimate(archive, &options.wanted, options.jobs).await.ok();
        forecast = estimate.map(|estimate| estimate.facts());
        run.on_server(archive, &recorder, &shared, stop).await?;
    } else {
        const WHY: &str = "the archive did not pass";
        run.checks.push(Check::skipped(SERVER, true, WHY));
        // Nothing was restored: if no other check says that this is bad, this one does.
        let told = run.checks.iter().any(|check| check.critical && check.is_failed());
        run.checks.push(if told {
            Check::skipped(RESTORED, true, WHY)
        } else {
            Check::failed(RESTORED, true, "nothing", vec!["the archive was not opened".to_owned()])
        });
    }
    run.time();
    let record = run.record(tested, &recorder, forecast, Started { at: started_at, began }).await?;
    Ok(Drilled::of(record, &recorder))
}

/// When a drill began.
struct Started {
    at: jiff::Timestamp,
    began: Instant,
}

/// Without a key an archive can be tested, but not restored.
fn demand_key(checks: &mut [Check]) {
    let key = checks.iter_mut().find(|check| check.check == "key at hand");
    if let Some(key) = key.filter(|key| key.outcome == Outcome::Skipped) {
        key.outcome = Outcome::Failed;
        key.problems =
            vec!["give --identity or --passphrase-file: without a key nothing can be restored".to_owned()];
    }
}

/// A drill on its way.
struct Run<'a> {
    options: &'a DrillOptions,
    checks: Vec<Check>,
    server: Option<ServerFacts>,
    /// Seconds of opening the archive, its key included.
    opening: f64,
    /// Seconds of the recovery, that included.
    measured: Option<f64>,
    /// Rows, objects.
    restored: Option<(u64, u64)>,
}

impl Run<'_> {
    async fn on_server(
        &mut self,
        archive: &OpenArchive,
        recorder: &Recorder,
        observer: &SharedObserver,
        stop: &Stop,
    ) -> Result<()> {
        recorder.phase("preparing the server");
        let major = archive.manifest().await?.server.version.major();
        let mut target = match Target::open(&self.options.whereto, major, Clock::System.now(), stop).await {
            Ok(target) => target,
            Err(error) if stop.is_requested() => return Err(error),
            Err(error) => {
                self.checks.push(Check::error(SERVER, true, &error));
                self.checks.push(Check::skipped(RESTORED, true, "there is no server"));
                return Ok(());
            }
        };
        let facts = &target.facts;
        let found = format!("{} PostgreSQL {}, {}", facts.kind, facts.version, facts.place);
        self.checks.push(match target.leftovers {
            0 => Check::passed(SERVER, true, found),
            some => {
                Check::noted(SERVER, true, found, format!("what {some} killed drills had left was removed"))
            }
        });
        self.server = Some(facts.clone());
        let done = self.restore(&mut target, archive, observer, stop).await;
        recorder.phase("removing");
        let removed = target.remove().await;
        // A stop is told when all is removed, or that it is not.
        self.checks.push(match &removed {
            Ok(()) => Check::passed(REMOVED, false, "nothing is left"),
            Err(error) => Check::error(REMOVED, false, error),
        });
        if stop.is_requested() {
            removed?;
        }
        done
    }

    async fn restore(
        &mut self,
        target: &mut Target,
        archive: &OpenArchive,
        observer: &SharedObserver,
        stop: &Stop,
    ) -> Result<()> {
        let DrillOptions { wanted, demands, jobs, .. } = self.options;
        let mut options = restore_options(target, wanted.clone(), demands.clone(), *jobs);
        options.erasures = Arc::clone(&self.options.erasures);
        if archive.globals().await?.is_none() {
            options.globals = None;
        }
        if let Err(findings) = self.preflight(&mut options, archive, stop).await? {
            let problem = |finding: &Finding| match &finding.hint {
                Some(hint) => format!("{} (hint: {hint})", finding.message),
                None => finding.message.clone(),
            };
            let problems = findings.iter().map(problem).collect();
            self.checks.push(Check::failed(RESTORED, true, "the server cannot take it", problems));
            return Ok(());
        }
        let began = Instant::now();
        let work = Box::pin(restore::run(&options, archive, observer, stop));
        let result = tokio::select! {
            biased;
            result = work => result,
            ended = target.ended() => Err(ended),
            () = async { stop.requested().await; tokio::time::sleep(GRACE).await } => Err(stop.error()),
        };
        let seconds = self.opening + began.elapsed().as_secs_f64();
        match result {
            Ok(summary) => {
                self.measured = Some(seconds);
                self.restored = Some((summary.rows, summary.objects));
                let found =
                    format!("{} rows, {} objects", text::count(summary.rows), text::count(summary.objects));
                let found = format!("{found}, {}", text::seconds(seconds));
                let proven = |check: &restore::Check| check.check == HASHES && check.checked > 0;
                let proven = summary.checks.iter().any(proven);
                self.checks.push(match proves_nothing(archive, proven).await? {
                    Some(why) => Check::failed(RESTORED, true, found, vec![why.to_owned()]),
                    None => Check::passed(RESTORED, true, found),
                });
                self.checks.extend(summary.checks.iter().map(Check::of_restore));
                if let Some(report) = &summary.erasure {
                    let (named, deleted) = (text::count(report.rows_named), text::count(report.rows_deleted));
                    let found =
                        format!("{named} rows named, {deleted} were in the backup and were erased again");
                    self.checks.push(Check::passed(ERASED, true, found));
                }
            }
            Err(error) if stop.is_requested() => return Err(error),
            Err(error) if error.kind() == ErrorKind::Validation => {
                self.checks.push(Check::passed(RESTORED, true, text::seconds(seconds)));
                // The restore ended at the first that failed; here all of them are wanted.
                options.create = false;
                match Box::pin(restore::validate(&options, archive, observer, stop)).await {
                    Ok(checks) if checks.iter().any(|check| check.outcome == restore::Outcome::Failed) => {
                        self.checks.extend(checks.iter().map(Check::of_restore));
                    }
                    Err(again) if stop.is_requested() => return Err(again),
                    // What failed once does not pass because it is not found again.
                    _ => self.checks.push(Check::error("validated", true, &error)),
                }
            }
            Err(error) => self.checks.push(Check::error(RESTORED, true, &error)),
        }
        Ok(())
    }

    /// Looks for what stands in the way. On a private server the roles are made, if the archive has them; otherwise owners and
    /// privileges are left out when their roles are not there.
    async fn preflight(
        &mut self,
        options: &mut restore::Options,
        archive: &OpenArchive,
        stop: &Stop,
    ) -> Result<std::result::Result<(), Vec<Finding>>> {
        let fatal = |plan: restore::Plan| -> Vec<Finding> {
            plan.findings.into_iter().filter(|finding| finding.fatal).collect()
        };
        let told = |error: crate::error::Error| {
            let finding = Finding { fatal: true, message: super::check::chain(&error), hint: None };
            if stop.is_requested() { Err(error) } else { Ok(vec![finding]) }
        };
        let findings = match restore::dry_run(options, archive).await {
            Ok(plan) => fatal(plan),
            Err(error) => told(error)?,
        };
        if findings.is_empty() {
            return Ok(Ok(()));
        }
        // Where roles are missing, the rest can still be proven.
        (options.wanted.no_owner, options.wanted.no_acl) = (true, true);
        let without = match restore::dry_run(options, archive).await {
            Ok(plan) => fatal(plan),
            Err(error) => told(error)?,
        };
        if !without.is_empty() {
            return Ok(Err(without));
        }
        let note = "the server lacks roles: owners and privileges were left out";
        self.checks.push(Check::noted("owners and privileges", false, "not restored", note));
        Ok(Ok(()))
    }

    fn is_of_tables(&self) -> bool {
        !self.options.wanted.selection.is_everything()
    }

    /// The recovery time against what is wanted.
    fn time(&mut self) {
        let rto = self.options.rto_seconds;
        self.checks.push(match self.measured {
            None if self
                .checks
                .iter()
                .any(|check| check.check == RESTORED && check.outcome == Outcome::Passed) =>
            {
                Check::skipped(RTO, true, "the recovery ended at a check that failed")
            }
            None => Check::skipped(RTO, true, "nothing was restored"),
            Some(seconds) => {
                let found = format!("{} of {}", text::seconds(seconds), text::seconds(rto));
                if seconds <= rto {
                    Check::passed(RTO, true, found)
                } else {
                    let problem =
                        format!("a recovery takes {:.1} × as long as it may", seconds / rto.max(0.001));
                    Check::failed(RTO, true, found, vec![problem])
                }
            }
        });
    }

    async fn record(
        self,
        tested: Quick,
        recorder: &Recorder,
        forecast: Option<ForecastFacts>,
        started: Started,
    ) -> Result<Record> {
        let timeline = recorder.timeline();
        let manifest = match &tested.archive {
            Some(archive) => Some(archive.manifest().await?),
            None => None,
        };
        let tables = tables(tested.archive.as_ref(), manifest.as_ref(), &timeline);
        let kind = if self.is_of_tables() { TestType::Tables } else { TestType::Full };
        let Self { options, checks, server, opening: _, measured, restored } = self;
        let jobs = u32::try_from(options.jobs).unwrap_or(u32::MAX);
        let bytes = timeline.loaded_bytes;
        let (rows, objects) = restored.unwrap_or_default();
        let seconds = measured.unwrap_or_default();
        let rate = |count: u64| if seconds > 0.0 { text::float(count) / seconds } else { 0.0 };
        let throughput = Throughput {
            rows,
            bytes,
            rows_per_second: rate(rows),
            bytes_per_second: rate(bytes),
            read_bytes: tested.archive.as_ref().map_or(0, |archive| archive.source().bytes_read()),
        };
        let error = |forecast: ForecastFacts| ForecastFacts {
            error: measured.map(|measured| (forecast.seconds - measured) / measured.max(0.001)),
            ..forecast
        };
        Ok(Record {
            format: FORMAT,
            kind,
            started_at: started.at,
            seconds: started.began.elapsed().as_secs_f64(),
            tool: concat!("pgcask ", env!("CARGO_PKG_VERSION")).to_owned(),
            who: options.who.clone(),
            archive: tested.facts,
            server,
            jobs,
            verdict: Verdict::of(&checks),
            checks,
            rto: Objective::new(options.rto_seconds, measured),
            rpo: Objective::new(options.quick.rpo_seconds, tested.age_seconds),
            steps_total: timeline.steps_total,
            steps: timeline.longest(),
            tables,
            throughput,
            forecast: forecast.map(error),
            rates: measured.and_then(|seconds| rates::measure(&timeline, bytes, objects, seconds, jobs)),
            next_due: due(started.at, options.next_after),
            phases: timeline.phases,
        })
    }
}

/// A restore of a drill: as in an emergency, all proven.
pub(super) fn restore_options(
    target: &Target,
    wanted: Wanted,
    demands: Demands,
    jobs: usize,
) -> restore::Options {
    restore::Options {
        target: target.database.clone(),
        create: true,
        resume: false,
        jobs,
        // Folders of the source's machine are not here.
        wanted: Wanted { no_tablespaces: true, ..wanted },
        globals: target.is_private().then_some(GlobalsOptions { needed_only: true, update: false }),
        tablespace_map: TablespaceMap::default(),
        profile: Wish::Detect,
        keep_going: false,
        analyze: true,
        verify: true,
        defer_validation: false,
        erasures: SharedErasures::default(),
        demands,
        maintenance_work_mem: None,
        stop_after: None,
        max_rate: None,
    }
}

/// Why a restore proves nothing, if it does not. `proven`: the content of some table was.
async fn proves_nothing(archive: &OpenArchive, proven: bool) -> Result<Option<&'static str>> {
    let manifest = archive.manifest().await?;
    if proven {
        return Ok(None);
    }
    if manifest.streams.is_empty() {
        return Ok(Some("the backup has no table: nothing is proven, and is it of the right database?"));
    }
    let rows = |stream: &Stream| archive.root().stream(stream.id).map_or(0, |stream| stream.totals.rows);
    let has_rows = manifest.streams.iter().any(|stream| stream.content == Content::Table && rows(stream) > 0);
    Ok(has_rows
        .then_some("the rows of no table were restored, though the backup has some: nothing is proven"))
}

/// The largest tables of those that were restored.
fn tables(
    archive: Option<&OpenArchive>,
    manifest: Option<&Manifest>,
    timeline: &Timeline,
) -> Vec<TableFacts> {
    let mut seconds: BTreeMap<(&str, &str), f64> = BTreeMap::new();
    for step in &timeline.steps {
        *seconds.entry((step.work.as_str(), step.object.as_str())).or_default() += step.seconds;
    }
    let streams = archive.zip(manifest).into_iter().flat_map(|(archive, manifest)| {
        manifest.streams.iter().filter_map(move |stream| {
            let totals = archive.root().stream(stream.id)?.totals;
            Some((stream.display(), totals))
        })
    });
    let of = |work: &'static str, name: &str| seconds.get(&(work, name)).copied();
    let mut tables: Vec<TableFacts> = streams
        .filter_map(|(name, totals)| {
            Some(TableFacts {
                rows: totals.rows,
                bytes: totals.plain_bytes,
                load_seconds: of("load", &name)?,
                prove_seconds: of("prove", &name).unwrap_or_default(),
                name,
            })
        })
        .collect();
    tables.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.name.cmp(&b.name)));
    tables.truncate(TABLES);
    tables
}
