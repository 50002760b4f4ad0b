//! Sidecars that were read before, kept on this machine. A sidecar never changes, so what was read once holds as long as the
//! store lists the very same object; what the store does not list is never asked for. Nothing depends on the cache: a part of it
//! that cannot be read is read from the store.
//!
//! One file for each store, one line for each sidecar: the CRC-32 of the rest, and a JSON object.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::list::Backup;
use super::sidecar::{self, Metadata, hex};
use super::{Store, StoreError};

/// No file is longer, in memory or on the disk: about 20,000 sidecars.
const MAX_BYTES: u64 = 16 << 20;

/// The sidecars of one store.
#[derive(Debug)]
pub struct SidecarCache {
    /// `None`: nothing is kept.
    file: Option<PathBuf>,
    /// What the file had, by the archive's key.
    known: BTreeMap<String, Entry>,
    /// What was read from the store.
    read: Mutex<BTreeMap<String, Entry>>,
}

/// A sidecar, and the object that it was read from.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Entry {
    /// Key of the archive.
    key: String,
    /// Length of the sidecar.
    bytes: u64,
    /// When it was written, by the store's clock.
    written: Timestamp,
    /// What it says.
    metadata: Metadata,
}

impl Entry {
    fn line(&self) -> Option<String> {
        let text = serde_json::to_string(self).ok()?;
        Some(format!("{:08x} {text}\n", crc32fast::hash(text.as_bytes())))
    }

    fn parse(line: &str) -> Option<Self> {
        let (sum, text) = line.split_once(' ')?;
        let is_whole = u32::from_str_radix(sum, 16) == Ok(crc32fast::hash(text.as_bytes()));
        if is_whole { serde_json::from_str(text).ok() } else { None }
    }

    fn is_of(&self, backup: &Backup) -> bool {
        (self.bytes, self.written) == (backup.sidecar.bytes, backup.sidecar.written)
    }
}

impl SidecarCache {
    /// Opens the cache of a store in a folder; without a folder nothing is kept.
    pub fn open(folder: Option<&Path>, store: &Store) -> Self {
        let name = Sha256::digest(store.display("").as_bytes());
        let name = hex(name.get(..16).unwrap_or_default());
        let file = folder.map(|folder| folder.join(format!("{name}.jsonl")));
        let known = file.as_deref().map(load).unwrap_or_default();
        Self { file, known, read: Mutex::default() }
    }

    /// The sidecar of a listed backup; `None` for one that is no such sidecar.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn read(&self, store: &Store, backup: &Backup) -> Result<Option<Metadata>, StoreError> {
        if let Some(entry) = self.known.get(&backup.key).filter(|entry| entry.is_of(backup)) {
            return Ok(Some(entry.metadata.clone()));
        }
        let metadata = sidecar::read(store, &backup.key).await?;
        if let Some(metadata) = metadata.clone() {
            let (bytes, written) = (backup.sidecar.bytes, backup.sidecar.written);
            let entry = Entry { key: backup.key.clone(), bytes, written, metadata };
            self.read.lock().unwrap_or_else(PoisonError::into_inner).insert(entry.key.clone(), entry);
        }
        Ok(metadata)
    }

    /// Keeps what was read, the newest first. When all of the store was listed, what it does not have is forgotten.
    ///
    /// # Errors
    /// Those of the file system; the cache is then as it was.
    pub fn save(self, listed: &[Backup], is_all: bool) -> std::io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        let read = self.read.into_inner().unwrap_or_else(PoisonError::into_inner);
        if read.is_empty() {
            return Ok(());
        }
        let kept = |backup: &Backup| {
            let entry = read.get(&backup.key).or_else(|| self.known.get(&backup.key))?;
            if entry.is_of(backup) { entry.line() } else { None }
        };
        let keys: BTreeSet<&str> = listed.iter().map(|backup| backup.key.as_str()).collect();
        let others = self.known.values().filter(|entry| !is_all && !keys.contains(entry.key.as_str()));
        let mut text = String::new();
        for line in listed.iter().filter_map(kept).chain(others.filter_map(Entry::line)) {
            if u64::try_from(text.len() + line.len()).is_ok_and(|bytes| bytes > MAX_BYTES) {
                break;
            }
            text.push_str(&line);
        }
        replace(file, text.as_bytes())
    }
}

fn load(file: &Path) -> BTreeMap<String, Entry> {
    let fits = std::fs::metadata(file).is_ok_and(|meta| meta.is_file() && meta.len() <= MAX_BYTES);
    let bytes = if fits { std::fs::read(file).unwrap_or_default() } else { Vec::new() };
    // One damaged byte costs its own line alone.
    let text = String::from_utf8_lossy(&bytes);
    text.lines().filter_map(Entry::parse).map(|entry| (entry.key.clone(), entry)).collect()
}

/// Puts a file in the place of another. Names of databases are in it: nobody else needs them.
fn replace(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let own = file.with_extension(format!("{}.new", std::process::id()));
    let result = (|| {
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600).open(&own)?.write_all(bytes)?;
        std::fs::rename(&own, file)
    })();
    if result.is_err() {
        drop(std::fs::remove_file(&own));
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_with_another_byte_is_none() {
        let metadata = serde_json::json!({"format": 1, "id": "i", "kind": "daily", "database": "d", "server_version": "18",
            "archive": "a", "snapshot_at": "", "finished_at": "", "seconds": 1.0, "bytes": 7, "plain_bytes": 7, "tables": 1,
            "rows": 1, "objects": 1, "sha256": "00", "encrypted": true, "keys": [], "level": 1, "tool": "t"});
        let metadata: Metadata = serde_json::from_value(metadata).unwrap();
        let entry = Entry { key: "k".to_owned(), bytes: 3, written: Timestamp::UNIX_EPOCH, metadata };
        let line = entry.line().unwrap();
        assert_eq!(Entry::parse(line.trim_end()).unwrap().metadata, entry.metadata);
        for at in 0..line.len() - 1 {
            let mut bytes = line.trim_end().as_bytes().to_vec();
            bytes[at] ^= 1;
            let found = Entry::parse(&String::from_utf8_lossy(&bytes));
            assert!(found.is_none(), "byte {at}");
        }
    }
}
