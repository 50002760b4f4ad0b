//! How long a restore would take: its plan, played through with measured rates.

use serde::Serialize;

use super::options::Wanted;
use super::prepare::{self, Means, Prepared};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::UNIT_BYTES;
use crate::manifest::Content;
use crate::opened::OpenArchive;
use crate::plan::forecast::{Rates, play, spread};
use crate::plan::priority::name_of;
use crate::plan::restore::Step;
use crate::plan::schedule::Task;

/// How long a restore would take.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Forecast {
    /// Seconds, from opening the archive to the last check.
    pub seconds: f64,
    /// Seconds of each part, in their order.
    pub parts: Vec<(&'static str, f64)>,
    /// When each class of priority would be complete: its name and seconds.
    pub classes: Vec<(String, f64)>,
    /// Bytes of COPY text that would be loaded.
    pub plain_bytes: u64,
    /// Rows that would be loaded.
    pub rows: u64,
    /// Tables that would be loaded.
    pub tables: u64,
    /// Objects that would be created.
    pub objects: u64,
    /// Connections.
    pub jobs: usize,
}

/// Says how long a restore would take, by rates that were measured.
///
/// # Errors
/// When the archive cannot be read.
pub async fn forecast(
    wanted: &Wanted,
    jobs: usize,
    archive: &OpenArchive,
    rates: &Rates,
) -> Result<Forecast> {
    let means = Means { split: jobs > 1, analyze: true, stop_after: None };
    let prepared = prepare::prepare(wanted, means, archive, None).await?;
    let objects = prepared.created().count();
    let count = |many: usize| f64::from(u32::try_from(many).unwrap_or(u32::MAX));
    let timed = |steps: &[(Step, Task)]| -> Vec<(Task, f64)> {
        let seconds = |step: Step, task: &Task| {
            work_of(&prepared, step).map_or(0.0, |work| rates.seconds(work, task.cost, jobs))
        };
        steps.iter().map(|(step, task)| (task.clone(), seconds(*step, task))).collect()
    };
    let circle = |cycle| Error::with_source(ErrorKind::Failed, "order the work of the restore", cycle);
    let definitions = count(objects) * rates.definition_seconds;
    let loading = play(timed(&prepared.plan.parallel), jobs).map_err(circle)?;
    let filling = play(timed(&prepared.plan.refresh), jobs).map_err(circle)?;
    let finishing = count(objects) * rates.finishing_seconds + filling.seconds;
    let proof = proof(&prepared, jobs, rates);
    let before = rates.starting_seconds + definitions;
    let class = |(class, seconds): (&u8, &f64)| (name_of(*class), before + seconds);
    let classes = loading.classes.iter().filter(|(class, _)| **class < u8::MAX).map(class).collect();
    let parts = vec![
        ("opening, roles", rates.starting_seconds),
        ("definitions", definitions),
        ("rows, indexes, keys", loading.seconds),
        ("finishing", finishing),
        ("proof", proof),
    ];
    Ok(Forecast {
        seconds: parts.iter().map(|(_, seconds)| seconds).sum(),
        parts,
        classes,
        plain_bytes: prepared.bytes(),
        rows: prepared.rows(),
        tables: u64::try_from(prepared.loads.len()).unwrap_or(u64::MAX),
        objects: u64::try_from(objects).unwrap_or(u64::MAX),
        jobs,
    })
}

/// The kind of work that a step is, as [`crate::event::Event::Step`] names it.
fn work_of(prepared: &Prepared, step: Step) -> Option<&'static str> {
    match step {
        Step::Create(item) | Step::Finish(item) => {
            prepared.model.entries.get(item).map(|entry| entry.object.kind())
        }
        Step::Load { .. } => Some("load"),
        Step::Analyze(_) => Some("analyze"),
        Step::Refresh(_) => Some("fill"),
        Step::Loaded(_) | Step::AllLoaded => None,
    }
}

/// Reading the tables back: large ones in parts, by all connections.
fn proof(prepared: &Prepared, jobs: usize, rates: &Rates) -> f64 {
    let mut pieces = Vec::new();
    for load in prepared.loads.iter().filter(|load| load.stream.content == Content::Table) {
        let bytes = load.totals.plain_bytes;
        let parts = bytes.div_ceil(UNIT_BYTES).max(1);
        let one = rates.seconds("prove", bytes / parts, jobs);
        pieces.extend(std::iter::repeat_n(one, usize::try_from(parts).unwrap_or(1)));
    }
    spread(&pieces, jobs)
}
