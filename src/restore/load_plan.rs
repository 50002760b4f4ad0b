//! What is loaded, and into which table.

use crate::archive::Totals;
use crate::manifest::{Content, Stream};
use crate::opened::ChunkRange;

/// A stream to be loaded, cut into units.
#[derive(Debug)]
pub(super) struct LoadPlan {
    pub(super) stream: Stream,
    /// What the index says of all its chunks.
    pub(super) totals: Totals,
    /// The chunks of each unit.
    pub(super) units: Vec<ChunkRange>,
    /// The partitioned table that rows go through, quoted and qualified, where they may belong to another partition here.
    pub(super) through: Option<String>,
    /// The streams that must be in before: those of tables that it references.
    pub(super) after: Vec<u32>,
}

impl LoadPlan {
    /// One session loads it all, into a table that was just created: it can empty the table in the same transaction, so that rows are frozen as they
    /// come (`COPY … FREEZE`) and need no vacuum.
    pub(super) fn is_frozen(&self, keep_rows: bool) -> bool {
        !keep_rows && self.units.len() == 1 && self.stream.content == Content::Table && self.through.is_none()
    }

    /// The table that is named in the `COPY`.
    pub(super) fn table(&self) -> String {
        self.through.clone().unwrap_or_else(|| self.stream.qualified())
    }
}
