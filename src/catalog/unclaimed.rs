//! What no kind reads, so that it is named instead of lost: what users made in the server's own schemas, and tables
//! that were added to an extension by hand, which its script does not bring back.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;

use super::ident::ObjectId;
use super::sql;
use super::sql_types::FIRST_NORMAL_OID;
use crate::pg::quote::printable;
use crate::pg::{PgError, Session};

/// Objects named in a warning, at most.
const SHOWN: usize = 10;

/// Catalogs whose objects live in schemas: OID, name, what their columns' names start with, which rows count.
const CATALOGS: [(u32, &str, &str, &str); 13] = [
    (1259, "pg_class", "rel", "o.relkind <> 't' AND o.relkind <> 'i' AND o.relkind <> 'I'"),
    (1255, "pg_proc", "pro", "true"),
    (
        1247,
        "pg_type",
        "typ",
        "o.typrelid = 0::pg_catalog.oid AND NOT (o.typelem <> 0::pg_catalog.oid AND o.typlen = -1)",
    ),
    (2617, "pg_operator", "opr", "o.oprcode <> 0::pg_catalog.oid"),
    (2616, "pg_opclass", "opc", "true"),
    (2753, "pg_opfamily", "opf", "true"),
    // An import of the operating system's collations puts hundreds there, and the target has its own.
    (3456, "pg_collation", "coll", "false"),
    (2607, "pg_conversion", "con", "true"),
    (3602, "pg_ts_config", "cfg", "true"),
    (3600, "pg_ts_dict", "dict", "true"),
    (3601, "pg_ts_parser", "prs", "true"),
    (3764, "pg_ts_template", "tmpl", "true"),
    (3381, "pg_statistic_ext", "stx", "true"),
];

#[derive(Deserialize)]
struct Found {
    class: u32,
    oid: u32,
    description: String,
}

#[derive(Deserialize)]
struct Added {
    extension: String,
    name: String,
}

/// What was found.
#[derive(Default)]
pub(super) struct Unclaimed {
    system: Vec<Found>,
    added: Vec<Added>,
}

/// Looks for it.
pub(super) async fn read(session: &Session) -> Result<Unclaimed, PgError> {
    let system = session.query_json(&in_system_schemas()).await?;
    let added = session.query_json(&added_by_hand()).await?;
    Ok(Unclaimed { system, added })
}

impl Unclaimed {
    /// Warnings about all of it that no entry stands for.
    pub(super) fn warnings(self, claimed: &HashMap<ObjectId, usize>) -> Vec<String> {
        let system = self.system.into_iter();
        let system = system.filter(|found| !claimed.contains_key(&ObjectId::new(found.class, found.oid)));
        let system: Vec<String> = system.map(|found| found.description).collect();
        let mut warnings = Vec::new();
        if !system.is_empty() {
            warnings
                .push(format!("not backed up, as they lie in the server's own schemas: {}", list(&system)));
        }
        let mut by_extension: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for Added { extension, name } in self.added {
            by_extension.entry(extension).or_default().push(name);
        }
        warnings.extend(by_extension.into_iter().map(|(extension, names)| {
            format!(
                "not backed up, as the extension {} owns them and they seem to be added to it by hand: {}",
                printable(&extension),
                list(&names)
            )
        }));
        warnings
    }
}

fn list(names: &[String]) -> String {
    let shown: Vec<String> = names.iter().take(SHOWN).map(|name| printable(name)).collect();
    let more = names.len().saturating_sub(shown.len());
    let tail = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{tail}", shown.join(", "))
}

/// Parts of other objects, which depend on them internally, are left out.
fn in_system_schemas() -> String {
    let one = |(class, catalog, prefix, filter): &(u32, &str, &str, &str)| {
        format!(
            "SELECT {class} AS class, o.oid, o.{prefix}namespace AS space FROM pg_catalog.{catalog} o \
             WHERE o.oid >= {FIRST_NORMAL_OID}::pg_catalog.oid AND {filter} AND NOT {} AND {}",
            sql::user_schema(&format!("o.{prefix}namespace")),
            sql::not_extension_member(*class, "o.oid")
        )
    };
    let all: Vec<String> = CATALOGS.iter().map(one).collect();
    format!(
        "SELECT u.class, u.oid::pg_catalog.int8 AS oid, pg_catalog.pg_describe_object(u.class::pg_catalog.oid, u.oid, 0) AS description \
         FROM ({}) u JOIN pg_catalog.pg_namespace n ON n.oid = u.space \
         WHERE n.nspname !~ '^pg_(toast|temp)' AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d \
         WHERE d.classid = u.class::pg_catalog.oid AND d.objid = u.oid AND d.deptype = 'i') ORDER BY 1, 2",
        all.join(" UNION ALL "),
    )
}

/// A script adds many members in one transaction, `ALTER EXTENSION … ADD` one: a table that was added alone, to an
/// extension that has members which were not; since PostgreSQL 17 its row type counts as a member too. Where each member came in a transaction of its own, as `pg_upgrade`
/// brings them, nothing can be told. Configuration tables are backed up in any case.
fn added_by_hand() -> String {
    "WITH m AS (SELECT d.refobjid AS extension, d.classid, d.objid, \
     pg_catalog.count(*) FILTER (WHERE d.classid <> 'pg_catalog.pg_type'::pg_catalog.regclass) OVER (PARTITION BY d.refobjid, d.xmin::pg_catalog.text) AS together \
     FROM pg_catalog.pg_depend d WHERE d.deptype = 'e' AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass) \
     SELECT x.extname AS extension, pg_catalog.format('table %I.%I', n.nspname, c.relname) AS name FROM m \
     JOIN pg_catalog.pg_extension x ON x.oid = m.extension \
     JOIN pg_catalog.pg_class c ON m.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND c.oid = m.objid AND c.relkind IN ('r', 'p') \
     JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     WHERE m.together = 1 AND NOT coalesce(c.oid = ANY (x.extconfig), false) \
     AND EXISTS (SELECT FROM m o WHERE o.extension = m.extension AND o.together > 1) ORDER BY 1, 2"
        .to_owned()
}
