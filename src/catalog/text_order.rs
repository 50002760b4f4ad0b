//! Collations whose data has changed under the database, as an upgrade of the operating system does (manual, section 23.2.2.4).

use crate::pg::{PgError, Session};

/// The collations that something uses, the database's own first, by whose data the database was ordered in another version than
/// the host has now: name, version then, version now.
///
/// # Errors
/// Those of the query.
pub async fn changed(session: &Session) -> Result<Vec<(String, String, String)>, PgError> {
    let own = if session.version().at_least(15) {
        "SELECT 0 AS place, 'the database'::pg_catalog.text AS name, d.datcollversion AS was, \
           pg_catalog.pg_database_collation_actual_version(d.oid) AS now \
         FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database() UNION ALL "
    } else {
        ""
    };
    let sql = format!(
        "SELECT x.name, x.was, x.now FROM ({own}SELECT 1, pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.collname), \
           c.collversion, pg_catalog.pg_collation_actual_version(c.oid) \
         FROM pg_catalog.pg_collation c JOIN pg_catalog.pg_namespace n ON n.oid = c.collnamespace \
         WHERE c.collversion IS NOT NULL AND EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.refobjid = c.oid \
           AND d.refclassid = 'pg_catalog.pg_collation'::pg_catalog.regclass)) x (place, name, was, now) \
         WHERE x.was <> x.now ORDER BY x.place, x.name"
    );
    let rows = session.query_text(&sql).await?;
    Ok(rows
        .into_iter()
        .filter_map(|row| {
            let mut values = row.into_iter().flatten();
            Some((values.next()?, values.next()?, values.next()?))
        })
        .collect())
}
