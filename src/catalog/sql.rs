//! Fragments that the kinds' queries share, so that they all mean the same.

use crate::pg::quote;

/// `id` of [`super::kind::Head`]: the catalog's OID and an expression of the row's OID.
pub fn id(class: u32, oid: &str) -> String {
    format!("pg_catalog.json_build_array({class}, {oid}::pg_catalog.int8) AS id")
}

/// `acl` of [`super::kind::Head`] from an `aclitem[]` expression: null stays null.
pub fn acl(expression: &str) -> String {
    format!("{} AS acl", acl_json(expression))
}

/// The JSON form of an `aclitem[]` expression, in the array's order.
pub fn acl_json(expression: &str) -> String {
    let item = object(&[
        ("grantor", string("pg_catalog.pg_get_userbyid(a.grantor)")),
        (
            "grantee",
            string(
                "CASE WHEN a.grantee OPERATOR(pg_catalog.<>) 0::pg_catalog.oid THEN pg_catalog.pg_get_userbyid(a.grantee) END",
            ),
        ),
        ("privilege", string("a.privilege_type")),
        ("grantable", flag("a.is_grantable")),
    ]);
    format!(
        "CASE WHEN {expression} IS NOT NULL THEN (SELECT coalesce({list}, '[]'::pg_catalog.json) FROM pg_catalog.aclexplode({expression}) WITH ORDINALITY \
         a(grantor, grantee, privilege_type, is_grantable, at)) END",
        list = array(&item, "a.at"),
    )
}

/// A JSON object as text, made of fields: a name, and an expression of the value's JSON text. Fields that are null are
/// left out, but for the first.
///
/// The server's own `json_build_object` looks up the types of its arguments anew for each row; with hundreds of thousands
/// of columns that is most of the time that reading a catalog takes.
pub fn object(fields: &[(&str, String)]) -> String {
    let field = |(at, (name, value)): (usize, &(&str, String))| {
        let before = if at == 0 { '{' } else { ',' };
        format!("'{before}\"{name}\":' OPERATOR(pg_catalog.||) {value}")
    };
    let fields: Vec<String> = fields.iter().enumerate().map(field).collect();
    format!("pg_catalog.concat({}, '}}')", fields.join(", "))
}

/// The aggregate of JSON texts as a JSON array, in an order, null for none; nulls are left out.
pub fn array(item: &str, order: &str) -> String {
    format!(
        "('[' OPERATOR(pg_catalog.||) pg_catalog.string_agg({item}, ',' ORDER BY {order}) OPERATOR(pg_catalog.||) ']')::pg_catalog.json"
    )
}

/// The JSON text of an expression whose text it is to hold; null stays null.
pub fn string(expression: &str) -> String {
    format!("pg_catalog.to_json(({expression})::pg_catalog.text)::pg_catalog.text")
}

/// The JSON text of a number.
pub fn number(expression: &str) -> String {
    format!("({expression})::pg_catalog.text")
}

/// The JSON text of a condition that holds; null where it does not.
pub fn flag(condition: &str) -> String {
    format!("CASE WHEN {condition} THEN 'true' END")
}

/// The JSON text of an object's identity; null where the OID is null.
pub fn identity(class: u32, oid: &str) -> String {
    format!("('[{class},' OPERATOR(pg_catalog.||) ({oid})::pg_catalog.text OPERATOR(pg_catalog.||) ']')")
}

/// `owner` of [`super::kind::Head`] from an expression of the owner's OID.
pub fn owner(expression: &str) -> String {
    format!("pg_catalog.pg_get_userbyid({expression}) AS owner")
}

/// The schema in which a restore keeps its progress, in the database that it fills. It is nobody's data: it is never
/// backed up.
pub const PROGRESS_SCHEMA: &str = "pgcask_restore";

/// A condition: the schema with this OID expression holds users' objects.
///
/// `IS TRUE` keeps the planner from making a join of it: where a catalog was never analysed, it takes one row for all
/// there are, and reads all schemas anew for each. As it is, they are read and hashed once.
pub fn user_schema(namespace: &str) -> String {
    format!(
        "({namespace} OPERATOR(pg_catalog.=) ANY (SELECT sn.oid FROM pg_catalog.pg_namespace sn WHERE {})) IS TRUE",
        user_schema_name("sn.nspname")
    )
}

/// A condition: the schema with this name expression holds users' objects.
pub fn user_schema_name(name: &str) -> String {
    format!(
        "{name} OPERATOR(pg_catalog.!~) '^pg_' AND {name} OPERATOR(pg_catalog.<>) 'information_schema' \
         AND {name} OPERATOR(pg_catalog.<>) '{PROGRESS_SCHEMA}'"
    )
}

/// A condition: the object is not a member of an extension. Members are found by what they depend on, and hashed once;
/// see [`user_schema`].
pub fn not_extension_member(class: u32, oid: &str) -> String {
    format!(
        "({oid} OPERATOR(pg_catalog.=) ANY (SELECT xd.objid FROM pg_catalog.pg_depend xd \
         WHERE xd.refclassid OPERATOR(pg_catalog.=) {extension}::pg_catalog.oid AND xd.classid OPERATOR(pg_catalog.=) {class}::pg_catalog.oid \
         AND xd.deptype OPERATOR(pg_catalog.=) 'e')) IS NOT TRUE",
        extension = super::ident::class::PG_EXTENSION,
    )
}

/// A condition: the object is one of the server's own, or a member of an extension: of those that users did not make. Read
/// and hashed once; see [`user_schema`].
pub fn not_made_by_users(class: u32, oid: &str, namespace: &str) -> String {
    format!(
        "(({namespace} OPERATOR(pg_catalog.=) ANY (SELECT sn.oid FROM pg_catalog.pg_namespace sn \
         WHERE sn.nspname OPERATOR(pg_catalog.=) ANY ('{{pg_catalog,information_schema}}'::pg_catalog.name[]))) IS TRUE OR NOT ({}))",
        not_extension_member(class, oid)
    )
}

/// `ORDER BY` these columns of type `name`, in the order of their bytes. As an expression: the planner knows an index that
/// has schemas in the order of their names, and would go through all rows for each.
pub fn by_names(columns: &[&str]) -> String {
    let columns: Vec<String> = columns
        .iter()
        .map(|column| format!("({column})::pg_catalog.text COLLATE pg_catalog.\"C\""))
        .collect();
    format!("ORDER BY {}", columns.join(", "))
}

/// A condition: the object calls functions that users wrote in SQL or a procedural language, which may read any table.
/// Members of extensions and built-in functions do not.
pub fn calls_functions(class: u32, oid: &str, also_immutable: bool) -> String {
    let volatile = if also_immutable { "" } else { " AND cf.provolatile OPERATOR(pg_catalog.<>) 'i'" };
    // Not correlated: all such objects are found once.
    format!(
        "{oid} IN (SELECT cd.objid FROM pg_catalog.pg_depend cd JOIN pg_catalog.pg_proc cf ON cf.oid = cd.refobjid \
         JOIN pg_catalog.pg_language cl ON cl.oid = cf.prolang AND cl.lanname NOT IN ('internal', 'c') \
         WHERE cd.classid = {class}::pg_catalog.oid \
         AND cd.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass{volatile} AND {not_member})",
        not_member = not_extension_member(super::ident::class::PG_PROC, "cf.oid"),
    )
}

/// Storage parameters (`name=value`) as `WITH (…)` and `SET (…)` take them: names quoted as needed, values literals.
pub fn options(list: &[String]) -> String {
    let one = |option: &String| {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        let name = match name.split_once('.') {
            Some((space, name)) => format!("{}.{}", quote::ident(space), quote::ident(name)),
            None => quote::ident(name),
        };
        if value.is_empty() { name } else { format!("{name}={}", quote::literal(value)) }
    };
    list.iter().map(one).collect::<Vec<_>>().join(", ")
}
