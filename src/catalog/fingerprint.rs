//! Whether definitions were changed while they were read.

use super::sql_types::FIRST_NORMAL_OID;
use crate::pg::{PgError, Session};

/// A fingerprint of the definitions that the session sees: identities and row versions of users' objects.
///
/// The server's deparsers read the newest catalog, not the snapshot. So the fingerprint is taken in the snapshot and
/// again in a new session at the end: where they differ, somebody changed the schema in between and definitions may be
/// of two moments.
///
/// # Errors
/// Those of the query.
pub async fn read(session: &Session) -> Result<String, PgError> {
    const CATALOGS: [(&str, &str); 6] = [
        ("pg_class", "c.relpersistence <> 't' AND c.relkind NOT IN ('t', 'i', 'I')"),
        ("pg_proc", "true"),
        (
            "pg_constraint",
            "c.connamespace IN (SELECT n.oid FROM pg_catalog.pg_namespace n WHERE n.nspname !~ '^pg_temp')",
        ),
        ("pg_rewrite", "true"),
        ("pg_trigger", "NOT c.tgisinternal"),
        ("pg_namespace", "c.nspname !~ '^pg_'"),
    ];
    let one = |(at, (name, condition)): (usize, &(&str, &str))| {
        format!(
            "SELECT {at} AS at, pg_catalog.sum(pg_catalog.hashtextextended(c.xmin::pg_catalog.text, c.oid::pg_catalog.int8)) AS h \
             FROM pg_catalog.{name} c WHERE c.oid >= {FIRST_NORMAL_OID} AND {condition}"
        )
    };
    let union: Vec<String> = CATALOGS.iter().enumerate().map(one).collect();
    // In an order of their own: a server that scans catalogs in parallel gives the sums in any.
    let sql = format!(
        "SELECT pg_catalog.string_agg(coalesce(u.h::pg_catalog.text, '-'), ' ' ORDER BY u.at) FROM ({}) u",
        union.join(" UNION ALL ")
    );
    Ok(session.query_one_text(&sql).await?.unwrap_or_default())
}
