//! What a test or drill leaves: log, record, report, an entry in the register; a drill its mark beside the archive, too.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use super::record::Record;
use super::register::{self, Entry};
use super::timeline::Recorder;
use super::{report, text};
use crate::error::{Error, ErrorKind, Result};
use crate::plan::forecast::Rates;
use crate::store::beside::{self, Place};
use crate::store::list::Backup;
use crate::store::naming::new_id;
use crate::store::{Store, StoreError};

/// The folders of the files: of each kind one.
const PARTS: [&str; 3] = ["logs", "results", "reports"];

/// A test or drill that came to its end, well or not.
#[derive(Debug)]
pub struct Drilled {
    /// Its record.
    pub record: Record,
    /// Its log.
    pub log: String,
}

impl Drilled {
    /// What a record and its recorder make; the checks become the end of the log.
    pub(super) fn of(record: Record, recorder: &Recorder) -> Self {
        for check in &record.checks {
            recorder.note(&format!(
                "{:?} {}: {} {}",
                check.outcome,
                check.check,
                check.found,
                check.problems.join("; ")
            ));
        }
        let word = if record.verdict.passed { "passed" } else { "FAILED" };
        recorder.note(&format!("{word}, {} of checks passed", text::percent(record.verdict.pass_rate)));
        Self { record, log: recorder.log() }
    }
}

/// The files of one test or drill.
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

/// The tests of the same database and kind that a folder's register tells of, the oldest first.
pub fn history(folder: &Path, entry: &Entry) -> Vec<Entry> {
    let mut history = register::read(folder);
    history.retain(|other| other.database == entry.database && other.kind == entry.kind);
    history
}

/// Puts record, log and page of a test or drill beside its archive, each an object of its own that is written once; gives their places.
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
        .map_err(|error| Error::with_source(ErrorKind::Failed, "write the record of the test", error))
}

/// Makes the folders, and sees that files can be written there: before a drill that takes hours, not after it.
///
/// # Errors
/// When they cannot.
pub fn prepare(folder: &Path) -> Result<()> {
    const HINT: &str = "--evidence DIR names another folder, --no-evidence keeps none";
    let id = new_id()?;
    for part in PARTS {
        let path = folder.join(part);
        let failed = |error| {
            Error::with_source(ErrorKind::Failed, format!("write into {}", path.display()), error).hint(HINT)
        };
        std::fs::create_dir_all(&path).map_err(failed)?;
        let probe = path.join(format!(".pgcask-{id}"));
        std::fs::File::create_new(&probe).and_then(|_| std::fs::remove_file(&probe)).map_err(failed)?;
    }
    register::prepare(folder).map_err(|error| error.hint(HINT))
}

/// Writes the files of a test or drill into a folder: `logs/`, `results/`, `reports/`, and the register.
///
/// # Errors
/// When one of them cannot be written; none is left in part.
pub fn write(folder: &Path, drilled: &Drilled) -> Result<Files> {
    let record = &drilled.record;
    for part in PARTS {
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

/// Two tests may begin in the same second: who makes the file has the name.
fn first_free(folder: &Path, stamp: &str, bytes: &[u8]) -> Result<(String, PathBuf)> {
    let mut number = 1;
    loop {
        let name = if number == 1 { format!("test-{stamp}") } else { format!("test-{stamp}-{number}") };
        let path = folder.join(format!("{name}.json"));
        match put(&path, bytes) {
            Ok(()) => return Ok((name, path)),
            Err(error) if is_taken(&error) => number += 1,
            Err(error) => return Err(error),
        }
    }
}

fn is_taken(error: &Error) -> bool {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<std::io::Error>());
    source.is_some_and(|source| source.kind() == std::io::ErrorKind::AlreadyExists)
}

/// Writes a new file, whole or not at all.
fn put(path: &Path, bytes: &[u8]) -> Result<()> {
    let failed = |error| Error::with_source(ErrorKind::Failed, format!("write {}", path.display()), error);
    let mut file = OpenOptions::new().write(true).create_new(true).open(path).map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(|error| {
        // Half a record would be taken for one; that the disk is full is what is told.
        drop(std::fs::remove_file(path));
        failed(error)
    })
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
    let mut named = record.started_at;
    loop {
        match beside::put(&store, &key, &beside::drill_name(named), bytes.clone()).await {
            // Another drill began in the same second, and may have ended otherwise: this one has the next name.
            Err(StoreError::AlreadyExists { .. })
                if named.duration_since(record.started_at) < LATEST_NAME =>
            {
                named += SignedDuration::from_secs(1);
            }
            other => return Ok(other?),
        }
    }
}

/// So much later than its beginning the name of a mark may say.
const LATEST_NAME: SignedDuration = SignedDuration::from_mins(1);

/// Marks read at the same time.
const READS: usize = 16;

/// The `most` newest marks beside these archives, the oldest first: which there are is told by the names. What cannot be read
/// of later versions is passed over.
///
/// # Errors
/// Those of the store.
pub async fn marks(store: &Store, backups: &[&Backup], most: usize) -> Result<Vec<Mark>> {
    let ends = backups.iter().flat_map(|backup| backup.later.iter().map(|end| (backup.key.as_str(), end)));
    let mut named: Vec<_> =
        ends.filter_map(|(key, end)| Some((beside::drill_time(end)?, key, end))).collect();
    named.sort_by_key(|(time, ..)| std::cmp::Reverse(*time));
    let reads = named.into_iter().take(most).map(|(_, key, end)| async move {
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
