//! The part of a verification that needs the key.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest as _, Sha256};

use super::Report;
use crate::archive::chunk::{ChunkHead, ContentHash, Totals};
use crate::archive::codec::{Encode as _, to_u64};
use crate::archive::error::{Damage, Error, Place};
use crate::archive::footer::Footer;
use crate::archive::frame::{FrameHeader, FrameKind, FrameRef};
use crate::archive::header::Header;
use crate::archive::index::{ChunkEntry, Page};
use crate::archive::opener::{OpenScratch, Opened, Opener};
use crate::archive::root::{PageEntry, Root};
use crate::archive::section::{PartHead, SectionTag};
use crate::limits::{MAX_FINDINGS, MAX_STREAMS};

/// What was seen of one stream. Two sums stand for the set of its chunks, so that memory does not grow with them: one
/// over the chunks themselves, one over what index pages say of them.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    totals: Totals,
    chunk_marks: u128,
    entry_marks: u128,
    hash: ContentHash,
}

#[derive(Debug)]
pub(super) struct Content {
    opener: Opener,
    scratch: OpenScratch,
    streams: BTreeMap<u32, Seen>,
    pages: Vec<PageEntry>,
    parts: BTreeMap<SectionTag, (u64, Vec<FrameRef>)>,
    totals: Totals,
    /// Frames that could not be opened. With one of them sums cannot be right, and the index is not accused of it.
    broken: BTreeSet<u64>,
    /// What the index says about broken frames.
    named: BTreeMap<u64, Place>,
}

impl Content {
    pub(super) fn new(opener: Opener) -> Result<Self, Error> {
        Ok(Self {
            opener,
            scratch: OpenScratch::new()?,
            streams: BTreeMap::new(),
            pages: Vec::new(),
            parts: BTreeMap::new(),
            totals: Totals::default(),
            broken: BTreeSet::new(),
            named: BTreeMap::new(),
        })
    }

    pub(super) fn header(&self, header: &Header) -> Result<(), Error> {
        if header.id != self.opener.id() {
            return Err(Error::damaged(Place::Header, Damage::Foreign));
        }
        header.authenticate(self.opener.keys(), Place::Header)
    }

    pub(super) fn footer(&self, footer: &Footer) -> Result<(), Error> {
        footer.authenticate(self.opener.keys())
    }

    /// Remembers a broken frame, as many as can be reported.
    pub(super) fn miss(&mut self, sequence: u64) {
        if self.broken.len() < MAX_FINDINGS {
            self.broken.insert(sequence);
        }
    }

    pub(super) fn tell(&self, report: &mut Report) {
        report.chunks = self.totals.chunks;
        report.rows = self.totals.rows;
        report.plain_bytes = self.totals.plain_bytes;
        for finding in &mut report.findings {
            if let Some(Place::Frame { sequence, offset, .. }) = finding.place()
                && let Some(place @ Place::Chunk { offset: named, .. }) = self.named.get(&sequence)
                && *named == offset
            {
                finding.move_to(*place);
            }
        }
    }

    /// Opens a frame whose checksums are right, and remembers what it says.
    pub(super) fn frame(&mut self, header: &FrameHeader, body: &[u8], at: FrameRef) -> Vec<Error> {
        let Self { opener, scratch, .. } = self;
        let result =
            opener.open_checked(header, body, at.offset, scratch).and_then(|opened| What::of(&opened));
        match result {
            Ok(What::Chunk(head, plain_bytes)) => {
                self.chunk(head, plain_bytes, at).err().into_iter().collect()
            }
            Ok(What::Part(head, bytes)) => self.part(head, bytes, at).err().into_iter().collect(),
            Ok(What::Page(page)) => {
                self.page(&page, at);
                Vec::new()
            }
            Ok(What::Root(root)) => self.root(&root, at),
            Err(error) => {
                self.miss(at.sequence);
                vec![error]
            }
        }
    }

    fn chunk(&mut self, head: ChunkHead, plain_bytes: u32, at: FrameRef) -> Result<(), Error> {
        if self.streams.len() >= MAX_STREAMS && !self.streams.contains_key(&head.stream) {
            return Err(Error::limit("streams", self.streams.len() + 1, MAX_STREAMS));
        }
        let seen = self.streams.entry(head.stream).or_default();
        let totals = Totals {
            chunks: 1,
            rows: u64::from(head.rows),
            plain_bytes: u64::from(plain_bytes),
            sealed_bytes: u64::from(at.length),
            hash: ContentHash::default(),
        };
        seen.totals += totals;
        self.totals += totals;
        seen.chunk_marks = seen.chunk_marks.wrapping_add(mark(head, at, plain_bytes));
        Ok(())
    }

    fn part(&mut self, head: PartHead, bytes: usize, at: FrameRef) -> Result<(), Error> {
        let (sum, parts) = self.parts.entry(head.tag).or_default();
        let expected = parts.len();
        *sum += to_u64(bytes);
        parts.push(at);
        if u64::from(head.part) == to_u64(expected) {
            Ok(())
        } else {
            Err(Error::damaged(
                at.place(),
                Damage::Contradiction("parts of a section are missing or doubled"),
            ))
        }
    }

    fn page(&mut self, page: &Page, at: FrameRef) {
        let mut count = 0_u32;
        for run in &page.runs {
            let seen = self.streams.entry(run.stream).or_default();
            for entry in &run.entries {
                count += 1;
                if self.broken.contains(&entry.sequence) {
                    self.named.insert(entry.sequence, entry.place(run.stream));
                }
                let ChunkEntry { plain_bytes, hash, .. } = *entry;
                seen.hash += hash;
                let mark = mark(entry.head(run.stream), entry.frame(), plain_bytes);
                seen.entry_marks = seen.entry_marks.wrapping_add(mark);
            }
        }
        self.pages.push(PageEntry { frame: at, entries: count });
    }

    /// Compares the root with all that came before it.
    fn root(&self, root: &Root, at: FrameRef) -> Vec<Error> {
        if !self.broken.is_empty() {
            return Vec::new();
        }
        let mut errors = Vec::new();
        let mut accuse = |why| errors.push(Error::damaged(at.place(), Damage::Contradiction(why)));
        if root.frames != at.sequence {
            accuse("it counts another number of frames");
        }
        let mut pages = self.pages.clone();
        pages.sort_unstable_by_key(|page| page.frame.sequence);
        let mut named = root.pages.clone();
        named.sort_unstable_by_key(|page| page.frame.sequence);
        if pages != named {
            accuse("its pages are not those of the archive");
        }
        let nothing = Seen::default();
        let mut unnamed = self.streams.len();
        for entry in &root.streams {
            let seen = self.streams.get(&entry.stream).unwrap_or(&nothing);
            unnamed -= usize::from(self.streams.contains_key(&entry.stream));
            if seen.chunk_marks != seen.entry_marks {
                accuse("the index pages of a stream do not name its chunks");
            }
            if (Totals { hash: seen.hash, ..seen.totals }) != entry.totals {
                accuse("the totals of a stream are not those of its chunks");
            }
        }
        if unnamed != 0 {
            accuse("there are chunks of streams that it does not name");
        }
        let listed = root.sections.iter().map(|s| (s.tag, (s.bytes, s.parts.clone()))).collect();
        if self.parts != listed {
            accuse("its sections are not those of the archive");
        }
        errors
    }
}

/// What an opened frame says, without its bytes.
enum What {
    Chunk(ChunkHead, u32),
    Part(PartHead, usize),
    Page(Page),
    Root(Root),
}

impl What {
    fn of(opened: &Opened<'_>) -> Result<Self, Error> {
        Ok(match opened.frame.kind {
            FrameKind::Chunk => {
                let chunk = opened.chunk()?;
                Self::Chunk(chunk.head, u32::try_from(chunk.text.len()).unwrap_or(u32::MAX))
            }
            FrameKind::Section => Self::Part(opened.part()?, opened.plain.len()),
            FrameKind::Page => Self::Page(opened.page()?),
            FrameKind::Root => Self::Root(opened.root()?),
        })
    }
}

/// 128 bits that stand for one chunk at its place.
fn mark(head: ChunkHead, at: FrameRef, plain_bytes: u32) -> u128 {
    let mut bytes = head.to_bytes();
    at.encode(&mut bytes);
    bytes.extend_from_slice(&plain_bytes.to_le_bytes());
    let digest: [u8; 32] = Sha256::digest(&bytes).into();
    digest.first_chunk().map_or(0, |half| u128::from_le_bytes(*half))
}
