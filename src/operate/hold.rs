//! Legal holds: a backup that somebody holds is removed by no prune, and by nobody where the store has locks of its own.
//! A hold is an object that is written once; its release is another.

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Actor;
use crate::clock::Clock;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::store::list::{Backup, Filter, list};
use crate::store::notes::{self, Note, NoteKind};
use crate::store::{Store, StoreError, naming, objects};

/// What is written down of a hold, and of its release.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Statement {
    /// Version of this form.
    pub format: u32,
    /// When.
    pub at: Timestamp,
    /// Who wrote it down.
    pub by: Actor,
    /// For whom, where that is somebody else.
    #[serde(default)]
    pub person: Option<String>,
    /// Why.
    pub reason: String,
    /// A reference to the case.
    #[serde(default)]
    pub case: Option<String>,
}

/// One hold of one backup.
#[derive(Debug, Clone, Serialize)]
pub struct Hold {
    /// Path or URL of the archive.
    pub archive: String,
    /// The backup's id.
    pub id: String,
    /// Its database.
    pub database: String,
    /// When it began.
    pub taken_at: Timestamp,
    /// The number of the hold.
    pub hold: u32,
    /// What was written down; `null` where it cannot be read, and the backup is held all the same.
    pub statement: Option<Statement>,
    /// The release, where it is over.
    pub released: Option<Statement>,
    /// Whether the store itself holds the archive; `null` where it has no such thing.
    pub store_hold: Option<bool>,
}

/// Holds a backup.
///
/// # Errors
/// [`StoreError::NoBackup`] when there is none, or not any more. When the hold is written and the store's own cannot be set, that
/// is an error, too, and the hold stays.
pub async fn add(store: &Store, key: &str, statement: &Statement) -> Result<Hold> {
    let before = checked(store, key).await?;
    let numbers = before.iter().filter_map(|note| match note.kind {
        NoteKind::Hold(number) | NoteKind::Release(number) => Some(number),
        _ => None,
    });
    let mut number = numbers.max().unwrap_or(0) + 1;
    loop {
        match write(store, key, NoteKind::Hold(number), statement).await {
            // Somebody else holds it at the same time.
            Err(StoreError::AlreadyExists { .. }) => number += 1,
            other => break other?,
        }
    }
    // A prune that removes it looks for holds after it removed the sidecar: one of the two sees the other.
    checked(store, key).await?;
    let store_hold = lock(store, key, true).await.context(|| {
        "set the store's own legal hold; the hold is written down and prune respects it, but others could delete the objects".to_owned()
    })?;
    let mut made = described(store, key, number, store_hold)?;
    made.statement = Some(statement.clone());
    Ok(made)
}

/// Ends a hold, or all holds of a backup. Gives those that were ended.
///
/// # Errors
/// [`ErrorKind::Failed`] when there is none to end. When the store's own hold cannot be ended, that is an error, too.
pub async fn release(
    store: &Store,
    key: &str,
    which: Option<u32>,
    statement: &Statement,
) -> Result<Vec<Hold>> {
    let all = checked(store, key).await?;
    let mut ending = notes::holds(&all);
    ending.retain(|number| which.is_none_or(|which| which == *number));
    if ending.is_empty() {
        let what = which.map_or_else(|| "is not held".to_owned(), |number| format!("has no hold {number}"));
        return Err(Error::new(ErrorKind::Failed, format!("{} {what}", store.display(key))));
    }
    for number in &ending {
        match write(store, key, NoteKind::Release(*number), statement).await {
            Ok(()) | Err(StoreError::AlreadyExists { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let mut store_hold = None;
    if notes::holds(&checked(store, key).await?).is_empty() {
        store_hold = lock(store, key, false).await.context(|| {
            "end the store's own legal hold; the release is written down, but the objects are still held"
                .to_owned()
        })?;
    }
    let mut ended = Vec::new();
    for number in ending {
        let mut hold = described(store, key, number, store_hold)?;
        hold.statement = read(store, key, NoteKind::Hold(number)).await?;
        hold.released = Some(statement.clone());
        ended.push(hold);
    }
    Ok(ended)
}

/// The holds in a store; those that are over only when asked for.
///
/// # Errors
/// Those of the store.
pub async fn holds(store: &Store, database: Option<&str>, released: bool) -> Result<Vec<Hold>> {
    let filter = Filter { database: database.map(str::to_owned), ..Filter::default() };
    holds_of(store, &list(store, &filter).await?.backups, released).await
}

/// The holds of backups that were listed; those that are over only when asked for.
///
/// # Errors
/// Those of the store.
pub async fn holds_of(store: &Store, backups: &[Backup], released: bool) -> Result<Vec<Hold>> {
    let locked = store.protection().await.is_ok_and(|protection| protection.object_lock == Some(true));
    let mut found = Vec::new();
    for backup in backups {
        let active = notes::holds(&backup.notes);
        let mut numbers: Vec<u32> = backup
            .notes
            .iter()
            .filter_map(|note| if let NoteKind::Hold(number) = note.kind { Some(number) } else { None })
            .filter(|number| released || active.contains(number))
            .collect();
        numbers.sort_unstable();
        for number in numbers {
            let store_hold = if locked { Some(store.legal_hold(&backup.key).await?) } else { None };
            let mut hold = described(store, &backup.key, number, store_hold)?;
            hold.statement = read(store, &backup.key, NoteKind::Hold(number)).await?;
            if !active.contains(&number) {
                hold.released = read(store, &backup.key, NoteKind::Release(number)).await?;
            }
            found.push(hold);
        }
    }
    Ok(found)
}

/// A statement of now.
pub fn statement(actor: Actor, clock: Clock, reason: &str) -> Statement {
    Statement { format: 1, at: clock.now(), by: actor, person: None, reason: reason.to_owned(), case: None }
}

/// The notes beside a backup that is one.
async fn checked(store: &Store, key: &str) -> Result<Vec<Note>> {
    let beside = objects::beside(store, key).await?;
    let is_there = |suffix: &str| beside.iter().any(|object| object.key == format!("{key}{suffix}"));
    if !is_there("") || !is_there(".json") {
        let wanted = format!("backup {key}");
        return Err(StoreError::NoBackup { place: store.display(""), wanted }.into());
    }
    Ok(notes::of(key, &beside))
}

/// Sets or ends the store's own hold on all objects of a backup: one that can be deleted would lose all.
async fn lock(store: &Store, key: &str, on: bool) -> Result<Option<bool>> {
    let protection = store.protection().await?;
    if protection.object_lock != Some(true) {
        return Ok(None);
    }
    for object in objects::beside(store, key).await? {
        store.set_legal_hold(&object.key, on).await?;
    }
    Ok(Some(on))
}

async fn write(
    store: &Store,
    key: &str,
    kind: NoteKind,
    statement: &Statement,
) -> std::result::Result<(), StoreError> {
    let place = format!("{key}{}", kind.suffix().unwrap_or_default());
    let text = serde_json::to_vec_pretty(statement)
        .map_err(|error| StoreError::Unreachable { place: place.clone(), reason: error.to_string() })?;
    objects::put_new(store, &place, Bytes::from(text)).await
}

async fn read(store: &Store, key: &str, kind: NoteKind) -> Result<Option<Statement>> {
    let place = format!("{key}{}", kind.suffix().unwrap_or_default());
    let text = objects::read(store, &place).await?;
    Ok(text.and_then(|text| serde_json::from_slice(&text).ok()))
}

fn described(store: &Store, key: &str, hold: u32, store_hold: Option<bool>) -> Result<Hold> {
    let archive = store.display(key);
    let facts = naming::parse(key)
        .ok_or_else(|| Error::new(ErrorKind::Usage, format!("{archive} is not named as backups are")))?;
    let (id, database, taken_at) = (facts.id, facts.database, facts.taken);
    Ok(Hold { archive, id, database, taken_at, hold, statement: None, released: None, store_hold })
}
