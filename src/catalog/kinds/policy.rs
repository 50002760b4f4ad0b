//! Row security policies (`CREATE POLICY`).

use serde::{Deserialize, Serialize};

use crate::catalog::ident::{ObjectId, class};
use crate::catalog::kind::{Head, Kind, Target, null_as_default};
use crate::catalog::sql;
use crate::pg::ServerVersion;
use crate::pg::quote::{ident, ident_list};

/// A policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// The table.
    pub table: ObjectId,
    /// Its quoted, qualified name.
    pub table_name: String,
    /// Permissive, or else restrictive.
    pub permissive: bool,
    /// `*` all, `r` select, `a` insert, `w` update, `d` delete.
    pub command: String,
    /// The roles; empty means `PUBLIC`.
    #[serde(default, deserialize_with = "null_as_default")]
    pub roles: Vec<String>,
    /// The `USING` expression.
    #[serde(default)]
    pub using: Option<String>,
    /// The `WITH CHECK` expression.
    #[serde(default)]
    pub check: Option<String>,
}

impl Kind for Policy {
    const NAME: &'static str = "policy";
    const CATALOGS: &'static [&'static str] = &["pg_policy"];

    fn query(_server: ServerVersion) -> String {
        format!(
            "SELECT {id}, tn.nspname AS schema, p.polname AS name, pg_catalog.json_build_array({class}, t.oid::pg_catalog.int8) AS table, \
               pg_catalog.format('%I.%I', tn.nspname, t.relname) AS table_name, p.polpermissive AS permissive, p.polcmd::pg_catalog.text AS command, \
               (SELECT pg_catalog.json_agg(pg_catalog.pg_get_userbyid(r)) FROM pg_catalog.unnest(p.polroles) r WHERE r <> 0) AS roles, \
               pg_catalog.pg_get_expr(p.polqual, p.polrelid) AS using, pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid) AS check \
             FROM pg_catalog.pg_policy p JOIN pg_catalog.pg_class t ON t.oid = p.polrelid JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace \
             WHERE {user} AND {own_table} ORDER BY tn.nspname, t.relname, p.polname",
            id = sql::id(class::PG_POLICY, "p.oid"),
            class = class::PG_CLASS,
            user = sql::user_schema("t.relnamespace"),
            own_table = sql::not_extension_member(class::PG_CLASS, "t.oid"),
        )
    }

    fn identity(&self, head: &Head) -> String {
        format!("POLICY {} ON {}", ident(&head.name), self.table_name)
    }

    fn create(&self, head: &Head, _target: &Target) -> Vec<String> {
        let kind = if self.permissive { "" } else { " AS RESTRICTIVE" };
        let command = match self.command.as_str() {
            "r" => " FOR SELECT",
            "a" => " FOR INSERT",
            "w" => " FOR UPDATE",
            "d" => " FOR DELETE",
            _ => "",
        };
        let roles = if self.roles.is_empty() {
            String::new()
        } else {
            format!(" TO {}", ident_list(self.roles.iter().map(String::as_str)))
        };
        let using = self.using.as_ref().map(|text| format!(" USING ({text})")).unwrap_or_default();
        let check = self.check.as_ref().map(|text| format!(" WITH CHECK ({text})")).unwrap_or_default();
        let (name, table) = (ident(&head.name), &self.table_name);
        vec![format!("CREATE POLICY {name} ON {table}{kind}{command}{roles}{using}{check}")]
    }

    fn roles(&self) -> Vec<&str> {
        self.roles.iter().map(String::as_str).collect()
    }

    fn set_owner(&self, _head: &Head, _owner: &str) -> Option<String> {
        None
    }

    fn after_data_of(&self) -> Vec<ObjectId> {
        vec![self.table]
    }
}
