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
pub use beside::{BesideOptions, BesideSummary, beside};
pub use columns::ColumnFate;
pub use compare::{Difference, TableDiff};
pub use condition::Condition;
pub use keys::Violation;
pub use preview::{Preview, TablePreview};
pub use recover::{Follow, Only, RecoverOptions, Recovery, recover};

use crate::error::{Error, ErrorKind, Result};
use crate::event::{Event, SharedObserver};
use crate::opened::OpenArchive;
use crate::pg::copy::LargeRows;
use crate::pg::lock::{LockPolicy, LockTarget, lock_all};
use crate::pg::quote::literal;
use crate::pg::{ConnectOptions, Session, SessionKind, Snapshot};
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
    let bench = Workbench::open(&options.live).await?;
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

/// Two sessions that see the same: one reads live tables, the other has the staging tables.
#[derive(Debug)]
struct Workbench {
    source: Session,
    writer: Session,
}

impl Workbench {
    async fn open(live: &ConnectOptions) -> Result<Self> {
        let source = Session::open(live, SessionKind::Source).await?;
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
        Ok(Self { source, writer })
    }

    /// Ends the common view. Staging tables stay as long as the session.
    async fn release(&self) -> Result<()> {
        self.source.execute("COMMIT").await?;
        Ok(self.writer.execute("COMMIT").await?)
    }

    /// Locks the live table against alteration, looks at it, and makes its staging tables.
    async fn take(&self, named: subject::Named, number: usize) -> Result<Subject> {
        let subject = Subject::resolve(&self.source, named, number).await?;
        let target = LockTarget {
            oid: subject.live.oid,
            schema: subject.schema.clone(),
            name: subject.name.clone(),
            relkind: subject.live.kind,
        };
        lock_all(&self.source, &[target], LockPolicy::default()).await?;
        compare::create_stages(&self.writer, &subject).await?;
        Ok(subject)
    }
}
