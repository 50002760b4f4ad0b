//! Columns of tables, foreign tables and composite types.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::catalog::acl::AclItem;
use crate::catalog::ident::{ObjectId, class};
use crate::catalog::kind::{Target, null_as_default};
use crate::catalog::model::{Entry, Model};
use crate::catalog::sql;
use crate::catalog::sql_types::{NamedValue, options, options_clause};
use crate::pg::quote::{ident, printable};
use crate::pg::{Row, ServerVersion};

/// Options of a column that PostgreSQL documents (`ALTER TABLE … SET (…)`). Servers keep internal ones there too,
/// such as `pg_attver`, which no other server takes.
const OPTIONS: [&str; 2] = ["n_distinct", "n_distinct_inherited"];

/// The text of default `d` of column `a`. Only the expression of a generated column may name columns. To look them up the
/// server opens the table.
const DEFAULT: &str = "pg_catalog.pg_get_expr(d.adbin, CASE WHEN a.attgenerated = '' THEN 0::pg_catalog.oid ELSE d.adrelid END)";

/// A column.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    /// An SQL expression: the columns of relation `c`, which has no identity columns, as a JSON array.
    pub fn json(c: &str, server: ServerVersion) -> String {
        format!(
            "(SELECT {list} FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
             LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum WHERE a.attrelid = {c}.oid AND a.attnum > 0 AND NOT a.attisdropped)",
            list = sql::array(
                &Self::object(
                    server,
                    &[
                        ("default", sql::string(DEFAULT)),
                        ("default_id", sql::identity(class::PG_ATTRDEF, "d.oid"))
                    ]
                ),
                "a.attnum"
            ),
        )
    }

    /// The query of the columns of all tables: plain fields, for [`Column::plain`], and the JSON text of those columns that
    /// have more to say than that. For a column that every table has, such as `tableoid`, it is its privileges.
    ///
    /// The fields: relation, number, type, collation, name, type as text, NOT NULL, local, `attgenerated`, `attidentity`, JSON.
    /// Defaults and sequences of identity columns come from [`crate::catalog::facts`].
    pub fn plain_query(server: ServerVersion) -> String {
        let system = sql::object(&[
            ("column", sql::string("a.attname")),
            ("acl", format!("({})::pg_catalog.text", sql::acl_json("a.attacl"))),
        ]);
        format!(
            "SELECT a.attrelid, a.attnum, a.atttypid, a.attcollation, a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), \
               a.attnotnull, a.attislocal, a.attgenerated, a.attidentity, \
               CASE WHEN a.attnum < 0 THEN {system} WHEN {unusual} THEN {object} END \
             FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid JOIN pg_catalog.pg_class c ON c.oid = a.attrelid \
             WHERE c.relkind IN ('r', 'p', 'f') AND c.relpersistence <> 't' AND {user} \
               AND (a.attnum > 0 AND NOT a.attisdropped OR a.attnum < 0 AND a.attacl IS NOT NULL)",
            unusual = Self::unusual(server),
            object = Self::object(server, &[]),
            user = sql::user_schema("c.relnamespace"),
        )
    }

    /// A condition: column `a` with its type `t` has something that no plain field of [`Column::plain_query`] says.
    fn unusual(server: ServerVersion) -> String {
        let compression = if server.at_least(14) { " OR a.attcompression <> ''" } else { "" };
        format!(
            "a.attcollation <> t.typcollation AND a.attcollation <> 0 OR a.attstorage <> t.typstorage{compression} \
             OR a.attstattarget >= 0 OR a.attoptions IS NOT NULL OR a.attfdwoptions IS NOT NULL OR a.attacl IS NOT NULL OR a.attinhcount > 0"
        )
    }

    /// The column of a row of [`Column::plain_query`] without JSON.
    ///
    /// # Errors
    /// When the row is of another form.
    pub fn plain(number: i16, row: &Row<'_>) -> Result<Self, String> {
        Ok(Self {
            number,
            name: row.text(4)?.to_owned(),
            type_name: row.text(5)?.to_owned(),
            not_null: row.flag(6)?,
            local: row.flag(7)?,
            generated: row.get(8)?.filter(|kind| !kind.is_empty()).map(str::to_owned),
            ..Self::default()
        })
    }

    /// The JSON text of column `a` with its type `t`, with further fields; without its identity.
    fn object(server: ServerVersion, more: &[(&str, String)]) -> String {
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
            "a.attinhcount > 0 AND NOT a.atthasdef AND a.attidentity = '' AND {}",
            parents("u.atthasdef AND u.attgenerated = ''")
        );
        let fields = [
            ("number", sql::number("a.attnum")),
            ("name", sql::string("a.attname")),
            ("type", sql::string("pg_catalog.format_type(a.atttypid, a.atttypmod)")),
            ("collation", sql::string(collation)),
            ("not_null", sql::flag("a.attnotnull")),
            (
                "generated",
                sql::string("CASE WHEN a.attgenerated <> '' THEN a.attgenerated::pg_catalog.text END"),
            ),
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
        ];
        sql::object(&[&fields[..], more].concat())
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
