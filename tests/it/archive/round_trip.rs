//! What is written is read back.

use std::sync::mpsc::sync_channel;

use pgcask::archive::salvage::Salvaged;
use pgcask::archive::{
    ChunkFacts, ChunkHead, ContentHash, Error, Layout, Locator, OpenScratch, Options, Salvager, SectionTag,
    Writer,
};
use pgcask::seal::recipient::{Identity, KdfCost, Passphrase, Recipient, generate_identity};
use sha2::Digest as _;

use super::{CATALOG, CHUNKS, frames, open, read_stream, sample, slice, text, verify};

#[test]
fn streams_and_sections_come_back() {
    for encrypted in [true, false] {
        let sample = sample(encrypted);
        let archive = open(&sample.bytes, &sample.identities).unwrap();
        assert_eq!(archive.header.encrypted, encrypted);
        assert_eq!(sample.summary.sha256, <[u8; 32]>::from(sha2::Sha256::digest(&sample.bytes)));
        assert_eq!(sample.summary.bytes, sample.bytes.len() as u64);
        for stream in [1, 7, 9] {
            let expected: Vec<u8> =
                CHUNKS.iter().filter(|c| c.0 == stream).flat_map(|c| text(c.0, c.1)).collect();
            assert_eq!(read_stream(&sample.bytes, &archive, stream).unwrap(), expected);
        }
        let totals = archive.root.stream(1).unwrap().totals;
        assert_eq!((totals.chunks, totals.rows), (3, 9));
        assert_eq!(totals.hash, ContentHash(u128::MAX.wrapping_mul(3).wrapping_sub(3)));
        let section = archive.root.section(CATALOG).unwrap();
        let mut scratch = OpenScratch::new().unwrap();
        let frame = slice(&sample.bytes, section.parts[0].range());
        assert_eq!(archive.opener.open_part(frame, section, 0, &mut scratch).unwrap(), b"the catalog");
        assert!(archive.opener.open_part(frame, section, 1, &mut scratch).is_err());
        for key in [None, Some(&archive)] {
            let report = verify(&sample.bytes, key);
            assert!(report.is_sound(), "{:?}", report.findings);
            assert_eq!((report.frames, report.sha256), (sample.summary.frames, sample.summary.sha256));
            assert_eq!(report.chunks, if key.is_some() { 5 } else { 0 });
        }
    }
}

#[test]
fn names_and_rows_do_not_stand_in_clear() {
    let sample = sample(true);
    let contains = |needle: &[u8]| sample.bytes.windows(needle.len()).any(|window| window == needle);
    for needle in [&b"public"[..], b"catalog", b"row 0", b"CATL", b"META"] {
        assert!(!contains(needle));
    }
}

#[test]
fn a_small_archive_opens_with_one_read_and_a_large_one_with_two() {
    let sample = sample(true);
    let mut locator = Locator::new(sample.bytes.len() as u64);
    locator.feed(slice(&sample.bytes, locator.wants().unwrap())).unwrap();
    assert_eq!(locator.wants(), None);

    let mut writer = Writer::new(&Options::default()).unwrap();
    for stream in 0..20_000_u32 {
        writer.declare(stream, &digest(stream)).unwrap();
    }
    let bytes = writer.finish().unwrap().bytes.concat();
    let mut locator = Locator::new(bytes.len() as u64);
    let mut reads = 0;
    while let Some(range) = locator.wants() {
        locator.feed(slice(&bytes, range)).unwrap();
        reads += 1;
    }
    let archive = locator.finish().unwrap().unlock(&[]).unwrap();
    assert_eq!((reads, archive.root.streams.len()), (2, 20_000));
}

/// A name that does not compress.
fn digest(stream: u32) -> Vec<u8> {
    sha2::Sha256::digest(stream.to_le_bytes()).to_vec()
}

#[test]
fn threads_seal_in_parallel_and_every_row_arrives() {
    const CHUNKS: u32 = 3000;
    let mut writer = Writer::new(&Options::default()).unwrap();
    writer.declare(5, b"big").unwrap();
    let mut bytes = Vec::new();
    let (send, receive) = sync_channel(8);
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let (sealer, send) = (writer.sealer(), send.clone());
            scope.spawn(move || {
                let mut scratch = sealer.scratch().unwrap();
                for number in (worker..CHUNKS).step_by(4) {
                    let head = ChunkHead { stream: 5, number, rows: 1 };
                    let facts = ChunkFacts::default();
                    send.send(
                        sealer
                            .seal_chunk(head, &text(5, number % 50), Layout::Rows, facts, &mut scratch)
                            .unwrap(),
                    )
                    .unwrap();
                }
            });
        }
        drop(send);
        for frame in receive {
            writer.push(frame).unwrap().iter().for_each(|part| bytes.extend_from_slice(part));
        }
    });
    writer.finish().unwrap().bytes.iter().for_each(|part| bytes.extend_from_slice(part));
    let archive = open(&bytes, &[]).unwrap();
    assert_eq!(archive.root.pages.iter().map(|page| page.entries).collect::<Vec<_>>(), [1024, 1024, 952]);
    let expected: Vec<u8> = (0..CHUNKS).flat_map(|number| text(5, number % 50)).collect();
    assert!(read_stream(&bytes, &archive, 5).unwrap() == expected);
    assert!(verify(&bytes, Some(&archive)).is_sound());
}

#[test]
fn every_recipient_opens_and_nobody_else() {
    let (secret, public) = generate_identity();
    let (stranger, _) = generate_identity();
    let phrase = |text: &str| Passphrase::new(text).unwrap();
    let cost = KdfCost { memory_kib: 64, passes: 1, lanes: 1 };
    let options = Options {
        recipients: vec![
            Recipient::Passphrase(phrase("one"), cost),
            Recipient::Passphrase(phrase("two"), cost),
            Recipient::parse(&public).unwrap(),
        ],
        ..Options::default()
    };
    let bytes = Writer::new(&options).unwrap().finish().unwrap().bytes.concat();
    let identity = |text: &str| Identity::parse_file(text).unwrap().remove(0);
    for good in [Identity::Passphrase(phrase("two")), identity(&secret)] {
        assert_eq!(open(&bytes, &[identity(&stranger), good]).unwrap().header.recipients().len(), 3);
    }
    let wrong = open(&bytes, &[Identity::Passphrase(phrase("three"))]).unwrap_err();
    assert!(matches!(wrong, Error::WrongKey) && wrong.is_about_the_key());
    let none = open(&bytes, &[identity(&stranger)]).unwrap_err();
    assert!(matches!(&none, Error::NoMatchingIdentity { sealed_for } if sealed_for.len() == 3), "{none}");
    assert!(open(&bytes, &[]).unwrap_err().is_about_the_key());
}

#[test]
fn a_large_section_goes_in_parts_and_an_empty_one_exists() {
    let content: Vec<u8> = (0..2_500_000_u32).map(|n| n.to_le_bytes()[0] ^ n.to_le_bytes()[1]).collect();
    let mut writer = Writer::new(&Options::default()).unwrap();
    let mut bytes = writer.section(CATALOG, 2, &content).unwrap().concat();
    bytes.extend(writer.section(SectionTag(*b"NONE"), 1, b"").unwrap().concat());
    assert!(writer.section(CATALOG, 3, b"").is_err());
    bytes.extend(writer.finish().unwrap().bytes.concat());
    let archive = open(&bytes, &[]).unwrap();
    let section = archive.root.section(CATALOG).unwrap();
    assert_eq!((section.parts.len(), section.bytes), (3, content.len() as u64));
    let mut scratch = OpenScratch::new().unwrap();
    let mut joined = Vec::new();
    for (part, frame) in (0..).zip(&section.parts) {
        let frame = slice(&bytes, frame.range());
        joined.extend_from_slice(archive.opener.open_part(frame, section, part, &mut scratch).unwrap());
    }
    assert!(joined == content);
    assert_eq!(archive.root.section(SectionTag(*b"NONE")).unwrap().parts.len(), 1);
}

#[test]
fn salvage_finds_every_intact_chunk_without_the_index() {
    let sample = sample(true);
    let archive = open(&sample.bytes, &sample.identities).unwrap();
    let ranges = frames(&sample.bytes, &archive);
    // The end is gone, one chunk is broken, and some bytes in the middle of another are missing.
    let mut bytes = sample.bytes[..ranges[7].start + 5].to_vec();
    bytes[ranges[3].start + 40] ^= 1;
    bytes.drain(ranges[4].start + 30..ranges[4].start + 33);
    let mut salvager = Salvager::new(archive.opener, 0);
    let mut scratch = OpenScratch::new().unwrap();
    let (mut chunks, mut broken, mut skipped) = (Vec::new(), Vec::new(), 0);
    let (mut pieces, mut ended) = (bytes.chunks(13), false);
    loop {
        match salvager.next(&mut scratch) {
            Some(Salvaged::Frame(opened)) => {
                if let Ok(chunk) = opened.chunk() {
                    assert_eq!(chunk.text, text(chunk.head.stream, chunk.head.number));
                    chunks.push((chunk.head.stream, chunk.head.number));
                }
            }
            Some(Salvaged::Broken { frame, .. }) => broken.push(frame.sequence),
            Some(Salvaged::Skipped(range)) => skipped += range.end - range.start,
            None if ended => break,
            None => {
                let piece = pieces.next();
                salvager.feed(piece.unwrap_or_default());
                if piece.is_none() {
                    salvager.end();
                    ended = true;
                }
            }
        }
    }
    assert_eq!(chunks, [(1, 0), (1, 2), (7, 1)]);
    assert_eq!(broken, [3, 4]);
    assert!(skipped > 100);
}
