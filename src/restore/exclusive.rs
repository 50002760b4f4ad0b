//! One restore at a time into a database: two would take turns in breaking each other. What an earlier run left at work is told
//! from a run that is alive.

use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind, Result};
use crate::pg::Session;
use crate::pg::quote::{literal, printable};

/// The advisory lock that a restore holds in its target: "pgca", "rest".
const KEY: &str = "1885823841, 1919251316";

/// Who holds it.
const HOLDER: &str = "SELECT l.pid FROM pg_catalog.pg_locks l WHERE l.locktype = 'advisory' AND l.granted \
    AND l.classid = 1885823841 AND l.objid = 1919251316 AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d \
    WHERE d.datname = pg_catalog.current_database())";

/// Our own sessions in the database, but this one.
const OURS: &str = "pg_catalog.pg_stat_activity a WHERE a.datname = pg_catalog.current_database() \
    AND a.pid <> pg_catalog.pg_backend_pid() AND a.usename = current_user \
    AND a.application_name = pg_catalog.current_setting('application_name')";

/// Settings by which the server notices soon that a client is gone, its host or its network too: in the midst of building an
/// index, it would else go on to the end, holding its locks. Not every server has all of them on every platform.
const NOTICE: &str = "SELECT pg_catalog.set_config(w.name, w.value, false) FROM (VALUES ('client_connection_check_interval', '2s'), \
    ('tcp_keepalives_idle', '10s'), ('tcp_keepalives_interval', '5s'), ('tcp_keepalives_count', '4')) w(name, value) \
    WHERE pg_catalog.current_setting(w.name, true) IS NOT NULL";

/// How long sessions of a run that is gone may take to end: the server notices a lost client within seconds.
const GONE_WITHIN: Duration = Duration::from_secs(10);

/// Until when a killed client's last words may still arrive: what was sent together begins statement by statement.
const LAST_WORDS: &str = "3 s";

/// How long sessions that are told to end may take.
const ENDED_WITHIN: Duration = Duration::from_secs(20);

/// Claims the target for this restore, until the first of its sessions ends.
///
/// # Errors
/// [`ErrorKind::Refused`] when another restore is at work there.
pub(super) async fn claim(sessions: &[Session]) -> Result<()> {
    for session in sessions {
        // What a killed run leaves on a server that cannot ends later, no more.
        drop(session.execute(NOTICE).await);
    }
    let Some(session) = sessions.first() else { return Ok(()) };
    let sql = format!("SELECT pg_catalog.pg_try_advisory_lock({KEY})");
    if session.query_one_text(&sql).await?.as_deref() == Some("t") {
        return Ok(());
    }
    let pids: Vec<String> = holder(session).await?.into_iter().collect();
    Err(at_work(session, &pids))
}

/// The process of the server that holds the claim on the session's database, if a restore is at work in it.
pub(super) async fn holder(session: &Session) -> Result<Option<String>> {
    Ok(session.query_one_text(HOLDER).await?)
}

fn at_work(session: &Session, pids: &[String]) -> Error {
    let database = printable(&session.info().database);
    let which = if pids.is_empty() { String::new() } else { format!(" (pid {})", pids.join(", ")) };
    let message = format!("another restore into {database} is at work{which}");
    let error =
        Error::new(ErrorKind::Refused, message).hint("wait for its end, or restore into another database");
    if pids.is_empty() {
        return error;
    }
    error.hint(format!(
        "when it is certain that nobody runs it any more: SELECT pg_terminate_backend(pid) FROM unnest(ARRAY[{}]) pid, then --resume",
        pids.join(", ")
    ))
}

/// Waits for the end of what a run that was killed left at work in the database.
///
/// # Errors
/// [`ErrorKind::Refused`] when that run is alive: it begins new statements, or does not end.
pub(super) async fn after_earlier_run(session: &Session) -> Result<()> {
    let since = session.query_one_text("SELECT pg_catalog.clock_timestamp()::pg_catalog.text").await?;
    let later = format!(
        "a.query_start > {}::pg_catalog.timestamptz + interval '{LAST_WORDS}'",
        literal(&since.unwrap_or_default())
    );
    let sql = format!("SELECT a.pid, coalesce({later}, false) FROM {OURS} ORDER BY 1");
    let began = Instant::now();
    loop {
        let rows = session.query_text(&sql).await?;
        let is_alive = rows.iter().any(|row| row.get(1).is_some_and(|later| later.as_deref() == Some("t")));
        if rows.is_empty() {
            return Ok(());
        }
        if is_alive || began.elapsed() > GONE_WITHIN {
            let pids: Vec<String> =
                rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect();
            return Err(at_work(session, &pids));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Ends what this run left at work in the database when it lost its connections: the server may not have noticed yet that
/// nobody listens, and its locks would be in the way.
pub(super) async fn end_earlier_sessions(session: &Session) -> Result<()> {
    let sql = format!("SELECT pg_catalog.count(pg_catalog.pg_terminate_backend(a.pid)) FROM {OURS}");
    let began = Instant::now();
    while session.query_one_text(&sql).await?.is_some_and(|count| count != "0") {
        if began.elapsed() > ENDED_WITHIN {
            return Err(Error::new(ErrorKind::Failed, "sessions of an earlier run do not end"));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}
