//! Erases again in a restored database what the ledger names: one transaction, all or nothing, and looked at again before it
//! commits.

use jiff::Timestamp;
use serde::Serialize;

use super::entry::{Entry, Table};
use super::matching::{Keys, Part, Relation};
use super::{Erasures, disarm, stuck, views};
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::pg::Session;
use crate::pg::quote::printable;

/// Where rows are erased.
#[derive(Debug, Clone, Copy)]
pub enum Scope<'a> {
    /// In the whole database: it is a restored one.
    All,
    /// In these tables alone, by schema and name: the rest of the database was there before.
    Tables(&'a [(String, String)]),
}

/// What the ledger did to a restored database.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Entries that were applied.
    pub entries: u64,
    /// Rows that they name.
    pub rows_named: u64,
    /// Rows that were there, and were deleted.
    pub rows_deleted: u64,
    /// The entries whose rows were there.
    pub found: Vec<Found>,
    /// Tables from which rows were deleted by their names in the ledger.
    pub tables: Vec<Changed>,
    /// Tables that changed along, by the rules of foreign keys.
    pub along: Vec<Changed>,
    /// Materialized views that were filled anew.
    pub refreshed: Vec<String>,
    /// Tables of the ledger that are not there, or have their rows elsewhere.
    pub not_there: Vec<String>,
    /// Triggers and rules that could not be switched off, and acted on the deletion.
    pub fired: Vec<String>,
}

/// An entry whose rows were there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Found {
    /// The entry's id.
    pub entry: String,
    /// When it was recorded.
    pub at: Timestamp,
    /// Its table.
    pub table: String,
    /// How many rows.
    pub rows: u64,
}

/// A table in which rows changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Changed {
    /// The table.
    pub table: String,
    /// How many rows.
    pub rows: u64,
}

/// Rows of one part of a table that are to go.
struct Target {
    keys: usize,
    part: Part,
    rows: u64,
}

/// Erases. The session must have no transaction open.
///
/// # Errors
/// [`ErrorKind::Refused`] when rows are still referenced, or the ledger names what the database does not have; the transaction is
/// rolled back then.
pub async fn apply(session: &Session, erasures: &Erasures, scope: Scope<'_>) -> Result<Report> {
    erasures.check()?;
    let mut report = Report {
        entries: u64::try_from(erasures.entries.len()).unwrap_or(u64::MAX),
        rows_named: erasures.rows(),
        ..Report::default()
    };
    if erasures.is_empty() {
        return Ok(report);
    }
    // Deferred keys would leave events behind, with which no trigger can be switched on again.
    session.execute("BEGIN; SET CONSTRAINTS ALL IMMEDIATE").await?;
    let done = in_transaction(session, erasures, scope, &mut report).await;
    let doing = || "erase again what the erasure ledger names".to_owned();
    match done {
        Ok(()) => session.execute("COMMIT").await.context(doing)?,
        Err(error) => {
            // What went wrong first is what counts.
            drop(session.execute("ROLLBACK").await);
            return Err(error.context(doing()));
        }
    }
    Ok(report)
}

async fn in_transaction(
    session: &Session,
    erasures: &Erasures,
    scope: Scope<'_>,
    report: &mut Report,
) -> Result<()> {
    let (mut all_keys, mut targets) = (Vec::new(), Vec::new());
    for (number, group) in erasures.groups().into_iter().enumerate() {
        let Some(first) = group.first() else { continue };
        let Some(relation) = Relation::find(session, &first.table, &first.columns).await? else {
            not_there(report, &first.table);
            continue;
        };
        let parts = parts(session, &relation, scope, report).await?;
        if parts.is_empty() {
            continue;
        }
        let keys = Keys::load(session, &number.to_string(), &relation, &group, erasures.key.as_ref()).await?;
        for part in parts {
            let found = keys.matches(session, &part).await?;
            let rows = found.iter().map(|(_, rows)| rows).sum();
            for (at, rows) in found {
                group.get(at).into_iter().for_each(|entry| note(report, entry, rows));
            }
            if rows > 0 {
                targets.push(Target { keys: all_keys.len(), part, rows });
            }
        }
        all_keys.push(keys);
    }
    if targets.is_empty() {
        return Ok(());
    }
    let tables: Vec<u32> = targets.iter().map(|target| target.part.oid).collect();
    let reach = disarm::reach(session, &tables).await?;
    let (off, fired) = disarm::off(session, &reach).await?;
    report.fired = fired;
    delete(session, &all_keys, &targets, &reach, report).await?;
    disarm::on(session, &off).await?;
    report.refreshed = views::refresh(session, &reach).await?;
    for target in &targets {
        look_again(session, &all_keys, target).await?;
    }
    Ok(())
}

/// The parts of a table in which rows are erased.
async fn parts(
    session: &Session,
    relation: &Relation,
    scope: Scope<'_>,
    report: &mut Report,
) -> Result<Vec<Part>> {
    let mut parts = relation.parts(session).await?;
    if let Scope::Tables(tables) = scope {
        parts.retain(|part| {
            tables.iter().any(|(schema, name)| part.table.schema == *schema && part.table.name == *name)
        });
    }
    // The rows of a foreign table are another server's.
    for part in parts.iter().filter(|part| part.kind != 'r') {
        not_there(report, &part.table);
    }
    parts.retain(|part| part.kind == 'r');
    Ok(parts)
}

fn not_there(report: &mut Report, table: &Table) {
    let name = table.display();
    if !report.not_there.contains(&name) {
        report.not_there.push(name);
    }
}

fn note(report: &mut Report, entry: &Entry, rows: u64) {
    if let Some(found) = report.found.iter_mut().find(|found| found.entry == entry.id) {
        found.rows += rows;
        return;
    }
    let (id, at, table) = (entry.id.clone(), entry.at, entry.table.display());
    report.found.push(Found { entry: id, at, table, rows });
}

/// Deletes; what others still reference is tried again after them.
async fn delete(
    session: &Session,
    all_keys: &[Keys],
    targets: &[Target],
    reach: &[u32],
    report: &mut Report,
) -> Result<()> {
    let mut along = Along::new(session, reach).await?;
    let mut open: Vec<&Target> = targets.iter().collect();
    while !open.is_empty() {
        let (before, mut left) = (open.len(), Vec::new());
        let mut last = None;
        for target in open {
            let Some(keys) = all_keys.get(target.keys) else { continue };
            along.begin(session).await?;
            match delete_one(session, keys, target).await {
                Ok(rows) => {
                    report.rows_deleted += rows;
                    add(&mut report.tables, target.part.table.display(), rows);
                    along.end(session, (target.part.oid, rows), report).await?;
                }
                Err(error) if is_referenced(&error) => {
                    last = Some((keys, target, error));
                    left.push(target);
                }
                Err(error) => return Err(error),
            }
        }
        if let Some((keys, target, error)) = last.filter(|_| left.len() == before) {
            return Err(stuck::refused(session, keys, &target.part, &error).await?);
        }
        open = left;
    }
    Ok(())
}

/// `foreign_key_violation`, `restrict_violation`.
fn is_referenced(error: &Error) -> bool {
    matches!(error.sqlstate(), Some("23503" | "23001"))
}

/// Deletes the rows of one target; rolled back when a foreign key refuses it.
async fn delete_one(session: &Session, keys: &Keys, target: &Target) -> Result<u64> {
    let sql = format!(
        "WITH gone AS (DELETE FROM ONLY {} t USING {} WHERE {} RETURNING 1) SELECT pg_catalog.count(*) FROM gone",
        target.part.table.quoted(),
        keys.from(),
        keys.of_table()
    );
    session.execute("SAVEPOINT pgcask_erase").await?;
    let answer = session.query_one_text(&sql).await;
    match answer {
        Ok(count) => {
            session.execute("RELEASE SAVEPOINT pgcask_erase").await?;
            Ok(count.and_then(|count| count.parse().ok()).unwrap_or_default())
        }
        Err(error) => {
            let error = Error::from(error);
            if is_referenced(&error) {
                session.execute("ROLLBACK TO SAVEPOINT pgcask_erase").await?;
            }
            Err(error.context(format!("delete from {}", target.part.table.display())))
        }
    }
}

fn add(list: &mut Vec<Changed>, table: String, rows: u64) {
    match list.iter_mut().find(|changed| changed.table == table) {
        Some(changed) => changed.rows += rows,
        None => list.push(Changed { table, rows }),
    }
}

/// What the server counts of the rows that foreign keys change along.
struct Along {
    sql: String,
    before: Vec<(u32, String, u64)>,
}

impl Along {
    async fn new(session: &Session, reach: &[u32]) -> Result<Self> {
        let sql = format!(
            "SELECT c.oid::pg_catalog.int8::pg_catalog.text, pg_catalog.format('%s.%s', n.nspname, c.relname), \
               (pg_catalog.pg_stat_get_xact_tuples_deleted(c.oid) + pg_catalog.pg_stat_get_xact_tuples_updated(c.oid))::pg_catalog.text \
             FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.relkind = 'r' AND c.oid = ANY ({}) ORDER BY c.oid",
            disarm::oids(reach)
        );
        let mut made = Self { sql, before: Vec::new() };
        made.begin(session).await?;
        Ok(made)
    }

    async fn read(&self, session: &Session) -> Result<Vec<(u32, String, u64)>> {
        let rows = session.query_text(&self.sql).await?;
        let counted = |row: Vec<Option<String>>| {
            let mut values = row.into_iter().flatten();
            Some((values.next()?.parse().ok()?, values.next()?, values.next()?.parse().ok()?))
        };
        Ok(rows.into_iter().filter_map(counted).collect())
    }

    async fn begin(&mut self, session: &Session) -> Result<()> {
        self.before = self.read(session).await?;
        Ok(())
    }

    /// After a deletion that went through: `own` is its table, and how many rows it had itself.
    async fn end(&self, session: &Session, own: (u32, u64), report: &mut Report) -> Result<()> {
        for ((oid, name, now), (_, _, before)) in self.read(session).await?.into_iter().zip(&self.before) {
            let direct = if oid == own.0 { own.1 } else { 0 };
            let rows = now.saturating_sub(*before).saturating_sub(direct);
            if rows > 0 {
                add(&mut report.along, printable(&name), rows);
            }
        }
        Ok(())
    }
}

/// Nothing of what was to go may be left, whatever stood in the way.
async fn look_again(session: &Session, all_keys: &[Keys], target: &Target) -> Result<()> {
    let Some(keys) = all_keys.get(target.keys) else { return Ok(()) };
    let left: u64 = keys.matches(session, &target.part).await?.iter().map(|(_, rows)| rows).sum();
    if left == 0 {
        return Ok(());
    }
    let message = format!(
        "{left} of {} rows of {} that the erasure ledger names are still there after their deletion",
        target.rows,
        target.part.table.display()
    );
    Err(Error::new(ErrorKind::Validation, message).hint("a trigger or a rule that is always on keeps them"))
}
