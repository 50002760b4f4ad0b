//! Large objects are made by the server, out of rows that were staged there.

use super::definitions::Definitions;
use super::loader;
use super::steps::Steps;
use crate::catalog::large_object;
use crate::error::Result;
use crate::opened::ChunkRange;
use crate::pg::Session;

impl Steps {
    /// Stages what is said of large objects, and lets the server make them, some in a transaction: an object is there
    /// with all that belongs to it, or not at all.
    pub(super) async fn create_large_objects(
        &self,
        session: &Session,
        columns: &[String],
        chunks: ChunkRange,
        marks: Vec<String>,
    ) -> Result<u64> {
        let sql = large_object::copy_metadata(columns);
        session.execute(large_object::CREATE_STAGING).await?;
        let rows = loader::load(session, &sql, &self.archive, chunks, &self.budget, &self.observer).await?;
        let Definitions { no_owner, no_acl, acting, .. } = &self.definitions;
        for batch in 0..rows.div_ceil(large_object::BATCH) {
            let marks: Vec<String> = marks.iter().map(|mark| format!("{mark} batch {batch}")).collect();
            if self.is_marked(marks.first().map(String::as_str)) {
                continue;
            }
            session.execute("BEGIN").await?;
            session.execute(&large_object::create(batch)).await?;
            session.execute(&large_object::set_attributes(batch, !no_owner, !no_acl, acting)).await?;
            self.commit(session, marks).await?;
        }
        session.execute("BEGIN").await?;
        session.execute(large_object::DROP_STAGING).await?;
        self.commit(session, marks).await?;
        Ok(rows)
    }

    /// Stages the content and lets the server write it, in one transaction.
    pub(super) async fn load_large_objects(
        &self,
        session: &Session,
        chunks: ChunkRange,
        marks: Vec<String>,
    ) -> Result<u64> {
        let sql = large_object::COPY_CONTENT;
        session.execute("BEGIN").await?;
        session.execute(large_object::CREATE_STAGING).await?;
        let mut rows = 0;
        for chunk in 0..chunks.count {
            let one = ChunkRange { first: chunks.first + chunk, count: 1, ..chunks };
            rows += loader::load(session, sql, &self.archive, one, &self.budget, &self.observer).await?;
            session.execute(large_object::WRITE).await?;
        }
        session.execute(large_object::DROP_STAGING).await?;
        self.commit(session, marks).await?;
        Ok(rows)
    }
}
