//! A table of the archive beside the live one, under another name.

use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;

use super::apply::advance_sequences;
use super::erased;
use super::groups::Groups;
use super::scan::Reader;
use super::subject::{self, Named, Subject};
use crate::erasure::SharedErasures;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::event::{Event, SharedObserver};
use crate::manifest::{Manifest, Origin};
use crate::opened::OpenArchive;
use crate::pg::quote::{literal, printable};
use crate::pg::{ConnectOptions, Session, SessionKind};
use crate::plan::select::Pattern;
use crate::stop::Stop;

/// What is asked for.
#[derive(Debug, Clone)]
pub struct BesideOptions {
    /// The live database.
    pub live: ConnectOptions,
    /// The table.
    pub table: Pattern,
    /// The schema of the new one, where it is not the live one's.
    pub schema: Option<String>,
    /// The name of the new one.
    pub name: String,
    /// Rows that do not come back.
    pub erasures: SharedErasures,
}

/// What was made.
#[derive(Debug, Clone, Serialize)]
pub struct BesideSummary {
    /// The database.
    pub database: String,
    /// The new table.
    pub table: String,
    /// Its rows.
    pub rows: u64,
    /// Rows of the archive that are not among them, for the erasure ledger names them.
    pub erased: u64,
    /// What to know: columns that are not as in the archive.
    pub notes: Vec<String>,
    /// Whether its rows were read back and have the archive's content hash.
    pub verified: bool,
    /// Bytes read from the store.
    pub bytes_read: u64,
    /// How long it took.
    pub seconds: f64,
}

/// What would be made.
#[derive(Debug, Clone, Serialize)]
pub struct BesidePlan {
    /// The database.
    pub database: String,
    /// From which backup.
    #[serde(flatten)]
    pub origin: Origin,
    /// The new table.
    pub table: String,
    /// The live table that it would be like.
    pub like: String,
    /// Rows of the backup.
    pub rows: u64,
    /// Bytes of COPY text to be loaded.
    pub bytes: u64,
    /// Bytes to be read from the store.
    pub read_bytes: u64,
    /// Entries of the erasure ledger whose rows would not be among them.
    pub erasure_entries: u64,
    /// What to know: columns that are not as in the archive.
    pub notes: Vec<String>,
    /// What stands in the way, a sentence each.
    pub refused: Vec<String>,
}

/// The one table of the archive that is meant.
async fn meant(options: &BesideOptions, archive: &OpenArchive) -> Result<(Manifest, Named)> {
    let (manifest, model) = (archive.manifest().await?, archive.model().await?);
    let mut named = subject::find(&manifest, model.as_ref(), std::slice::from_ref(&options.table))?;
    let (Some(named), true) = (named.pop(), named.is_empty()) else {
        let message = format!("{} is not one table", printable(&options.table.text));
        return Err(Error::new(ErrorKind::Usage, message));
    };
    Ok((manifest, named))
}

/// The new table, as far as it is known before it is made.
fn new_one(options: &BesideOptions, like: &Subject) -> Subject {
    let mut made = like.clone();
    made.schema = options.schema.clone().unwrap_or_else(|| like.schema.clone());
    made.name.clone_from(&options.name);
    made
}

/// What stands in the way of the new table, and what to do about it.
async fn refusal(session: &Session, made: &Subject) -> Result<Option<(String, &'static str)>> {
    let sql = format!(
        "SELECT n.oid IS NULL, c.oid IS NOT NULL, pg_catalog.has_schema_privilege(n.oid, 'CREATE') IS FALSE \
         FROM (VALUES ({}, {})) v(schema, name) LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = v.schema \
         LEFT JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = v.name",
        literal(&made.schema),
        literal(&made.name)
    );
    let row = session.query_text(&sql).await?.into_iter().next().unwrap_or_default();
    let is = |at: usize| row.get(at).is_some_and(|value| value.as_deref() == Some("t"));
    let schema = printable(&made.schema);
    Ok(if is(0) {
        Some((format!("there is no schema {schema}"), "create it first, or take one that is there"))
    } else if is(1) {
        Some((format!("{} is there already", made.display()), "take another name, or drop it first"))
    } else if is(2) {
        let user = printable(&session.info().user);
        Some((format!("{user} may not create a table in the schema {schema}"), "take another schema"))
    } else {
        None
    })
}

async fn open(options: &BesideOptions) -> Result<Session> {
    let session = Session::open(&options.live, SessionKind::Target).await;
    session.map_err(|error| Error::of_target(error, super::NO_DATABASE))
}

/// Says what [`beside`] would do; touches nothing.
///
/// # Errors
/// As for [`beside`], but that the new table exists is told in the plan.
pub async fn plan_beside(options: &BesideOptions, archive: &OpenArchive) -> Result<BesidePlan> {
    let (manifest, named) = meant(options, archive).await?;
    let session = open(options).await?;
    let like = Subject::resolve(&session, named, 0).await?;
    let made = new_one(options, &like);
    let totals = like.streams.iter().map(|stream| archive.stream(stream).map(|entry| entry.totals));
    let totals = totals.collect::<Result<Vec<_>>>()?;
    Ok(BesidePlan {
        database: options.live.display(),
        origin: manifest.origin(archive.source().display()),
        table: made.display(),
        like: like.display(),
        rows: totals.iter().map(|totals| totals.rows).sum(),
        bytes: totals.iter().map(|totals| totals.plain_bytes).sum(),
        read_bytes: totals.iter().map(|totals| totals.sealed_bytes).sum(),
        erasure_entries: u64::try_from(options.erasures.entries.len()).unwrap_or(u64::MAX),
        notes: like.notes.clone(),
        refused: refusal(&session, &made).await?.into_iter().map(|(message, _)| message).collect(),
    })
}

/// Makes a new table like the live one (columns, defaults, checks, indexes with names of their own; no foreign keys and no
/// triggers) and fills it from the archive, in one transaction.
///
/// # Errors
/// When the pattern means no one table, or the new one exists, and those of the archive and the server.
pub async fn beside(
    options: &BesideOptions,
    archive: &OpenArchive,
    observer: &SharedObserver,
    stop: &Stop,
) -> Result<BesideSummary> {
    let began = Instant::now();
    let (_, named) = meant(options, archive).await?;
    let session = open(options).await?;
    session.execute("BEGIN").await?;
    let like = Subject::resolve(&session, named, 0).await?;
    super::lock(&session, &like, observer).await?;
    let mut made = new_one(options, &like);
    if let Some((message, hint)) = refusal(&session, &made).await? {
        return Err(Error::new(ErrorKind::Refused, format!("{message}: nothing was touched")).hint(hint));
    }
    let create = format!("CREATE TABLE {} (LIKE {} INCLUDING ALL)", made.qualified(), like.qualified());
    session.execute(&create).await.context(|| format!("make {}", made.display()))?;
    made.look_again(&session).await?;
    let reader = Reader::new(&session, &session, archive, observer, stop)?;
    let chunks = reader.chunks(&made).await?;
    observer.event(Event::Info { message: format!("filling {}", made.display()) });
    let rows = reader
        .fill(&made, &made.qualified(), &made.live_columns(""), &chunks)
        .await
        .context(|| format!("fill {}", made.display()))?;
    advance_sequences(&session, &made).await?;
    // The archive's hashes are those of all its columns: without some of them there is nothing to compare with.
    let verified = made.is_exact();
    if verified {
        let groups = Arc::new(Groups::new(chunks, made.zone_key()));
        let sums = reader.add_up(&made, &groups).await?;
        if sums.rows() != rows || !sums.differing(&groups).is_empty() {
            let message = format!("{} is not what was backed up", made.display());
            return Err(Error::new(ErrorKind::Validation, message));
        }
    }
    let erased = erased::delete(&session, &options.erasures, &like, &made).await?;
    session.execute(&format!("ANALYZE {}", made.qualified())).await?;
    session.execute("COMMIT").await?;
    Ok(BesideSummary {
        database: options.live.display(),
        table: made.display(),
        rows: rows.saturating_sub(erased),
        erased,
        notes: made.notes.clone(),
        verified,
        bytes_read: archive.source().bytes_read(),
        seconds: began.elapsed().as_secs_f64(),
    })
}
