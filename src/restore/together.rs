//! Statements that are sent together. A restore of many small objects would else wait for most of its time, for one answer
//! after the other.

use super::progress::Ledger;
use super::steps::Steps;
use crate::error::{Error, ErrorKind, Result};
use crate::pg::Session;
use crate::plan::restore::Step;

/// What is done by statements alone, each of which has to succeed.
#[derive(Debug)]
pub(super) struct Part {
    /// For people.
    pub(super) doing: String,
    pub(super) statements: Vec<String>,
    /// That it is done.
    pub(super) mark: Option<String>,
}

/// `deadlock_detected`.
pub(super) const DEADLOCK: &str = "40P01";

/// Whether the server ended a statement to break a deadlock.
pub(super) fn is_deadlock(error: &Error) -> bool {
    error.sqlstate() == Some(DEADLOCK)
}

impl Steps {
    /// A step as a part; nothing for one that is more than statements, or may fail.
    pub(super) fn part(&self, step: Step) -> Option<Part> {
        let statements = match step {
            Step::Create(item) => {
                let entry = self.definitions.entries.get(item)?;
                let plain = !self.needed.contains(&entry.head.id)
                    && !self.is_tolerated(Some(step))
                    && self.definitions.attached_index(item).is_none();
                plain.then(|| self.definitions.create(item))?
            }
            Step::Finish(item) => self.definitions.finish(item),
            Step::Load { .. } | Step::Loaded(_) | Step::AllLoaded | Step::Analyze(_) | Step::Refresh(_) => {
                return None;
            }
        };
        Some(Part { doing: self.describe(step).unwrap_or_default(), statements, mark: self.mark_of(step) })
    }

    /// Does all parts and marks them, in one transaction. If one fails nothing is done, and no transaction is open.
    pub(super) async fn send(&self, session: &Session, parts: Vec<Part>) -> Result<()> {
        let (mut all, mut ends, mut marks) = (vec!["BEGIN".to_owned()], Vec::new(), Vec::new());
        for Part { doing, statements, mark } in parts {
            all.extend(statements);
            ends.push((all.len(), doing));
            marks.extend(mark);
        }
        if self.ledger.is_some() {
            all.extend(Ledger::write_sql(&marks));
        }
        all.push("COMMIT".to_owned());
        if let Err((at, error)) = session.execute_each(&all).await {
            let error = Error::from(error);
            let doing = ends.into_iter().find(|(end, _)| at < *end);
            return Err(match doing {
                Some((_, doing)) => error.context(doing),
                None => error,
            });
        }
        if let Some(ledger) = &self.ledger {
            ledger.keep(marks);
        }
        Ok(())
    }

    /// As [`send`](Self::send); but gives `false` where a failure is kept, or may pass: then the parts are to be done one by one.
    pub(super) async fn sent(&self, session: &Session, parts: Vec<Part>) -> Result<bool> {
        match self.send(session, parts).await {
            Ok(()) => Ok(true),
            Err(error)
                if error.kind() == ErrorKind::Failed && (self.failures.are_kept() || is_deadlock(&error)) =>
            {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}
