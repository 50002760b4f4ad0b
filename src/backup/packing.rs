//! Whether a stream's chunks are packed row by row or column by column: its first chunk is tried both ways.

use std::sync::atomic::{AtomicU8, Ordering};

use crate::archive::{Layout, SealedFrame};
use crate::fields::Fields;

const UNKNOWN: u8 = 0;
const ROWS: u8 = 1;
const COLUMNS: u8 = 2;

/// What is known of one stream. Two workers may find out at the same time, which costs a moment and no harm.
#[derive(Debug, Default)]
pub(super) struct Packing(AtomicU8);

impl Packing {
    /// How to pack the next chunk, whose values' places are known if `fields` has columns.
    pub(super) fn layout<'a>(&self, fields: &'a Fields) -> Layout<'a> {
        match self.0.load(Ordering::Relaxed) {
            _ if fields.columns() < 2 => Layout::Rows,
            ROWS => Layout::Rows,
            COLUMNS => Layout::Columns(fields),
            _ => Layout::Smaller(fields),
        }
    }

    /// Remembers what came out.
    pub(super) fn learn(&self, layout: Layout<'_>, frame: &SealedFrame) {
        if matches!(layout, Layout::Smaller(_)) {
            let found = if frame.is_columnar() { COLUMNS } else { ROWS };
            // The first answer stays.
            self.0.compare_exchange(UNKNOWN, found, Ordering::Relaxed, Ordering::Relaxed).ok();
        }
    }
}
