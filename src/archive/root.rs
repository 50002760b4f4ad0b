//! The root index: the last frame. It says which streams and sections there are and where their frames lie.
//!
//! ```text
//! 0  2  version of the root (1)    2  2  zero    4  8  number of frames before the root
//! 12 4  number of pages, each      sequence 8, offset 8, frame length 4, entries 4
//! …  4  number of streams, each    stream 4, chunks 8, rows 8, plain bytes 8, sealed bytes 8, hash sum 16,
//!                                  name (length 2, bytes), number of page references 4, each: page 4, entries 4
//! …  4  number of sections, each   tag 4, version 2, zero 2, bytes 8, number of parts 4, each: sequence, offset, length
//! …  4  length of an extension, and so many bytes that version 1 ignores
//! ```
//! Streams ascend by number, so that one is found by bisection; a page reference counts within the list of pages.

use super::chunk::{ContentHash, Totals};
use super::codec::{Decode, Encode, Malformed, Reader, put_bytes_u16, put_len, to_u64};
use super::frame::{FrameKind, FrameRef};
use super::section::SectionTag;
use crate::limits::{
    MAX_ROOT_BYTES, MAX_SECTION_BYTES, MAX_SECTIONS, MAX_STREAM_NAME_BYTES, MAX_STREAMS, PAGE_ENTRIES,
};

const ROOT_VERSION: u16 = 1;
/// The least that a stream takes.
pub(super) const STREAM_FIXED_BYTES: usize = 58;
pub(super) const PAGE_BYTES: usize = FrameRef::ENCODED_BYTES + 4;
pub(super) const PAGE_REF_BYTES: usize = 8;
pub(super) const SECTION_FIXED_BYTES: usize = 20;
pub(super) const PART_BYTES: usize = FrameRef::ENCODED_BYTES;
/// What the root takes without anything in it.
pub(super) const ROOT_FIXED_BYTES: usize = 28;

/// One page of the index, as the root lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageEntry {
    /// Where it is.
    pub frame: FrameRef,
    /// How many entries it has, of all streams.
    pub entries: u32,
}

/// That a page has entries of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageRef {
    /// The page's place in [`Root::pages`].
    pub page: u32,
    /// How many entries of the stream it has.
    pub entries: u32,
}

/// A stream, as the root lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamEntry {
    /// Its number.
    pub stream: u32,
    /// What the layer above calls it; opaque.
    pub name: Vec<u8>,
    /// Sums over its chunks.
    pub totals: Totals,
    /// The pages that have entries of it.
    pub pages: Vec<PageRef>,
}

/// A section, as the root lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SectionEntry {
    /// What it holds.
    pub tag: SectionTag,
    /// The version of its content.
    pub version: u16,
    /// Its plain bytes.
    pub bytes: u64,
    /// Its parts, in order.
    pub parts: Vec<FrameRef>,
}

/// The root index.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Root {
    /// How many frames stand before the root; also the root's own sequence number.
    pub frames: u64,
    /// All pages.
    pub pages: Vec<PageEntry>,
    /// All streams, ascending by number.
    pub streams: Vec<StreamEntry>,
    /// All sections, in the order of their first part.
    pub sections: Vec<SectionEntry>,
    /// What a later version put here; ignored.
    pub extension: Vec<u8>,
}

impl Root {
    /// A stream by its number.
    pub fn stream(&self, stream: u32) -> Option<&StreamEntry> {
        let at = self.streams.binary_search_by_key(&stream, |entry| entry.stream).ok()?;
        self.streams.get(at)
    }

    /// A section by its tag.
    pub fn section(&self, tag: SectionTag) -> Option<&SectionEntry> {
        self.sections.iter().find(|section| section.tag == tag)
    }

    /// The page frames to read for a stream, each with the number of the stream's entries in it.
    pub fn pages_of<'a>(&'a self, stream: &'a StreamEntry) -> impl Iterator<Item = (FrameRef, u32)> + 'a {
        stream.pages.iter().filter_map(|at| {
            let page = self.pages.get(super::codec::to_usize(u64::from(at.page)))?;
            Some((page.frame, at.entries))
        })
    }

    /// Every frame that the root names, for checks.
    pub(super) fn frames_named(&self) -> impl Iterator<Item = &FrameRef> {
        self.pages.iter().map(|page| &page.frame).chain(self.sections.iter().flat_map(|s| s.parts.iter()))
    }
}

impl Encode for Root {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&ROOT_VERSION.to_le_bytes());
        out.extend_from_slice(&[0; 2]);
        out.extend_from_slice(&self.frames.to_le_bytes());
        put_len(out, self.pages.len());
        for page in &self.pages {
            page.frame.encode(out);
            out.extend_from_slice(&page.entries.to_le_bytes());
        }
        put_len(out, self.streams.len());
        self.streams.iter().for_each(|stream| stream.encode(out));
        put_len(out, self.sections.len());
        self.sections.iter().for_each(|section| section.encode(out));
        put_len(out, self.extension.len());
        out.extend_from_slice(&self.extension);
    }
}

impl Decode for Root {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        if reader.u16()? != ROOT_VERSION {
            return Err(reader.error("unknown version of the root index"));
        }
        reader.zeros::<2>()?;
        let frames = reader.u64()?;
        let count = reader.count(PAGE_BYTES, usize::MAX)?;
        let mut pages = Vec::with_capacity(count);
        for _ in 0..count {
            let frame = FrameRef::decode(FrameKind::Page, reader)?;
            let entries = reader.u32()?;
            if to_u64(PAGE_ENTRIES) < u64::from(entries) {
                return Err(reader.error("a page has too many entries"));
            }
            pages.push(PageEntry { frame, entries });
        }
        let count = reader.count(STREAM_FIXED_BYTES, MAX_STREAMS)?;
        let mut streams = Vec::<StreamEntry>::with_capacity(count);
        for _ in 0..count {
            let stream = StreamEntry::decode(reader)?;
            if streams.last().is_some_and(|last| last.stream >= stream.stream) {
                return Err(reader.error("the streams do not ascend"));
            }
            if stream.pages.iter().any(|at| u64::from(at.page) >= to_u64(pages.len())) {
                return Err(reader.error("a stream refers to a page that is not there"));
            }
            streams.push(stream);
        }
        let count = reader.count(SECTION_FIXED_BYTES, MAX_SECTIONS)?;
        let sections = (0..count).map(|_| SectionEntry::decode(reader)).collect::<Result<_, _>>()?;
        let count = reader.count(1, MAX_ROOT_BYTES)?;
        let extension = reader.take(count)?.to_vec();
        Ok(Self { frames, pages, streams, sections, extension })
    }
}

impl Encode for StreamEntry {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.stream.to_le_bytes());
        for number in
            [self.totals.chunks, self.totals.rows, self.totals.plain_bytes, self.totals.sealed_bytes]
        {
            out.extend_from_slice(&number.to_le_bytes());
        }
        self.totals.hash.encode(out);
        put_bytes_u16(out, &self.name);
        put_len(out, self.pages.len());
        for at in &self.pages {
            out.extend_from_slice(&at.page.to_le_bytes());
            out.extend_from_slice(&at.entries.to_le_bytes());
        }
    }
}

impl Decode for StreamEntry {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let stream = reader.u32()?;
        let totals = Totals {
            chunks: reader.u64()?,
            rows: reader.u64()?,
            plain_bytes: reader.u64()?,
            sealed_bytes: reader.u64()?,
            hash: ContentHash::decode(reader)?,
        };
        let name = reader.bytes_u16(MAX_STREAM_NAME_BYTES)?.to_vec();
        let count = reader.count(PAGE_REF_BYTES, usize::MAX)?;
        let mut pages = Vec::with_capacity(count);
        let mut entries = 0_u64;
        for _ in 0..count {
            let at = PageRef { page: reader.u32()?, entries: reader.u32()? };
            entries += u64::from(at.entries);
            pages.push(at);
        }
        if entries != totals.chunks {
            return Err(reader.error("a stream's pages have not as many entries as it has chunks"));
        }
        Ok(Self { stream, name, totals, pages })
    }
}

impl Encode for SectionEntry {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.tag.0);
        out.extend_from_slice(&self.version.to_le_bytes());
        out.extend_from_slice(&[0; 2]);
        out.extend_from_slice(&self.bytes.to_le_bytes());
        put_len(out, self.parts.len());
        self.parts.iter().for_each(|part| part.encode(out));
    }
}

impl Decode for SectionEntry {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let tag = SectionTag(reader.array()?);
        let version = reader.u16()?;
        reader.zeros::<2>()?;
        let bytes = reader.u64()?;
        if bytes > MAX_SECTION_BYTES {
            return Err(reader.error("a section is over its limit"));
        }
        let count = reader.count(PART_BYTES, usize::MAX)?;
        let parts =
            (0..count).map(|_| FrameRef::decode(FrameKind::Section, reader)).collect::<Result<_, _>>()?;
        Ok(Self { tag, version, bytes, parts })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn sample() -> Root {
        let frame = |kind, sequence| FrameRef { kind, sequence, offset: 400 + sequence, length: 99 };
        let totals = Totals { chunks: 3, rows: 30, plain_bytes: 300, sealed_bytes: 90, hash: ContentHash(5) };
        let refs =
            |list: &[(u32, u32)]| list.iter().map(|&(page, entries)| PageRef { page, entries }).collect();
        Root {
            frames: 9,
            pages: vec![
                PageEntry { frame: frame(FrameKind::Page, 6), entries: 4 },
                PageEntry { frame: frame(FrameKind::Page, 7), entries: 2 },
            ],
            streams: vec![
                StreamEntry { stream: 1, name: b"a".to_vec(), totals, pages: refs(&[(0, 1), (1, 2)]) },
                StreamEntry { stream: 5, name: Vec::new(), totals, pages: refs(&[(0, 3)]) },
                StreamEntry { stream: 6, name: b"none".to_vec(), totals: Totals::default(), pages: vec![] },
            ],
            sections: vec![SectionEntry {
                tag: SectionTag(*b"CATL"),
                version: 2,
                bytes: 12,
                parts: vec![frame(FrameKind::Section, 0)],
            }],
            extension: b"later".to_vec(),
        }
    }

    #[test]
    fn round_trips_and_every_truncation_is_refused() {
        let bytes = sample().to_bytes();
        assert_eq!(Root::from_bytes(&bytes), Ok(sample()));
        for end in 0..bytes.len() {
            assert!(Root::from_bytes(&bytes[..end]).is_err(), "{end}");
        }
        assert_eq!(Root::default().to_bytes().len(), ROOT_FIXED_BYTES);
        let empty = StreamEntry { stream: 1, name: vec![], totals: Totals::default(), pages: vec![] };
        assert_eq!(empty.to_bytes().len(), STREAM_FIXED_BYTES);
    }

    #[test]
    fn finds_streams_and_their_pages() {
        let root = sample();
        let stream = root.stream(1).unwrap();
        assert_eq!(root.pages_of(stream).map(|(f, n)| (f.sequence, n)).collect::<Vec<_>>(), [(6, 1), (7, 2)]);
        assert!(root.stream(2).is_none());
        assert!(root.section(SectionTag(*b"CATL")).is_some());
    }

    #[test]
    fn disorder_and_dangling_pages_are_refused() {
        let mut root = sample();
        root.streams.swap(0, 1);
        assert!(Root::from_bytes(&root.to_bytes()).is_err());
        let mut root = sample();
        root.streams[0].pages[1].page = 2;
        assert!(Root::from_bytes(&root.to_bytes()).is_err());
        let mut root = sample();
        root.streams[0].totals.chunks = 4;
        assert!(Root::from_bytes(&root.to_bytes()).is_err());
    }
}
