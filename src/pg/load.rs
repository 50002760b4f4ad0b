//! `COPY … FROM STDIN`.

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::SinkExt as _;
use tokio_postgres::CopyInSink;

use super::error::{PgError, presentable};
use super::link::LinkState;

/// Data on its way into a table. Dropped before [`finish`](Self::finish), it aborts the COPY: no row stays.
pub struct CopyIn {
    sink: Pin<Box<CopyInSink<Bytes>>>,
    statement: String,
    state: Arc<LinkState>,
}

impl std::fmt::Debug for CopyIn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CopyIn").field("statement", &self.statement).finish_non_exhaustive()
    }
}

impl CopyIn {
    pub(crate) fn new(sink: CopyInSink<Bytes>, sql: &str, state: Arc<LinkState>) -> Self {
        Self { sink: Box::pin(sink), statement: presentable(sql), state }
    }

    /// Sends a piece of the data; it may begin and end anywhere. Waits while the server is slower than we are. Large
    /// pieces are cheapest.
    ///
    /// # Errors
    /// [`PgError::Lost`] if the connection is gone. What the server has against the data shows in `finish`.
    pub async fn send(&mut self, data: Bytes) -> Result<(), PgError> {
        if data.is_empty() {
            return Ok(());
        }
        let result = self.sink.feed(data).await;
        result.map_err(|error| self.state.explain(PgError::from_driver(&error, &self.statement)))
    }

    /// Ends the data and returns the number of rows that the server stored.
    ///
    /// # Errors
    /// [`PgError::Server`] with the server's report, whose CONTEXT names the line.
    pub async fn finish(mut self) -> Result<u64, PgError> {
        let result = self.sink.as_mut().finish().await;
        result.map_err(|error| self.state.explain(PgError::from_driver(&error, &self.statement)))
    }
}
