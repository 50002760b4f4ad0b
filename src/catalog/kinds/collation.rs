//! Collations (`CREATE COLLATION`, section 23.2). The version of the locale's data is recorded, and never forced: what
//! sorts by it is built anew.

use serde::{Deserialize, Serialize};

use crate::catalog::ident::class;
use crate::catalog::kind::{Head, Kind, Target};
use crate::catalog::sql_types::{Definition, InSchema};
use crate::pg::{ServerVersion, quote};

/// A collation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collation {
    /// `c` libc, `i` ICU, `b` builtin: `pg_collation.collprovider`.
    pub provider: char,
    /// Whether strings are equal only if they are so byte by byte.
    pub deterministic: bool,
    /// `LC_COLLATE` of libc.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collate: Option<String>,
    /// `LC_CTYPE` of libc.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ctype: Option<String>,
    /// The locale of the other providers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locale: Option<String>,
    /// Rules that ICU adds to the locale's (servers from 16).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules: Option<String>,
    /// The version of the locale's data when it was created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

impl Kind for Collation {
    const NAME: &'static str = "collation";
    const CATALOGS: &'static [&'static str] = &["pg_collation"];

    fn query(server: ServerVersion) -> String {
        // Before 15, ICU's locale stood where libc's does.
        let (collate, ctype, locale) = match server.major() {
            ..=14 => (
                "CASE WHEN o.collprovider <> 'i' THEN o.collcollate END",
                "CASE WHEN o.collprovider <> 'i' THEN o.collctype END",
                "CASE WHEN o.collprovider = 'i' THEN o.collcollate END",
            ),
            15 | 16 => ("o.collcollate", "o.collctype", "o.colliculocale"),
            _ => ("o.collcollate", "o.collctype", "o.colllocale"),
        };
        let rules = if server.at_least(16) { "o.collicurules" } else { "NULL::pg_catalog.text" };
        let collations = InSchema {
            class: class::PG_COLLATION,
            catalog: "pg_collation",
            prefix: "coll",
            owned: true,
            acl: false,
        };
        collations.query(
            &format!(
                "o.collprovider AS provider, o.collisdeterministic AS deterministic, {collate} AS collate, \
                 {ctype} AS ctype, {locale} AS locale, {rules} AS rules, o.collversion AS version"
            ),
            // Those of other encodings cannot be used, nor created, in this database.
            "o.collencoding IN (-1, (SELECT d.encoding FROM pg_catalog.pg_database d \
             WHERE d.datname = pg_catalog.current_database()))",
        )
    }

    fn identity(&self, head: &Head) -> String {
        format!("COLLATION {}", head.qualified())
    }

    fn inexpressible(&self, version: ServerVersion) -> Option<&'static str> {
        (self.provider == 'b' && !version.at_least(17))
            .then_some("the provider builtin, which PostgreSQL 17 brought")
    }

    fn create(&self, head: &Head, target: &Target) -> Vec<String> {
        let mut definition = Definition::new();
        let provider = match self.provider {
            'i' => "icu",
            'b' => "builtin",
            'd' => "default",
            _ => "libc",
        };
        definition.set("PROVIDER", provider);
        if !self.deterministic {
            definition.set("DETERMINISTIC", "false");
        }
        for (key, value) in
            [("LOCALE", &self.locale), ("LC_COLLATE", &self.collate), ("LC_CTYPE", &self.ctype)]
        {
            if let Some(value) = value {
                definition.set(key, quote::literal(value));
            }
        }
        if let Some(rules) = self.rules.as_ref().filter(|_| target.version.at_least(16)) {
            definition.set("RULES", quote::literal(rules));
        }
        vec![format!("CREATE COLLATION {} {}", head.qualified(), definition.sql())]
    }
}
