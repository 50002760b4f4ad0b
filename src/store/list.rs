//! What a store holds, from the names in it alone: nothing is opened.

use std::collections::BTreeMap;

use futures_util::TryStreamExt as _;
use jiff::Timestamp;
use object_store::ObjectStore as _;
use serde::Serialize;

use super::naming::{self, KeyFacts, Kind};
use super::{Store, StoreError};

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
    /// What was put beside the archive later: the ends of the names, as `drill-20261125T010203Z.json`, in their order.
    pub later: Vec<String>,
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
    fn takes(&self, facts: &KeyFacts) -> bool {
        // A name that was cut in the key is compared as it is there.
        let is = |name: &String| *name == facts.database || naming::escape(name) == facts.database;
        self.database.as_ref().is_none_or(is)
            && self.kind.is_none_or(|kind| kind == facts.kind)
            && self.since.is_none_or(|since| facts.taken >= since)
            && self.before.is_none_or(|before| facts.taken < before)
    }

    /// What all wanted keys begin with: fewer names to be listed.
    fn prefix(&self) -> String {
        match (&self.database, self.kind) {
            (Some(database), Some(kind)) => format!("{}/{kind}", naming::escape(database)),
            (Some(database), None) => naming::escape(database),
            (None, _) => String::new(),
        }
    }
}

/// What was found under the key of one archive.
#[derive(Debug, Default)]
struct Found {
    archive: Option<u64>,
    checksum: Option<u64>,
    metadata: Option<u64>,
    later: Vec<String>,
}

/// The key of the archive that an object stands beside, and the end of the object's name.
fn beside(key: &str) -> Option<(&str, &str)> {
    let (archive, _) = key.rsplit_once(".cask.").filter(|_| key.strip_suffix(".cask").is_none())?;
    let (archive, end) = key.split_at_checked(archive.len() + ".cask".len())?;
    Some((archive, end.strip_prefix('.')?))
}

/// Lists a store. Names that no backup made are passed over.
///
/// # Errors
/// Those of the store.
pub async fn list(store: &Store, filter: &Filter) -> Result<Listing, StoreError> {
    let prefix = store.path(&filter.prefix());
    let mut objects = store.client.list(Some(&prefix));
    let mut found: BTreeMap<String, Found> = BTreeMap::new();
    let failed = |error: object_store::Error| StoreError::from_client(&store.display(""), &error);
    while let Some(object) = objects.try_next().await.map_err(failed)? {
        let Some(key) = store.key(&object.location) else { continue };
        let size = Some(object.size);
        let Some((archive, end)) = beside(&key) else {
            found.entry(key).or_default().archive = size;
            continue;
        };
        let found = found.entry(archive.to_owned()).or_default();
        match end {
            "sha256" => found.checksum = size,
            "json" => found.metadata = size,
            later => found.later.push(later.to_owned()),
        }
    }
    let mut listing = Listing::default();
    for (key, found) in found {
        let Some(facts) = naming::parse(&key).filter(|facts| filter.takes(facts)) else { continue };
        match found {
            Found { archive: Some(bytes), metadata: Some(_), mut later, .. } => {
                later.sort();
                listing.backups.push(Backup { key, facts, bytes, later });
            }
            Found { archive: Some(bytes), .. } => {
                listing.orphans.push(Orphan { key, bytes, lacks: ".json" });
            }
            Found { checksum, metadata, .. } => {
                for (suffix, bytes) in [(".sha256", checksum), (".json", metadata)] {
                    let orphan = |bytes| Orphan { key: format!("{key}{suffix}"), bytes, lacks: "archive" };
                    listing.orphans.extend(bytes.map(orphan));
                }
            }
        }
    }
    listing.backups.sort_by(|a, b| (b.facts.taken, &b.key).cmp(&(a.facts.taken, &a.key)));
    Ok(listing)
}
