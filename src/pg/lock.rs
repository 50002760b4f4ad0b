//! Shared locks on what is backed up, so that nothing is dropped or altered meanwhile.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::error::{BlockedRelation, PgError};
use super::quote::{literal, printable, qualified};
use super::session::Session;

/// A relation as the catalog had it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct LockTarget {
    /// `pg_class.oid`.
    pub oid: u32,
    /// The schema's name.
    pub schema: String,
    /// The relation's name.
    pub name: String,
    /// `pg_class.relkind`.
    pub relkind: char,
}

impl LockTarget {
    /// The qualified, quoted name.
    pub fn qualified(&self) -> String {
        qualified(Some(&self.schema), &self.name)
    }

    /// `LOCK TABLE` takes tables, partitioned tables and views; a view's lock would spread to what it reads.
    fn is_lockable(&self) -> bool {
        matches!(self.relkind, 'r' | 'p')
    }

    /// Whether such a relation has a file.
    fn has_storage(&self) -> bool {
        matches!(self.relkind, 'r' | 'm' | 'S' | 'i' | 't')
    }
}

/// How long to wait for locks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LockPolicy {
    /// How long one attempt may stand in the queue, holding up who comes after it.
    pub attempt: Duration,
    /// When to give up on the whole.
    pub deadline: Duration,
    /// How many relations one statement locks.
    pub batch: usize,
}

impl Default for LockPolicy {
    fn default() -> Self {
        Self { attempt: Duration::from_secs(2), deadline: Duration::from_mins(5), batch: 500 }
    }
}

const SAVEPOINT: &str = "SAVEPOINT pgcask_lock";
const ROLLBACK: &str = "ROLLBACK TO SAVEPOINT pgcask_lock; RELEASE SAVEPOINT pgcask_lock";
const RELEASE: &str = "RELEASE SAVEPOINT pgcask_lock";

/// Locks the tables among the relations in `ACCESS SHARE` mode, and makes sure that every relation, table or not, is
/// still what the catalog said. The session must be in a transaction; the locks last until its end.
///
/// An attempt that times out does not fail the transaction: its relations are tried again, in smaller batches, after
/// the others, until the deadline.
///
/// # Errors
/// [`PgError::LockTimeout`] names the relations and who is in the way; [`PgError::Changed`] a relation that was
/// dropped or replaced. [`PgError::LocksFull`] if `max_locks_per_transaction` is too small.
pub async fn lock_all(session: &Session, targets: &[LockTarget], policy: LockPolicy) -> Result<(), PgError> {
    let started = Instant::now();
    let lockable: Vec<&LockTarget> = targets.iter().filter(|target| target.is_lockable()).collect();
    let mut queue: VecDeque<Vec<&LockTarget>> =
        lockable.chunks(policy.batch.max(1)).map(<[&LockTarget]>::to_vec).collect();
    session.execute(&format!("SET LOCAL lock_timeout = {}", policy.attempt.as_millis().max(1))).await?;
    while let Some(batch) = queue.pop_front() {
        if try_lock(session, &batch, "").await? {
            continue;
        }
        let middle = batch.len() / 2;
        let (left, right) = batch.split_at(middle);
        queue.extend([left, right].into_iter().filter(|half| !half.is_empty()).map(<[&LockTarget]>::to_vec));
        if started.elapsed() >= policy.deadline {
            let blocked = last_try(session, queue.drain(..).flatten().collect()).await?;
            if !blocked.is_empty() {
                return Err(PgError::LockTimeout { blocked });
            }
        }
    }
    session.execute("SET LOCAL lock_timeout = 0").await?;
    recheck(session, targets).await
}

/// Locks one relation for a worker, without waiting: where someone waits for a stronger lock, standing behind him
/// while the coordinator holds its own would never end. The session must be in a transaction, which goes on after a
/// failure.
///
/// # Errors
/// [`PgError::LockTimeout`] names the relation and who is in the way; [`PgError::Changed`].
pub async fn lock_nowait(session: &Session, target: &LockTarget) -> Result<(), PgError> {
    if target.is_lockable() && !try_lock(session, &[target], " NOWAIT").await? {
        let blocked = vec![describe(session, target).await];
        return Err(PgError::LockTimeout { blocked });
    }
    recheck(session, std::slice::from_ref(target)).await
}

/// Whether the locks were had; if not, the transaction is as before.
async fn try_lock(session: &Session, batch: &[&LockTarget], suffix: &str) -> Result<bool, PgError> {
    let names: Vec<String> = batch.iter().map(|target| format!("ONLY {}", target.qualified())).collect();
    session.execute(SAVEPOINT).await?;
    let lock = format!("LOCK TABLE {} IN ACCESS SHARE MODE{suffix}", names.join(", "));
    let error = match session.execute(&lock).await {
        Ok(()) => return session.execute(RELEASE).await.map(|()| true),
        Err(error @ PgError::Lost { .. }) => return Err(error),
        Err(error) => error,
    };
    session.execute(ROLLBACK).await?;
    match error.sqlstate() {
        // lock_not_available; and a deadlock that the server resolved at our cost.
        Some("55P03" | "40P01") => Ok(false),
        // undefined_table, invalid_schema_name, wrong_object_type: say which one it is.
        Some("42P01" | "3F000" | "42809") => {
            let owned: Vec<LockTarget> = batch.iter().map(|target| (*target).clone()).collect();
            recheck(session, &owned).await?;
            Err(error)
        }
        _ => Err(error),
    }
}

/// One quick try each, after the deadline: a batch that timed out holds many that nobody blocks. Returns those that
/// somebody does.
async fn last_try(session: &Session, rest: Vec<&LockTarget>) -> Result<Vec<BlockedRelation>, PgError> {
    let mut blocked = Vec::new();
    for target in rest {
        if !try_lock(session, &[target], " NOWAIT").await? {
            blocked.push(describe(session, target).await);
        }
    }
    Ok(blocked)
}

/// The relations of the database that somebody holds locked against readers, and who: for a statement that timed out on
/// a lock and does not say on which.
///
/// # Errors
/// Those of the query.
pub async fn locked_by_others(session: &Session) -> Result<Vec<BlockedRelation>, PgError> {
    let sql = "SELECT DISTINCT c.oid::pg_catalog.int8 AS oid, n.nspname AS schema, c.relname AS name, \
               c.relkind::pg_catalog.text AS relkind FROM pg_catalog.pg_locks l \
               JOIN pg_catalog.pg_class c ON c.oid = l.relation JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
               WHERE l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock' AND l.granted \
               AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()) \
               AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') ORDER BY 2, 3";
    let mut blocked = Vec::new();
    for target in session.query_json::<LockTarget>(sql).await? {
        blocked.push(describe(session, &target).await);
    }
    Ok(blocked)
}

/// Only `ACCESS EXCLUSIVE` conflicts with our lock, held or waited for.
async fn describe(session: &Session, target: &LockTarget) -> BlockedRelation {
    let sql = format!(
        "SELECT pg_catalog.format('pid %s%s', l.pid, CASE WHEN a.pid IS NOT NULL THEN pg_catalog.format(', %s, %s: \
         %s', a.usename, a.state, pg_catalog.left(a.query, 100)) END) FROM pg_catalog.pg_locks l LEFT JOIN \
         pg_catalog.pg_stat_activity a ON a.pid = l.pid WHERE l.locktype = 'relation' AND l.relation = {}::\
         pg_catalog.oid AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = \
         pg_catalog.current_database()) AND l.mode = 'AccessExclusiveLock' ORDER BY l.granted DESC, l.pid",
        target.oid
    );
    // Who is in the way is a courtesy: a failure to find out must not hide the failure to lock.
    let rows = session.query_text(&sql).await.unwrap_or_default();
    let blockers = rows.into_iter().flatten().flatten().map(|text| printable(&text)).collect();
    BlockedRelation { relation: target.qualified(), blockers }
}

struct Seen {
    /// The target's place, from 1.
    at: usize,
    oid: Option<u32>,
    storage: bool,
}

/// A text as an element of an array's text (manual, section 8.15.6).
fn array_element(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Compares each name's present OID, and whether it has storage, with the catalog's word. `to_regclass` and
/// `pg_relation_filenode` look at the catalog as it is now, where a query on `pg_class` would see the transaction's
/// snapshot; a table that became a view (possible before 16) keeps its OID and loses its storage.
async fn recheck(session: &Session, targets: &[LockTarget]) -> Result<(), PgError> {
    if targets.is_empty() {
        return Ok(());
    }
    // As arrays: of a list of values the server would make and plan an expression each.
    let names: Vec<String> = targets.iter().map(|target| array_element(&target.qualified())).collect();
    let oids: Vec<String> = targets.iter().map(|target| target.oid.to_string()).collect();
    let sql = format!(
        "SELECT v.at, pg_catalog.to_regclass(v.name)::pg_catalog.oid, pg_catalog.pg_relation_filenode(v.oid) IS NOT NULL \
         FROM ROWS FROM (pg_catalog.unnest({}::pg_catalog.text[]), pg_catalog.unnest('{{{}}}'::pg_catalog.oid[])) \
         WITH ORDINALITY AS v(name, oid, at)",
        literal(&format!("{{{}}}", names.join(","))),
        oids.join(",")
    );
    let mut found = Vec::with_capacity(targets.len());
    session
        .each_row(&sql, |row| {
            let oid = row.get(1)?.map(|_| row.parsed(1)).transpose()?;
            found.push(Seen { at: row.parsed(0)?, oid, storage: row.flag(2)? });
            Ok(())
        })
        .await?;
    for seen in found {
        let Some(target) = seen.at.checked_sub(1).and_then(|at| targets.get(at)) else {
            continue;
        };
        let what = match seen.oid {
            None => "it was dropped or renamed".to_owned(),
            Some(oid) if oid != target.oid => "another relation has its name now".to_owned(),
            Some(_) if seen.storage != target.has_storage() => {
                format!("it is no longer of kind \"{}\"", target.relkind)
            }
            Some(_) => continue,
        };
        return Err(PgError::Changed { relation: target.qualified(), what });
    }
    Ok(())
}
