//! Compares one table: stages what may differ, lets the server say what does, and counts.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::groups::{Groups, Sums};
use super::scan::Reader;
use super::subject::Subject;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::pg::Session;
use crate::pg::quote::{ident, literal};

/// How far rows that only the live table has are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extras {
    /// They are counted.
    Counted,
    /// They are staged too.
    Staged,
}

/// What was found of one table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct TableDiff {
    /// The table.
    pub table: String,
    /// What rows are told apart by.
    pub compared_by: String,
    /// The columns of the key; none where whole rows are compared.
    pub key: Vec<String>,
    /// The compared columns.
    pub columns: Vec<String>,
    /// Columns of the archive that the live table lacks, and of which nobody said that they were dropped.
    pub lost_columns: Vec<String>,
    /// What to know: columns that are not compared.
    pub notes: Vec<String>,
    /// Rows in the archive.
    pub backup_rows: u64,
    /// Rows in the live table.
    pub live_rows: u64,
    /// Rows that only the archive has.
    pub missing: u64,
    /// Rows that both have, with other values.
    pub changed: u64,
    /// Rows that only the live table has.
    pub extra: u64,
    /// Some of them.
    pub sample: Vec<Difference>,
    /// Chunks of the table in the archive.
    pub chunks: u64,
    /// Chunks that had to be read.
    pub chunks_read: u64,
}

impl TableDiff {
    /// Whether both have the same rows, in all columns of the archive.
    pub fn is_equal(&self) -> bool {
        self.missing == 0 && self.changed == 0 && self.extra == 0 && self.lost_columns.is_empty()
    }
}

/// A row that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// `missing`, `changed` or `extra`.
    pub difference: String,
    /// The values in the archive; each is text or null.
    #[serde(default)]
    pub backup: Option<Map<String, Value>>,
    /// The values in the live table.
    #[serde(default)]
    pub live: Option<Map<String, Value>>,
}

/// Makes the staging tables of a subject: the compared columns with the live table's types, named `c1`, `c2`…
pub(super) async fn create_stages(session: &Session, subject: &Subject) -> Result<()> {
    let columns: Vec<String> =
        subject.columns.iter().map(|name| format!("{} AS {}", ident(name), subject.staged(name))).collect();
    for stage in [subject.stage(), subject.live_stage()] {
        let (_, bare) = stage.split_once('.').unwrap_or_default();
        let sql = format!(
            "CREATE TEMP TABLE {bare} AS SELECT {} FROM {} WITH NO DATA; \
             ALTER TABLE {stage} ADD COLUMN id pg_catalog.int8 GENERATED ALWAYS AS IDENTITY, \
               ADD COLUMN difference pg_catalog.\"char\", ADD COLUMN reason pg_catalog.text",
            columns.join(", "),
            subject.from()
        );
        session.execute(&sql).await.map_err(Error::from).map_err(|error| {
            error
                .context(format!("make a staging table for {}", subject.display()))
                .hint("rows are compared in temporary tables: the role needs TEMPORARY on the database, and a primary")
        })?;
    }
    Ok(())
}

/// Compares. The staging tables are made and empty; afterwards they hold what differs, and few rows that do not.
pub(super) async fn compare(reader: &Reader<'_>, subject: &Subject, extras: Extras) -> Result<TableDiff> {
    let chunks = reader.chunks(subject).await?;
    let count = u64::try_from(chunks.len()).unwrap_or(u64::MAX);
    let groups = Arc::new(Groups::new(chunks, subject.zone_key()));
    let sums = reader.add_up(subject, &groups).await?;
    let live_rows = sums.rows();
    let backup_rows = groups.list.iter().map(|group| group.expected.rows).sum();
    let before = sums.chunks_to_read(&groups, subject.is_exact());
    let (sums, staged) = reader.stage_suspects(subject, &groups, sums).await?;
    let mut diff = TableDiff {
        table: subject.display(),
        compared_by: subject.compared_by(),
        key: subject.key.iter().map(|key| key.name.clone()).collect(),
        columns: subject.columns.clone(),
        lost_columns: subject.lost.clone(),
        notes: subject.notes.clone(),
        backup_rows,
        live_rows,
        chunks: count,
        chunks_read: before,
        ..TableDiff::default()
    };
    let doing = || format!("compare {}", subject.display());
    let session = reader.writer;
    if subject.key.is_empty() {
        stage_live(reader, subject, &groups, sums, &diff).await?;
        let found = classify_whole_rows(session, subject).await.context(doing)?;
        (diff.missing, diff.extra) = found;
        return Ok(diff);
    }
    if staged > 0 {
        (diff.missing, diff.changed) = classify(session, subject).await.context(doing)?;
    }
    // Every row of the archive is missing or has its live row, so the rest of the live rows are extra.
    diff.extra = live_rows.saturating_sub(backup_rows.saturating_sub(diff.missing));
    if extras == Extras::Staged && diff.extra > 0 {
        stage_live(reader, subject, &groups, sums, &diff).await?;
        let found = mark_extra(session, subject).await.context(doing)?;
        if found != diff.extra {
            let message =
                format!("{}: {} live rows must be extra, {found} were found", subject.display(), diff.extra);
            return Err(Error::new(ErrorKind::Validation, message));
        }
    }
    Ok(diff)
}

async fn stage_live(
    reader: &Reader<'_>,
    subject: &Subject,
    groups: &Arc<Groups>,
    sums: Sums,
    diff: &TableDiff,
) -> Result<()> {
    if diff.live_rows == 0 || (diff.chunks_read == 0 && diff.live_rows == diff.backup_rows) {
        return Ok(());
    }
    reader.stage_live(subject, groups, sums).await?;
    Ok(reader.writer.execute(&format!("ANALYZE {}", subject.live_stage())).await?)
}

/// Marks the staged rows of the archive that are missing or changed in the live table; gives how many of each.
pub(super) async fn classify(session: &Session, subject: &Subject) -> Result<(u64, u64)> {
    let (stage, from) = (subject.stage(), subject.from());
    let key = subject.same_key("s", "l");
    let sql = format!(
        "ANALYZE {stage}; UPDATE {stage} s SET difference = NULL WHERE difference IS NOT NULL; \
         UPDATE {stage} s SET difference = 'm' WHERE NOT EXISTS (SELECT FROM {from} l WHERE {key}); \
         UPDATE {stage} s SET difference = 'c' FROM {from} l WHERE s.difference IS NULL AND {key} \
           AND {} IS DISTINCT FROM {}",
        whole(&subject.staged_columns("s.")),
        whole(&subject.live_columns("l.")),
    );
    session.execute(&sql).await?;
    analyze_marks(session, subject).await?;
    Ok((count(session, &stage, 'm').await?, count(session, &stage, 'c').await?))
}

/// Lets the planner know how many rows are marked, and how: without it, joins of what was just marked go wrong by orders
/// of magnitude.
pub(super) async fn analyze_marks(session: &Session, subject: &Subject) -> Result<()> {
    Ok(session.execute(&format!("ANALYZE {} (difference, reason)", subject.stage())).await?)
}

/// A row's values as one text. Types without equality (`json`, `xml`, `point`) have it here.
fn whole(columns: &str) -> String {
    format!("ROW({columns})::pg_catalog.text")
}

/// Marks the staged live rows whose key the archive does not have.
async fn mark_extra(session: &Session, subject: &Subject) -> Result<u64> {
    let (stage, live) = (subject.stage(), subject.live_stage());
    let key = subject.same_staged_key("s", "l");
    let sql =
        format!("UPDATE {live} l SET difference = 'e' WHERE NOT EXISTS (SELECT FROM {stage} s WHERE {key})");
    session.execute(&sql).await?;
    count(session, &live, 'e').await
}

/// Compares staged rows as multisets: the n-th of equal rows on the one side has the n-th on the other.
async fn classify_whole_rows(session: &Session, subject: &Subject) -> Result<(u64, u64)> {
    let (stage, live) = (subject.stage(), subject.live_stage());
    let text = whole(&subject.staged_columns(""));
    let numbered = |table: &str| {
        format!(
            "SELECT id, {text} AS t, pg_catalog.row_number() OVER (PARTITION BY {text} ORDER BY id) AS n FROM {table}"
        )
    };
    let (s, l) = (numbered(&stage), numbered(&live));
    let mark = |table: &str, own: &str, other: &str, class: char| {
        format!(
            "UPDATE {table} x SET difference = '{class}' FROM ({own}) a WHERE a.id = x.id \
             AND NOT EXISTS (SELECT FROM ({other}) b WHERE b.t = a.t AND b.n = a.n)"
        )
    };
    session.execute(&format!("{}; {}", mark(&stage, &s, &l, 'm'), mark(&live, &l, &s, 'e'))).await?;
    Ok((count(session, &stage, 'm').await?, count(session, &live, 'e').await?))
}

async fn count(session: &Session, table: &str, class: char) -> Result<u64> {
    let sql = format!("SELECT pg_catalog.count(*) FROM {table} WHERE difference = '{class}'");
    Ok(session.query_one_text(&sql).await?.and_then(|text| text.parse().ok()).unwrap_or(0))
}

/// Compares anew a table of which a part was staged: what was chosen of it stays chosen.
pub(super) async fn compare_again(reader: &Reader<'_>, subject: &Subject) -> Result<()> {
    let (session, stage) = (reader.writer, subject.stage());
    session.execute(&format!("DELETE FROM {stage} WHERE reason IS NULL")).await?;
    compare(reader, subject, Extras::Counted).await?;
    if subject.key.is_empty() {
        return Ok(());
    }
    let twice = format!(
        "DELETE FROM {stage} n USING {stage} k WHERE n.reason IS NULL AND k.reason IS NOT NULL AND {}",
        subject.same_staged_key("k", "n")
    );
    Ok(session.execute(&twice).await?)
}

/// Some of the rows that differ, at most so many of each kind.
pub(super) async fn sample(session: &Session, subject: &Subject, limit: usize) -> Result<Vec<Difference>> {
    let mut all = sample_staged(session, subject, limit, "true").await?;
    all.extend(sample_live(session, subject, limit, "true").await?);
    Ok(all)
}

/// Some of the live rows that the archive does not have.
async fn sample_live(
    session: &Session,
    subject: &Subject,
    limit: usize,
    condition: &str,
) -> Result<Vec<Difference>> {
    let extra = format!(
        "SELECT 'extra' AS difference, {} AS live FROM {} s WHERE difference = 'e' AND {condition} ORDER BY id LIMIT {limit}",
        values(subject, "s.", &|name| subject.staged(name)),
        subject.live_stage()
    );
    Ok(session.query_json(&extra).await?)
}

/// Some of the chosen rows.
pub(super) async fn sample_chosen(
    session: &Session,
    subject: &Subject,
    limit: usize,
) -> Result<Vec<Difference>> {
    let mut all = sample_staged(session, subject, limit, "s.reason IS NOT NULL").await?;
    all.extend(sample_live(session, subject, limit, "reason IS NOT NULL").await?);
    Ok(all)
}

/// Some of the archive's rows that are missing or changed.
async fn sample_staged(
    session: &Session,
    subject: &Subject,
    limit: usize,
    condition: &str,
) -> Result<Vec<Difference>> {
    let stage = subject.stage();
    let backup = values(subject, "s.", &|name| subject.staged(name));
    let missing = format!(
        "SELECT 'missing' AS difference, {backup} AS backup FROM {stage} s \
         WHERE s.difference = 'm' AND {condition} ORDER BY s.id LIMIT {limit}"
    );
    let mut all = session.query_json(&missing).await?;
    if !subject.key.is_empty() {
        let changed = format!(
            "SELECT 'changed' AS difference, {backup} AS backup, {} AS live FROM {stage} s JOIN {} l ON {} \
             WHERE s.difference = 'c' AND {condition} ORDER BY s.id LIMIT {limit}",
            values(subject, "l.", &|name| ident(name)),
            subject.from(),
            subject.same_key("s", "l")
        );
        all.extend(session.query_json(&changed).await?);
    }
    Ok(all)
}

/// A row's values as a JSON object of texts.
fn values(subject: &Subject, alias: &str, column: &dyn Fn(&str) -> String) -> String {
    let names: Vec<String> = subject.columns.iter().map(|name| literal(name)).collect();
    let texts: Vec<String> =
        subject.columns.iter().map(|name| format!("{alias}{}::pg_catalog.text", column(name))).collect();
    format!("pg_catalog.json_object(ARRAY[{}], ARRAY[{}])", names.join(", "), texts.join(", "))
}

/// The query of all rows that differ: what differs, on which side the row is, its values. A changed row is there from
/// both sides.
pub(super) fn all_differences(subject: &Subject) -> String {
    let (stage, live) = (subject.stage(), subject.live_stage());
    let named: Vec<String> =
        subject.columns.iter().map(|name| format!("s.{} AS {}", subject.staged(name), ident(name))).collect();
    let staged = subject.staged_columns("s.");
    let mut parts = vec![
        format!(
            "SELECT 'missing' AS difference, 'backup' AS side, {} FROM {stage} s WHERE difference = 'm'",
            named.join(", ")
        ),
        format!("SELECT 'changed', 'backup', {staged} FROM {stage} s WHERE difference = 'c'"),
        format!("SELECT 'extra', 'live', {staged} FROM {live} s WHERE difference = 'e'"),
    ];
    if !subject.key.is_empty() {
        parts.push(format!(
            "SELECT 'changed', 'live', {} FROM {stage} s JOIN {} l ON {} WHERE s.difference = 'c'",
            subject.live_columns("l."),
            subject.from(),
            subject.same_key("s", "l")
        ));
    }
    parts.join(" UNION ALL ")
}
