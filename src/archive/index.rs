//! Index pages: the entries of up to 1,024 chunks. A large stream fills pages of its own, small ones share.
//!
//! ```text
//! 0  2  version of the page (1)    2  2  zero    4  4  number of runs
//! run    0  4  stream    4  4  number of entries
//! entry  0  4  chunk     4  8  sequence    12  8  offset    20  4  frame length    24  4  plain length
//!        28 4  rows     32 16  content hash              48  2  length of the zone map   50  …  zone map
//! ```

use super::chunk::{ChunkHead, ContentHash};
use super::codec::{Decode, Encode, Malformed, Reader, put_bytes_u16, put_len};
use super::error::Place;
use super::frame::{FrameKind, FrameRef};
use crate::limits::{INDEX_ENTRY_BYTES, MAX_ZONE_MAP_BYTES, PAGE_ENTRIES};

const PAGE_VERSION: u16 = 1;

/// Bytes of a run without its entries.
pub(super) const RUN_BYTES: usize = 8;

/// All that the index knows of one chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChunkEntry {
    /// The chunk's number within its stream.
    pub number: u32,
    /// The frame's sequence number.
    pub sequence: u64,
    /// The frame's first byte in the file.
    pub offset: u64,
    /// All bytes of the frame.
    pub length: u32,
    /// Bytes of COPY text.
    pub plain_bytes: u32,
    /// Rows.
    pub rows: u32,
    /// The content hash of the rows.
    pub hash: ContentHash,
    /// The zone map, opaque to the archive.
    pub zone_map: Vec<u8>,
}

impl ChunkEntry {
    /// The frame that holds the chunk.
    pub const fn frame(&self) -> FrameRef {
        let Self { sequence, offset, length, .. } = *self;
        FrameRef { kind: FrameKind::Chunk, sequence, offset, length }
    }

    /// The chunk's place, for errors.
    pub const fn place(&self, stream: u32) -> Place {
        Place::Chunk { stream, chunk: self.number, sequence: self.sequence, offset: self.offset }
    }

    /// What the chunk must say of itself.
    pub const fn head(&self, stream: u32) -> ChunkHead {
        ChunkHead { stream, number: self.number, rows: self.rows }
    }
}

impl Encode for ChunkEntry {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.number.to_le_bytes());
        self.frame().encode(out);
        out.extend_from_slice(&self.plain_bytes.to_le_bytes());
        out.extend_from_slice(&self.rows.to_le_bytes());
        self.hash.encode(out);
        put_bytes_u16(out, &self.zone_map);
    }
}

impl Decode for ChunkEntry {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            number: reader.u32()?,
            sequence: reader.u64()?,
            offset: reader.u64()?,
            length: reader.u32()?,
            plain_bytes: reader.u32()?,
            rows: reader.u32()?,
            hash: ContentHash::decode(reader)?,
            zone_map: reader.bytes_u16(MAX_ZONE_MAP_BYTES)?.to_vec(),
        })
    }
}

/// The entries of one stream within a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// The stream.
    pub stream: u32,
    /// Its entries, in the order in which the chunks were written.
    pub entries: Vec<ChunkEntry>,
}

/// A page of the index.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// The runs; a stream has at most one in a page.
    pub runs: Vec<Run>,
}

impl Page {
    /// The entries of one stream, empty when the page has none.
    pub fn entries_of(&self, stream: u32) -> &[ChunkEntry] {
        self.runs.iter().find(|run| run.stream == stream).map_or(&[], |run| &run.entries)
    }
}

impl Encode for Page {
    fn encode(&self, out: &mut Vec<u8>) {
        put_page_start(out, self.runs.len());
        for run in &self.runs {
            put_run_start(out, run.stream, run.entries.len());
            run.entries.iter().for_each(|entry| entry.encode(out));
        }
    }
}

impl Decode for Page {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        if reader.u16()? != PAGE_VERSION {
            return Err(reader.error("unknown version of an index page"));
        }
        reader.zeros::<2>()?;
        let count = reader.count(RUN_BYTES, PAGE_ENTRIES)?;
        let mut runs = Vec::with_capacity(count);
        let mut total = 0;
        for _ in 0..count {
            let stream = reader.u32()?;
            let count = reader.count(INDEX_ENTRY_BYTES, PAGE_ENTRIES)?;
            total += count;
            if total > PAGE_ENTRIES {
                return Err(reader.error("the page has too many entries"));
            }
            let entries = (0..count).map(|_| ChunkEntry::decode(reader)).collect::<Result<_, _>>()?;
            runs.push(Run { stream, entries });
        }
        Ok(Self { runs })
    }
}

pub(super) fn put_page_start(out: &mut Vec<u8>, runs: usize) {
    out.extend_from_slice(&PAGE_VERSION.to_le_bytes());
    out.extend_from_slice(&[0; 2]);
    put_len(out, runs);
}

pub(super) fn put_run_start(out: &mut Vec<u8>, stream: u32, entries: usize) {
    out.extend_from_slice(&stream.to_le_bytes());
    put_len(out, entries);
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn entry(number: u32, zone: usize) -> ChunkEntry {
        ChunkEntry {
            number,
            sequence: u64::from(number) + 3,
            offset: 1000,
            length: 90,
            plain_bytes: 500,
            rows: 7,
            hash: ContentHash(u128::MAX - 5),
            zone_map: vec![9; zone],
        }
    }

    #[test]
    fn a_page_round_trips_and_entries_have_their_stated_size() {
        assert_eq!(entry(1, 0).to_bytes().len(), INDEX_ENTRY_BYTES);
        assert_eq!(entry(1, 9).to_bytes().len(), INDEX_ENTRY_BYTES + 9);
        let runs = vec![
            Run { stream: 4, entries: vec![entry(0, 3), entry(1, 0)] },
            Run { stream: 9, entries: vec![entry(0, MAX_ZONE_MAP_BYTES)] },
        ];
        let page = Page { runs };
        let bytes = page.to_bytes();
        assert_eq!(Page::from_bytes(&bytes), Ok(page.clone()));
        assert_eq!(page.entries_of(9).len(), 1);
        assert!(page.entries_of(5).is_empty());
        for end in 0..bytes.len() {
            assert!(Page::from_bytes(&bytes[..end]).is_err());
        }
    }

    #[test]
    fn too_many_entries_are_refused() {
        let page = |count: usize| Page {
            runs: vec![
                Run { stream: 1, entries: vec![entry(0, 0); count] },
                Run { stream: 2, entries: vec![] },
            ],
        };
        assert!(Page::from_bytes(&page(PAGE_ENTRIES).to_bytes()).is_ok());
        assert!(Page::from_bytes(&page(PAGE_ENTRIES + 1).to_bytes()).is_err());
    }
}
