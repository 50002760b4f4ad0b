//! Columns of tables, foreign tables and composite types.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::catalog::acl::AclItem;
use crate::catalog::ident::{ObjectId, class};
use crate::catalog::kind::{Target, null_as_default};
use crate::catalog::model::{Entry, Model};
use crate::catalog::sql;
use crate::catalog::sql_types::{NamedValue, options, options_clause};
use crate::pg::ServerVersion;
use crate::pg::quote::{ident, printable};

/// Options of a column that PostgreSQL documents (`ALTER TABLE … SET (…)`). Servers keep internal ones there too,
/// such as `pg_attver`, which no other server takes.
const OPTIONS: [&str; 2] = ["n_distinct", "n_distinct_inherited"];

/// Where [`Column::object`] finds what it speaks of.
const FROM: &str = "pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
     LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum";

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

impl Identity {
    /// The JSON text of the sequence of column `a` of relation `c`; null where it is no identity column.
    fn object(c: &str) -> String {
        format!(
            "CASE WHEN a.attidentity <> '' THEN (SELECT {sequence} \
             FROM pg_catalog.pg_depend sd JOIN pg_catalog.pg_class sc ON sc.oid = sd.objid AND sc.relkind = 'S' \
             JOIN pg_catalog.pg_namespace sn ON sn.oid = sc.relnamespace JOIN pg_catalog.pg_sequence s ON s.seqrelid = sc.oid \
             WHERE sd.classid = {class}::pg_catalog.oid AND sd.refclassid = {class}::pg_catalog.oid AND sd.refobjid = a.attrelid AND sd.refobjsubid = a.attnum AND sd.deptype = 'i') END",
            class = class::PG_CLASS,
            sequence = sql::object(&[
                ("when", sql::string("a.attidentity")),
                ("sequence", sql::string("pg_catalog.format('%I.%I', sn.nspname, sc.relname)")),
                ("options", sql::string(&super::sequence::options_sql("s"))),
                (
                    "persistence",
                    format!(
                        "CASE WHEN sc.relpersistence <> {c}.relpersistence THEN CASE sc.relpersistence WHEN 'u' THEN '\"UNLOGGED\"' ELSE '\"LOGGED\"' END END"
                    ),
                ),
            ]),
        )
    }
}

impl Column {
    /// An SQL expression: the columns of relation `c` as a JSON array.
    pub fn json(c: &str, server: ServerVersion) -> String {
        format!(
            "(SELECT {list} FROM {FROM} WHERE a.attrelid = {c}.oid AND a.attnum > 0 AND NOT a.attisdropped)",
            list = sql::array(&Self::object(c, server), "a.attnum"),
        )
    }

    /// A query of the columns of all relations of these kinds: `relation`, `columns` and `system_acls` as JSON arrays, and
    /// `default_ids`, the identities of their defaults as JSON texts with commas between.
    pub fn of_relations(relkinds: &str, server: ServerVersion) -> String {
        let system = sql::object(&[
            ("column", sql::string("a.attname")),
            ("acl", format!("({})::pg_catalog.text", sql::acl_json("a.attacl"))),
        ]);
        let when = |condition: &str, object: &str| format!("CASE WHEN {condition} THEN {object} END");
        format!(
            "SELECT a.attrelid AS relation, {columns} AS columns, {system_acls} AS system_acls, \
               pg_catalog.string_agg({default_id}, ',') AS default_ids \
             FROM {FROM} JOIN pg_catalog.pg_class c ON c.oid = a.attrelid \
             WHERE c.relkind IN ({relkinds}) AND c.relpersistence <> 't' AND {user} \
               AND (a.attnum > 0 AND NOT a.attisdropped OR a.attnum < 0 AND a.attacl IS NOT NULL) GROUP BY a.attrelid",
            columns = sql::array(&when("a.attnum > 0", &Self::object("c", server)), "a.attnum"),
            system_acls = sql::array(&when("a.attnum < 0", &system), "a.attnum DESC"),
            default_id = sql::identity(class::PG_ATTRDEF, "d.oid"),
            user = sql::user_schema("c.relnamespace"),
        )
    }

    /// The JSON text of column `a` of relation `c`, with its type `t` and its default `d`.
    fn object(c: &str, server: ServerVersion) -> String {
        let compression = if server.at_least(14) {
            "CASE WHEN a.attcompression <> '' THEN a.attcompression::pg_catalog.text END"
        } else {
            "NULL"
        };
        // Only of relations that have parents is there anything to ask.
        let parents = |condition: &str| {
            format!(
                "EXISTS (SELECT FROM pg_catalog.pg_inherits h JOIN pg_catalog.pg_attribute u ON u.attrelid = h.inhparent \
                   AND u.attname = a.attname AND {condition} WHERE h.inhrelid = a.attrelid)"
            )
        };
        let above = |wanted: &str| {
            if server.at_least(18) {
                return "NULL".to_owned();
            }
            sql::flag(&format!("a.attinhcount > 0 AND a.attnotnull AND {wanted}{}", parents("u.attnotnull")))
        };
        let collation = "CASE WHEN a.attcollation <> t.typcollation AND a.attcollation <> 0 THEN (SELECT pg_catalog.format('%I.%I', cn.nspname, co.collname) \
             FROM pg_catalog.pg_collation co JOIN pg_catalog.pg_namespace cn ON cn.oid = co.collnamespace WHERE co.oid = a.attcollation) END";
        let drops_default = format!(
            "a.attinhcount > 0 AND d.oid IS NULL AND a.attidentity = '' AND {}",
            parents("u.atthasdef AND u.attgenerated = ''")
        );
        sql::object(&[
            ("number", sql::number("a.attnum")),
            ("name", sql::string("a.attname")),
            ("type", sql::string("pg_catalog.format_type(a.atttypid, a.atttypmod)")),
            ("collation", sql::string(collation)),
            ("not_null", sql::flag("a.attnotnull")),
            // Only the expression of a generated column may name columns. To look them up the server opens the table.
            (
                "default",
                sql::string(
                    "pg_catalog.pg_get_expr(d.adbin, CASE WHEN a.attgenerated = '' THEN 0::pg_catalog.oid ELSE d.adrelid END)",
                ),
            ),
            ("default_id", sql::identity(class::PG_ATTRDEF, "d.oid")),
            (
                "generated",
                sql::string("CASE WHEN a.attgenerated <> '' THEN a.attgenerated::pg_catalog.text END"),
            ),
            ("identity", Identity::object(c)),
            (
                "storage",
                sql::string("CASE WHEN a.attstorage <> t.typstorage THEN a.attstorage::pg_catalog.text END"),
            ),
            ("compression", sql::string(compression)),
            ("statistics", sql::number("CASE WHEN a.attstattarget >= 0 THEN a.attstattarget END")),
            ("options", "pg_catalog.array_to_json(a.attoptions)::pg_catalog.text".to_owned()),
            (
                "wrapper_options",
                format!(
                    "CASE WHEN a.attfdwoptions IS NOT NULL THEN {}::pg_catalog.text END",
                    options("a.attfdwoptions")
                ),
            ),
            ("not_null_above", above("")),
            ("not_null_below", above("NOT ")),
            ("drops_default", sql::flag(&drops_default)),
            ("local", sql::flag("a.attislocal")),
            ("acl", format!("({})::pg_catalog.text", sql::acl_json("a.attacl"))),
        ])
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
}

fn is_documented(option: &str) -> bool {
    OPTIONS.contains(&option.split('=').next().unwrap_or_default())
}

/// Warnings about options that are not carried over: one for each option, however many columns have it.
pub fn internal_options(model: &Model) -> Vec<String> {
    let mut found: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for Entry { head, object } in &model.entries {
        for column in object.columns() {
            for option in column.options.iter().filter(|option| !is_documented(option)) {
                let name = option.split('=').next().unwrap_or_default();
                found.entry(name).or_default().push(format!("{}.{}", head.qualified(), ident(&column.name)));
            }
        }
    }
    let warning = |(option, columns): (&str, Vec<String>)| {
        let shown: Vec<&str> = columns.iter().take(3).map(String::as_str).collect();
        let more = if columns.len() > shown.len() { ", …" } else { "" };
        format!(
            "the server's internal option {} is left out, which {} columns have: {}{more}",
            printable(option),
            columns.len(),
            printable(&shown.join(", "))
        )
    };
    found.into_iter().map(warning).collect()
}

/// A NOT NULL constraint, which has a name since PostgreSQL 18.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotNull {
    /// Its name.
    pub name: String,
    /// The column.
    pub column: String,
    /// Whether the name is the one that the server would choose.
    #[serde(default)]
    pub default_name: bool,
    /// `NO INHERIT`.
    #[serde(default)]
    pub no_inherit: bool,
    /// `NOT VALID`.
    #[serde(default)]
    pub invalid: bool,
    /// Defined here, not only inherited, or valid where the parent's is not.
    #[serde(default)]
    pub local: bool,
    /// Only inherited, though it must be made here to hold for all rows.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub inherited: bool,
    /// Its comment.
    #[serde(default)]
    pub comment: Option<String>,
}

impl NotNull {
    /// The JSON text of NOT NULL constraint `k` of relation `c`, with its column `a` and its comment `kd`. Null for those
    /// that `NOT NULL` says it all about: most of them, in most databases.
    pub fn object() -> String {
        // A child's that holds for all its rows says more than the parent's that does not.
        let invalid_above = "EXISTS (SELECT FROM pg_catalog.pg_inherits h JOIN pg_catalog.pg_attribute u ON u.attrelid = h.inhparent AND u.attname = a.attname \
               JOIN pg_catalog.pg_constraint uk ON uk.conrelid = h.inhparent AND uk.contype = 'n' AND uk.conkey[1] = u.attnum AND NOT uk.convalidated \
               WHERE h.inhrelid = k.conrelid)";
        let default_name = "k.conname::pg_catalog.text = c.relname::pg_catalog.text || '_' || a.attname::pg_catalog.text || '_not_null' AND (k.conname, k.connamespace) NOT IN (\
               SELECT o.conname, o.connamespace FROM pg_catalog.pg_constraint o GROUP BY o.conname, o.connamespace HAVING pg_catalog.count(*) > 1)";
        let object = sql::object(&[
            ("name", sql::string("k.conname")),
            ("column", sql::string("a.attname")),
            ("default_name", sql::flag(default_name)),
            ("no_inherit", sql::flag("k.connoinherit")),
            ("invalid", sql::flag("NOT k.convalidated")),
            ("local", sql::flag(&format!("k.conislocal OR k.convalidated AND {invalid_above}"))),
            ("inherited", sql::flag(&format!("NOT k.conislocal AND k.convalidated AND {invalid_above}"))),
            ("comment", sql::string("kd.description")),
        ]);
        format!(
            "CASE WHEN NOT (k.convalidated AND NOT k.connoinherit AND k.conislocal AND a.attislocal AND kd.description IS NULL AND {default_name}) \
             THEN {object} END"
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
