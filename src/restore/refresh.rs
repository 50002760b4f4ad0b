//! Fills a materialized view. Its query runs with the rights of its owner, who may have lost those that it had when the
//! view was filled last. What the query names and the owner may not read is lent to it for the transaction that fills
//! the view: others never see that, and nothing else that the view's functions may try gets any further.

use std::time::Duration;

use super::definitions::Definitions;
use super::steps::run_all;
use crate::error::{Error, Result};
use crate::pg::Session;
use crate::pg::quote::literal;

/// Kinds of objects whose rows a query reads.
const RELATIONS: [&str; 4] = ["table", "view", "materialized view", "foreign table"];

/// How long another session gets to fill the view that one reads.
pub(super) const AGAIN: Duration = Duration::from_millis(500);

/// Whether a view could not be filled because one that it reads is not filled yet: one that it reads through a function,
/// which no dependency tells (`object_not_in_prerequisite_state`).
pub(super) fn is_too_early(error: &Error) -> bool {
    error.sqlstate() == Some("55000")
}

/// Fills the view that is entry `item`.
pub(super) async fn refresh(session: &Session, definitions: &Definitions, item: usize) -> Result<()> {
    let mut statements = definitions.refresh(item);
    let mut takings = Vec::new();
    if let Some(query) = needs(definitions, item).filter(|_| !statements.is_empty()) {
        for row in session.query_text(&query).await? {
            if let [Some(on), Some(owner)] = row.as_slice() {
                statements.insert(0, format!("GRANT {on} TO {owner}"));
                takings.push(format!("REVOKE {on} FROM {owner}"));
            }
        }
    }
    statements.append(&mut takings);
    // Statements that are sent together are one transaction, or part of the one that is open.
    run_all(session, &[statements.join("; ")]).await
}

/// The query of what the owner of the view lacks: `privilege ON object`, role. Only what the view's query names counts.
fn needs(definitions: &Definitions, item: usize) -> Option<String> {
    let entry = definitions.entries.get(item)?;
    let owner = entry.head.owner.as_deref().filter(|_| !definitions.no_owner)?;
    let owner = literal(definitions.acting.owner(owner));
    let named = entry.head.depends.iter().filter_map(|id| definitions.by_id.get(id));
    let named = named.filter_map(|at| definitions.entries.get(*at));
    let relations: Vec<String> = named
        .filter(|needed| RELATIONS.contains(&needed.object.kind()))
        .map(|needed| {
            let schema = needed.head.schema.as_deref().unwrap_or_default();
            format!("({}, {})", literal(schema), literal(&needed.head.qualified()))
        })
        .collect();
    let list = relations.join(", ");
    (!relations.is_empty()).then(|| {
        format!(
            "SELECT DISTINCT 'USAGE ON SCHEMA ' || pg_catalog.quote_ident(n.schema), pg_catalog.quote_ident({owner}) \
             FROM (VALUES {list}) n(schema, name) WHERE NOT pg_catalog.has_schema_privilege({owner}, n.schema, 'USAGE') \
             UNION ALL SELECT 'SELECT ON TABLE ' || n.name, pg_catalog.quote_ident({owner}) \
             FROM (VALUES {list}) n(schema, name) WHERE NOT pg_catalog.has_any_column_privilege({owner}, n.name, 'SELECT')"
        )
    })
}
