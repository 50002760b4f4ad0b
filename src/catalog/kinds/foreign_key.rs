//! Foreign keys. On a partitioned table only the key of the top is restored: the partitions' own are made with it.

use serde::{Deserialize, Serialize};

use crate::catalog::ident::ObjectId;
use crate::catalog::kind::{Head, Kind, Target};
use crate::pg::ServerVersion;
use crate::pg::quote::ident;

/// A foreign key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignKey {
    /// The referencing table.
    pub table: ObjectId,
    /// Its quoted, qualified name.
    pub table_name: String,
    /// The referenced table.
    pub references: ObjectId,
    /// The constraint, as the server writes it.
    pub constraint: String,
    /// The referencing table is partitioned: `ONLY` would be refused.
    #[serde(default)]
    pub partitioned: bool,
}

impl Kind for ForeignKey {
    const NAME: &'static str = "foreign key";
    const CATALOGS: &'static [&'static str] = &["pg_constraint"];

    /// See [`crate::catalog::facts::keys`].
    fn query(_server: ServerVersion) -> String {
        String::new()
    }

    fn inexpressible(&self, version: ServerVersion) -> Option<&'static str> {
        if version.at_least(18) {
            return None;
        }
        if self.constraint.ends_with("NOT ENFORCED") {
            return Some("NOT ENFORCED, which PostgreSQL 18 brought");
        }
        self.constraint.contains(", PERIOD ").then_some("keys of periods, which PostgreSQL 18 brought")
    }

    fn identity(&self, head: &Head) -> String {
        format!("CONSTRAINT {} ON {}", ident(&head.name), self.table_name)
    }

    fn create(&self, head: &Head, _target: &Target) -> Vec<String> {
        let only = if self.partitioned { "" } else { "ONLY " };
        let (table, name) = (&self.table_name, ident(&head.name));
        vec![format!("ALTER TABLE {only}{table} ADD CONSTRAINT {name} {}", self.constraint)]
    }

    fn drop(&self, head: &Head) -> String {
        format!("ALTER TABLE {} DROP CONSTRAINT {}", self.table_name, ident(&head.name))
    }

    fn set_owner(&self, _head: &Head, _owner: &str) -> Option<String> {
        None
    }

    fn after_data_of(&self) -> Vec<ObjectId> {
        let mut relations = vec![self.table];
        if self.references != self.table {
            relations.push(self.references);
        }
        relations
    }
}
