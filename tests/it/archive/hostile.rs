//! Thousands of mutated inputs through the entry points of the fuzz targets, and the seeds that the targets start from.

use std::path::{Path, PathBuf};

use pgcask::archive::OpenScratch;
use pgcask::archive::frame::FRAME_HEADER_BYTES;
use pgcask::fuzzing;

use super::{frames, open, sample, slice};

/// A target and the name of its corpus.
type Target = (&'static str, fn(&[u8]));

const TARGETS: [Target; 4] = [
    ("open_archive", fuzzing::open_archive),
    ("index", fuzzing::index),
    ("header", fuzzing::header),
    ("frame", fuzzing::frame),
];

/// Marsaglia's xorshift: the same inputs on every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound.max(1) as u64).unwrap()
    }
}

fn mutate(seed: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len());
        match random.below(6) {
            0 if !bytes.is_empty() => bytes[at] ^= 1 << random.below(8),
            1 if !bytes.is_empty() => bytes[at] = [0, 1, 0x7F, 0x80, 0xFF][random.below(5)],
            2 => bytes.truncate(at),
            3 => bytes.insert(at, u8::try_from(random.below(256)).unwrap()),
            4 if bytes.len() >= at + 4 => {
                let number = [0, 1, u32::MAX, 1 << 30, 0x8000_0000][random.below(5)];
                bytes[at..at + 4].copy_from_slice(&number.to_le_bytes());
            }
            _ => {
                let (from, to) = (at.min(bytes.len()), (at + random.below(40)).min(bytes.len()));
                let piece = bytes[from..to].to_vec();
                bytes.splice(from..from, piece);
            }
        }
    }
    bytes
}

/// What each target starts from: parts of a sample archive.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let sample = sample(false);
    let archive = open(&sample.bytes, &[]).unwrap();
    let ranges = frames(&sample.bytes, &archive);
    match target {
        "open_archive" => vec![sample.bytes],
        "header" => {
            let sealed = super::sample(true);
            let stanza = open(&sealed.bytes, &sealed.identities).unwrap().header;
            vec![archive.header.as_bytes().to_vec(), stanza.as_bytes().to_vec()]
        }
        "frame" => ranges
            .iter()
            .map(|range| sample.bytes[range.start + FRAME_HEADER_BYTES..range.end].to_vec())
            .collect(),
        "index" => [archive.footer.root, archive.root.pages[0].frame]
            .iter()
            .map(|frame| {
                let mut scratch = OpenScratch::new().unwrap();
                let bytes = slice(&sample.bytes, frame.range());
                archive.opener.open(bytes, frame, &mut scratch).unwrap().plain.to_vec()
            })
            .collect(),
        other => panic!("no seeds for {other}"),
    }
}

#[test]
fn mutated_inputs_neither_panic_nor_take_memory() {
    for (name, target) in TARGETS {
        let mut random = Random(0x9E37_79B9_7F4A_7C15);
        let seeds = seeds(name);
        for _ in 0..if name == "open_archive" { 10_000 } else { 30_000 } {
            let seed = &seeds[random.below(seeds.len())];
            target(&mutate(seed, &mut random));
        }
    }
}

fn corpus(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name)
}

#[test]
fn the_corpus_of_every_target_is_replayed() {
    for (name, target) in TARGETS {
        let files: Vec<_> =
            std::fs::read_dir(corpus(name)).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(!files.is_empty(), "{name} has no seeds");
        for file in files {
            target(&std::fs::read(file).unwrap());
        }
    }
}

/// Writes the seeds anew after a change of the format: `cargo test --test it write_fuzz_seeds -- --ignored`.
#[test]
#[ignore = "writes into the source tree"]
fn write_fuzz_seeds() {
    for (name, _) in TARGETS {
        std::fs::create_dir_all(corpus(name)).unwrap();
        for (at, seed) in seeds(name).iter().enumerate() {
            std::fs::write(corpus(name).join(format!("seed-{at}")), seed).unwrap();
        }
    }
}
