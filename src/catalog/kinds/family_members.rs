//! Members that users added to an operator family which is not theirs (`ALTER OPERATOR FAMILY … ADD`): one of the
//! server's own, or of an extension's. The family comes back by itself, they do not.

use serde::{Deserialize, Serialize};

use super::operator_family::{Members, PG_AMOP, PG_AMPROC};
use crate::catalog::ident::class;
use crate::catalog::kind::{Head, Kind, Target};
use crate::catalog::sql;
use crate::catalog::sql_types::FIRST_NORMAL_OID;
use crate::pg::{ServerVersion, quote};

/// The loose members of one family.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FamilyMembers {
    /// The index access method.
    pub method: String,
    /// The members.
    #[serde(flatten)]
    pub members: Members,
}

/// The clause that chooses the rows `m` of a catalog of members: loose ones, which are no part of a class, made by
/// users. An extension's script adds to its own families what names its own objects and the server's.
fn own(catalog: u32, prefix: &str, named: &str, named_class: u32) -> String {
    let users = |class: u32, column: &str| {
        let oid = format!("m.{column}::pg_catalog.oid");
        format!("{oid} >= {FIRST_NORMAL_OID} AND {}", sql::not_extension_member(class, &oid))
    };
    let not_member = sql::not_extension_member(named_class, &format!("m.{named}::pg_catalog.oid"));
    format!(
        "WHERE m.{prefix}family = o.oid AND m.oid >= {FIRST_NORMAL_OID} AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d \
         WHERE d.classid = {catalog} AND d.objid = m.oid AND d.deptype = 'i') AND {not_member} \
         AND (o.oid < {FIRST_NORMAL_OID} OR {function} OR {left} OR {right})",
        function = users(named_class, named),
        left = users(class::PG_TYPE, &format!("{prefix}lefttype")),
        right = users(class::PG_TYPE, &format!("{prefix}righttype")),
    )
}

impl Kind for FamilyMembers {
    const NAME: &'static str = "operator family members";
    const CATALOGS: &'static [&'static str] = &["pg_amop", "pg_amproc"];

    fn query(_server: ServerVersion) -> String {
        let amop = own(PG_AMOP, "amop", "amopopr", class::PG_OPERATOR);
        let amproc = own(PG_AMPROC, "amproc", "amproc", class::PG_PROC);
        format!(
            "SELECT {id}, n.nspname AS schema, o.opfname AS name, a.amname AS method, {members}, \
             (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(e.refclassid::pg_catalog.int8, e.refobjid::pg_catalog.int8)) \
             FROM pg_catalog.pg_depend e WHERE e.classid = {family}::pg_catalog.oid AND e.objid = o.oid AND e.deptype = 'e') AS depends \
             FROM pg_catalog.pg_opfamily o JOIN pg_catalog.pg_namespace n ON n.oid = o.opfnamespace \
             JOIN pg_catalog.pg_am a ON a.oid = o.opfmethod \
             WHERE NOT ({user} AND {not_member}) AND (EXISTS (SELECT FROM pg_catalog.pg_amop m {amop}) \
             OR EXISTS (SELECT FROM pg_catalog.pg_amproc m {amproc}))",
            id = sql::id(class::PG_OPFAMILY, "o.oid"),
            members = Members::columns_of(&amop, &amproc),
            family = class::PG_OPFAMILY,
            user = sql::user_schema("n.oid"),
            not_member = sql::not_extension_member(class::PG_OPFAMILY, "o.oid"),
        )
    }

    fn identity(&self, head: &Head) -> String {
        format!("OPERATOR FAMILY {} USING {}", head.qualified(), quote::ident(&self.method))
    }

    fn create(&self, head: &Head, _target: &Target) -> Vec<String> {
        let members = self.members.list();
        if members.is_empty() {
            return Vec::new();
        }
        vec![format!("ALTER {} ADD\n    {}", self.identity(head), members.join(",\n    "))]
    }

    /// The family is not ours to drop.
    fn drop(&self, head: &Head) -> String {
        let operators = self
            .members
            .operators
            .iter()
            .map(|m| format!("OPERATOR {} ({}, {})", m.number, m.types.0, m.types.1));
        let functions = self
            .members
            .functions
            .iter()
            .map(|m| format!("FUNCTION {} ({}, {})", m.number, m.types.0, m.types.1));
        format!(
            "ALTER {} DROP {}",
            self.identity(head),
            operators.chain(functions).collect::<Vec<_>>().join(", ")
        )
    }

    fn set_owner(&self, _head: &Head, _owner: &str) -> Option<String> {
        None
    }

    fn set_comment(&self, _head: &Head, _comment: &str) -> Option<String> {
        None
    }
}
