//! Rows that are to come back: found, chosen, shown, and then brought back in one transaction.

use std::collections::BTreeSet;

use super::Workbench;
use super::columns::{self, ColumnFate};
use super::compare::{self, Extras};
use super::condition::{self, Bound, Condition};
use super::erased;
use super::groups::{StreamChunk, ZoneKey};
use super::keys::{self, ForeignKey};
use super::preview::Preview;
use super::replace;
use super::scan::Reader;
use super::subject::{self, Subject};
use crate::catalog::model::Model;
use crate::erasure::SharedErasures;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::event::{Event, SharedObserver};
use crate::manifest::Manifest;
use crate::opened::OpenArchive;
use crate::pg::quote::{ident, literal, printable};
use crate::pg::{ConnectOptions, Session};
use crate::plan::select::Pattern;
use crate::stop::Stop;

/// Which rows come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Only {
    /// Those that the live table lacks are inserted.
    pub missing: bool,
    /// Those that have other values are updated.
    pub changed: bool,
    /// Those that the archive lacks are deleted, and kept beside with those that are updated.
    pub extra: bool,
}

/// How far rows are completed along foreign keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follow {
    /// Not at all: rows that reference what is not there are refused.
    No,
    /// By the rows that they reference.
    Referenced,
    /// By those, and by the rows that reference them.
    Both,
}

/// What a recovery of rows is asked for.
#[derive(Debug, Clone)]
pub struct RecoverOptions {
    /// The live database.
    pub live: ConnectOptions,
    /// Which tables.
    pub tables: Vec<Pattern>,
    /// Which rows.
    pub only: Only,
    /// Only rows for which all conditions on their table hold. A table with a condition is meant without being named.
    pub conditions: Vec<Condition>,
    /// What became of columns.
    pub columns: Vec<ColumnFate>,
    /// Completion along foreign keys.
    pub follow: Follow,
    /// Let triggers fire.
    pub fire_triggers: bool,
    /// How many rows of each kind are shown.
    pub sample: usize,
    /// Rows that do not come back.
    pub erasures: SharedErasures,
}

/// What of the archive a staging table has.
#[derive(Debug)]
enum Staged {
    /// All rows that differ.
    Differing,
    /// All rows of these chunks: stream and number.
    Chunks(BTreeSet<(u32, u32)>),
}

/// Rows that were found and wait to be brought back.
#[derive(Debug)]
pub struct Recovery {
    pub(super) bench: Workbench,
    pub(super) subjects: Vec<Subject>,
    staged: Vec<Staged>,
    pub(super) keys: Vec<ForeignKey>,
    pub(super) fire_triggers: bool,
    pub(super) replace: bool,
    /// Keys that hold again only when all is written.
    pub(super) released: Vec<ForeignKey>,
    pub(super) preview: Preview,
}

/// Finds the rows that are to come back. Only temporary tables are written.
///
/// # Errors
/// When a table is not there on both sides, a condition is wrong, and those of the archive and the server.
pub async fn recover(
    options: &RecoverOptions,
    archive: &OpenArchive,
    observer: &SharedObserver,
    stop: &Stop,
) -> Result<Recovery> {
    let manifest = archive.manifest().await?;
    let model = archive.model().await?;
    let mut patterns = options.tables.clone();
    patterns.extend(options.conditions.iter().map(|condition| condition.table.clone()));
    let finder = Finder { options, archive, observer, stop, manifest, model };
    let mut named = subject::find(&finder.manifest, finder.model.as_ref(), &patterns)?;
    for condition in &options.conditions {
        let meant = named.iter().filter(|named| condition.table.matches(&named.schema, &named.name)).count();
        if meant != 1 {
            let message =
                format!("a condition is on one table, {} match {}", meant, printable(&condition.table.text));
            return Err(Error::new(ErrorKind::Usage, message));
        }
    }
    named.iter_mut().try_for_each(|table| columns::rename(table, &options.columns))?;
    let mut recovery = Recovery {
        bench: Workbench::open(&options.live, observer).await?,
        subjects: Vec::new(),
        staged: Vec::new(),
        keys: Vec::new(),
        fire_triggers: options.fire_triggers,
        replace: options.only.extra,
        released: Vec::new(),
        preview: Preview::empty(options.live.display(), finder.manifest.origin(archive.source().display())),
    };
    for named in named {
        let at = recovery.take(named).await?;
        finder.choose(&mut recovery, at).await?;
    }
    recovery.keys = keys::read(&recovery.bench.source, &recovery.subjects).await?;
    if options.follow != Follow::No {
        finder.follow(&mut recovery).await?;
    }
    let looked_at = recovery.subjects.iter().map(|subject| (subject.schema.as_str(), subject.name.as_str()));
    columns::require_used(&options.columns, &looked_at.collect::<Vec<_>>())?;
    let mut erased = Vec::new();
    for subject in &recovery.subjects {
        erased.push(erased::leave_out(&recovery.bench.writer, &options.erasures, subject).await?);
    }
    recovery.preview.erased = erased.iter().sum();
    recovery.keys = keys::read(&recovery.bench.source, &recovery.subjects).await?;
    recovery.show(options.sample, archive.source().bytes_read(), &erased).await?;
    recovery.bench.release().await?;
    Ok(recovery)
}

struct Finder<'a> {
    options: &'a RecoverOptions,
    archive: &'a OpenArchive,
    observer: &'a SharedObserver,
    stop: &'a Stop,
    manifest: Manifest,
    model: Option<Model>,
}

impl Finder<'_> {
    fn reader<'r>(&'r self, bench: &'r Workbench) -> Result<Reader<'r>> {
        Reader::new(&bench.source, &bench.writer, self.archive, self.observer, self.stop)
    }

    /// Stages and chooses the rows of a table that was asked for.
    async fn choose(&self, recovery: &mut Recovery, at: usize) -> Result<()> {
        let Some(subject) = recovery.subjects.get(at) else { return Ok(()) };
        self.observer.event(Event::Info { message: format!("looking for rows of {}", subject.display()) });
        let own = |condition: &&Condition| condition.table.matches(&subject.schema, &subject.name);
        let conditions: Vec<&Condition> = self.options.conditions.iter().filter(own).collect();
        let reader = self.reader(&recovery.bench)?;
        let mut bounds = Vec::new();
        for bound in conditions.iter().filter_map(|condition| condition::simple(&condition.sql)).flatten() {
            bounds.extend(zone_bound(&recovery.bench.writer, subject, bound).await?);
        }
        let staged = if bounds.is_empty() || subject.key.is_empty() {
            let extras = if self.options.only.extra { Extras::Staged } else { Extras::Counted };
            compare::compare(&reader, subject, extras).await?;
            Staged::Differing
        } else {
            let admits = |chunk: &StreamChunk| bounds.iter().all(|(key, bound)| bound.admits(*key, chunk));
            let some = reader.chunks_that(subject, admits).await?;
            reader.stage_chunks(subject, &some).await?;
            compare::classify(&recovery.bench.writer, subject).await?;
            Staged::Chunks(some.iter().map(|chunk| (chunk.stream, chunk.entry.number)).collect())
        };
        mark(&recovery.bench.writer, subject, self.options.only, &conditions).await?;
        if self.options.only.extra {
            replace::choose_extra(&recovery.bench.writer, subject).await?;
        }
        if let Some(slot) = recovery.staged.get_mut(at) {
            *slot = staged;
        }
        Ok(())
    }

    /// Completes the chosen rows along foreign keys, until nothing is added.
    async fn follow(&self, recovery: &mut Recovery) -> Result<()> {
        loop {
            self.stop.check()?;
            let mut added = 0;
            for key in recovery.keys.clone() {
                added += self.follow_up(recovery, &key).await?;
                if self.options.follow == Follow::Both {
                    added += self.follow_down(recovery, &key).await?;
                }
            }
            if added == 0 {
                return Ok(());
            }
            recovery.keys = keys::read(&recovery.bench.source, &recovery.subjects).await?;
        }
    }

    /// Chooses the rows that chosen rows reference and that are not live.
    async fn follow_up(&self, recovery: &mut Recovery, key: &ForeignKey) -> Result<u64> {
        let Some(child) = recovery.position(key.table) else { return Ok(0) };
        let Some(subject) = recovery.subjects.get(child).cloned() else { return Ok(0) };
        if !key.is_covered(&subject, None) {
            return Ok(0);
        }
        let dangling = key.dangling(&subject);
        let any = format!("SELECT EXISTS (SELECT FROM {} s WHERE {dangling})", subject.stage());
        if recovery.bench.writer.query_one_text(&any).await?.as_deref() != Some("t") {
            return Ok(0);
        }
        let Some(parent) =
            self.other(recovery, key.references, &key.references_schema, &key.references_name).await?
        else {
            return Ok(0);
        };
        let Some(referenced) = recovery.subjects.get(parent).cloned() else { return Ok(0) };
        if !key.is_covered(&subject, Some(&referenced)) || referenced.key.is_empty() {
            return Ok(0);
        }
        self.stage_referenced(recovery, parent, &subject, key).await?;
        let reason = literal(&format!("referenced by {}", key.from()));
        let sql = format!(
            "WITH added AS (UPDATE {} p SET reason = {reason} WHERE p.reason IS NULL AND p.difference = 'm' \
               AND EXISTS (SELECT FROM {} s WHERE {dangling_row}) RETURNING 1) SELECT pg_catalog.count(*) FROM added",
            referenced.stage(),
            subject.stage(),
            dangling_row = format_args!("s.reason IS NOT NULL AND {}", key.to_staged(&subject, &referenced)),
        );
        added(&recovery.bench.writer, &referenced, &sql).await
    }

    /// Stages the rows of a parent that dangling rows of a child reference: of few chunks, where zones tell.
    async fn stage_referenced(
        &self,
        recovery: &mut Recovery,
        parent: usize,
        child: &Subject,
        key: &ForeignKey,
    ) -> Result<()> {
        let Some(subject) = recovery.subjects.get(parent) else { return Ok(()) };
        let reader = self.reader(&recovery.bench)?;
        let Some(Staged::Chunks(have)) = recovery.staged.get_mut(parent) else { return Ok(()) };
        let zone = key.columns.iter().find_map(|(own, other, _)| Some((own, subject.zone_of(other)?)));
        let Some((own, zone)) = zone else {
            // No zones to go by: all that differs.
            compare::compare_again(&reader, subject).await?;
            if let Some(slot) = recovery.staged.get_mut(parent) {
                *slot = Staged::Differing;
            }
            return Ok(());
        };
        let values = format!(
            "SELECT DISTINCT s.{}::pg_catalog.text FROM {} s WHERE {}",
            child.staged(own),
            child.stage(),
            key.dangling(child)
        );
        let values =
            recovery.bench.writer.query_text(&values).await?.into_iter().flatten().flatten().collect();
        let bound = Bound { column: String::new(), values: condition::Values::Any(values) };
        let new = |chunk: &StreamChunk| {
            !have.contains(&(chunk.stream, chunk.entry.number)) && bound.admits(zone, chunk)
        };
        let new = reader.chunks_that(subject, new).await?;
        if new.is_empty() {
            return Ok(());
        }
        have.extend(new.iter().map(|chunk| (chunk.stream, chunk.entry.number)));
        reader.stage_chunks(subject, &new).await?;
        compare::classify(&recovery.bench.writer, subject).await?;
        Ok(())
    }

    /// Chooses the rows that reference chosen rows and are not live.
    async fn follow_down(&self, recovery: &mut Recovery, key: &ForeignKey) -> Result<u64> {
        let Some(parent) = recovery.position(key.references) else { return Ok(0) };
        let Some(referenced) = recovery.subjects.get(parent).cloned() else { return Ok(0) };
        let any = format!("SELECT EXISTS (SELECT FROM {} WHERE reason IS NOT NULL)", referenced.stage());
        if recovery.bench.writer.query_one_text(&any).await?.as_deref() != Some("t") {
            return Ok(0);
        }
        let Some(child) = self.other(recovery, key.table, &key.table_schema, &key.table_name).await? else {
            return Ok(0);
        };
        let Some(subject) = recovery.subjects.get(child).cloned() else { return Ok(0) };
        if !key.is_covered(&subject, Some(&referenced)) {
            return Ok(0);
        }
        if matches!(recovery.staged.get(child), Some(Staged::Chunks(_))) {
            let reader = self.reader(&recovery.bench)?;
            compare::compare_again(&reader, &subject).await?;
            if let Some(slot) = recovery.staged.get_mut(child) {
                *slot = Staged::Differing;
            }
        }
        let reason = literal(&format!("references {} by {}", referenced.display(), key.from()));
        let sql = format!(
            "WITH added AS (UPDATE {} s SET reason = {reason} WHERE s.reason IS NULL AND s.difference = 'm' \
               AND EXISTS (SELECT FROM {} p WHERE p.reason IS NOT NULL AND {}) RETURNING 1) SELECT pg_catalog.count(*) FROM added",
            subject.stage(),
            referenced.stage(),
            key.to_staged(&subject, &referenced),
        );
        added(&recovery.bench.writer, &subject, &sql).await
    }

    /// The table at the other end of a key, taken up if the archive has it.
    async fn other(
        &self,
        recovery: &mut Recovery,
        oid: u32,
        schema: &str,
        name: &str,
    ) -> Result<Option<usize>> {
        if let Some(at) = recovery.position(oid) {
            return Ok(Some(at));
        }
        let pattern = Pattern::table(&crate::pg::quote::qualified(Some(schema), name))
            .map_err(|error| Error::with_source(ErrorKind::Failed, "name a table", error))?;
        let Ok(named) = subject::find(&self.manifest, self.model.as_ref(), &[pattern]) else {
            return Ok(None);
        };
        match named.into_iter().next() {
            Some(mut named) => {
                columns::rename(&mut named, &self.options.columns)?;
                Ok(Some(recovery.take(named).await?))
            }
            None => Ok(None),
        }
    }
}

/// A simple condition as the zones of its column take it: its literals as the server writes values of that type.
async fn zone_bound(session: &Session, subject: &Subject, bound: Bound) -> Result<Option<(ZoneKey, Bound)>> {
    let (Some(key), Some(column)) = (
        subject.zone_of(&bound.column),
        subject.live.columns.iter().find(|column| column.name == bound.column),
    ) else {
        return Ok(None);
    };
    let casts: Vec<String> = bound
        .literals()
        .into_iter()
        .map(|value| format!("CAST({} AS {})::pg_catalog.text", literal(value), column.base_type))
        .collect();
    session.execute("SAVEPOINT pgcask_literal").await?;
    let Ok(answer) = session.query_text(&format!("SELECT {}", casts.join(", "))).await else {
        // The server will say itself what it has against the condition, if it has.
        session.execute("ROLLBACK TO SAVEPOINT pgcask_literal").await?;
        return Ok(None);
    };
    let values: Option<Vec<String>> = answer.into_iter().next().unwrap_or_default().into_iter().collect();
    let orderly = |values: &Vec<String>| values.iter().all(|value| key.order.is_orderly(value.as_bytes()));
    Ok(values.filter(orderly).map(|values| (key, bound.with_literals(values))))
}

/// Chooses the staged rows that are meant and for which the conditions hold. A condition sees the columns by their names
/// and the table by its own; names of functions and types are looked up as in the role's own sessions.
async fn mark(session: &Session, subject: &Subject, only: Only, conditions: &[&Condition]) -> Result<()> {
    let stage = subject.stage();
    let classes: Vec<&str> = [(only.missing, "'m'"), (only.changed, "'c'")]
        .iter()
        .filter(|(wanted, _)| *wanted)
        .map(|(_, c)| *c)
        .collect();
    let meant = format!("difference IN ({})", classes.join(", "));
    let sql = if conditions.is_empty() {
        format!("UPDATE {stage} SET reason = 'asked for' WHERE {meant}")
    } else {
        let columns: Vec<String> = subject
            .columns
            .iter()
            .map(|name| format!("{} AS {}", subject.staged(name), ident(name)))
            .collect();
        let all: Vec<String> = conditions.iter().map(|condition| format!("({}\n)", condition.sql)).collect();
        // The condition sees nothing but the columns. The rows' own number goes by a name that no column has.
        format!(
            "WITH meant AS MATERIALIZED (SELECT pgcask_id FROM (SELECT id AS pgcask_id, {} FROM {stage} WHERE {meant}) AS {} \
               WHERE {}) UPDATE {stage} SET reason = 'asked for' WHERE id IN (SELECT pgcask_id FROM meant)",
            columns.join(", "),
            ident(&subject.name),
            all.join(" AND ")
        )
    };
    session.execute("RESET search_path").await?;
    session.execute(&sql).await.context(|| format!("choose rows of {}", subject.display()))?;
    session.execute("SELECT pg_catalog.set_config('search_path', '', false)").await?;
    compare::analyze_marks(session, subject).await
}

/// Runs a statement that chooses rows of a subject; gives how many.
async fn added(session: &Session, subject: &Subject, sql: &str) -> Result<u64> {
    let count = number(session, sql).await?;
    if count > 0 {
        compare::analyze_marks(session, subject).await?;
    }
    Ok(count)
}

pub(super) async fn number(session: &Session, sql: &str) -> Result<u64> {
    Ok(session.query_one_text(sql).await?.and_then(|text| text.parse().ok()).unwrap_or(0))
}

impl Recovery {
    /// What would come back.
    pub fn preview(&self) -> &Preview {
        &self.preview
    }

    fn position(&self, oid: u32) -> Option<usize> {
        self.subjects.iter().position(|subject| subject.live.oid == oid)
    }

    async fn take(&mut self, named: subject::Named) -> Result<usize> {
        let at = self.subjects.len();
        let subject = self.bench.take(named, at).await?;
        self.subjects.push(subject);
        self.staged.push(Staged::Chunks(BTreeSet::new()));
        Ok(at)
    }
}
