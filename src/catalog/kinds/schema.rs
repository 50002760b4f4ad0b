//! Schemas (`CREATE SCHEMA`).

use serde::{Deserialize, Serialize};

use crate::catalog::acl::AclClass;
use crate::catalog::ident::class;
use crate::catalog::kind::{Head, Kind, Target};
use crate::catalog::sql;
use crate::pg::ServerVersion;

/// A schema; all that there is to it stands in its head.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schema {}

impl Kind for Schema {
    const NAME: &'static str = "schema";
    const CATALOGS: &'static [&'static str] = &["pg_namespace"];

    fn query(_server: ServerVersion) -> String {
        format!(
            "SELECT {id}, n.nspname AS name, {owner}, {acl} \
             FROM pg_catalog.pg_namespace n \
             WHERE {user} AND {not_member}",
            id = sql::id(class::PG_NAMESPACE, "n.oid"),
            owner = sql::owner("n.nspowner"),
            acl = sql::acl("n.nspacl"),
            user = sql::user_schema_name("n.nspname"),
            not_member = sql::not_extension_member(class::PG_NAMESPACE, "n.oid"),
        )
    }

    fn identity(&self, head: &Head) -> String {
        format!("SCHEMA {}", head.qualified())
    }

    fn acl_target(&self, head: &Head) -> Option<(AclClass, String)> {
        let class = if head.name == PUBLIC { AclClass::PublicSchema } else { AclClass::Schema };
        Some((class, self.identity(head)))
    }

    fn create(&self, head: &Head, _target: &Target) -> Vec<String> {
        if head.name != PUBLIC {
            return vec![format!("CREATE SCHEMA {}", head.qualified())];
        }
        // It exists in every new database, with a comment; creating it again would fail.
        let mut out = vec![format!("CREATE SCHEMA IF NOT EXISTS {}", head.qualified())];
        if head.comment.is_none() {
            out.push(format!("COMMENT ON SCHEMA {} IS NULL", head.qualified()));
        }
        out
    }
}

/// The schema that `initdb` makes.
pub const PUBLIC: &str = "public";
