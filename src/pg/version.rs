//! What each version of the server can do.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A server's `server_version_num`: `150020` is 15.20.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ServerVersion(pub u32);

impl ServerVersion {
    /// The oldest major version that is supported.
    pub const OLDEST: u32 = 13;

    /// The major version: 15 of 15.20.
    pub fn major(self) -> u32 {
        self.0 / 10_000
    }

    /// The minor version: 20 of 15.20.
    pub fn minor(self) -> u32 {
        self.0 % 10_000
    }

    /// Whether the server is of this major version or a later one.
    pub fn at_least(self, major: u32) -> bool {
        self.major() >= major
    }
}

impl fmt::Display for ServerVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major(), self.minor())
    }
}
