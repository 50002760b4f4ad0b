//! Whether the server has room for the locks of a backup. Its table of locks has a fixed size, and whoever fills it makes
//! the statements of all others fail, too.

use serde::Deserialize;

use super::error::PgError;
use super::session::Session;

/// Tables that a worker keeps locked before it gives their locks back.
pub(crate) const WORKER_LOCKS: usize = 64;

/// The table's size as `lock.c` reckons it (`NLOCKENTS`), and what is taken of it now. Locks on the fast path are not in
/// it.
const ROOM: &str = "SELECT s.per_transaction * s.backends AS capacity, s.per_transaction, \
    (SELECT pg_catalog.count(*) FROM pg_catalog.pg_locks l WHERE NOT l.fastpath) AS used FROM (SELECT \
    pg_catalog.current_setting('max_locks_per_transaction')::pg_catalog.int8 AS per_transaction, \
    (SELECT pg_catalog.sum(g.setting::pg_catalog.int8) + 1 FROM pg_catalog.pg_settings g WHERE g.name IN \
    ('max_connections', 'max_prepared_transactions', 'max_worker_processes', 'max_wal_senders', \
    coalesce((SELECT x.name FROM pg_catalog.pg_settings x WHERE x.name = 'autovacuum_worker_slots'), \
    'autovacuum_max_workers'))) AS backends) s";

#[derive(Deserialize)]
struct Room {
    capacity: u64,
    per_transaction: u32,
    used: u64,
}

/// How many locks fit into the server's table.
///
/// # Errors
/// Those of the query.
pub async fn room(session: &Session) -> Result<u64, PgError> {
    Ok(read(session).await?.capacity)
}

async fn read(session: &Session) -> Result<Room, PgError> {
    let found = session.query_json::<Room>(ROOM).await?.into_iter().next();
    found.ok_or_else(|| PgError::Answer { statement: ROOM.to_owned(), reason: "no row".to_owned() })
}

/// Locks on the server's own catalogs and their indexes, which reading them takes until the transaction ends.
const CATALOGS: u64 = 200;

/// Says if the locks of a backup may be more than fit: one for each table, and those on catalogs. What several sessions
/// lock takes one place, and for each session half of one (the table of holders is twice as large).
///
/// The table of locks may grow into shared memory that nobody else wants, by how much cannot be asked: this is a warning.
///
/// # Errors
/// Those of the query.
pub(crate) async fn doubt(session: &Session, tables: usize, jobs: usize) -> Result<Option<String>, PgError> {
    let Room { capacity: room, per_transaction, used } = read(session).await?;
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    let held = CATALOGS.saturating_add(count(WORKER_LOCKS.min(tables))).saturating_mul(count(jobs));
    let wanted = count(tables).saturating_add(CATALOGS).max(count(tables).saturating_add(held) / 2);
    // `LockShmemSize` adds a tenth for safety.
    let fits = wanted.saturating_add(used) <= room.saturating_add(room / 10);
    Ok((!fits).then(|| {
        format!(
            "the backup needs {wanted} locks, one for each table and some for the catalogs, and the server is sure to have \
             room for {room} only ({used} of them taken; max_locks_per_transaction is {per_transaction}): if it has no more, \
             this backup fails, and others' statements may meanwhile"
        )
    }))
}
