//! Reads the sidecars of all backups, and says of each whether it is understood.

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;

use crate::error::Result;
use crate::operate::retention::{Candidate, Sidecar, SidecarFacts};
use crate::store::list::Backup;
use crate::store::notes::{self, NoteKind};
use crate::store::sidecar::{self, Metadata};
use crate::store::{Store, StoreError};

/// Sidecars read at the same time.
const READS: usize = 64;

/// The form of sidecars that this version knows.
const KNOWN_FORMAT: u32 = 1;

pub(super) async fn candidates(
    store: &Store,
    backups: &[Backup],
    named: &[String],
) -> Result<Vec<Candidate>> {
    Ok(stream::iter(backups)
        .map(|backup| candidate(store, backup, named))
        .buffered(READS)
        .try_collect()
        .await?)
}

async fn candidate(
    store: &Store,
    backup: &Backup,
    named: &[String],
) -> std::result::Result<Candidate, StoreError> {
    let sidecar = match sidecar::read(store, &backup.key).await {
        Ok(metadata) => understand(backup, metadata.as_ref()),
        // Removed since it was listed, by another prune: nothing is left to decide.
        Err(StoreError::NotFound { .. }) => Err("it has just been removed".to_owned()),
        Err(error @ StoreError::PermissionDenied { .. }) => Err(error.to_string()),
        Err(error) => return Err(error),
    };
    Ok(Candidate {
        facts: backup.facts.clone(),
        sidecar,
        held: backup.is_held(),
        used: notes::used(&backup.notes),
        named: named.contains(&backup.key),
        superseded: backup.superseded_by.clone(),
    })
}

/// What a sidecar says; why it is not understood, where it is not what a backup of this name would have written.
fn understand(backup: &Backup, metadata: Option<&Metadata>) -> Sidecar {
    let Some(metadata) = metadata else { return Err("its sidecar cannot be read".to_owned()) };
    if let Some(note) = backup.notes.iter().find(|note| note.kind == NoteKind::Unknown) {
        return Err(format!("nothing is known of {}", note.object.key));
    }
    if metadata.format > KNOWN_FORMAT {
        return Err(format!("its sidecar has the form {}: a newer pgcask reads it", metadata.format));
    }
    let facts = &backup.facts;
    let file = backup.key.rsplit('/').next().unwrap_or_default();
    if metadata.id != facts.id || metadata.kind != facts.kind.name() || metadata.archive != file {
        return Err("its sidecar is another backup's".to_owned());
    }
    if metadata.bytes != backup.bytes {
        return Err(format!("the archive has {} bytes instead of {}", backup.bytes, metadata.bytes));
    }
    let time = |text: &str| text.parse::<Timestamp>().map_err(|_| format!("{text:?} is no time"));
    Ok(SidecarFacts {
        expires: metadata.expires_at.as_deref().map(time).transpose()?,
        finished: time(&metadata.finished_at)?,
        partial: metadata.partial,
    })
}
