//! What a drill leaves: log, record, report, an entry in the register, and its mark beside the archive.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use serde::{Deserialize, Serialize};

use super::full::Drilled;
use super::record::Record;
use super::register::{self, Entry};
use super::report;
use crate::error::{Error, ErrorKind, Result};
use crate::plan::forecast::Rates;
use crate::store::beside::{self, Place};
use crate::store::list::Backup;
use crate::store::{Store, StoreError};

/// The files of one drill.
#[derive(Debug, Clone, Serialize)]
pub struct Files {
    /// The log.
    pub log: PathBuf,
    /// The record.
    pub results: PathBuf,
    /// The page.
    pub report: PathBuf,
    /// The register.
    pub register: PathBuf,
}

/// The drills of the same database and kind that a folder's register tells of, the oldest first.
pub fn history(folder: &Path, entry: &Entry) -> Vec<Entry> {
    let mut history = register::read(folder);
    history.retain(|other| other.database == entry.database && other.kind == entry.kind);
    history
}

/// Puts record, log and page of a drill beside its archive, each an object of its own that is written once; gives their places.
/// `history`: the drills so far, this one included.
///
/// # Errors
/// Those of the store. What was put before stays: it is true.
pub async fn upload(drilled: &Drilled, history: &[Entry]) -> Result<Vec<String>> {
    let record = &drilled.record;
    let Place { store, key } = Place::of(&record.archive.place)?;
    let parts = [
        ("json", json(record)?),
        ("log", drilled.log.clone().into_bytes()),
        ("html", report::page(record, history).into_bytes()),
    ];
    let mut places = Vec::new();
    for (form, bytes) in parts {
        let end = beside::evidence_name(record.started_at, form);
        beside::put(&store, &key, &end, bytes).await?;
        places.push(store.display(&format!("{key}.{end}")));
    }
    Ok(places)
}

fn json(record: &Record) -> Result<Vec<u8>> {
    serde_json::to_vec_pretty(record)
        .map_err(|error| Error::with_source(ErrorKind::Failed, "write the record of the drill", error))
}

/// Writes the files of a drill into a folder: `logs/`, `results/`, `reports/`, and the register.
///
/// # Errors
/// When one of them cannot be written.
pub fn write(folder: &Path, drilled: &Drilled) -> Result<Files> {
    let record = &drilled.record;
    for part in ["logs", "results", "reports"] {
        let path = folder.join(part);
        std::fs::create_dir_all(&path).map_err(|error| {
            Error::with_source(ErrorKind::Failed, format!("make {}", path.display()), error)
        })?;
    }
    let (name, results) = first_free(&folder.join("results"), &record.stamp(), &json(record)?)?;
    let log = folder.join("logs").join(format!("{name}.log"));
    put(&log, drilled.log.as_bytes())?;
    let entry = Entry::of(record);
    register::add(folder, &entry)?;
    let history = history(folder, &entry);
    let page = folder.join("reports").join(format!("{name}.html"));
    put(&page, report::page(record, &history).as_bytes())?;
    Ok(Files { log, results, report: page, register: folder.join(register::LINES) })
}

/// Two drills may begin in the same second.
fn first_free(folder: &Path, stamp: &str, bytes: &[u8]) -> Result<(String, PathBuf)> {
    let mut number = 1;
    loop {
        let name = if number == 1 { format!("test-{stamp}") } else { format!("test-{stamp}-{number}") };
        let path = folder.join(format!("{name}.json"));
        if !path.exists() {
            put(&path, bytes)?;
            return Ok((name, path));
        }
        number += 1;
    }
}

fn put(path: &Path, bytes: &[u8]) -> Result<()> {
    let failed = |error| Error::with_source(ErrorKind::Failed, format!("write {}", path.display()), error);
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(path).map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed)
}

/// What stands beside the archive after a drill, and in the local state: enough for lists, health and forecasts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Mark {
    /// As the register tells it.
    #[serde(flatten)]
    pub entry: Entry,
    /// Rows that were restored and proven.
    pub rows: u64,
    /// Bytes of COPY text restored.
    pub plain_bytes: u64,
    /// By how much the forecast was off, as a share of the measurement.
    pub forecast_error: Option<f64>,
    /// Rates that were measured.
    pub rates: Option<Rates>,
}

impl Mark {
    /// The mark of a record.
    pub fn of(record: &Record) -> Self {
        Self {
            entry: Entry::of(record),
            rows: record.throughput.rows,
            plain_bytes: record.throughput.bytes,
            forecast_error: record.forecast.as_ref().and_then(|forecast| forecast.error),
            rates: record.rates.clone(),
        }
    }
}

/// Puts the mark of a drill beside its archive.
///
/// # Errors
/// Those of the store.
pub async fn mark(record: &Record) -> Result<()> {
    let Place { store, key } = Place::of(&record.archive.place)?;
    let bytes = serde_json::to_vec(&Mark::of(record))
        .map_err(|error| Error::with_source(ErrorKind::Failed, "write the mark of the drill", error))?;
    match beside::put(&store, &key, &beside::drill_name(record.started_at), bytes).await {
        // Another drill of the same second has told already.
        Ok(()) | Err(StoreError::AlreadyExists { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Marks read at the same time.
const READS: usize = 16;

/// The marks beside these archives, the oldest first. What cannot be read of later versions is passed over.
///
/// # Errors
/// Those of the store.
pub async fn marks(store: &Store, backups: &[&Backup]) -> Result<Vec<Mark>> {
    let ends = backups.iter().flat_map(|backup| backup.later.iter().map(|end| (backup.key.as_str(), end)));
    let reads = ends.filter(|(_, end)| beside::drill_time(end).is_some()).map(|(key, end)| async move {
        match beside::read(store, key, end).await {
            Ok(bytes) => Ok(serde_json::from_slice::<Mark>(&bytes).ok()),
            Err(StoreError::NotFound { .. } | StoreError::Length { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    });
    let found: Vec<Option<Mark>> = stream::iter(reads).buffered(READS).try_collect().await?;
    let mut marks: Vec<Mark> = found.into_iter().flatten().collect();
    marks.sort_by_key(|mark| mark.entry.at);
    Ok(marks)
}

/// The newest mark beside an archive, by the ends of the names beside it.
///
/// # Errors
/// Those of the store.
pub async fn last_mark(store: &Store, key: &str, later: &[String]) -> Result<Option<Mark>> {
    let newest = later.iter().filter(|end| beside::drill_time(end).is_some()).max();
    let Some(end) = newest else { return Ok(None) };
    match beside::read(store, key, end).await {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(StoreError::NotFound { .. } | StoreError::Length { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
