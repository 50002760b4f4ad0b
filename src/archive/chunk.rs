//! A chunk: some whole rows of one stream. It says itself where it belongs, so that it can be salvaged.
//!
//! ```text
//! prefix  0  4  stream    4  4  number within the stream    8  4  rows    12  4  flags, zero
//! data    the rows' COPY text
//! ```

use super::codec::{Decode, Encode, Malformed, Reader};
use crate::columns::Plan;
use crate::fields::Fields;

/// Length of a chunk's prefix in bytes.
pub const CHUNK_PREFIX_BYTES: usize = 16;

/// What a chunk says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkHead {
    /// The stream it belongs to.
    pub stream: u32,
    /// Its number within the stream. Numbers of one stream differ; they need not be dense or in order.
    pub number: u32,
    /// How many rows it holds.
    pub rows: u32,
}

impl Encode for ChunkHead {
    fn encode(&self, out: &mut Vec<u8>) {
        for number in [self.stream, self.number, self.rows, 0] {
            out.extend_from_slice(&number.to_le_bytes());
        }
    }
}

impl Decode for ChunkHead {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let head = Self { stream: reader.u32()?, number: reader.u32()?, rows: reader.u32()? };
        reader.zeros::<4>()?;
        Ok(head)
    }
}

/// An opened chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk<'a> {
    /// Where it belongs.
    pub head: ChunkHead,
    /// The rows' COPY text.
    pub text: &'a [u8],
}

/// How a chunk's rows lie before they are compressed. Columns compress better for most tables, and faster.
#[derive(Debug, Clone, Copy)]
pub enum Layout<'a> {
    /// Row by row, as they came.
    Rows,
    /// Column by column, as planned; the places of the values are known.
    Columns(&'a Fields, &'a Plan),
    /// Whichever is smaller: all is tried, and the frame tells what was best.
    Smaller(&'a Fields),
}

/// What the index keeps of a chunk beside its place, given by who made it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChunkFacts {
    /// The content hash of its rows; the archive only carries and adds it.
    pub hash: ContentHash,
    /// An opaque zone map of at most 4 KiB; empty when there is none.
    pub zone_map: Vec<u8>,
}

/// A 128-bit content hash that adds up modulo 2^128, in whatever order. Stored little-endian.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct ContentHash(pub u128);

impl std::ops::AddAssign for ContentHash {
    fn add_assign(&mut self, other: Self) {
        self.0 = self.0.wrapping_add(other.0);
    }
}

impl std::fmt::Display for ContentHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl Encode for ContentHash {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0.to_le_bytes());
    }
}

impl Decode for ContentHash {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self(u128::from_le_bytes(reader.array()?)))
    }
}

/// Sums over a stream's chunks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Chunks.
    pub chunks: u64,
    /// Rows.
    pub rows: u64,
    /// Bytes of COPY text.
    pub plain_bytes: u64,
    /// Bytes of frames in the file.
    pub sealed_bytes: u64,
    /// The sum of the content hashes.
    pub hash: ContentHash,
}

impl std::ops::AddAssign for Totals {
    fn add_assign(&mut self, other: Self) {
        self.chunks = self.chunks.saturating_add(other.chunks);
        self.rows = self.rows.saturating_add(other.rows);
        self.plain_bytes = self.plain_bytes.saturating_add(other.plain_bytes);
        self.sealed_bytes = self.sealed_bytes.saturating_add(other.sealed_bytes);
        self.hash += other.hash;
    }
}
