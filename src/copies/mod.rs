//! Copies a backup to another store: as it is, byte for byte, or sealed anew for others. Or makes one that takes its place, without
//! rows that were erased ([`rewrite`]).
//!
//! A copy commits as a backup does: archive, `.sha256`, then what lies beside (added keys, holds), and `.json` last. Nothing is
//! overwritten, and a copy that fails leaves nothing that lists as a backup. Two copies of the same backup at once write the
//! same bytes to the same names: neither removes what the other may stand on, and a later one goes on with it.

mod anew;
mod original;
mod plain;
mod rekey;
pub mod rewrite;

use bytes::Bytes;
use serde::Serialize;

pub use plain::copy;
pub use rekey::{Rekey, rekey};

use crate::error::{Error, ErrorKind, Result};
use crate::store::beside::{self, Place};
use crate::store::sidecar::Metadata;
use crate::store::{Store, StoreError};

/// What a copy tells at the end.
#[derive(Debug, Clone, Serialize)]
pub struct Copied {
    /// What was copied: path or URL.
    pub from: String,
    /// The copy: path or URL.
    pub archive: String,
    /// The copy's id.
    pub id: String,
    /// Its length.
    pub bytes: u64,
    /// SHA-256 of the copy.
    pub sha256: String,
    /// Whether it was there already, whole and the same; then nothing was copied but what lay beside the original.
    pub already: bool,
    /// Whether only the archive was there, left by a copy that was interrupted; its bytes were compared and not copied again.
    pub resumed: bool,
    /// The ends of the names of what was put beside it: added keys, holds.
    pub beside: Vec<String>,
    /// Whether it was sealed anew.
    pub rekeyed: bool,
    /// How long it took.
    pub seconds: f64,
}

/// Kinds of objects beside an archive that hold for each copy of its bytes.
const OF_EVERY_COPY: [&str; 3] = ["keys-", "hold-", "release-"];

/// Those that hold for an archive that was sealed anew, too: its keys are others.
const OF_THE_CONTENT: [&str; 2] = ["hold-", "release-"];

/// An object that moves along: the end of its name, and its bytes.
type Beside = (String, Bytes);

/// Puts what is still missing beside a copy that is there already; gives what was put.
async fn complete(store: &Store, key: &str, beside: &[Beside]) -> Result<Vec<String>> {
    let there = beside::ends(&Place { store: store.clone(), key: key.to_owned() }).await?;
    let mut put = Vec::new();
    for (end, bytes) in beside {
        match beside::put(store, key, end, bytes.to_vec()).await {
            Ok(()) if there.contains(end) => {}
            Ok(()) => put.push(end.clone()),
            Err(StoreError::AlreadyExists { place }) => {
                if beside::read(store, key, end).await? != *bytes {
                    let message = format!("{place} exists already, and is another");
                    return Err(Error::new(ErrorKind::Failed, message).hint(
                        "keys or holds were added to both copies; add them again to the one that lacks them",
                    ));
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(put)
}

/// The metadata of a backup that is at `key` already.
async fn present(store: &Store, key: &str) -> Result<Option<Metadata>> {
    match beside::read(store, key, "json").await {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|_| {
            Error::new(
                ErrorKind::Refused,
                format!("{}.json exists, and is no metadata of ours", store.display(key)),
            )
        }),
        Err(StoreError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
