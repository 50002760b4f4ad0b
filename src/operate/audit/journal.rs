//! The local file of a chain: JSON lines, only ever appended to, under a lock of the system.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::entry::{Entry, hash};
use crate::store::naming;
use crate::store::sidecar::{AuditHead, hex};

/// The last line is looked for in so many bytes from the end. No entry is longer.
const TAIL: u64 = 1 << 20;

/// The file of one chain.
#[derive(Debug, Clone)]
pub struct Journal {
    path: PathBuf,
}

impl Journal {
    /// The chain for a store (as it is displayed; empty for what concerns none) in a state directory.
    pub fn of(state: &Path, store: &str) -> Self {
        let digest = Sha256::digest(store.as_bytes());
        let name =
            if store.is_empty() { "local".to_owned() } else { hex(digest.get(..8).unwrap_or_default()) };
        Self { path: folder(state).join(format!("{name}.jsonl")) }
    }

    /// All chains of a state directory.
    ///
    /// # Errors
    /// Those of the file system; a directory that is not there has none.
    pub fn all(state: &Path) -> io::Result<Vec<Self>> {
        let entries = match std::fs::read_dir(folder(state)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        let mut found = Vec::new();
        for entry in entries {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "jsonl") {
                found.push(Self { path });
            }
        }
        found.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(found)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The head of the chain; none where there is no entry yet.
    pub fn head(&self) -> Option<AuditHead> {
        let file = File::open(&self.path).ok()?;
        file.lock_shared().ok()?;
        let line = last_line(&file).ok().flatten()?;
        let entry: Entry = serde_json::from_str(&line).ok()?;
        Some(AuditHead { chain: entry.chain, number: entry.number, hash: hash(&line) })
    }

    /// Appends an entry: gives it its chain, number and predecessor. A file whose end cannot be read (torn by a crash, or changed)
    /// is set aside, and a new chain begins: what is there stays as evidence.
    pub(super) fn append(&self, entry: Entry) -> io::Result<()> {
        if let Some(folder) = self.path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut file = self.locked()?;
        let last = last_line(&file)?;
        let mut before = None;
        if let Some(line) = last {
            before = serde_json::from_str::<Entry>(&line).ok().map(|last| (last, hash(&line)));
            if before.is_none() {
                self.set_aside(&entry)?;
                file = self.locked()?;
            }
        }
        let (chain, number, previous) = match before {
            Some((last, hash)) => (last.chain, last.number + 1, hash),
            None => (new_chain(&entry.by.host)?, 1, String::new()),
        };
        let line = serde_json::to_string(&Entry { chain, number, previous, ..entry })?;
        file.write_all(format!("{line}\n").as_bytes())?;
        file.sync_data()
    }

    fn locked(&self) -> io::Result<File> {
        let file = OpenOptions::new().read(true).append(true).create(true).open(&self.path)?;
        file.lock()?;
        Ok(file)
    }

    fn set_aside(&self, entry: &Entry) -> io::Result<()> {
        let time = entry.at.strftime("%Y%m%dT%H%M%SZ");
        std::fs::rename(&self.path, self.path.with_extension(format!("unreadable-{time}")))?;
        // The new chain's entries have not been sent.
        self.set_sent(0)
    }

    /// All lines.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn lines(&self) -> io::Result<Vec<String>> {
        let text = match std::fs::read_to_string(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            other => other?,
        };
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// Up to which number the entries are in the store.
    pub(super) fn sent(&self) -> u64 {
        let text = std::fs::read_to_string(self.path.with_extension("sent")).unwrap_or_default();
        text.trim().parse().unwrap_or(0)
    }

    pub(super) fn set_sent(&self, number: u64) -> io::Result<()> {
        std::fs::write(self.path.with_extension("sent"), format!("{number}\n"))
    }
}

fn folder(state: &Path) -> PathBuf {
    state.join("audit")
}

/// A host's name is not enough: two machines may have the same, and a machine may lose its state.
fn new_chain(host: &str) -> io::Result<String> {
    let id = naming::new_id().map_err(io::Error::other)?;
    Ok(format!("{}-{id}", naming::escape(host)))
}

/// The last line of a file, without its end; a line that has none is returned as it is, and is no entry.
fn last_line(mut file: &File) -> io::Result<Option<String>> {
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
    let mut bytes = Vec::new();
    // Not the whole file.
    file.take(TAIL).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let Some(whole) = text.strip_suffix('\n') else {
        return Ok((!text.is_empty()).then(|| "torn".to_owned()));
    };
    Ok(whole.rsplit('\n').next().map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operate::Actor;

    fn entry(operation: &str) -> Entry {
        Entry {
            format: 1,
            chain: String::new(),
            number: 0,
            previous: String::new(),
            at: "2026-11-25T01:02:03Z".parse().unwrap(),
            seconds: 1.5,
            by: Actor { person: "ann".to_owned(), host: "web-1".to_owned() },
            operation: operation.to_owned(),
            result: "done".to_owned(),
            exit_code: 0,
            store: None,
            archive: None,
            digest: None,
            details: std::collections::BTreeMap::new(),
            tool: "pgcask".to_owned(),
        }
    }

    #[test]
    fn entries_follow_one_another_also_from_several_threads() {
        let state = tempfile::tempdir().unwrap();
        let journal = Journal::of(state.path(), "/backups/");
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..10).for_each(|_| journal.append(entry("backup")).unwrap()));
            }
        });
        let lines = journal.lines().unwrap();
        let mut previous = String::new();
        for (number, line) in lines.iter().enumerate() {
            let entry: Entry = serde_json::from_str(line).unwrap();
            assert_eq!((entry.number, &entry.previous), (number as u64 + 1, &previous));
            previous = hash(line);
        }
        assert_eq!(lines.len(), 40);
        assert_eq!(journal.head().unwrap().hash, previous);
    }

    #[test]
    fn a_torn_line_is_set_aside_and_a_new_chain_begins() {
        let state = tempfile::tempdir().unwrap();
        let journal = Journal::of(state.path(), "");
        journal.append(entry("backup")).unwrap();
        let first = journal.head().unwrap();
        let text = std::fs::read_to_string(journal.path()).unwrap();
        std::fs::write(journal.path(), text.trim_end_matches("\"}\n")).unwrap();
        journal.append(entry("restore")).unwrap();
        let second = journal.head().unwrap();
        assert!(second.number == 1 && second.chain != first.chain && second.chain.starts_with("web-1-"));
        assert_eq!(
            std::fs::read_dir(state.path().join("audit")).unwrap().count(),
            3,
            "the file, .sent, the old one"
        );
    }
}
