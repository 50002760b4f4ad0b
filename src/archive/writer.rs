//! Writes an archive front to back. Frames come from several threads in any order and leave in the order of their
//! numbers; the writer keeps the index, the offsets and the SHA-256 of all that left.

use std::collections::BTreeMap;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::chunk::{ChunkHead, Totals};
use super::codec::{Encode as _, to_u64};
use super::error::Error;
use super::footer::Footer;
use super::frame::{FrameKind, FrameRef};
use super::header::{ArchiveId, Header};
use super::index::ChunkEntry;
use super::pending::{PageDraft, Pending};
use super::root::{PART_BYTES, PageEntry, Root, SECTION_FIXED_BYTES, SectionEntry};
use super::sealer::{Note, SealScratch, SealedFrame, Sealer};
use super::section::{PartHead, SectionTag};
use crate::limits::{MAX_REORDERED_FRAMES, MAX_SECTION_BYTES, MAX_SECTIONS, SECTION_PART_BYTES};
use crate::seal::aead::FrameCipher;
use crate::seal::compress::Level;
use crate::seal::data_key::Keys;
use crate::seal::recipient::{Fingerprint, Recipient};

/// How an archive is to be written.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// When the backup began, in microseconds since 1970-01-01 UTC.
    pub created_micros: i64,
    /// How hard to compress.
    pub level: Level,
    /// For whom to seal; with nobody the archive is not encrypted.
    pub recipients: Vec<Recipient>,
}

/// The writer of one archive.
///
/// Every method that returns [`Bytes`] returns what goes to the store next, in this order and without a gap. An error
/// ends the archive: what was given out so far is of no use.
#[derive(Debug)]
pub struct Writer {
    header: Header,
    keys: Keys,
    sealer: Sealer,
    scratch: SealScratch,
    waiting: BTreeMap<u64, SealedFrame>,
    next: u64,
    offset: u64,
    digest: Sha256,
    out: Vec<Bytes>,
    pending: Pending,
    pages: Vec<PageEntry>,
    sections: Vec<SectionEntry>,
    section_bytes: Vec<u64>,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// The archive.
    pub id: ArchiveId,
    /// Its length.
    pub bytes: u64,
    /// The SHA-256 of the whole.
    pub sha256: [u8; 32],
    /// How many frames it has.
    pub frames: u64,
    /// Sums over all streams. The sum of their hashes means nothing.
    pub totals: Totals,
    /// For whom it is sealed; empty when it is not encrypted.
    pub recipients: Vec<Fingerprint>,
}

/// The end of an archive.
#[derive(Debug)]
pub struct Finished {
    /// The last bytes.
    pub bytes: Vec<Bytes>,
    /// What was written.
    pub summary: Summary,
}

impl Writer {
    /// Begins an archive. The header leaves with the first bytes that any method returns.
    ///
    /// # Errors
    /// [`Error::Seal`] when a key cannot be made or wrapped, [`Error::Limit`] for too many recipients.
    pub fn new(options: &Options) -> Result<Self, Error> {
        let id = ArchiveId::generate()?;
        let (header, keys) = Header::create(id, options.created_micros, &options.recipients)?;
        let cipher = if header.encrypted { keys.frame_cipher()? } else { FrameCipher::clear() };
        let sealer = Sealer::new(id, cipher, options.level);
        let scratch = sealer.scratch()?;
        let mut writer = Self {
            header,
            keys,
            sealer,
            scratch,
            waiting: BTreeMap::new(),
            next: 0,
            offset: 0,
            digest: Sha256::new(),
            out: Vec::new(),
            pending: Pending::new(),
            pages: Vec::new(),
            sections: Vec::new(),
            section_bytes: Vec::new(),
        };
        writer.emit(Bytes::copy_from_slice(writer.header.as_bytes()));
        Ok(writer)
    }

    /// The archive.
    pub const fn id(&self) -> ArchiveId {
        self.header.id
    }

    /// The header, as it was written.
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// All derived keys: what is written can be read again by them.
    pub const fn keys(&self) -> &Keys {
        &self.keys
    }

    /// The key of the rows' content hash.
    pub fn content_hash_key(&self) -> &[u8; 32] {
        self.keys.content_hash_key()
    }

    /// The secret of the rows' content hash.
    ///
    /// # Errors
    /// [`Error::Seal`] never happens with derived keys.
    pub fn content_hash_secret<const N: usize>(&self) -> Result<[u8; N], Error> {
        Ok(self.keys.content_hash_secret()?)
    }

    /// What seals chunks, for as many threads as are wanted.
    pub fn sealer(&self) -> Sealer {
        self.sealer.clone()
    }

    /// How many bytes have left so far.
    pub const fn bytes_written(&self) -> u64 {
        self.offset
    }

    /// Names a stream, before its first chunk is pushed. Streams without chunks stand in the index as well.
    ///
    /// # Errors
    /// [`Error::Misuse`] for a number that is taken, [`Error::Limit`] for too many or too long a name.
    pub fn declare(&mut self, stream: u32, name: &[u8]) -> Result<(), Error> {
        self.pending.declare(stream, name)
    }

    /// Takes a sealed frame, in any order, and gives all bytes that can go.
    ///
    /// # Errors
    /// [`Error::Misuse`] for frames of another archive, doubled ones, chunks of undeclared streams and when more than
    /// 65,536 frames wait for an earlier one.
    pub fn push(&mut self, frame: SealedFrame) -> Result<Vec<Bytes>, Error> {
        self.accept(frame)?;
        Ok(std::mem::take(&mut self.out))
    }

    /// Appends bytes to a section, which begins with its first bytes.
    ///
    /// # Errors
    /// [`Error::Misuse`] when the version differs from before, [`Error::Limit`] for too many or too large sections.
    pub fn section(&mut self, tag: SectionTag, version: u16, bytes: &[u8]) -> Result<Vec<Bytes>, Error> {
        let at = self.section_at(tag, version)?;
        // An empty section still has one part, so that it can be salvaged.
        let empty: &[u8] = &[];
        let parts = bytes.chunks(SECTION_PART_BYTES).chain(bytes.is_empty().then_some(empty));
        for piece in parts {
            let part = self.grow_section(at, piece.len())?;
            let frame =
                self.sealer.seal_part(PartHead { tag, version, part }, piece, at, &mut self.scratch)?;
            self.accept(frame)?;
        }
        Ok(std::mem::take(&mut self.out))
    }

    fn section_at(&mut self, tag: SectionTag, version: u16) -> Result<usize, Error> {
        if let Some(at) = self.sections.iter().position(|section| section.tag == tag) {
            return match self.sections.get(at) {
                Some(section) if section.version == version => Ok(at),
                _ => Err(Error::Misuse("a section has one version")),
            };
        }
        if self.sections.len() >= MAX_SECTIONS {
            return Err(Error::limit("sections", self.sections.len() + 1, MAX_SECTIONS));
        }
        self.pending.grow_root(SECTION_FIXED_BYTES)?;
        self.sections.push(SectionEntry { tag, version, bytes: 0, parts: Vec::new() });
        self.section_bytes.push(0);
        Ok(self.sections.len() - 1)
    }

    /// Reserves room for a part and gives its number. The part's place is known only when it leaves.
    fn grow_section(&mut self, at: usize, bytes: usize) -> Result<u32, Error> {
        self.pending.grow_root(PART_BYTES)?;
        let parts = self.section_bytes.get_mut(at).ok_or(Error::Misuse("no such section"))?;
        let part = u32::try_from(*parts).map_err(|_| Error::Misuse("a section has too many parts"))?;
        *parts += 1;
        let section = self.sections.get_mut(at).ok_or(Error::Misuse("no such section"))?;
        section.bytes += to_u64(bytes);
        if section.bytes > MAX_SECTION_BYTES {
            let (found, limit) = (section.bytes, MAX_SECTION_BYTES);
            return Err(Error::Limit { what: "bytes of a section", found, limit });
        }
        Ok(part)
    }

    /// Writes what is left of the index, the root, the copy of the header and the footer.
    ///
    /// # Errors
    /// [`Error::Missing`] when a frame was sealed and not pushed.
    pub fn finish(mut self) -> Result<Finished, Error> {
        self.nothing_missing()?;
        let drafts = self.pending.drain()?;
        self.write_pages(drafts)?;
        let totals = self.pending.totals();
        let root = Root {
            frames: self.next,
            pages: std::mem::take(&mut self.pages),
            streams: std::mem::replace(&mut self.pending, Pending::new()).into_streams(),
            sections: std::mem::take(&mut self.sections),
            extension: Vec::new(),
        };
        let frame = self.sealer.seal_root(&root.to_bytes(), &mut self.scratch)?;
        let at = frame.header.at(self.offset);
        if frame.sequence() != root.frames {
            return Err(Error::Missing(root.frames));
        }
        self.accept(frame)?;
        self.emit(Bytes::copy_from_slice(self.header.as_bytes()));
        let footer = Footer::create(&self.header, at, &self.keys)?;
        self.emit(Bytes::from(footer.encode()));
        debug_assert_eq!(self.offset, footer.archive_bytes);
        let summary = Summary {
            id: self.header.id,
            bytes: self.offset,
            sha256: self.digest.finalize().into(),
            frames: self.next,
            totals,
            recipients: self.header.recipients(),
        };
        Ok(Finished { bytes: self.out, summary })
    }

    fn nothing_missing(&self) -> Result<(), Error> {
        if self.waiting.is_empty() && self.next == self.sealer.issued() {
            Ok(())
        } else {
            Err(Error::Missing(self.next))
        }
    }

    fn accept(&mut self, frame: SealedFrame) -> Result<(), Error> {
        if frame.id != self.header.id {
            return Err(Error::Misuse("a frame of another archive"));
        }
        if frame.sequence() < self.next || self.waiting.contains_key(&frame.sequence()) {
            return Err(Error::Misuse("a frame was pushed twice"));
        }
        if self.waiting.len() >= MAX_REORDERED_FRAMES && frame.sequence() != self.next {
            return Err(Error::Misuse("too many frames wait for an earlier one"));
        }
        self.waiting.insert(frame.sequence(), frame);
        while let Some(frame) = self.waiting.remove(&self.next) {
            self.write(frame)?;
        }
        Ok(())
    }

    /// Emits the next frame and notes where it is. Index pages that become due are numbered and queued like any other.
    fn write(&mut self, frame: SealedFrame) -> Result<(), Error> {
        let at = frame.header.at(self.offset);
        self.next += 1;
        self.emit(frame.bytes);
        match frame.note {
            Note::Chunk { head, plain_bytes, facts } => {
                let ChunkHead { stream, number, rows } = head;
                let FrameRef { sequence, offset, length, .. } = at;
                let (hash, zone_map) = (facts.hash, facts.zone_map);
                let entry =
                    ChunkEntry { number, sequence, offset, length, plain_bytes, rows, hash, zone_map };
                let drafts = self.pending.add(stream, &entry)?;
                self.queue_pages(drafts)?;
            }
            Note::Part { section } => {
                let section = self.sections.get_mut(section).ok_or(Error::Misuse("no such section"))?;
                section.parts.push(at);
            }
            Note::Page { page } => {
                self.pages.get_mut(page).ok_or(Error::Misuse("no such page"))?.frame = at;
            }
            Note::Root => {}
        }
        Ok(())
    }

    fn queue_pages(&mut self, drafts: Vec<PageDraft>) -> Result<(), Error> {
        for draft in drafts {
            let frame = self.sealer.seal_page(&draft.bytes, self.pages.len(), &mut self.scratch)?;
            let (sequence, length) = (frame.sequence(), 0);
            let unknown = FrameRef { kind: FrameKind::Page, sequence, offset: 0, length };
            self.pages.push(PageEntry { frame: unknown, entries: draft.entries });
            self.waiting.insert(sequence, frame);
        }
        Ok(())
    }

    fn write_pages(&mut self, drafts: Vec<PageDraft>) -> Result<(), Error> {
        self.queue_pages(drafts)?;
        while let Some(frame) = self.waiting.remove(&self.next) {
            self.write(frame)?;
        }
        self.nothing_missing()
    }

    fn emit(&mut self, bytes: Bytes) {
        self.offset += to_u64(bytes.len());
        self.digest.update(&bytes);
        self.out.push(bytes);
    }
}
