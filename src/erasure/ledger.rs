//! The ledger in a store: `.pgcask/erasures/<database>/<time>-<id>.json`, each entry an object that is written once.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Slot;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use serde::Serialize;

use super::checksum;
use super::entry::{Entry, Withdrawal};
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::pg::quote::printable;
use crate::store::beside::Place;
use crate::store::{Store, StoreError, naming, objects};

/// Where ledgers lie.
const FOLDER: &str = ".pgcask/erasures";

/// What the name of an entry ends in.
const ENTRY: &str = ".json";

/// What the name of a withdrawal ends in.
const WITHDRAWN: &str = ".withdrawn.json";

/// Entries read at the same time.
const READS: usize = 32;

/// The ledger of one database in one store.
#[derive(Debug, Clone)]
pub struct Ledger {
    store: Store,
    /// The database's folder, as it stands in the keys of its backups.
    folder: String,
}

/// An entry as it lies in a ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Recorded {
    /// The entry.
    #[serde(flatten)]
    pub entry: Entry,
    /// Why it no longer holds, if so.
    pub withdrawn: Option<Withdrawal>,
}

impl Ledger {
    /// That of a database.
    pub fn of(store: &Store, database: &str) -> Self {
        Self { store: store.clone(), folder: naming::escape(database) }
    }

    /// That of the database that an archive in a store is of; `None` for an archive that lies in no store.
    pub fn beside(archive: &str) -> Option<Self> {
        let Place { store, key } = Place::of(archive).ok()?;
        naming::parse(&key)?;
        let folder = key.split('/').next()?.to_owned();
        Some(Self { store, folder })
    }

    /// The same database's ledger in another store.
    #[must_use]
    pub fn in_store(&self, store: &Store) -> Self {
        Self { store: store.clone(), folder: self.folder.clone() }
    }

    /// Where it lies, for people.
    pub fn place(&self) -> String {
        printable(&self.store.display(&self.prefix()))
    }

    fn prefix(&self) -> String {
        format!("{FOLDER}/{}", self.folder)
    }

    fn stem(&self, at: Timestamp, id: &str) -> String {
        format!("{}/{}-{id}", self.prefix(), at.strftime("%Y%m%dT%H%M%SZ"))
    }

    /// Writes an entry. One that is there already, the same, is as good as written.
    ///
    /// # Errors
    /// Those of the store, and of an entry that means nothing.
    pub async fn add(&self, entry: &Entry) -> Result<()> {
        entry.check()?;
        self.put(&format!("{}.json", self.stem(entry.at, &entry.id)), entry).await
    }

    /// Writes down that an entry no longer holds.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn withdraw(&self, entry: &Entry, withdrawal: &Withdrawal) -> Result<()> {
        self.put(&format!("{}{WITHDRAWN}", self.stem(entry.at, &entry.id)), withdrawal).await
    }

    async fn put(&self, key: &str, what: &impl Serialize) -> Result<()> {
        let text = serde_json::to_vec(what)
            .map_err(|error| Error::with_source(ErrorKind::Failed, "write an erasure down", error))?;
        match objects::put_new(&self.store, key, Bytes::from(checksum::with(&text))).await {
            Ok(()) | Err(StoreError::AlreadyExists { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// All entries, oldest first, those that were withdrawn too.
    ///
    /// # Errors
    /// [`ErrorKind::Store`] when the ledger cannot be read, or an entry in it is not understood: who goes on without it would bring
    /// erased rows back.
    pub async fn read(&self) -> Result<Vec<Recorded>> {
        let all = self.read_all().await;
        all.map_err(|error| {
            let message = format!("the erasure ledger {} cannot be read", self.place());
            Error::with_source(ErrorKind::Store, message, Plain(error))
                .hint("without it erased rows would come back; --no-erasure restores all the same, and is written into the audit log")
        })
    }

    async fn read_all(&self) -> Result<Vec<Recorded>> {
        let keys: Vec<String> =
            objects::below(&self.store, &self.prefix()).await?.into_iter().map(|object| object.key).collect();
        let withdrawn: Vec<&str> = keys.iter().filter_map(|key| key.strip_suffix(WITHDRAWN)).collect();
        let entries = keys.iter().filter(|key| key.ends_with(ENTRY) && !key.ends_with(WITHDRAWN));
        let reads = entries.map(|key| async {
            let entry: Entry = self.get(key).await?;
            entry.check().context(|| printable(key))?;
            let stem = key.strip_suffix(".json").unwrap_or(key);
            let withdrawn = if withdrawn.contains(&stem) {
                Some(self.get(&format!("{stem}{WITHDRAWN}")).await?)
            } else {
                None
            };
            Ok::<_, Error>(Recorded { entry, withdrawn })
        });
        let mut all: Vec<Recorded> = stream::iter(reads).buffer_unordered(READS).try_collect().await?;
        all.sort_by(|a, b| (a.entry.at, &a.entry.id).cmp(&(b.entry.at, &b.entry.id)));
        Ok(all)
    }

    async fn get<T: serde::de::DeserializeOwned>(&self, key: &str) -> Result<T> {
        let bytes = objects::read(&self.store, key).await?.unwrap_or_default();
        let wrong = |what: String| {
            let place = printable(&self.store.display(key));
            Error::new(ErrorKind::Store, format!("{place} is no entry: {what}"))
        };
        let text =
            checksum::without(&bytes).ok_or_else(|| wrong("its checksum is not its content's".to_owned()))?;
        serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))
    }
}

/// An error as the cause of one of another kind.
#[derive(Debug)]
struct Plain(Error);

impl std::fmt::Display for Plain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl std::error::Error for Plain {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&self.0)
    }
}

/// What several ledgers have of the same database, each entry once, oldest first. One that was withdrawn in any is withdrawn.
pub fn merged(all: impl IntoIterator<Item = Recorded>) -> Vec<Recorded> {
    let mut merged: BTreeMap<(Timestamp, String), Recorded> = BTreeMap::new();
    for recorded in all {
        let key = (recorded.entry.at, recorded.entry.id.clone());
        match merged.entry(key) {
            Slot::Vacant(free) => drop(free.insert(recorded)),
            Slot::Occupied(known) => {
                let withdrawn = &mut known.into_mut().withdrawn;
                *withdrawn = withdrawn.take().or(recorded.withdrawn);
            }
        }
    }
    merged.into_values().collect()
}

/// Copies the ledger of an archive's database into the store that a copy of it goes to. Gives how many entries were copied.
///
/// # Errors
/// As [`Ledger::read`], and those of the other store.
pub async fn carry(archive: &str, to: &Store) -> Result<usize> {
    let Some(from) = Ledger::beside(archive) else { return Ok(0) };
    let there = from.in_store(to);
    let all = from.read().await?;
    if all.is_empty() {
        return Ok(0);
    }
    let have = there.read().await?;
    let mut copied = 0;
    for recorded in all.iter().filter(|recorded| !have.contains(recorded)) {
        there.add(&recorded.entry).await?;
        if let Some(withdrawal) = &recorded.withdrawn {
            there.withdraw(&recorded.entry, withdrawal).await?;
        }
        copied += 1;
    }
    Ok(copied)
}
