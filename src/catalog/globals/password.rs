//! The hash of a role's password, as `pg_authid` keeps it.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::pg::Secret;

/// A hash (`SCRAM-SHA-256$…`, `md5…`): whoever has it can try passwords, and an md5 hash logs in by itself. It is
/// written into the archive and into statements, and nowhere else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PasswordHash(Secret);

impl PasswordHash {
    /// Takes the hash over.
    pub fn new(hash: impl Into<String>) -> Self {
        Self(Secret::new(hash))
    }

    /// The hash itself, for the statement that sets it.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

impl Serialize for PasswordHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.expose())
    }
}

impl<'de> Deserialize<'de> for PasswordHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}
