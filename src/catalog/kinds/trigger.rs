//! Triggers (`CREATE TRIGGER`). Clones on partitions are made with the trigger of the partitioned table, always
//! enabled; only another state of theirs is set.

use serde::{Deserialize, Serialize};

use crate::catalog::ident::{ObjectId, class};
use crate::catalog::kind::{Head, Kind, Target};
use crate::catalog::sql;
use crate::pg::ServerVersion;
use crate::pg::quote::ident;

/// A condition on trigger `g`: users' triggers, and clones of those that are not simply enabled. Servers before 15 call
/// clones internal, so that these are told from the triggers of keys by their constraint.
const WANTED: &str =
    "(CASE WHEN g.tgparentid = 0 THEN NOT g.tgisinternal ELSE g.tgenabled <> 'O' AND g.tgconstraint = 0 END)";

/// The triggers that `g` is a clone of, up to the top.
const ABOVE: &str = "WITH RECURSIVE up AS (SELECT g.tgparentid AS id UNION ALL SELECT x.tgparentid FROM pg_catalog.pg_trigger x \
     JOIN up ON x.oid = up.id WHERE x.tgparentid <> 0) \
     SELECT pg_catalog.json_agg(pg_catalog.json_build_array('pg_catalog.pg_trigger'::pg_catalog.regclass::pg_catalog.oid::pg_catalog.int8, up.id::pg_catalog.int8)) FROM up";

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
               g.tgenabled::pg_catalog.text AS enabled, g.tgparentid <> 0 AS clone, \
               CASE WHEN g.tgparentid <> 0 THEN ({above}) END AS depends \
             FROM pg_catalog.pg_trigger g JOIN pg_catalog.pg_class t ON t.oid = g.tgrelid JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace \
             WHERE {wanted} AND t.relpersistence <> 't' AND {user} AND {own_table} AND {own} \
             ORDER BY g.tgparentid <> 0, tn.nspname, t.relname, g.tgname",
            id = sql::id(class::PG_TRIGGER, "g.oid"),
            above = ABOVE,
            wanted = WANTED,
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
            _ => return out,
        };
        // `ONLY`: each clone's state is its own.
        out.push(format!("ALTER TABLE ONLY {} {state} TRIGGER {}", self.table_name, ident(&head.name)));
        out
    }

    fn set_owner(&self, _head: &Head, _owner: &str) -> Option<String> {
        None
    }

    fn after_data_of(&self) -> Vec<ObjectId> {
        vec![self.table]
    }
}
