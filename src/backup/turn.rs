//! One run at a time: a lock at the server, so that a backup that takes longer than a day does not meet the next one.
//!
//! It is an advisory lock of the database itself (manual, section 13.3.5), held by a session of its own: it holds against runs on
//! every host, and goes with the session however the run ends, so that nothing stale is ever left to be cleaned up. A lock file
//! beside it would see less (one host) and outlive crashes; there is none. After a failover two runs may overlap: each is
//! complete in itself.

use crate::error::{Error, ErrorKind, Result};
use crate::pg::{ConnectOptions, Session, SessionKind};

/// The lock's two numbers: "pgca", "sk" and the version of this meaning. Advisory locks are those of one database.
const LOCK: (i32, i32) = (0x7067_6361, 0x736b_0001);

/// The right to back up this database, for as long as it is kept.
#[derive(Debug)]
pub struct Turn {
    _session: Session,
}

/// Takes the right to back up a database.
///
/// # Errors
/// [`ErrorKind::Refused`] when another run has it, with who that is; those of connecting.
pub async fn take(source: &ConnectOptions) -> Result<Turn> {
    let session = Box::pin(Session::open(source, SessionKind::Source)).await?;
    let (high, low) = LOCK;
    let taken = session
        .query_one_text(&format!("SELECT pg_catalog.pg_try_advisory_lock({high}, {low})::text"))
        .await?;
    if taken.as_deref() == Some("true") {
        return Ok(Turn { _session: session });
    }
    let holder = session
        .query_one_text(&format!(
            "SELECT pg_catalog.concat_ws(' ', 'pid', l.pid, 'of', a.usename, 'from', COALESCE(pg_catalog.host(a.client_addr), \
             'the same host'), 'since', pg_catalog.date_trunc('second', a.backend_start)) FROM pg_catalog.pg_locks l LEFT JOIN \
             pg_catalog.pg_stat_activity a ON a.pid = l.pid WHERE l.locktype = 'advisory' AND l.classid = {high} AND l.objid = {low} \
             AND l.granted AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = \
             pg_catalog.current_database()) LIMIT 1"
        ))
        .await?;
    let who = holder.map(|text| format!(": {text}")).unwrap_or_default();
    let what = format!("another backup of {} is running{who}", source.display());
    Err(Error::new(ErrorKind::Refused, what)
        .hint("wait for its end; without --no-overlap both run at the same time"))
}
