//! Who acts, and where: part of every mark, hold, erasure and entry of the audit log.

use serde::{Deserialize, Serialize};

/// A person at a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// The user of the system.
    pub person: String,
    /// The machine.
    pub host: String,
}
