//! How much room there is, where that is known: in the file system of a directory. Object stores do not tell.

use serde::Serialize;

use super::{Location, StoreError};

/// Bytes of a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Room {
    /// Free, for whoever is not root.
    pub free: u64,
    /// In all.
    pub all: u64,
}

/// The room of a place; `None` where it is not known.
///
/// # Errors
/// When the directory cannot be asked.
pub fn of(location: &Location) -> Result<Option<Room>, StoreError> {
    let Location::Directory(directory) = location else { return Ok(None) };
    let found = rustix::fs::statvfs(directory).map_err(|error| StoreError::Unreachable {
        place: directory.display().to_string(),
        reason: error.to_string(),
    })?;
    Ok(Some(Room {
        free: found.f_bavail.saturating_mul(found.f_frsize),
        all: found.f_blocks.saturating_mul(found.f_frsize),
    }))
}
