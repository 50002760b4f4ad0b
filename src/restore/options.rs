//! What a restore is asked for, and what it tells.

use std::collections::HashMap;

use serde::Serialize;

use super::checks::{Check, Demands};
use super::classes::ClassComplete;
use super::preflight::Finding;
use crate::catalog::profile::Wish;
use crate::erasure::{Report, SharedErasures};
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::Origin;
use crate::pg::ConnectOptions;
use crate::plan::globals::TablespaceMap;
use crate::plan::priority::Priorities;
use crate::plan::select::Selection;

/// Which sections of an archive are restored, cut as `pg_restore --section` cuts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sections {
    /// What must be there before rows: schemas, types, functions, tables, views.
    pub pre_data: bool,
    /// Rows, large objects, the values of sequences.
    pub data: bool,
    /// What comes after rows: indexes, constraints, triggers, rules, materialized views' rows.
    pub post_data: bool,
}

impl Sections {
    /// Everything.
    pub const ALL: Self = Self { pre_data: true, data: true, post_data: true };
    /// Definitions only.
    pub const DEFINITIONS: Self = Self { data: false, ..Self::ALL };
    /// Rows only, into tables that exist.
    pub const ROWS: Self = Self { pre_data: false, data: true, post_data: false };

    /// Whether any object is created.
    pub const fn defines(self) -> bool {
        self.pre_data || self.post_data
    }

    /// Whether materialized views are filled: not when there are no rows that they could be filled from.
    pub const fn fills_views(self) -> bool {
        self.post_data && (self.data || !self.pre_data)
    }
}

/// What the databases begin with that a restore on trial makes and removes again.
pub const TRIAL: &str = "pgcask_drill_";

/// What of an archive is wanted, whatever is done with it.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Which relations.
    pub selection: Selection,
    /// Which sections.
    pub sections: Sections,
    /// Do not set owners.
    pub no_owner: bool,
    /// Do not set privileges.
    pub no_acl: bool,
    /// Create everything where the database is.
    pub no_tablespaces: bool,
    /// Which tables come first.
    pub priorities: Priorities,
    /// Fail when a pattern of the selection matches nothing, instead of warning.
    pub strict_names: bool,
    /// Create also what the chosen objects need and the target lacks.
    pub dependencies: bool,
}

impl Wanted {
    /// All of an archive.
    pub fn all() -> Self {
        Self {
            selection: Selection::default(),
            sections: Sections::ALL,
            no_owner: false,
            no_acl: false,
            no_tablespaces: false,
            priorities: Priorities::default(),
            strict_names: false,
            dependencies: true,
        }
    }
}

/// How roles, tablespaces and what else the whole server has are restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GlobalsOptions {
    /// Only what the restored objects need.
    pub needed_only: bool,
    /// Alter what is there and differs.
    pub update: bool,
}

/// What a restore is asked for.
#[derive(Debug, Clone)]
pub struct Options {
    /// The database to restore into.
    pub target: ConnectOptions,
    /// Create it.
    pub create: bool,
    /// Go on with a restore of the same archive that was interrupted.
    pub resume: bool,
    /// How many connections work at the same time.
    pub jobs: usize,
    /// What of the archive.
    pub wanted: Wanted,
    /// Restore roles and tablespaces first; `None` leaves the server as it is.
    pub globals: Option<GlobalsOptions>,
    /// New folders of tablespaces.
    pub tablespace_map: TablespaceMap,
    /// As which managed service's the target is taken.
    pub profile: Wish,
    /// Go on after an object that cannot be restored.
    pub keep_going: bool,
    /// Gather statistics.
    pub analyze: bool,
    /// Read back and prove the content.
    pub verify: bool,
    /// Add foreign keys without checking the rows that are there; `validate --finish` does it later.
    pub defer_validation: bool,
    /// What is erased again before the database is used.
    pub erasures: SharedErasures,
    /// What must hold besides.
    pub demands: Demands,
    /// `maintenance_work_mem` of our sessions.
    pub maintenance_work_mem: Option<String>,
    /// End when this class of priority is complete, and leave the rest to a restore that resumes this one.
    pub stop_after: Option<u8>,
    /// Bytes of rows loaded in a second, at most.
    pub max_rate: Option<u64>,
}

impl Options {
    /// Fails when what is asked for does not go together.
    pub(super) fn check(&self) -> Result<()> {
        if self.stop_after.is_some() && !self.erasures.is_empty() {
            let message = "the database has an erasure ledger, which is applied when all is restored: --stop-after would leave erased rows in use";
            return Err(Error::new(ErrorKind::Refused, message)
                .hint("leave --stop-after out; --priority alone orders any restore; --no-erasure restores without the ledger"));
        }
        if self.stop_after.is_none() || self.keeps_marks() {
            return Ok(());
        }
        let message = "only a restore of a whole database can stop in between and be resumed";
        Err(Error::new(ErrorKind::Usage, message)
            .hint("leave --stop-after out; --priority alone orders any restore"))
    }

    /// Whether the restore fills a database of its own, in which it can keep marks of what is done.
    pub(super) fn keeps_marks(&self) -> bool {
        self.create || (self.wanted.sections.pre_data && self.wanted.selection.is_everything())
    }
}

/// What is done with roles, tablespaces and what else the whole server has, a sentence each.
#[derive(Debug, Clone, Default, Serialize)]
pub struct GlobalsReport {
    /// What is made.
    pub done: Vec<String>,
    /// What is there, differs from the archive, and stays so.
    pub differences: Vec<String>,
    /// What cannot be done, or is done otherwise.
    pub notes: Vec<String>,
}

/// What a restore would do.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    /// The target.
    pub database: String,
    /// From which backup.
    #[serde(flatten)]
    pub origin: Origin,
    /// Whether it would be created.
    pub create: bool,
    /// How many objects of each kind would be created.
    pub objects: Vec<(String, u64)>,
    /// Tables whose rows would be loaded.
    pub tables: u64,
    /// Their rows.
    pub rows: u64,
    /// Bytes of COPY text to be loaded.
    pub bytes: u64,
    /// Bytes to be read from the store.
    pub read_bytes: u64,
    /// How long the rows take, if they go in as fast as they were read when the backup was made; an estimate, without
    /// indexes and keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub estimated_seconds: Option<f64>,
    /// Objects that are created, where the target lacks them, because what was chosen needs them.
    pub needed: Vec<String>,
    /// Entries of the erasure ledger that would be applied.
    pub erasure_entries: u64,
    /// The class of priority after which the run would stop; the figures are of what it does until then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_after: Option<String>,
    /// What would be done with roles and tablespaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub globals: Option<GlobalsReport>,
    /// What stands in the way, and what to know.
    pub findings: Vec<Finding>,
}

/// What a restore tells at the end.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// The target.
    pub database: String,
    /// How long it took, without the proof of content.
    pub seconds: f64,
    /// How long it took in all.
    pub total_seconds: f64,
    /// Rows loaded.
    pub rows: u64,
    /// Tables loaded.
    pub tables: u64,
    /// Objects created.
    pub objects: u64,
    /// Whether the content was read back and is equal.
    pub verified: bool,
    /// What was checked.
    pub checks: Vec<Check>,
    /// What could not be restored; empty unless the restore was told to keep going.
    pub failures: Vec<String>,
    /// Connections used.
    pub jobs: usize,
    /// Whether it went on with an interrupted one.
    pub resumed: bool,
    /// What was done with roles and tablespaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub globals: Option<GlobalsReport>,
    /// Seconds of each phase.
    pub phases: HashMap<&'static str, f64>,
    /// When each class of priority was complete: rows, indexes and keys.
    pub classes: Vec<ClassComplete>,
    /// What the erasure ledger did after the content was proven; `None` where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub erasure: Option<Report>,
}

impl Summary {
    /// Of a restore that had ended before, and needed only its marks removed.
    pub(super) fn finished(options: &Options, seconds: f64) -> Self {
        Self {
            database: options.target.display(),
            seconds,
            total_seconds: seconds,
            rows: 0,
            tables: 0,
            objects: 0,
            verified: true,
            checks: Vec::new(),
            failures: Vec::new(),
            jobs: options.jobs,
            resumed: true,
            globals: None,
            phases: HashMap::new(),
            classes: Vec::new(),
            erasure: None,
        }
    }
}
