//! Sequences of identity columns: made with their column, whose options they hold ([`super::column::Identity`]). What they
//! bear of their own is privileges, a comment and labels, as `GRANT … ON ALL SEQUENCES` leaves them.

use serde::{Deserialize, Serialize};

use crate::catalog::acl::AclClass;
use crate::catalog::ident::{ObjectId, class};
use crate::catalog::kind::{Head, Kind, Target};
use crate::catalog::sql;
use crate::pg::ServerVersion;

/// The sequence of an identity column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentitySequence {
    /// The column's table.
    pub table: ObjectId,
}

impl Kind for IdentitySequence {
    const NAME: &'static str = "identity sequence";
    const CATALOGS: &'static [&'static str] = &["pg_class"];

    fn query(_server: ServerVersion) -> String {
        format!(
            "SELECT {id}, n.nspname AS schema, c.relname AS name, {owner}, {acl}, \
               pg_catalog.json_build_array({class}, d.refobjid::pg_catalog.int8) AS table \
             FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             JOIN pg_catalog.pg_depend d ON d.classid = {class}::pg_catalog.oid AND d.objid = c.oid \
               AND d.refclassid = {class}::pg_catalog.oid AND d.refobjsubid > 0 AND d.deptype = 'i' \
             WHERE c.relkind = 'S' AND c.relpersistence <> 't' AND {user} AND {own_table} \
             {order}",
            id = sql::id(class::PG_CLASS, "c.oid"),
            owner = sql::owner("c.relowner"),
            acl = sql::acl("c.relacl"),
            class = class::PG_CLASS,
            user = sql::user_schema("c.relnamespace"),
            order = sql::by_names(&["n.nspname", "c.relname"]),
            own_table = sql::not_extension_member(class::PG_CLASS, "d.refobjid"),
        )
    }

    fn identity(&self, head: &Head) -> String {
        format!("SEQUENCE {}", head.qualified())
    }

    fn acl_target(&self, head: &Head) -> Option<(AclClass, String)> {
        Some((AclClass::Sequence, self.identity(head)))
    }

    /// Its column made it.
    fn create(&self, _head: &Head, _target: &Target) -> Vec<String> {
        Vec::new()
    }

    /// It has its table's owner.
    fn set_owner(&self, _head: &Head, _owner: &str) -> Option<String> {
        None
    }
}
