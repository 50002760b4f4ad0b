//! Takes what is intact of a broken archive: looks for frames everywhere, needs neither index nor footer.

use std::ops::Range;

use bytes::{Buf as _, BytesMut};
use memchr::memmem;

use super::codec::to_u64;
use super::error::{Damage, Error};
use super::frame::{self, FRAME_HEADER_BYTES, FRAME_MAGIC, FrameHeader, FrameRef};
use super::opener::{OpenScratch, Opened, Opener};

/// How often a byte may be looked at again inside frames that turned out broken. Without a bound, headers nested in
/// one another would make a hostile file cost the square of its length.
const RESCANS: u64 = 4;

/// Something that the scan came across.
#[derive(Debug)]
pub enum Salvaged<'a> {
    /// An intact, authentic frame.
    Frame(Opened<'a>),
    /// A frame whose header is intact, and whose content is not.
    Broken {
        /// The frame.
        frame: FrameRef,
        /// What is wrong with it.
        error: Error,
    },
    /// Bytes that are no frame. At the end of a sound archive these are the copy of the header and the footer.
    Skipped(Range<u64>),
}

/// Scans an archive that is fed to it in pieces of any size, from some offset on: that of the header's end, or 0.
///
/// Salvaged chunks say which stream they belong to; names of streams are in the root index, if that is intact, or in
/// what the layers above keep in sections.
#[derive(Debug)]
pub struct Salvager {
    opener: Opener,
    buffer: BytesMut,
    offset: u64,
    skipped: u64,
    rescans: u64,
    ended: bool,
}

impl Salvager {
    /// A scan that begins at `offset` of the file.
    pub fn new(opener: Opener, offset: u64) -> Self {
        Self { opener, buffer: BytesMut::new(), offset, skipped: 0, rescans: 0, ended: false }
    }

    /// Takes the next bytes.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.rescans = self.rescans.saturating_add(to_u64(bytes.len()).saturating_mul(RESCANS));
        self.buffer.extend_from_slice(bytes);
    }

    /// Says that no more bytes come.
    pub const fn end(&mut self) {
        self.ended = true;
    }

    /// The next find. `None` asks for more bytes, or after [`Salvager::end`] says that this is all.
    pub fn next<'s>(&mut self, scratch: &'s mut OpenScratch) -> Option<Salvaged<'s>> {
        loop {
            let (header, whole) = match self.seek() {
                Seek::Frame(header, whole) => (header, whole),
                Seek::More if self.ended => {
                    self.skip(self.buffer.len());
                    return self.take_skipped();
                }
                Seek::More => return None,
                Seek::Skip(count) => {
                    self.skip(count);
                    continue;
                }
            };
            if let Some(skipped) = self.take_skipped() {
                return Some(skipped);
            }
            let frame = header.at(self.offset);
            if !whole {
                self.skip(FRAME_HEADER_BYTES);
                return Some(Salvaged::Broken {
                    frame,
                    error: Error::damaged(frame.place(), Damage::Truncated),
                });
            }
            return Some(self.open(&header, frame, scratch));
        }
    }

    fn open<'s>(&mut self, header: &FrameHeader, at: FrameRef, scratch: &'s mut OpenScratch) -> Salvaged<'s> {
        let length = header.frame_bytes();
        let bytes = self.buffer.get(..length).unwrap_or_default();
        match frame::check(bytes, &at) {
            Ok((header, body)) => {
                let result = self.opener.open_checked(&header, body, at.offset, scratch);
                self.advance(length);
                result.map_or_else(|error| Salvaged::Broken { frame: at, error }, Salvaged::Frame)
            }
            Err(error) => {
                // Bytes may be missing inside it, so that the next frame begins earlier than this one says.
                let cost = to_u64(length);
                if self.rescans >= cost {
                    self.rescans -= cost;
                    self.advance(FRAME_HEADER_BYTES);
                } else {
                    self.advance(length);
                }
                Salvaged::Broken { frame: at, error }
            }
        }
    }

    /// Finds the next frame header at the front of the buffer, or says what to do about it.
    fn seek(&self) -> Seek {
        let Some(found) = memmem::find(&self.buffer, &FRAME_MAGIC) else {
            let kept = FRAME_MAGIC.len() - 1;
            return match self.buffer.len().checked_sub(kept) {
                Some(count @ 1..) => Seek::Skip(count),
                _ => Seek::More,
            };
        };
        if found > 0 {
            return Seek::Skip(found);
        }
        let Some(start) = self.buffer.first_chunk::<FRAME_HEADER_BYTES>() else {
            return Seek::More;
        };
        match FrameHeader::decode(start) {
            Err(_) => Seek::Skip(1),
            Ok(header) if header.frame_bytes() <= self.buffer.len() => Seek::Frame(header, true),
            Ok(header) if self.ended => Seek::Frame(header, false),
            Ok(_) => Seek::More,
        }
    }

    fn skip(&mut self, count: usize) {
        self.skipped += to_u64(count);
        self.advance(count);
    }

    fn advance(&mut self, count: usize) {
        self.buffer.advance(count.min(self.buffer.len()));
        self.offset += to_u64(count);
    }

    fn take_skipped<'s>(&mut self) -> Option<Salvaged<'s>> {
        let skipped = std::mem::take(&mut self.skipped);
        (skipped > 0).then(|| Salvaged::Skipped(self.offset - skipped..self.offset))
    }
}

enum Seek {
    Frame(FrameHeader, bool),
    Skip(usize),
    More,
}
