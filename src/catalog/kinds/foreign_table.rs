//! Foreign tables (`CREATE FOREIGN TABLE`): their definition. Their rows are the foreign server's and are not backed up.

use serde::{Deserialize, Serialize};

use super::column::{Column, NotNull};
use super::table::{Check, Partition, inline_check};
use crate::catalog::acl::{AclClass, AclItem};
use crate::catalog::ident::{ObjectId, class};
use crate::catalog::kind::{Head, Kind, Target, null_as_default};
use crate::catalog::sql;
use crate::pg::ServerVersion;
use crate::pg::quote::{ident, literal};

/// A foreign table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignTable {
    /// Columns in the order of their numbers, without dropped ones.
    #[serde(default, deserialize_with = "null_as_default")]
    pub columns: Vec<Column>,
    /// Options of columns: the column's name, then names and values.
    #[serde(default, deserialize_with = "null_as_default")]
    pub column_options: Vec<(String, Vec<(String, String)>)>,
    /// CHECK constraints.
    #[serde(default, deserialize_with = "null_as_default")]
    pub checks: Vec<Check>,
    /// NOT NULL constraints by name (PostgreSQL 18).
    #[serde(default, deserialize_with = "null_as_default")]
    pub not_nulls: Vec<NotNull>,
    /// The foreign server.
    pub server: String,
    /// Options of the table.
    #[serde(default, deserialize_with = "null_as_default")]
    pub options: Vec<(String, String)>,
    /// Parents, in order, quoted and qualified.
    #[serde(default, deserialize_with = "null_as_default")]
    pub inherits: Vec<String>,
    /// Where it belongs, for a partition.
    #[serde(default)]
    pub partition: Option<Partition>,
}

impl Kind for ForeignTable {
    const NAME: &'static str = "foreign table";
    const CATALOGS: &'static [&'static str] = &["pg_foreign_table", "pg_class", "pg_attribute"];

    fn query(server: ServerVersion) -> String {
        format!(
            "SELECT {id}, n.nspname AS schema, c.relname AS name, {owner}, {acl}, {columns} AS columns, \
               (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(a.attname, (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(o.option_name, coalesce(o.option_value, ''))) \
                   FROM pg_catalog.pg_options_to_table(a.attfdwoptions) o)) ORDER BY a.attnum) \
                 FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attfdwoptions IS NOT NULL) AS column_options, \
               (SELECT pg_catalog.json_agg(pg_catalog.json_build_object('id', pg_catalog.json_build_array({pg_constraint}, k.oid::pg_catalog.int8), 'name', k.conname, \
                   'definition', pg_catalog.pg_get_constraintdef(k.oid), 'local', k.conislocal, 'comment', pg_catalog.obj_description(k.oid, 'pg_constraint')) ORDER BY k.conname) \
                 FROM pg_catalog.pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'c' AND {inline}) AS checks, {not_nulls} AS not_nulls, s.srvname AS server, \
               (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(o.option_name, coalesce(o.option_value, ''))) FROM pg_catalog.pg_options_to_table(f.ftoptions) o) AS options, \
               (SELECT pg_catalog.json_agg(i.id) FROM (SELECT pg_catalog.json_build_array({pg_type}, c.reltype::pg_catalog.int8) AS id \
                 UNION ALL SELECT pg_catalog.json_build_array({pg_type}, t.typarray::pg_catalog.int8) FROM pg_catalog.pg_type t WHERE t.oid = c.reltype AND t.typarray <> 0 \
                 UNION ALL SELECT pg_catalog.json_build_array({pg_attrdef}, d.oid::pg_catalog.int8) FROM pg_catalog.pg_attrdef d WHERE d.adrelid = c.oid \
                 UNION ALL SELECT pg_catalog.json_build_array({pg_constraint}, k.oid::pg_catalog.int8) FROM pg_catalog.pg_constraint k WHERE k.conrelid = c.oid AND k.contype IN ('c', 'n')) i) AS also, \
               (SELECT pg_catalog.json_agg(pg_catalog.format('%I.%I', pn.nspname, p.relname) ORDER BY h.inhseqno) \
                 FROM pg_catalog.pg_inherits h JOIN pg_catalog.pg_class p ON p.oid = h.inhparent JOIN pg_catalog.pg_namespace pn ON pn.oid = p.relnamespace \
                 WHERE h.inhrelid = c.oid AND NOT c.relispartition) AS inherits, \
               CASE WHEN c.relispartition THEN (SELECT pg_catalog.json_build_object('parent', pg_catalog.json_build_array({pg_class}, p.oid::pg_catalog.int8), \
                   'parent_name', pg_catalog.format('%I.%I', pn.nspname, p.relname), 'bound', pg_catalog.pg_get_expr(c.relpartbound, c.oid)) \
                 FROM pg_catalog.pg_inherits h JOIN pg_catalog.pg_class p ON p.oid = h.inhparent JOIN pg_catalog.pg_namespace pn ON pn.oid = p.relnamespace \
                 WHERE h.inhrelid = c.oid) END AS partition \
             FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             JOIN pg_catalog.pg_foreign_table f ON f.ftrelid = c.oid JOIN pg_catalog.pg_foreign_server s ON s.oid = f.ftserver \
             WHERE c.relkind = 'f' AND {user} AND {own} ORDER BY n.nspname, c.relname",
            id = sql::id(class::PG_CLASS, "c.oid"),
            owner = sql::owner("c.relowner"),
            acl = sql::acl("c.relacl"),
            columns = Column::json("c", server),
            inline = inline_check(server),
            not_nulls = NotNull::json("c", server),
            pg_class = class::PG_CLASS,
            pg_type = class::PG_TYPE,
            pg_attrdef = class::PG_ATTRDEF,
            pg_constraint = class::PG_CONSTRAINT,
            user = sql::user_schema("c.relnamespace"),
            own = sql::not_extension_member(class::PG_CLASS, "c.oid"),
        )
    }

    fn identity(&self, head: &Head) -> String {
        format!("FOREIGN TABLE {}", head.qualified())
    }

    fn acl_target(&self, head: &Head) -> Option<(AclClass, String)> {
        Some((AclClass::Table, format!("TABLE {}", head.qualified())))
    }

    fn column_acls(&self) -> Vec<(String, Vec<AclItem>)> {
        self.columns.iter().filter_map(|c| Some((c.name.clone(), c.acl.clone()?))).collect()
    }

    fn column_name(&self, number: i16) -> Option<String> {
        self.columns.iter().find(|column| column.number == number).map(|column| column.name.clone())
    }

    fn create(&self, head: &Head, target: &Target) -> Vec<String> {
        let table = head.qualified();
        let mut parts = Vec::new();
        for column in self.columns.iter().filter(|column| self.is_own(column.local)) {
            let not_null = self.not_nulls.iter().find(|constraint| constraint.column == column.name);
            parts.push(column.definition(not_null, target));
        }
        for check in self.checks.iter().filter(|check| self.is_own(check.local)) {
            parts.push(format!("CONSTRAINT {} {}", ident(&check.name), check.definition));
        }
        let inherits = if self.inherits.is_empty() {
            String::new()
        } else {
            format!(" INHERITS ({})", self.inherits.join(", "))
        };
        let mut out = vec![format!(
            "CREATE FOREIGN TABLE {table} (\n    {}\n){inherits} SERVER {}{}",
            parts.join(",\n    "),
            ident(&self.server),
            options_clause(&self.options)
        )];
        for column in &self.columns {
            out.extend(column.attributes(&table, self.is_own(column.local), target));
            if let Some(default) = column.default.as_ref().filter(|_| column.generated.is_none()) {
                let name = ident(&column.name);
                out.push(format!(
                    "ALTER FOREIGN TABLE ONLY {table} ALTER COLUMN {name} SET DEFAULT {default}"
                ));
            }
        }
        for (column, options) in &self.column_options {
            let (column, options) = (ident(column), options_clause(options));
            out.push(format!("ALTER FOREIGN TABLE ONLY {table} ALTER COLUMN {column}{options}"));
        }
        if let Some(Partition { parent_name, bound, .. }) = &self.partition {
            out.push(format!("ALTER TABLE ONLY {parent_name} ATTACH PARTITION {table} {bound}"));
        }
        for check in &self.checks {
            if let Some(comment) = &check.comment {
                let name = ident(&check.name);
                out.push(format!("COMMENT ON CONSTRAINT {name} ON {table} IS {}", literal(comment)));
            }
        }
        out
    }

    fn partition_of(&self) -> Option<ObjectId> {
        self.partition.as_ref().map(|partition| partition.parent)
    }
}

impl ForeignTable {
    fn is_own(&self, local: bool) -> bool {
        local || self.partition.is_some()
    }
}

/// ` OPTIONS (…)`, or nothing.
fn options_clause(options: &[(String, String)]) -> String {
    if options.is_empty() {
        return String::new();
    }
    let list: Vec<String> =
        options.iter().map(|(name, value)| format!("{} {}", ident(name), literal(value))).collect();
    format!(" OPTIONS ({})", list.join(", "))
}
