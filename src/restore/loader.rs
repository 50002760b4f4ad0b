//! Loads the chunks of one unit into one table, in one transaction.

use futures_util::stream::{self, StreamExt as _};

use crate::archive::ChunkEntry;
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Event, SharedObserver};
use crate::opened::{OpenArchive, batches};
use crate::pg::Session;

/// Bytes asked of the store at once: some chunks of about 300 KiB each.
const REQUEST_BYTES: u64 = 4 << 20;

/// Requests under way ahead of the one being loaded.
const READ_AHEAD: usize = 2;

/// Loads chunks through an open `COPY … FROM STDIN`, in any order: rows of a table have none.
///
/// Gives the number of rows that the server took.
pub(super) async fn load(
    session: &Session,
    sql: &str,
    archive: &OpenArchive,
    stream: u32,
    chunks: Vec<ChunkEntry>,
    observer: &SharedObserver,
) -> Result<u64> {
    let expected: u64 = chunks.iter().map(|chunk| u64::from(chunk.rows)).sum();
    let mut copy = session.copy_in(sql).await?;
    let mut requests = stream::iter(batches(chunks, REQUEST_BYTES))
        .map(|batch| async {
            let bytes = archive.source().read(batch.range.clone()).await?;
            archive.open_batch(stream, batch, bytes).await
        })
        .buffered(READ_AHEAD);
    while let Some(texts) = requests.next().await {
        for (text, rows) in texts? {
            let bytes = u64::try_from(text.len()).unwrap_or(u64::MAX);
            copy.send(text).await?;
            observer.event(Event::Progress { bytes, rows });
        }
    }
    let loaded = copy.finish().await?;
    if loaded != expected {
        return Err(Error::new(
            ErrorKind::Validation,
            format!("the server took {loaded} rows of {expected}"),
        ));
    }
    Ok(loaded)
}
