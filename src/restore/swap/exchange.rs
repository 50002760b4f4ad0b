//! The one transaction that puts a database in another's place.
//!
//! The first rename takes the lock that every new session needs, and then waits for the sessions that are there, which
//! another connection ends. So nobody gets in between, and the flag `ALLOW_CONNECTIONS` is not needed: whatever happens
//! to us, the server rolls back to a database that takes connections.

use std::pin::pin;
use std::time::{Duration, Instant};

use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::event::{Event, SharedObserver};
use crate::pg::quote::{ident, literal, printable};
use crate::pg::{ConnectOptions, Session};
use crate::restore::prepare::maintenance;
use crate::stop::Stop;

/// How often sessions that came back are ended.
const TERMINATE_EVERY: Duration = Duration::from_millis(50);

/// How long a rename waits for others who alter, copy or comment on the database; the server itself waits five seconds
/// for sessions to go.
const LOCK_TIMEOUT: &str = "5s";

/// How long the exchange is tried, lost connections included.
const DEADLINE: Duration = Duration::from_mins(2);

/// Who takes whose place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Exchange<'a> {
    /// The name in question. `None`: no database has it, and nobody must leave.
    pub(super) live: &'a str,
    /// Whether a database has that name.
    pub(super) is_there: bool,
    /// What the one that has it is called afterwards.
    pub(super) becomes: &'a str,
    /// The one that gets the name.
    pub(super) taker: &'a str,
}

/// What an exchange did.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Exchanged {
    /// Sessions that were ended.
    pub(super) terminated: u64,
    /// From the first try to the commit: at most so long the name led nowhere.
    pub(super) seconds: f64,
}

/// Exchanges, in one transaction, tried again while sessions or locks are in the way, until a deadline.
pub(super) async fn exchange(
    target: &ConnectOptions,
    exchange: Exchange<'_>,
    observer: &SharedObserver,
    stop: &Stop,
) -> Result<Exchanged> {
    let began = Instant::now();
    let mut terminated = 0;
    loop {
        stop.check()?;
        let error = match once(target, exchange, &mut terminated).await {
            Ok(()) => return Ok(Exchanged { terminated, seconds: began.elapsed().as_secs_f64() }),
            Err(error) => error,
        };
        // object_in_use, lock_not_available, deadlock_detected
        let in_the_way = matches!(error.sqlstate(), Some("55006" | "55P03" | "40P01"));
        let again = in_the_way || error.kind() == ErrorKind::Server;
        if !again || began.elapsed() >= DEADLINE {
            let doing =
                format!("put {} in the place of {}", printable(exchange.taker), printable(exchange.live));
            return Err(error.context(doing).hint("both databases are as they were, and take connections"));
        }
        observer.event(Event::Info { message: format!("the swap is tried again: {error}") });
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(500)) => {}
            () = stop.requested() => {}
        }
    }
}

async fn once(target: &ConnectOptions, exchange: Exchange<'_>, terminated: &mut u64) -> Result<()> {
    let away = target.with_database(exchange.live);
    let renamer = maintenance(&away).await?;
    // A connection that was lost at the commit leaves open whether it was one.
    if is_done(&renamer, exchange).await? {
        return Ok(());
    }
    let terminator = maintenance(&away).await?;
    renamer
        .execute(&format!(
            "BEGIN; SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'; SET LOCAL synchronous_commit = on"
        ))
        .await?;
    if exchange.is_there {
        rename(&renamer, &terminator, exchange.live, exchange.becomes, terminated).await?;
    }
    rename(&renamer, &terminator, exchange.taker, exchange.live, terminated).await?;
    Ok(renamer.execute("COMMIT").await?)
}

async fn is_done(session: &Session, exchange: Exchange<'_>) -> Result<bool> {
    let sql = format!(
        "SELECT NOT EXISTS (SELECT FROM pg_catalog.pg_database d WHERE d.datname = {taker}) \
         AND EXISTS (SELECT FROM pg_catalog.pg_database d WHERE d.datname = {live})",
        taker = literal(exchange.taker),
        live = literal(exchange.live),
    );
    Ok(session.query_one_text(&sql).await?.as_deref() == Some("t"))
}

/// Renames a database while another connection ends the sessions in it. No request to end any is under way when this
/// returns: it would hit the first who connects to the database that has the name then.
async fn rename(
    renamer: &Session,
    terminator: &Session,
    from: &str,
    to: &str,
    terminated: &mut u64,
) -> Result<()> {
    let doing = || format!("rename {}", printable(from));
    let oid = format!("SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = {}", literal(from));
    let oid = terminator
        .query_one_text(&oid)
        .await?
        .ok_or_else(|| Error::new(ErrorKind::Failed, format!("the database {} is gone", printable(from))))?;
    let sql = format!("ALTER DATABASE {} RENAME TO {}", ident(from), ident(to));
    let mut renaming = pin!(renamer.execute(&sql));
    loop {
        tokio::select! {
            biased;
            renamed = &mut renaming => return renamed.context(doing),
            () = tokio::time::sleep(TERMINATE_EVERY) => {}
        }
        match terminate(terminator, &oid).await {
            Ok(count) => *terminated += count,
            Err(error) => {
                // The first error tells; the end of the session would end the rename too, only later.
                drop(renamer.cancel().await);
                return Err(error.context(doing()));
            }
        }
    }
}

/// Ends the sessions in a database, given by its OID; gives how many there were.
async fn terminate(session: &Session, oid: &str) -> Result<u64> {
    let sql = format!(
        "SELECT pg_catalog.count(*) FILTER (WHERE pg_catalog.pg_terminate_backend(a.pid)) FROM pg_catalog.pg_stat_activity a \
         WHERE a.datid = {oid} AND a.pid <> pg_catalog.pg_backend_pid() AND a.backend_type NOT LIKE 'autovacuum%'",
    );
    let ended = session.query_one_text(&sql).await.map_err(Error::from);
    let ended = ended.map_err(|error| match error.sqlstate() {
        // insufficient_privilege
        Some("42501") => error.hint(
            "sessions of superusers can be ended by superusers only, others by members of pg_signal_backend",
        ),
        _ => error,
    });
    let ended = ended.context(|| "end the sessions in the database".to_owned())?;
    Ok(ended.and_then(|text| text.parse().ok()).unwrap_or(0))
}
