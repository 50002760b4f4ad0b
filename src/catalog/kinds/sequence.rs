//! Sequences (`CREATE SEQUENCE`), without those of identity columns, which belong to their column. The value is not
//! part of the definition: it is read last and set last.

use serde::{Deserialize, Serialize};

use crate::catalog::acl::AclClass;
use crate::catalog::kind::{Head, Kind, Target};
use crate::pg::ServerVersion;

/// A sequence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sequence {
    /// Its options, as `CREATE SEQUENCE` takes them.
    pub options: String,
    /// The type, where it is not `bigint`.
    #[serde(default)]
    pub type_name: Option<String>,
    /// `UNLOGGED`.
    #[serde(default)]
    pub unlogged: bool,
}

impl Kind for Sequence {
    const NAME: &'static str = "sequence";
    const CATALOGS: &'static [&'static str] = &["pg_class", "pg_sequence"];

    /// See [`crate::catalog::facts::sequences`].
    fn query(_server: ServerVersion) -> String {
        String::new()
    }

    fn identity(&self, head: &Head) -> String {
        format!("SEQUENCE {}", head.qualified())
    }

    fn acl_target(&self, head: &Head) -> Option<(AclClass, String)> {
        Some((AclClass::Sequence, self.identity(head)))
    }

    fn create(&self, head: &Head, target: &Target) -> Vec<String> {
        let unlogged = if self.unlogged && target.version.at_least(15) { "UNLOGGED " } else { "" };
        let kind = self.type_name.as_ref().map(|name| format!(" AS {name}")).unwrap_or_default();
        vec![format!("CREATE {unlogged}SEQUENCE {}{kind} {}", head.qualified(), self.options)]
    }
}
