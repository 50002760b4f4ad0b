//! What is learnt of a block's rows while they pass: their content hash and their zone map.

use crate::error::{Error, ErrorKind, Result};
use crate::pg::copy::{Block, ContentHash, RowHasher, ZoneColumn, ZoneMap, ZoneTracker, rows};

/// The facts of one block.
#[derive(Debug, Clone)]
pub(super) struct Digest {
    pub(super) hash: ContentHash,
    pub(super) zones: ZoneMap,
}

/// Hashes every row of the block and tracks its zone columns, in one pass.
///
/// # Errors
/// When the block has not the number of rows that the tap counted: the pair of that count is here.
pub(super) fn digest(block: &Block, hasher: &RowHasher, columns: &[ZoneColumn]) -> Result<Digest> {
    let mut hash = ContentHash::default();
    let mut zones = ZoneTracker::new(columns);
    for row in rows::rows(&block.bytes) {
        hash.rows += 1;
        hash.sum = hash.sum.wrapping_add(hasher.row(row));
        zones.row(row);
    }
    if hash.rows != u64::from(block.rows) {
        let message = format!("{} rows came as {} messages of COPY data", hash.rows, block.rows);
        return Err(Error::new(ErrorKind::Failed, message)
            .hint("a proxy between pgcask and the server may re-frame the stream; connect directly"));
    }
    Ok(Digest { hash, zones: zones.finish() })
}
