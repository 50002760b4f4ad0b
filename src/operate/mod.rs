//! What keeps backups in order: how long each is kept, what nobody may remove, and who did what.

pub mod audit;
pub mod hold;
pub mod lock;
pub mod prune;
pub mod reading;
pub mod retention;

use serde::{Deserialize, Serialize};

/// Who acts, and where: part of every mark, hold and entry of the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// The user of the system.
    pub person: String,
    /// The machine.
    pub host: String,
}
