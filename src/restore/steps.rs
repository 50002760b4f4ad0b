//! What each step of a restore does on a session.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

use super::classes::Classes;
use super::definitions::{Attached, Definitions};
use super::execute;
use super::failures::Failures;
use super::load_plan::LoadPlan;
use super::loader;
use super::progress::Ledger;
use super::publications::Publications;
use super::refresh;
use super::together::{DEADLOCK, Part, is_deadlock};
use tokio::sync::{Mutex, MutexGuard};

use crate::budget::ByteBudget;
use crate::catalog::ident::ObjectId;
use crate::catalog::model::Entry;
use crate::error::{Context as _, Result};
use crate::event::SharedObserver;
use crate::manifest::{Content, Stream};
use crate::opened::{ChunkRange, OpenArchive};
use crate::pg::Session;
use crate::pg::quote::{printable, unquoted};
use crate::plan::restore::Step;
use crate::stop::Stop;

/// The mark that default privileges of the target are taken back.
const RESETS: &str = "default privileges of the target";

/// What is needed to run the steps of one restore.
#[derive(Debug)]
pub(super) struct Steps {
    pub(super) archive: OpenArchive,
    pub(super) definitions: Definitions,
    pub(super) loads: Vec<LoadPlan>,
    /// The tables existed before and keep their rows.
    pub(super) keep_rows: bool,
    /// Memory of rows between store and server, over all workers.
    pub(super) budget: ByteBudget,
    /// Entries that others need and that may be at the target already.
    pub(super) needed: BTreeSet<ObjectId>,
    /// Entries that may fail without ending the restore.
    pub(super) tolerated: BTreeSet<ObjectId>,
    /// Statements that come before all that comes last.
    pub(super) resets: Vec<String>,
    pub(super) observer: SharedObserver,
    /// Rows loaded so far.
    pub(super) rows: AtomicU64,
    pub(super) failures: Failures,
    /// Whose turn it is to attach an index to a partitioned one. Servers before the minor releases of November 2026 do not
    /// notice that it is whole when its last two parts are attached at the same time, and it stays invalid.
    pub(super) attaching: Mutex<()>,
    /// Publications that tables are put back into.
    pub(super) publications: Publications,
    /// Statistics are gathered.
    pub(super) analyzes: bool,
    /// When the classes of priority are complete.
    pub(super) classes: Classes,
    /// What is done, where it is kept.
    pub(super) ledger: Option<Ledger>,
}

impl Steps {
    /// The mark of a step that is done; nothing for steps that do nothing.
    pub(super) fn mark_of(&self, step: Step) -> Option<String> {
        let object = |item: usize| {
            self.definitions
                .entries
                .get(item)
                .map(|Entry { head, object }| format!("{} {}.{}", object.kind(), head.id.class, head.id.oid))
        };
        let stream = |load: usize| self.loads.get(load).map(|load| load.stream.id);
        match step {
            Step::Create(item) => object(item).map(|object| format!("create {object}")),
            Step::Finish(item) => object(item).map(|object| format!("complete {object}")),
            Step::Load { load, unit } => stream(load).map(|stream| format!("load {stream}.{unit}")),
            Step::Loaded(_) | Step::AllLoaded => None,
            Step::Analyze(load) => stream(load).map(|stream| format!("analyze {stream}")),
            Step::Refresh(item) => object(item).map(|object| format!("fill {object}")),
        }
    }

    pub(super) fn is_marked(&self, mark: Option<&str>) -> bool {
        match (&self.ledger, mark) {
            (Some(ledger), Some(mark)) => ledger.has(mark),
            _ => false,
        }
    }

    /// Whether an earlier run did the step.
    pub(super) fn is_done(&self, step: Step) -> bool {
        self.is_marked(self.mark_of(step).as_deref())
    }

    /// Ends a transaction in which the marked work was done.
    pub(super) async fn commit(&self, session: &Session, marks: Vec<String>) -> Result<()> {
        let Some(ledger) = &self.ledger else {
            return Ok(session.execute("COMMIT").await?);
        };
        ledger.write(session, &marks).await?;
        session.execute("COMMIT").await?;
        ledger.keep(marks);
        Ok(())
    }

    /// Takes what earlier runs loaded into account.
    pub(super) async fn count_done(&self) -> Result<()> {
        self.rows.store(0, Ordering::Relaxed);
        for (load, plan) in self.loads.iter().enumerate() {
            for (unit, chunks) in plan.units.iter().enumerate() {
                if self.is_done(Step::Load { load, unit }) {
                    self.rows.fetch_add(self.archive.rows_of(*chunks).await?, Ordering::Relaxed);
                }
            }
        }
        Ok(())
    }

    pub(super) fn observer(&self) -> &SharedObserver {
        &self.observer
    }

    /// What a step does, for people; nothing for steps that do nothing.
    pub(super) fn describe(&self, step: Step) -> Option<String> {
        let identity =
            |item: usize| self.definitions.entries.get(item).map(|e| printable(&e.object.identity(&e.head)));
        let stream = |load: usize| self.loads.get(load).map(|load| load.stream.display());
        match step {
            Step::Create(item) => identity(item).map(|name| format!("create {name}")),
            Step::Finish(item) => identity(item).map(|name| format!("complete {name}")),
            Step::Load { load, unit } => stream(load).map(|name| format!("load {name} part {}", unit + 1)),
            Step::Loaded(_) | Step::AllLoaded => None,
            Step::Analyze(load) => stream(load).map(|name| format!("analyze {name}")),
            Step::Refresh(item) => identity(item).map(|name| format!("fill {name}")),
        }
    }

    /// What kind of work a step is, and on what; nothing for steps that do nothing.
    pub(super) fn subject(&self, step: Step) -> Option<(&'static str, String)> {
        let stream = |load: usize| self.loads.get(load).map(|load| load.stream.display());
        let entry = |item: usize| self.definitions.entries.get(item);
        let made = |entry: &Entry| {
            let identity = printable(&entry.object.identity(&entry.head));
            // The kind stands beside it.
            let kind = format!("{} ", entry.object.kind().to_uppercase());
            unquoted(identity.strip_prefix(&kind).unwrap_or(&identity))
        };
        match step {
            Step::Create(item) | Step::Finish(item) => {
                entry(item).map(|entry| (entry.object.kind(), made(entry)))
            }
            Step::Refresh(item) => entry(item).map(|entry| ("fill", made(entry))),
            Step::Load { load, .. } => stream(load).map(|name| ("load", name)),
            Step::Analyze(load) => stream(load).map(|name| ("analyze", name)),
            Step::Loaded(_) | Step::AllLoaded => None,
        }
    }

    /// Whether the load is of large objects' metadata, which is loaded before all else.
    pub(super) fn is_large_objects(&self, load: usize) -> bool {
        self.loads.get(load).is_some_and(|load| load.stream.content == Content::LargeObjects)
    }

    /// Whether the stream's table is a heap, whose pages can be read by ranges.
    pub(super) fn is_heap(&self, stream: &Stream) -> bool {
        let entry = stream
            .object
            .and_then(|id| self.definitions.by_id.get(&id))
            .and_then(|at| self.definitions.entries.get(*at));
        entry.is_some_and(|entry| entry.object.access_method().is_none())
    }

    /// The table at the top of the partition tree that a relation is in.
    pub(super) fn topmost(&self, relation: ObjectId) -> ObjectId {
        let mut top = relation;
        for _ in 0..64 {
            let entry = self.definitions.by_id.get(&top).and_then(|at| self.definitions.entries.get(*at));
            match entry.and_then(|entry| entry.object.partition_of()) {
                Some(parent) => top = parent,
                None => break,
            }
        }
        top
    }

    /// Takes back default privileges of the target which the source did not have.
    pub(super) async fn reset_defaults(&self, session: &Session) -> Result<()> {
        if self.resets.is_empty() || self.is_marked(Some(RESETS)) {
            return Ok(());
        }
        session.execute("BEGIN").await?;
        run_all(session, &self.resets)
            .await
            .context(|| "take back default privileges of the target".to_owned())?;
        self.commit(session, vec![RESETS.to_owned()]).await
    }

    /// Sets the privileges of all entries.
    pub(super) async fn privileges(&self, session: &Session, stop: &Stop) -> Result<()> {
        let own = self.definitions.entries.iter().filter(|entry| !self.needed.contains(&entry.head.id));
        let with_statements = own.map(|entry| (entry, self.definitions.privileges(entry)));
        let mark = |entry: &Entry| {
            format!("privileges {} {}.{}", entry.object.kind(), entry.head.id.class, entry.head.id.oid)
        };
        let open = with_statements
            .filter(|(entry, statements)| !statements.is_empty() && !self.is_marked(Some(&mark(entry))));
        for batch in open.collect::<Vec<_>>().chunks(execute::batch(session).await?) {
            stop.check()?;
            let doing = |entry: &Entry| {
                format!("set the privileges of {}", printable(&entry.object.identity(&entry.head)))
            };
            let part = |(entry, statements): &(&Entry, Vec<String>)| Part {
                doing: doing(entry),
                statements: statements.clone(),
                mark: Some(mark(entry)),
            };
            if self.sent(session, batch.iter().map(part).collect()).await? {
                continue;
            }
            session.execute("BEGIN").await?;
            let mut done = Vec::new();
            for (entry, statements) in batch {
                let work = async { run_all(session, statements).await.context(|| doing(entry)) };
                if self.guarded(session, None, work).await? {
                    done.push(mark(entry));
                }
            }
            self.commit(session, done).await?;
        }
        Ok(())
    }

    /// Does some work within a transaction, so that its failure may be kept and leaves the transaction usable. Gives
    /// whether it was done.
    pub(super) async fn guarded(
        &self,
        session: &Session,
        step: Option<Step>,
        work: impl Future<Output = Result<()>>,
    ) -> Result<bool> {
        let tolerated = self.is_tolerated(step);
        if !self.failures.are_kept() && !tolerated {
            return work.await.map(|()| true);
        }
        session.execute("SAVEPOINT pgcask_object").await?;
        let Err(error) = work.await else {
            session.execute("RELEASE SAVEPOINT pgcask_object").await?;
            return Ok(true);
        };
        if tolerated {
            self.failures.note(step, error, &self.observer)?;
        } else {
            self.failures.keep(step, error, &self.observer)?;
        }
        session.execute("ROLLBACK TO SAVEPOINT pgcask_object; RELEASE SAVEPOINT pgcask_object").await?;
        Ok(false)
    }

    /// Runs one step in transactions of its own, and keeps that it is done.
    pub(super) async fn run_alone(&self, session: &Session, step: Step) -> Result<()> {
        let (Some(ledger), Some(mark)) = (&self.ledger, self.mark_of(step)) else {
            return self.run(session, step).await;
        };
        match step {
            // A load marks itself, in its transaction.
            Step::Load { .. } | Step::Loaded(_) | Step::AllLoaded => self.run(session, step).await,
            // VACUUM has no place in a transaction; to gather statistics twice does no harm.
            Step::Analyze(_) => {
                self.run(session, step).await?;
                let done = Part { doing: String::new(), statements: Vec::new(), mark: Some(mark) };
                self.send(session, vec![done]).await
            }
            // An index that is built in a transaction is there, whole, or is not there at all.
            Step::Create(_) | Step::Finish(_) | Step::Refresh(_) => {
                for _ in 1..DEADLOCK_TRIES {
                    match self.run_marked(session, step, ledger, &mark).await {
                        Err(error) if is_deadlock(&error) => {
                            session.execute("ROLLBACK").await?;
                        }
                        // A view that it reads through a function, which no dependency tells, is not filled yet.
                        Err(error) if refresh::is_too_early(&error) && matches!(step, Step::Refresh(_)) => {
                            session.execute("ROLLBACK").await?;
                            tokio::time::sleep(refresh::AGAIN).await;
                        }
                        other => return other,
                    }
                }
                self.run_marked(session, step, ledger, &mark).await
            }
        }
    }

    async fn run_marked(&self, session: &Session, step: Step, ledger: &Ledger, mark: &str) -> Result<()> {
        if let Some(part) = self.part(step) {
            return self.send(session, vec![part]).await;
        }
        session.execute("BEGIN").await?;
        let turn = self.run_in_turn(session, step).await?;
        ledger.write(session, &[mark.to_owned()]).await?;
        session.execute("COMMIT").await?;
        drop(turn);
        ledger.keep(vec![mark.to_owned()]);
        Ok(())
    }

    /// Whether a step is of an object that only the platform of the target can allow: whether it does is known when it is
    /// tried, and all the rest must not be lost for it.
    pub(super) fn is_tolerated(&self, step: Option<Step>) -> bool {
        let Some(Step::Create(item)) = step else { return false };
        self.definitions.entries.get(item).is_some_and(|entry| self.tolerated.contains(&entry.head.id))
    }

    /// Runs one step.
    pub(super) async fn run(&self, session: &Session, step: Step) -> Result<()> {
        self.run_in_turn(session, step).await.map(drop)
    }

    /// Runs one step; what it gives is to be held until the step is committed.
    async fn run_in_turn(&self, session: &Session, step: Step) -> Result<Option<MutexGuard<'_, ()>>> {
        let doing = || self.describe(step).unwrap_or_default();
        if let Some(Attached { build, attach, partitioned }) = self.attached_index(step) {
            // A partitioned table's own index costs nothing to make, but it locks a table that others attach to: who waits
            // for the turn with that lock waits for one who waits for the lock. Building a partition's is work, done side by side.
            let early = if partitioned { Some(self.attaching.lock().await) } else { None };
            run_all(session, &build).await.context(doing)?;
            let turn = match early {
                Some(turn) => turn,
                None => self.attaching.lock().await,
            };
            run_all(session, &attach).await.context(doing)?;
            return Ok(Some(turn));
        }
        match step {
            Step::Create(item) => self.create(session, item).await.context(doing),
            Step::Finish(item) => run_all(session, &self.definitions.finish(item)).await.context(doing),
            Step::Load { load, unit } => self.load(session, load, unit).await.context(doing),
            Step::Loaded(_) | Step::AllLoaded => Ok(()),
            Step::Analyze(load) => self.analyze(session, load).await.context(doing),
            Step::Refresh(item) => refresh::refresh(session, &self.definitions, item).await.context(doing),
        }?;
        Ok(None)
    }

    fn attached_index(&self, step: Step) -> Option<Attached> {
        let Step::Create(item) = step else { return None };
        let entry = self.definitions.entries.get(item)?;
        if self.needed.contains(&entry.head.id) { None } else { self.definitions.attached_index(item) }
    }

    async fn create(&self, session: &Session, item: usize) -> Result<()> {
        let Some(entry) = self.definitions.entries.get(item) else { return Ok(()) };
        let statements = self.definitions.create(item);
        if self.needed.contains(&entry.head.id) && !self.definitions.detached.contains(&item) {
            return self.create_if_missing(session, &statements).await;
        }
        run_all(session, &statements).await
    }

    /// Creates what a chosen object needs, unless the target has something of that name already.
    async fn create_if_missing(&self, session: &Session, statements: &[String]) -> Result<()> {
        session.execute("SAVEPOINT pgcask_needed").await?;
        for statement in statements {
            if let Err(error) = session.execute(statement).await {
                // duplicate_schema, duplicate_object, duplicate_table, duplicate_function
                if matches!(error.sqlstate(), Some("42P06" | "42710" | "42P07" | "42723")) {
                    session.execute("ROLLBACK TO SAVEPOINT pgcask_needed").await?;
                    return Ok(());
                }
                return Err(error.into());
            }
        }
        session.execute("RELEASE SAVEPOINT pgcask_needed").await?;
        Ok(())
    }

    async fn load(&self, session: &Session, load: usize, unit: usize) -> Result<()> {
        let Some(plan) = self.loads.get(load) else {
            return Ok(());
        };
        let Some(chunks) = plan.units.get(unit).copied() else {
            return Ok(());
        };
        let marks = self.mark_of(Step::Load { load, unit }).into_iter().collect();
        let rows = match &plan.stream.content {
            Content::LargeObjects => {
                self.create_large_objects(session, &plan.stream.columns, chunks, marks).await?
            }
            Content::LargeObjectData => self.load_large_objects(session, chunks, marks).await?,
            Content::Table | Content::ForeignTable { .. } | Content::ExtensionConfig { .. } => {
                self.load_table(session, plan, chunks, marks).await?
            }
        };
        self.rows.fetch_add(rows, Ordering::Relaxed);
        Ok(())
    }

    async fn load_table(
        &self,
        session: &Session,
        plan: &LoadPlan,
        chunks: ChunkRange,
        marks: Vec<String>,
    ) -> Result<u64> {
        let name = plan.table();
        if chunks.count == 0 {
            // Nothing is to be done, and to be marked.
            return Ok(0);
        }
        let columns = plan.stream.column_list();
        session.execute("BEGIN").await?;
        let options = if plan.is_frozen(self.keep_rows) {
            session.execute(&format!("TRUNCATE TABLE ONLY {name}")).await?;
            " WITH (FREEZE)"
        } else {
            ""
        };
        let sql = format!("COPY {name}{columns} FROM STDIN{options}");
        let rows = loader::load(session, &sql, &self.archive, chunks, &self.budget, &self.observer).await?;
        self.commit(session, marks).await?;
        Ok(rows)
    }
}

pub(super) async fn run_all(session: &Session, statements: &[String]) -> Result<()> {
    for statement in statements {
        execute_again(session, statement).await?;
    }
    Ok(())
}

/// How often a statement is tried that the server ended to break a deadlock.
const DEADLOCK_TRIES: usize = 5;

/// Runs a statement, again when it was the victim of a deadlock: the schedule keeps our own statements apart, but
/// others (autovacuum, a monitoring query) lock tables too. Inside a transaction the second try fails at once, since
/// the first one ended the transaction; then the first error is told.
async fn execute_again(session: &Session, statement: &str) -> Result<()> {
    let mut first = None;
    for _ in 0..DEADLOCK_TRIES {
        match session.execute(statement).await {
            Ok(()) => return Ok(()),
            Err(error) if error.sqlstate() == Some(DEADLOCK) => {
                first.get_or_insert(error);
            }
            Err(error) => return Err(first.unwrap_or(error).into()),
        }
    }
    first.map_or(Ok(()), |error| Err(error.into()))
}
