//! The daily life of backups: when they run, how long each is kept, what nobody may remove, who did what, and who is told.

pub mod audit;
pub mod hold;
pub(crate) mod http;
pub mod lock;
pub mod notify;
pub mod prune;
pub mod reading;
pub mod retention;
pub mod schedule;

use serde::{Deserialize, Serialize};

/// Who acts, and where: part of every mark, hold and entry of the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// The user of the system.
    pub person: String,
    /// The machine.
    pub host: String,
}
