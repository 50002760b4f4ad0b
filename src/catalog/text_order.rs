//! Collations whose data has changed under the database, as an upgrade of the operating system does (manual, section 23.2.2.4).

use crate::pg::{PgError, Session};

/// A collation by whose data texts were ordered in another version than the host has now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// Its quoted, qualified name; none for the database's own.
    pub collation: Option<String>,
    /// The version then, where it was noted.
    pub was: Option<String>,
    /// The version now, where there is one.
    pub now: Option<String>,
}

/// The collations that something uses whose data has changed, the database's own first.
///
/// # Errors
/// Those of the query.
pub async fn changed(session: &Session) -> Result<Vec<Changed>, PgError> {
    let own = if session.version().at_least(15) {
        "SELECT NULL::pg_catalog.text AS name, d.datcollversion AS was, \
           pg_catalog.pg_database_collation_actual_version(d.oid) AS now \
         FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database() UNION ALL "
    } else {
        ""
    };
    let sql = format!(
        "SELECT x.name, x.was, x.now FROM ({own}SELECT pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.collname), \
           c.collversion, pg_catalog.pg_collation_actual_version(c.oid) \
         FROM pg_catalog.pg_collation c JOIN pg_catalog.pg_namespace n ON n.oid = c.collnamespace \
         WHERE EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.refobjid = c.oid \
           AND d.refclassid = 'pg_catalog.pg_collation'::pg_catalog.regclass)) x (name, was, now) \
         WHERE x.was <> x.now OR x.name IS NULL AND x.was IS DISTINCT FROM x.now ORDER BY x.name NULLS FIRST"
    );
    let rows = session.query_text(&sql).await?;
    let changed = |row: Vec<Option<String>>| {
        let [collation, was, now] = row.try_into().ok()?;
        Some(Changed { collation, was, now })
    };
    Ok(rows.into_iter().filter_map(changed).collect())
}
