//! What would come back, for people and scripts, before anything is written.

use serde::Serialize;

use super::compare::{self, Difference};
use super::keys::{self, Violation};
use super::recover::{Recovery, number};
use super::replace;
use super::subject::Subject;
use crate::error::Result;
use crate::manifest::Origin;
use crate::pg::quote::printable;

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
    /// Rows that were asked for and do not come back, for the erasure ledger names them.
    pub erased: u64,
    /// Why they are meant, and how many for each reason.
    pub reasons: Vec<(String, u64)>,
    /// Some of them.
    pub sample: Vec<Difference>,
    /// The columns of the key.
    pub key: Vec<String>,
    /// The compared columns.
    pub columns: Vec<String>,
    /// Columns of the archive that the live table lacks: without a word on them no row is inserted.
    pub lost_columns: Vec<String>,
    /// What to know.
    pub notes: Vec<String>,
    /// The new table that rows which are overwritten or deleted are kept in, as of now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept_in: Option<String>,
    /// Triggers that will be off.
    pub triggers: Vec<String>,
}

/// What would come back.
#[derive(Debug, Clone, Serialize)]
pub struct Preview {
    /// The database.
    pub database: String,
    /// From which backup.
    #[serde(flatten)]
    pub origin: Origin,
    /// The tables, in the order in which rows go in.
    pub tables: Vec<TablePreview>,
    /// Rows that cannot come back.
    pub violations: Vec<Violation>,
    /// Rows that were asked for and do not come back, for the erasure ledger names them.
    pub erased: u64,
    /// Bytes that were read from the store.
    pub bytes_read: u64,
}

impl TablePreview {
    /// Why rows cannot come back into this table, if columns stand in the way.
    pub fn refusal(&self) -> Option<String> {
        (self.missing > 0 && !self.lost_columns.is_empty()).then(|| {
            format!(
                "{}: {} rows would come back without what the archive has in {}, which the live table lacks",
                self.table,
                self.missing,
                printable(&self.lost_columns.join(", "))
            )
        })
    }
}

impl Preview {
    /// One in which nothing was found yet.
    pub(super) const fn empty(database: String, origin: Origin) -> Self {
        Self { database, origin, tables: Vec::new(), violations: Vec::new(), erased: 0, bytes_read: 0 }
    }

    /// Why rows cannot come back.
    pub fn refusals(&self) -> Vec<String> {
        let columns = self.tables.iter().filter_map(TablePreview::refusal);
        columns.chain(self.violations.iter().map(Violation::message)).collect()
    }

    /// What would come back into a table.
    pub(super) fn of(&self, subject: &Subject) -> Option<&TablePreview> {
        self.tables.iter().find(|table| table.table == subject.display())
    }

    /// Rows that would come back.
    pub fn rows(&self) -> u64 {
        self.tables.iter().map(|table| table.missing + table.changed + table.extra).sum()
    }
}

impl Recovery {
    /// Describes what was chosen.
    pub(super) async fn show(&mut self, sample: usize, bytes_read: u64, erased: &[u64]) -> Result<()> {
        let session = &self.bench.writer;
        let mut tables = Vec::new();
        let order = keys::order(&self.subjects, &self.keys);
        for at in order.iter().copied() {
            let Some(subject) = self.subjects.get(at) else { continue };
            let stage = subject.stage();
            let count = |class: char| {
                format!(
                    "SELECT pg_catalog.count(*) FROM {stage} WHERE reason IS NOT NULL AND difference = '{class}'"
                )
            };
            let reasons = format!(
                "SELECT reason, pg_catalog.count(*)::pg_catalog.text FROM {stage} WHERE reason IS NOT NULL GROUP BY 1 ORDER BY 1"
            );
            let reason = |row: Vec<Option<String>>| {
                let mut values = row.into_iter().flatten();
                Some((values.next()?, values.next()?.parse().ok()?))
            };
            let triggers = super::apply::triggers(session, subject).await?;
            let missing = number(session, &count('m')).await?;
            let changed = number(session, &count('c')).await?;
            let extra = replace::going(session, subject).await?;
            let kept_in = if self.replace && changed + extra > 0 {
                Some(subject.display_of(&replace::kept_name(session, subject).await?))
            } else {
                None
            };
            tables.push(TablePreview {
                table: subject.display(),
                missing,
                changed,
                extra,
                erased: erased.get(at).copied().unwrap_or_default(),
                reasons: session.query_text(&reasons).await?.into_iter().filter_map(reason).collect(),
                sample: compare::sample_chosen(session, subject, sample).await?,
                kept_in,
                key: subject.key.iter().map(|key| key.name.clone()).collect(),
                columns: subject.columns.clone(),
                lost_columns: subject.lost.clone(),
                notes: subject.notes.clone(),
                triggers: triggers
                    .iter()
                    .filter(|_| !self.fire_triggers)
                    .map(super::apply::Trigger::display)
                    .collect(),
            });
        }
        self.preview.violations = keys::violations(session, &self.subjects, &self.keys).await?;
        let orphans = replace::orphans(session, &self.subjects, &self.keys).await?;
        self.preview.violations.extend(orphans.violations);
        self.released = orphans.released;
        let comes = |oid: u32| {
            let subject = self.subjects.iter().find(|subject| subject.live.oid == oid);
            let table =
                subject.and_then(|subject| tables.iter().find(|table| table.table == subject.display()));
            table.is_some_and(|table| table.missing > 0)
        };
        for key in keys::against(&order, &self.subjects, &self.keys) {
            let known =
                self.released.iter().any(|other| (other.table, &other.name) == (key.table, &key.name));
            if !known && comes(key.table) && comes(key.references) {
                self.released.push(key);
            }
        }
        self.preview.tables = tables;
        self.preview.bytes_read = bytes_read;
        Ok(())
    }
}
