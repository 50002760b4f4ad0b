//! Procedural languages (`CREATE LANGUAGE`) that no extension brought.

use serde::{Deserialize, Serialize};

use crate::catalog::acl::AclClass;
use crate::catalog::ident::class;
use crate::catalog::kind::{Head, Kind, Target};
use crate::catalog::sql_types::{Global, Name, function_name};
use crate::pg::{ServerVersion, quote};

/// A procedural language.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Language {
    /// Whether all may use it, rather than superusers alone.
    pub trusted: bool,
    /// The function that calls functions in it.
    pub handler: Name,
    /// The function that runs `DO` blocks in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inline: Option<Name>,
    /// The function that checks new functions in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validator: Option<Name>,
}

impl Kind for Language {
    const NAME: &'static str = "language";
    const CATALOGS: &'static [&'static str] = &["pg_language"];

    fn query(_server: ServerVersion) -> String {
        let languages = Global {
            class: class::PG_LANGUAGE,
            catalog: "pg_language",
            name: "o.lanname",
            owner: Some("o.lanowner"),
            acl: Some("o.lanacl"),
        };
        languages.query(
            &format!(
                "o.lanpltrusted AS trusted, {handler} AS handler, {inline} AS inline, {validator} AS validator",
                handler = function_name("o.lanplcallfoid"),
                inline = function_name("o.laninline"),
                validator = function_name("o.lanvalidator"),
            ),
            "o.lanispl",
        )
    }

    fn identity(&self, head: &Head) -> String {
        format!("LANGUAGE {}", quote::ident(&head.name))
    }

    fn acl_target(&self, head: &Head) -> Option<(AclClass, String)> {
        Some((AclClass::Language, self.identity(head)))
    }

    fn create(&self, head: &Head, _target: &Target) -> Vec<String> {
        let trusted = if self.trusted { "TRUSTED " } else { "" };
        let mut create = format!("CREATE {trusted}{} HANDLER {}", self.identity(head), self.handler.sql());
        for (word, function) in [("INLINE", &self.inline), ("VALIDATOR", &self.validator)] {
            if let Some(function) = function {
                create += &format!(" {word} {}", function.sql());
            }
        }
        vec![create]
    }
}
