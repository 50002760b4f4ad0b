//! Loads the chunks of one unit into one table, in one transaction.

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use crate::budget::ByteBudget;
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Event, SharedObserver};
use crate::opened::{ChunkRange, OpenArchive, batches};
use crate::pg::Session;

/// Bytes asked of the store at once: some chunks of about 300 KiB each.
const REQUEST_BYTES: u64 = 4 << 20;

/// Bytes of one message to the server: the connection copies each into its own buffer.
const MESSAGE_BYTES: usize = 256 << 10;

/// Requests under way ahead of the one being loaded.
const READ_AHEAD: usize = 2;

/// Loads chunks through an open `COPY … FROM STDIN`, in any order: rows of a table have none.
///
/// Gives the number of rows that the server took.
pub(super) async fn load(
    session: &Session,
    sql: &str,
    archive: &OpenArchive,
    range: ChunkRange,
    budget: &ByteBudget,
    observer: &SharedObserver,
) -> Result<u64> {
    let mut expected = 0;
    let mut copy = session.copy_in(sql).await?;
    let pages = archive.chunk_pages(range);
    let requests = pages
        .map_ok(|chunks| stream::iter(batches(chunks, REQUEST_BYTES)).map(Ok::<_, Error>))
        .try_flatten()
        .map(|batch| async {
            let batch = batch?;
            let plain = usize::try_from(batch.plain_bytes()).unwrap_or(usize::MAX);
            let permit = budget.acquire(plain).await;
            let bytes = archive.source().read(batch.range.clone()).await?;
            Ok::<_, Error>((archive.open_batch(range.stream, batch, bytes).await?, permit))
        })
        .buffered(READ_AHEAD);
    let mut requests = std::pin::pin!(requests);
    while let Some(opened) = requests.next().await {
        let (texts, _permit) = opened?;
        for (mut text, rows) in texts {
            let bytes = u64::try_from(text.len()).unwrap_or(u64::MAX);
            while !text.is_empty() {
                copy.send(text.split_to(text.len().min(MESSAGE_BYTES))).await?;
            }
            expected += rows;
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
