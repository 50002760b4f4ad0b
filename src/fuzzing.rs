//! One function for each target in `fuzz/`: it takes any bytes, and must neither panic nor take memory that the bytes
//! do not warrant. The test suite runs the same functions over mutated seeds, on stable Rust.

use crate::archive::codec::{Decode as _, Encode as _};
use crate::archive::frame::{FRAME_HEADER_BYTES, FrameHeader};
use crate::archive::root::Root;
use crate::archive::{
    FrameKind, Header, Locator, OpenScratch, Opener, Options, Page, Place, Salvager, Verifier, Writer,
};
use crate::seal::recipient::WrappedKey;

/// A whole archive: opened as a restore opens it, verified front to back, and salvaged.
pub fn open_archive(data: &[u8]) {
    let mut locator = Locator::new(u64::try_from(data.len()).unwrap_or(u64::MAX));
    while let Some(range) = locator.wants() {
        let range = usize::try_from(range.start).unwrap_or(0)..usize::try_from(range.end).unwrap_or(0);
        let Some(bytes) = data.get(range) else { break };
        if locator.feed(bytes).is_err() {
            break;
        }
    }
    let archive = locator.finish().and_then(|located| located.unlock(&[]));
    let opener = archive.ok().map(|archive| archive.opener).or_else(clear_opener);
    let (Some(opener), Ok(mut scratch)) = (opener, OpenScratch::new()) else {
        return;
    };
    if let Ok(mut verifier) = Verifier::with_key(opener.clone()) {
        data.chunks(1000).for_each(|piece| verifier.feed(piece));
        drop(verifier.finish());
    }
    let mut salvager = Salvager::new(opener, 0);
    salvager.feed(data);
    salvager.end();
    while salvager.next(&mut scratch).is_some() {}
}

/// A root index or an index page. What decodes encodes to the same bytes.
pub fn index(data: &[u8]) {
    if let Ok(root) = Root::from_bytes(data) {
        assert_eq!(root.to_bytes(), data);
    }
    if let Ok(page) = Page::from_bytes(data) {
        assert_eq!(page.to_bytes(), data);
    }
}

/// A header, its checksum made right first, and a single wrapped key.
pub fn header(data: &[u8]) {
    if let Ok(stanza) = WrappedKey::from_bytes(data) {
        assert_eq!(stanza.to_bytes(), data);
    }
    let mut repaired = data.to_vec();
    if let Some((content, crc)) = repaired.split_last_chunk_mut::<4>() {
        *crc = crc32fast::hash(content).to_le_bytes();
    }
    if let Ok(header) = Header::decode(&repaired, Place::Header) {
        assert_eq!(header.as_bytes(), repaired);
        drop(header.unlock(&[]));
    }
}

/// A frame's header, and a frame with this body and right checksums, of every kind.
pub fn frame(data: &[u8]) {
    if let Some(bytes) = data.first_chunk::<FRAME_HEADER_BYTES>()
        && let Ok(header) = FrameHeader::decode(bytes)
    {
        assert_eq!(header.encode(), *bytes);
    }
    let (Some(opener), Ok(mut scratch)) = (clear_opener(), OpenScratch::new()) else {
        return;
    };
    for kind in [FrameKind::Section, FrameKind::Chunk, FrameKind::Page, FrameKind::Root] {
        let body_length = u32::try_from(data.len()).unwrap_or(u32::MAX);
        let header = FrameHeader { kind, body_length, sequence: 0, body_crc: crc32fast::hash(data) };
        let whole = [&header.encode()[..], data].concat();
        if let Ok(opened) = opener.open(&whole, &header.at(0), &mut scratch) {
            drop((opened.chunk(), opened.part(), opened.page(), opened.root()));
        }
    }
}

/// An opener that takes any bytes for authentic, as an archive without encryption does.
fn clear_opener() -> Option<Opener> {
    let writer = Writer::new(&Options::default()).ok()?;
    let keys = writer.header().unlock(&[]).ok()?;
    Opener::new(writer.header(), keys).ok()
}
