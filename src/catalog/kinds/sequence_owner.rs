//! The column that a sequence belongs to (`ALTER SEQUENCE … OWNED BY`): a step of its own, since the column's default
//! needs the sequence first.

use serde::{Deserialize, Serialize};

use crate::catalog::ident::ObjectId;
use crate::catalog::kind::{Head, Kind, Target};
use crate::pg::ServerVersion;

/// Who owns a sequence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SequenceOwner {
    /// The column, quoted and qualified.
    pub column: String,
    /// The sequence.
    pub sequence: ObjectId,
    /// The table.
    pub table: ObjectId,
}

impl Kind for SequenceOwner {
    const NAME: &'static str = "sequence owner";
    const CATALOGS: &'static [&'static str] = &["pg_depend"];

    /// See [`crate::catalog::facts::sequences`].
    fn query(_server: ServerVersion) -> String {
        String::new()
    }

    fn identity(&self, head: &Head) -> String {
        format!("SEQUENCE {}", head.qualified())
    }

    fn create(&self, head: &Head, _target: &Target) -> Vec<String> {
        vec![format!("ALTER SEQUENCE {} OWNED BY {}", head.qualified(), self.column)]
    }

    fn drop(&self, head: &Head) -> String {
        format!("ALTER SEQUENCE {} OWNED BY NONE", head.qualified())
    }

    fn set_comment(&self, _head: &Head, _comment: &str) -> Option<String> {
        None
    }
}
