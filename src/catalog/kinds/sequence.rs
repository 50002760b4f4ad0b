//! Sequences (`CREATE SEQUENCE`), without those of identity columns, which belong to their column. The value is not
//! part of the definition: it is read last and set last.

use serde::{Deserialize, Serialize};

use crate::catalog::acl::AclClass;
use crate::catalog::ident::class;
use crate::catalog::kind::{Head, Kind, Target};
use crate::catalog::sql;
use crate::pg::ServerVersion;

/// A sequence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sequence {
    /// Its options, as `CREATE SEQUENCE` takes them.
    pub options: String,
    /// The type, where it is not `bigint`.
    #[serde(default)]
    pub type_name: Option<String>,
    /// `UNLOGGED`.
    #[serde(default)]
    pub unlogged: bool,
}

impl Kind for Sequence {
    const NAME: &'static str = "sequence";
    const CATALOGS: &'static [&'static str] = &["pg_class", "pg_sequence"];

    fn query(_server: ServerVersion) -> String {
        format!(
            "SELECT {id}, n.nspname AS schema, c.relname AS name, {owner}, {acl}, {options} AS options, \
               CASE WHEN s.seqtypid <> 20 THEN pg_catalog.format_type(s.seqtypid, NULL) END AS type_name, \
               c.relpersistence = 'u' AS unlogged \
             FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             JOIN pg_catalog.pg_sequence s ON s.seqrelid = c.oid \
             WHERE c.relkind = 'S' AND c.relpersistence <> 't' AND {user} AND {own} \
             AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = {class}::pg_catalog.oid AND d.objid = c.oid AND d.deptype = 'i') \
             {order}",
            id = sql::id(class::PG_CLASS, "c.oid"),
            owner = sql::owner("c.relowner"),
            acl = sql::acl("c.relacl"),
            options = options_sql("s"),
            user = sql::user_schema("c.relnamespace"),
            order = sql::by_names(&["n.nspname", "c.relname"]),
            own = sql::not_extension_member(class::PG_CLASS, "c.oid"),
            class = class::PG_CLASS,
        )
    }

    fn identity(&self, head: &Head) -> String {
        format!("SEQUENCE {}", head.qualified())
    }

    fn acl_target(&self, head: &Head) -> Option<(AclClass, String)> {
        Some((AclClass::Sequence, self.identity(head)))
    }

    fn create(&self, head: &Head, target: &Target) -> Vec<String> {
        let unlogged = if self.unlogged && target.version.at_least(15) { "UNLOGGED " } else { "" };
        let kind = self.type_name.as_ref().map(|name| format!(" AS {name}")).unwrap_or_default();
        vec![format!("CREATE {unlogged}SEQUENCE {}{kind} {}", head.qualified(), self.options)]
    }
}

/// An SQL expression: the options of sequence row `s`, all of them, as `CREATE SEQUENCE` takes them.
pub(super) fn options_sql(s: &str) -> String {
    format!(
        "pg_catalog.format('START WITH %s INCREMENT BY %s MINVALUE %s MAXVALUE %s CACHE %s %s', {s}.seqstart, {s}.seqincrement, \
         {s}.seqmin, {s}.seqmax, {s}.seqcache, CASE WHEN {s}.seqcycle THEN 'CYCLE' ELSE 'NO CYCLE' END)"
    )
}
