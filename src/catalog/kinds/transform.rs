//! Transforms (`CREATE TRANSFORM`): how a language sees the values of a type.

use serde::{Deserialize, Serialize};

use crate::catalog::ident::class;
use crate::catalog::kind::{Head, Kind, Target};
use crate::catalog::sql_types::{Global, Signature, function_signature, type_text};
use crate::pg::{ServerVersion, quote};

/// A transform. It has no schema and no owner; the head's name is for messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transform {
    /// The type.
    #[serde(rename = "type")]
    pub type_text: String,
    /// The language.
    pub language: String,
    /// The function that brings a value from SQL into the language.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_sql: Option<Signature>,
    /// The function that brings a value from the language into SQL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_sql: Option<Signature>,
}

impl Kind for Transform {
    const NAME: &'static str = "transform";
    const CATALOGS: &'static [&'static str] = &["pg_transform"];

    fn query(_server: ServerVersion) -> String {
        let transforms = Global {
            class: class::PG_TRANSFORM,
            catalog: "pg_transform",
            name: "pg_catalog.format('FOR %s LANGUAGE %I', pg_catalog.format_type(o.trftype, NULL), \
                   (SELECT l.lanname FROM pg_catalog.pg_language l WHERE l.oid = o.trflang))",
            owner: None,
            acl: None,
        };
        transforms.query(
            &format!(
                "{type_text} AS type, (SELECT l.lanname FROM pg_catalog.pg_language l WHERE l.oid = o.trflang) AS language, \
                 {from_sql} AS from_sql, {to_sql} AS to_sql",
                type_text = type_text("o.trftype"),
                from_sql = function_signature("o.trffromsql"),
                to_sql = function_signature("o.trftosql"),
            ),
            "true",
        )
    }

    fn identity(&self, _head: &Head) -> String {
        format!("TRANSFORM FOR {} LANGUAGE {}", self.type_text, quote::ident(&self.language))
    }

    fn create(&self, head: &Head, _target: &Target) -> Vec<String> {
        let functions: Vec<String> = [("FROM", &self.from_sql), ("TO", &self.to_sql)]
            .into_iter()
            .filter_map(|(way, function)| {
                Some(format!("{way} SQL WITH FUNCTION {}", function.as_ref()?.sql()))
            })
            .collect();
        vec![format!("CREATE {} ({})", self.identity(head), functions.join(", "))]
    }

    fn set_owner(&self, _head: &Head, _owner: &str) -> Option<String> {
        None
    }
}
