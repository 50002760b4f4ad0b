//! Functions (`CREATE FUNCTION`), window functions among them. Bodies are created unchecked
//! (`check_function_bodies = off`), as a body may name what comes later.

use serde::{Deserialize, Serialize};

use crate::catalog::acl::AclClass;
use crate::catalog::kind::{Head, Kind, Target, null_as_default};
use crate::catalog::mend::mend;
use crate::catalog::sql_types::ROUTINES;
use crate::pg::ServerVersion;

/// A function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Function {
    /// What functions and procedures share.
    #[serde(flatten)]
    pub routine: Routine,
}

/// What functions and procedures share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Routine {
    /// The whole statement as `pg_get_functiondef` writes it: `CREATE OR REPLACE FUNCTION …`.
    pub definition: String,
    /// The arguments that tell it from others of its name, as SQL.
    #[serde(default)]
    pub arguments: String,
    /// Its body is kept as statements (`BEGIN ATOMIC`, `RETURN`), which the server writes out anew.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_parsed_body: bool,
    /// Its language.
    pub language: String,
    /// The library file of a function in C, which the target's server must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub library: Option<String>,
    /// The configuration parameters that it sets while it runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub settings: Vec<String>,
}

impl Routine {
    /// The query of the routines whose `prokind` is one of `kinds`, a list of SQL literals. Those that the server makes
    /// of itself, as the constructors of a range type, depend internally on what they were made for.
    pub fn query(server: ServerVersion, kinds: &str) -> String {
        let parsed = if server.at_least(14) { "o.prosqlbody IS NOT NULL" } else { "false" };
        ROUTINES.query(
            &format!(
                "pg_catalog.pg_get_functiondef(o.oid) AS definition, {parsed} AS has_parsed_body, \
             pg_catalog.pg_get_function_identity_arguments(o.oid) AS arguments, \
             (SELECT l.lanname FROM pg_catalog.pg_language l WHERE l.oid = o.prolang) AS language, \
             o.probin AS library, pg_catalog.to_json(o.proconfig) AS settings"
            ),
            &format!(
                "o.prokind IN ({kinds}) AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend i \
                 WHERE i.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND i.objid = o.oid AND i.deptype = 'i')"
            ),
        )
    }

    /// See [`Kind::inexpressible`].
    pub fn inexpressible(&self, version: ServerVersion) -> Option<&'static str> {
        (self.has_parsed_body && !version.at_least(14))
            .then_some("bodies that are kept as statements, which PostgreSQL 14 brought")
    }

    /// The name with its arguments, as SQL.
    pub fn signature(&self, head: &Head) -> String {
        format!("{}({})", head.qualified(), self.arguments)
    }

    /// The statement that creates it, and that fails if it exists: a routine of the same name which an extension or
    /// a template brought is not to be replaced unseen.
    pub fn create(&self) -> String {
        let definition = self.definition.trim_end_matches('\n');
        let create = definition
            .strip_prefix("CREATE OR REPLACE ")
            .map_or_else(|| definition.to_owned(), |rest| format!("CREATE {rest}"));
        // A body between dollar quotes is the user's own text; one of statements is the deparser's.
        if self.has_parsed_body { mend(&create) } else { create }
    }
}

impl Kind for Function {
    const NAME: &'static str = "function";
    const CATALOGS: &'static [&'static str] = &["pg_proc"];

    fn query(server: ServerVersion) -> String {
        Routine::query(server, "'f', 'w'")
    }

    fn identity(&self, head: &Head) -> String {
        format!("FUNCTION {}", self.routine.signature(head))
    }

    fn acl_target(&self, head: &Head) -> Option<(AclClass, String)> {
        Some((AclClass::Function, self.identity(head)))
    }

    fn create(&self, _head: &Head, _target: &Target) -> Vec<String> {
        vec![self.routine.create()]
    }

    fn inexpressible(&self, version: ServerVersion) -> Option<&'static str> {
        self.routine.inexpressible(version)
    }
}
