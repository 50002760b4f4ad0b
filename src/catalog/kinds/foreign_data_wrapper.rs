//! Foreign-data wrappers (`CREATE FOREIGN DATA WRAPPER`, section 5.13).

use serde::{Deserialize, Serialize};

use crate::catalog::acl::AclClass;
use crate::catalog::ident::class;
use crate::catalog::kind::{Head, Kind, Target, null_as_default};
use crate::catalog::sql_types::{Global, Name, NamedValue, function_name, options, options_clause};
use crate::pg::{ServerVersion, quote};

/// A foreign-data wrapper.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignDataWrapper {
    /// The handler function.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handler: Option<Name>,
    /// The function that checks options.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validator: Option<Name>,
    /// The options.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub options: Vec<NamedValue>,
}

impl Kind for ForeignDataWrapper {
    const NAME: &'static str = "foreign-data wrapper";
    const CATALOGS: &'static [&'static str] = &["pg_foreign_data_wrapper"];

    fn query(_server: ServerVersion) -> String {
        let wrappers = Global {
            class: class::PG_FOREIGN_DATA_WRAPPER,
            catalog: "pg_foreign_data_wrapper",
            name: "o.fdwname",
            owner: Some("o.fdwowner"),
            acl: Some("o.fdwacl"),
        };
        wrappers.query(
            &format!(
                "{handler} AS handler, {validator} AS validator, {options} AS options",
                handler = function_name("o.fdwhandler"),
                validator = function_name("o.fdwvalidator"),
                options = options("o.fdwoptions"),
            ),
            "true",
        )
    }

    fn identity(&self, head: &Head) -> String {
        format!("FOREIGN DATA WRAPPER {}", quote::ident(&head.name))
    }

    fn acl_target(&self, head: &Head) -> Option<(AclClass, String)> {
        Some((AclClass::ForeignDataWrapper, self.identity(head)))
    }

    fn create(&self, head: &Head, _target: &Target) -> Vec<String> {
        let mut create = format!("CREATE {}", self.identity(head));
        for (word, function) in [("HANDLER", &self.handler), ("VALIDATOR", &self.validator)] {
            if let Some(function) = function {
                create += &format!(" {word} {}", function.sql());
            }
        }
        vec![create + &options_clause(&self.options)]
    }
}
