//! Access methods of tables and indexes (`CREATE ACCESS METHOD`).

use serde::{Deserialize, Serialize};

use crate::catalog::ident::class;
use crate::catalog::kind::{Head, Kind, Target};
use crate::catalog::sql_types::{Global, Name, function_name};
use crate::pg::{ServerVersion, quote};

/// An access method. It has no owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessMethod {
    /// `t` for tables, `i` for indexes: `pg_am.amtype`.
    pub of: char,
    /// The handler function.
    pub handler: Name,
}

impl Kind for AccessMethod {
    const NAME: &'static str = "access method";
    const CATALOGS: &'static [&'static str] = &["pg_am"];

    fn query(_server: ServerVersion) -> String {
        let methods =
            Global { class: class::PG_AM, catalog: "pg_am", name: "o.amname", owner: None, acl: None };
        methods.query(&format!("o.amtype AS of, {} AS handler", function_name("o.amhandler")), "true")
    }

    fn identity(&self, head: &Head) -> String {
        format!("ACCESS METHOD {}", quote::ident(&head.name))
    }

    fn create(&self, head: &Head, _target: &Target) -> Vec<String> {
        let of = if self.of == 't' { "TABLE" } else { "INDEX" };
        vec![format!("CREATE {} TYPE {of} HANDLER {}", self.identity(head), self.handler.sql())]
    }

    fn set_owner(&self, _head: &Head, _owner: &str) -> Option<String> {
        None
    }
}
