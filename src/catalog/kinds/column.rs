//! Columns of tables, foreign tables and composite types.

use serde::{Deserialize, Serialize};

use crate::catalog::acl::AclItem;
use crate::catalog::ident::{ObjectId, class};
use crate::catalog::kind::{Head, Target, null_as_default};
use crate::catalog::sql;
use crate::catalog::sql_types::{NamedValue, options, options_clause};
use crate::pg::ServerVersion;
use crate::pg::quote::{ident, printable};

/// Options of a column that PostgreSQL documents (`ALTER TABLE … SET (…)`). Servers keep internal ones there too,
/// such as `pg_attver`, which no other server takes.
const OPTIONS: [&str; 2] = ["n_distinct", "n_distinct_inherited"];

/// A column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// `attnum`.
    pub number: i16,
    /// The name.
    pub name: String,
    /// The type with its modifier, as `format_type` writes it.
    #[serde(rename = "type")]
    pub type_name: String,
    /// The collation, quoted and qualified, where it is not the type's.
    #[serde(default)]
    pub collation: Option<String>,
    /// NOT NULL.
    #[serde(default)]
    pub not_null: bool,
    /// The default, or the expression of a generated column.
    #[serde(default)]
    pub default: Option<String>,
    /// The default's identity.
    #[serde(default)]
    pub default_id: Option<ObjectId>,
    /// `s` stored, `v` virtual.
    #[serde(default)]
    pub generated: Option<String>,
    /// `a` always, `d` by default.
    #[serde(default)]
    pub identity: Option<Identity>,
    /// `p`, `e`, `m`, `x`, where it is not the type's.
    #[serde(default)]
    pub storage: Option<String>,
    /// `p` pglz, `l` lz4.
    #[serde(default)]
    pub compression: Option<String>,
    /// The statistics target, where one is set.
    #[serde(default)]
    pub statistics: Option<i32>,
    /// Options for the foreign-data wrapper, for columns of foreign tables.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub wrapper_options: Vec<NamedValue>,
    /// A parent's column has a default, and this inherited one has none.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub drops_default: bool,
    /// NOT NULL although no parent's column is (before PostgreSQL 18, where constraints tell).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub not_null_below: bool,
    /// NOT NULL as a parent's column is (before PostgreSQL 18).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub not_null_above: bool,
    /// Attribute options.
    #[serde(default, deserialize_with = "null_as_default")]
    pub options: Vec<String>,
    /// Defined here, not only inherited.
    #[serde(default)]
    pub local: bool,
    /// Privileges.
    #[serde(default)]
    pub acl: Option<Vec<AclItem>>,
}

/// An identity column's sequence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// `a` always, `d` by default.
    pub when: String,
    /// The sequence's quoted, qualified name.
    pub sequence: String,
    /// Its options, as `CREATE SEQUENCE` takes them.
    pub options: String,
    /// `LOGGED` or `UNLOGGED`, where it is not as the table.
    #[serde(default)]
    pub persistence: Option<String>,
}

impl Column {
    /// An SQL expression: the columns of relation `c` as a JSON array.
    pub fn json(c: &str, server: ServerVersion) -> String {
        let compression = if server.at_least(14) {
            "CASE WHEN a.attcompression <> '' THEN a.attcompression::pg_catalog.text END"
        } else {
            "NULL"
        };
        let parents = |condition: &str| {
            format!(
                "EXISTS (SELECT FROM pg_catalog.pg_inherits h JOIN pg_catalog.pg_attribute u ON u.attrelid = h.inhparent \
                   AND u.attname = a.attname AND {condition} WHERE h.inhrelid = a.attrelid)"
            )
        };
        let not_null_above = if server.at_least(18) {
            "NULL::pg_catalog.bool".to_owned()
        } else {
            format!("CASE WHEN a.attinhcount > 0 AND a.attnotnull THEN {} END", parents("u.attnotnull"))
        };
        format!(
            "(SELECT pg_catalog.json_agg(pg_catalog.json_build_object('number', a.attnum, 'name', a.attname, \
               'type', pg_catalog.format_type(a.atttypid, a.atttypmod), \
               'collation', CASE WHEN a.attcollation <> t.typcollation AND a.attcollation <> 0 THEN (SELECT pg_catalog.format('%I.%I', cn.nspname, co.collname) \
                 FROM pg_catalog.pg_collation co JOIN pg_catalog.pg_namespace cn ON cn.oid = co.collnamespace WHERE co.oid = a.attcollation) END, \
               'not_null', a.attnotnull, 'default', pg_catalog.pg_get_expr(d.adbin, d.adrelid), \
               'default_id', CASE WHEN d.oid IS NOT NULL THEN pg_catalog.json_build_array({attrdef}, d.oid::pg_catalog.int8) END, \
               'generated', CASE WHEN a.attgenerated <> '' THEN a.attgenerated::pg_catalog.text END, \
               'identity', CASE WHEN a.attidentity <> '' THEN (SELECT pg_catalog.json_build_object('when', a.attidentity::pg_catalog.text, \
                   'sequence', pg_catalog.format('%I.%I', sn.nspname, sc.relname), 'options', {options}, \
                   'persistence', CASE WHEN sc.relpersistence <> {c}.relpersistence THEN CASE sc.relpersistence WHEN 'u' THEN 'UNLOGGED' ELSE 'LOGGED' END END) \
                 FROM pg_catalog.pg_depend sd JOIN pg_catalog.pg_class sc ON sc.oid = sd.objid AND sc.relkind = 'S' \
                 JOIN pg_catalog.pg_namespace sn ON sn.oid = sc.relnamespace JOIN pg_catalog.pg_sequence s ON s.seqrelid = sc.oid \
                 WHERE sd.classid = {class}::pg_catalog.oid AND sd.refclassid = {class}::pg_catalog.oid AND sd.refobjid = a.attrelid AND sd.refobjsubid = a.attnum AND sd.deptype = 'i') END, \
               'storage', CASE WHEN a.attstorage <> t.typstorage THEN a.attstorage::pg_catalog.text END, 'compression', {compression}, \
               'statistics', CASE WHEN a.attstattarget >= 0 THEN a.attstattarget END, 'options', pg_catalog.array_to_json(a.attoptions), \
               'wrapper_options', CASE WHEN a.attfdwoptions IS NOT NULL THEN {wrapper_options} END, 'not_null_above', coalesce({not_null_above}, false), 'not_null_below', coalesce(NOT {not_null_above}, false), \
               'drops_default', CASE WHEN a.attinhcount > 0 AND d.oid IS NULL AND a.attidentity = '' THEN {default_above} ELSE false END, \
               'local', a.attislocal, 'acl', {acl}) ORDER BY a.attnum) \
             FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
             LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
             WHERE a.attrelid = {c}.oid AND a.attnum > 0 AND NOT a.attisdropped)",
            attrdef = class::PG_ATTRDEF,
            class = class::PG_CLASS,
            options = super::sequence::options_sql("s"),
            wrapper_options = options("a.attfdwoptions"),
            default_above = parents("u.atthasdef AND u.attgenerated = ''"),
            acl = sql::acl_json("a.attacl"),
        )
    }

    /// The column in `CREATE TABLE`, with its NOT NULL constraint.
    pub fn definition(&self, not_null: Option<&str>) -> String {
        let mut text =
            format!("{} {}{}", ident(&self.name), self.type_name, options_clause(&self.wrapper_options));
        if let Some(collation) = &self.collation {
            text.push_str(&format!(" COLLATE {collation}"));
        }
        self.push_generated(&mut text);
        text.push_str(not_null.unwrap_or_default());
        text
    }

    /// The column in `CREATE TABLE … OF`, if there is anything to say.
    pub fn typed_definition(&self, not_null: Option<&str>) -> Option<String> {
        let mut text = String::new();
        self.push_generated(&mut text);
        text.push_str(not_null.unwrap_or_default());
        (!text.is_empty()).then(|| format!("{} WITH OPTIONS{text}", ident(&self.name)))
    }

    fn push_generated(&self, text: &mut String) {
        if let (Some(kind), Some(expression)) = (&self.generated, &self.default) {
            let kind = if kind == "v" { "" } else { " STORED" };
            text.push_str(&format!(" GENERATED ALWAYS AS ({expression}){kind}"));
        }
    }

    /// What is set on the column after the table was created.
    pub fn attributes(&self, table: &str, own: bool, target: &Target) -> Vec<String> {
        let alter = format!("ALTER TABLE ONLY {table} ALTER COLUMN {}", ident(&self.name));
        let mut out = Vec::new();
        if !own && (self.not_null_below || self.not_null && !target.version.at_least(18)) {
            out.push(format!("{alter} SET NOT NULL"));
        }
        if let Some(storage) = &self.storage {
            let name = match storage.as_str() {
                "p" => "PLAIN",
                "e" => "EXTERNAL",
                "m" => "MAIN",
                _ => "EXTENDED",
            };
            out.push(format!("{alter} SET STORAGE {name}"));
        }
        if let Some(method) = self.compression.as_ref().filter(|_| target.version.at_least(14)) {
            out.push(format!("{alter} SET COMPRESSION {}", if method == "l" { "lz4" } else { "pglz" }));
        }
        if let Some(target) = self.statistics {
            out.push(format!("{alter} SET STATISTICS {target}"));
        }
        let options: Vec<String> =
            self.options.iter().filter(|option| is_documented(option)).cloned().collect();
        if !options.is_empty() {
            out.push(format!("{alter} SET ({})", sql::options(&options)));
        }
        if let Some(identity) = self.identity.as_ref().filter(|_| own) {
            let when = if identity.when == "a" { "ALWAYS" } else { "BY DEFAULT" };
            let Identity { sequence, options, persistence, .. } = identity;
            out.push(format!(
                "ALTER TABLE {table} ALTER COLUMN {} ADD GENERATED {when} AS IDENTITY (SEQUENCE NAME {sequence} {options})",
                ident(&self.name)
            ));
            // Sequences that are not as their table, and the statement, are PostgreSQL 15's.
            if let Some(persistence) = persistence.as_ref().filter(|_| target.version.at_least(15)) {
                out.push(format!("ALTER SEQUENCE {sequence} SET {persistence}"));
            }
        }
        out
    }

    /// A warning about options that are not carried over.
    pub fn unknown_options(&self, head: &Head) -> Option<String> {
        let unknown: Vec<&str> =
            self.options.iter().filter(|o| !is_documented(o)).map(String::as_str).collect();
        (!unknown.is_empty()).then(|| {
            let column = printable(&format!("{}.{}", head.qualified(), self.name));
            format!(
                "column {column}: the server's internal option {} is left out",
                printable(&unknown.join(", "))
            )
        })
    }
}

fn is_documented(option: &str) -> bool {
    OPTIONS.contains(&option.split('=').next().unwrap_or_default())
}

/// A NOT NULL constraint, which has a name since PostgreSQL 18.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotNull {
    /// Its name.
    pub name: String,
    /// The column.
    pub column: String,
    /// Whether the name is the one that the server would choose.
    pub default_name: bool,
    /// `NO INHERIT`.
    pub no_inherit: bool,
    /// `NOT VALID`.
    pub invalid: bool,
    /// Defined here, not only inherited, or valid where the parent's is not.
    pub local: bool,
    /// Its comment.
    #[serde(default)]
    pub comment: Option<String>,
}

impl NotNull {
    /// An SQL expression: the constraints of relation `c` as a JSON array; null before PostgreSQL 18.
    pub fn json(c: &str, server: ServerVersion) -> String {
        if !server.at_least(18) {
            return "NULL::pg_catalog.json".to_owned();
        }
        // A child's that holds for all its rows says more than the parent's that does not.
        let invalid_above = "EXISTS (SELECT FROM pg_catalog.pg_inherits h JOIN pg_catalog.pg_attribute u ON u.attrelid = h.inhparent AND u.attname = a.attname \
               JOIN pg_catalog.pg_constraint uk ON uk.conrelid = h.inhparent AND uk.contype = 'n' AND uk.conkey[1] = u.attnum AND NOT uk.convalidated \
               WHERE h.inhrelid = k.conrelid)";
        format!(
            "(SELECT pg_catalog.json_agg(pg_catalog.json_build_object('name', k.conname, 'column', a.attname, \
               'default_name', k.conname = {c}.relname || '_' || a.attname || '_not_null' AND NOT EXISTS (\
                 SELECT FROM pg_catalog.pg_constraint o WHERE o.conname = k.conname AND o.connamespace = k.connamespace AND o.oid <> k.oid), \
               'no_inherit', k.connoinherit, 'invalid', NOT k.convalidated, 'local', k.conislocal OR k.convalidated AND {invalid_above}, \
               'comment', pg_catalog.obj_description(k.oid, 'pg_constraint')) ORDER BY a.attnum) \
             FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = k.conkey[1] \
             WHERE k.conrelid = {c}.oid AND k.contype = 'n')"
        )
    }

    /// The constraint as one of the column.
    pub fn column_constraint(&self) -> String {
        let name =
            if self.default_name { String::new() } else { format!(" CONSTRAINT {}", ident(&self.name)) };
        format!("{name} NOT NULL{}", if self.no_inherit { " NO INHERIT" } else { "" })
    }

    /// The constraint as one of the table.
    pub fn table_constraint(&self) -> String {
        let inherit = if self.no_inherit { " NO INHERIT" } else { "" };
        format!("CONSTRAINT {} NOT NULL {}{inherit}", ident(&self.name), ident(&self.column))
    }
}
