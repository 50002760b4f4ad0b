//! Which objects of the archive the target has already, by kind and name: those that others need are not made again.

use std::collections::BTreeSet;

use super::requirements::positions;
use crate::catalog::ident::ObjectId;
use crate::catalog::model::{Entry, Model};
use crate::error::Result;
use crate::pg::Session;
use crate::pg::quote::literal;
use crate::plan::choose::is_relation;

/// One branch of the query for each catalog: `v` has the positions, classes, schemas, names and signatures that are looked for.
const FIND: &str = "\
    SELECT v.at FROM v JOIN pg_catalog.pg_namespace o ON v.class = 'schema' AND o.nspname = v.name \
    UNION ALL SELECT v.at FROM v JOIN pg_catalog.pg_extension o ON v.class = 'extension' AND o.extname = v.name \
    UNION ALL SELECT v.at FROM v JOIN pg_catalog.pg_language o ON v.class = 'language' AND o.lanname = v.name \
    UNION ALL SELECT v.at FROM v JOIN pg_catalog.pg_foreign_server o ON v.class = 'server' AND o.srvname = v.name \
    UNION ALL SELECT v.at FROM v JOIN pg_catalog.pg_foreign_data_wrapper o ON v.class = 'wrapper' AND o.fdwname = v.name \
    UNION ALL SELECT v.at FROM v JOIN pg_catalog.pg_namespace n ON v.class IN ('relation', 'type', 'collation', 'routine') \
        AND n.nspname = v.schema \
        AND (v.class = 'relation' AND EXISTS (SELECT FROM pg_catalog.pg_class o WHERE o.relnamespace = n.oid AND o.relname = v.name) \
        OR v.class = 'type' AND EXISTS (SELECT FROM pg_catalog.pg_type o WHERE o.typnamespace = n.oid AND o.typname = v.name) \
        OR v.class = 'collation' AND EXISTS (SELECT FROM pg_catalog.pg_collation o WHERE o.collnamespace = n.oid AND o.collname = v.name) \
        OR v.class = 'routine' AND EXISTS (SELECT FROM pg_catalog.pg_proc o WHERE o.pronamespace = n.oid AND o.proname = v.name \
            AND '(' || CASE WHEN o.prokind = 'a' AND o.pronargs = 0 THEN '*' ELSE pg_catalog.pg_get_function_identity_arguments(o.oid) END || ')' \
                = substr(v.signature, strpos(v.signature, '('))))";

/// Those of some entries that the target has.
///
/// # Errors
///
/// When the target cannot be asked.
pub(super) async fn of(
    target: &Session,
    model: &Model,
    some: &BTreeSet<ObjectId>,
) -> Result<BTreeSet<ObjectId>> {
    let known = |entry: &&Entry| some.contains(&entry.head.id) && !class(entry).is_empty();
    let entries: Vec<&Entry> = model.entries.iter().filter(known).collect();
    if entries.is_empty() {
        return Ok(BTreeSet::new());
    }
    let row = |(at, entry): (usize, &&Entry)| {
        let Entry { head, object } = entry;
        let schema = literal(head.schema.as_deref().unwrap_or_default());
        let (name, signature) = (literal(&head.name), literal(&object.identity(head)));
        format!("({at}, '{}', {schema}, {name}, {signature})", class(entry))
    };
    let rows: Vec<String> = entries.iter().enumerate().map(row).collect();
    let sql = format!("WITH v(at, class, schema, name, signature) AS (VALUES {}) {FIND}", rows.join(", "));
    let there = positions(target, &sql).await?;
    Ok(there.iter().filter_map(|at| entries.get(*at)).map(|entry| entry.head.id).collect())
}

/// Where objects of a kind are looked for; nothing for kinds that are told by more than a name.
fn class(entry: &Entry) -> &'static str {
    match entry.object.kind() {
        kind if is_relation(kind) => "relation",
        "schema" => "schema",
        "extension" => "extension",
        "language" => "language",
        "foreign server" => "server",
        "foreign-data wrapper" => "wrapper",
        "collation" => "collation",
        "function" | "procedure" | "aggregate" => "routine",
        kind if kind.ends_with("type") || kind == "domain" => "type",
        _ => "",
    }
}
