//! Rewrite rules (`CREATE RULE`), without the ones that make views.

use serde::{Deserialize, Serialize};

use crate::catalog::ident::{ObjectId, class};
use crate::catalog::kind::{Head, Kind, Target};
use crate::catalog::mend::mend;
use crate::catalog::sql;
use crate::pg::ServerVersion;
use crate::pg::quote::ident;

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// The table or view.
    pub table: ObjectId,
    /// Its quoted, qualified name.
    pub table_name: String,
    /// `CREATE RULE …`, as the server writes it.
    pub definition: String,
    /// `O` on, `D` disabled, `R` on replicas, `A` always.
    pub enabled: String,
}

impl Kind for Rule {
    const NAME: &'static str = "rule";
    const CATALOGS: &'static [&'static str] = &["pg_rewrite"];

    fn query(_server: ServerVersion) -> String {
        format!(
            "SELECT {id}, tn.nspname AS schema, r.rulename AS name, pg_catalog.json_build_array({class}, t.oid::pg_catalog.int8) AS table, \
               pg_catalog.format('%I.%I', tn.nspname, t.relname) AS table_name, pg_catalog.rtrim(pg_catalog.pg_get_ruledef(r.oid), ';') AS definition, \
               r.ev_enabled::pg_catalog.text AS enabled \
             FROM pg_catalog.pg_rewrite r JOIN pg_catalog.pg_class t ON t.oid = r.ev_class JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace \
             WHERE r.rulename <> '_RETURN' AND t.relpersistence <> 't' AND {user} AND {own_table} AND {own} ORDER BY tn.nspname, t.relname, r.rulename",
            id = sql::id(class::PG_REWRITE, "r.oid"),
            class = class::PG_CLASS,
            user = sql::user_schema("t.relnamespace"),
            own_table = sql::not_extension_member(class::PG_CLASS, "t.oid"),
            own = sql::not_extension_member(class::PG_REWRITE, "r.oid"),
        )
    }

    fn identity(&self, head: &Head) -> String {
        format!("RULE {} ON {}", ident(&head.name), self.table_name)
    }

    fn create(&self, head: &Head, _target: &Target) -> Vec<String> {
        let mut out = vec![mend(&self.definition)];
        let state = match self.enabled.as_str() {
            "D" => "DISABLE",
            "R" => "ENABLE REPLICA",
            "A" => "ENABLE ALWAYS",
            _ => return out,
        };
        out.push(format!("ALTER TABLE {} {state} RULE {}", self.table_name, ident(&head.name)));
        out
    }

    fn set_owner(&self, _head: &Head, _owner: &str) -> Option<String> {
        None
    }

    fn after_data_of(&self) -> Vec<ObjectId> {
        vec![self.table]
    }
}
