//! Tables: ordinary, partitioned, partitions, inheriting, typed, unlogged (`CREATE TABLE`).
//!
//! A partition is created on its own and attached, so that its columns keep their order. What alters the table after
//! its indexes exist (replica identity, cluster) belongs to the indexes.

use serde::{Deserialize, Serialize};

use super::column::{Column, NotNull};
use crate::catalog::acl::{AclClass, AclItem};
use crate::catalog::ident::ObjectId;
use crate::catalog::kind::{Head, Kind, Target, null_as_default};
use crate::catalog::sql;
use crate::pg::ServerVersion;
use crate::pg::quote::{ident, ident_list, literal, printable};

/// A table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Columns in the order of their numbers, without dropped ones.
    #[serde(default, deserialize_with = "null_as_default")]
    pub columns: Vec<Column>,
    /// Its own CHECK constraints that hold for all rows, and are created with the table.
    #[serde(default, deserialize_with = "null_as_default")]
    pub checks: Vec<Check>,
    /// NOT NULL constraints by name (PostgreSQL 18); invalid ones are made later ([`super::table_constraint`]).
    #[serde(default, deserialize_with = "null_as_default")]
    pub not_nulls: Vec<NotNull>,
    /// Privileges on the columns that every table has, such as `tableoid`.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub system_acls: Vec<SystemColumnAcl>,
    /// `UNLOGGED`.
    #[serde(default)]
    pub unlogged: bool,
    /// Parents, in order, quoted and qualified.
    #[serde(default, deserialize_with = "null_as_default")]
    pub inherits: Vec<String>,
    /// All that it has in common with its parents it has of its own too, as a table that was made alone: so it is made
    /// alone again and then becomes their child, and its columns keep their order.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub adopted: bool,
    /// Its columns are in another order than `INHERITS` would give them: a parent got columns later, or it got a parent
    /// later. So it is made alone, with all its columns, and then becomes its parents' child.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reordered: bool,
    /// CHECK constraints that it only inherits, where `reordered`.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub inherited_checks: Vec<Check>,
    /// The parent's identity and the bounds, for a partition.
    #[serde(default)]
    pub partition: Option<Partition>,
    /// `PARTITION BY …`, for a partitioned table.
    #[serde(default)]
    pub partition_key: Option<String>,
    /// The composite type, for a typed table.
    #[serde(default)]
    pub of_type: Option<String>,
    /// Storage parameters, `toast.` ones among them.
    #[serde(default, deserialize_with = "null_as_default")]
    pub options: Vec<String>,
    /// The access method, where it is not `heap`, or where a partitioned table names one for its partitions.
    #[serde(default)]
    pub access_method: Option<String>,
    /// The tablespace, where it is not the database's.
    #[serde(default)]
    pub tablespace: Option<String>,
    /// Replica identity: `d` default, `n` nothing, `f` full, `i` an index ([`super::replica_identity`]).
    #[serde(default)]
    pub replica_identity: String,
    /// Row security is enabled.
    #[serde(default)]
    pub row_security: bool,
    /// Row security is enforced for the owner too.
    #[serde(default)]
    pub force_row_security: bool,
}

/// Where a partition belongs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partition {
    /// The partitioned table.
    pub parent: ObjectId,
    /// Its quoted, qualified name.
    pub parent_name: String,
    /// `FOR VALUES …` or `DEFAULT`.
    pub bound: String,
    /// `DETACH PARTITION … CONCURRENTLY` was broken off half way: its rows do not show in the partitioned table.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub half_detached: bool,
}

/// Privileges on a system column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SystemColumnAcl {
    /// The column's name.
    pub column: String,
    /// Who has which.
    pub acl: Vec<AclItem>,
}

/// A CHECK constraint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Its identity.
    pub id: ObjectId,
    /// Its name.
    pub name: String,
    /// `CHECK (…)`.
    pub definition: String,
    /// Defined on this table, not only inherited.
    #[serde(default)]
    pub local: bool,
    /// Its comment.
    #[serde(default)]
    pub comment: Option<String>,
}

/// Collations whose order is that of the bytes, everywhere and for ever.
const BYTE_ORDERS: [&str; 5] =
    ["\"pg_catalog\".\"C\"", "\"pg_catalog\".\"POSIX\"", "pg_catalog.\"C\"", "pg_catalog.\"POSIX\"", "\"C\""];

impl Kind for Table {
    const NAME: &'static str = "table";
    const CATALOGS: &'static [&'static str] =
        &["pg_class", "pg_attribute", "pg_attrdef", "pg_inherits", "pg_partitioned_table", "pg_constraint"];

    /// See [`crate::catalog::facts::classes`].
    fn query(_server: ServerVersion) -> String {
        String::new()
    }

    fn warnings(&self, head: &Head) -> Vec<String> {
        let half = self.partition.iter().filter(|partition| partition.half_detached);
        let warning = |partition: &Partition| {
            printable(&format!(
                "the partition {} is half detached from {}, and comes back attached: finish that with DETACH PARTITION … FINALIZE",
                head.qualified(),
                partition.parent_name
            ))
        };
        half.map(warning).collect()
    }

    fn identity(&self, head: &Head) -> String {
        format!("TABLE {}", head.qualified())
    }

    fn acl_target(&self, head: &Head) -> Option<(AclClass, String)> {
        Some((AclClass::Table, self.identity(head)))
    }

    fn column_acls(&self) -> Vec<(String, Vec<AclItem>)> {
        let own = self.columns.iter().filter_map(|c| Some((c.name.clone(), c.acl.clone()?)));
        own.chain(self.system_acls.iter().map(|c| (c.column.clone(), c.acl.clone()))).collect()
    }

    fn column_name(&self, number: i16) -> Option<String> {
        self.columns.iter().find(|column| column.number == number).map(|column| column.name.clone())
    }

    fn tablespace(&self) -> Option<String> {
        self.tablespace.clone()
    }

    fn forget_tablespace(&mut self) {
        self.tablespace = None;
    }

    fn access_method(&self) -> Option<String> {
        self.access_method.clone()
    }

    fn create(&self, head: &Head, target: &Target) -> Vec<String> {
        self.create_from(self.create_table(head, target, true), head, target)
    }

    fn detached_ids(&self) -> Vec<ObjectId> {
        let defaults = self.columns.iter().filter(|c| c.generated.is_none()).filter_map(|c| c.default_id);
        defaults.chain(self.checks.iter().map(|check| check.id)).collect()
    }

    fn create_without_detached(&self, head: &Head, target: &Target) -> Vec<String> {
        self.create_bare_from(self.create_table(head, target, false), head, target)
    }

    fn create_detached(&self, head: &Head, _target: &Target) -> Vec<String> {
        let mut statements: Vec<String> = self.defaults(head).into_iter().collect();
        for check in self.own_checks() {
            let (table, name) = (head.qualified(), ident(&check.name));
            statements.push(format!("ALTER TABLE {table} ADD CONSTRAINT {name} {}", check.definition));
        }
        statements.extend(self.constraint_comments(head, true, false));
        statements
    }

    fn partition_of(&self) -> Option<ObjectId> {
        self.partition.as_ref().map(|partition| partition.parent)
    }

    fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn columns_mut(&mut self) -> &mut [Column] {
        &mut self.columns
    }

    fn inexpressible(&self, version: ServerVersion) -> Option<&'static str> {
        let is_virtual = |column: &Column| column.generated.as_deref() == Some("v");
        if self.columns.iter().any(is_virtual) && !version.at_least(18) {
            return Some("virtual generated columns, which PostgreSQL 18 brought");
        }
        let is_partition = self.partition.is_some() || self.partition_key.is_some();
        let has_identity = self.columns.iter().any(|column| column.identity.is_some());
        (is_partition && has_identity && !version.at_least(17))
            .then_some("identity columns of partitioned tables, which PostgreSQL 17 brought")
    }
}

impl Table {
    /// What [`Kind::create`] says, after the `CREATE` statement itself.
    pub(super) fn create_from(&self, create: String, head: &Head, target: &Target) -> Vec<String> {
        let mut statements = vec![create];
        let parents = self.inherits.iter().filter(|_| self.is_made_alone(true));
        statements.extend(parents.map(|parent| format!("ALTER TABLE {} INHERIT {parent}", head.qualified())));
        statements.extend(self.mark_inherited(head, target));
        statements.extend(self.afterwards(head, target));
        statements.extend(self.defaults(head));
        statements.extend(self.constraint_comments(head, true, true));
        statements
    }

    /// What [`Kind::create_without_detached`] says, after the `CREATE` statement itself.
    pub(super) fn create_bare_from(&self, create: String, head: &Head, target: &Target) -> Vec<String> {
        let mut statements = vec![create];
        statements.extend(self.afterwards(head, target));
        statements.extend(self.constraint_comments(head, false, true));
        statements
    }

    /// Columns that `COPY` reads and writes, in order: all but generated ones.
    pub fn copy_columns(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter(|column| column.generated.is_none())
    }

    /// Whether the place of a row among the partitions may be another in a restored table: the hash of a value of a
    /// user's type may come from the numbers that the server gave it (an enum's labels), and of an expression from
    /// whatever it calls; and the order of texts is that of the target's collation, in its version.
    pub fn may_move_rows(&self) -> bool {
        let Some(key) = self.partition_key.as_deref() else { return false };
        let keys = |strategy: &str| {
            let keys = key.strip_prefix(strategy)?;
            Some(keys.strip_suffix(')').unwrap_or(keys).split(", "))
        };
        if let Some(mut keys) = keys("HASH (") {
            return keys
                .any(|key| self.key_column(key).is_none_or(|(column, _)| column.type_name.contains('.')));
        }
        keys("RANGE (").is_some_and(|mut keys| keys.any(|key| self.is_ordered_by_locale(key)))
    }

    /// The column that a part of the partition key is, and what is said of it besides; nothing for an expression.
    fn key_column<'a>(&self, key: &'a str) -> Option<(&Column, &'a str)> {
        self.columns.iter().find_map(|column| {
            let rest = [&ident(&column.name), &column.name]
                .into_iter()
                .find_map(|name| key.strip_prefix(name.as_str()));
            rest.filter(|rest| rest.is_empty() || rest.starts_with(' ')).map(|rest| (column, rest))
        })
    }

    fn is_ordered_by_locale(&self, key: &str) -> bool {
        const TEXTS: [&str; 4] = ["text", "bpchar", "character", "citext"];
        let Some((column, rest)) = self.key_column(key) else { return true };
        let bare = column.type_name.trim_matches('"');
        let is_text = TEXTS.contains(&bare) || bare.starts_with("character") || bare.contains('.');
        let collation = rest.strip_prefix(" COLLATE ").or(column.collation.as_deref()).unwrap_or_default();
        is_text && !BYTE_ORDERS.iter().any(|order| collation.starts_with(order))
    }

    /// A partition has all its columns and constraints of its own; another child only those that it does not inherit.
    fn is_own(&self, local: bool) -> bool {
        local || self.partition.is_some()
    }

    fn own_checks(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(|check| self.is_own(check.local))
    }

    fn create_table(&self, head: &Head, target: &Target, checks: bool) -> String {
        // PostgreSQL 18 refuses what older ones took and never heeded.
        let unlogged = self.unlogged && !(self.partition_key.is_some() && target.version.at_least(18));
        let kind = if unlogged { "UNLOGGED TABLE" } else { "TABLE" };
        let mut text = self.create_as(kind, head, checks);
        if let Some(key) = &self.partition_key {
            text.push_str(&format!(" PARTITION BY {key}"));
        }
        let takes_method = self.partition_key.is_none() || target.version.at_least(17);
        if let Some(method) = self.access_method.as_ref().filter(|_| takes_method) {
            text.push_str(&format!(" USING {}", ident(method)));
        }
        if !self.options.is_empty() {
            text.push_str(&format!(" WITH ({})", sql::options(&self.options)));
        }
        if let Some(tablespace) = &self.tablespace {
            text.push_str(&format!(" TABLESPACE {}", ident(tablespace)));
        }
        text
    }

    /// A child can be adopted only with all its CHECK constraints.
    fn is_made_alone(&self, checks: bool) -> bool {
        (self.adopted || self.reordered) && checks
    }

    /// What the table only inherits was made as its own, to have its place; no statement says so afterwards but one to
    /// the catalogs, as `pg_upgrade` writes them too (`dumpTableSchema` of `pg_dump`). Only superusers may; for others
    /// the columns stay the table's own as well, and do not go when the parent's are dropped.
    fn mark_inherited(&self, head: &Head, target: &Target) -> Vec<String> {
        if !target.superuser || self.partition.is_some() {
            return Vec::new();
        }
        let table = literal(&head.qualified());
        let mark = |catalog: &str, prefix: &str, relation: &str, names: Vec<&str>| {
            let names: Vec<String> = names.into_iter().map(literal).collect();
            (!names.is_empty()).then(|| {
                format!(
                    "UPDATE pg_catalog.{catalog} SET {prefix}islocal = false WHERE {relation} = {table}::pg_catalog.regclass \
                     AND {prefix}name IN ({})",
                    names.join(", ")
                )
            })
        };
        let columns =
            self.columns.iter().filter(|column| self.reordered && !column.local).map(|c| c.name.as_str());
        let checks = self.inherited_checks.iter().map(|check| check.name.as_str());
        let made = |c: &&NotNull| !c.invalid && (c.inherited || self.reordered && !c.local);
        let not_nulls = self.not_nulls.iter().filter(made).map(|c| c.name.as_str());
        let columns = mark("pg_attribute", "att", "attrelid", columns.collect());
        let constraints = mark("pg_constraint", "con", "conrelid", checks.chain(not_nulls).collect());
        columns.into_iter().chain(constraints).collect()
    }

    /// `CREATE … name (columns) INHERITS (…)`.
    pub(super) fn create_as(&self, kind: &str, head: &Head, checks: bool) -> String {
        let parts = self.parts(checks);
        let of = self.of_type.as_ref().map(|name| format!(" OF {name}")).unwrap_or_default();
        let body = if parts.is_empty() && self.of_type.is_some() {
            String::new()
        } else {
            format!(" (\n    {}\n)", parts.join(",\n    "))
        };
        let inherits = if self.inherits.is_empty() || self.is_made_alone(checks) {
            String::new()
        } else {
            format!(" INHERITS ({})", self.inherits.join(", "))
        };
        format!("CREATE {kind} {}{of}{body}{inherits}", head.qualified())
    }

    /// Columns and constraints in the parentheses of `CREATE TABLE`.
    fn parts(&self, checks: bool) -> Vec<String> {
        let mut parts: Vec<String> = Vec::new();
        let whole = self.reordered && checks;
        for column in self.columns.iter().filter(|column| whole || self.is_own(column.local)) {
            let not_null = match self.not_nulls.iter().find(|constraint| constraint.column == column.name) {
                Some(constraint) if (whole || self.is_own(constraint.local)) && !constraint.invalid => {
                    Some(constraint.column_constraint())
                }
                // It comes with the parent's, or later.
                Some(_) => None,
                None if column.not_null_above && !self.is_made_alone(checks) && self.partition.is_none() => {
                    None
                }
                None => column.not_null.then(|| " NOT NULL".to_owned()),
            };
            if self.of_type.is_some() {
                parts.extend(column.typed_definition(not_null.as_deref()));
                continue;
            }
            let mut definition = column.definition(not_null.as_deref());
            let several = self.inherits.len() > 1 && !self.is_made_alone(checks);
            if several && column.generated.is_none() && column.identity.is_none() {
                // Several parents may have several defaults: none of them, until the column's own is set.
                definition.push_str(" DEFAULT NULL");
            }
            parts.push(definition);
        }
        for check in self.own_checks().chain(&self.inherited_checks).filter(|_| checks) {
            parts.push(format!("CONSTRAINT {} {}", ident(&check.name), check.definition));
        }
        for constraint in self.not_nulls.iter().filter(|c| c.local && !c.invalid && !whole) {
            let inherited = self.columns.iter().any(|c| c.name == constraint.column && !self.is_own(c.local));
            if inherited {
                parts.push(constraint.table_constraint());
            }
        }
        parts
    }

    /// What follows the creation at once, in the order in which it must.
    fn afterwards(&self, head: &Head, target: &Target) -> Vec<String> {
        let table = head.qualified();
        let mut out = Vec::new();
        for column in &self.columns {
            out.extend(column.attributes(&table, self.is_own(column.local), target));
        }
        if let Some(Partition { parent_name, bound, .. }) = &self.partition {
            out.push(format!("ALTER TABLE ONLY {parent_name} ATTACH PARTITION {table} {bound}"));
        }
        match self.replica_identity.as_str() {
            "n" => out.push(format!("ALTER TABLE ONLY {table} REPLICA IDENTITY NOTHING")),
            "f" => out.push(format!("ALTER TABLE ONLY {table} REPLICA IDENTITY FULL")),
            _ => {}
        }
        if self.row_security {
            out.push(format!("ALTER TABLE {table} ENABLE ROW LEVEL SECURITY"));
        }
        if self.force_row_security {
            out.push(format!("ALTER TABLE ONLY {table} FORCE ROW LEVEL SECURITY"));
        }
        out
    }

    /// Comments of NOT NULL constraints, and as asked of CHECK constraints, inherited ones too.
    fn constraint_comments(&self, head: &Head, checks: bool, not_nulls: bool) -> Vec<String> {
        let checks = self.checks.iter().filter(|_| checks).map(|check| (&check.name, &check.comment));
        let not_nulls = self
            .not_nulls
            .iter()
            .filter(|constraint| not_nulls && !constraint.invalid)
            .map(|constraint| (&constraint.name, &constraint.comment));
        let table = head.qualified();
        let comment = |(name, comment): (&String, &Option<String>)| {
            let text = literal(comment.as_ref()?);
            Some(format!("COMMENT ON CONSTRAINT {} ON {table} IS {text}", ident(name)))
        };
        checks.chain(not_nulls).filter_map(comment).collect()
    }

    /// Column defaults, apart from generated columns, whose expression is part of the column: one statement for all.
    fn defaults(&self, head: &Head) -> Option<String> {
        let default = |column: &Column| {
            let alter = format!("ALTER COLUMN {}", ident(&column.name));
            match &column.default {
                Some(default) => Some(format!("{alter} SET DEFAULT {default}")),
                None if column.drops_default => Some(format!("{alter} DROP DEFAULT")),
                None => None,
            }
        };
        let all: Vec<String> =
            self.columns.iter().filter(|column| column.generated.is_none()).filter_map(default).collect();
        (!all.is_empty()).then(|| format!("ALTER TABLE ONLY {} {}", head.qualified(), all.join(", ")))
    }

    /// The column list of a `COPY`.
    pub fn column_list(&self) -> String {
        ident_list(self.copy_columns().map(|column| column.name.as_str()))
    }
}
