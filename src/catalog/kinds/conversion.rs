//! Encoding conversions (`CREATE CONVERSION`, section 23.3).

use serde::{Deserialize, Serialize};

use crate::catalog::ident::class;
use crate::catalog::kind::{Head, Kind, Target};
use crate::catalog::sql_types::{InSchema, Name, function_name};
use crate::pg::{ServerVersion, quote};

/// A conversion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conversion {
    /// The encoding that it converts from.
    pub source: String,
    /// The encoding that it converts to.
    pub target: String,
    /// The function that does it.
    pub function: Name,
    /// Whether it is the default for this pair of encodings.
    pub default: bool,
}

impl Kind for Conversion {
    const NAME: &'static str = "conversion";
    const CATALOGS: &'static [&'static str] = &["pg_conversion"];

    fn query(_server: ServerVersion) -> String {
        let conversions = InSchema {
            class: class::PG_CONVERSION,
            catalog: "pg_conversion",
            prefix: "con",
            owned: true,
            acl: false,
        };
        conversions.query(
            &format!(
                "pg_catalog.pg_encoding_to_char(o.conforencoding) AS source, \
                 pg_catalog.pg_encoding_to_char(o.contoencoding) AS target, {} AS function, o.condefault AS \"default\"",
                function_name("o.conproc")
            ),
            "true",
        )
    }

    fn identity(&self, head: &Head) -> String {
        format!("CONVERSION {}", head.qualified())
    }

    fn create(&self, head: &Head, _target: &Target) -> Vec<String> {
        vec![format!(
            "CREATE {}{} FOR {} TO {} FROM {}",
            if self.default { "DEFAULT " } else { "" },
            self.identity(head),
            quote::literal(&self.source),
            quote::literal(&self.target),
            self.function.sql()
        )]
    }
}
