//! Reads an archive front to back and lists all that is wrong with it. Without a key: structure, checksums, numbers.
//! With a key also: every frame is authentic and decodes, and the index tells the truth about every chunk.

use bytes::BytesMut;
use sha2::{Digest as _, Sha256};

use super::codec::to_u64;
use super::error::{Damage, Error, Place};
use super::footer::{FOOTER_BYTES, Footer};
use super::frame::{self, FRAME_HEADER_BYTES, FrameHeader, FrameKind, FrameRef};
use super::header::{HEADER_START_BYTES, Header};
use super::opener::Opener;
use crate::limits::MAX_FINDINGS;
use content::Content;

mod content;

/// What a verification found.
#[derive(Debug, Default)]
pub struct Report {
    /// What is wrong, in the order of the file; at most 100.
    pub findings: Vec<Error>,
    /// How many things are wrong.
    pub problems: u64,
    /// Frames seen.
    pub frames: u64,
    /// Chunks that were opened; 0 without a key.
    pub chunks: u64,
    /// Rows in them, as they say.
    pub rows: u64,
    /// Bytes of COPY text in them.
    pub plain_bytes: u64,
    /// Length of the archive.
    pub bytes: u64,
    /// The SHA-256 of the whole.
    pub sha256: [u8; 32],
    /// Whether contents were checked with the key.
    pub with_key: bool,
}

impl Report {
    /// Whether nothing is wrong.
    pub const fn is_sound(&self) -> bool {
        self.problems == 0
    }

    fn add(&mut self, error: Error) {
        self.problems += 1;
        if self.findings.len() < MAX_FINDINGS {
            self.findings.push(error);
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Header,
    Frames,
    HeaderCopy,
    Footer,
    /// All was read that belongs to an archive.
    End,
    /// Where the next structure begins is not known any more.
    Lost,
}

/// Verifies an archive that is fed to it front to back, in pieces of any size. It holds one frame at a time.
#[derive(Debug)]
pub struct Verifier {
    state: State,
    buffer: BytesMut,
    offset: u64,
    expected: u64,
    header_bytes: usize,
    header: Option<Header>,
    root: Option<FrameRef>,
    content: Option<Content>,
    digest: Sha256,
    report: Report,
}

impl Default for Verifier {
    fn default() -> Self {
        Self::new()
    }
}

impl Verifier {
    /// A verifier without a key.
    pub fn new() -> Self {
        Self {
            state: State::Header,
            buffer: BytesMut::new(),
            offset: 0,
            expected: 0,
            header_bytes: 0,
            header: None,
            root: None,
            content: None,
            digest: Sha256::new(),
            report: Report::default(),
        }
    }

    /// A verifier with the archive's key.
    ///
    /// # Errors
    /// [`Error::Seal`] when there is no memory for a scratch.
    pub fn with_key(opener: Opener) -> Result<Self, Error> {
        let content = Some(Content::new(opener)?);
        Ok(Self { content, report: Report { with_key: true, ..Report::default() }, ..Self::new() })
    }

    /// Takes the next bytes.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.digest.update(bytes);
        self.report.bytes += to_u64(bytes.len());
        if self.state == State::Lost {
            return;
        }
        self.buffer.extend_from_slice(bytes);
        while self.step() {}
    }

    /// The present findings, for whoever wants to stop at the first.
    pub const fn report(&self) -> &Report {
        &self.report
    }

    /// Ends the reading and says what was found. With a key, a broken chunk is named by stream and number as far as the
    /// index could be read.
    pub fn finish(mut self) -> Report {
        let place = match self.state {
            State::Header => Some(Place::Header),
            State::Frames => Some(self.next_frame_place()),
            State::HeaderCopy => Some(Place::HeaderCopy),
            State::Footer => Some(Place::Footer),
            State::End | State::Lost => None,
        };
        if let Some(place) = place {
            self.report.add(Error::damaged(place, Damage::Truncated));
        }
        if let Some(content) = &self.content {
            content.tell(&mut self.report);
        }
        self.report.sha256 = self.digest.finalize().into();
        self.report
    }

    /// Reads one structure if it is all there.
    fn step(&mut self) -> bool {
        match self.state {
            State::Header => self.step_header(),
            State::Frames => self.step_frame(),
            State::HeaderCopy => self.step_header_copy(),
            State::Footer => self.step_footer(),
            State::End => {
                if !self.buffer.is_empty() {
                    self.lose(Error::damaged(Place::Offset(self.offset), Damage::Trailing));
                }
                false
            }
            State::Lost => false,
        }
    }

    fn step_header(&mut self) -> bool {
        let Some(start) = self.buffer.first_chunk::<HEADER_START_BYTES>() else {
            return false;
        };
        let length = match Header::length(start, Place::Header) {
            Ok(length) => length,
            Err(Error::NotAnArchive) => return self.lose(Error::damaged(Place::Header, Damage::NotFound)),
            Err(error) => return self.lose(error),
        };
        let Some(bytes) = self.take(length) else {
            return false;
        };
        self.header_bytes = length;
        match Header::decode(&bytes, Place::Header) {
            Ok(header) => {
                if let Some(Err(error)) = self.content.as_ref().map(|content| content.header(&header)) {
                    self.report.add(error);
                }
                self.header = Some(header);
            }
            Err(error @ Error::Version { .. }) => return self.lose(error),
            Err(error) => self.report.add(error),
        }
        self.state = State::Frames;
        true
    }

    fn step_frame(&mut self) -> bool {
        let Some(start) = self.buffer.first_chunk::<FRAME_HEADER_BYTES>() else {
            return false;
        };
        let header = match FrameHeader::decode(start) {
            Ok(header) => header,
            Err(damage) => return self.lose(Error::damaged(self.next_frame_place(), damage)),
        };
        let at = header.at(self.offset);
        let Some(bytes) = self.take(header.frame_bytes()) else {
            return false;
        };
        if header.sequence != self.expected {
            let (expected, found) = (self.expected, header.sequence);
            self.report.add(Error::damaged(at.place(), Damage::Sequence { expected, found }));
        }
        self.expected = header.sequence.saturating_add(1);
        self.report.frames += 1;
        match frame::check(&bytes, &at) {
            Ok((header, body)) => {
                if let Some(content) = &mut self.content {
                    for error in content.frame(&header, body, at) {
                        self.report.add(error);
                    }
                }
            }
            Err(error) => {
                self.report.add(error);
                self.content.iter_mut().for_each(|content| content.miss(at.sequence));
            }
        }
        if header.kind == FrameKind::Root {
            self.root = Some(at);
            self.state = State::HeaderCopy;
        }
        true
    }

    fn step_header_copy(&mut self) -> bool {
        let Some(bytes) = self.take(self.header_bytes) else {
            return false;
        };
        let place = Place::HeaderCopy;
        match (&self.header, Header::decode(&bytes, place)) {
            (_, Err(Error::NotAnArchive)) => self.report.add(Error::damaged(place, Damage::NotFound)),
            (_, Err(error)) => self.report.add(error),
            (Some(header), Ok(copy)) if *header != copy => {
                self.report.add(Error::damaged(place, Damage::Contradiction("it differs from the header")));
            }
            (_, Ok(_)) => {}
        }
        self.state = State::Footer;
        true
    }

    fn step_footer(&mut self) -> bool {
        let Some(bytes) = self.take(FOOTER_BYTES) else {
            return false;
        };
        let Some(bytes) = bytes.first_chunk() else {
            return false;
        };
        match Footer::decode(bytes, self.offset) {
            Ok(footer) => {
                let contradiction = |why| Err(Error::damaged(Place::Footer, Damage::Contradiction(why)));
                let agrees = if self.header.as_ref().is_some_and(|header| header.id != footer.id) {
                    Err(Error::damaged(Place::Footer, Damage::Foreign))
                } else if self.header.as_ref().is_some_and(|h| h.encrypted != footer.encrypted) {
                    contradiction("the flags of header and footer differ")
                } else if self.root != Some(footer.root) {
                    contradiction("the root index is not where the footer says")
                } else {
                    self.content.as_ref().map_or(Ok(()), |content| content.footer(&footer))
                };
                if let Err(error) = agrees {
                    self.report.add(error);
                }
            }
            Err(error) => self.report.add(error),
        }
        self.state = State::End;
        true
    }

    fn next_frame_place(&self) -> Place {
        Place::Frame { kind: None, sequence: self.expected, offset: self.offset }
    }

    fn take(&mut self, count: usize) -> Option<BytesMut> {
        if self.buffer.len() < count {
            return None;
        }
        self.offset += to_u64(count);
        Some(self.buffer.split_to(count))
    }

    fn lose(&mut self, error: Error) -> bool {
        self.report.add(error);
        self.state = State::Lost;
        self.buffer = BytesMut::new();
        false
    }
}
