//! Names of other objects inside a row, and the queries of all kinds that are rows of one catalog.

use serde::{Deserialize, Serialize};

use super::ident::class;
use super::sql;
use crate::pg::quote;

/// The first OID of objects that users make (`FirstNormalObjectId`); `initdb` gives all below.
pub const FIRST_NORMAL_OID: u32 = 16_384;

/// A schema-qualified name of another object, not quoted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Name {
    /// The schema.
    pub schema: String,
    /// The name in it.
    pub name: String,
}

/// What [`takes_compatible_arrays`] tells, for people.
pub const ARRAY_FUNCTIONS: &str = "array functions of the server with the type anyarray, which they take as anycompatiblearray since PostgreSQL 14";

/// Whether the function is one of the server's that took `anyarray` and `anyelement` before PostgreSQL 14, and takes
/// `anycompatiblearray` and `anycompatible` since: what a user built upon them with the old types fits no more.
pub fn takes_compatible_arrays(function: &Name) -> bool {
    const FUNCTIONS: [&str; 8] = [
        "array_append",
        "array_cat",
        "array_position",
        "array_positions",
        "array_prepend",
        "array_remove",
        "array_replace",
        "width_bucket",
    ];
    function.schema == "pg_catalog" && FUNCTIONS.contains(&function.name.as_str())
}

/// Whether a type, as `format_type` writes it, is one of those.
pub fn is_old_polymorphic(type_text: &str) -> bool {
    matches!(type_text.trim_start_matches("pg_catalog.").trim_matches('"'), "anyarray" | "anyelement")
}

impl Name {
    /// The name as SQL.
    pub fn sql(&self) -> String {
        quote::qualified(Some(&self.schema), &self.name)
    }

    /// The name of an operator as SQL, in the form that options and operator classes take: `"s".+`.
    pub fn operator(&self) -> String {
        operator(&self.schema, &self.name)
    }
}

/// A qualified operator name: its symbol is never quoted (section 4.1.3), so one that holds anything but the
/// characters of operators, which no server stores, is refused by the parser rather than passed through.
pub fn operator(schema: &str, symbol: &str) -> String {
    let symbol: String = symbol.chars().filter(|c| "+-*/<>=~!@#%^&|`?".contains(*c)).collect();
    format!("{}.{symbol}", quote::ident(schema))
}

/// A [`Name`] as JSON, or null: the row of `catalog` with the OID `oid`, whose columns start with `prefix`.
fn name_of(catalog: &str, prefix: &str, oid: &str) -> String {
    format!(
        "(SELECT pg_catalog.json_build_object('schema', xn.nspname, 'name', xo.{prefix}name) \
         FROM pg_catalog.{catalog} xo JOIN pg_catalog.pg_namespace xn ON xn.oid = xo.{prefix}namespace \
         WHERE xo.oid = {oid})"
    )
}

/// The [`Name`] of a function, from its OID (or `regproc`).
pub fn function_name(oid: &str) -> String {
    name_of("pg_proc", "pro", oid)
}

/// The [`Name`] of an operator.
pub fn operator_name(oid: &str) -> String {
    name_of("pg_operator", "opr", oid)
}

/// The [`Name`] of a collation.
pub fn collation_name(oid: &str) -> String {
    name_of("pg_collation", "coll", oid)
}

/// The [`Name`] of an operator class.
pub fn opclass_name(oid: &str) -> String {
    name_of("pg_opclass", "opc", oid)
}

/// The [`Name`] of an operator family.
pub fn opfamily_name(oid: &str) -> String {
    name_of("pg_opfamily", "opf", oid)
}

/// The [`Name`] of a text search object: `ts_name("parser", "prs", oid)`.
pub fn ts_name(what: &str, prefix: &str, oid: &str) -> String {
    name_of(&format!("pg_ts_{what}"), prefix, oid)
}

/// A function with the arguments that tell it from others of its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// The schema.
    pub schema: String,
    /// The name in it.
    pub name: String,
    /// The arguments, as SQL.
    pub arguments: String,
}

impl Signature {
    /// The signature as SQL.
    pub fn sql(&self) -> String {
        let name = quote::qualified(Some(&self.schema), &self.name);
        format!("{name}({})", self.arguments)
    }
}

/// The [`Signature`] of a function as JSON, or null.
pub fn function_signature(oid: &str) -> String {
    format!(
        "(SELECT pg_catalog.json_build_object('schema', xn.nspname, 'name', xo.proname, \
         'arguments', pg_catalog.pg_get_function_identity_arguments(xo.oid)) \
         FROM pg_catalog.pg_proc xo JOIN pg_catalog.pg_namespace xn ON xn.oid = xo.pronamespace \
         WHERE xo.oid = {oid})"
    )
}

/// As [`type_text`], null for no type.
pub fn optional_type(oid: &str) -> String {
    format!("CASE WHEN {oid} <> 0 THEN {} END", type_text(oid))
}

/// A type as SQL text, from its OID: qualified unless it is the server's own, as the session's `search_path` is empty.
pub fn type_text(oid: &str) -> String {
    format!("pg_catalog.format_type({oid}, NULL)")
}

/// `also` of a type: its array type.
pub fn also_array(typarray: &str) -> String {
    format!(
        "CASE WHEN {typarray} <> 0 THEN pg_catalog.json_build_array(\
         pg_catalog.json_build_array({class}, {typarray}::pg_catalog.int8)) END AS also",
        class = class::PG_TYPE
    )
}

/// The catalog of a kind whose objects live in schemas. Its query names the object's row `o`, its schema's row `n`.
#[derive(Debug, Clone, Copy)]
pub struct InSchema {
    /// OID of the catalog: see [`class`].
    pub class: u32,
    /// Name of the catalog.
    pub catalog: &'static str,
    /// What its columns' names start with: `typ` of `typname`.
    pub prefix: &'static str,
    /// Whether its objects have owners.
    pub owned: bool,
    /// Whether they bear privileges.
    pub acl: bool,
}

/// Types of every sort.
pub const TYPES: InSchema =
    InSchema { class: class::PG_TYPE, catalog: "pg_type", prefix: "typ", owned: true, acl: true };

/// Functions, procedures and aggregates.
pub const ROUTINES: InSchema =
    InSchema { class: class::PG_PROC, catalog: "pg_proc", prefix: "pro", owned: true, acl: true };

impl InSchema {
    /// The query of [`super::kind::Kind::query`]: the users' rows that satisfy `filter`, with `columns` beside those of
    /// the head.
    pub fn query(&self, columns: &str, filter: &str) -> String {
        self.query_joined(columns, "", filter)
    }

    /// Which rows are users' own. Routines in the server's own schema are, where objects of users need them, such as the
    /// handlers of a language that was installed without its extension; others are named in a warning
    /// ([`super::unclaimed`]).
    fn users_own(&self) -> String {
        let users = sql::user_schema("n.oid");
        if self.class != class::PG_PROC {
            return users;
        }
        format!(
            "({users} OR n.nspname = 'pg_catalog' AND o.oid >= {FIRST_NORMAL_OID}::pg_catalog.oid AND EXISTS (SELECT FROM pg_catalog.pg_depend ud \
             WHERE ud.refclassid = {pg_proc}::pg_catalog.oid AND ud.refobjid = o.oid AND ud.deptype = 'n'))",
            pg_proc = class::PG_PROC,
        )
    }

    /// As [`Self::query`], with further catalogs joined: `joins` are whole `JOIN … ON …` clauses.
    pub fn query_joined(&self, columns: &str, joins: &str, filter: &str) -> String {
        let Self { class, catalog, prefix, .. } = self;
        let owner =
            if self.owned { format!("{}, ", sql::owner(&format!("o.{prefix}owner"))) } else { String::new() };
        let acl = if self.acl { format!("{}, ", sql::acl(&format!("o.{prefix}acl"))) } else { String::new() };
        format!(
            "SELECT {id}, n.nspname AS schema, o.{prefix}name AS name, {owner}{acl}{columns} \
             FROM pg_catalog.{catalog} o JOIN pg_catalog.pg_namespace n ON n.oid = o.{prefix}namespace {joins} \
             WHERE {filter} AND {users} AND {not_member}",
            id = sql::id(*class, "o.oid"),
            users = self.users_own(),
            not_member = sql::not_extension_member(*class, "o.oid"),
        )
    }
}

/// The catalog of a kind whose objects live in no schema. Its query names the object's row `o`.
#[derive(Debug, Clone, Copy)]
pub struct Global {
    /// OID of the catalog: see [`class`].
    pub class: u32,
    /// Name of the catalog.
    pub catalog: &'static str,
    /// The expression that is `name`.
    pub name: &'static str,
    /// The column that holds the owner's OID.
    pub owner: Option<&'static str>,
    /// The column that holds the privileges.
    pub acl: Option<&'static str>,
}

impl Global {
    /// As [`InSchema::query`]; objects that `initdb` made are left out.
    pub fn query(&self, columns: &str, filter: &str) -> String {
        let owner = self.owner.map_or_else(String::new, |column| format!("{}, ", sql::owner(column)));
        let acl = self.acl.map_or_else(String::new, |column| format!("{}, ", sql::acl(column)));
        format!(
            "SELECT {id}, {name} AS name, {owner}{acl}{columns} FROM pg_catalog.{catalog} o \
             WHERE {filter} AND o.oid >= {FIRST_NORMAL_OID} AND {not_member}",
            id = sql::id(self.class, "o.oid"),
            name = self.name,
            catalog = self.catalog,
            not_member = sql::not_extension_member(self.class, "o.oid"),
        )
    }
}

/// The parenthesised list of a definition, one item a line: what `CREATE TYPE`, `CREATE AGGREGATE` and others take.
#[derive(Debug, Default)]
pub struct Definition(Vec<String>);

impl Definition {
    /// An empty definition.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `KEY = value`, the value being SQL already.
    pub fn set(&mut self, key: &str, value: impl Into<String>) -> &mut Self {
        self.0.push(format!("{key} = {}", value.into()));
        self
    }

    /// Adds `KEY = name` when there is a name.
    pub fn name(&mut self, key: &str, name: Option<&Name>) -> &mut Self {
        if let Some(name) = name {
            self.set(key, name.sql());
        }
        self
    }

    /// Adds `KEY = OPERATOR(name)` when there is a name.
    pub fn operator(&mut self, key: &str, name: Option<&Name>) -> &mut Self {
        if let Some(name) = name {
            self.set(key, format!("OPERATOR({})", name.operator()));
        }
        self
    }

    /// Adds the bare `word` when `yes`.
    pub fn flag(&mut self, word: &str, yes: bool) -> &mut Self {
        if yes {
            self.0.push(word.to_owned());
        }
        self
    }

    /// The definition in parentheses.
    pub fn sql(&self) -> String {
        format!("(\n    {}\n)", self.0.join(",\n    "))
    }
}

/// One entry of an `OPTIONS (…)` list, or of any other list of names with values.
pub type NamedValue = (String, String);

/// A `text[]` of options, `name=value` each, as a JSON array of [`NamedValue`] in the array's order.
pub fn options(array: &str) -> String {
    format!(
        "(SELECT pg_catalog.json_agg(pg_catalog.json_build_array(xo.option_name, coalesce(xo.option_value, ''))) \
         FROM pg_catalog.pg_options_to_table({array}) xo)"
    )
}

/// ` OPTIONS ("name" 'value', …)`, or nothing.
pub fn options_clause(options: &[NamedValue]) -> String {
    if options.is_empty() {
        return String::new();
    }
    let list: Vec<String> = options
        .iter()
        .map(|(name, value)| format!("{} {}", quote::ident(name), quote::literal(value)))
        .collect();
    format!(" OPTIONS ({})", list.join(", "))
}
