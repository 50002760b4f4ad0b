//! What a store holds, from the names in it alone: nothing is opened.

use std::collections::BTreeMap;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use serde::Serialize;

use super::naming::{self, KeyFacts, Kind};
use super::notes::{self, Note, NoteKind};
use super::objects::{self, Object};
use super::{Store, StoreError};

/// Folders that are listed at the same time.
const FOLDERS: usize = 16;

/// Which backups are asked for.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of this database.
    pub database: Option<String>,
    /// Of this kind.
    pub kind: Option<Kind>,
    /// Begun at this moment or later.
    pub since: Option<Timestamp>,
    /// Begun before this moment.
    pub before: Option<Timestamp>,
}

/// A whole backup: its archive and the `.json` that committed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// Key of the archive.
    pub key: String,
    /// What the key says.
    pub facts: KeyFacts,
    /// Length of the archive.
    pub bytes: u64,
    /// The `.json`.
    pub sidecar: Object,
    /// What was put beside the archive later: the ends of the names, as `drill-20261125T010203Z.json`, in their order.
    pub later: Vec<String>,
    /// The same, read: what it says of keeping, and when it was written.
    pub notes: Vec<Note>,
    /// The id of the backup that takes its place, where that one is there: the same without rows that were erased.
    pub superseded_by: Option<String>,
}

impl Backup {
    /// Whether somebody holds it.
    pub fn is_held(&self) -> bool {
        !notes::holds(&self.notes).is_empty()
    }
}

/// What a backup that failed, or somebody's deletion, left behind: no backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Orphan {
    /// Its key.
    pub key: String,
    /// Its length.
    pub bytes: u64,
    /// What would make it whole.
    pub lacks: &'static str,
    /// When it was written, by the store's clock.
    pub written: Timestamp,
    /// Somebody holds it.
    pub held: bool,
}

/// What a store holds.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// The backups, newest first.
    pub backups: Vec<Backup>,
    /// What is left of others.
    pub orphans: Vec<Orphan>,
}

impl Filter {
    /// Whether the archive of this key is meant.
    pub fn takes_key(&self, key: &str) -> bool {
        naming::parse(key).is_some_and(|facts| self.takes(&facts))
    }

    fn takes(&self, facts: &KeyFacts) -> bool {
        // A name that was cut in the key is compared as it is there.
        let is = |name: &String| *name == facts.database || naming::escape(name) == facts.database;
        self.database.as_ref().is_none_or(is)
            && self.kind.is_none_or(|kind| kind == facts.kind)
            && self.since.is_none_or(|since| facts.taken >= since)
            && self.before.is_none_or(|before| facts.taken < before)
    }
}

/// What was found under the name of one archive.
#[derive(Debug, Default)]
struct Found {
    archive: Option<Object>,
    checksum: Option<Object>,
    metadata: Option<Object>,
    notes: Vec<Note>,
}

impl Found {
    fn take(&mut self, suffix: &str, object: Object) {
        match suffix {
            "" => self.archive = Some(object),
            ".sha256" => self.checksum = Some(object),
            ".json" => self.metadata = Some(object),
            other => self.notes.push(Note { kind: NoteKind::parse(other), object }),
        }
    }

    /// What is there although the backup is none.
    fn orphans(self) -> impl Iterator<Item = Orphan> {
        let Self { archive, checksum, metadata, notes } = self;
        let held = !notes::holds(&notes).is_empty();
        let lacks = if archive.is_some() { ".json" } else { "archive" };
        let sidecars = [checksum, metadata].into_iter().flatten().filter(move |_| lacks == "archive");
        // Notes beside a lone archive are its own and are no orphans of their own.
        let notes = notes.into_iter().map(|note| note.object).filter(move |_| lacks == "archive");
        let all = archive.into_iter().chain(sidecars).chain(notes);
        all.map(move |Object { key, bytes, written }| Orphan { key, bytes, lacks, written, held })
    }
}

/// Lists a store. Names that no backup made are passed over.
///
/// # Errors
/// Those of the store.
pub async fn list(store: &Store, filter: &Filter) -> Result<Listing, StoreError> {
    let folders = folders(store, filter).await?;
    let mut listed =
        stream::iter(&folders).map(|folder| objects::below(store, folder)).buffer_unordered(FOLDERS);
    let mut found: BTreeMap<String, Found> = BTreeMap::new();
    while let Some(objects) = listed.try_next().await? {
        for object in objects {
            if let Some((archive, suffix)) = split(&object.key) {
                found.entry(archive.to_owned()).or_default().take(suffix, object.clone());
            }
        }
    }
    let mut listing = Listing::default();
    for (key, found) in found {
        let Some(facts) = naming::parse(&key).filter(|facts| filter.takes(facts)) else { continue };
        match found {
            Found { archive: Some(archive), metadata: Some(sidecar), notes, .. } => {
                let end = |note: &Note| note.object.key.strip_prefix(&format!("{key}."))?.to_owned().into();
                let mut later: Vec<String> = notes.iter().filter_map(end).collect();
                later.sort();
                let (bytes, superseded_by) = (archive.bytes, None);
                listing.backups.push(Backup { key, facts, bytes, sidecar, later, notes, superseded_by });
            }
            other => listing.orphans.extend(other.orphans()),
        }
    }
    supersede(&mut listing.backups);
    // Names have whole seconds. Of two backups of the same second the newer is the one whose sidecar was written later.
    listing.backups.sort_by(|a, b| {
        (b.facts.taken, b.sidecar.written, &b.key).cmp(&(a.facts.taken, a.sidecar.written, &a.key))
    });
    Ok(listing)
}

/// Finds those that another takes the place of. One that is named and not there takes no place.
fn supersede(backups: &mut [Backup]) {
    let there = |backup: &Backup| {
        notes::superseding(&backup.notes).find(|id| {
            naming::sibling(&backup.key, id).is_some_and(|key| {
                // They come in the order of their keys.
                backups.binary_search_by(|other| other.key.cmp(&key)).is_ok()
            })
        })
    };
    let found: Vec<Option<String>> = backups.iter().map(there).collect();
    for (backup, found) in backups.iter_mut().zip(found) {
        backup.superseded_by = found;
    }
}

/// The archive that an object belongs to, and what follows on its name.
fn split(key: &str) -> Option<(&str, &str)> {
    let end = key.rfind(".cask")? + ".cask".len();
    key.split_at_checked(end).filter(|(_, suffix)| suffix.is_empty() || suffix.starts_with('.'))
}

/// The folders that can hold what is wanted. A store answers a listing page by page: several at a time are faster.
async fn folders(store: &Store, filter: &Filter) -> Result<Vec<String>, StoreError> {
    let databases = if let Some(database) = &filter.database {
        vec![naming::escape(database), database.clone()]
    } else {
        let mut all = objects::folders(store).await?;
        // No name of a database begins with a full stop there.
        all.retain(|folder| !folder.starts_with('.'));
        all
    };
    let mut folders: Vec<String> = match filter.kind {
        Some(kind) => databases.iter().map(|database| format!("{database}/{kind}")).collect(),
        None if databases.len() > FOLDERS => databases,
        None => {
            let kinds = |database| Kind::ALL.map(|kind| format!("{database}/{kind}"));
            databases.iter().flat_map(kinds).collect()
        }
    };
    folders.sort();
    folders.dedup();
    Ok(folders)
}
