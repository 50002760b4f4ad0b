//! Every single flipped bit and every cut is found, and the place named.

use pgcask::archive::{Damage, Error, Place};

use super::{Sample, frames, open, sample, verify};

/// The place that must be named for damage at byte `at`.
fn expected_place(at: usize, sample: &Sample) -> impl Fn(Place) -> bool + use<> {
    let archive = open(&sample.bytes, &sample.identities).unwrap();
    let ranges = frames(&sample.bytes, &archive);
    let copy = archive.footer.header_copy();
    let header = archive.header.as_bytes().len();
    move |place| match place {
        Place::Header => at < header,
        Place::HeaderCopy => copy.contains(&(at as u64)),
        Place::Footer => at as u64 >= copy.end,
        Place::Frame { sequence, offset, .. } | Place::Chunk { sequence, offset, .. } => {
            let range = &ranges[usize::try_from(sequence).unwrap()];
            range.contains(&at) && offset == range.start as u64
        }
        _ => false,
    }
}

#[test]
fn every_flipped_bit_is_found_and_its_place_named() {
    for encrypted in [true, false] {
        let sample = sample(encrypted);
        let archive = open(&sample.bytes, &sample.identities).unwrap();
        let mut bytes = sample.bytes.clone();
        for at in 0..bytes.len() {
            let right = expected_place(at, &sample);
            for bit in 0..8 {
                bytes[at] ^= 1 << bit;
                for key in [None, Some(&archive)] {
                    let report = verify(&bytes, key);
                    let place = report.findings.first().and_then(Error::place);
                    assert!(place.is_some_and(&right), "byte {at} bit {bit}: {:?}", report.findings);
                }
                bytes[at] ^= 1 << bit;
            }
        }
    }
}

#[test]
fn an_archive_cut_anywhere_does_not_verify_and_does_not_open() {
    let sample = sample(true);
    let archive = open(&sample.bytes, &sample.identities).unwrap();
    for end in 0..sample.bytes.len() {
        let cut = &sample.bytes[..end];
        for key in [None, Some(&archive)] {
            let report = verify(cut, key);
            assert!(
                matches!(report.findings[..], [Error::Damaged { damage: Damage::Truncated, .. }]),
                "{end}"
            );
        }
        let error = open(cut, &sample.identities).unwrap_err();
        let incomplete = matches!(error, Error::Incomplete);
        assert!(incomplete || (end < 8 && matches!(error, Error::NotAnArchive)), "{end}: {error}");
    }
}

#[test]
fn bytes_after_the_end_are_named() {
    let sample = sample(true);
    let longer = [&sample.bytes[..], b"x"].concat();
    let place = Place::Offset(sample.bytes.len() as u64);
    assert_eq!(verify(&longer, None).findings[0].place(), Some(place));
    assert!(open(&longer, &sample.identities).is_err());
}

#[test]
fn moved_doubled_and_dropped_frames_are_found_without_a_key() {
    let sample = sample(true);
    let archive = open(&sample.bytes, &sample.identities).unwrap();
    let ranges = frames(&sample.bytes, &archive);
    let rebuilt = |order: &[usize]| {
        let mut bytes = archive.header.as_bytes().to_vec();
        for &at in order {
            bytes.extend_from_slice(&sample.bytes[ranges[at].clone()]);
        }
        bytes.extend_from_slice(&sample.bytes[ranges.last().unwrap().end..]);
        bytes
    };
    let all: Vec<usize> = (0..ranges.len()).collect();
    assert!(verify(&rebuilt(&all), None).is_sound());
    for at in 0..ranges.len() - 1 {
        let (mut swapped, mut doubled, mut dropped) = (all.clone(), all.clone(), all.clone());
        swapped.swap(at, at + 1);
        doubled.insert(at, at);
        dropped.remove(at);
        for order in [swapped, doubled, dropped] {
            for key in [None, Some(&archive)] {
                let report = verify(&rebuilt(&order), key);
                let first = order.iter().enumerate().position(|(place, frame)| place != *frame).unwrap();
                // A root before its time ends the frames, so that the frame after it is what is wrong.
                let broken_by_root =
                    order.iter().position(|&frame| frame == ranges.len() - 1).unwrap() < first;
                assert!(!report.is_sound());
                assert!(
                    broken_by_root
                        || matches!(
                            report.findings[0],
                            Error::Damaged { damage: Damage::Sequence { expected, .. }, .. }
                                if expected == first as u64
                        ),
                    "{order:?} {:?}",
                    report.findings
                );
            }
        }
    }
}

#[test]
fn several_damages_are_all_listed() {
    let sample = sample(true);
    let archive = open(&sample.bytes, &sample.identities).unwrap();
    let ranges = frames(&sample.bytes, &archive);
    let mut bytes = sample.bytes;
    for frame in [1, 3, 5] {
        bytes[ranges[frame].end - 1] ^= 0x80;
    }
    let report = verify(&bytes, Some(&archive));
    let places: Vec<_> = report.findings.iter().filter_map(Error::place).collect();
    let named: Vec<_> = places
        .iter()
        .map(ToString::to_string)
        .map(|text| text.split(" at ").next().unwrap().to_owned())
        .collect();
    assert_eq!(named, ["frame 1 (section)", "chunk 1 of stream 1 (frame 3", "chunk 2 of stream 1 (frame 5"]);
}

#[test]
fn a_damaged_header_does_not_lose_the_archive() {
    let sample = sample(true);
    let archive = open(&sample.bytes, &sample.identities).unwrap();
    let copy = usize::try_from(archive.footer.header_copy().start).unwrap();
    for at in [10, copy + 10] {
        let mut bytes = sample.bytes.clone();
        bytes[at] ^= 4;
        assert!(open(&bytes, &sample.identities).is_ok());
        assert!(!verify(&bytes, None).is_sound());
    }
}

#[test]
fn an_error_reads_as_one_sentence() {
    let error =
        Error::damaged(Place::Chunk { stream: 4, chunk: 17, sequence: 40, offset: 1234 }, Damage::Checksum);
    let text = "chunk 17 of stream 4 (frame 40 at offset 1234) is damaged: its checksum does not match";
    assert_eq!(error.to_string(), text);
}
