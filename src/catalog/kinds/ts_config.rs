//! Text search configurations (`CREATE TEXT SEARCH CONFIGURATION`, section 12.7).

use serde::{Deserialize, Serialize};

use crate::catalog::ident::class;
use crate::catalog::kind::{Head, Kind, Target, null_as_default};
use crate::catalog::sql_types::{InSchema, Name, ts_name};
use crate::pg::{ServerVersion, quote};

/// A text search configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TsConfig {
    /// The parser.
    pub parser: Name,
    /// Which dictionaries see which tokens.
    #[serde(default, deserialize_with = "null_as_default")]
    pub mappings: Vec<Mapping>,
}

/// The dictionaries of one type of token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mapping {
    /// The type of token, as the parser calls it.
    pub token: String,
    /// The dictionaries, in the order in which they are asked.
    pub dictionaries: Vec<Name>,
}

impl Kind for TsConfig {
    const NAME: &'static str = "text search configuration";
    const CATALOGS: &'static [&'static str] = &["pg_ts_config", "pg_ts_config_map"];

    fn query(_server: ServerVersion) -> String {
        let configurations = InSchema {
            class: class::PG_TS_CONFIG,
            catalog: "pg_ts_config",
            prefix: "cfg",
            owned: true,
            acl: false,
        };
        configurations.query(
            &format!(
                "{parser} AS parser, \
                 (SELECT pg_catalog.json_agg(pg_catalog.json_build_object('token', k.token, 'dictionaries', k.dictionaries) \
                 ORDER BY k.type) FROM (SELECT m.maptokentype AS type, \
                 (SELECT t.alias FROM pg_catalog.ts_token_type(o.cfgparser) t WHERE t.tokid = m.maptokentype) AS token, \
                 pg_catalog.json_agg({dictionary} ORDER BY m.mapseqno) AS dictionaries \
                 FROM pg_catalog.pg_ts_config_map m WHERE m.mapcfg = o.oid GROUP BY m.maptokentype) k) AS mappings",
                parser = ts_name("parser", "prs", "o.cfgparser"),
                dictionary = ts_name("dict", "dict", "m.mapdict"),
            ),
            "true",
        )
    }

    fn identity(&self, head: &Head) -> String {
        format!("TEXT SEARCH CONFIGURATION {}", head.qualified())
    }

    fn create(&self, head: &Head, _target: &Target) -> Vec<String> {
        let identity = self.identity(head);
        let mut statements = vec![format!("CREATE {identity} (PARSER = {})", self.parser.sql())];
        statements.extend(self.mappings.iter().map(|mapping| {
            let dictionaries: Vec<String> = mapping.dictionaries.iter().map(Name::sql).collect();
            let token = quote::ident(&mapping.token);
            format!("ALTER {identity} ADD MAPPING FOR {token} WITH {}", dictionaries.join(", "))
        }));
        statements
    }
}
