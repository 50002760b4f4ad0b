//! Triggers (`CREATE TRIGGER`). Clones on partitions are made with the trigger of the partitioned table; only a
//! different state of theirs is set.

use serde::{Deserialize, Serialize};

use crate::catalog::ident::{ObjectId, class};
use crate::catalog::kind::{Head, Kind, Target};
use crate::catalog::sql;
use crate::pg::ServerVersion;
use crate::pg::quote::ident;

/// A trigger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trigger {
    /// The table or view.
    pub table: ObjectId,
    /// Its quoted, qualified name.
    pub table_name: String,
    /// `CREATE TRIGGER …`, as the server writes it.
    pub definition: String,
    /// `O` on, `D` disabled, `R` on replicas, `A` always.
    pub enabled: String,
    /// A clone on a partition.
    #[serde(default)]
    pub clone: bool,
}

impl Kind for Trigger {
    const NAME: &'static str = "trigger";
    const CATALOGS: &'static [&'static str] = &["pg_trigger"];

    fn query(_server: ServerVersion) -> String {
        format!(
            "SELECT {id}, tn.nspname AS schema, g.tgname AS name, pg_catalog.json_build_array({class}, t.oid::pg_catalog.int8) AS table, \
               pg_catalog.format('%I.%I', tn.nspname, t.relname) AS table_name, pg_catalog.pg_get_triggerdef(g.oid) AS definition, \
               g.tgenabled::pg_catalog.text AS enabled, g.tgparentid <> 0 AS clone \
             FROM pg_catalog.pg_trigger g JOIN pg_catalog.pg_class t ON t.oid = g.tgrelid JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace \
             LEFT JOIN pg_catalog.pg_trigger u ON u.oid = g.tgparentid \
             WHERE NOT g.tgisinternal AND (g.tgparentid = 0 OR g.tgenabled <> u.tgenabled) AND t.relpersistence <> 't' AND {user} AND {own_table} AND {own} \
             ORDER BY g.tgparentid <> 0, tn.nspname, t.relname, g.tgname",
            id = sql::id(class::PG_TRIGGER, "g.oid"),
            class = class::PG_CLASS,
            user = sql::user_schema("t.relnamespace"),
            own_table = sql::not_extension_member(class::PG_CLASS, "t.oid"),
            own = sql::not_extension_member(class::PG_TRIGGER, "g.oid"),
        )
    }

    fn identity(&self, head: &Head) -> String {
        format!("TRIGGER {} ON {}", ident(&head.name), self.table_name)
    }

    fn create(&self, head: &Head, _target: &Target) -> Vec<String> {
        let mut out = Vec::new();
        if !self.clone {
            out.push(self.definition.clone());
        }
        let state = match self.enabled.as_str() {
            "D" => "DISABLE",
            "R" => "ENABLE REPLICA",
            "A" => "ENABLE ALWAYS",
            _ if self.clone => "ENABLE",
            _ => return out,
        };
        out.push(format!("ALTER TABLE {} {state} TRIGGER {}", self.table_name, ident(&head.name)));
        out
    }

    fn set_owner(&self, _head: &Head, _owner: &str) -> Option<String> {
        None
    }

    fn after_data_of(&self) -> Vec<ObjectId> {
        vec![self.table]
    }
}
