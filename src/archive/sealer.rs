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
use crate::columns::{self, Effort, Laid, Plan};
use crate::fields::Fields;
use crate::limits::{CHUNK_BYTES, MAX_COLUMNAR_BYTES, MAX_ZONE_MAP_BYTES};
use crate::seal::SealError;
use crate::seal::aead::FrameCipher;
use crate::seal::compress::{Compressor, Level};
use crate::seal::nonce::Tickets;

/// A scratch buffer that grew beyond this, for one huge row, is handed on instead of being kept.
const SCRATCH_KEPT_BYTES: usize = 4 * CHUNK_BYTES;

/// Below this, what the frames of each column cost is more than their encodings gain, and a database of many small tables
/// would be tried for longer than it is read.
const MIN_ENCODED_BYTES: usize = 8 << 10;

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

/// What a thread keeps between two frames: compression contexts and buffers.
#[derive(Debug)]
pub struct SealScratch {
    packers: Packers,
    buffer: Vec<u8>,
    columns: Vec<u8>,
    laid: Laid,
}

/// The compression contexts, one for each effort.
#[derive(Debug)]
struct Packers {
    search: Compressor,
    count: Compressor,
}

impl Packers {
    fn append(&mut self, plain: &[u8], effort: Effort, out: &mut Vec<u8>) -> Result<(), SealError> {
        match effort {
            Effort::Search => self.search.append(plain, out),
            Effort::Count => self.count.append(plain, out),
        }
    }
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
    plan: Option<Plan>,
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

    /// Whether its values lie column by column.
    pub const fn is_columnar(&self) -> bool {
        self.codec.is_columnar()
    }

    /// How its columns were laid out, when that was to be found out and they were.
    pub const fn plan(&self) -> Option<&Plan> {
        self.plan.as_ref()
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
            packers: Packers { search: Compressor::new(self.0.level)?, count: Compressor::counting()? },
            buffer: Vec::new(),
            columns: Vec::new(),
            laid: Laid::default(),
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
        let (codec, plan) = pack(prefix, plain, scratch)?;
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
        Ok(SealedFrame { id: *id, header, bytes: take(buffer), note, codec, plan })
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

/// Fills the scratch's buffer with room for the header, envelope, prefix, and the packed data. Gives the plan that was
/// found best, if one was to be found.
fn pack(
    prefix: &dyn Encode,
    plain: Plain<'_>,
    scratch: &mut SealScratch,
) -> Result<(Codec, Option<Plan>), Error> {
    const START: usize = FRAME_HEADER_BYTES + ENVELOPE_BYTES;
    let out = &mut scratch.buffer;
    out.clear();
    out.resize(START, 0);
    prefix.encode(out);
    let prefix_bytes = out.len() - START;
    let (codec, plan) = pack_data(plain, scratch)?;
    let envelope = Envelope {
        codec,
        prefix_bytes: u8::try_from(prefix_bytes).unwrap_or(u8::MAX),
        plain_bytes: u32::try_from(plain.bytes.len()).unwrap_or(u32::MAX),
    };
    if let Some(room) = scratch.buffer.get_mut(FRAME_HEADER_BYTES..START) {
        room.copy_from_slice(&envelope.encode());
    }
    Ok((codec, plan))
}

/// Appends the data, compressed in the layout that is asked for, or as it is where that is not smaller.
fn pack_data(plain: Plain<'_>, scratch: &mut SealScratch) -> Result<(Codec, Option<Plan>), Error> {
    let from = scratch.buffer.len();
    // One column is the same either way, and text without known places stays as it is.
    let turnable = |fields: &Fields| fields.columns() > 1 && plain.bytes.len() <= MAX_COLUMNAR_BYTES;
    let (mut codec, plan) = match plain.layout {
        Layout::Columns(fields, plan) if turnable(fields) => {
            (pack_columns(plain.bytes, fields, plan, scratch)?, None)
        }
        Layout::Smaller(fields) if turnable(fields) => pack_smaller(plain.bytes, fields, scratch)?,
        _ => (pack_rows(plain.bytes, scratch)?, None),
    };
    let buffer = &mut scratch.buffer;
    if buffer.len() - from >= plain.bytes.len() {
        codec = Codec::Stored;
        buffer.truncate(from);
        buffer.extend_from_slice(plain.bytes);
    }
    Ok((codec, plan))
}

fn pack_rows(text: &[u8], scratch: &mut SealScratch) -> Result<Codec, Error> {
    scratch.packers.append(text, Effort::Search, &mut scratch.buffer)?;
    Ok(Codec::Zstd)
}

fn pack_columns(
    text: &[u8],
    fields: &Fields,
    plan: &Plan,
    scratch: &mut SealScratch,
) -> Result<Codec, Error> {
    let SealScratch { packers, buffer, columns, laid } = scratch;
    if plan.is_text() {
        if fields.to_columns(text, columns) {
            packers.append(columns, Effort::Search, buffer)?;
            return Ok(Codec::Columns);
        }
    } else if let Ok(count) = u16::try_from(fields.columns())
        && columns::lay_out(plan, text, fields, laid)
    {
        buffer.extend_from_slice(&u32::try_from(laid.bytes().len()).unwrap_or(u32::MAX).to_le_bytes());
        buffer.extend_from_slice(&count.to_le_bytes());
        buffer.extend_from_slice(&[0; 2]);
        for (piece, effort) in laid.pieces() {
            packers.append(piece, effort, buffer)?;
        }
        laid.shrink_to(SCRATCH_KEPT_BYTES);
        return Ok(Codec::Encoded);
    }
    pack_rows(text, scratch)
}

/// Tries the encodings of each column.
fn plan(text: &[u8], fields: &Fields, scratch: &mut SealScratch) -> Result<Plan, Error> {
    let SealScratch { packers, columns: trial, .. } = scratch;
    Ok(Plan::choose(text, fields, |bytes, effort| {
        trial.clear();
        packers.append(bytes, effort, trial).map(|()| trial.len())
    })?)
}

/// Tries rows, columns, and the encodings of each column; keeps what is smallest.
fn pack_smaller(
    text: &[u8],
    fields: &Fields,
    scratch: &mut SealScratch,
) -> Result<(Codec, Option<Plan>), Error> {
    let from = scratch.buffer.len();
    let plan = if text.len() < MIN_ENCODED_BYTES { Plan::default() } else { plan(text, fields, scratch)? };
    pack_rows(text, scratch)?;
    let mut best = (Codec::Zstd, None, scratch.buffer.split_off(from));
    // Text is a plan, too, and tried in any case.
    let plans = [Some(Plan::default()), Some(plan).filter(|plan| !plan.is_text())];
    for plan in plans.into_iter().flatten() {
        let codec = pack_columns(text, fields, &plan, scratch)?;
        let packed = scratch.buffer.split_off(from);
        if codec.is_columnar() && packed.len() < best.2.len() {
            best = (codec, Some(plan), packed);
        }
    }
    let (codec, plan, packed) = best;
    scratch.buffer.extend_from_slice(&packed);
    Ok((codec, plan))
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
