//! Foreign servers (`CREATE SERVER`, section 5.13).

use serde::{Deserialize, Serialize};

use crate::catalog::acl::AclClass;
use crate::catalog::ident::class;
use crate::catalog::kind::{Head, Kind, Target, null_as_default};
use crate::catalog::sql_types::{Global, NamedValue, options, options_clause};
use crate::pg::{ServerVersion, quote};

/// A foreign server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignServer {
    /// The foreign-data wrapper.
    pub wrapper: String,
    /// The type, which only the wrapper understands.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub type_text: Option<String>,
    /// The version, which only the wrapper understands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The options.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub options: Vec<NamedValue>,
}

impl Kind for ForeignServer {
    const NAME: &'static str = "foreign server";
    const CATALOGS: &'static [&'static str] = &["pg_foreign_server"];

    fn query(_server: ServerVersion) -> String {
        let servers = Global {
            class: class::PG_FOREIGN_SERVER,
            catalog: "pg_foreign_server",
            name: "o.srvname",
            owner: Some("o.srvowner"),
            acl: Some("o.srvacl"),
        };
        servers.query(
            &format!(
                "(SELECT w.fdwname FROM pg_catalog.pg_foreign_data_wrapper w WHERE w.oid = o.srvfdw) AS wrapper, \
                 o.srvtype AS type, o.srvversion AS version, {} AS options",
                options("o.srvoptions")
            ),
            "true",
        )
    }

    fn identity(&self, head: &Head) -> String {
        format!("SERVER {}", quote::ident(&head.name))
    }

    fn acl_target(&self, head: &Head) -> Option<(AclClass, String)> {
        Some((AclClass::ForeignServer, format!("FOREIGN SERVER {}", quote::ident(&head.name))))
    }

    fn create(&self, head: &Head, _target: &Target) -> Vec<String> {
        let mut create = format!("CREATE {}", self.identity(head));
        for (word, value) in [("TYPE", &self.type_text), ("VERSION", &self.version)] {
            if let Some(value) = value {
                create += &format!(" {word} {}", quote::literal(value));
            }
        }
        create += &format!(" FOREIGN DATA WRAPPER {}", quote::ident(&self.wrapper));
        vec![create + &options_clause(&self.options)]
    }
}
