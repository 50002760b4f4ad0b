//! Constraints that are added to a table after its rows: CHECK and NOT NULL constraints that do not hold for all rows
//! (`NOT VALID`, `NOT ENFORCED`). Added to a parent they come to its children too; a child that has one of its own merges
//! it, and keeps the name of a NOT NULL that was there before. So are CHECK constraints that call functions which may read other tables. A child's inherited CHECK constraints, whatever they are, are entries too: they may bear comments of their own.

use serde::{Deserialize, Serialize};

use super::table_query::is_inline;
use crate::catalog::facts::Presence;
use crate::catalog::ident::{ObjectId, class};
use crate::catalog::kind::{Head, Kind, Target, null_as_default};
use crate::catalog::sql;
use crate::pg::ServerVersion;
use crate::pg::quote::{ident, printable};

/// A constraint that old rows may violate, or that is inherited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LateConstraint {
    /// The table.
    pub table: ObjectId,
    /// Its quoted, qualified name.
    pub table_name: String,
    /// The constraint, as the server writes it.
    pub constraint: String,
    /// It comes with the parent's constraint, and may yet bear a comment of its own.
    #[serde(default)]
    pub inherited: bool,
    /// It calls functions that may read other tables.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub calls_functions: bool,
    /// It holds for all rows of this table, although the parent's does not for all of the parent's.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub valid_below: bool,
    /// The name under which it comes with the parent's constraint: a partition's own name of a NOT NULL that old rows may
    /// violate. It could come back only by detaching the partition, which reads all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comes_as: Option<String>,
    /// The tables that inherit it, however far down: their rows must be in too before it comes to them.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub below: Vec<ObjectId>,
}

/// All tables below table `t`, as `b`.
const ALL_BELOW: &str = "(WITH RECURSIVE below(oid) AS (\
     SELECT h.inhrelid FROM pg_catalog.pg_inherits h WHERE h.inhparent = t.oid \
     UNION SELECT h.inhrelid FROM below b JOIN pg_catalog.pg_inherits h ON h.inhparent = b.oid) SELECT below.oid FROM below) b";

fn below() -> String {
    format!(
        "(SELECT pg_catalog.json_agg(pg_catalog.json_build_array({class}, b.oid::pg_catalog.int8)) FROM {ALL_BELOW})",
        class = class::PG_CLASS,
    )
}

/// The name of the parent's constraint on the same column, where partition `t` has one of another name which it only
/// inherits, and which does not hold for all rows.
fn comes_as(server: ServerVersion) -> String {
    if !server.at_least(18) {
        return "NULL::pg_catalog.text".to_owned();
    }
    "CASE WHEN k.contype = 'n' AND NOT k.conislocal AND NOT k.convalidated AND t.relispartition THEN \
       (SELECT u.conname FROM pg_catalog.pg_inherits h JOIN pg_catalog.pg_constraint u ON u.conrelid = h.inhparent AND u.contype = 'n' \
        JOIN pg_catalog.pg_attribute ua ON ua.attrelid = u.conrelid AND ua.attnum = u.conkey[1] \
        JOIN pg_catalog.pg_attribute a ON a.attrelid = t.oid AND a.attnum = k.conkey[1] AND a.attname = ua.attname \
        WHERE h.inhrelid = t.oid AND u.conname <> k.conname) END"
        .to_owned()
}

impl Kind for LateConstraint {
    const NAME: &'static str = "table constraint";
    const CATALOGS: &'static [&'static str] = &["pg_constraint"];
    const ONLY_WITH: Option<Presence> = Some(Presence::LateConstraints);

    fn query(server: ServerVersion) -> String {
        format!(
            "SELECT {id}, tn.nspname AS schema, k.conname AS name, {fields}, NOT k.conislocal AS inherited, {calls} AS calls_functions, \
               CASE WHEN NOT k.connoinherit THEN {below} END AS below, \
               k.convalidated AND NOT k.conislocal AND EXISTS (SELECT FROM pg_catalog.pg_inherits h JOIN pg_catalog.pg_constraint u \
                 ON u.conrelid = h.inhparent AND u.contype = k.contype AND u.conname = k.conname AND NOT u.convalidated WHERE h.inhrelid = t.oid) AS valid_below, \
               {comes_as} AS comes_as, \
               (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(x.class, x.oid::pg_catalog.int8)) FROM \
                 (SELECT {class}, t.oid UNION ALL SELECT {constraint}, u.oid FROM pg_catalog.pg_constraint u \
                 WHERE u.contype = k.contype AND (u.conname = k.conname AND u.conrelid IN (SELECT h.inhparent FROM pg_catalog.pg_inherits h WHERE h.inhrelid = t.oid) \
                   OR k.contype = 'n' AND u.conname <> k.conname AND u.conislocal AND u.conrelid IN (SELECT b.oid FROM {all_below}) \
                   AND EXISTS (SELECT FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_attribute ua ON ua.attname = a.attname \
                     WHERE a.attrelid = t.oid AND a.attnum = k.conkey[1] AND ua.attrelid = u.conrelid AND ua.attnum = u.conkey[1]))) x(class, oid)) AS depends \
             FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class t ON t.oid = k.conrelid \
             JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace \
             WHERE {late} AND t.relkind IN ('r', 'p', 'f') \
             AND t.relpersistence <> 't' AND {user} AND {own_table} ORDER BY tn.nspname, t.relname, k.conname",
            id = sql::id(class::PG_CONSTRAINT, "k.oid"),
            fields = fields(),
            below = below(),
            comes_as = comes_as(server),
            class = class::PG_CLASS,
            constraint = class::PG_CONSTRAINT,
            all_below = ALL_BELOW,
            calls = sql::calls_functions(class::PG_CONSTRAINT, "k.oid", false),
            late = late(server),
            user = sql::user_schema("t.relnamespace"),
            own_table = sql::not_extension_member(class::PG_CLASS, "t.oid"),
        )
    }

    fn inexpressible(&self, version: ServerVersion) -> Option<&'static str> {
        if version.at_least(18) {
            return None;
        }
        if self.constraint.ends_with("NOT ENFORCED") {
            return Some("NOT ENFORCED, which PostgreSQL 18 brought");
        }
        self.constraint
            .starts_with("NOT NULL")
            .then_some("NOT NULL that old rows may violate, which PostgreSQL 18 brought")
    }

    fn identity(&self, head: &Head) -> String {
        format!("CONSTRAINT {} ON {}", ident(self.comes_as.as_ref().unwrap_or(&head.name)), self.table_name)
    }

    fn warnings(&self, head: &Head) -> Vec<String> {
        let warning = |name: &String| {
            printable(&format!(
                "the constraint {} of the partition {} comes back under its parent's name, {}",
                ident(&head.name),
                self.table_name,
                ident(name)
            ))
        };
        self.comes_as.iter().map(warning).collect()
    }

    fn create(&self, head: &Head, _target: &Target) -> Vec<String> {
        if self.valid_below {
            return vec![format!(
                "ALTER TABLE {} VALIDATE CONSTRAINT {}",
                self.table_name,
                ident(&head.name)
            )];
        }
        if self.inherited {
            return Vec::new();
        }
        vec![format!(
            "ALTER TABLE {} ADD CONSTRAINT {} {}",
            self.table_name,
            ident(&head.name),
            self.constraint
        )]
    }

    fn drop(&self, head: &Head) -> String {
        format!("ALTER TABLE {} DROP CONSTRAINT {}", self.table_name, ident(&head.name))
    }

    fn set_owner(&self, _head: &Head, _owner: &str) -> Option<String> {
        None
    }

    fn after_all_data(&self) -> bool {
        self.calls_functions
    }

    fn after_data_of(&self) -> Vec<ObjectId> {
        std::iter::once(self.table).chain(self.below.iter().copied()).collect()
    }
}

/// A condition: constraint `k` of table `t` is one of these.
fn late(server: ServerVersion) -> String {
    let not_null = if server.at_least(18) { ", 'n'" } else { "" };
    format!("k.contype IN ('c'{not_null}) AND NOT {}", is_inline(server, "t"))
}

/// The columns that describe constraint `k` of table `t` in schema `tn`.
fn fields() -> String {
    format!(
        "pg_catalog.json_build_array({class}, t.oid::pg_catalog.int8) AS table, pg_catalog.format('%I.%I', tn.nspname, t.relname) AS table_name, \
         pg_catalog.pg_get_constraintdef(k.oid) AS constraint",
        class = class::PG_CLASS,
    )
}
