//! How long work will take: rates that were measured, and a schedule that is played through with them. Pure.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use serde::{Deserialize, Serialize};

use super::schedule::{Cycle, Schedule, Task};

/// What one kind of work takes: so much each time, and so much a byte.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// Seconds each time.
    pub fixed: f64,
    /// Seconds a byte.
    pub per_byte: f64,
    /// How many pieces of work it was measured from.
    pub samples: u64,
}

impl Line {
    /// Seconds for so many bytes.
    pub fn at(self, bytes: u64) -> f64 {
        self.fixed + self.per_byte * float(bytes)
    }

    /// The line nearest to what was measured, by least squares; neither part is less than nothing.
    pub fn fit(measured: &[(u64, f64)]) -> Option<Self> {
        let samples = u64::try_from(measured.len()).ok().filter(|samples| *samples > 0)?;
        let count = float(samples);
        let sum = |of: &dyn Fn(f64, f64) -> f64| measured.iter().map(|(x, y)| of(float(*x), *y)).sum::<f64>();
        let (x, y) = (sum(&|x, _| x), sum(&|_, y| y));
        let spread = sum(&|x, _| x * x) - x * x / count;
        let slope = if spread > 0.0 { (sum(&|x, y| x * y) - x * y / count) / spread } else { 0.0 };
        let fixed = (y - slope * x) / count;
        Some(if slope <= 0.0 {
            Self { fixed: y / count, per_byte: 0.0, samples }
        } else if fixed < 0.0 {
            Self { fixed: 0.0, per_byte: y / x.max(1.0), samples }
        } else {
            Self { fixed, per_byte: slope, samples }
        })
    }
}

/// Rates of a restore.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Rates {
    /// By kind of work: `load`, `prove`, `analyze`, `fill`, or a kind of object. Bytes are those of the plan's estimates.
    pub works: BTreeMap<String, Line>,
    /// Seconds of what is done once: opening the archive, roles, the empty database. Records of before have none.
    #[serde(default)]
    pub starting_seconds: f64,
    /// Seconds of planning and of creating one object that needs no rows.
    pub definition_seconds: f64,
    /// Seconds of triggers, privileges and such, for one object.
    pub finishing_seconds: f64,
    /// Seconds of a whole restore, by bytes of COPY text.
    pub whole: Line,
    /// Connections while it was measured.
    pub jobs: u32,
    /// Processors of the machine.
    pub processors: u32,
}

impl Rates {
    /// What a piece of work takes, with this many connections. Where there are more than were measured, and no more
    /// processors for them, each is slower.
    pub fn seconds(&self, work: &str, bytes: u64, jobs: usize) -> f64 {
        // What was never measured is some change of a definition.
        let small = Line { fixed: self.definition_seconds, ..Line::default() };
        let line = self.works.get(work).copied().unwrap_or(small);
        line.at(bytes) * self.slowness(jobs)
    }

    fn slowness(&self, jobs: usize) -> f64 {
        let jobs = u32::try_from(jobs).unwrap_or(u32::MAX);
        let at_full_speed = jobs.min(self.jobs.max(self.processors)).max(1);
        f64::from(jobs) / f64::from(at_full_speed)
    }
}

/// A schedule, played through.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Played {
    /// When all is done.
    pub seconds: f64,
    /// When all of each class is done.
    pub classes: BTreeMap<u8, f64>,
}

/// Plays a schedule through on so many connections; each task comes with its seconds.
///
/// # Errors
/// When tasks depend on one another in a circle.
pub fn play(tasks: Vec<(Task, f64)>, jobs: usize) -> Result<Played, Cycle> {
    let class_of: Vec<u8> = tasks.iter().map(|(task, _)| task.class).collect();
    let (tasks, seconds): (Vec<Task>, Vec<f64>) = tasks.into_iter().unzip();
    let mut schedule = Schedule::new(tasks)?;
    let mut played = Played::default();
    // Microseconds order; fractions of them are nothing here.
    let mut running: BinaryHeap<Reverse<(u64, usize)>> = BinaryHeap::new();
    let mut now = 0_u64;
    while !schedule.is_done() {
        while running.len() < jobs.max(1) {
            let Some(id) = schedule.start_next() else { break };
            let lasts = seconds.get(id).copied().unwrap_or_default();
            running.push(Reverse((now.saturating_add(micros(lasts)), id)));
        }
        let Some(Reverse((end, id))) = running.pop() else { break };
        now = end;
        schedule.finish(id);
        let end = float(end) / 1e6;
        played.seconds = end;
        if let Some(class) = class_of.get(id) {
            played.classes.insert(*class, end);
        }
    }
    Ok(played)
}

/// How long pieces take that any connection can do, the longest first.
pub fn spread(pieces: &[f64], jobs: usize) -> f64 {
    let longest = pieces.iter().copied().fold(0.0, f64::max);
    let share = pieces.iter().sum::<f64>() / float(u64::try_from(jobs.max(1)).unwrap_or(u64::MAX));
    longest.max(share)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a time to be estimated: what is beyond is for ever"
)]
fn micros(seconds: f64) -> u64 {
    (seconds.max(0.0) * 1e6) as u64
}

#[expect(clippy::cast_precision_loss, reason = "a figure to estimate with")]
fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_found_again() {
        let measured: Vec<(u64, f64)> = (1..20).map(|n| (n * 1000, 0.5 + float(n) * 0.25)).collect();
        let line = Line::fit(&measured).unwrap();
        assert!((line.at(100_000) - 25.5).abs() < 1e-6, "{line:?}");
        assert_eq!(Line::fit(&[]), None);
        let falling = Line::fit(&[(1, 4.0), (100, 2.0)]).unwrap();
        assert_eq!((falling.fixed, falling.per_byte), (3.0, 0.0));
        let through_nothing = Line::fit(&[(1000, 0.5), (2000, 4.0)]).unwrap();
        assert!(through_nothing.fixed <= 0.0);
    }

    #[test]
    fn a_schedule_takes_its_longest_way() {
        let task = |after: &[usize], class| Task { after: after.to_vec(), class, cost: 1, ..Task::default() };
        let tasks = || vec![(task(&[], 0), 2.0), (task(&[], 1), 3.0), (task(&[0], 0), 4.0)];
        let two = play(tasks(), 2).unwrap();
        assert_eq!((two.seconds, two.classes[&0], two.classes[&1]), (6.0, 6.0, 3.0));
        assert!((play(tasks(), 1).unwrap().seconds - 9.0).abs() < 1e-6);
        assert!((spread(&[1.0, 1.0, 4.0], 2) - 4.0).abs() < 1e-6);
    }

    #[test]
    fn more_connections_than_processors_are_no_faster() {
        let line = Line { fixed: 1.0, ..Line::default() };
        let rates = Rates {
            works: BTreeMap::from([("load".to_owned(), line)]),
            jobs: 2,
            processors: 2,
            ..Rates::default()
        };
        for (jobs, expected) in [(1, 1.0), (2, 1.0), (8, 4.0)] {
            assert!((rates.seconds("load", 0, jobs) - expected).abs() < 1e-6, "{jobs}");
        }
    }
}
