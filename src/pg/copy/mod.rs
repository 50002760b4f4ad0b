//! COPY out and in: rows as blocks of bytes, their boundaries, their hash, their least and greatest values.

mod out;
pub mod row_hash;
pub mod rows;
pub mod tap;
pub mod zone;

pub use row_hash::{ContentHash, RowHasher};
pub use tap::{Block, LargeRows, Tap, TapHandle};
pub use zone::{ZoneColumn, ZoneMap, ZoneTracker, ZoneType};
