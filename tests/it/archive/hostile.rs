//! Thousands of mutated inputs through the entry points of the fuzz targets, and the seeds that the targets start from.

use std::path::{Path, PathBuf};

use pgcask::archive::OpenScratch;
use pgcask::archive::SectionTag;
use pgcask::archive::frame::FRAME_HEADER_BYTES;
use pgcask::fuzzing;
use pgcask::seal::recipient::{Identity, Passphrase};

use super::{frames, open, sample, slice};
use crate::harness::cli::{backup, folder};
use crate::harness::postgres::{Server, newest};

/// A target and the name of its corpus.
type Target = (&'static str, fn(&[u8]));

const TARGETS: [Target; 6] = [
    ("open_archive", fuzzing::open_archive),
    ("index", fuzzing::index),
    ("header", fuzzing::header),
    ("frame", fuzzing::frame),
    ("copy_rows", fuzzing::copy_rows),
    ("catalog_decode", fuzzing::catalog_decode),
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

/// The seeds that lie in the corpus.
fn stored(target: &str) -> Vec<Vec<u8>> {
    let files = std::fs::read_dir(corpus(target)).unwrap();
    files.map(|entry| std::fs::read(entry.unwrap().path()).unwrap()).collect()
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
        "copy_rows" => vec![
            super::text(1, 20),
            b"1\t2024-01-02\ta\\tb\n-20\tinfinity\t\\N\n\\N\t2024-01-02 10:00:00.5+00\t\\\\x41\n".to_vec(),
        ],
        // Made by a server; see `write_catalog_seeds`.
        "catalog_decode" => stored(target),
        other => panic!("no seeds for {other}"),
    }
}

#[test]
fn mutated_inputs_neither_panic_nor_take_memory() {
    for (name, target) in TARGETS {
        let mut random = Random(0x9E37_79B9_7F4A_7C15);
        let seeds = seeds(name);
        // A catalog is a thousand times as long as the others.
        let rounds = match name {
            "catalog_decode" => 1_500,
            "open_archive" => 10_000,
            _ => 30_000,
        };
        for _ in 0..rounds {
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

/// Writes the catalogs of a database with some of every kind: `cargo test --test it write_catalog_seeds -- --ignored`.
#[test]
#[ignore = "writes into the source tree"]
fn write_catalog_seeds() {
    let server = Server::start(newest());
    for kind in ["table", "foreign_key", "function", "view", "policy", "range_type"] {
        let source = server.create_db();
        let fixture = format!("tests/fixtures/kinds/{kind}.sql");
        server.script(&source, &Path::new(env!("CARGO_MANIFEST_DIR")).join(fixture));
        let folder = folder();
        let made = backup(folder.path(), &server.url(&source), &["--schema-only"]);
        let archive = std::fs::read(made["archive"].as_str().unwrap()).unwrap();
        let phrase =
            Passphrase::new(std::fs::read_to_string(folder.path().join("pass")).unwrap().trim()).unwrap();
        let archive_keys = [Identity::Passphrase(phrase)];
        let opened = open(&archive, &archive_keys).unwrap();
        let section =
            opened.root.sections.iter().find(|section| section.tag == SectionTag(*b"CATA")).unwrap();
        let mut catalog = Vec::new();
        for (part, frame) in (0..).zip(&section.parts) {
            let mut scratch = OpenScratch::new().unwrap();
            let frame = slice(&archive, frame.range());
            catalog.extend_from_slice(opened.opener.open_part(frame, section, part, &mut scratch).unwrap());
        }
        std::fs::create_dir_all(corpus("catalog_decode")).unwrap();
        std::fs::write(corpus("catalog_decode").join(format!("{kind}.json")), catalog).unwrap();
    }
}

/// Writes the seeds anew after a change of the format: `cargo test --test it write_fuzz_seeds -- --ignored`.
#[test]
#[ignore = "writes into the source tree"]
fn write_fuzz_seeds() {
    for (name, _) in TARGETS.into_iter().filter(|(name, _)| *name != "catalog_decode") {
        std::fs::create_dir_all(corpus(name)).unwrap();
        for (at, seed) in seeds(name).iter().enumerate() {
            std::fs::write(corpus(name).join(format!("seed-{at}")), seed).unwrap();
        }
    }
}
