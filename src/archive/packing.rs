//! How a stream's chunks are packed, row by row or column by column and how each column: its first chunk is tried all ways.

use std::sync::OnceLock;

use super::chunk::Layout;
use super::sealer::SealedFrame;
use crate::columns::Plan;
use crate::fields::Fields;

/// What is known of one stream: nothing yet, that rows are best, or the plan of its columns. Two workers may find out at
/// the same time, which costs a moment and no harm.
#[derive(Debug, Default)]
pub struct Packing(OnceLock<Option<Plan>>);

impl Packing {
    /// How to pack the next chunk, whose values' places are known if `fields` has columns.
    pub fn layout<'a>(&'a self, fields: &'a Fields) -> Layout<'a> {
        match self.0.get() {
            _ if fields.columns() < 2 => Layout::Rows,
            Some(None) => Layout::Rows,
            Some(Some(plan)) => Layout::Columns(fields, plan),
            None => Layout::Smaller(fields),
        }
    }

    /// Remembers what came out.
    pub fn learn(&self, layout: Layout<'_>, frame: &SealedFrame) {
        if matches!(layout, Layout::Smaller(_)) {
            // The first answer stays.
            self.0.get_or_init(|| frame.plan().cloned());
        }
    }
}
