//! While rows are erased, users' triggers and rules on all tables that the deletion can reach are off: an audit trigger would write
//! the erased row down anew. Foreign keys stay in force.

use serde::Deserialize;

use super::quietly;
use crate::error::{Context as _, Result};
use crate::pg::Session;
use crate::pg::quote::{ident, printable, qualified};

/// The tables that a deletion in some tables can change: by `ON DELETE CASCADE`, `SET NULL` and `SET DEFAULT`, however far, with
/// their partitions and what they are partitions of.
pub(super) async fn reach(session: &Session, tables: &[u32]) -> Result<Vec<u32>> {
    let sql = format!(
        "WITH RECURSIVE reach(oid) AS (SELECT pg_catalog.unnest({}) UNION SELECT x.oid FROM reach r, LATERAL ( \
           SELECT k.conrelid AS oid FROM pg_catalog.pg_constraint k \
             WHERE k.contype = 'f' AND k.confrelid = r.oid AND k.confdeltype IN ('c', 'n', 'd') \
           UNION ALL SELECT i.inhrelid FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid \
             WHERE i.inhparent = r.oid AND c.relispartition AND c.relkind IN ('r', 'p') \
           UNION ALL SELECT i.inhparent FROM pg_catalog.pg_inherits i WHERE i.inhrelid = r.oid \
             AND EXISTS (SELECT FROM pg_catalog.pg_class p WHERE p.oid = i.inhparent AND p.relkind IN ('r', 'p'))) x) \
         SELECT oid::pg_catalog.int8::pg_catalog.text FROM reach",
        oids(tables)
    );
    let rows = session.query_text(&sql).await?;
    Ok(rows.into_iter().flatten().flatten().filter_map(|oid| oid.parse().ok()).collect())
}

/// An array of ids as SQL.
pub(super) fn oids(list: &[u32]) -> String {
    let list: Vec<String> = list.iter().map(ToString::to_string).collect();
    format!("'{{{}}}'::pg_catalog.oid[]", list.join(","))
}

/// A trigger or a rule that is off.
#[derive(Debug, Deserialize)]
pub(super) struct Disarmed {
    schema: String,
    relation: String,
    /// `TRIGGER` or `RULE`.
    what: String,
    name: String,
    /// `A` fires always, `O` in sessions of origin.
    enabled: char,
    /// We may not switch it off.
    owned: bool,
}

impl Disarmed {
    fn alter(&self, verb: &str) -> String {
        let relation = qualified(Some(&self.schema), &self.relation);
        format!("ALTER TABLE ONLY {relation} {verb} {} {}", self.what, ident(&self.name))
    }

    fn display(&self) -> String {
        printable(&format!("{} on {}.{}", self.name, self.schema, self.relation))
    }
}

/// Switches off what would act on a deletion. Gives what is off, and what we may not switch off and fires therefore.
pub(super) async fn off(session: &Session, tables: &[u32]) -> Result<(Vec<Disarmed>, Vec<String>)> {
    let list = oids(tables);
    let sql = format!(
        "SELECT n.nspname AS schema, c.relname AS relation, x.what, x.name, x.enabled, pg_catalog.pg_has_role(c.relowner, 'USAGE') AS owned \
         FROM (SELECT t.tgrelid AS oid, 'TRIGGER' AS what, t.tgname AS name, t.tgenabled::pg_catalog.text AS enabled FROM pg_catalog.pg_trigger t \
                 WHERE (NOT t.tgisinternal OR (t.tgparentid <> 0 AND t.tgconstraint = 0)) AND t.tgenabled IN ('O', 'A') \
                   AND (t.tgtype::pg_catalog.int4 & 24) <> 0 \
               UNION ALL SELECT r.ev_class, 'RULE', r.rulename, r.ev_enabled::pg_catalog.text FROM pg_catalog.pg_rewrite r \
                 WHERE r.ev_type IN ('2', '4') AND r.ev_enabled IN ('O', 'A')) x \
         JOIN pg_catalog.pg_class c ON c.oid = x.oid AND c.relkind IN ('r', 'p') JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE x.oid = ANY ({list}) ORDER BY 1, 2, 3, 4"
    );
    let found: Vec<Disarmed> = session.query_json(&sql).await?;
    let (mut off, mut armed) = (Vec::new(), Vec::new());
    for one in found {
        if one.owned {
            let doing = || format!("switch {} off for the transaction", one.display());
            quietly(session, &one.alter("DISABLE")).await.context(doing)?;
            off.push(one);
        } else {
            armed.push(one.display());
        }
    }
    Ok((off, armed))
}

/// Switches it on again.
pub(super) async fn on(session: &Session, off: &[Disarmed]) -> Result<()> {
    for one in off {
        let verb = if one.enabled == 'A' { "ENABLE ALWAYS" } else { "ENABLE" };
        quietly(session, &one.alter(verb)).await?;
    }
    Ok(())
}
