//! User mappings (`CREATE USER MAPPING`, section 5.13): as whom a role goes to a foreign server. Their options hold
//! passwords.

use serde::{Deserialize, Serialize};

use crate::catalog::ident::class;
use crate::catalog::kind::{Head, Kind, Target, null_as_default};
use crate::catalog::sql;
use crate::catalog::sql_types::{NamedValue, options, options_clause};
use crate::pg::{ServerVersion, quote};

/// A user mapping. It has no name of its own, no owner and no comment; the head's name is for messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserMapping {
    /// The role; none is `PUBLIC`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The foreign server.
    pub server: String,
    /// The options, passwords among them; empty too where the backup's role may not see them.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub options: Vec<NamedValue>,
}

impl Kind for UserMapping {
    const NAME: &'static str = "user mapping";
    const CATALOGS: &'static [&'static str] = &["pg_user_mapping"];

    fn query(_server: ServerVersion) -> String {
        // The view shows each mapping, and its options only to those who may see them; the table refuses altogether.
        format!(
            "SELECT {id}, pg_catalog.format('%s on %s', o.usename, o.srvname) AS name, \
             CASE WHEN o.umuser <> 0 THEN o.usename END AS \"user\", o.srvname AS server, {options} AS options \
             FROM pg_catalog.pg_user_mappings o WHERE {not_member} AND {server_not_member}",
            id = sql::id(class::PG_USER_MAPPING, "o.umid"),
            options = options("o.umoptions"),
            not_member = sql::not_extension_member(class::PG_USER_MAPPING, "o.umid"),
            server_not_member = sql::not_extension_member(class::PG_FOREIGN_SERVER, "o.srvid"),
        )
    }

    fn identity(&self, _head: &Head) -> String {
        let user = self.user.as_deref().map_or_else(|| "PUBLIC".to_owned(), quote::ident);
        format!("USER MAPPING FOR {user} SERVER {}", quote::ident(&self.server))
    }

    fn create(&self, head: &Head, _target: &Target) -> Vec<String> {
        vec![format!("CREATE {}{}", self.identity(head), options_clause(&self.options))]
    }

    fn roles(&self) -> Vec<&str> {
        self.user.as_deref().into_iter().collect()
    }

    fn set_owner(&self, _head: &Head, _owner: &str) -> Option<String> {
        None
    }

    fn set_comment(&self, _head: &Head, _comment: &str) -> Option<String> {
        None
    }
}
