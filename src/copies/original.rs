//! The backup that is copied, and what its sidecars say.

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::Beside;
use crate::error::{Error, ErrorKind, Result};
use crate::store::beside::{self, Place};
use crate::store::get::Source;
use crate::store::naming;
use crate::store::sidecar::{Metadata, sha256_line};

/// A whole backup.
#[derive(Debug)]
pub(super) struct Original {
    pub(super) source: Source,
    pub(super) place: Place,
    /// The `.json` as it stands there: a copy has the same bytes, those that we do not know of too.
    pub(super) json: Bytes,
    pub(super) metadata: Metadata,
    /// Where it belongs in any store.
    pub(super) key: String,
}

impl Original {
    /// Opens the backup at a path or URL.
    ///
    /// # Errors
    /// When it is no whole backup, its sidecars contradict each other or the archive's length, or the store does not answer.
    pub(super) async fn open(archive: &str) -> Result<Self> {
        let source = Source::open(archive).await?;
        let place = Place::of(archive)?;
        let json = beside::find(archive, "json").await?.ok_or_else(|| {
            Error::new(ErrorKind::Failed, format!("{archive} has no .json beside it: it is no whole backup"))
                .hint("`pgcask list --orphans` lists what failed backups left behind")
        })?;
        let damaged = |what: String| Error::new(ErrorKind::Damaged, what);
        let metadata: Metadata = serde_json::from_slice(&json)
            .map_err(|error| damaged(format!("{archive}.json cannot be read: {error}")))?;
        if let Some(checksum) = beside::find(archive, "sha256").await?
            && checksum != sha256_line(&metadata.sha256, &metadata.archive)
        {
            return Err(damaged(format!("{archive}: .sha256 and .json contradict each other")));
        }
        if metadata.bytes != source.size() {
            let (found, expected) = (source.size(), metadata.bytes);
            return Err(damaged(format!("{archive} has {found} bytes instead of {expected}")));
        }
        let key = naming::key_of(&metadata.archive)
            .ok_or_else(|| damaged(format!("{archive}.json names no archive: {:?}", metadata.archive)))?;
        Ok(Self { source, place, json, metadata, key })
    }

    /// What lies beside it of these kinds.
    ///
    /// # Errors
    /// Those of the store.
    pub(super) async fn beside(&self, kinds: &[&str]) -> Result<Vec<Beside>> {
        let mut found = Vec::new();
        for end in beside::ends(&self.place).await? {
            if kinds.iter().any(|kind| end.starts_with(kind)) {
                let bytes = beside::read(&self.place.store, &self.place.key, &end).await?;
                found.push((end, bytes));
            }
        }
        found.sort();
        Ok(found)
    }

    /// The line of `.sha256`.
    pub(super) fn checksum(&self) -> Bytes {
        Bytes::from(sha256_line(&self.metadata.sha256, &self.metadata.archive))
    }
}

/// A SHA-256 that grows on threads for such work.
#[derive(Debug, Default)]
pub(super) struct Digest(Sha256);

impl Digest {
    /// Takes more bytes.
    ///
    /// # Errors
    /// When the runtime is shutting down.
    pub(super) async fn add(self, bytes: &Bytes) -> Result<Self> {
        let (mut digest, bytes) = (self.0, bytes.clone());
        let work = tokio::task::spawn_blocking(move || {
            digest.update(&bytes);
            digest
        });
        let digest =
            work.await.map_err(|error| Error::with_source(ErrorKind::Failed, "hash the archive", error))?;
        Ok(Self(digest))
    }

    /// The digest in hexadecimal.
    pub(super) fn finish(self) -> String {
        crate::store::sidecar::hex(&self.0.finalize())
    }
}
