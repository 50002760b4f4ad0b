//! Rates, measured from the steps of a restore.

use std::collections::BTreeMap;

use super::quick::OPENING;
use super::timeline::Timeline;
use crate::plan::forecast::{Line, Rates};

/// Measures; `None` when nothing was loaded.
pub(super) fn measure(
    timeline: &Timeline,
    plain_bytes: u64,
    objects: u64,
    seconds: f64,
    jobs: u32,
) -> Option<Rates> {
    let mut works: BTreeMap<String, Vec<(u64, f64)>> = BTreeMap::new();
    for step in &timeline.steps {
        works.entry(step.work.clone()).or_default().push((step.cost, step.seconds));
    }
    if !works.contains_key("load") {
        return None;
    }
    let phase = |names: &[&str]| -> f64 {
        let meant = timeline.phases.iter().filter(|phase| names.contains(&phase.name.as_str()));
        meant.map(|phase| phase.seconds).sum()
    };
    let each = super::text::float(objects).max(1.0);
    let fills: f64 = timeline.steps.iter().filter(|step| step.work == "fill").map(|step| step.seconds).sum();
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let starting = phase(&[OPENING, "restoring roles and tablespaces"]);
    Some(Rates {
        starting_seconds: starting,
        works: works.into_iter().filter_map(|(work, measured)| Some((work, Line::fit(&measured)?))).collect(),
        definition_seconds: phase(&["planning", "creating"]) / each,
        finishing_seconds: (phase(&["finishing"]) - fills / f64::from(jobs.max(1))).max(0.0) / each,
        whole: whole(plain_bytes, seconds, starting + phase(&["planning", "creating", "finishing"])),
        jobs,
        processors: u32::try_from(processors).unwrap_or(u32::MAX),
    })
}

/// Seconds of the whole by its bytes, apart from what is done once and what its objects take.
fn whole(plain_bytes: u64, seconds: f64, definitions: f64) -> Line {
    let bytes = super::text::float(plain_bytes).max(1.0);
    Line { fixed: definitions, per_byte: (seconds - definitions).max(0.0) / bytes, samples: 1 }
}
