//! What a test or drill leaves as its record: `docs/drills.md` describes the form, `docs/schemas/drill.json` is its schema.

use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use serde::{Deserialize, Serialize};

use super::check::{Check, Verdict};
use super::quick::{AGE, ArchiveFacts};
use super::target::ServerFacts;
use super::timeline::{Phase, Step};
use crate::plan::forecast::Rates;

/// Version of the form.
pub(super) const FORMAT: u32 = 1;

/// What kind of test it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TestType {
    /// The archive alone.
    Quick,
    /// All of it restored.
    Full,
    /// Some tables restored.
    Tables,
}

impl TestType {
    /// As people call it.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Quick => "quick test",
            Self::Full => "full drill",
            Self::Tables => "drill of some tables",
        }
    }
}

/// A target and what was measured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Objective {
    /// What was wanted, in seconds.
    pub target_seconds: f64,
    /// What was found, in seconds; none where it did not come so far.
    pub measured_seconds: Option<f64>,
    /// Whether it was within the target.
    pub met: Option<bool>,
}

impl Objective {
    /// A target, and what was measured if it came so far.
    pub fn new(target_seconds: f64, measured_seconds: Option<f64>) -> Self {
        let met = measured_seconds.map(|measured| measured <= target_seconds);
        Self { target_seconds, measured_seconds, met }
    }
}

/// One of the largest tables.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TableFacts {
    /// Its name.
    pub name: String,
    /// Rows.
    pub rows: u64,
    /// Bytes of COPY text.
    pub bytes: u64,
    /// Seconds of loading it, over all connections.
    pub load_seconds: f64,
    /// Seconds of reading it back and proving it, over all connections.
    pub prove_seconds: f64,
}

/// What went through.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Throughput {
    /// Rows restored.
    pub rows: u64,
    /// Bytes of COPY text restored.
    pub bytes: u64,
    /// Rows a second, from the plan to the last check.
    pub rows_per_second: f64,
    /// Bytes a second.
    pub bytes_per_second: f64,
    /// Bytes read from the store, in all.
    pub read_bytes: u64,
}

/// What was said beforehand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ForecastFacts {
    /// Seconds.
    pub seconds: f64,
    /// Not less, most likely.
    pub low_seconds: f64,
    /// Not more, most likely.
    pub high_seconds: f64,
    /// What it stood on.
    pub basis: String,
    /// By how much the measurement differed, as a share of the measurement: 0.1 is 10 % too much.
    pub error: Option<f64>,
}

/// Who made it, and where.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Who {
    /// The account.
    pub operator: String,
    /// The machine.
    pub host: String,
}

/// The record of one test.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// See `FORMAT`.
    pub format: u32,
    /// What kind of test it was.
    #[serde(rename = "type")]
    pub kind: TestType,
    /// When it began.
    pub started_at: Timestamp,
    /// How long it took, with all that is not part of a recovery.
    pub seconds: f64,
    /// Name and version of the program.
    pub tool: String,
    /// Who made it, and where.
    #[serde(flatten)]
    pub who: Who,
    /// The archive.
    pub archive: ArchiveFacts,
    /// The server; none for a quick test, or where there was none.
    pub server: Option<ServerFacts>,
    /// Connections.
    pub jobs: u32,
    /// What all checks together say.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// The checks.
    pub checks: Vec<Check>,
    /// Recovery time: from opening the archive to the last check.
    pub rto: Objective,
    /// Age of the archive.
    pub rpo: Objective,
    /// The phases.
    pub phases: Vec<Phase>,
    /// How many steps there were.
    pub steps_total: u64,
    /// The longest of them.
    pub steps: Vec<Step>,
    /// The largest tables.
    pub tables: Vec<TableFacts>,
    /// What went through.
    pub throughput: Throughput,
    /// What was forecast.
    pub forecast: Option<ForecastFacts>,
    /// Rates that were measured, for forecasts.
    pub rates: Option<Rates>,
    /// When the next one is due.
    pub next_due: Timestamp,
}

impl Record {
    /// What is wrong, a line each.
    pub fn issues(&self) -> Vec<String> {
        let failed = self.checks.iter().filter(|check| check.is_failed());
        failed
            .map(|check| match check.problems.first() {
                Some(first) => format!("{}: {first}", check.check),
                None => format!("{}: {}", check.check, check.found),
            })
            .collect()
    }

    /// In short, for those who are told of it.
    pub fn summary(&self) -> serde_json::Value {
        serde_json::json!({
            "archive": self.archive.place,
            "bytes": self.archive.bytes,
            "rows": self.archive.rows,
            "type": self.kind,
            "passed": self.verdict.passed,
            "pass_rate": self.verdict.pass_rate,
            "recovery_seconds": self.rto.measured_seconds,
            "age_seconds": self.rpo.measured_seconds,
            "issues": self.issues(),
        })
    }

    /// Whether the only thing wrong is the archive's age.
    pub fn is_only_stale(&self) -> bool {
        let mut failed = self.checks.iter().filter(|check| check.is_failed()).peekable();
        failed.peek().is_some() && failed.all(|check| check.check == AGE)
    }

    /// `20261125T010203Z`: names files.
    pub fn stamp(&self) -> String {
        self.started_at.strftime("%Y%m%dT%H%M%SZ").to_string()
    }
}

/// A moment so much later.
pub(super) fn due(from: Timestamp, after: Span) -> Timestamp {
    let later = from.to_zoned(TimeZone::UTC).checked_add(after);
    later.map_or(from, |zoned| zoned.timestamp())
}
