//! What a restore that keeps going could not restore.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use crate::error::{Error, ErrorKind, Result};
use crate::event::{Event, SharedObserver};
use crate::plan::restore::Step;

/// Failures so far. Without leave to keep going, none is kept: the first one ends the restore.
#[derive(Debug)]
pub(super) struct Failures {
    keep_going: bool,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    messages: Vec<String>,
    loads: BTreeSet<usize>,
}

impl Failures {
    pub(super) fn new(keep_going: bool) -> Self {
        Self { keep_going, kept: Mutex::default() }
    }

    /// Whether single objects may fail.
    pub(super) const fn are_kept(&self) -> bool {
        self.keep_going
    }

    /// Keeps the failure of a step, or passes on what is not one object's: a lost server, a damaged archive, a stop.
    pub(super) fn keep(&self, step: Option<Step>, error: Error, observer: &SharedObserver) -> Result<()> {
        if !self.keep_going {
            return Err(error);
        }
        self.note(step, error, observer)
    }

    /// Keeps a failure that is no reason to end, whatever was asked for; passes on what is not one object's.
    pub(super) fn note(&self, step: Option<Step>, error: Error, observer: &SharedObserver) -> Result<()> {
        if error.kind() != ErrorKind::Failed {
            return Err(error);
        }
        let mut message = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(inner) = cause {
            message = format!("{message}: {inner}");
            cause = inner.source();
        }
        observer.event(Event::Warning { message: message.clone() });
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.messages.push(message);
        if let Some(Step::Load { load, .. }) = step {
            kept.loads.insert(load);
        }
        Ok(())
    }

    /// Whether rows of a load are missing.
    pub(super) fn has_load(&self, load: usize) -> bool {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).loads.contains(&load)
    }

    /// All of them, in the order in which they came.
    pub(super) fn messages(&self) -> Vec<String> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).messages.clone()
    }
}
