//! Enumerated types (`CREATE TYPE … AS ENUM`, section 8.7).

use serde::{Deserialize, Serialize};

use crate::catalog::acl::AclClass;
use crate::catalog::facts::Presence;
use crate::catalog::kind::{Head, Kind, Target, null_as_default};
use crate::catalog::sql_types::{TYPES, also_array};
use crate::pg::{ServerVersion, quote};

/// An enumerated type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnumType {
    /// The labels, least first.
    #[serde(default, deserialize_with = "null_as_default")]
    pub values: Vec<String>,
}

impl Kind for EnumType {
    const NAME: &'static str = "enum type";
    const CATALOGS: &'static [&'static str] = &["pg_type", "pg_enum"];
    const ONLY_WITH: Option<Presence> = Some(Presence::Types(b'e'));

    fn query(_server: ServerVersion) -> String {
        TYPES.query(
            &format!(
                "{also}, (SELECT pg_catalog.json_agg(e.enumlabel ORDER BY e.enumsortorder) \
                 FROM pg_catalog.pg_enum e WHERE e.enumtypid = o.oid) AS \"values\"",
                also = also_array("o.typarray")
            ),
            "o.typtype = 'e'",
        )
    }

    fn identity(&self, head: &Head) -> String {
        format!("TYPE {}", head.qualified())
    }

    fn acl_target(&self, head: &Head) -> Option<(AclClass, String)> {
        Some((AclClass::Type, self.identity(head)))
    }

    fn create(&self, head: &Head, _target: &Target) -> Vec<String> {
        let values: Vec<String> = self.values.iter().map(|label| quote::literal(label)).collect();
        vec![format!("CREATE TYPE {} AS ENUM ({})", head.qualified(), values.join(", "))]
    }
}
