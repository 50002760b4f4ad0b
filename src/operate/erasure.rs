//! When what was erased is gone from the backups, too: which of them can still hold a row, and until when.

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use serde::Serialize;

use crate::erasure::{Ledger, Recorded, Rows, Table, merged};
use crate::error::Result;
use crate::store::list::{Backup, Filter, list};
use crate::store::naming::Kind;
use crate::store::{Store, notes, searched, sidecar};

/// Sidecars read at the same time.
const READS: usize = 32;

/// A backup that can hold rows that were erased since.
#[derive(Debug, Clone, Serialize)]
pub struct Holder {
    /// Path or URL.
    pub archive: String,
    /// Its id.
    pub id: String,
    /// Its kind.
    pub kind: Kind,
    /// When it began.
    pub taken_at: Timestamp,
    /// Until when it is to be kept; `None` for ever, or nobody can tell.
    pub expires_at: Option<Timestamp>,
    /// Numbers of the holds that keep it beyond that.
    pub holds: Vec<u32>,
    /// That is over, and it is still there: `pgcask prune --apply` removes it.
    pub overdue: bool,
    /// The id of the backup without the rows that takes its place: `pgcask prune --apply` removes this one.
    pub superseded_by: Option<String>,
    /// The entries whose rows it has not: it was rewritten without them, or searched for them.
    pub without: Vec<String>,
}

/// What becomes of one entry.
#[derive(Debug, Clone, Serialize)]
pub struct Prospect {
    /// The entry's id.
    pub entry: String,
    /// When it was recorded.
    pub at: Timestamp,
    /// The table.
    pub table: Table,
    /// The columns of the key.
    pub columns: Vec<String>,
    /// How many rows.
    pub rows: u64,
    /// The entry has hashes in place of keys.
    pub hashed: bool,
    /// Why.
    pub reason: String,
    /// A reference to the request.
    pub request: Option<String>,
    /// When it was withdrawn: it holds no longer.
    pub withdrawn_at: Option<Timestamp>,
    /// When the live database was asked, before the entry was written, and did not have the rows any more.
    pub absent_at: Option<Timestamp>,
    /// Rows that the live database has now; `None` when it was not asked.
    pub live_rows: Option<u64>,
    /// How many backups can hold the rows.
    pub backups: u64,
    /// How many of them are held beyond their expiry, or kept for ever.
    pub without_end: u64,
    /// The last of them.
    pub last_backup: Option<String>,
    /// When the last of them can be removed; `None` when one has no end, when the rows are live, and when none is left.
    pub gone_at: Option<Timestamp>,
    /// No backup can hold the rows any more.
    pub gone: bool,
}

/// The proof.
#[derive(Debug, Clone, Serialize)]
pub struct ErasureReport {
    /// When it was made.
    pub at: Timestamp,
    /// The database.
    pub database: String,
    /// The stores that were looked through.
    pub stores: Vec<String>,
    /// The live database that was asked, if one was.
    pub live: Option<String>,
    /// The entries, oldest first.
    pub entries: Vec<Prospect>,
    /// The backups that can hold rows of any of them, oldest first.
    pub backups: Vec<Holder>,
}

/// The entries of several stores' ledgers, each once, oldest first. One that was withdrawn in any store is withdrawn.
///
/// # Errors
/// As [`Ledger::read`].
pub async fn entries(stores: &[Store], database: &str) -> Result<Vec<Recorded>> {
    let mut all = Vec::new();
    for store in stores {
        all.extend(Ledger::of(store, database).read().await?);
    }
    Ok(merged(all))
}

/// Looks through the backups. `live` has how many rows of each entry the live database has, if it was asked.
///
/// # Errors
/// Those of the stores.
pub async fn report(
    stores: &[Store],
    database: &str,
    entries: &[Recorded],
    live: Option<&[u64]>,
    now: Timestamp,
) -> Result<ErasureReport> {
    let mut holders = Vec::new();
    for store in stores {
        holders.extend(backups(store, database, now).await?);
    }
    holders.sort_by(|a, b| (a.taken_at, &a.archive).cmp(&(b.taken_at, &b.archive)));
    let live_of = |at: usize| live.and_then(|counts| counts.get(at)).copied();
    let prospects: Vec<Prospect> = entries
        .iter()
        .enumerate()
        .map(|(at, recorded)| prospect(recorded, live_of(at), &holders, now))
        .collect();
    let newest = entries.iter().map(|recorded| recorded.entry.at).max();
    let any_live = live.is_some_and(|counts| counts.iter().any(|count| *count > 0));
    let meant: Vec<&str> = entries.iter().map(|recorded| recorded.entry.id.as_str()).collect();
    holders.retain(|holder| any_live || newest.is_some_and(|newest| holder.taken_at <= newest));
    holders.retain(|holder| meant.iter().any(|entry| !holder.without.iter().any(|id| id == entry)));
    Ok(ErasureReport {
        at: now,
        database: database.to_owned(),
        stores: stores.iter().map(|store| store.display("")).collect(),
        live: None,
        entries: prospects,
        backups: holders,
    })
}

async fn backups(store: &Store, database: &str, now: Timestamp) -> Result<Vec<Holder>> {
    let filter = Filter { database: Some(database.to_owned()), ..Filter::default() };
    let listed = list(store, &filter).await?.backups;
    let holders = stream::iter(listed.iter()).map(|backup| holder(store, backup, now)).buffered(READS);
    holders.try_collect().await
}

async fn holder(store: &Store, backup: &Backup, now: Timestamp) -> Result<Holder> {
    // Without a sidecar that can be read nobody can tell when it goes: it has no end.
    let metadata = sidecar::read(store, &backup.key).await?;
    let expires = metadata.as_ref().and_then(|metadata| metadata.expires_at.as_deref());
    let expires_at: Option<Timestamp> = expires.and_then(|text| text.parse().ok());
    let rewritten = metadata.and_then(|metadata| metadata.rewritten);
    let mut without = rewritten.map(|rewritten| rewritten.entries).unwrap_or_default();
    without.extend(searched::entries(store, backup).await?);
    let superseded_by = backup.superseded_by.clone();
    let holds = notes::holds(&backup.notes);
    let over = superseded_by.is_some() || expires_at.is_some_and(|expires| expires <= now);
    Ok(Holder {
        archive: store.display(&backup.key),
        id: backup.facts.id.clone(),
        kind: backup.facts.kind,
        taken_at: backup.facts.taken,
        expires_at,
        overdue: holds.is_empty() && over,
        holds,
        superseded_by,
        without,
    })
}

/// A backup that began before the entry was recorded can hold the rows, unless it was rewritten without them; one that began later
/// only if they are live still.
fn prospect(recorded: &Recorded, live_rows: Option<u64>, holders: &[Holder], now: Timestamp) -> Prospect {
    let entry = &recorded.entry;
    let is_live = live_rows.is_some_and(|rows| rows > 0);
    let can_hold: Vec<&Holder> = holders
        .iter()
        .filter(|holder| is_live || holder.taken_at <= entry.at)
        .filter(|holder| !holder.without.contains(&entry.id))
        .collect();
    // One whose place another takes can go at once.
    let ends = |holder: &Holder| if holder.superseded_by.is_some() { Some(now) } else { holder.expires_at };
    let endless = |holder: &&&Holder| ends(holder).is_none() || !holder.holds.is_empty();
    let without_end = can_hold.iter().filter(endless).count();
    let end = can_hold.iter().filter_map(|holder| ends(holder)).max();
    let last = can_hold.iter().max_by_key(|holder| (endless(holder), ends(holder)));
    let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    Prospect {
        entry: entry.id.clone(),
        at: entry.at,
        table: entry.table.clone(),
        columns: entry.columns.clone(),
        rows: entry.len(),
        hashed: matches!(entry.rows, Rows::Hashes { .. }),
        reason: entry.reason.clone(),
        request: entry.request.clone(),
        withdrawn_at: recorded.withdrawn.as_ref().map(|withdrawal| withdrawal.at),
        absent_at: entry.absent_at,
        live_rows,
        backups: number(can_hold.len()),
        without_end: number(without_end),
        last_backup: last.map(|holder| holder.archive.clone()),
        gone_at: end.filter(|_| without_end == 0 && !is_live),
        gone: can_hold.is_empty() && !is_live,
    }
}
