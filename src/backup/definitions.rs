//! The definitions that go into the archive.

use std::collections::BTreeSet;

use super::Options;
use crate::catalog::model::Model;
use crate::catalog::reader;
use crate::error::Result;
use crate::event::{Event, SharedObserver};
use crate::pg::lock::locked_by_others;
use crate::pg::{PgError, Session, SessionKind};
use crate::plan::choose::choose;

/// What the server reports when `lock_timeout` is over; it does not say which relation is locked.
const LOCK_NOT_AVAILABLE: &str = "55P03";

/// Reads the definitions of what was chosen, over several sessions of one snapshot.
pub(super) async fn read(
    options: &Options,
    sessions: &[&Session],
    observer: &SharedObserver,
) -> Result<Model> {
    observer.event(Event::Phase { name: "reading the catalog" });
    // What is left out is not locked, but a view's text cannot be had while a table below it is being altered.
    let patience = i32::try_from(options.lock_timeout.as_millis()).unwrap_or(i32::MAX).max(1);
    for session in sessions {
        session.execute(&format!("SET LOCAL lock_timeout = {patience}")).await?;
    }
    let mut model = match reader::read_model(sessions).await {
        Err(error) if error.sqlstate() == Some(LOCK_NOT_AVAILABLE) => {
            return Err(named(options, error).await.into());
        }
        read => read?,
    };
    for session in sessions {
        session.execute("SET LOCAL lock_timeout = 0").await?;
    }
    choose(&mut model, &options.selection, &BTreeSet::new());
    for warning in &model.warnings {
        observer.event(Event::Warning { message: warning.clone() });
    }
    Ok(model)
}

/// The error of a timeout, with what is locked. Asked in another session, for ours has failed.
async fn named(options: &Options, error: PgError) -> PgError {
    let Ok(session) = Session::open(&options.source, SessionKind::Source).await else { return error };
    match locked_by_others(&session).await {
        Ok(blocked) if !blocked.is_empty() => PgError::LockTimeout { blocked },
        _ => error,
    }
}
