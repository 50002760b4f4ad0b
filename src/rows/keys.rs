//! Foreign keys between live tables: the order in which rows go in, and rows that would hang in the air.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::subject::Subject;
use crate::error::Result;
use crate::pg::quote::{ident, printable, qualified};
use crate::pg::{Session, foreign_key};

/// A foreign key of the live database.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct ForeignKey {
    pub(super) name: String,
    /// The referencing table.
    pub(super) table: u32,
    pub(super) table_schema: String,
    pub(super) table_name: String,
    /// The referenced table.
    pub(super) references: u32,
    pub(super) references_schema: String,
    pub(super) references_name: String,
    /// Its columns: referencing, referenced, and the equality `referenced = referencing`.
    pub(super) columns: Vec<(String, String, String)>,
    /// It can be checked at the end of a transaction.
    deferrable: bool,
}

/// The query of the foreign keys from and to these tables. Of a key to a partitioned table the server keeps one more for
/// each partition; only the first counts.
fn query(oids: &[u32], enforced: &str) -> String {
    let columns = foreign_key::COLUMNS;
    let oids: Vec<String> = oids.iter().map(ToString::to_string).collect();
    let list = format!("'{{{}}}'::pg_catalog.oid[]", oids.join(","));
    format!(
        "SELECT k.conname AS name, k.conrelid::pg_catalog.int8 AS table, tn.nspname AS table_schema, t.relname AS table_name, \
           k.confrelid::pg_catalog.int8 AS references, rn.nspname AS references_schema, r.relname AS references_name, \
           {columns} AS columns, k.condeferrable AS deferrable \
         FROM pg_catalog.pg_constraint k \
         JOIN pg_catalog.pg_class t ON t.oid = k.conrelid JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace \
         JOIN pg_catalog.pg_class r ON r.oid = k.confrelid JOIN pg_catalog.pg_namespace rn ON rn.oid = r.relnamespace \
         WHERE k.contype = 'f'{enforced} AND (k.conrelid = ANY ({list}) OR k.confrelid = ANY ({list})) \
           AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint p WHERE p.oid = k.conparentid AND p.conrelid = k.conrelid) \
         ORDER BY tn.nspname, t.relname, k.conname"
    )
}

/// The foreign keys from and to these tables.
pub(super) async fn read(session: &Session, subjects: &[Subject]) -> Result<Vec<ForeignKey>> {
    let oids: Vec<u32> = subjects.iter().map(|subject| subject.live.oid).collect();
    let enforced = if session.version().at_least(18) { " AND k.conenforced" } else { "" };
    Ok(session.query_json(&query(&oids, enforced)).await?)
}

impl ForeignKey {
    /// For people: `sales.orders (customer)`.
    pub(super) fn from(&self) -> String {
        let columns: Vec<&str> = self.columns.iter().map(|(own, ..)| own.as_str()).collect();
        printable(&format!("{}.{} ({})", self.table_schema, self.table_name, columns.join(", ")))
    }

    /// The referenced table, quoted.
    pub(super) fn referenced(&self) -> String {
        qualified(Some(&self.references_schema), &self.references_name)
    }

    /// Whether all of its columns are compared, on the sides that are given.
    pub(super) fn is_covered(&self, child: &Subject, parent: Option<&Subject>) -> bool {
        self.columns.iter().all(|(own, other, _)| {
            child.columns.contains(own) && parent.is_none_or(|parent| parent.columns.contains(other))
        })
    }

    /// A condition: staged row `s` of the child references live row `p`.
    fn to_live(&self, child: &Subject) -> String {
        self.join(|own, other, equals| format!("p.{} {equals} s.{}", ident(other), child.staged(own)))
    }

    /// A condition: staged row `s` of the child references staged row `p` of the parent.
    pub(super) fn to_staged(&self, child: &Subject, parent: &Subject) -> String {
        self.join(|own, other, equals| format!("p.{} {equals} s.{}", parent.staged(other), child.staged(own)))
    }

    /// A condition on all of its columns: own column, referenced column, the equality `referenced = own`.
    pub(super) fn join(&self, part: impl Fn(&str, &str, &str) -> String) -> String {
        let parts: Vec<String> =
            self.columns.iter().map(|(own, other, equals)| part(own, other, equals)).collect();
        parts.join(" AND ")
    }

    /// A condition: the chosen staged rows `s` of the child whose referenced row is not live.
    pub(super) fn dangling(&self, child: &Subject) -> String {
        let set = self.columns.iter().map(|(own, ..)| format!("s.{} IS NOT NULL", child.staged(own)));
        let set: Vec<String> = set.collect();
        format!(
            "s.reason IS NOT NULL AND {} AND NOT EXISTS (SELECT FROM {} p WHERE {})",
            set.join(" AND "),
            self.referenced(),
            self.to_live(child)
        )
    }
}

/// Rows that cannot come back, for what they reference is not there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// The referencing table.
    pub table: String,
    /// The foreign key.
    pub constraint: String,
    /// The table where the referenced rows are missing.
    pub references: String,
    /// The referenced rows are live, and would go, or get other values than those that are referenced.
    pub would_go: bool,
    /// How many rows.
    pub rows: u64,
    /// Some of the values that reference nothing.
    pub values: Vec<String>,
}

impl Violation {
    /// In one sentence.
    pub fn message(&self) -> String {
        let Self { table, constraint, references, would_go, rows, values } = self;
        let why = if *would_go {
            "would go, or get other values"
        } else {
            "are neither live nor among those that come back"
        };
        format!(
            "{rows} rows of {table} reference rows of {references} that {why} ({constraint}): {}",
            values.join(", ")
        )
    }
}

/// Looks for chosen rows that reference what is neither live nor chosen.
pub(super) async fn violations(
    session: &Session,
    subjects: &[Subject],
    keys: &[ForeignKey],
) -> Result<Vec<Violation>> {
    let mut found = Vec::new();
    for key in keys {
        let by_oid = |oid: u32| subjects.iter().find(|subject| subject.live.oid == oid);
        let Some(child) = by_oid(key.table) else { continue };
        let parent = by_oid(key.references);
        if !key.is_covered(child, parent) {
            continue;
        }
        let stage = child.stage();
        let mut condition = key.dangling(child);
        if let Some(parent) = parent {
            condition.push_str(&format!(
                " AND NOT EXISTS (SELECT FROM {} p WHERE p.reason IS NOT NULL AND {})",
                parent.stage(),
                key.to_staged(child, parent)
            ));
        }
        let count = format!("SELECT pg_catalog.count(*) FROM {stage} s WHERE {condition}");
        let rows = session.query_one_text(&count).await?.and_then(|text| text.parse().ok()).unwrap_or(0);
        if rows == 0 {
            continue;
        }
        let values: Vec<String> =
            key.columns.iter().map(|(own, ..)| format!("s.{}", child.staged(own))).collect();
        let values = format!(
            "SELECT DISTINCT ROW({})::pg_catalog.text FROM {stage} s WHERE {condition} LIMIT 10",
            values.join(", ")
        );
        let values = session.query_text(&values).await?.into_iter().flatten().flatten();
        found.push(Violation {
            table: child.display(),
            constraint: printable(&key.name),
            references: printable(&format!("{}.{}", key.references_schema, key.references_name)),
            would_go: false,
            rows,
            values: values.map(|value| printable(&value)).collect(),
        });
    }
    Ok(found)
}

/// The keys by which rows that go in first reference rows that go in later: of tables in a circle, where a key cannot be
/// deferred.
pub(super) fn against(order: &[usize], subjects: &[Subject], keys: &[ForeignKey]) -> Vec<ForeignKey> {
    let place = |oid: u32| {
        order.iter().position(|at| subjects.get(*at).is_some_and(|subject| subject.live.oid == oid))
    };
    let is_against = |key: &&ForeignKey| {
        let (own, other) = (place(key.table), place(key.references));
        !key.deferrable && own.zip(other).is_some_and(|(own, other)| own < other)
    };
    keys.iter().filter(is_against).cloned().collect()
}

/// The order in which rows go in: referenced tables first. Tables in a circle come in the order given.
pub(super) fn order(subjects: &[Subject], keys: &[ForeignKey]) -> Vec<usize> {
    let mut open: BTreeSet<usize> = (0..subjects.len()).collect();
    let mut order = Vec::new();
    let oid = |at: usize| subjects.get(at).map_or(0, |subject| subject.live.oid);
    while let Some(first) = open.first().copied() {
        let waits = |at: usize| {
            keys.iter().any(|key| {
                key.table == oid(at)
                    && key.references != key.table
                    && open.iter().any(|other| oid(*other) == key.references)
            })
        };
        let next = open.iter().copied().find(|at| !waits(*at)).unwrap_or(first);
        open.remove(&next);
        order.push(next);
    }
    order
}
