//! Opens frames: checks, decrypts and decompresses them, and compares what they say of themselves with the index.

use std::sync::Arc;

use super::body::{Codec, Envelope};
use super::chunk::{Chunk, ChunkHead};
use super::codec::{Decode as _, Reader, to_usize};
use super::error::{Damage, Error};
use super::frame::{self, FrameHeader, FrameKind, FrameRef};
use super::header::{ArchiveId, Header};
use super::index::{ChunkEntry, Page};
use super::root::{Root, SectionEntry};
use super::section::PartHead;
use crate::columns;
use crate::fields::Fields;
use crate::limits::CHUNK_BYTES;
use crate::seal::SealError;
use crate::seal::aead::FrameCipher;
use crate::seal::compress::Decompressor;
use crate::seal::data_key::{DataKey, Keys};

/// A buffer that grew beyond this, for one huge row, is not kept.
const KEPT_BYTES: usize = 4 * CHUNK_BYTES;

/// Opens the frames of one archive. Cheap to clone, shared by threads.
#[derive(Debug, Clone)]
pub struct Opener(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    id: ArchiveId,
    cipher: FrameCipher,
    keys: Keys,
}

/// What a thread keeps between two frames: a decompression context and buffers.
#[derive(Debug)]
pub struct OpenScratch {
    sealed: Vec<u8>,
    unpacking: UnpackScratch,
}

#[derive(Debug)]
struct UnpackScratch {
    decompressor: Decompressor,
    laid: Vec<u8>,
    columns: Vec<u8>,
    fields: Fields,
    plain: Vec<u8>,
}

impl OpenScratch {
    /// A scratch for one thread.
    ///
    /// # Errors
    /// [`Error::Seal`] when there is no memory for it.
    pub fn new() -> Result<Self, Error> {
        let unpacking = UnpackScratch {
            decompressor: Decompressor::new()?,
            laid: Vec::new(),
            columns: Vec::new(),
            fields: Fields::default(),
            plain: Vec::new(),
        };
        Ok(Self { sealed: Vec::new(), unpacking })
    }

    /// Gives back the memory of a huge row, so that it does not stay for the rest of the run.
    fn forget_the_huge(&mut self) {
        let UnpackScratch { laid, columns, plain, .. } = &mut self.unpacking;
        for buffer in [&mut self.sealed, laid, columns, plain] {
            if buffer.capacity() > KEPT_BYTES {
                *buffer = Vec::new();
            }
        }
    }
}

/// Why data could not be unpacked.
enum Unpacking {
    Seal(SealError),
    Columns,
}

impl From<SealError> for Unpacking {
    fn from(error: SealError) -> Self {
        Self::Seal(error)
    }
}

/// Unpacks data to `scratch.plain`, which then has `length` bytes.
fn unpack(
    codec: Codec,
    packed: &[u8],
    rows: usize,
    length: usize,
    scratch: &mut UnpackScratch,
) -> Result<(), Unpacking> {
    let UnpackScratch { decompressor, laid, columns, fields, plain } = scratch;
    let whole = match codec {
        Codec::Stored | Codec::Zstd => {
            decompressor.expand(packed, length, plain)?;
            true
        }
        Codec::Columns => {
            decompressor.expand(packed, length, columns)?;
            fields.to_rows(columns, rows, plain)
        }
        Codec::Encoded => {
            let (count, laid_bytes, frames) = encoded_head(packed, length).ok_or(Unpacking::Columns)?;
            decompressor.expand(frames, laid_bytes, laid)?;
            columns::bring_back(laid, count, rows, length, plain) && plain.len() == length
        }
    };
    if whole { Ok(()) } else { Err(Unpacking::Columns) }
}

/// The number of columns, the length of what the frames unpack to, and the frames. An encoding never makes values longer.
fn encoded_head(packed: &[u8], length: usize) -> Option<(usize, usize, &[u8])> {
    let mut reader = Reader::new(packed);
    let laid_bytes = to_usize(u64::from(reader.u32().ok()?));
    let count = usize::from(reader.u16().ok()?);
    reader.zeros::<2>().ok()?;
    let most = length + count * columns::HEAD_BYTES_PER_COLUMN;
    (laid_bytes <= most).then_some((count, laid_bytes, reader.take(reader.left()).ok()?))
}

/// An opened frame, borrowed from the scratch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opened<'a> {
    /// Where it was found and what it is.
    pub frame: FrameRef,
    /// What the kind of frame says about its data.
    pub prefix: &'a [u8],
    /// The data.
    pub plain: &'a [u8],
}

impl Opener {
    /// An opener for the archive with this header, whose keys were unlocked.
    ///
    /// # Errors
    /// [`Error::Seal`] never happens with derived keys.
    pub fn new(header: &Header, keys: Keys) -> Result<Self, Error> {
        let cipher = if header.encrypted { keys.frame_cipher()? } else { FrameCipher::clear() };
        Ok(Self(Arc::new(Shared { id: header.id, cipher, keys })))
    }

    /// The archive.
    pub fn id(&self) -> ArchiveId {
        self.0.id
    }

    /// The key of the rows' content hash.
    pub fn content_hash_key(&self) -> &[u8; 32] {
        self.0.keys.content_hash_key()
    }

    /// The secret of the rows' content hash.
    ///
    /// # Errors
    /// [`Error::Seal`] never happens with derived keys.
    pub fn content_hash_secret<const N: usize>(&self) -> Result<[u8; N], Error> {
        Ok(self.0.keys.content_hash_secret()?)
    }

    /// The data key, to wrap it for a further recipient.
    pub fn data_key(&self) -> &DataKey {
        self.0.keys.data_key()
    }

    /// All derived keys, to authenticate what stands beside the archive.
    pub fn keys(&self) -> &Keys {
        &self.0.keys
    }

    /// Opens one whole frame that must be `expected`.
    ///
    /// # Errors
    /// [`Error::Damaged`] or [`Error::NotAuthentic`], naming the frame.
    pub fn open<'s>(
        &self,
        bytes: &[u8],
        expected: &FrameRef,
        scratch: &'s mut OpenScratch,
    ) -> Result<Opened<'s>, Error> {
        let (header, body) = frame::check(bytes, expected)?;
        self.open_checked(&header, body, expected.offset, scratch)
    }

    /// Opens a frame whose checksums and place were checked.
    pub(super) fn open_checked<'s>(
        &self,
        header: &FrameHeader,
        body: &[u8],
        offset: u64,
        scratch: &'s mut OpenScratch,
    ) -> Result<Opened<'s>, Error> {
        let frame = header.at(offset);
        let place = frame.place();
        scratch.forget_the_huge();
        let OpenScratch { sealed, unpacking } = scratch;
        sealed.clear();
        sealed.extend_from_slice(body);
        let associated = header.associated(&self.0.id);
        let open = self
            .0
            .cipher
            .open(header.sequence, &associated, sealed)
            .map_err(|_| Error::NotAuthentic { place })?;
        let (envelope, prefix, packed) = Envelope::split(open, header.kind.max_plain_bytes())
            .map_err(|problem| Error::damaged(place, problem))?;
        if envelope.codec == Codec::Stored {
            return Ok(Opened { frame, prefix, plain: packed });
        }
        let rows = if envelope.codec.is_columnar() {
            let head = ChunkHead::from_bytes(prefix).map_err(|problem| Error::damaged(place, problem))?;
            Some(to_usize(u64::from(head.rows)))
        } else {
            None
        };
        if rows.is_some() && header.kind != FrameKind::Chunk {
            return Err(Error::damaged(place, Damage::Contradiction("only chunks have columns")));
        }
        let length = to_usize(u64::from(envelope.plain_bytes));
        unpack(envelope.codec, packed, rows.unwrap_or_default(), length, unpacking).map_err(|problem| {
            match problem {
                Unpacking::Seal(SealError::Zstd(_) | SealError::PlainLength { .. }) => {
                    Error::damaged(place, Damage::Decompression)
                }
                Unpacking::Seal(other) => Error::Seal(other),
                Unpacking::Columns => {
                    Error::damaged(place, Damage::Contradiction("its columns are not those of so many rows"))
                }
            }
        })?;
        let plain = &unpacking.plain;
        Ok(Opened { frame, prefix, plain })
    }

    /// Opens a chunk that the index names.
    ///
    /// # Errors
    /// As [`Opener::open`], naming stream and chunk.
    pub fn open_chunk<'s>(
        &self,
        bytes: &[u8],
        stream: u32,
        entry: &ChunkEntry,
        scratch: &'s mut OpenScratch,
    ) -> Result<Chunk<'s>, Error> {
        let place = entry.place(stream);
        let opened = self.open(bytes, &entry.frame(), scratch).map_err(|error| error.at(place))?;
        let chunk = opened.chunk().map_err(|error| error.at(place))?;
        if chunk.head != entry.head(stream) || chunk.text.len() != to_usize(u64::from(entry.plain_bytes)) {
            return Err(Error::damaged(
                place,
                Damage::Contradiction("the chunk is not the one that the index names"),
            ));
        }
        Ok(chunk)
    }

    /// As [`Opener::open_chunk`], giving the text away, so that a large one is not in memory twice.
    ///
    /// # Errors
    /// As [`Opener::open_chunk`].
    pub fn open_chunk_owned(
        &self,
        bytes: &[u8],
        stream: u32,
        entry: &ChunkEntry,
        scratch: &mut OpenScratch,
    ) -> Result<Vec<u8>, Error> {
        scratch.unpacking.plain.clear();
        let length = self.open_chunk(bytes, stream, entry, scratch)?.text.len();
        if scratch.unpacking.plain.len() == length {
            return Ok(std::mem::take(&mut scratch.unpacking.plain));
        }
        // Stored without compression: the text lies within the decrypted frame.
        Ok(self.open_chunk(bytes, stream, entry, scratch)?.text.to_vec())
    }

    /// Opens a page of the index.
    ///
    /// # Errors
    /// As [`Opener::open`].
    pub fn open_page(
        &self,
        bytes: &[u8],
        expected: &FrameRef,
        scratch: &mut OpenScratch,
    ) -> Result<Page, Error> {
        self.open(bytes, expected, scratch)?.page()
    }

    /// Opens part `part` of a section that the root names.
    ///
    /// # Errors
    /// As [`Opener::open`]; [`Error::Misuse`] for a part that the section does not have.
    pub fn open_part<'s>(
        &self,
        bytes: &[u8],
        section: &SectionEntry,
        part: u32,
        scratch: &'s mut OpenScratch,
    ) -> Result<&'s [u8], Error> {
        let expected =
            section.parts.get(to_usize(u64::from(part))).ok_or(Error::Misuse("no such part of a section"))?;
        let opened = self.open(bytes, expected, scratch)?;
        if opened.part()? != (PartHead { tag: section.tag, version: section.version, part }) {
            let damage = Damage::Contradiction("the part of a section is not the one that the root names");
            return Err(Error::damaged(expected.place(), damage));
        }
        Ok(opened.plain)
    }
}

impl<'a> Opened<'a> {
    /// The frame as a chunk.
    ///
    /// # Errors
    /// [`Error::Damaged`] when it is none.
    pub fn chunk(&self) -> Result<Chunk<'a>, Error> {
        self.must_be(FrameKind::Chunk)?;
        let head = ChunkHead::from_bytes(self.prefix).map_err(|problem| self.malformed(problem))?;
        Ok(Chunk { head, text: self.plain })
    }

    /// The frame as a part of a section; its bytes are [`Opened::plain`].
    ///
    /// # Errors
    /// [`Error::Damaged`] when it is none.
    pub fn part(&self) -> Result<PartHead, Error> {
        self.must_be(FrameKind::Section)?;
        PartHead::from_bytes(self.prefix).map_err(|problem| self.malformed(problem))
    }

    /// The frame as an index page.
    ///
    /// # Errors
    /// [`Error::Damaged`] when it is none.
    pub fn page(&self) -> Result<Page, Error> {
        self.must_be(FrameKind::Page)?;
        self.no_prefix()?;
        Page::from_bytes(self.plain).map_err(|problem| self.malformed(problem))
    }

    /// The frame as the root index.
    ///
    /// # Errors
    /// [`Error::Damaged`] when it is none.
    pub fn root(&self) -> Result<Root, Error> {
        self.must_be(FrameKind::Root)?;
        self.no_prefix()?;
        Root::from_bytes(self.plain).map_err(|problem| self.malformed(problem))
    }

    fn must_be(&self, kind: FrameKind) -> Result<(), Error> {
        if self.frame.kind == kind {
            Ok(())
        } else {
            Err(Error::damaged(self.frame.place(), Damage::Contradiction("it is a frame of another kind")))
        }
    }

    fn no_prefix(&self) -> Result<(), Error> {
        if self.prefix.is_empty() {
            Ok(())
        } else {
            Err(self.malformed(super::codec::Malformed { at: 0, what: "an unexpected prefix" }))
        }
    }

    fn malformed(&self, problem: super::codec::Malformed) -> Error {
        Error::damaged(self.frame.place(), problem)
    }
}
