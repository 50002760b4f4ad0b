//! What a backup is asked for, and what it tells at the end.

use std::time::Duration;

use jiff::Span;
use serde::Serialize;

use crate::catalog::profile::Wish;
use crate::pg::ConnectOptions;
use crate::plan::select::{Pattern, Selection};
use crate::seal::compress::Level;
use crate::seal::recipient::Recipient;
use crate::store::naming::Kind;
use crate::store::sidecar::{AuditHead, ReplacedBy};

/// Which parts of the database go into the archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Parts {
    /// Definitions and rows.
    #[default]
    All,
    /// Definitions only.
    Definitions,
    /// Rows only.
    Rows,
}

/// Whether roles, tablespaces and what else the whole server has go into the archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Globals {
    /// No.
    Skip,
    /// As far as they may be read; a warning tells what may not.
    #[default]
    IfAllowed,
    /// Yes, or the backup fails.
    Required,
}

/// What a backup is asked for.
#[derive(Debug, Clone)]
pub struct Options {
    /// The database.
    pub source: ConnectOptions,
    /// The kind of backup.
    pub kind: Kind,
    /// How long the backup is to be kept; without it, as long as its kind says.
    pub keep_for: Option<Span>,
    /// How many connections copy at the same time.
    pub jobs: usize,
    /// How hard to compress.
    pub level: Level,
    /// For whom to seal; nobody means that the archive is not encrypted.
    pub recipients: Vec<Recipient>,
    /// Which relations.
    pub selection: Selection,
    /// Tables of personal data, whose rows are left out of this backup.
    pub personal: Vec<Pattern>,
    /// The rows of unlogged tables, too.
    pub unlogged_rows: bool,
    /// Fail when a pattern of the selection matches nothing, instead of warning.
    pub strict_names: bool,
    /// Definitions, rows, or both.
    pub parts: Parts,
    /// Roles and tablespaces.
    pub globals: Globals,
    /// The hashes of the roles' passwords, too. Only for an archive that is encrypted.
    pub role_passwords: bool,
    /// As which managed service's the database is taken.
    pub profile: Wish,
    /// How long to wait for the locks of all tables.
    pub lock_timeout: Duration,
    /// Wait for a snapshot that is serializable beyond doubt (`SERIALIZABLE READ ONLY DEFERRABLE`).
    pub serializable_deferrable: bool,
    /// The head of this host's chain in the audit log, to be named in the sidecar.
    pub audit: Option<AuditHead>,
    /// For a safety backup: what is about to be restored over the database.
    pub replaced_by: Option<ReplacedBy>,
}

impl Options {
    /// Whether a table's rows are left out as personal data.
    pub(super) fn is_personal(&self, schema: &str, name: &str) -> bool {
        self.personal.iter().any(|pattern| pattern.matches(schema, name))
    }

    /// Whether only a chosen part of the database is backed up. What is excluded by name does not make it one: that is how the
    /// regular backups of somebody are who does not need it.
    pub(super) fn is_partial(&self) -> bool {
        let Selection { tables, schemas, .. } = &self.selection;
        self.parts != Parts::All || !tables.is_empty() || !schemas.is_empty()
    }
}

/// What a backup tells at the end.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// Path or URL of the archive.
    pub archive: String,
    /// The backup's id.
    pub id: String,
    /// The kind of backup.
    pub kind: String,
    /// The database.
    pub database: String,
    /// Length of the archive.
    pub bytes: u64,
    /// Bytes of COPY text in it.
    pub plain_bytes: u64,
    /// Rows.
    pub rows: u64,
    /// Tables whose rows are in it.
    pub tables: u64,
    /// Objects whose definitions are in it.
    pub objects: u64,
    /// How long it took.
    pub seconds: f64,
    /// SHA-256 of the archive, hexadecimal.
    pub sha256: String,
    /// Whether it is encrypted.
    pub encrypted: bool,
    /// Connections used.
    pub jobs: usize,
}
