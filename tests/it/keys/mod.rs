//! Who can open an archive: each kind of recipient with the program that makes its keys.

mod added;
mod command;
mod guide;
mod openpgp;
mod plugin;
mod ssh;

use std::path::Path;

use pgcask::archive::header::HEADER_START_BYTES;
use pgcask::archive::{Header, Place};

use crate::archive::vectors::reader_command;
use crate::harness::cli::{Run, pgcask, run};
use crate::harness::postgres::{Db, Server, newest};

/// A database of one table, small: it is the keys that matter here.
fn shop() -> (&'static Server, Db<'static>) {
    let server = Server::shared(newest());
    let database = server.create_db();
    server.sql(&database, "CREATE TABLE t AS SELECT i, 'kept ' || i AS note FROM generate_series(1, 20) i");
    (server, database)
}

/// Backs up into `folder/store` with these flags, in this environment; gives the archive's path.
fn sealed(folder: &Path, url: &str, flags: &[&str], env: &[(&str, String)]) -> String {
    let store = folder.join("store").display().to_string();
    let mut command = pgcask(["backup", url, "--to", &store, "--json", "--jobs", "1"]);
    let made = run(command.args(flags).envs(env.iter().map(|(name, value)| (name, value)))).expect(0).json();
    made["archive"].as_str().unwrap().to_owned()
}

/// Reads the table out of an archive.
fn cat(archive: &str, flags: &[&str], env: &[(&str, String)]) -> Run {
    let mut command = pgcask(["cat", archive, "public.t"]);
    run(command.args(flags).envs(env.iter().map(|(name, value)| (name, value))))
}

/// As [`cat`], which must succeed.
#[track_caller]
fn opens(archive: &str, flags: &[&str], env: &[(&str, String)]) {
    let rows = cat(archive, flags, env).expect(0).stdout;
    assert!(rows.contains("7,kept 7") && rows.lines().count() == 21, "{rows}");
}

/// As [`opens`], by the reader that was written from the specification alone: it finds the same rows.
#[track_caller]
fn opens_by_specification(archive: &str, flags: &[&str], env: &[(&str, String)]) {
    let mut reader = reader_command(&[&[archive, "--rows", "0"], flags].concat());
    let rows = crate::harness::output(reader.envs(env.iter().map(|(name, value)| (name, value))));
    assert!(rows.contains("7\tkept 7\n") && rows.lines().count() == 20, "{rows}");
}

/// Changes one byte of the wrapped key number `stanza`, counted from its end, in header and copy, and makes the checksums
/// right again: what somebody does who wants it to go unnoticed.
fn tampered(archive: &str, stanza: usize, from_end: usize) -> String {
    let mut bytes = std::fs::read(archive).unwrap();
    let start: [u8; HEADER_START_BYTES] = bytes[..HEADER_START_BYTES].try_into().unwrap();
    let length = Header::length(&start, Place::Header).unwrap();
    let header = Header::decode(&bytes[..length], Place::Header).unwrap();
    let before: usize = header.stanzas[..=stanza].iter().map(|stanza| 16 + stanza.body.len()).sum();
    let at = 44 + before - 1 - from_end;
    let mut changed = bytes[..length].to_vec();
    changed[at] ^= 1;
    let crc = crc32(&changed[..length - 4]);
    changed[length - 4..].copy_from_slice(&crc.to_le_bytes());
    let copy = bytes.len() - 100 - length;
    assert_eq!(bytes[copy..copy + length], bytes[..length]);
    bytes[copy..copy + length].copy_from_slice(&changed);
    bytes[..length].copy_from_slice(&changed);
    let path = format!("{archive}.tampered");
    std::fs::write(&path, bytes).unwrap();
    path
}

/// CRC-32 of IEEE 802.3, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(
            crc ^ u32::from(*byte),
            |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 },
        )
    };
    !bytes.iter().fold(!0, step)
}
