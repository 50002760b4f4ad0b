//! Changes that repair every checksum are found with the key, and never mistaken for a wrong key.

use pgcask::archive::{Error, FrameKind, OpenScratch, Place};

use super::{frames, open, read_stream, repair_frame, sample, slice, verify};

fn repair(bytes: &mut [u8]) {
    let at = bytes.len() - 4;
    let crc = crc32fast::hash(&bytes[..at]);
    bytes[at..].copy_from_slice(&crc.to_le_bytes());
}

#[test]
fn a_forged_frame_passes_the_checksums_and_not_the_key() {
    let sample = sample(true);
    let archive = open(&sample.bytes, &sample.identities).unwrap();
    for (sequence, range) in frames(&sample.bytes, &archive).into_iter().enumerate() {
        for at in [28, range.len() - 1] {
            let mut bytes = sample.bytes.clone();
            bytes[range.start + at] ^= 1;
            repair_frame(&mut bytes[range.clone()]);
            assert!(verify(&bytes, None).is_sound());
            let report = verify(&bytes, Some(&archive));
            let Some(Error::NotAuthentic { place }) = report.findings.first() else {
                panic!("{:?}", report.findings)
            };
            let (text, offset) = (place.to_string(), format!("at offset {}", range.start));
            assert!(text.contains(&format!("frame {sequence} ")) && text.contains(&offset), "{text}");
            assert_eq!(matches!(place, Place::Chunk { .. }), (2..7).contains(&sequence), "{text}");
        }
    }
}

#[test]
fn frames_renumbered_or_of_another_archive_are_not_authentic() {
    let (one, other) = (sample(true), sample(true));
    let archive = open(&one.bytes, &one.identities).unwrap();
    let ranges = frames(&one.bytes, &archive);
    // Chunks 0 and 1 of stream 1 exchange their numbers, the header's checksum repaired.
    let mut bytes = archive.header.as_bytes().to_vec();
    for (sequence, source) in [(0_u64, 0), (1, 1), (2, 3), (3, 2), (4, 4)] {
        let mut frame = one.bytes[ranges[source].clone()].to_vec();
        frame[12..20].copy_from_slice(&sequence.to_le_bytes());
        repair_frame(&mut frame);
        bytes.extend(frame);
    }
    bytes.extend_from_slice(&one.bytes[ranges[5].start..]);
    assert!(verify(&bytes, None).is_sound());
    let report = verify(&bytes, Some(&archive));
    assert!(report.findings[..2].iter().all(|error| matches!(error, Error::NotAuthentic { .. })));
    // Frame 2 of another archive, which has the same length and number.
    let mut bytes = one.bytes.clone();
    let foreign = open(&other.bytes, &other.identities).unwrap();
    let range = frames(&other.bytes, &foreign)[2].clone();
    bytes[ranges[2].clone()].copy_from_slice(&other.bytes[range]);
    assert!(verify(&bytes, None).is_sound());
    assert!(matches!(verify(&bytes, Some(&archive)).findings[0], Error::NotAuthentic { .. }));
    let error = read_stream(&bytes, &archive, 1).unwrap_err();
    let place = Place::Chunk { stream: 1, chunk: 0, sequence: 2, offset: ranges[2].start as u64 };
    assert!(matches!(error, Error::NotAuthentic { place: named } if named == place), "{error}");
}

#[test]
fn a_forged_header_is_told_from_a_wrong_key() {
    let sample = sample(true);
    let archive = open(&sample.bytes, &sample.identities).unwrap();
    let (length, copy) =
        (archive.header.as_bytes().len(), usize::try_from(archive.footer.header_copy().start).unwrap());
    let forged = |at: usize| {
        let mut bytes = sample.bytes.clone();
        for start in [0, copy] {
            bytes[start + at] ^= 1;
            repair(&mut bytes[start..start + length]);
        }
        assert!(verify(&bytes, None).is_sound());
        open(&bytes, &sample.identities).unwrap_err()
    };
    // The time of creation, the MAC: the key fits, the header was changed.
    for at in [33, length - 10] {
        assert!(matches!(forged(at), Error::NotAuthentic { place: Place::Header }), "{at}");
    }
    // The commitment: the key is not the one that the header names.
    assert!(matches!(forged(length - 60), Error::WrongKey));
}

#[test]
fn a_forged_footer_and_another_archives_footer_are_refused() {
    let (one, other) = (sample(true), sample(true));
    let mut bytes = one.bytes.clone();
    let at = bytes.len() - 100 + 70;
    bytes[at] ^= 1;
    let start = bytes.len() - 100;
    repair(&mut bytes[start..]);
    let error = open(&bytes, &one.identities).unwrap_err();
    assert!(matches!(error, Error::NotAuthentic { place: Place::Footer }), "{error}");
    let mut bytes = one.bytes.clone();
    bytes[start..].copy_from_slice(&other.bytes[other.bytes.len() - 100..]);
    assert!(!verify(&bytes, None).is_sound());
    assert!(open(&bytes, &one.identities).is_err());
}

#[test]
fn a_key_of_another_archive_opens_nothing() {
    let (one, other) = (sample(true), sample(true));
    assert!(matches!(open(&one.bytes, &other.identities), Err(Error::NoMatchingIdentity { .. })));
    let wrong = open(&other.bytes, &other.identities).unwrap();
    let right = open(&one.bytes, &one.identities).unwrap();
    let (entry, mut scratch) = (right.root.pages[0].frame, OpenScratch::new().unwrap());
    assert_eq!(entry.kind, FrameKind::Page);
    let error = wrong.opener.open_page(slice(&one.bytes, entry.range()), &entry, &mut scratch).unwrap_err();
    assert!(matches!(error, Error::NotAuthentic { .. }));
    let key = wrong.opener.data_key().clone();
    assert!(matches!(right.header.unlock_with(key), Err(Error::WrongKey)));
    assert!(right.header.unlock_with(right.opener.data_key().clone()).is_ok());
}
