//! Rows that cannot be erased, for others reference them: who does, and how many.

use serde::Deserialize;

use super::matching::{Keys, Part};
use crate::error::{Error, ErrorKind, Result};
use crate::pg::quote::{ident, printable, qualified};
use crate::pg::{Session, foreign_key};

/// A foreign key whose rule on deletion is to refuse it.
#[derive(Debug, Deserialize)]
struct Reference {
    name: String,
    schema: String,
    table: String,
    /// Referencing column, referenced column, and the equality of both.
    columns: Vec<(String, String, String)>,
}

/// The error that says why rows of a table stay. `cause` is what the server said.
pub(super) async fn refused(session: &Session, keys: &Keys, part: &Part, cause: &Error) -> Result<Error> {
    let sql = format!(
        "WITH RECURSIVE above(oid) AS (SELECT {}::pg_catalog.oid UNION SELECT i.inhparent FROM pg_catalog.pg_inherits i JOIN above ON i.inhrelid = above.oid) \
         SELECT k.conname AS name, n.nspname AS schema, c.relname AS table, \
           {} AS columns \
         FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class c ON c.oid = k.conrelid \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE k.contype = 'f' AND k.confrelid IN (SELECT oid FROM above) AND k.confdeltype IN ('a', 'r') AND k.conparentid = 0 ORDER BY 2, 3, 1",
        part.oid,
        foreign_key::COLUMNS
    );
    let references: Vec<Reference> = session.query_json(&sql).await?;
    let mut said = Vec::new();
    for Reference { name, schema, table, columns } in references {
        let same: Vec<String> = columns
            .iter()
            .map(|(own, other, equals)| format!("t.{} {equals} c.{}", ident(other), ident(own)))
            .collect();
        let count = format!(
            "SELECT pg_catalog.count(*) FROM {} c WHERE EXISTS (SELECT FROM ONLY {} t, {} WHERE {} AND {})",
            qualified(Some(&schema), &table),
            part.table.quoted(),
            keys.from(),
            keys.of_table(),
            same.join(" AND ")
        );
        let rows = session.query_one_text(&count).await?.unwrap_or_default();
        if rows != "0" {
            let own: Vec<&str> = columns.iter().map(|(own, ..)| own.as_str()).collect();
            said.push(printable(&format!("{rows} rows of {schema}.{table} ({}, {name})", own.join(", "))));
        }
    }
    let by = if said.is_empty() { cause.to_string() } else { said.join("; ") };
    let message =
        format!("rows of {} that the erasure ledger names are still referenced: {by}", part.table.display());
    Ok(Error::new(ErrorKind::Refused, message)
        .hint("record the rows that reference them as well (`pgcask erase record`), then run the same command with --resume")
        .hint("a foreign key ON DELETE CASCADE, SET NULL or SET DEFAULT takes them along; --no-erasure restores without the ledger"))
}
