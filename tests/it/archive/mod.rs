//! The archive format: damage is found and named, foreign and forged parts are refused, hostile bytes do no harm.

mod damage;
mod forged;
mod hostile;
mod limits;
mod random;
mod round_trip;
pub(crate) mod vectors;

use std::ops::Range;

use pgcask::archive::frame::{FRAME_HEADER_BYTES, FrameHeader};
use pgcask::archive::{
    Archive, ChunkFacts, ChunkHead, ContentHash, Error, Layout, Locator, OpenScratch, Options, Report,
    SealedFrame, SectionTag, Summary, Verifier, Writer,
};
use pgcask::columns::Plan;
use pgcask::fields::Fields;
use pgcask::seal::compress::Level;
use pgcask::seal::recipient::{Identity, Recipient, generate_identity};

pub(crate) const CATALOG: SectionTag = SectionTag(*b"CATL");
pub(crate) const META: SectionTag = SectionTag(*b"META");

/// An archive, and all that is needed to judge what is read from it.
pub(crate) struct Sample {
    pub(crate) bytes: Vec<u8>,
    pub(crate) summary: Summary,
    pub(crate) identities: Vec<Identity>,
}

/// The text of a chunk of the sample.
pub(crate) fn text(stream: u32, number: u32) -> Vec<u8> {
    let rows: Vec<_> =
        (0..number + 2).map(|row| format!("{stream}\t{number}\trow {row} of many\n")).collect();
    rows.concat().into_bytes()
}

/// Which chunks the sample has: stream, number.
pub(crate) const CHUNKS: [(u32, u32); 5] = [(1, 0), (1, 1), (7, 0), (1, 2), (7, 1)];

/// A small archive with three streams (one empty), two sections and five chunks that were pushed out of order.
pub(crate) fn sample(encrypted: bool) -> Sample {
    let (secret, public) = generate_identity();
    let recipients = if encrypted { vec![Recipient::parse(&public).unwrap()] } else { vec![] };
    let options =
        Options { created_micros: 1_700_000_000_000_000, level: Level::new(3).unwrap(), recipients };
    let mut writer = Writer::new(&options).unwrap();
    let mut bytes = Vec::new();
    let mut put = |parts: Vec<bytes::Bytes>| parts.iter().for_each(|part| bytes.extend_from_slice(part));
    put(writer.section(META, 1, b"{}").unwrap());
    put(writer.section(CATALOG, 3, b"the catalog").unwrap());
    for (stream, name) in [(1, "public.a"), (7, "public.b"), (9, "public.empty")] {
        writer.declare(stream, name.as_bytes()).unwrap();
    }
    let sealer = writer.sealer();
    let mut scratch = sealer.scratch().unwrap();
    let mut frames: Vec<SealedFrame> = CHUNKS
        .iter()
        .map(|&(stream, number)| {
            let head = ChunkHead { stream, number, rows: number + 2 };
            let facts =
                ChunkFacts { hash: ContentHash(u128::MAX - u128::from(number)), zone_map: vec![1; 3] };
            let (text, mut fields) = (text(stream, number), Fields::default());
            // The second stream lies in columns.
            let layout = if stream == 7 && fields.find(&text) {
                Layout::Columns(&fields, &Plan::default())
            } else {
                Layout::Rows
            };
            sealer.seal_chunk(head, &text, layout, facts, &mut scratch).unwrap()
        })
        .collect();
    frames.reverse();
    for frame in frames {
        put(writer.push(frame).unwrap());
    }
    let finished = writer.finish().unwrap();
    put(finished.bytes);
    Sample { bytes, summary: finished.summary, identities: Identity::parse_file(&secret).unwrap() }
}

/// Opens an archive as a reader with ranged reads would.
pub(crate) fn open(bytes: &[u8], identities: &[Identity]) -> Result<Archive, Error> {
    let mut locator = Locator::new(bytes.len() as u64);
    while let Some(range) = locator.wants() {
        locator.feed(slice(bytes, range))?;
    }
    locator.finish()?.unlock(identities)
}

pub(crate) fn slice(bytes: &[u8], range: Range<u64>) -> &[u8] {
    &bytes[usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()]
}

/// Verifies in pieces of an odd size, with the key of `archive` if one is given.
pub(crate) fn verify(bytes: &[u8], archive: Option<&Archive>) -> Report {
    let mut verifier = match archive {
        Some(archive) => Verifier::with_key(archive.opener.clone()).unwrap(),
        None => Verifier::new(),
    };
    bytes.chunks(977).for_each(|piece| verifier.feed(piece));
    verifier.finish()
}

/// Where the frames are.
pub(crate) fn frames(bytes: &[u8], archive: &Archive) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let mut at = archive.header.as_bytes().len();
    for _ in 0..archive.footer.frames {
        let header = FrameHeader::decode(bytes[at..].first_chunk().unwrap()).unwrap();
        ranges.push(at..at + header.frame_bytes());
        at += header.frame_bytes();
    }
    ranges
}

/// Makes the checksums of a forged frame right again.
pub(crate) fn repair_frame(frame: &mut [u8]) {
    let body_crc = crc32fast::hash(&frame[FRAME_HEADER_BYTES..]);
    frame[20..24].copy_from_slice(&body_crc.to_le_bytes());
    let own = crc32fast::hash(&frame[..24]);
    frame[24..28].copy_from_slice(&own.to_le_bytes());
}

/// All rows of one stream, read the way a restore of one table does.
pub(crate) fn read_stream(bytes: &[u8], archive: &Archive, stream: u32) -> Result<Vec<u8>, Error> {
    let mut scratch = OpenScratch::new()?;
    let entry = archive.root.stream(stream).ok_or(Error::Misuse("no such stream"))?;
    let mut chunks = Vec::new();
    for (frame, count) in archive.root.pages_of(entry) {
        let page = archive.opener.open_page(slice(bytes, frame.range()), &frame, &mut scratch)?;
        if page.entries_of(stream).len() as u64 != u64::from(count) {
            return Err(Error::Misuse("the root counts other entries"));
        }
        chunks.extend(page.entries_of(stream).to_vec());
    }
    chunks.sort_by_key(|chunk| chunk.number);
    let mut rows = Vec::new();
    for chunk in chunks {
        let frame = slice(bytes, chunk.frame().range());
        rows.extend_from_slice(archive.opener.open_chunk(frame, stream, &chunk, &mut scratch)?.text);
    }
    Ok(rows)
}
