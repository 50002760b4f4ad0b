//! Archives of random shape: whatever is written, in whatever order frames arrive, is read back.

use std::collections::BTreeMap;

use pgcask::archive::{ChunkFacts, ChunkHead, ContentHash, Layout, Options, SealedFrame, Writer};
use pgcask::limits::MAX_ZONE_MAP_BYTES;
use proptest::prelude::*;

use super::{open, read_stream, verify};

/// A chunk: which stream, how long its text, how long its zone map, and how late it arrives.
fn chunk() -> impl Strategy<Value = (u32, usize, usize, u32)> {
    let length = prop_oneof![8 => 0..200_usize, 1 => 0..100_000_usize];
    let zone = prop_oneof![4 => 0..20_usize, 1 => Just(MAX_ZONE_MAP_BYTES)];
    (0..6_u32, length, zone, 0..50_u32)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read(chunks in prop::collection::vec(chunk(), 0..120)) {
        let mut writer = Writer::new(&Options::default()).unwrap();
        let sealer = writer.sealer();
        let mut scratch = sealer.scratch().unwrap();
        let mut expected: BTreeMap<u32, (Vec<u8>, u128)> = BTreeMap::new();
        for stream in 0..6 {
            writer.declare(stream, &[7; 3]).unwrap();
            expected.insert(stream, (Vec::new(), 0));
        }
        let mut frames: Vec<(u32, SealedFrame)> = Vec::new();
        for (number, &(stream, length, zone, late)) in (0..).zip(&chunks) {
            let text: Vec<u8> = (0..length).map(|at| b"abcdefg\t\n"[(at * at + length) % 9]).collect();
            let hash = u128::MAX / (u128::from(number) + 1);
            let facts = ChunkFacts { hash: ContentHash(hash), zone_map: vec![1; zone] };
            let head = ChunkHead { stream, number, rows: 1 };
            frames.push((number + late, sealer.seal_chunk(head, &text, Layout::Rows, facts, &mut scratch).unwrap()));
            let sums = expected.get_mut(&stream).unwrap();
            sums.0.extend(text);
            sums.1 = sums.1.wrapping_add(hash);
        }
        frames.sort_by_key(|frame| frame.0);
        let mut bytes = Vec::new();
        for (_, frame) in frames {
            bytes.extend(writer.push(frame).unwrap().concat());
        }
        let finished = writer.finish().unwrap();
        bytes.extend(finished.bytes.concat());
        let archive = open(&bytes, &[]).unwrap();
        prop_assert!(verify(&bytes, Some(&archive)).is_sound());
        prop_assert_eq!(finished.summary.totals.chunks, chunks.len() as u64);
        for (stream, (rows, hash)) in expected {
            prop_assert!(read_stream(&bytes, &archive, stream).unwrap() == rows);
            prop_assert_eq!(archive.root.stream(stream).unwrap().totals.hash, ContentHash(hash));
        }
    }
}
