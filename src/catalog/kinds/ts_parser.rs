//! Text search parsers (`CREATE TEXT SEARCH PARSER`, section 12.5).

use serde::{Deserialize, Serialize};

use crate::catalog::ident::class;
use crate::catalog::kind::{Head, Kind, Target};
use crate::catalog::sql_types::{Definition, InSchema, Name, function_name};
use crate::pg::ServerVersion;

/// A text search parser. It has no owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TsParser {
    /// The function that starts.
    pub start: Name,
    /// The function that gets the next token.
    pub token: Name,
    /// The function that ends.
    pub end: Name,
    /// The function that makes headlines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headline: Option<Name>,
    /// The function that lists the types of tokens.
    pub types: Name,
}

impl Kind for TsParser {
    const NAME: &'static str = "text search parser";
    const CATALOGS: &'static [&'static str] = &["pg_ts_parser"];

    fn query(_server: ServerVersion) -> String {
        let parsers = InSchema {
            class: class::PG_TS_PARSER,
            catalog: "pg_ts_parser",
            prefix: "prs",
            owned: false,
            acl: false,
        };
        parsers.query(
            &format!(
                "{start} AS start, {token} AS token, {end} AS \"end\", {headline} AS headline, {types} AS types",
                start = function_name("o.prsstart"),
                token = function_name("o.prstoken"),
                end = function_name("o.prsend"),
                headline = function_name("o.prsheadline"),
                types = function_name("o.prslextype"),
            ),
            "true",
        )
    }

    fn identity(&self, head: &Head) -> String {
        format!("TEXT SEARCH PARSER {}", head.qualified())
    }

    fn create(&self, head: &Head, _target: &Target) -> Vec<String> {
        let mut definition = Definition::new();
        definition
            .name("START", Some(&self.start))
            .name("GETTOKEN", Some(&self.token))
            .name("END", Some(&self.end));
        definition.name("HEADLINE", self.headline.as_ref()).name("LEXTYPES", Some(&self.types));
        vec![format!("CREATE {} {}", self.identity(head), definition.sql())]
    }

    fn set_owner(&self, _head: &Head, _owner: &str) -> Option<String> {
        None
    }
}
