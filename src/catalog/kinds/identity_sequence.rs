//! Sequences of identity columns: made with their column, whose options they hold ([`super::column::Identity`]). What they
//! bear of their own is privileges, a comment and labels, as `GRANT … ON ALL SEQUENCES` leaves them.

use serde::{Deserialize, Serialize};

use crate::catalog::acl::AclClass;
use crate::catalog::ident::ObjectId;
use crate::catalog::kind::{Head, Kind, Target};
use crate::pg::ServerVersion;

/// The sequence of an identity column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentitySequence {
    /// The column's table.
    pub table: ObjectId,
}

impl Kind for IdentitySequence {
    const NAME: &'static str = "identity sequence";
    const CATALOGS: &'static [&'static str] = &["pg_class"];

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

    /// Its column made it.
    fn create(&self, _head: &Head, _target: &Target) -> Vec<String> {
        Vec::new()
    }

    /// It has its table's owner.
    fn set_owner(&self, _head: &Head, _owner: &str) -> Option<String> {
        None
    }
}
