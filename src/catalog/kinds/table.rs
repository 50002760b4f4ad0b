//! Tables: ordinary, partitioned, partitions, inheriting, typed, unlogged (`CREATE TABLE`).
//!
//! A partition is created on its own and attached, so that its columns keep their order. What alters the table after
//! its indexes exist (replica identity, cluster) belongs to the indexes.

use serde::{Deserialize, Serialize};

use super::column::{Column, NotNull};
use crate::catalog::acl::{AclClass, AclItem};
use crate::catalog::ident::{ObjectId, class};
use crate::catalog::kind::{Head, Kind, Target, null_as_default};
use crate::catalog::sql;
use crate::pg::ServerVersion;
use crate::pg::quote::{ident, ident_list};

/// A table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Columns in the order of their numbers, without dropped ones.
    #[serde(default, deserialize_with = "null_as_default")]
    pub columns: Vec<Column>,
    /// CHECK constraints that hold for all rows, and are created with the table.
    #[serde(default, deserialize_with = "null_as_default")]
    pub checks: Vec<Check>,
    /// NOT NULL constraints by name (PostgreSQL 18).
    #[serde(default, deserialize_with = "null_as_default")]
    pub not_nulls: Vec<NotNull>,
    /// `UNLOGGED`.
    #[serde(default)]
    pub unlogged: bool,
    /// Parents, in order, quoted and qualified.
    #[serde(default, deserialize_with = "null_as_default")]
    pub inherits: Vec<String>,
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
    /// The access method, where it is not `heap`.
    #[serde(default)]
    pub access_method: Option<String>,
    /// The tablespace, where it is not the database's.
    #[serde(default)]
    pub tablespace: Option<String>,
    /// Replica identity: `d` default, `n` nothing, `f` full, `i` an index.
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
    pub local: bool,
    /// Its comment.
    #[serde(default)]
    pub comment: Option<String>,
}

impl Kind for Table {
    const NAME: &'static str = "table";
    const CATALOGS: &'static [&'static str] =
        &["pg_class", "pg_attribute", "pg_attrdef", "pg_inherits", "pg_partitioned_table", "pg_constraint"];

    fn query(server: ServerVersion) -> String {
        format!(
            "SELECT {id}, n.nspname AS schema, c.relname AS name, {owner}, {acl}, {columns} AS columns, \
               (SELECT pg_catalog.json_agg(i.id) FROM (\
                 SELECT pg_catalog.json_build_array({pg_type}, c.reltype::pg_catalog.int8) AS id \
                 UNION ALL SELECT pg_catalog.json_build_array({pg_type}, t.typarray::pg_catalog.int8) FROM pg_catalog.pg_type t WHERE t.oid = c.reltype AND t.typarray <> 0 \
                 UNION ALL SELECT pg_catalog.json_build_array({pg_attrdef}, d.oid::pg_catalog.int8) FROM pg_catalog.pg_attrdef d WHERE d.adrelid = c.oid \
                 UNION ALL SELECT pg_catalog.json_build_array({pg_class}, s.objid::pg_catalog.int8) FROM pg_catalog.pg_depend s WHERE s.refclassid = {pg_class}::pg_catalog.oid AND s.refobjid = c.oid AND s.classid = {pg_class}::pg_catalog.oid AND s.deptype = 'i' AND s.refobjsubid > 0 \
                 UNION ALL SELECT pg_catalog.json_build_array({pg_constraint}, k.oid::pg_catalog.int8) FROM pg_catalog.pg_constraint k WHERE k.conrelid = c.oid AND (k.contype = 'n' OR (k.contype = 'c' AND {inline}))) i) AS also, \
               (SELECT pg_catalog.json_agg(pg_catalog.json_build_object('id', pg_catalog.json_build_array({pg_constraint}, k.oid::pg_catalog.int8), 'name', k.conname, \
                   'definition', pg_catalog.pg_get_constraintdef(k.oid), 'local', k.conislocal, \
                   'comment', pg_catalog.obj_description(k.oid, 'pg_constraint')) ORDER BY k.conname) \
                 FROM pg_catalog.pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'c' AND {inline}) AS checks, \
               {not_nulls} AS not_nulls, c.relpersistence = 'u' AS unlogged, \
               (SELECT pg_catalog.json_agg(pg_catalog.format('%I.%I', pn.nspname, p.relname) ORDER BY h.inhseqno) \
                 FROM pg_catalog.pg_inherits h JOIN pg_catalog.pg_class p ON p.oid = h.inhparent \
                 JOIN pg_catalog.pg_namespace pn ON pn.oid = p.relnamespace \
                 WHERE h.inhrelid = c.oid AND NOT c.relispartition) AS inherits, \
               CASE WHEN c.relispartition THEN (SELECT pg_catalog.json_build_object(\
                   'parent', pg_catalog.json_build_array({pg_class}, p.oid::pg_catalog.int8), \
                   'parent_name', pg_catalog.format('%I.%I', pn.nspname, p.relname), \
                   'bound', pg_catalog.pg_get_expr(c.relpartbound, c.oid)) \
                 FROM pg_catalog.pg_inherits h JOIN pg_catalog.pg_class p ON p.oid = h.inhparent \
                 JOIN pg_catalog.pg_namespace pn ON pn.oid = p.relnamespace WHERE h.inhrelid = c.oid) END AS partition, \
               CASE WHEN c.relkind = 'p' THEN pg_catalog.pg_get_partkeydef(c.oid) END AS partition_key, \
               CASE WHEN c.reloftype <> 0 THEN pg_catalog.format_type(c.reloftype, NULL) END AS of_type, \
               pg_catalog.array_to_json(c.reloptions OPERATOR(pg_catalog.||) (SELECT pg_catalog.array_agg('toast.' || o) FROM pg_catalog.pg_class tc, \
                 pg_catalog.unnest(tc.reloptions) o WHERE tc.oid = c.reltoastrelid)) AS options, \
               CASE WHEN am.amname <> 'heap' THEN am.amname END AS access_method, ts.spcname AS tablespace, \
               c.relreplident::pg_catalog.text AS replica_identity, c.relrowsecurity AS row_security, \
               c.relforcerowsecurity AS force_row_security \
             FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             LEFT JOIN pg_catalog.pg_am am ON am.oid = c.relam \
             LEFT JOIN pg_catalog.pg_tablespace ts ON ts.oid = c.reltablespace \
             WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND {user} AND {own} ORDER BY n.nspname, c.relname",
            id = sql::id(class::PG_CLASS, "c.oid"),
            owner = sql::owner("c.relowner"),
            acl = sql::acl("c.relacl"),
            columns = Column::json("c", server),
            not_nulls = NotNull::json("c", server),
            inline = inline_check(server),
            pg_type = class::PG_TYPE,
            pg_class = class::PG_CLASS,
            pg_attrdef = class::PG_ATTRDEF,
            pg_constraint = class::PG_CONSTRAINT,
            user = sql::user_schema("c.relnamespace"),
            own = sql::not_extension_member(class::PG_CLASS, "c.oid"),
        )
    }

    fn identity(&self, head: &Head) -> String {
        format!("TABLE {}", head.qualified())
    }

    fn acl_target(&self, head: &Head) -> Option<(AclClass, String)> {
        Some((AclClass::Table, self.identity(head)))
    }

    fn column_acls(&self) -> Vec<(String, Vec<AclItem>)> {
        self.columns.iter().filter_map(|c| Some((c.name.clone(), c.acl.clone()?))).collect()
    }

    fn column_name(&self, number: i16) -> Option<String> {
        self.columns.iter().find(|column| column.number == number).map(|column| column.name.clone())
    }

    fn tablespace(&self) -> Option<String> {
        self.tablespace.clone()
    }

    fn access_method(&self) -> Option<String> {
        self.access_method.clone()
    }

    fn create(&self, head: &Head, target: &Target) -> Vec<String> {
        let mut statements = vec![self.create_table(head, target, true)];
        statements.extend(self.afterwards(head, target));
        statements.extend(self.defaults(head));
        statements
    }

    fn detached_ids(&self) -> Vec<ObjectId> {
        let defaults = self.columns.iter().filter(|c| c.generated.is_none()).filter_map(|c| c.default_id);
        defaults.chain(self.checks.iter().map(|check| check.id)).collect()
    }

    fn create_without_detached(&self, head: &Head, target: &Target) -> Vec<String> {
        let mut statements = vec![self.create_table(head, target, false)];
        statements.extend(self.afterwards(head, target));
        statements
    }

    fn create_detached(&self, head: &Head, _target: &Target) -> Vec<String> {
        let mut statements = self.defaults(head);
        for check in self.own_checks() {
            let (table, name) = (head.qualified(), ident(&check.name));
            statements.push(format!("ALTER TABLE {table} ADD CONSTRAINT {name} {}", check.definition));
        }
        statements
    }

    fn partition_of(&self) -> Option<ObjectId> {
        self.partition.as_ref().map(|partition| partition.parent)
    }

    fn warnings(&self, head: &Head) -> Vec<String> {
        self.columns.iter().filter_map(|column| column.unknown_options(head)).collect()
    }
}

impl Table {
    /// Columns that `COPY` reads and writes, in order: all but generated ones.
    pub fn copy_columns(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter(|column| column.generated.is_none())
    }

    /// A partition has all its columns and constraints of its own; another child only those that it does not inherit.
    fn is_own(&self, local: bool) -> bool {
        local || self.partition.is_some()
    }

    fn own_checks(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(|check| self.is_own(check.local))
    }

    fn create_table(&self, head: &Head, target: &Target, checks: bool) -> String {
        let mut parts: Vec<String> = Vec::new();
        for column in self.columns.iter().filter(|column| self.is_own(column.local)) {
            let not_null = self.not_nulls.iter().find(|constraint| constraint.column == column.name);
            if self.of_type.is_some() {
                parts.extend(column.typed_definition(not_null));
            } else {
                parts.push(column.definition(not_null, target));
            }
        }
        for check in self.own_checks().filter(|_| checks) {
            parts.push(format!("CONSTRAINT {} {}", ident(&check.name), check.definition));
        }
        for constraint in self.not_nulls.iter().filter(|c| c.local && !c.invalid) {
            let inherited = self.columns.iter().any(|c| c.name == constraint.column && !self.is_own(c.local));
            if inherited {
                parts.push(constraint.table_constraint());
            }
        }
        let kind = if self.unlogged { "UNLOGGED TABLE" } else { "TABLE" };
        let of = self.of_type.as_ref().map(|name| format!(" OF {name}")).unwrap_or_default();
        let body = if parts.is_empty() && self.of_type.is_some() {
            String::new()
        } else {
            format!(" (\n    {}\n)", parts.join(",\n    "))
        };
        let mut text = format!("CREATE {kind} {}{of}{body}", head.qualified());
        if !self.inherits.is_empty() {
            text.push_str(&format!(" INHERITS ({})", self.inherits.join(", ")));
        }
        if let Some(key) = &self.partition_key {
            text.push_str(&format!(" PARTITION BY {key}"));
        }
        if let Some(method) = self.access_method.as_ref().filter(|_| self.partition_key.is_none()) {
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

    /// What follows the creation at once, in the order in which it must.
    fn afterwards(&self, head: &Head, target: &Target) -> Vec<String> {
        let table = head.qualified();
        let mut out = Vec::new();
        for column in &self.columns {
            out.extend(column.attributes(&table, self.is_own(column.local), target));
        }
        for constraint in self.not_nulls.iter().filter(|c| c.invalid && c.local) {
            out.push(format!("ALTER TABLE {table} ADD {} NOT VALID", constraint.table_constraint()));
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
        for check in self.own_checks() {
            if let Some(comment) = &check.comment {
                let text = crate::pg::quote::literal(comment);
                out.push(format!("COMMENT ON CONSTRAINT {} ON {table} IS {text}", ident(&check.name)));
            }
        }
        for constraint in &self.not_nulls {
            if let Some(comment) = &constraint.comment {
                let text = crate::pg::quote::literal(comment);
                out.push(format!("COMMENT ON CONSTRAINT {} ON {table} IS {text}", ident(&constraint.name)));
            }
        }
        out
    }

    /// Column defaults, apart from generated columns, whose expression is part of the column.
    fn defaults(&self, head: &Head) -> Vec<String> {
        let table = head.qualified();
        let with = self.columns.iter().filter(|column| column.generated.is_none());
        with.filter_map(|column| {
            let default = column.default.as_ref()?;
            Some(format!(
                "ALTER TABLE ONLY {table} ALTER COLUMN {} SET DEFAULT {default}",
                ident(&column.name)
            ))
        })
        .collect()
    }

    /// The column list of a `COPY`.
    pub fn column_list(&self) -> String {
        ident_list(self.copy_columns().map(|column| column.name.as_str()))
    }
}

/// Which CHECK constraints are created with the table: those that hold for all rows.
pub(super) fn inline_check(server: ServerVersion) -> &'static str {
    if server.at_least(18) { "k.convalidated AND k.conenforced" } else { "k.convalidated" }
}
