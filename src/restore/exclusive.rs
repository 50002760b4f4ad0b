//! One restore at a time into a database: two would take turns in breaking each other.

use crate::error::{Error, ErrorKind, Result};
use crate::pg::Session;
use crate::pg::quote::printable;

/// The advisory lock that a restore holds in its target: "pgca", "rest".
const KEY: &str = "1885823841, 1919251316";

/// Who holds it.
const HOLDER: &str = "SELECT l.pid FROM pg_catalog.pg_locks l WHERE l.locktype = 'advisory' AND l.granted \
    AND l.classid = 1885823841 AND l.objid = 1919251316 AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d \
    WHERE d.datname = pg_catalog.current_database())";

/// Claims the target for this restore, until the first of its sessions ends.
///
/// # Errors
/// [`ErrorKind::Refused`] when another restore is at work there.
pub(super) async fn claim(sessions: &[Session]) -> Result<()> {
    let Some(session) = sessions.first() else { return Ok(()) };
    let sql = format!("SELECT pg_catalog.pg_try_advisory_lock({KEY})");
    if session.query_one_text(&sql).await?.as_deref() == Some("t") {
        return Ok(());
    }
    let holder = session.query_one_text(HOLDER).await?;
    let holder = holder.map_or_else(String::new, |pid| format!(" (pid {pid})"));
    let database = printable(&session.info().database);
    let message = format!("another restore into {database} is at work{holder}");
    Err(Error::new(ErrorKind::Refused, message).hint("wait for its end, or restore into another database"))
}
