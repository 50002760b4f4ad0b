//! Makes frames. A [`Sealer`] is shared by all threads that compress; each has a [`SealScratch`] of its own.

use std::sync::Arc;

use bytes::Bytes;

use super::body::{Codec, ENVELOPE_BYTES, Envelope};
use super::chunk::{ChunkFacts, ChunkHead, Layout};
use super::codec::Encode;
use super::error::Error;
use super::frame::{FRAME_HEADER_BYTES, FrameHeader, FrameKind};
use super::header::ArchiveId;
use super::section::PartHead;
use crate::limits::{CHUNK_BYTES, MAX_COLUMNAR_BYTES, MAX_ZONE_MAP_BYTES};
use crate::seal::aead::FrameCipher;
use crate::seal::compress::{Compressor, Level};
use crate::seal::nonce::Tickets;

/// A scratch buffer that grew beyond this, for one huge row, is handed on instead of being kept.
const SCRATCH_KEPT_BYTES: usize = 4 * CHUNK_BYTES;

/// Seals payloads into frames of one archive. Cheap to clone; every clone numbers frames from the same counter.
#[derive(Debug, Clone)]
pub struct Sealer(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    id: ArchiveId,
    cipher: FrameCipher,
    tickets: Tickets,
    level: Level,
}

/// What a thread keeps between two frames: a compression context and a buffer.
#[derive(Debug)]
pub struct SealScratch {
    compressor: Compressor,
    buffer: Vec<u8>,
    columns: Vec<u8>,
}

/// A sealed frame on its way to the writer. It has a number, so it must be pushed, or the archive cannot be finished.
#[derive(Debug)]
#[must_use = "a sealed frame that is not pushed leaves a gap in the archive"]
pub struct SealedFrame {
    pub(super) id: ArchiveId,
    pub(super) header: FrameHeader,
    pub(super) bytes: Bytes,
    pub(super) note: Note,
    codec: Codec,
}

/// What the index must know about a sealed frame.
#[derive(Debug)]
pub(super) enum Note {
    Chunk { head: ChunkHead, plain_bytes: u32, facts: ChunkFacts },
    Part { section: usize },
    Page { page: usize },
    Root,
}

impl SealedFrame {
    /// The frame's number in the archive.
    pub const fn sequence(&self) -> u64 {
        self.header.sequence
    }

    /// All its bytes as they go into the file.
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Whether its rows lie column by column.
    pub fn is_columnar(&self) -> bool {
        self.codec == Codec::Columns
    }
}

impl Sealer {
    pub(super) fn new(id: ArchiveId, cipher: FrameCipher, level: Level) -> Self {
        Self(Arc::new(Shared { id, cipher, tickets: Tickets::new(), level }))
    }

    /// A scratch for one thread.
    ///
    /// # Errors
    /// [`Error::Seal`] when there is no memory for it.
    pub fn scratch(&self) -> Result<SealScratch, Error> {
        Ok(SealScratch {
            compressor: Compressor::new(self.0.level)?,
            buffer: Vec::new(),
            columns: Vec::new(),
        })
    }

    /// Seals one chunk of whole rows.
    ///
    /// # Errors
    /// [`Error::Limit`] for a chunk or zone map that is too large, [`Error::Seal`] when zstd fails.
    pub fn seal_chunk(
        &self,
        head: ChunkHead,
        text: &[u8],
        layout: Layout<'_>,
        facts: ChunkFacts,
        scratch: &mut SealScratch,
    ) -> Result<SealedFrame, Error> {
        if facts.zone_map.len() > MAX_ZONE_MAP_BYTES {
            return Err(Error::limit("bytes of a zone map", facts.zone_map.len(), MAX_ZONE_MAP_BYTES));
        }
        let plain_bytes = u32::try_from(text.len()).unwrap_or(u32::MAX);
        let note = Note::Chunk { head, plain_bytes, facts };
        self.seal(FrameKind::Chunk, &head, Plain { bytes: text, layout }, note, scratch)
    }

    pub(super) fn seal_part(
        &self,
        head: PartHead,
        bytes: &[u8],
        section: usize,
        scratch: &mut SealScratch,
    ) -> Result<SealedFrame, Error> {
        self.seal(FrameKind::Section, &head, Plain::opaque(bytes), Note::Part { section }, scratch)
    }

    pub(super) fn seal_page(
        &self,
        bytes: &[u8],
        page: usize,
        scratch: &mut SealScratch,
    ) -> Result<SealedFrame, Error> {
        self.seal(FrameKind::Page, &NoPrefix, Plain::opaque(bytes), Note::Page { page }, scratch)
    }

    pub(super) fn seal_root(&self, bytes: &[u8], scratch: &mut SealScratch) -> Result<SealedFrame, Error> {
        self.seal(FrameKind::Root, &NoPrefix, Plain::opaque(bytes), Note::Root, scratch)
    }

    /// How many frames were numbered so far.
    pub(super) fn issued(&self) -> u64 {
        self.0.tickets.issued()
    }

    /// Compresses behind the room for the header, encrypts in place, and only then copies to a buffer of the right
    /// size: what waits for the store must not hold the worst case's memory. The number is taken after compressing,
    /// so that frames come out of several threads almost in order.
    fn seal(
        &self,
        kind: FrameKind,
        prefix: &dyn Encode,
        plain: Plain<'_>,
        note: Note,
        scratch: &mut SealScratch,
    ) -> Result<SealedFrame, Error> {
        if plain.bytes.len() > kind.max_plain_bytes() {
            return Err(Error::limit("plain bytes of a frame", plain.bytes.len(), kind.max_plain_bytes()));
        }
        let codec = pack(prefix, plain, scratch)?;
        let buffer = &mut scratch.buffer;
        let Shared { id, cipher, tickets, .. } = &*self.0;
        let body_length = buffer.len() - FRAME_HEADER_BYTES + cipher.tag_bytes();
        let body_length = u32::try_from(body_length).unwrap_or(u32::MAX);
        let ticket = tickets.issue();
        let mut header = FrameHeader { kind, body_length, sequence: ticket.sequence(), body_crc: 0 };
        cipher.seal(ticket, &header.associated(id), buffer, FRAME_HEADER_BYTES)?;
        if let Some((front, body)) = buffer.split_first_chunk_mut::<FRAME_HEADER_BYTES>() {
            header.body_crc = crc32fast::hash(body);
            *front = header.encode();
        }
        debug_assert_eq!(buffer.len(), header.frame_bytes());
        Ok(SealedFrame { id: *id, header, bytes: take(buffer), note, codec })
    }
}

/// What a frame is to hold.
#[derive(Debug, Clone, Copy)]
struct Plain<'a> {
    bytes: &'a [u8],
    layout: Layout<'a>,
}

impl<'a> Plain<'a> {
    const fn opaque(bytes: &'a [u8]) -> Self {
        Self { bytes, layout: Layout::Rows }
    }
}

/// Fills the scratch's buffer with room for the header, envelope, prefix, and the packed data.
fn pack(prefix: &dyn Encode, plain: Plain<'_>, scratch: &mut SealScratch) -> Result<Codec, Error> {
    const START: usize = FRAME_HEADER_BYTES + ENVELOPE_BYTES;
    let out = &mut scratch.buffer;
    out.clear();
    out.resize(START, 0);
    prefix.encode(out);
    let prefix_bytes = out.len() - START;
    let packed_from = out.len();
    let codec = pack_data(plain, packed_from, scratch)?;
    let envelope = Envelope {
        codec,
        prefix_bytes: u8::try_from(prefix_bytes).unwrap_or(u8::MAX),
        plain_bytes: u32::try_from(plain.bytes.len()).unwrap_or(u32::MAX),
    };
    if let Some(room) = scratch.buffer.get_mut(FRAME_HEADER_BYTES..START) {
        room.copy_from_slice(&envelope.encode());
    }
    Ok(codec)
}

/// Appends the data, compressed in the layout that is asked for, or as it is where that is not smaller.
fn pack_data(plain: Plain<'_>, from: usize, scratch: &mut SealScratch) -> Result<Codec, Error> {
    let SealScratch { compressor, buffer, columns } = scratch;
    let (fields, both) = match plain.layout {
        Layout::Rows => (None, false),
        Layout::Columns(fields) => (Some(fields), false),
        Layout::Smaller(fields) => (Some(fields), true),
    };
    // One column is the same either way.
    let fields = fields.filter(|fields| fields.columns() > 1 && plain.bytes.len() <= MAX_COLUMNAR_BYTES);
    let turned = fields.is_some_and(|fields| fields.to_columns(plain.bytes, columns));
    let mut codec = if turned { Codec::Columns } else { Codec::Zstd };
    compressor.append(if turned { columns } else { plain.bytes }, buffer)?;
    if turned && both {
        let mut rows = Vec::new();
        compressor.append(plain.bytes, &mut rows)?;
        if rows.len() < buffer.len() - from {
            codec = Codec::Zstd;
            buffer.truncate(from);
            buffer.append(&mut rows);
        }
    }
    if buffer.len() - from >= plain.bytes.len() {
        codec = Codec::Stored;
        buffer.truncate(from);
        buffer.extend_from_slice(plain.bytes);
    }
    Ok(codec)
}

fn take(buffer: &mut Vec<u8>) -> Bytes {
    if buffer.capacity() > SCRATCH_KEPT_BYTES {
        let mut owned = std::mem::take(buffer);
        owned.shrink_to_fit();
        Bytes::from(owned)
    } else {
        Bytes::copy_from_slice(buffer)
    }
}

struct NoPrefix;

impl Encode for NoPrefix {
    fn encode(&self, _out: &mut Vec<u8>) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_huge_chunk_does_not_leave_its_memory_behind() {
        let sealer = Sealer::new(ArchiveId([1; 16]), FrameCipher::clear(), Level::default());
        let mut scratch = sealer.scratch().unwrap();
        let head = ChunkHead { stream: 1, number: 0, rows: 1 };
        let frame = |text: &[u8], scratch: &mut SealScratch| {
            sealer.seal_chunk(head, text, Layout::Rows, ChunkFacts::default(), scratch).unwrap()
        };
        assert!(frame(&vec![b'a'; 8 << 20], &mut scratch).bytes.len() < 1 << 20);
        assert_eq!(scratch.buffer.capacity(), 0);
        assert_eq!(frame(b"small", &mut scratch).sequence(), 1);
        assert!(scratch.buffer.capacity() > 0);
    }
}
