//! Listens to a restore and keeps what happened when, for the report; writes it all into the log.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::event::{Event, Observer, SharedObserver};
use crate::pg::quote::printable;

/// Steps that a record keeps: the longest ones. A database has hundreds of thousands of objects.
const STEPS_KEPT: usize = 400;

/// Steps from which rates are measured, at most.
const STEPS_MEASURED: usize = 100_000;

/// A phase of the whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Phase {
    /// Its name.
    pub name: String,
    /// When it began, in seconds since the drill did.
    pub began: f64,
    /// How long it took.
    pub seconds: f64,
}

/// One step of the restore.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// What was done: `load`, `prove`, `analyze`, `fill`, or the kind of object that was made.
    pub work: String,
    /// The object.
    pub object: String,
    /// The connection, counted from 0.
    pub worker: u32,
    /// When it began, in seconds since the drill did.
    pub began: f64,
    /// How long it took.
    pub seconds: f64,
    /// What it cost by the plan's estimate, in bytes moved; for `load` and `prove` bytes of COPY text.
    pub cost: u64,
}

/// What a `Recorder` kept.
#[derive(Debug, Clone, Default)]
pub struct Timeline {
    /// The phases, in their order.
    pub phases: Vec<Phase>,
    /// The steps, in the order in which they ended: the first of them, where there are more than can be kept.
    pub steps: Vec<Step>,
    /// How many there were.
    pub steps_total: u64,
    /// Bytes of COPY text that were loaded by all of them.
    pub loaded_bytes: u64,
}

impl Timeline {
    /// The longest steps, in the order in which they began.
    pub fn longest(&self) -> Vec<Step> {
        let mut steps = self.steps.clone();
        steps.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
        steps.truncate(STEPS_KEPT);
        steps.sort_by(|a, b| a.began.total_cmp(&b.began));
        steps
    }
}

/// The listener: passes on what it hears.
#[derive(Debug)]
pub(super) struct Recorder {
    inner: SharedObserver,
    clock: Clock,
    began: Instant,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    timeline: Timeline,
    log: String,
}

impl Recorder {
    /// A listener whose time begins now.
    pub(super) fn new(inner: SharedObserver, clock: Clock) -> Self {
        Self { inner, clock, began: Instant::now(), state: Mutex::default() }
    }

    /// Seconds since it began.
    pub(super) fn now(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    /// Begins a phase.
    pub(super) fn phase(&self, name: &'static str) {
        self.event(Event::Phase { name });
    }

    /// A line of the log alone.
    pub(super) fn note(&self, text: &str) {
        let time = self.clock.now().strftime("%Y-%m-%dT%H:%M:%S%.3fZ");
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.log.push_str(&format!("{time} {}\n", printable(text)));
    }

    /// What was kept so far. The last phase ends now.
    pub(super) fn timeline(&self) -> Timeline {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        end_phase(&mut state, self.now());
        state.timeline.clone()
    }

    /// The log so far.
    pub(super) fn log(&self) -> String {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).log.clone()
    }

    fn keep(&self, event: &Event) {
        let now = self.now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Phase { name } => {
                end_phase(&mut state, now);
                let phase = Phase { name: (*name).to_owned(), began: now, seconds: 0.0 };
                state.timeline.phases.push(phase);
            }
            Event::Step { work, object, worker, seconds, cost } => {
                state.timeline.steps_total += 1;
                if *work == "load" {
                    state.timeline.loaded_bytes += cost;
                }
                if state.timeline.steps.len() >= STEPS_MEASURED {
                    return;
                }
                state.timeline.steps.push(Step {
                    work: (*work).to_owned(),
                    object: object.clone(),
                    worker: u32::try_from(*worker).unwrap_or(u32::MAX),
                    began: (now - seconds).max(0.0),
                    seconds: *seconds,
                    cost: *cost,
                });
            }
            _ => {}
        }
    }
}

fn end_phase(state: &mut State, now: f64) {
    if let Some(last) = state.timeline.phases.last_mut().filter(|phase| phase.seconds == 0.0) {
        last.seconds = now - last.began;
    }
}

impl Observer for Recorder {
    fn event(&self, event: Event) {
        self.keep(&event);
        match &event {
            Event::Phase { name } => self.note(&format!("-- {name}")),
            Event::Step { work, object, worker, seconds, .. } => {
                self.note(&format!("[{worker}] {work} {object}: {seconds:.3} s"));
            }
            Event::Done { what, seconds } => self.note(&format!("{what}: {seconds:.3} s")),
            Event::Warning { message } => self.note(&format!("warning: {message}")),
            Event::Notice { message } | Event::Info { message } => self.note(message),
            Event::Total { bytes, rows } => self.note(&format!("{bytes} bytes, {rows} rows")),
            Event::Progress { .. } => {}
        }
        self.inner.event(event);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::event::NullObserver;

    #[test]
    fn what_is_too_much_to_be_kept_is_counted() {
        let recorder = Recorder::new(Arc::new(NullObserver), Clock::System);
        let many = STEPS_MEASURED + 5;
        for number in 0..many {
            recorder.keep(&Event::Step {
                work: "load",
                object: number.to_string(),
                worker: 0,
                seconds: 0.1,
                cost: 2,
            });
        }
        let Timeline { steps, steps_total, loaded_bytes, .. } = recorder.timeline();
        let many = u64::try_from(many).unwrap();
        assert_eq!((steps.len(), steps_total, loaded_bytes), (STEPS_MEASURED, many, 2 * many));
    }
}
