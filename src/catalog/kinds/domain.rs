//! Domains (`CREATE DOMAIN`, section 8.18). Their constraints are objects of their own: see
//! [`super::domain_constraint`].

use serde::{Deserialize, Serialize};

use crate::catalog::acl::AclClass;
use crate::catalog::facts::Presence;
use crate::catalog::kind::{Head, Kind, Target};
use crate::catalog::sql_types::{Name, TYPES, also_array, collation_name};
use crate::pg::{ServerVersion, quote};

/// A domain without its constraints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Domain {
    /// The type below, as SQL, with its modifier: `character varying(20)`.
    pub base: String,
    /// The collation, where it is not that of the type below.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collation: Option<Name>,
    /// The default as an SQL expression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// The default as the text of a literal, for domains whose catalog row has no expression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_literal: Option<String>,
    /// Whether it is `NOT NULL` without a constraint that says so: servers before 17 keep only this flag.
    #[serde(default)]
    pub not_null: bool,
}

impl Kind for Domain {
    const NAME: &'static str = "domain";
    const CATALOGS: &'static [&'static str] = &["pg_type"];
    const ONLY_WITH: Option<Presence> = Some(Presence::Types(b'd'));

    fn query(_server: ServerVersion) -> String {
        TYPES.query_joined(
            &format!(
                "{also}, pg_catalog.format_type(o.typbasetype, o.typtypmod) AS base, \
                 CASE WHEN o.typcollation <> b.typcollation THEN {collation} END AS collation, \
                 pg_catalog.pg_get_expr(o.typdefaultbin, 0) AS \"default\", \
                 CASE WHEN o.typdefaultbin IS NULL THEN o.typdefault END AS default_literal, \
                 o.typnotnull AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint c \
                 WHERE c.contypid = o.oid AND c.contype = 'n') AS not_null",
                also = also_array("o.typarray"),
                collation = collation_name("o.typcollation"),
            ),
            "JOIN pg_catalog.pg_type b ON b.oid = o.typbasetype",
            "o.typtype = 'd'",
        )
    }

    fn identity(&self, head: &Head) -> String {
        format!("DOMAIN {}", head.qualified())
    }

    fn acl_target(&self, head: &Head) -> Option<(AclClass, String)> {
        Some((AclClass::Type, self.identity(head)))
    }

    fn create(&self, head: &Head, _target: &Target) -> Vec<String> {
        let mut create = format!("CREATE DOMAIN {} AS {}", head.qualified(), self.base);
        if let Some(collation) = &self.collation {
            create += &format!(" COLLATE {}", collation.sql());
        }
        if let Some(default) = &self.default {
            create += &format!(" DEFAULT {default}");
        } else if let Some(default) = &self.default_literal {
            create += &format!(" DEFAULT {}", quote::literal(default));
        }
        if self.not_null {
            create += " NOT NULL";
        }
        vec![create]
    }
}
