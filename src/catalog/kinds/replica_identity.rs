//! The index by which a table's rows are told apart in replication (`REPLICA IDENTITY USING INDEX`): a step of its own,
//! since a partitioned index can be named only when it is valid, with all its parts attached.

use serde::{Deserialize, Serialize};

use super::index;
use crate::catalog::ident::{ObjectId, class};
use crate::catalog::kind::{Head, Kind, Target};
use crate::catalog::sql;
use crate::pg::ServerVersion;
use crate::pg::quote::ident;

/// A table's replica identity, where it is an index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaIdentity {
    /// The table.
    pub table: ObjectId,
    /// The index's name.
    pub index: String,
}

impl Kind for ReplicaIdentity {
    const NAME: &'static str = "replica identity";
    const CATALOGS: &'static [&'static str] = &["pg_index"];

    fn query(_server: ServerVersion) -> String {
        format!(
            // No object has the identity of a row of `pg_index`: the index itself is one of `pg_class`.
            "SELECT {id}, n.nspname AS schema, t.relname AS name, c.relname AS index, \
               pg_catalog.json_build_array({class}, t.oid::pg_catalog.int8) AS table, \
               CASE WHEN c.relkind = 'I' THEN {tree} ELSE \
                 pg_catalog.json_build_array(pg_catalog.json_build_array({class}, c.oid::pg_catalog.int8)) END AS depends \
             FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid \
             JOIN pg_catalog.pg_class t ON t.oid = i.indrelid JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace \
             WHERE i.indisreplident AND t.relreplident = 'i' AND t.relpersistence <> 't' AND {user} AND {own_table} \
             ORDER BY n.nspname, t.relname",
            id = sql::id(class::PG_INDEX, "c.oid"),
            class = class::PG_CLASS,
            tree = index::tree("c.oid"),
            user = sql::user_schema("t.relnamespace"),
            own_table = sql::not_extension_member(class::PG_CLASS, "t.oid"),
        )
    }

    fn identity(&self, head: &Head) -> String {
        format!("REPLICA IDENTITY ON {}", head.qualified())
    }

    fn create(&self, head: &Head, _target: &Target) -> Vec<String> {
        let index = ident(&self.index);
        vec![format!("ALTER TABLE ONLY {} REPLICA IDENTITY USING INDEX {index}", head.qualified())]
    }

    fn drop(&self, head: &Head) -> String {
        format!("ALTER TABLE ONLY {} REPLICA IDENTITY DEFAULT", head.qualified())
    }

    fn set_owner(&self, _head: &Head, _owner: &str) -> Option<String> {
        None
    }

    fn set_comment(&self, _head: &Head, _comment: &str) -> Option<String> {
        None
    }

    fn after_data_of(&self) -> Vec<ObjectId> {
        vec![self.table]
    }
}
