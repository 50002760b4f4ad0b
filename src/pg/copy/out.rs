//! `COPY … TO STDOUT`, as blocks of whole rows.

use std::future::Future;

use tokio::sync::mpsc;
use tokio_postgres::SimpleQueryMessage;

use super::tap::{Block, LargeRows};
use crate::pg::{PgError, Session};

impl Session {
    /// Starts a `COPY … TO STDOUT` and gives the blocks of its rows, and a future that drives the statement and ends
    /// with the number of rows that the server says it sent. Both must be polled at the same time: the blocks end
    /// when the copy does, for whatever reason, and the future says for which.
    ///
    /// # Errors
    /// The future's: those of [`Session::execute`], and [`PgError::Answer`] for a statement that is no copy-out.
    pub fn copy_out(
        &self,
        sql: &str,
        large: &LargeRows,
    ) -> (mpsc::Receiver<Block>, impl Future<Output = Result<u64, PgError>>) {
        let blocks = self.tap().divert(large);
        let done = async move {
            let messages = self.client().simple_query(sql).await;
            self.tap().disarm();
            let rows = messages.map_err(|error| self.judge(&error, sql))?.into_iter().find_map(|message| {
                match message {
                    SimpleQueryMessage::CommandComplete(rows) => Some(rows),
                    _ => None,
                }
            });
            rows.ok_or_else(|| PgError::Answer {
                statement: sql.to_owned(),
                reason: "no copy was made".to_owned(),
            })
        };
        (blocks, done)
    }
}
