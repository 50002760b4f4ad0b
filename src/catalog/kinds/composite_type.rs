//! Composite types that stand alone (`CREATE TYPE … AS (…)`, section 8.16); those of tables belong to their tables.

use serde::{Deserialize, Serialize};

use crate::catalog::acl::AclClass;
use crate::catalog::facts::Presence;
use crate::catalog::ident::class;
use crate::catalog::kind::{Head, Kind, Target, null_as_default};
use crate::catalog::sql_types::{Name, TYPES, collation_name};
use crate::pg::{ServerVersion, quote};

/// A composite type. Its comments on attributes are in the head, by [`Attribute::number`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompositeType {
    /// The attributes in order, without dropped ones; there may be none.
    #[serde(default, deserialize_with = "null_as_default")]
    pub attributes: Vec<Attribute>,
}

/// An attribute of a composite type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attribute {
    /// Its number in the source (`attnum`), which dropped attributes count into.
    pub number: i16,
    /// Its name.
    pub name: String,
    /// Its type as SQL, with the modifier.
    #[serde(rename = "type")]
    pub type_text: String,
    /// Its collation, where it is not the type's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collation: Option<Name>,
}

impl Kind for CompositeType {
    const NAME: &'static str = "composite type";
    const CATALOGS: &'static [&'static str] = &["pg_type", "pg_class", "pg_attribute"];
    const ONLY_WITH: Option<Presence> = Some(Presence::Relations(b'c'));

    fn query(_server: ServerVersion) -> String {
        TYPES.query(
            &format!(
                "pg_catalog.json_build_array(\
                 pg_catalog.json_build_array({pg_class}, o.typrelid::pg_catalog.int8), \
                 pg_catalog.json_build_array({pg_type}, o.typarray::pg_catalog.int8)) AS also, \
                 (SELECT pg_catalog.json_agg(pg_catalog.json_build_object('number', a.attnum, 'name', a.attname, \
                 'type', pg_catalog.format_type(a.atttypid, a.atttypmod), \
                 'collation', CASE WHEN a.attcollation <> t.typcollation THEN {collation} END) ORDER BY a.attnum) \
                 FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
                 WHERE a.attrelid = o.typrelid AND a.attnum > 0 AND NOT a.attisdropped) AS attributes",
                pg_class = class::PG_CLASS,
                pg_type = class::PG_TYPE,
                collation = collation_name("a.attcollation"),
            ),
            "o.typtype = 'c' AND EXISTS (SELECT FROM pg_catalog.pg_class k WHERE k.oid = o.typrelid AND k.relkind = 'c')",
        )
    }

    fn identity(&self, head: &Head) -> String {
        format!("TYPE {}", head.qualified())
    }

    fn acl_target(&self, head: &Head) -> Option<(AclClass, String)> {
        Some((AclClass::Type, self.identity(head)))
    }

    fn column_name(&self, number: i16) -> Option<String> {
        self.attributes.iter().find(|a| a.number == number).map(|a| a.name.clone())
    }

    fn create(&self, head: &Head, _target: &Target) -> Vec<String> {
        let attributes: Vec<String> = self
            .attributes
            .iter()
            .map(|a| {
                let collation =
                    a.collation.as_ref().map_or_else(String::new, |c| format!(" COLLATE {}", c.sql()));
                format!("\n    {} {}{collation}", quote::ident(&a.name), a.type_text)
            })
            .collect();
        vec![format!("CREATE TYPE {} AS ({}\n)", head.qualified(), attributes.join(","))]
    }
}
