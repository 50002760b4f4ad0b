//! What the task that drives a connection tells the session that uses it.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use tokio_postgres::error::DbError;

use super::error::{PgError, ServerError};

/// How many warnings of the server are kept. A restore that provokes more has said enough.
const WARNINGS: usize = 100;

#[derive(Debug, Default)]
struct Told {
    end: Option<String>,
    warnings: VecDeque<ServerError>,
}

/// Shared between a session and the task of its connection.
#[derive(Debug, Default)]
pub(crate) struct LinkState(Mutex<Told>);

impl LinkState {
    fn with<T>(&self, act: impl FnOnce(&mut Told) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Keeps a warning; notices and lesser ones are dropped, and so is the oldest when there are too many.
    pub(crate) fn notice(&self, notice: &DbError) {
        if notice.parsed_severity() != Some(tokio_postgres::error::Severity::Warning) {
            return;
        }
        let report = ServerError::new(notice, None);
        self.with(|told| {
            if told.warnings.len() >= WARNINGS {
                told.warnings.pop_front();
            }
            told.warnings.push_back(report);
        });
    }

    /// The connection is over, for this reason.
    pub(crate) fn end(&self, reason: String) {
        self.with(|told| told.end = Some(reason));
    }

    /// Adds to a lost connection what is known of its end.
    pub(crate) fn explain(&self, error: PgError) -> PgError {
        match (error, self.with(|told| told.end.clone())) {
            (PgError::Lost { statement, reason }, Some(end)) if reason == "connection closed" => {
                PgError::Lost { statement, reason: end }
            }
            (error, _) => error,
        }
    }

    /// The warnings since the last call.
    pub(crate) fn take_warnings(&self) -> Vec<ServerError> {
        self.with(|told| told.warnings.drain(..).collect())
    }
}
