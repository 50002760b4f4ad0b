//! Primary keys, unique and exclusion constraints: constraints that have an index.

use serde::{Deserialize, Serialize};

use super::index::Index;
use crate::catalog::ident::ObjectId;
use crate::catalog::kind::{Head, Kind, Target, null_as_default};
use crate::catalog::sql;
use crate::pg::ServerVersion;
use crate::pg::quote::{ident, literal, qualified};

/// A constraint with its index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyConstraint {
    /// The index, which has the constraint's name.
    #[serde(flatten)]
    pub index: Index,
    /// `PRIMARY KEY (…)`, `UNIQUE (…)`, `EXCLUDE …`, as the server writes it.
    pub constraint: String,
    /// The index's name.
    pub index_name: String,
    /// Storage parameters of the index of a key; those of an exclusion constraint stand in `constraint`.
    #[serde(default, deserialize_with = "null_as_default")]
    pub options: Vec<String>,
    /// The comment on the index.
    #[serde(default)]
    pub index_comment: Option<String>,
}

impl Kind for KeyConstraint {
    const NAME: &'static str = "key constraint";
    const CATALOGS: &'static [&'static str] = &["pg_constraint", "pg_index", "pg_class"];

    /// See [`crate::catalog::facts::keys`].
    fn query(_server: ServerVersion) -> String {
        String::new()
    }

    fn identity(&self, head: &Head) -> String {
        format!("CONSTRAINT {} ON {}", ident(&head.name), self.index.table_name)
    }

    fn tablespace(&self) -> Option<String> {
        self.index.tablespace.clone()
    }

    fn forget_tablespace(&mut self) {
        self.index.tablespace = None;
    }

    fn create(&self, head: &Head, _target: &Target) -> Vec<String> {
        if let Some(parent) = self.index.parent.as_ref().filter(|_| self.is_exclusion()) {
            return self.take_name(head, parent);
        }
        let mut out = Vec::new();
        if let Some(tablespace) = &self.index.tablespace {
            out.push(format!("SET default_tablespace = {}", ident(tablespace)));
        }
        out.push(format!(
            "ALTER TABLE {}{} ADD CONSTRAINT {} {}",
            if self.index.partitioned && self.is_exclusion() { "" } else { "ONLY " },
            self.index.table_name,
            ident(&head.name),
            self.definition()
        ));
        if self.index.tablespace.is_some() {
            out.push("RESET default_tablespace".to_owned());
        }
        let name = qualified(head.schema.as_deref(), &self.index_name);
        out.extend(self.index.attach(&name, &ident(&self.index_name)));
        if let Some(comment) = &self.index_comment {
            out.push(format!("COMMENT ON INDEX {name} IS {}", literal(comment)));
        }
        out
    }

    fn inexpressible(&self, version: ServerVersion) -> Option<&'static str> {
        if self.constraint.contains(" WITHOUT OVERLAPS)") && !version.at_least(18) {
            return Some("WITHOUT OVERLAPS, which PostgreSQL 18 brought");
        }
        (self.constraint.starts_with("UNIQUE NULLS NOT DISTINCT") && !version.at_least(15))
            .then_some("NULLS NOT DISTINCT, which PostgreSQL 15 brought")
    }

    fn drop(&self, head: &Head) -> String {
        format!("ALTER TABLE {} DROP CONSTRAINT {}", self.index.table_name, ident(&head.name))
    }

    fn set_owner(&self, _head: &Head, _owner: &str) -> Option<String> {
        None
    }

    fn after_all_data(&self) -> bool {
        self.index.calls_functions
    }

    fn after_data_of(&self) -> Vec<ObjectId> {
        vec![self.index.table]
    }
}

impl KeyConstraint {
    /// Whether it is an exclusion constraint. The index of one cannot be attached to another's (`CompareIndexInfo` of
    /// PostgreSQL takes no two of them for equal), so that those of partitions are made with the one above them.
    fn is_exclusion(&self) -> bool {
        self.constraint.starts_with("EXCLUDE")
    }

    /// Gives the exclusion constraint that the one of index `parent` brought to this partition the name that it had.
    fn take_name(&self, head: &Head, parent: &str) -> Vec<String> {
        let (table, name) = (literal(&self.index.table_name), literal(&head.name));
        let block = format!(
            "DECLARE made pg_catalog.name; BEGIN SELECT k.conname INTO made FROM pg_catalog.pg_constraint k \
             JOIN pg_catalog.pg_inherits h ON h.inhrelid = k.conindid WHERE k.conrelid = {table}::pg_catalog.regclass \
             AND h.inhparent = {}::pg_catalog.regclass; IF made <> {name} THEN EXECUTE pg_catalog.format(\
             'ALTER TABLE %s RENAME CONSTRAINT %I TO %I', {table}, made, {name}); END IF; END",
            literal(parent)
        );
        let clustered = self
            .index
            .clustered
            .then(|| format!("ALTER TABLE {} CLUSTER ON {}", self.index.table_name, ident(&self.index_name)));
        let index = qualified(head.schema.as_deref(), &self.index_name);
        let comment =
            self.index_comment.as_ref().map(|text| format!("COMMENT ON INDEX {index} IS {}", literal(text)));
        std::iter::once(format!("DO {}", literal(&block))).chain(clustered).chain(comment).collect()
    }

    /// The constraint with the storage parameters of its index, which `pg_get_constraintdef` leaves out of keys. They
    /// stand between the columns and what is said of deferring.
    fn definition(&self) -> String {
        if self.options.is_empty() {
            return self.constraint.clone();
        }
        let timing = [" DEFERRABLE INITIALLY DEFERRED", " DEFERRABLE"];
        let timing =
            timing.iter().find(|timing| self.constraint.ends_with(**timing)).copied().unwrap_or_default();
        let columns = self.constraint.strip_suffix(timing).unwrap_or(&self.constraint);
        format!("{columns} WITH ({}){timing}", sql::options(&self.options))
    }
}
