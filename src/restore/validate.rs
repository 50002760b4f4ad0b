//! Validation by itself: a database against an archive; and the foreign keys that a restore left to be validated later.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::checks::{self, Check};
use super::options::Options;
use super::{fill, prepare, progress, proof};
use crate::catalog::sql::PROGRESS_SCHEMA;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::event::{Event, SharedObserver};
use crate::opened::OpenArchive;
use crate::pg::quote::{ident, literal, printable};
use crate::pg::{ConnectOptions, PgError, Session, SessionKind, lock};
use crate::stop::Stop;

/// Checks a database against an archive; changes nothing. `options.target` is the database.
///
/// # Errors
/// When the server or the archive cannot be read. That a check failed is no error of this function: the table says it.
pub async fn validate(
    options: &Options,
    archive: &OpenArchive,
    observer: &SharedObserver,
    stop: &Stop,
) -> Result<Vec<Check>> {
    match Box::pin(checked(options, archive, observer, stop)).await {
        // lock_not_available
        Err(error) if error.sqlstate() == Some("55P03") => Err(in_the_way(&options.target, error).await),
        other => other,
    }
}

/// How long a table is waited for that somebody else has locked.
const READ_TIMEOUT: &str = "20s";

/// Says who has locked what could not be read.
async fn in_the_way(target: &ConnectOptions, error: Error) -> Error {
    let blocked = async {
        let session = Session::open(target, SessionKind::Target).await?;
        lock::locked_by_others(&session).await
    };
    // Who is in the way is a courtesy: a failure to find out must not hide the failure to lock.
    let blocked = blocked.await.unwrap_or_default();
    if blocked.is_empty() {
        return error.hint("somebody has a table locked; run it again when he is through");
    }
    error.hint(format!("{}; run it again when they are through", PgError::LockTimeout { blocked }))
}

async fn checked(
    options: &Options,
    archive: &OpenArchive,
    observer: &SharedObserver,
    stop: &Stop,
) -> Result<Vec<Check>> {
    let sessions = fill::open_readers(options).await?;
    for session in &sessions {
        session.execute(&format!("SET lock_timeout = '{READ_TIMEOUT}'")).await?;
    }
    let first = sessions.first().ok_or_else(|| Error::new(ErrorKind::Usage, "at least one job is needed"))?;
    let prepared = prepare::prepare(&options.wanted, options.means(), archive, None).await?;
    observer.event(Event::Total { bytes: prepared.bytes(), rows: prepared.rows() });
    let work = fill::work_for(prepared, options, archive, observer, first);
    let proofs = if options.verify && options.wanted.sections.data {
        Some(Box::pin(proof::prove(&work.steps, &sessions, stop)).await?)
    } else {
        None
    };
    checks::run(&work.steps, first, &work.sequences, proofs.as_deref(), &options.demands).await
}

/// A foreign key that a restore left to be validated later.
#[derive(Debug, Clone, Serialize)]
pub struct PendingKey {
    /// Its table, quoted.
    pub relation: String,
    /// Its name.
    pub name: String,
    /// Whether all rows satisfy it now; `None` before it was looked at.
    pub valid: Option<bool>,
    /// Why not.
    pub problem: Option<String>,
}

/// How long a validation waits for its lock before it lets others pass and tries again.
const LOCK_TIMEOUT: &str = "2s";

/// How long the lock of one key is tried for.
const DEADLINE: Duration = Duration::from_mins(10);

/// Validates the foreign keys that a restore with [`Options::defer_validation`] left. The lock that it takes lets
/// others read and write (`SHARE UPDATE EXCLUSIVE`; manual, `ALTER TABLE … VALIDATE CONSTRAINT`).
///
/// # Errors
/// When the server is lost or a lock is not had. A key that rows violate is told in the list, and stays pending.
pub async fn finish_validation(
    target: &ConnectOptions,
    observer: &SharedObserver,
    stop: &Stop,
) -> Result<Vec<PendingKey>> {
    let session = Session::open(target, SessionKind::Target).await?;
    let mut keys = pending(&session).await?;
    for key in &mut keys {
        stop.check()?;
        let began = Instant::now();
        let name = format!("{} of {}", ident(&key.name), key.relation);
        match finish_one(&session, key, stop).await {
            Ok(()) => key.valid = Some(true),
            // foreign_key_violation
            Err(error) if error.sqlstate() == Some("23503") => {
                (key.valid, key.problem) = (Some(false), Some(error.to_string()));
            }
            Err(error) => return Err(error.context(format!("validate {}", printable(&name)))),
        }
        let what = format!("validate {}", printable(&name));
        observer.event(Event::Done { what, seconds: began.elapsed().as_secs_f64() });
    }
    if keys.iter().all(|key| key.valid == Some(true)) && progress::find(&session).await?.is_none() {
        progress::forget(&session).await.context(|| "remove the list of foreign keys".to_owned())?;
    }
    Ok(keys)
}

/// The keys that are still to be validated.
async fn pending(session: &Session) -> Result<Vec<PendingKey>> {
    let there = format!("SELECT pg_catalog.to_regclass('{PROGRESS_SCHEMA}.pending') IS NOT NULL");
    if session.query_one_text(&there).await?.as_deref() != Some("t") {
        return Ok(Vec::new());
    }
    let sql = format!("SELECT relation, name FROM {PROGRESS_SCHEMA}.pending ORDER BY relation, name");
    let rows = session.query_text(&sql).await?;
    let key = |row: Vec<Option<String>>| match <[Option<String>; 2]>::try_from(row) {
        Ok([Some(relation), Some(name)]) => Some(PendingKey { relation, name, valid: None, problem: None }),
        _ => None,
    };
    Ok(rows.into_iter().filter_map(key).collect())
}

/// The same for a role that may not be allowed to see the list, as tables and names.
pub(super) async fn known_pending(session: &Session) -> Result<BTreeSet<(String, String)>> {
    let may = format!(
        "SELECT EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.nspname = '{PROGRESS_SCHEMA}' AND c.relname = 'pending' AND pg_catalog.has_schema_privilege(n.oid, 'USAGE') \
         AND pg_catalog.has_table_privilege(c.oid, 'SELECT'))"
    );
    if session.query_one_text(&may).await?.as_deref() != Some("t") {
        return Ok(BTreeSet::new());
    }
    Ok(pending(session).await?.into_iter().map(|key| (key.relation, key.name)).collect())
}

/// Validates one key and takes it off the list, in one transaction.
async fn finish_one(session: &Session, key: &PendingKey, stop: &Stop) -> Result<()> {
    let began = Instant::now();
    let sql = format!(
        "BEGIN; SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'; ALTER TABLE {relation} VALIDATE CONSTRAINT {name}; \
         DELETE FROM {PROGRESS_SCHEMA}.pending WHERE relation = {relation_text} AND name = {name_text}; COMMIT",
        relation = key.relation,
        name = ident(&key.name),
        relation_text = literal(&key.relation),
        name_text = literal(&key.name),
    );
    loop {
        stop.check()?;
        let Err(error) = session.execute(&sql).await else { return Ok(()) };
        if error.is_lost() {
            return Err(error.into());
        }
        session.execute("ROLLBACK").await?;
        // lock_not_available, deadlock_detected
        if !matches!(error.sqlstate(), Some("55P03" | "40P01")) || began.elapsed() > DEADLINE {
            return Err(error.into());
        }
    }
}
