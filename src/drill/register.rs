//! The compliance register: one line a test, never changed; and the same as a table to read.

use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::record::{Record, TestType, Who};
use super::{lines, text};
use crate::error::{Error, ErrorKind, Result};
use crate::pg::quote::printable;
use crate::store::naming::new_id;

/// The file of lines.
pub(super) const LINES: &str = "compliance-register.jsonl";
/// The table.
pub(super) const TABLE: &str = "compliance-register.md";

/// One test, as the register tells it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// When it began.
    pub at: Timestamp,
    /// What kind of test it was.
    #[serde(rename = "type")]
    pub kind: TestType,
    /// `passed` or `failed`.
    pub result: String,
    /// The database.
    pub database: String,
    /// The archive.
    pub archive: String,
    /// The backup's id.
    pub archive_id: String,
    /// Share of the checks that passed.
    pub pass_rate: f64,
    /// Recovery time that was wanted.
    pub rto_target_seconds: f64,
    /// Recovery time that was measured.
    pub rto_measured_seconds: Option<f64>,
    /// Age of the archive.
    pub age_seconds: Option<f64>,
    /// What was wrong.
    pub issues: Vec<String>,
    /// When the next one is due.
    pub next_due: Timestamp,
    /// Who made it, and where.
    #[serde(flatten)]
    pub who: Who,
    /// The program.
    pub tool: String,
}

impl Entry {
    /// The entry of a record.
    pub fn of(record: &Record) -> Self {
        Self {
            at: record.started_at,
            kind: record.kind,
            result: (if record.verdict.passed { "passed" } else { "failed" }).to_owned(),
            database: record.archive.database.clone(),
            archive: record.archive.place.clone(),
            archive_id: record.archive.id.clone(),
            pass_rate: record.verdict.pass_rate,
            rto_target_seconds: record.rto.target_seconds,
            rto_measured_seconds: record.rto.measured_seconds,
            age_seconds: record.rpo.measured_seconds,
            issues: record.issues(),
            next_due: record.next_due,
            who: record.who.clone(),
            tool: record.tool.clone(),
        }
    }

    /// Whether it passed.
    pub fn is_passed(&self) -> bool {
        self.result == "passed"
    }
}

/// The entries of a register, in their order; lines that are none (a later version's) are passed over.
pub(super) fn read(folder: &Path) -> Vec<Entry> {
    let text = std::fs::read_to_string(folder.join(LINES)).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn failed(path: &Path) -> impl Fn(std::io::Error) -> Error {
    let doing = format!("write {}", path.display());
    move |error| Error::with_source(ErrorKind::Failed, doing.clone(), error)
}

/// Sees that entries can be added, before there is one.
///
/// # Errors
/// When they cannot.
pub(super) fn prepare(folder: &Path) -> Result<()> {
    let path = folder.join(LINES);
    lines::open(&path).map(drop).map_err(failed(&path))
}

/// Adds an entry, and writes the table anew.
///
/// # Errors
/// When the files cannot be written.
pub(super) fn add(folder: &Path, entry: &Entry) -> Result<()> {
    let path = folder.join(LINES);
    // Kept until the table is there: of two tests that end together, the table of the later one has both lines.
    let _lines = lines::add(&path, entry).map_err(failed(&path))?;
    let (table, new) = (folder.join(TABLE), folder.join(format!(".{TABLE}.{}", new_id()?)));
    let written = std::fs::write(&new, markdown(&read(folder))).and_then(|()| std::fs::rename(&new, &table));
    written.map_err(|error| {
        // It may not even have been made; the first failure is the one to be told.
        drop(std::fs::remove_file(&new));
        failed(&table)(error)
    })
}

/// The table, the newest first.
fn markdown(entries: &[Entry]) -> String {
    let mut out = "# Register of backup tests\n\nWritten by `pgcask`; the lines that count are those of \
                   `compliance-register.jsonl`.\n\n\
                   | date (UTC) | test | database | result | recovery time | target | issues | next due |\n\
                   |---|---|---|---|---|---|---|---|\n"
        .to_owned();
    let none = || "–".to_owned();
    for entry in entries.iter().rev() {
        let issues = if entry.issues.is_empty() { "none".to_owned() } else { entry.issues.join("; ") };
        out.push_str(&format!(
            "| {} | {} | {} | {} | {} | {} | {} | {} |\n",
            entry.at.strftime("%Y-%m-%d %H:%M"),
            entry.kind.words(),
            cell(&entry.database),
            entry.result,
            entry.rto_measured_seconds.map_or_else(none, text::seconds),
            if entry.kind == TestType::Quick { none() } else { text::seconds(entry.rto_target_seconds) },
            cell(&issues),
            entry.next_due.strftime("%Y-%m-%d"),
        ));
    }
    out
}

/// Text in a cell of Markdown: no bar ends it, and no mark-up is in it.
fn cell(text: &str) -> String {
    let mut out = String::new();
    for c in printable(text).chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '|' | '*' | '_' | '`' | '[' | ']' | '\\' => out.extend(['\\', c]),
            other => out.push(other),
        }
    }
    out
}
