//! Recovery at the size of the accident: what of a live table differs from an archive, and bringing back just those
//! rows.
//!
//! ```text
//! live table ─COPY, once─▶ sums by chunk ─┬─ equal: done                    server
//! archive's index ────────────────────────┴─ differ ─▶ chunks ─suspect rows─▶ staging table ─SQL─▶ missing, changed
//! ```

mod apply;
mod beside;
mod columns;
mod compare;
mod condition;
mod erased;
mod groups;
mod keys;
mod preview;
mod recover;
mod replace;
mod scan;
mod subject;

pub use apply::{RecoverySummary, TableSummary};
pub use beside::{BesideOptions, BesidePlan, BesideSummary, beside, plan_beside};
pub use columns::ColumnFate;
pub use compare::{Difference, TableDiff};
pub use condition::Condition;
pub use keys::Violation;
pub use preview::{Preview, TablePreview};
pub use recover::{Follow, Only, RecoverOptions, Recovery, recover};

use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};
use crate::event::{Event, SharedObserver};
use crate::opened::OpenArchive;
use crate::pg::copy::LargeRows;
use crate::pg::lock::{LockPolicy, LockTarget, lock_all, lock_nowait};
use crate::pg::quote::{literal, printable};
use crate::pg::{ConnectOptions, PgError, Session, SessionKind, Snapshot};
use crate::plan::select::Pattern;
use crate::stop::Stop;
use compare::Extras;
use scan::Reader;
use subject::Subject;

/// What a comparison is asked for.
#[derive(Debug, Clone)]
pub struct DiffOptions {
    /// The live database.
    pub live: ConnectOptions,
    /// Which tables.
    pub tables: Vec<Pattern>,
    /// What became of columns.
    pub columns: Vec<ColumnFate>,
    /// How many rows of each kind are shown.
    pub sample: usize,
}

/// Takes pieces of a result as they come.
pub type Sink<'a> = &'a mut (dyn FnMut(&[u8]) -> Result<()> + Send);

/// Compares tables of an archive with live ones. All is seen at one moment. Nothing is changed but temporary tables of
/// the session. All differing rows are given to `csv`, for one table alone, as CSV with a header.
///
/// # Errors
/// When a table is not there on both sides, and those of the archive and the server.
pub async fn diff(
    options: &DiffOptions,
    archive: &OpenArchive,
    csv: Option<Sink<'_>>,
    observer: &SharedObserver,
    stop: &Stop,
) -> Result<Vec<TableDiff>> {
    let manifest = archive.manifest().await?;
    let model = archive.model().await?;
    let mut named = subject::find(&manifest, model.as_ref(), &options.tables)?;
    named.iter_mut().try_for_each(|table| columns::rename(table, &options.columns))?;
    let names: Vec<(&str, &str)> =
        named.iter().map(|table| (table.schema.as_str(), table.name.as_str())).collect();
    columns::require_used(&options.columns, &names)?;
    if csv.is_some() && named.len() != 1 {
        return Err(Error::new(
            ErrorKind::Usage,
            format!("a CSV file is of one table, {} match", named.len()),
        ));
    }
    let mut csv = csv;
    let bench = Workbench::open(&options.live, observer).await?;
    let mut found = Vec::new();
    for (number, named) in named.into_iter().enumerate() {
        stop.check()?;
        let subject = bench.take(named, number).await?;
        observer.event(Event::Info { message: format!("comparing {}", subject.display()) });
        let reader = Reader::new(&bench.source, &bench.writer, archive, observer, stop)?;
        let extras = if options.sample > 0 || csv.is_some() { Extras::Staged } else { Extras::Counted };
        let mut diff = compare::compare(&reader, &subject, extras).await?;
        diff.sample = compare::sample(&bench.writer, &subject, options.sample).await?;
        if let Some(sink) = csv.as_mut() {
            write_csv(&bench.writer, &compare::all_differences(&subject), *sink).await?;
        }
        found.push(diff);
    }
    Ok(found)
}

async fn write_csv(session: &Session, query: &str, sink: Sink<'_>) -> Result<()> {
    let (sql, large) = (format!("COPY ({query}) TO STDOUT (FORMAT csv, HEADER)"), LargeRows::default());
    let (mut blocks, done) = session.copy_out(&sql, &large);
    let written = async {
        while let Some(block) = blocks.recv().await {
            sink(&block.bytes)?;
        }
        Ok::<_, Error>(())
    };
    let done = async { done.await.map_err(Error::from) };
    tokio::try_join!(done, written)?;
    Ok(())
}

/// What to do about a live database that is not there.
const NO_DATABASE: &str = "rows are compared with those of a live database: is its name right?";

/// Two sessions that see the same: one reads live tables, the other has the staging tables.
#[derive(Debug)]
struct Workbench {
    source: Session,
    writer: Session,
    observer: SharedObserver,
}

/// How long a live table is waited for that somebody else has locked: whoever has just lost rows does not watch a silent screen.
const LOCKS: LockPolicy =
    LockPolicy { attempt: Duration::from_secs(2), deadline: Duration::from_secs(20), batch: 1 };

/// Locks a live table against alteration, in the session's transaction. That it is waited for is told.
async fn lock(session: &Session, subject: &Subject, observer: &SharedObserver) -> Result<()> {
    let target = LockTarget {
        oid: subject.live.oid,
        schema: subject.schema.clone(),
        name: subject.name.clone(),
        relkind: subject.live.kind,
    };
    let locked = match lock_nowait(session, &target).await {
        Err(blocked @ PgError::LockTimeout { .. }) => {
            let seconds = LOCKS.deadline.as_secs();
            observer.event(Event::Notice { message: format!("{blocked}; waiting for up to {seconds} s") });
            lock_all(session, &[target], LOCKS).await
        }
        locked => locked,
    };
    locked.map_err(|error| match error {
        PgError::LockTimeout { .. } => Error::new(ErrorKind::Failed, error.to_string())
            .hint("nothing was changed; wait for what is in the way, or end it with pg_terminate_backend, and run it again"),
        error => error.into(),
    })
}

/// A failure of the transaction that writes; one to get a lock with those who have it, as another session sees them.
async fn in_the_way(session: &Session, subjects: &[Subject], error: Error) -> Error {
    // lock_not_available
    if error.sqlstate() != Some("55P03") {
        return error;
    }
    let oids: Vec<String> = subjects.iter().map(|subject| subject.live.oid.to_string()).collect();
    let sql = format!(
        "SELECT DISTINCT pg_catalog.format('%s by pid %s%s', l.relation::pg_catalog.regclass, l.pid, \
           CASE WHEN a.pid IS NOT NULL THEN pg_catalog.format(', %s, %s: %s', a.usename, a.state, pg_catalog.left(a.query, 100)) END) \
         FROM pg_catalog.pg_locks l LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid \
         WHERE l.locktype = 'relation' AND l.granted AND l.relation IN ({}) AND l.mode <> 'AccessShareLock' \
           AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()) ORDER BY 1",
        oids.join(", ")
    );
    // Who is in the way is a courtesy: a failure to find out must not hide the failure to lock.
    let rows = session.query_text(&sql).await.unwrap_or_default();
    let holders: Vec<String> = rows.into_iter().flatten().flatten().map(|text| printable(&text)).collect();
    if holders.is_empty() {
        return error.hint("somebody has the tables locked; run it again when he is through");
    }
    error.hint(format!("locked: {}; run it again when they are through", holders.join("; ")))
}

impl Workbench {
    async fn open(live: &ConnectOptions, observer: &SharedObserver) -> Result<Self> {
        let source = Session::open(live, SessionKind::Source).await;
        let source = source.map_err(|error| Error::of_target(error, NO_DATABASE))?;
        if source.info().is_standby {
            let message = "rows are compared in temporary tables, which a standby does not have";
            return Err(Error::new(ErrorKind::Refused, message).hint("compare with the primary"));
        }
        let writer = Session::open(live, SessionKind::Target).await?;
        let snapshot = Snapshot::export(&source, false).await?;
        let id = snapshot.id.unwrap_or_default();
        let adopt =
            format!("BEGIN ISOLATION LEVEL REPEATABLE READ; SET TRANSACTION SNAPSHOT {}", literal(&id));
        writer.execute(&adopt).await?;
        Ok(Self { source, writer, observer: SharedObserver::clone(observer) })
    }

    /// Ends the common view. Staging tables stay as long as the session.
    async fn release(&self) -> Result<()> {
        self.source.execute("COMMIT").await?;
        Ok(self.writer.execute("COMMIT").await?)
    }

    /// Locks the live table against alteration, looks at it, and makes its staging tables.
    async fn take(&self, named: subject::Named, number: usize) -> Result<Subject> {
        let subject = Subject::resolve(&self.source, named, number).await?;
        lock(&self.source, &subject, &self.observer).await?;
        compare::create_stages(&self.writer, &subject).await?;
        Ok(subject)
    }
}
