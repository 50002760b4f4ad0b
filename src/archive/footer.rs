//! The footer: the last 100 bytes, which lead to everything else.
//!
//! ```text
//! 0    8  magic "CASKEND\n"
//! 8    2  format version      10  2  flags, as in the header
//! 12   4  length of the header and of its copy
//! 16  16  archive id
//! 32   8  length of the whole archive
//! 40   8  number of frames, the root among them
//! 48   8  offset of the root index      56  4  its length as a frame      60  4  zero
//! 64  32  HMAC-SHA256 over bytes 0..64
//! 96   4  CRC-32 over bytes 0..96
//! ```
//! Immediately before the footer stands the copy of the header, before that the root index.

use super::codec::{Malformed, Reader, to_u64, to_usize};
use super::error::{Damage, Error, Place};
use super::frame::{FrameKind, FrameRef};
use super::header::{ArchiveId, Header};
use super::version;
use crate::limits::MAX_HEADER_BYTES;
use crate::seal::data_key::{Keys, MAC_BYTES, Purpose};

/// Length of the footer in bytes.
pub const FOOTER_BYTES: usize = 100;

/// The footer's first bytes.
pub const FOOTER_MAGIC: [u8; 8] = *b"CASKEND\n";

/// A decoded footer. Its CRC is right and its numbers agree with one another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Footer {
    /// The archive's identity.
    pub id: ArchiveId,
    /// Whether frames are encrypted.
    pub encrypted: bool,
    /// Length of the header, and of its copy.
    pub header_bytes: u32,
    /// Length of the whole archive.
    pub archive_bytes: u64,
    /// How many frames there are.
    pub frames: u64,
    /// The root index.
    pub root: FrameRef,
    mac: [u8; MAC_BYTES],
}

impl Footer {
    /// The footer of an archive that ends with `header` copied and this footer after `root`.
    ///
    /// # Errors
    /// [`Error::Seal`] never happens with derived keys.
    pub fn create(header: &Header, root: FrameRef, keys: &Keys) -> Result<Self, Error> {
        let header_bytes = header.as_bytes().len();
        let mut footer = Self {
            id: header.id,
            encrypted: header.encrypted,
            header_bytes: u32::try_from(header_bytes).unwrap_or(u32::MAX),
            archive_bytes: root.range().end + to_u64(header_bytes + FOOTER_BYTES),
            frames: root.sequence + 1,
            root,
            mac: [0; MAC_BYTES],
        };
        footer.mac = keys.mac(Purpose::Footer, &footer.bound_bytes())?;
        Ok(footer)
    }

    /// The byte form.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = self.bound_bytes();
        out.extend_from_slice(&self.mac);
        out.extend_from_slice(&crc32fast::hash(&out).to_le_bytes());
        out
    }

    fn bound_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(FOOTER_BYTES);
        out.extend_from_slice(&FOOTER_MAGIC);
        out.extend_from_slice(&version::WRITTEN.to_le_bytes());
        out.extend_from_slice(&u16::from(self.encrypted).to_le_bytes());
        out.extend_from_slice(&self.header_bytes.to_le_bytes());
        out.extend_from_slice(&self.id.0);
        out.extend_from_slice(&self.archive_bytes.to_le_bytes());
        out.extend_from_slice(&self.frames.to_le_bytes());
        out.extend_from_slice(&self.root.offset.to_le_bytes());
        out.extend_from_slice(&self.root.length.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out
    }

    /// Decodes a footer that ends at byte `archive_bytes`.
    ///
    /// # Errors
    /// [`Error::Damaged`] naming the footer, with [`Damage::NotFound`] when none stands there; [`Error::Version`].
    pub fn decode(bytes: &[u8; FOOTER_BYTES], archive_bytes: u64) -> Result<Self, Error> {
        let damaged = |damage: Damage| Error::damaged(Place::Footer, damage);
        if !bytes.starts_with(&FOOTER_MAGIC) {
            return Err(damaged(Damage::NotFound));
        }
        let (content, crc) = bytes.split_last_chunk::<4>().ok_or_else(|| damaged(Damage::Truncated))?;
        if crc32fast::hash(content) != u32::from_le_bytes(*crc) {
            return Err(damaged(Damage::Checksum));
        }
        let mut reader = Reader::new(content);
        let malformed = |problem: Malformed| damaged(problem.into());
        reader.take(FOOTER_MAGIC.len()).map_err(malformed)?;
        version::check(reader.u16().map_err(malformed)?)?;
        let footer = Self::decode_fields(&mut reader).map_err(malformed)?;
        footer.check(archive_bytes).map_err(damaged)?;
        Ok(footer)
    }

    fn decode_fields(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let flags = reader.u16()?;
        if flags > 1 {
            return Err(reader.error("unknown flags"));
        }
        let header_bytes = reader.u32()?;
        let id = ArchiveId(reader.array()?);
        let archive_bytes = reader.u64()?;
        let frames = reader.u64()?;
        let offset = reader.u64()?;
        let length = reader.u32()?;
        reader.zeros::<4>()?;
        let mac = reader.array()?;
        reader.clone().finish()?;
        let sequence = frames.checked_sub(1).ok_or_else(|| reader.error("there must be a frame"))?;
        let root = FrameRef { kind: FrameKind::Root, sequence, offset, length };
        Ok(Self { id, encrypted: flags == 1, header_bytes, archive_bytes, frames, root, mac })
    }

    fn check(&self, archive_bytes: u64) -> Result<(), Damage> {
        let header = u64::from(self.header_bytes);
        if self.archive_bytes != archive_bytes {
            return Err(Damage::Contradiction("the archive has another length than the footer says"));
        }
        let end =
            self.root.range().end.checked_add(header).and_then(|at| at.checked_add(to_u64(FOOTER_BYTES)));
        let fits = end == Some(archive_bytes) && self.root.offset >= header;
        if !fits || to_usize(header) > MAX_HEADER_BYTES || !self.root.is_plausible(archive_bytes) {
            return Err(Damage::Contradiction("the root index cannot be where the footer says"));
        }
        Ok(())
    }

    /// Where the copy of the header stands.
    pub fn header_copy(&self) -> std::ops::Range<u64> {
        let start = self.root.range().end;
        start..start.saturating_add(u64::from(self.header_bytes))
    }

    /// Checks the footer's MAC.
    ///
    /// # Errors
    /// [`Error::NotAuthentic`].
    pub fn authenticate(&self, keys: &Keys) -> Result<(), Error> {
        let place = Place::Footer;
        keys.verify_mac(Purpose::Footer, &self.bound_bytes(), &self.mac)
            .map_err(|_| Error::NotAuthentic { place })
    }
}
