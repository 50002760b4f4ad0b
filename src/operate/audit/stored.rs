//! The entries in a store: `.pgcask/audit/<chain>/<number>.json`, each an object that is written once.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use super::Journal;
use super::entry::Entry;
use crate::error::Result;
use crate::store::{Store, StoreError, objects};

/// Where they lie.
const FOLDER: &str = ".pgcask/audit";

/// Entries sent with one operation at most: after a long time without the store the rest follows with the next ones.
const AT_A_TIME: usize = 500;

/// Entries read at the same time.
const READS: usize = 32;

/// An entry as it lies in a store: what its name says, and its line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The chain, by its folder.
    pub chain: String,
    /// The number, by its name; `None` for a name that is none.
    pub number: Option<u64>,
    /// What it holds; `None` for what is too long to be an entry.
    pub line: Option<String>,
}

fn key(chain: &str, number: u64) -> String {
    format!("{FOLDER}/{chain}/{number:010}.json")
}

/// Puts into the store what it does not have yet.
pub(super) async fn send(store: &Store, journal: &Journal) -> std::result::Result<(), String> {
    let lines = journal.lines().map_err(|error| error.to_string())?;
    let sent = journal.sent();
    let entries = lines.into_iter().filter_map(|line| {
        let entry: Entry = serde_json::from_str(&line).ok()?;
        (entry.number > sent).then_some((entry, line))
    });
    for (entry, line) in entries.take(AT_A_TIME) {
        let place = key(&entry.chain, entry.number);
        match objects::put_new(store, &place, Bytes::from(line)).await {
            // Sent by another process of this host at the same time.
            Ok(()) | Err(StoreError::AlreadyExists { .. }) => {}
            Err(error) => return Err(error.to_string()),
        }
        journal.set_sent(entry.number).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// All entries in a store, by chain and number.
///
/// # Errors
/// Those of the store.
pub async fn read(store: &Store) -> Result<Vec<Stored>> {
    let listed = objects::below(store, FOLDER).await?;
    read_keys(store, listed.into_iter().map(|object| object.key).collect()).await
}

async fn read_keys(store: &Store, keys: Vec<String>) -> Result<Vec<Stored>> {
    let mut all: Vec<Stored> = stream::iter(keys)
        .map(|key| async move {
            let bytes = objects::read(store, &key).await?;
            let line = bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
            let name = key.strip_prefix(FOLDER).unwrap_or(&key).trim_start_matches('/');
            let (chain, file) = name.rsplit_once('/').unwrap_or(("", name));
            let number = file.strip_suffix(".json").and_then(|number| number.parse().ok());
            Ok::<_, StoreError>(Stored { chain: chain.to_owned(), number, line })
        })
        .buffer_unordered(READS)
        .try_collect()
        .await?;
    all.sort_by(|a, b| (&a.chain, a.number).cmp(&(&b.chain, b.number)));
    Ok(all)
}

/// The newest entries in a store: of each chain at most so many, by their numbers.
///
/// # Errors
/// Those of the store.
pub async fn newest(store: &Store, of_each: u64) -> Result<Vec<Stored>> {
    let keys: Vec<String> =
        objects::below(store, FOLDER).await?.into_iter().map(|object| object.key).collect();
    let mut last: BTreeMap<&str, u64> = BTreeMap::new();
    for (chain, number) in keys.iter().filter_map(|key| place(key)) {
        let slot = last.entry(chain).or_default();
        *slot = number.max(*slot);
    }
    let is_new = |key: &&String| {
        place(key).is_some_and(|(chain, number)| {
            last.get(chain).is_none_or(|last| number.saturating_add(of_each) > *last)
        })
    };
    read_keys(store, keys.iter().filter(is_new).cloned().collect()).await
}

/// The chain and the number that a key says.
fn place(key: &str) -> Option<(&str, u64)> {
    let (chain, file) = key.strip_prefix(FOLDER)?.trim_start_matches('/').rsplit_once('/')?;
    Some((chain, file.strip_suffix(".json")?.parse().ok()?))
}

/// The lines of a file as if they lay in a store.
pub fn of_lines(lines: Vec<String>) -> Vec<Stored> {
    let mut next: BTreeMap<String, u64> = BTreeMap::new();
    let place = |line: String| {
        let chain = serde_json::from_str::<Entry>(&line).map(|entry| entry.chain).unwrap_or_default();
        let number = next.entry(chain.clone()).or_default();
        *number += 1;
        Stored { chain, number: Some(*number), line: Some(line) }
    };
    lines.into_iter().map(place).collect()
}
