//! Materialized views hold copies of rows: those that read a table in which rows were erased are filled anew.

use super::disarm::oids;
use super::quietly;
use crate::error::{Context as _, Result};
use crate::pg::Session;
use crate::pg::quote::{printable, unquoted};

/// Fills them anew, those first that others read; gives their names. What a view reads through a function is not seen.
pub(super) async fn refresh(session: &Session, tables: &[u32]) -> Result<Vec<String>> {
    let sql = format!(
        "WITH RECURSIVE readers(oid, depth) AS (SELECT o, 0 FROM pg_catalog.unnest({}) o UNION \
           SELECT r.ev_class, x.depth + 1 FROM readers x JOIN pg_catalog.pg_depend d ON d.refobjid = x.oid \
             AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass \
           JOIN pg_catalog.pg_rewrite r ON r.oid = d.objid AND r.ev_class <> x.oid WHERE x.depth < 1000) \
         SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) FROM (SELECT oid, pg_catalog.max(depth) AS depth FROM readers GROUP BY oid) m \
         JOIN pg_catalog.pg_class c ON c.oid = m.oid AND c.relkind = 'm' AND c.relispopulated \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace ORDER BY m.depth, 1",
        oids(tables)
    );
    let mut filled = Vec::new();
    for name in session.query_text(&sql).await?.into_iter().flatten().flatten() {
        let shown = printable(&unquoted(&name));
        quietly(session, &format!("REFRESH MATERIALIZED VIEW {name}"))
            .await
            .context(|| format!("fill {shown} anew, which may hold erased rows"))?;
        filled.push(shown);
    }
    Ok(filled)
}
