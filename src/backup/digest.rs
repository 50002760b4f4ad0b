//! What is learnt of a block's rows while they pass: their content hash and their zone map.

use crate::error::{Error, ErrorKind, Result};
use crate::fields::Fields;
use crate::limits::MAX_COLUMNAR_BYTES;
use crate::pg::copy::{Block, ContentHash, RowHasher, ZoneColumn, ZoneMap, ZoneTracker, rows};

/// The facts of one block.
#[derive(Debug, Clone)]
pub(super) struct Digest {
    pub(super) hash: ContentHash,
    pub(super) zones: ZoneMap,
}

/// Hashes every row of the block and finds the bounds of its zone columns. `fields` then holds where the block's values
/// end, if all rows have as many.
///
/// # Errors
/// When the block has not the number of rows that the tap counted: the pair of that count is here.
pub(super) fn digest(
    block: &Block,
    hasher: &RowHasher,
    columns: &[ZoneColumn],
    fields: &mut Fields,
) -> Result<Digest> {
    let text = block.bytes.as_slice();
    let mut hash = ContentHash::default();
    let mut add = |row: &[u8]| {
        hash.rows += 1;
        hash.sum = hash.sum.wrapping_add(hasher.row(row));
    };
    let zones = if text.len() <= MAX_COLUMNAR_BYTES && fields.find(text) {
        let mut zones = ZoneTracker::new(text, columns);
        for row in fields.each_row() {
            add(text.get(row.start()..row.end()).unwrap_or_default());
            zones.row(row);
        }
        zones.finish()
    } else {
        fields.forget();
        rows::rows(text).for_each(add);
        ZoneMap::default()
    };
    if hash.rows != u64::from(block.rows) {
        let message = format!("{} rows came as {} messages of COPY data", hash.rows, block.rows);
        return Err(Error::new(ErrorKind::Failed, message)
            .hint("a proxy between pgcask and the server may re-frame the stream; connect directly"));
    }
    Ok(Digest { hash, zones })
}
