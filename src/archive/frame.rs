//! The frame: the only thing between header and footer. What it holds is sealed; what stands before it in clear says
//! its length, kind, sequence number and checksum, and nothing else.
//!
//! ```text
//! 0   4  magic "CSKF"
//! 4   1  kind                     5  3  zero
//! 8   4  length of the body
//! 12  8  sequence number
//! 20  4  CRC-32 of the body
//! 24  4  CRC-32 of bytes 0..24
//! 28  …  the body
//! ```
//! The associated data of the encryption is the archive id and bytes 0..20.

use super::codec::{Malformed, Reader, to_u64, to_usize};
use super::error::{Damage, Error, Place};
use super::header::ArchiveId;
use crate::limits::{
    MAX_CHUNK_BYTES, MAX_PAGE_BYTES, MAX_ROOT_BYTES, SEAL_OVERHEAD_BYTES, SECTION_PART_BYTES,
};

/// The first bytes of every frame; [`super::salvage`] looks for them.
pub const FRAME_MAGIC: [u8; 4] = *b"CSKF";

/// Length of a frame's header in bytes.
pub const FRAME_HEADER_BYTES: usize = 28;

/// Length of the part of the header that encryption binds.
const BOUND_BYTES: usize = 20;

/// Length of the associated data.
pub(super) const ASSOCIATED_BYTES: usize = 16 + BOUND_BYTES;

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FrameKind {
    /// A part of a section.
    Section,
    /// A chunk of a stream's data.
    Chunk,
    /// A page of index entries.
    Page,
    /// The root index; the last frame.
    Root,
}

impl FrameKind {
    /// The number in the archive.
    pub const fn code(self) -> u8 {
        match self {
            Self::Section => 1,
            Self::Chunk => 2,
            Self::Page => 3,
            Self::Root => 4,
        }
    }

    /// The kind with this number.
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Section),
            2 => Some(Self::Chunk),
            3 => Some(Self::Page),
            4 => Some(Self::Root),
            _ => None,
        }
    }

    /// The most plain bytes that such a frame holds.
    pub const fn max_plain_bytes(self) -> usize {
        match self {
            Self::Section => SECTION_PART_BYTES,
            Self::Chunk => MAX_CHUNK_BYTES,
            Self::Page => MAX_PAGE_BYTES,
            Self::Root => MAX_ROOT_BYTES,
        }
    }
}

impl std::fmt::Display for FrameKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Section => "section",
            Self::Chunk => "chunk",
            Self::Page => "index page",
            Self::Root => "root index",
        })
    }
}

/// Where a frame is and what it must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameRef {
    /// What it holds.
    pub kind: FrameKind,
    /// Its sequence number.
    pub sequence: u64,
    /// Its first byte in the file.
    pub offset: u64,
    /// All its bytes, header and body.
    pub length: u32,
}

impl FrameRef {
    /// The bytes of the file that it takes.
    pub fn range(&self) -> std::ops::Range<u64> {
        self.offset..self.offset.saturating_add(u64::from(self.length))
    }

    /// The place, for errors.
    pub const fn place(&self) -> Place {
        Place::Frame { kind: Some(self.kind), sequence: self.sequence, offset: self.offset }
    }

    /// Whether the frame lies within `length` bytes and can be one.
    pub(super) fn is_plausible(&self, length: u64) -> bool {
        let body = to_usize(u64::from(self.length)).checked_sub(FRAME_HEADER_BYTES);
        self.range().end <= length
            && body.is_some_and(|body| body <= self.kind.max_plain_bytes() + SEAL_OVERHEAD_BYTES)
    }
}

/// The header of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    /// What the frame holds.
    pub kind: FrameKind,
    /// Length of the body in bytes.
    pub body_length: u32,
    /// The frame's number, from 0 without a gap.
    pub sequence: u64,
    /// CRC-32 of the body.
    pub body_crc: u32,
}

impl FrameHeader {
    /// The byte form.
    pub fn encode(&self) -> [u8; FRAME_HEADER_BYTES] {
        let mut out = [0; FRAME_HEADER_BYTES];
        let (bound, rest) = out.split_at_mut(BOUND_BYTES);
        bound.copy_from_slice(&self.bound_bytes());
        let (body_crc, own_crc) = rest.split_at_mut(4);
        body_crc.copy_from_slice(&self.body_crc.to_le_bytes());
        let mut crc = crc32fast::Hasher::new();
        crc.update(bound);
        crc.update(body_crc);
        own_crc.copy_from_slice(&crc.finalize().to_le_bytes());
        out
    }

    /// Decodes one; its own checksum and all bounds are checked.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn decode(bytes: &[u8; FRAME_HEADER_BYTES]) -> Result<Self, Damage> {
        if !bytes.starts_with(&FRAME_MAGIC) {
            return Err(Damage::NotFound);
        }
        let mut reader = Reader::new(bytes);
        let content = reader.take(FRAME_HEADER_BYTES - 4)?;
        if reader.u32()? != crc32fast::hash(content) {
            return Err(Damage::Checksum);
        }
        let mut reader = Reader::new(content);
        reader.take(FRAME_MAGIC.len())?;
        let code = reader.u8()?;
        let kind = FrameKind::from_code(code).ok_or_else(|| reader.error("unknown kind of frame"))?;
        reader.zeros::<3>()?;
        let body_length = reader.u32()?;
        if to_usize(u64::from(body_length)) > kind.max_plain_bytes() + SEAL_OVERHEAD_BYTES {
            return Err(reader.error("the frame is longer than its kind may be").into());
        }
        Ok(Self { kind, body_length, sequence: reader.u64()?, body_crc: reader.u32()? })
    }

    /// All bytes of the frame.
    pub fn frame_bytes(&self) -> usize {
        FRAME_HEADER_BYTES + to_usize(u64::from(self.body_length))
    }

    /// The frame's place in the file.
    pub fn at(&self, offset: u64) -> FrameRef {
        let length = u32::try_from(self.frame_bytes()).unwrap_or(u32::MAX);
        FrameRef { kind: self.kind, sequence: self.sequence, offset, length }
    }

    /// What the encryption binds the body to.
    pub(super) fn associated(&self, id: &ArchiveId) -> [u8; ASSOCIATED_BYTES] {
        let mut out = [0; ASSOCIATED_BYTES];
        let (head, tail) = out.split_at_mut(16);
        head.copy_from_slice(&id.0);
        tail.copy_from_slice(&self.bound_bytes());
        out
    }

    fn bound_bytes(&self) -> [u8; BOUND_BYTES] {
        let [m0, m1, m2, m3] = FRAME_MAGIC;
        let [l0, l1, l2, l3] = self.body_length.to_le_bytes();
        let [s0, s1, s2, s3, s4, s5, s6, s7] = self.sequence.to_le_bytes();
        [m0, m1, m2, m3, self.kind.code(), 0, 0, 0, l0, l1, l2, l3, s0, s1, s2, s3, s4, s5, s6, s7]
    }
}

/// Splits a whole frame into header and body and checks both checksums, its length, kind and sequence number.
///
/// # Errors
/// [`Error::Damaged`] naming the frame.
pub fn check<'a>(bytes: &'a [u8], expected: &FrameRef) -> Result<(FrameHeader, &'a [u8]), Error> {
    let damaged = |damage: Damage| Error::damaged(expected.place(), damage);
    let (header, body) =
        bytes.split_first_chunk::<FRAME_HEADER_BYTES>().ok_or_else(|| damaged(Damage::Truncated))?;
    let header = FrameHeader::decode(header).map_err(damaged)?;
    if header.sequence != expected.sequence {
        let (expected, found) = (expected.sequence, header.sequence);
        return Err(damaged(Damage::Sequence { expected, found }));
    }
    if header.kind != expected.kind || header.at(expected.offset).length != expected.length {
        return Err(damaged(Damage::Contradiction("kind or length is not what the index says")));
    }
    if to_u64(body.len()) != u64::from(header.body_length) {
        return Err(damaged(if body.len() < to_usize(u64::from(header.body_length)) {
            Damage::Truncated
        } else {
            Damage::Trailing
        }));
    }
    if crc32fast::hash(body) != header.body_crc {
        return Err(damaged(Damage::Checksum));
    }
    Ok((header, body))
}

impl super::codec::Encode for FrameRef {
    /// Without the kind, which the context gives.
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.sequence.to_le_bytes());
        out.extend_from_slice(&self.offset.to_le_bytes());
        out.extend_from_slice(&self.length.to_le_bytes());
    }
}

impl FrameRef {
    /// Bytes of the encoded form.
    pub(super) const ENCODED_BYTES: usize = 20;

    pub(super) fn decode(kind: FrameKind, reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self { kind, sequence: reader.u64()?, offset: reader.u64()?, length: reader.u32()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_round_trips_and_no_bit_of_it_can_flip() {
        let header = FrameHeader { kind: FrameKind::Chunk, body_length: 77, sequence: 1 << 40, body_crc: 5 };
        let bytes = header.encode();
        assert_eq!(FrameHeader::decode(&bytes), Ok(header));
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(FrameHeader::decode(&bad).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn an_over_long_frame_is_refused_by_its_kind() {
        for kind in [FrameKind::Section, FrameKind::Chunk, FrameKind::Page, FrameKind::Root] {
            let most = u32::try_from(kind.max_plain_bytes() + SEAL_OVERHEAD_BYTES).unwrap();
            let header = |body_length| FrameHeader { kind, body_length, sequence: 0, body_crc: 0 };
            assert!(FrameHeader::decode(&header(most).encode()).is_ok());
            assert!(FrameHeader::decode(&header(most + 1).encode()).is_err());
        }
    }
}
