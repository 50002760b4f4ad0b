//! Brings chosen rows back: one transaction, all or nothing.
//!
//! Foreign keys stay in force, so that no row can come back into the void. Triggers that users made are switched off one
//! by one and back on within the transaction, whoever is not asked to let them fire: `session_replication_role` would
//! need a superuser, and would switch the foreign keys off too.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::compare::{self, Extras, TableDiff};
use super::in_the_way;
use super::keys::{self, Violation};
use super::preview::TablePreview;
use super::recover::{Recovery, number};
use super::replace;
use super::scan::Reader;
use super::subject::Subject;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::event::{Event, SharedObserver};
use crate::opened::OpenArchive;
use crate::pg::Session;
use crate::pg::quote::{ident, literal, printable, qualified};
use crate::stop::Stop;

/// What was brought back.
#[derive(Debug, Clone, Serialize)]
pub struct RecoverySummary {
    /// The database.
    pub database: String,
    /// The tables, in the order in which rows went in.
    pub tables: Vec<TableSummary>,
    /// Sequences that were behind and were moved forward.
    pub sequences: Vec<String>,
    /// Triggers that did not fire.
    pub triggers_off: Vec<String>,
    /// Whether all rows are live with the archive's values; triggers that fired may have made others of them.
    pub proven: bool,
    /// How long the transaction took.
    pub seconds: f64,
}

/// What was brought back into one table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TableSummary {
    /// The table.
    pub table: String,
    /// Rows that were missing.
    pub inserted: u64,
    /// Rows that were changed.
    pub updated: u64,
    /// Rows that the archive lacks.
    pub deleted: u64,
    /// The new table that keeps the live rows which were overwritten or deleted.
    pub kept_in: Option<String>,
}

/// A trigger that would fire on the rows.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Trigger {
    schema: String,
    relation: String,
    name: String,
    /// `O` in sessions of origin, `A` always.
    enabled: char,
}

impl Trigger {
    /// For people.
    pub(super) fn display(&self) -> String {
        printable(&format!("{} on {}.{}", self.name, self.schema, self.relation))
    }

    fn alter(&self, what: &str) -> String {
        let relation = qualified(Some(&self.schema), &self.relation);
        format!("ALTER TABLE ONLY {relation} {what} TRIGGER {}", ident(&self.name))
    }

    fn off(&self) -> String {
        self.alter("DISABLE")
    }

    fn on(&self) -> String {
        self.alter(if self.enabled == 'A' { "ENABLE ALWAYS" } else { "ENABLE" })
    }
}

/// The users' triggers of a table and its partitions that fire on rows that are inserted, updated or deleted.
pub(super) async fn triggers(session: &Session, subject: &Subject) -> Result<Vec<Trigger>> {
    let oid = subject.live.oid;
    let sql = format!(
        "SELECT n.nspname AS schema, c.relname AS relation, t.tgname AS name, t.tgenabled::pg_catalog.text AS enabled \
         FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE t.tgrelid IN (SELECT {oid}::pg_catalog.oid UNION SELECT relid FROM pg_catalog.pg_partition_tree({oid}::pg_catalog.oid)) \
           AND (NOT t.tgisinternal OR (t.tgparentid <> 0 AND t.tgconstraint = 0)) AND t.tgenabled IN ('O', 'A') \
           AND (t.tgtype::pg_catalog.int4 & 28) <> 0 ORDER BY 1, 2, 3"
    );
    Ok(session.query_json(&sql).await?)
}

/// A sequence that gives a column its values.
#[derive(Debug, Deserialize)]
struct Fed {
    column: String,
    schema: String,
    name: String,
    greatest: i64,
}

/// The ascending sequences behind a table's columns: owned ones, and those that defaults name.
async fn fed(session: &Session, subject: &Subject) -> Result<Vec<Fed>> {
    let oid = subject.live.oid;
    let sql = format!(
        "SELECT a.attname AS column, n.nspname AS schema, c.relname AS name, q.seqmax AS greatest FROM \
           (SELECT d.refobjsubid::pg_catalog.int4 AS number, d.objid AS sequence FROM pg_catalog.pg_depend d \
             WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass \
               AND d.refobjid = {oid}::pg_catalog.oid AND d.deptype IN ('a', 'i') \
            UNION SELECT f.adnum::pg_catalog.int4, d.refobjid FROM pg_catalog.pg_attrdef f JOIN pg_catalog.pg_depend d \
              ON d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass AND d.objid = f.oid \
             AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass WHERE f.adrelid = {oid}::pg_catalog.oid) x \
         JOIN pg_catalog.pg_attribute a ON a.attrelid = {oid}::pg_catalog.oid AND a.attnum = x.number AND a.atttypid IN (20, 21, 23) \
         JOIN pg_catalog.pg_class c ON c.oid = x.sequence AND c.relkind = 'S' JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         JOIN pg_catalog.pg_sequence q ON q.seqrelid = c.oid AND q.seqincrement > 0"
    );
    Ok(session.query_json(&sql).await?)
}

impl Recovery {
    /// Brings the rows back, in one transaction.
    ///
    /// # Errors
    /// [`ErrorKind::Refused`] when rows would reference nothing; the server's when it refuses; then nothing was changed.
    pub async fn run(
        &self,
        archive: &OpenArchive,
        observer: &SharedObserver,
        stop: &Stop,
    ) -> Result<RecoverySummary> {
        if let Some(lost) = self.preview().tables.iter().find_map(TablePreview::refusal) {
            return Err(Error::new(ErrorKind::Refused, lost).hint(
                "give --column 'TABLE: OLD=NEW' for a column that was renamed, 'TABLE: OLD=' for one that was dropped",
            ));
        }
        if let Some(first) = self.preview().violations.first() {
            let hint = if first.would_go {
                "restore those tables too, so that their rows go along, or give --only all, which deletes nothing"
            } else {
                "give --follow-keys to bring those back too, or choose other rows with --where"
            };
            let all: Vec<String> = self.preview().violations.iter().map(Violation::message).collect();
            return Err(Error::new(ErrorKind::Refused, all.join("; ")).hint(hint));
        }
        let began = Instant::now();
        observer.event(Event::Phase { name: "bringing rows back" });
        let session = &self.bench.writer;
        let reader = Reader::new(session, session, archive, observer, stop)?;
        let result = self.transaction(&reader).await;
        let mut summary = match result {
            Ok(summary) => summary,
            Err(error) => {
                // Best effort: the end of the session rolls back too.
                drop(session.execute("ROLLBACK").await);
                let error = in_the_way(session, &self.subjects, error).await;
                return Err(error.hint("nothing was changed: the transaction was rolled back"));
            }
        };
        summary.seconds = began.elapsed().as_secs_f64();
        Ok(summary)
    }

    async fn transaction(&self, reader: &Reader<'_>) -> Result<RecoverySummary> {
        let Reader { writer: session, observer, .. } = *reader;
        let order = keys::order(&self.subjects, &self.keys);
        let subjects: Vec<&Subject> = order.iter().filter_map(|at| self.subjects.get(*at)).collect();
        // Whoever holds a lock for longer blocks us, and whoever queues behind us waits as long.
        session.execute("BEGIN; SET LOCAL lock_timeout = '15s'; SET CONSTRAINTS ALL DEFERRED").await?;
        if self.replace {
            keep_writers_out(session, &subjects).await?;
        }
        let off = if self.fire_triggers { Vec::new() } else { switch_off(session, &subjects).await? };
        let released = replace::release(session, &self.released).await?;
        let tables = self.write(session, &subjects).await?;
        session
            .execute("SET CONSTRAINTS ALL IMMEDIATE")
            .await
            .context(|| "check the constraints of what came back".to_owned())?;
        for key in &released {
            key.put_back(session).await?;
        }
        let mut proven = true;
        for (subject, table) in subjects.iter().zip(&tables) {
            if self.replace {
                proven &= self.is_the_archives(reader, subject).await?;
            }
            let differ = differing(session, subject).await?;
            let (missing, changed, extra) = self.expected(subject);
            let whole =
                differ == 0 && (table.inserted, table.updated, table.deleted) == (missing, changed, extra);
            proven &= whole;
            let message = format!(
                "{}: {} of {missing} rows inserted, {} of {changed} updated, {} of {extra} deleted, {differ} differ from the archive",
                table.table, table.inserted, table.updated, table.deleted
            );
            match (whole, self.fire_triggers) {
                (true, _) => {}
                (false, true) => {
                    observer.event(Event::Warning { message: format!("{message}: triggers fired") });
                }
                (false, false) => return Err(Error::new(ErrorKind::Validation, message)),
            }
        }
        for trigger in &off {
            session.execute(&trigger.on()).await?;
        }
        let sequences = move_sequences(session, &subjects).await?;
        session.execute("COMMIT").await?;
        let triggers_off = off.iter().map(Trigger::display).collect();
        let database = self.preview().database.clone();
        Ok(RecoverySummary { database, tables, sequences, triggers_off, proven, seconds: 0.0 })
    }

    /// Compares all of a table that was replaced with the archive, once more: rows that were the same may have been written to
    /// since they were compared.
    async fn is_the_archives(&self, reader: &Reader<'_>, subject: &Subject) -> Result<bool> {
        reader.observer.event(Event::Info { message: format!("proving {}", subject.display()) });
        let number = subject.number.saturating_add(self.subjects.len());
        let anew = Subject { number, ..subject.clone() };
        compare::create_stages(reader.writer, &anew).await?;
        let diff = compare::compare(reader, &anew, Extras::Counted).await?;
        let erased = self.preview().of(subject).map_or(0, |table| table.erased);
        if diff.extra == 0 && diff.missing + diff.changed == erased {
            return Ok(true);
        }
        let TableDiff { missing, changed, extra, .. } = diff;
        let message = format!(
            "{} is not what the archive has: {missing} rows are missing, {changed} changed, {extra} are too many",
            subject.display()
        );
        if self.fire_triggers {
            reader.observer.event(Event::Warning { message: format!("{message}: triggers fired") });
            return Ok(false);
        }
        Err(Error::new(ErrorKind::Validation, message).hint(
            "somebody wrote to it since it was compared: stop the applications that do, and run it again",
        ))
    }

    /// Writes: first what goes, referencing tables first; then what comes.
    async fn write(&self, session: &Session, subjects: &[&Subject]) -> Result<Vec<TableSummary>> {
        let mut tables: Vec<TableSummary> = Vec::new();
        for subject in subjects {
            unchanged(session, subject).await?;
            let (_, changed, extra) = self.expected(subject);
            let kept_in = if self.replace && changed + extra > 0 {
                Some(replace::keep(session, subject).await?)
            } else {
                None
            };
            let table = subject.display();
            tables.push(TableSummary { table, inserted: 0, updated: 0, deleted: 0, kept_in });
        }
        if self.replace {
            for (subject, table) in subjects.iter().zip(&mut tables).rev() {
                table.deleted = replace::delete(session, subject).await?;
            }
        }
        session.execute("SAVEPOINT pgcask_come").await?;
        match come(session, subjects, &mut tables, false).await {
            // unique_violation, exclusion_violation: a value that comes is still that of a row which is to change.
            Err(error) if matches!(error.sqlstate(), Some("23505" | "23P01")) => {
                session.execute("ROLLBACK TO SAVEPOINT pgcask_come").await?;
                come(session, subjects, &mut tables, true).await?;
            }
            other => other?,
        }
        Ok(tables)
    }

    /// How many rows the preview said: missing, changed, extra.
    fn expected(&self, subject: &Subject) -> (u64, u64, u64) {
        self.preview().of(subject).map_or((0, 0, 0), |table| (table.missing, table.changed, table.extra))
    }
}

/// Lets others wait who would write: what they wrote would be in neither the preview nor the archive.
async fn keep_writers_out(session: &Session, subjects: &[&Subject]) -> Result<()> {
    for subject in subjects {
        let sql = format!("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE", subject.from());
        let locked = session.execute(&sql).await;
        locked.context(|| format!("keep others from writing into {}", subject.display()))?;
    }
    Ok(())
}

/// Switches users' triggers off until the end of the transaction.
async fn switch_off(session: &Session, subjects: &[&Subject]) -> Result<Vec<Trigger>> {
    let mut off = Vec::new();
    for subject in subjects {
        for trigger in triggers(session, subject).await? {
            let doing = || format!("switch the trigger {} off for the transaction", trigger.display());
            session
                .execute(&trigger.off())
                .await
                .context(doing)
                .map_err(|error| error.hint("only the table's owner may; --fire-triggers leaves them on"))?;
            off.push(trigger);
        }
    }
    Ok(off)
}

const CHOSEN: &str = "s.reason IS NOT NULL";

/// Fails when rows came or went since the preview.
async fn unchanged(session: &Session, subject: &Subject) -> Result<()> {
    if subject.key.is_empty() {
        return Ok(());
    }
    let (stage, from, key) = (subject.stage(), subject.from(), subject.same_key("s", "l"));
    let there = format!("EXISTS (SELECT FROM {from} l WHERE {key})");
    let sql = format!(
        "SELECT pg_catalog.count(*) FROM {stage} s WHERE {CHOSEN} AND (difference = 'm' AND {there} OR difference = 'c' AND NOT {there})"
    );
    let count = number(session, &sql).await?;
    if count == 0 {
        return Ok(());
    }
    let message = format!("{count} rows of {} came or went since they were compared", subject.display());
    Err(Error::new(ErrorKind::Failed, message).hint("run it again: it will look anew"))
}

/// Inserts and updates, referenced tables first: all inserts before the updates, which may reference any of them; or, where
/// a unique value must be given up before it can come, the updates of each table before its inserts.
async fn come(
    session: &Session,
    subjects: &[&Subject],
    tables: &mut [TableSummary],
    updates_first: bool,
) -> Result<()> {
    for (subject, table) in subjects.iter().zip(tables.iter_mut()) {
        if updates_first {
            table.updated = update(session, subject).await?;
        }
        table.inserted = insert(session, subject).await?;
    }
    if !updates_first {
        for (subject, table) in subjects.iter().zip(tables) {
            table.updated = update(session, subject).await?;
        }
    }
    Ok(())
}

async fn insert(session: &Session, subject: &Subject) -> Result<u64> {
    let sql = format!(
        "WITH done AS (INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM {} s WHERE {CHOSEN} AND s.difference = 'm' \
           ORDER BY s.id RETURNING 1) SELECT pg_catalog.count(*) FROM done",
        subject.qualified(),
        subject.live_columns(""),
        subject.staged_columns("s."),
        subject.stage()
    );
    number(session, &sql).await.context(|| format!("insert the missing rows of {}", subject.display()))
}

async fn update(session: &Session, subject: &Subject) -> Result<u64> {
    let is_key = |name: &String| subject.key.iter().any(|key| key.name == *name);
    let always =
        |name: &String| subject.live.columns.iter().any(|column| column.name == *name && column.always);
    let set: Vec<String> = subject
        .columns
        .iter()
        .filter(|name| !is_key(name) && !always(name))
        .map(|name| format!("{} = s.{}", ident(name), subject.staged(name)))
        .collect();
    if set.is_empty() || subject.key.is_empty() {
        return Ok(0);
    }
    let sql = format!(
        "WITH done AS (UPDATE {} AS l SET {} FROM {} s WHERE {CHOSEN} AND s.difference = 'c' AND {} RETURNING 1) \
         SELECT pg_catalog.count(*) FROM done",
        subject.from(),
        set.join(", "),
        subject.stage(),
        subject.same_key("s", "l")
    );
    number(session, &sql).await.context(|| format!("update the changed rows of {}", subject.display()))
}

/// Chosen rows that are not live with the archive's values.
async fn differing(session: &Session, subject: &Subject) -> Result<u64> {
    let (stage, from) = (subject.stage(), subject.from());
    let staged = format!("ROW({})::pg_catalog.text", subject.staged_columns("s."));
    let live = format!("ROW({})::pg_catalog.text", subject.live_columns("l."));
    let sql = if subject.key.is_empty() {
        format!(
            "SELECT pg_catalog.count(*) FROM (SELECT {staged} AS t, pg_catalog.count(*) AS n FROM {stage} s WHERE {CHOSEN} GROUP BY 1) a \
             LEFT JOIN (SELECT {live} AS t, pg_catalog.count(*) AS n FROM {from} l GROUP BY 1) b ON b.t = a.t \
             WHERE b.n IS NULL OR b.n < a.n"
        )
    } else {
        format!(
            "SELECT pg_catalog.count(*) FROM {stage} s WHERE {CHOSEN} AND NOT EXISTS \
               (SELECT FROM {from} l WHERE {} AND {live} = {staged})",
            subject.same_key("s", "l")
        )
    };
    number(session, &sql).await
}

/// Moves sequences forward that are behind the rows that came back; gives their names. This is not undone by a rollback,
/// and harms nobody.
async fn move_sequences(session: &Session, subjects: &[&Subject]) -> Result<Vec<String>> {
    let mut moved = Vec::new();
    for subject in subjects {
        for sequence in fed(session, subject).await? {
            if subject.columns.contains(&sequence.column) {
                // Only a sequence that these rows overtake is looked at further.
                let column = subject.staged(&sequence.column);
                let came = format!(
                    "SELECT pg_catalog.max({column}) AS value FROM {} s WHERE {CHOSEN} AND s.difference = 'm'",
                    subject.stage()
                );
                moved.extend(forward(session, subject, &sequence, &came).await?);
            }
        }
    }
    Ok(moved)
}

/// Moves all sequences forward that are behind a table's rows.
pub(super) async fn advance_sequences(session: &Session, subject: &Subject) -> Result<()> {
    for sequence in fed(session, subject).await? {
        let live = format!(
            "SELECT pg_catalog.max(l.{}) AS value FROM {} l",
            ident(&sequence.column),
            subject.from()
        );
        forward(session, subject, &sequence, &live).await?;
    }
    Ok(())
}

/// Moves a sequence to the greatest live value of its column, if the value that a query gives is beyond it.
async fn forward(session: &Session, subject: &Subject, fed: &Fed, query: &str) -> Result<Option<String>> {
    let Fed { column, schema, name, greatest } = fed;
    let sequence = qualified(Some(schema), name);
    let sql = format!(
        "SELECT pg_catalog.setval({}::pg_catalog.regclass, least({greatest}, (SELECT pg_catalog.max(l.{}) FROM {} l))) \
         FROM ({query}) m, {sequence} q WHERE m.value > q.last_value OR m.value = q.last_value AND NOT q.is_called",
        literal(&sequence),
        ident(column),
        subject.from(),
    );
    let shown = printable(&format!("{schema}.{name}"));
    let value =
        session.query_one_text(&sql).await.context(|| format!("move the sequence {shown} forward"))?;
    Ok(value.map(|_| shown))
}
