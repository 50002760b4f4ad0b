//! The writer refuses what no reader would take, and misuse.

use pgcask::archive::{
    Archive, ChunkFacts, ChunkHead, Error, Layout, OpenScratch, Opener, Options, Salvager, SealScratch,
    SealedFrame, Sealer, Verifier, Writer,
};
use pgcask::limits::MAX_ZONE_MAP_BYTES;
use pgcask::seal::recipient::{Identity, Recipient};

const HEAD: ChunkHead = ChunkHead { stream: 1, number: 0, rows: 1 };

#[test]
fn a_frame_that_was_never_pushed_is_missed() {
    let mut writer = Writer::new(&Options::default()).unwrap();
    writer.declare(1, b"t").unwrap();
    let sealer = writer.sealer();
    let mut scratch = sealer.scratch().unwrap();
    let lost = sealer.seal_chunk(HEAD, b"a\n", Layout::Rows, ChunkFacts::default(), &mut scratch).unwrap();
    let late = sealer.seal_chunk(HEAD, b"b\n", Layout::Rows, ChunkFacts::default(), &mut scratch).unwrap();
    assert_eq!((lost.sequence(), late.sequence()), (0, 1));
    let header_only = writer.push(late).unwrap();
    assert_eq!(header_only.concat(), writer.header().as_bytes());
    assert!(matches!(writer.finish(), Err(Error::Missing(0))));
}

#[test]
fn foreign_doubled_and_undeclared_frames_are_refused() {
    let mut writer = Writer::new(&Options::default()).unwrap();
    let other = Writer::new(&Options::default()).unwrap();
    let mut scratch = other.sealer().scratch().unwrap();
    let foreign =
        other.sealer().seal_chunk(HEAD, b"", Layout::Rows, ChunkFacts::default(), &mut scratch).unwrap();
    assert!(matches!(writer.push(foreign), Err(Error::Misuse(_))));
    let undeclared =
        writer.sealer().seal_chunk(HEAD, b"", Layout::Rows, ChunkFacts::default(), &mut scratch).unwrap();
    assert!(matches!(writer.push(undeclared), Err(Error::Misuse(_))));
    let zone_map = vec![0; MAX_ZONE_MAP_BYTES + 1];
    let facts = ChunkFacts { zone_map, ..ChunkFacts::default() };
    assert!(matches!(
        writer.sealer().seal_chunk(HEAD, b"", Layout::Rows, facts, &mut scratch),
        Err(Error::Limit { .. })
    ));
}

/// Threads seal and open; one task writes.
#[test]
fn the_parts_can_be_given_to_threads() {
    fn send<T: Send>() {}
    fn shared<T: Send + Sync>() {}
    send::<Writer>();
    send::<SealedFrame>();
    send::<SealScratch>();
    send::<OpenScratch>();
    send::<Verifier>();
    send::<Salvager>();
    shared::<Sealer>();
    shared::<Opener>();
    shared::<Archive>();
    shared::<Identity>();
    shared::<Recipient>();
}
