//! The definitions that go into the archive.

use std::collections::BTreeSet;

use zeroize::Zeroizing;

use super::{Globals, Options};
use crate::catalog::globals::reader::{Passwords, Reading};
use crate::catalog::model::Model;
use crate::catalog::text_order::{self, Changed};
use crate::catalog::{globals as all_globals, reader};
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Event, SharedObserver};
use crate::pg::lock::locked_by_others;
use crate::pg::quote::{ident, printable};
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
    if let Some(session) = sessions.first() {
        warn_of_text_order(session, observer).await?;
    }
    Ok(model)
}

/// Says if indexes on texts may be out of order. The backup does not read by them, but they may have let doubles of unique
/// values in, which no restore can.
async fn warn_of_text_order(session: &Session, observer: &SharedObserver) -> Result<()> {
    for Changed { collation, was, now } in text_order::changed(session).await? {
        // Where no version was noted nobody can tell.
        let (Some(was), Some(now)) = (was, now) else { continue };
        let name = collation.as_deref().unwrap_or("the database");
        let message = printable(&format!(
            "the collation of {name} was of version {was} when indexes were built, and is of {now} now: searches may miss rows, and unique keys \
             on text hold doubles; REINDEX, then ALTER … REFRESH COLLATION VERSION"
        ));
        observer.event(Event::Warning { message });
    }
    Ok(())
}

/// The error of a timeout, with what is locked. Asked in another session, for ours has failed.
async fn named(options: &Options, error: PgError) -> PgError {
    let Ok(session) = Session::open(&options.source, SessionKind::Source).await else { return error };
    match locked_by_others(&session).await {
        Ok(blocked) if !blocked.is_empty() => PgError::LockTimeout { blocked },
        _ => error,
    }
}

/// Reads roles, tablespaces and what else the whole server has, as the section's bytes: they may hold password hashes.
pub(super) async fn globals(
    options: &Options,
    session: &Session,
    observer: &SharedObserver,
) -> Result<Option<Zeroizing<Vec<u8>>>> {
    if options.globals == Globals::Skip {
        return Ok(None);
    }
    let passwords = if options.role_passwords { Passwords::Read } else { Passwords::Skip };
    let read = all_globals::reader::read(session, passwords).await;
    let Reading { mut globals, denied } = read.map_err(|error| {
        let denied = options.role_passwords && error.sqlstate() == Some("42501");
        let error = Error::from(error).context("read roles and tablespaces");
        let hint = "only superusers may read password hashes: leave --role-passwords out";
        if denied { error.hint(hint) } else { error }
    })?;
    if !denied.is_empty() {
        let user = ident(&session.info().user);
        let message = printable(&format!("{} may not be read by {user}", denied.join(", ")));
        if options.globals == Globals::Required {
            return Err(Error::new(ErrorKind::Failed, message).hint("leave --globals out to go without them"));
        }
        globals.warnings.push(format!("left out: {message}"));
    }
    for warning in &globals.warnings {
        observer.event(Event::Warning { message: warning.clone() });
    }
    let bytes = globals.encode().map_err(|error| Error::new(ErrorKind::Failed, error.to_string()))?;
    Ok(Some(Zeroizing::new(bytes)))
}
