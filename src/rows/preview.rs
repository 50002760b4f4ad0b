//! What would come back, for people and scripts, before anything is written.

use serde::Serialize;

use super::compare::Difference;
use super::keys::Violation;

/// What would come back into one table.
#[derive(Debug, Clone, Serialize)]
pub struct TablePreview {
    /// The table.
    pub table: String,
    /// Rows to be inserted.
    pub missing: u64,
    /// Rows to be updated.
    pub changed: u64,
    /// Rows to be deleted.
    pub extra: u64,
    /// Why they are meant, and how many for each reason.
    pub reasons: Vec<(String, u64)>,
    /// Some of them.
    pub sample: Vec<Difference>,
    /// The columns of the key.
    pub key: Vec<String>,
    /// The compared columns.
    pub columns: Vec<String>,
    /// What to know.
    pub notes: Vec<String>,
    /// Triggers that will be off.
    pub triggers: Vec<String>,
}

/// What would come back.
#[derive(Debug, Clone, Serialize)]
pub struct Preview {
    /// The database.
    pub database: String,
    /// The tables, in the order in which rows go in.
    pub tables: Vec<TablePreview>,
    /// Rows that cannot come back.
    pub violations: Vec<Violation>,
    /// Rows that were asked for and do not come back, for the erasure ledger names them.
    pub erased: u64,
    /// Bytes that were read from the store.
    pub bytes_read: u64,
}

impl Preview {
    /// Rows that would come back.
    pub fn rows(&self) -> u64 {
        self.tables.iter().map(|table| table.missing + table.changed + table.extra).sum()
    }
}
