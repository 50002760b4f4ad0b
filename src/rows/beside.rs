//! A table of the archive beside the live one, under another name.

use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;

use super::apply::advance_sequences;
use super::erased;
use super::groups::Groups;
use super::scan::Reader;
use super::subject::{self, Subject};
use crate::erasure::SharedErasures;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::event::{Event, SharedObserver};
use crate::opened::OpenArchive;
use crate::pg::quote::printable;
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
    let (manifest, model) = (archive.manifest().await?, archive.model().await?);
    let mut named = subject::find(&manifest, model.as_ref(), std::slice::from_ref(&options.table))?;
    let (Some(named), true) = (named.pop(), named.is_empty()) else {
        let message = format!("{} is not one table", printable(&options.table.text));
        return Err(Error::new(ErrorKind::Usage, message));
    };
    let session = Session::open(&options.live, SessionKind::Target).await?;
    session.execute("BEGIN").await?;
    let like = Subject::resolve(&session, named, 0).await?;
    let mut made = like.clone();
    made.schema = options.schema.clone().unwrap_or_else(|| like.schema.clone());
    made.name.clone_from(&options.name);
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
