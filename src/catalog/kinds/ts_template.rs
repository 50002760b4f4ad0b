//! Text search templates (`CREATE TEXT SEARCH TEMPLATE`, section 12.6).

use serde::{Deserialize, Serialize};

use crate::catalog::ident::class;
use crate::catalog::kind::{Head, Kind, Target};
use crate::catalog::sql_types::{Definition, InSchema, Name, function_name};
use crate::pg::ServerVersion;

/// A text search template. It has no owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TsTemplate {
    /// The function that reads a dictionary's options.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init: Option<Name>,
    /// The function that looks a token up.
    pub lexize: Name,
}

impl Kind for TsTemplate {
    const NAME: &'static str = "text search template";
    const CATALOGS: &'static [&'static str] = &["pg_ts_template"];

    fn query(_server: ServerVersion) -> String {
        let templates = InSchema {
            class: class::PG_TS_TEMPLATE,
            catalog: "pg_ts_template",
            prefix: "tmpl",
            owned: false,
            acl: false,
        };
        templates.query(
            &format!(
                "{init} AS init, {lexize} AS lexize",
                init = function_name("o.tmplinit"),
                lexize = function_name("o.tmpllexize"),
            ),
            "true",
        )
    }

    fn identity(&self, head: &Head) -> String {
        format!("TEXT SEARCH TEMPLATE {}", head.qualified())
    }

    fn create(&self, head: &Head, _target: &Target) -> Vec<String> {
        let mut definition = Definition::new();
        definition.name("INIT", self.init.as_ref()).name("LEXIZE", Some(&self.lexize));
        vec![format!("CREATE {} {}", self.identity(head), definition.sql())]
    }

    fn set_owner(&self, _head: &Head, _owner: &str) -> Option<String> {
        None
    }
}
