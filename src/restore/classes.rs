//! The moments at which the classes of priority are complete.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use serde::Serialize;

use crate::plan::priority::{REST, name_of, up_to};
use crate::plan::restore::Step;
use crate::plan::schedule::Task;

/// When a class was complete: its rows, indexes and keys.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassComplete {
    /// `P0`, `P1`… and `rest`.
    pub class: String,
    /// Seconds since the restore began.
    pub seconds: f64,
}

/// Counts what each class still has to do.
#[derive(Debug)]
pub(super) struct Classes {
    began: Instant,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    left: BTreeMap<u8, usize>,
    complete: Vec<ClassComplete>,
}

impl Classes {
    pub(super) fn new() -> Self {
        Self { began: Instant::now(), state: Mutex::default() }
    }

    /// Takes note of what is to be done, and gives it: all of it, or what one must do to complete a class.
    pub(super) fn begin(&self, tasks: Vec<(Step, Task)>, stop_after: Option<u8>) -> Vec<(Step, Task)> {
        let tasks = match stop_after {
            Some(class) => up_to(tasks, class),
            None => tasks,
        };
        let classes = tasks.iter().map(|(_, task)| task.class);
        self.count(classes.filter(|class| stop_after.is_none_or(|last| *class <= last)));
        tasks
    }

    fn count(&self, classes: impl Iterator<Item = u8>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.left.clear();
        for class in classes {
            *state.left.entry(class.min(REST)).or_default() += 1;
        }
    }

    /// Takes note that something is done.
    pub(super) fn finish(&self, class: u8) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(left) = state.left.get_mut(&class.min(REST)) else { return };
        *left = left.saturating_sub(1);
        // A class is complete when those before it are, too.
        while let Some((class, 0)) = state.left.first_key_value().map(|(class, left)| (*class, *left)) {
            state.left.remove(&class);
            let seconds = self.began.elapsed().as_secs_f64();
            state.complete.push(ClassComplete { class: name_of(class), seconds });
        }
    }

    /// The classes that are complete, in order.
    pub(super) fn complete(&self) -> Vec<ClassComplete> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).complete.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_complete_when_those_before_it_are() {
        let classes = Classes::new();
        classes.count([0, 0, 1, REST, u8::MAX].into_iter());
        let names = |classes: &Classes| -> Vec<String> {
            classes.complete().into_iter().map(|complete| complete.class).collect()
        };
        classes.finish(1);
        classes.finish(0);
        assert!(names(&classes).is_empty());
        classes.finish(0);
        assert_eq!(names(&classes), ["P0", "P1"]);
        classes.finish(u8::MAX);
        classes.finish(REST);
        assert_eq!(names(&classes), ["P0", "P1", "rest"]);
    }
}
