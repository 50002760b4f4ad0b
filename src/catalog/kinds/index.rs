//! Indexes (`CREATE INDEX`) that no constraint owns, and their place under a partitioned table's index.

use serde::{Deserialize, Serialize};

use crate::catalog::ident::{ObjectId, class};
use crate::catalog::kind::{Head, Kind, Target, null_as_default};
use crate::pg::ServerVersion;
use crate::pg::quote::{ident, printable};

/// An index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    /// The table, partitioned table or materialized view.
    pub table: ObjectId,
    /// Its quoted, qualified name.
    pub table_name: String,
    /// `CREATE INDEX …`, as the server writes it; of a constraint's index, nothing.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub definition: String,
    /// The tablespace, where it is not the database's.
    #[serde(default)]
    pub tablespace: Option<String>,
    /// The index of the partitioned table that it is part of, quoted and qualified.
    #[serde(default)]
    pub parent: Option<String>,
    /// The table is clustered on it.
    #[serde(default)]
    pub clustered: bool,
    /// It is one of a partitioned table: valid when all partitions have their part of it.
    #[serde(default)]
    pub partitioned: bool,
    /// It can be used; one that was built by a failed `CREATE INDEX CONCURRENTLY` cannot.
    pub valid: bool,
    /// Its expressions or its condition call functions that may read other tables, whatever they claim.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub calls_functions: bool,
    /// Statistics targets of its columns, by position.
    #[serde(default, deserialize_with = "null_as_default")]
    pub statistics: Vec<(i16, i32)>,
}

impl Kind for Index {
    const NAME: &'static str = "index";
    const CATALOGS: &'static [&'static str] = &["pg_index", "pg_class"];

    /// See [`crate::catalog::facts::indexes`].
    fn query(_server: ServerVersion) -> String {
        String::new()
    }

    fn identity(&self, head: &Head) -> String {
        format!("INDEX {}", head.qualified())
    }

    fn tablespace(&self) -> Option<String> {
        self.tablespace.clone()
    }

    fn forget_tablespace(&mut self) {
        self.tablespace = None;
    }

    fn create(&self, head: &Head, _target: &Target) -> Vec<String> {
        if self.is_broken() {
            return Vec::new();
        }
        let mut out = Vec::new();
        if let Some(tablespace) = &self.tablespace {
            out.push(format!("SET default_tablespace = {}", ident(tablespace)));
        }
        out.push(self.definition.clone());
        if self.tablespace.is_some() {
            out.push("RESET default_tablespace".to_owned());
        }
        out.extend(self.attach(&head.qualified(), &ident(&head.name)));
        out
    }

    /// An index has its table's owner.
    fn set_owner(&self, _head: &Head, _owner: &str) -> Option<String> {
        None
    }

    fn warnings(&self, head: &Head) -> Vec<String> {
        if !self.is_broken() {
            return Vec::new();
        }
        vec![format!("index {} is invalid at the source and is left out", printable(&head.qualified()))]
    }

    fn after_all_data(&self) -> bool {
        self.calls_functions
    }

    fn after_data_of(&self) -> Vec<ObjectId> {
        vec![self.table]
    }
}

impl Index {
    /// Left behind by a build that failed.
    fn is_broken(&self) -> bool {
        !self.valid && !self.partitioned
    }

    /// What is said of an index once it exists, by its quoted name and its bare one.
    pub(super) fn attach(&self, name: &str, bare: &str) -> Vec<String> {
        let mut out = Vec::new();
        for (column, target) in &self.statistics {
            out.push(format!("ALTER INDEX {name} ALTER COLUMN {column} SET STATISTICS {target}"));
        }
        if let Some(parent) = &self.parent {
            out.push(format!("ALTER INDEX {parent} ATTACH PARTITION {name}"));
        }
        if self.clustered {
            out.push(format!("ALTER TABLE {} CLUSTER ON {bare}", self.table_name));
        }
        out
    }
}

/// An SQL expression: the identities of the index with this OID expression and of all its parts on partitions, as a JSON
/// array; null where it is no partitioned index. Only when all parts are attached is a partitioned index valid.
pub(in crate::catalog) fn tree(oid: &str) -> String {
    format!(
        "(SELECT pg_catalog.json_agg(pg_catalog.json_build_array({class}, it.relid::pg_catalog.oid::pg_catalog.int8)) \
         FROM pg_catalog.pg_partition_tree({oid}) it)",
        class = class::PG_CLASS,
    )
}
