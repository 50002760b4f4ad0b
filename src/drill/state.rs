//! What this machine remembers: every run, and the marks of its drills, from which forecasts are made. In a folder of its
//! own (`$XDG_STATE_HOME/pgcask`); nothing depends on it being there.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::evidence::Mark;
use super::lines;

const RUNS: &str = "history.jsonl";
const DRILLS: &str = "drills.jsonl";

/// Beyond this the older half of a file is left out.
const MAX_BYTES: u64 = 8 << 20;

/// The folder.
#[derive(Debug, Clone)]
pub struct State {
    folder: PathBuf,
}

/// One run of a command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// When it ended.
    pub at: Timestamp,
    /// The command.
    pub command: String,
    /// Its exit code.
    pub exit_code: u8,
    /// How long it took.
    pub seconds: f64,
    /// The database, where one was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// The archive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archive: Option<String>,
    /// Its length.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// What failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl State {
    /// The state in a folder, which is made when something is written.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The folder of the sidecars that were read before ([`crate::store::cache`]).
    pub fn sidecars(&self) -> PathBuf {
        self.folder.join("sidecars")
    }

    /// Remembers a run.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn add_run(&self, run: &Run) -> std::io::Result<()> {
        self.add(RUNS, run)
    }

    /// The runs, the oldest first.
    pub fn runs(&self) -> Vec<Run> {
        self.read(RUNS)
    }

    /// Remembers a drill.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn add_drill(&self, mark: &Mark) -> std::io::Result<()> {
        self.add(DRILLS, mark)
    }

    /// The drills, the oldest first.
    pub fn drills(&self) -> Vec<Mark> {
        self.read(DRILLS)
    }

    fn add(&self, file: &str, value: &impl Serialize) -> std::io::Result<()> {
        std::fs::create_dir_all(&self.folder)?;
        let path = self.folder.join(file);
        shorten(&path)?;
        lines::add(&path, value).map(drop)
    }

    fn read<T: DeserializeOwned>(&self, file: &str) -> Vec<T> {
        let text = std::fs::read_to_string(self.folder.join(file)).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }
}

fn shorten(path: &Path) -> std::io::Result<()> {
    if std::fs::metadata(path).map_or(0, |found| found.len()) <= MAX_BYTES {
        return Ok(());
    }
    let text = std::fs::read_to_string(path)?;
    let lines: Vec<&str> = text.lines().collect();
    let kept = lines.get(lines.len() / 2..).unwrap_or_default().join("\n");
    let new = path.with_extension("new");
    std::fs::write(&new, kept + "\n")?;
    std::fs::rename(new, path)
}
