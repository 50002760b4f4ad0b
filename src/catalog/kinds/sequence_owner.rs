//! The column that a sequence belongs to (`ALTER SEQUENCE … OWNED BY`): a step of its own, since the column's default
//! needs the sequence first.

use serde::{Deserialize, Serialize};

use crate::catalog::ident::{ObjectId, class};
use crate::catalog::kind::{Head, Kind, Target};
use crate::catalog::sql;
use crate::pg::ServerVersion;

/// Who owns a sequence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SequenceOwner {
    /// The column, quoted and qualified.
    pub column: String,
    /// The sequence.
    pub sequence: ObjectId,
    /// The table.
    pub table: ObjectId,
}

impl Kind for SequenceOwner {
    const NAME: &'static str = "sequence owner";
    const CATALOGS: &'static [&'static str] = &["pg_depend"];

    fn query(_server: ServerVersion) -> String {
        format!(
            // The pair of catalogs stands for the edge: no row of a catalog has this identity.
            "SELECT pg_catalog.json_build_array({depend}, c.oid::pg_catalog.int8) AS id, n.nspname AS schema, c.relname AS name, \
               pg_catalog.format('%I.%I.%I', tn.nspname, t.relname, a.attname) AS column, \
               pg_catalog.json_build_array({class}, c.oid::pg_catalog.int8) AS sequence, \
               pg_catalog.json_build_array({class}, t.oid::pg_catalog.int8) AS table, \
               pg_catalog.json_build_array(pg_catalog.json_build_array({class}, c.oid::pg_catalog.int8), \
                 pg_catalog.json_build_array({class}, t.oid::pg_catalog.int8)) AS depends \
             FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_class c ON c.oid = d.objid AND c.relkind = 'S' \
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             JOIN pg_catalog.pg_class t ON t.oid = d.refobjid JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace \
             JOIN pg_catalog.pg_attribute a ON a.attrelid = t.oid AND a.attnum = d.refobjsubid \
             WHERE d.classid = {class}::pg_catalog.oid AND d.refclassid = {class}::pg_catalog.oid AND d.deptype = 'a' \
               AND c.relpersistence <> 't' AND {user} AND {own} {order}",
            depend = PG_DEPEND,
            class = class::PG_CLASS,
            user = sql::user_schema("c.relnamespace"),
            order = sql::by_names(&["n.nspname", "c.relname"]),
            own = sql::not_extension_member(class::PG_CLASS, "c.oid"),
        )
    }

    fn identity(&self, head: &Head) -> String {
        format!("SEQUENCE {}", head.qualified())
    }

    fn create(&self, head: &Head, _target: &Target) -> Vec<String> {
        vec![format!("ALTER SEQUENCE {} OWNED BY {}", head.qualified(), self.column)]
    }

    fn drop(&self, head: &Head) -> String {
        format!("ALTER SEQUENCE {} OWNED BY NONE", head.qualified())
    }

    fn set_comment(&self, _head: &Head, _comment: &str) -> Option<String> {
        None
    }
}

/// OID of `pg_depend`.
const PG_DEPEND: u32 = 2608;
