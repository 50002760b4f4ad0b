//! The quick test as a run of its own, which leaves a record and a log as a drill does.

use std::sync::Arc;
use std::time::Instant;

use jiff::Span;

use super::check::Verdict;
use super::evidence::Drilled;
use super::quick::{Keys, Quick, QuickOptions, quick};
use super::record::{FORMAT, Objective, Record, TestType, Throughput, Who, due};
use super::timeline::{Recorder, Timeline};
use crate::clock::Clock;
use crate::error::Result;
use crate::event::SharedObserver;
use crate::stop::Stop;

/// What a test is asked for.
#[derive(Debug, Clone)]
pub struct TestOptions {
    /// The test.
    pub quick: QuickOptions,
    /// How long a recovery may take, in seconds: it is told, and not measured.
    pub rto_seconds: f64,
    /// Who makes it.
    pub who: Who,
}

/// Tests an archive by its path or URL. What is wrong with it is told in the record.
///
/// # Errors
/// When the store does not answer, or a stop is asked for.
pub async fn test(
    place: &str,
    options: &TestOptions,
    keys: Keys<'_>,
    observer: &SharedObserver,
    stop: &Stop,
) -> Result<Drilled> {
    let clock = Clock::System;
    let (started_at, began) = (clock.now(), Instant::now());
    let recorder = Arc::new(Recorder::new(Arc::clone(observer), clock));
    let shared: SharedObserver = Arc::<Recorder>::clone(&recorder);
    recorder.note(&format!("quick test of {place}"));
    let tested = quick(place, &options.quick, keys, clock, &shared, stop).await?;
    let read_bytes = tested.archive.as_ref().map_or(0, |archive| archive.source().bytes_read());
    let Quick { checks, facts, age_seconds, .. } = tested;
    let Timeline { phases, .. } = recorder.timeline();
    let record = Record {
        format: FORMAT,
        kind: TestType::Quick,
        started_at,
        seconds: began.elapsed().as_secs_f64(),
        tool: concat!("pgcask ", env!("CARGO_PKG_VERSION")).to_owned(),
        who: options.who.clone(),
        archive: facts,
        server: None,
        jobs: 1,
        verdict: Verdict::of(&checks),
        checks,
        rto: Objective::new(options.rto_seconds, None),
        rpo: Objective::new(options.quick.rpo_seconds, age_seconds),
        phases,
        steps_total: 0,
        steps: Vec::new(),
        tables: Vec::new(),
        throughput: Throughput { read_bytes, ..Throughput::default() },
        forecast: None,
        rates: None,
        // It costs little: each day has one, as schedules do.
        next_due: due(started_at, Span::new().days(1)),
    };
    Ok(Drilled::of(record, &recorder))
}
