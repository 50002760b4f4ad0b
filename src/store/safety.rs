//! Which safety backup is the way back: the newest one that no rollback took.

use super::list::{self, Backup, Filter};
use super::naming::Kind;
use super::sidecar::{self, Metadata};
use super::{Store, StoreError};

/// The safety backup to go back to, and newer ones that were passed over.
#[derive(Debug, Clone)]
pub struct WayBack {
    /// The backup.
    pub backup: Backup,
    /// What its sidecar tells, where that can be read.
    pub metadata: Option<Metadata>,
    /// Newer ones, of what a rollback was to replace: whoever repeats a rollback that was interrupted wants to get away from
    /// that, too.
    pub passed_over: Vec<Backup>,
}

/// Finds the newest safety backup of a database that was not taken by a rollback; or the one whose id begins so.
///
/// # Errors
/// [`StoreError::NoBackup`], [`StoreError::Ambiguous`], and those of the store.
pub async fn way_back(store: &Store, database: &str, id: Option<&str>) -> Result<WayBack, StoreError> {
    let filter = Filter {
        database: Some(database.to_owned()),
        kind: Some(Kind::PreRestore),
        since: None,
        before: None,
    };
    let mut backups = list::list(store, &filter).await?.backups;
    // Another has its place, without rows that were erased.
    backups.retain(|backup| backup.superseded_by.is_none());
    if let Some(start) = id {
        backups.retain(|backup| backup.facts.id.starts_with(start));
        if let [one, other, ..] = backups.as_slice() {
            let both = [one, other].map(|backup| format!("{database}/{}", backup.facts.id));
            return Err(StoreError::Ambiguous { wanted: format!("safety backup {start}"), both });
        }
    }
    let mut passed_over = Vec::new();
    for backup in backups {
        let metadata = match sidecar::read(store, &backup.key).await {
            // Who may not read it takes it by its name.
            Err(StoreError::PermissionDenied { .. }) => None,
            other => other?,
        };
        let replaced_by = metadata.as_ref().and_then(|metadata| metadata.replaced_by.as_ref());
        let by_rollback = replaced_by.is_some_and(|by| by.kind == Kind::PreRestore.name());
        if !by_rollback || id.is_some() {
            return Ok(WayBack { backup, metadata, passed_over });
        }
        passed_over.push(backup);
    }
    let wanted = match id {
        Some(start) => format!("safety backup {start} of {database} (kind pre-restore)"),
        None => format!("safety backup of {database} (kind pre-restore)"),
    };
    Err(StoreError::NoBackup { place: store.display(""), wanted })
}
