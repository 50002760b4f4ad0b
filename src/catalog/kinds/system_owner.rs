//! Owners that users gave to what they did not make: to the server's own objects (`ALTER FUNCTION pg_catalog.pg_sleep …
//! OWNER TO`) and to members of extensions, which else belong to whoever creates the extension.

use serde::{Deserialize, Serialize};

use crate::catalog::ident::class;
use crate::catalog::kind::{Head, Kind, Target};
use crate::catalog::sql;
use crate::catalog::sql_types::FIRST_NORMAL_OID;
use crate::pg::ServerVersion;
use crate::pg::quote::{ident, printable};

/// OID of `pg_shdepend`, fixed in PostgreSQL's headers: owners other than the bootstrap superuser are kept there.
const PG_SHDEPEND: u32 = 1214;

/// Relations below are the server's catalogs, which no statement alters (`FirstUnpinnedObjectId`).
const FIRST_UNPINNED_OID: u32 = 12_000;

/// The catalogs whose rows have owners that statements change: each a query of the columns `class, oid, on, owner,
/// system`. All that `initdb` makes belongs to the bootstrap superuser, whose OID is 10. Relations' row types and arrays go with what they are of.
const OBJECTS: [&str; 6] = [
    "SELECT 1259, c.oid, pg_catalog.format('%s %I.%I', CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, n.nspname, c.relname), \
     c.relowner, n.nspname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND c.relowner <> 10::pg_catalog.oid AND {not_users}",
    "SELECT 1255, f.oid, pg_catalog.format('ROUTINE %I.%I(%s)', n.nspname, f.proname, pg_catalog.oidvectortypes(f.proargtypes)), \
     f.proowner, n.nspname FROM pg_catalog.pg_proc f JOIN pg_catalog.pg_namespace n ON n.oid = f.pronamespace WHERE f.proowner <> 10::pg_catalog.oid",
    "SELECT 1247, t.oid, pg_catalog.format('TYPE %I.%I', n.nspname, t.typname), t.typowner, n.nspname \
     FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace WHERE t.typowner <> 10::pg_catalog.oid \
     AND t.typrelid = 0::pg_catalog.oid AND NOT (t.typelem <> 0::pg_catalog.oid AND t.typlen = -1)",
    "SELECT 2612, l.oid, pg_catalog.format('LANGUAGE %I', l.lanname), l.lanowner, CASE WHEN l.oid < 16384::pg_catalog.oid THEN 'pg_catalog' ELSE '' END \
     FROM pg_catalog.pg_language l WHERE l.lanowner <> 10::pg_catalog.oid",
    "SELECT 2615, n.oid, pg_catalog.format('SCHEMA %I', n.nspname), n.nspowner, n.nspname FROM pg_catalog.pg_namespace n WHERE n.nspowner <> 10::pg_catalog.oid",
    "SELECT 2328, w.oid, pg_catalog.format('FOREIGN DATA WRAPPER %I', w.fdwname), w.fdwowner, '' \
     FROM pg_catalog.pg_foreign_data_wrapper w WHERE w.fdwowner <> 10::pg_catalog.oid",
];

/// The new owner, who is the head's, of one object. Its identity is a number within the backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SystemOwner {
    /// The object as `ALTER … OWNER TO` names it: `ROUTINE pg_catalog.pg_sleep(double precision)`.
    pub on: String,
    /// No statement changes it: somebody wrote to the catalogs.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fixed: bool,
}

impl Kind for SystemOwner {
    const NAME: &'static str = "system owner";
    const CATALOGS: &'static [&'static str] = &["pg_class", "pg_proc", "pg_type", "pg_language"];

    fn query(_server: ServerVersion) -> String {
        format!(
            "SELECT pg_catalog.json_build_array({PG_SHDEPEND}, pg_catalog.row_number() OVER (ORDER BY o.\"on\")) AS id, \
             o.\"on\" AS name, o.\"on\", {owner}, o.class = {pg_class} AND o.oid < {FIRST_UNPINNED_OID}::pg_catalog.oid AS fixed, \
             CASE WHEN e.oid IS NOT NULL THEN pg_catalog.json_build_array(\
             pg_catalog.json_build_array({pg_extension}, e.oid::pg_catalog.int8)) END AS depends \
             FROM ({objects}) o(class, oid, \"on\", owner, system) \
             LEFT JOIN pg_catalog.pg_depend d ON d.classid = o.class::pg_catalog.oid AND d.objid = o.oid AND d.objsubid = 0 \
             AND d.deptype = 'e' LEFT JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid \
             WHERE (o.oid < {FIRST_NORMAL_OID}::pg_catalog.oid AND o.system IN ('pg_catalog', 'information_schema') OR o.owner <> e.extowner) \
             AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend p WHERE p.classid = o.class::pg_catalog.oid AND p.objid = o.oid \
             AND p.deptype IN ('a', 'i') AND p.refclassid = {pg_class}::pg_catalog.oid) ORDER BY 2",
            owner = sql::owner("o.owner"),
            pg_class = class::PG_CLASS,
            pg_extension = class::PG_EXTENSION,
            objects = OBJECTS
                .join(" UNION ALL ")
                .replace("{not_users}", &sql::not_made_by_users(class::PG_CLASS, "c.oid", "c.relnamespace")),
        )
    }

    fn identity(&self, _head: &Head) -> String {
        self.on.clone()
    }

    /// The object is there already; only its owner changes.
    fn create(&self, _head: &Head, _target: &Target) -> Vec<String> {
        Vec::new()
    }

    /// Gives the object back to whoever restores.
    fn drop(&self, _head: &Head) -> String {
        format!("ALTER {} OWNER TO CURRENT_USER", self.on)
    }

    fn set_owner(&self, _head: &Head, owner: &str) -> Option<String> {
        (!self.fixed).then(|| format!("ALTER {} OWNER TO {}", self.on, ident(owner)))
    }

    fn set_comment(&self, _head: &Head, _comment: &str) -> Option<String> {
        None
    }

    fn warnings(&self, _head: &Head) -> Vec<String> {
        let text = || {
            format!(
                "the owner of {} is left out: no statement changes that of a system catalog",
                printable(&self.on)
            )
        };
        self.fixed.then(text).into_iter().collect()
    }
}
