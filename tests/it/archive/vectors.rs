//! The published vectors: archives with their expectation in a text file beside them, so that the reader of a stranger
//! can be judged by them too. `tests/vectors/reader.py` is such a reader, written from `docs/format.md` alone.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use pgcask::archive::{
    ChunkFacts, ChunkHead, ContentHash, Error, Layout, OpenScratch, Options, Report, Totals, Writer,
};
use pgcask::columns::Plan;
use pgcask::fields::Fields;
use pgcask::seal::recipient::{Identity, Passphrase, Recipient, generate_identity};
use sha2::{Digest as _, Sha256};

use crate::harness::cli::{backup, folder as folder_with_passphrase, pass, pgcask, run};
use crate::harness::output;
use crate::harness::postgres::{Server, newest};

use super::{CATALOG, META, frames, open, read_stream, repair_frame, slice, text, verify};

const PASSPHRASE: &str = "correct horse battery staple";

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors")
}

fn hex(bytes: &[u8]) -> String {
    let mut out = String::new();
    for byte in bytes {
        write!(out, "{byte:02x}").unwrap();
    }
    out
}

/// The identities that an expectation file gives.
fn identities(expectation: &str) -> Vec<Identity> {
    let values = |key: &'static str| expectation.lines().filter_map(move |line| line.strip_prefix(key));
    let mut found: Vec<Identity> =
        values("passphrase: ").map(|phrase| Identity::Passphrase(Passphrase::new(phrase).unwrap())).collect();
    values("identity: ").for_each(|secret| found.extend(Identity::parse_file(secret).unwrap()));
    found
}

/// What a reader finds: one line each, the same lines as `reader.py` prints.
fn describe(bytes: &[u8], keys: &[Identity]) -> Result<String, Error> {
    let archive = open(bytes, keys)?;
    let report: Report = verify(bytes, Some(&archive));
    if let Some(error) = report.findings.into_iter().next() {
        return Err(error);
    }
    let mut lines = vec![
        format!("archive: {} {}\n", archive.header.id, hex(&report.sha256)),
        format!("header: {} {}\n", archive.header.encrypted, archive.header.created_micros),
    ];
    let mut scratch = OpenScratch::new()?;
    for section in &archive.root.sections {
        let mut digest = Sha256::new();
        for (part, frame) in (0..).zip(&section.parts) {
            let frame = slice(bytes, frame.range());
            digest.update(archive.opener.open_part(frame, section, part, &mut scratch)?);
        }
        let (tag, version, digest) = (section.tag, section.version, hex(&digest.finalize()));
        lines.push(format!("section: {tag} {version} {} {digest}\n", section.bytes));
    }
    for stream in &archive.root.streams {
        let (name, totals) = (String::from_utf8_lossy(&stream.name), stream.totals);
        let digest = hex(&Sha256::digest(read_stream(bytes, &archive, stream.stream)?));
        let Totals { chunks, rows, plain_bytes, hash, .. } = totals;
        let stream = stream.stream;
        lines.push(format!("stream: {stream} {name} {chunks} {rows} {plain_bytes} {hash} {digest}\n"));
    }
    Ok(lines.concat())
}

#[test]
fn every_vector_is_as_expected() {
    let mut seen = 0;
    for entry in fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "cask") {
            continue;
        }
        let expectation = fs::read_to_string(path.with_extension("txt")).unwrap();
        let found = describe(&fs::read(&path).unwrap(), &identities(&expectation));
        let found = found.unwrap_or_else(|error| format!("error: {error}\n"));
        let expected: String = expectation
            .split_inclusive('\n')
            .filter(|line| !line.starts_with("identity: ") && !line.starts_with("passphrase: "))
            .collect();
        assert_eq!(found, expected, "{}", path.display());
        seen += 1;
    }
    assert!(seen >= 10, "only {seen} vectors");
}

/// Runs the reader in Python.
fn reader(arguments: &[&str]) -> String {
    output(&mut reader_command(arguments))
}

/// The reader in Python, not yet run.
pub(crate) fn reader_command(arguments: &[&str]) -> Command {
    let mut python = Command::new("python3");
    let packages = xtask::python::packages().unwrap_or_else(|error| panic!("{error}"));
    python.env("PYTHONPATH", packages).env("PYTHONDONTWRITEBYTECODE", "1");
    python.arg(folder().join("reader.py")).args(arguments);
    python
}

#[test]
fn a_reader_written_from_the_specification_alone_agrees() {
    let told = reader(&["--check"]);
    assert!(
        !told.contains("FAIL") && told.lines().filter(|line| line.starts_with("ok ")).count() >= 15,
        "{told}"
    );
}

#[test]
fn a_reader_written_from_the_specification_alone_reads_a_backup_of_today() {
    let (server, kept) = (Server::shared(newest()), folder_with_passphrase());
    let source = server.create_db();
    server.sql(
        &source,
        "CREATE TABLE t AS SELECT i, md5(i::text) AS m, CASE WHEN i % 7 = 0 THEN E'tab\\t\\\\' END AS x,
             (i::bigint * 7919 % 100003 - 40000)::numeric / 100 AS price, (i % 13 - 6)::numeric(9, 3) AS weight,
             date '1992-01-01' + i % 2500 AS day, timestamp '1969-01-01' + i * interval '1.01 hours' AS at,
             NULLIF(timestamptz '2024-01-01' + i * interval '0.1234 s', 'epoch') AS utc, i % 3 = 0 AS flag,
             CASE WHEN i % 5 > 0 THEN -i::bigint * 1000003 END AS negative,
             (ARRAY['red', 'green', 'a colour of more than sixteen letters'])[i % 3 + 1] AS colour
             FROM generate_series(1, 60000) i",
    );
    let made = backup(kept.path(), &server.url(&source), &[]);
    let archive = made["archive"].as_str().unwrap();
    let rows = reader(&[archive, "--passphrase", PASSPHRASE, "--rows", "0"]);
    let mut rows: Vec<&str> = rows.lines().collect();
    let copied =
        run(&mut pgcask(["cat", archive, "t", "--format", "copy", &pass(kept.path())])).expect(0).stdout;
    let mut copied: Vec<&str> = copied.lines().collect();
    // The reader gives chunks by number, `cat` by place.
    rows.sort_unstable();
    copied.sort_unstable();
    assert_eq!(rows.len(), 60_000);
    assert_eq!(rows, copied);
}

#[test]
fn a_reader_written_from_the_specification_alone_takes_added_keys_that_are_authentic() {
    let (server, kept) = (Server::shared(newest()), folder_with_passphrase());
    let source = server.create_db();
    server.sql(&source, "CREATE TABLE t AS SELECT generate_series(1, 9) AS i");
    let archive = backup(kept.path(), &server.url(&source), &[])["archive"].as_str().unwrap().to_owned();
    let ((first, _), (second, public)) = (generate_identity(), generate_identity());
    for public in [generate_identity().1, public] {
        run(&mut pgcask(["key", "add", &archive, "-r", &public, &pass(kept.path())])).expect(0);
    }
    let rows = reader(&[&archive, "--identity", &second, "--rows", "0"]);
    assert_eq!(rows.split_whitespace().count(), 9);
    let refused = |identity: &str| {
        let out = reader_command(&[&archive, "--identity", identity]).output().unwrap();
        assert_eq!(out.status.code(), Some(1), "{out:?}");
        String::from_utf8(out.stderr).unwrap()
    };
    assert!(refused(&first).contains("no key fits"));
    // Changed, with a checksum that is right: who has no data key cannot make the HMAC.
    let added = format!("{archive}.keys-2");
    let mut bytes = fs::read(&added).unwrap();
    bytes[33] ^= 1;
    let end = bytes.len() - 4;
    let crc = crc32fast::hash(&bytes[..end]).to_le_bytes();
    bytes[end..].copy_from_slice(&crc);
    fs::write(&added, bytes).unwrap();
    assert!(refused(&second).contains("added keys are not authentic"));
}

/// The vectors are written once and kept: they prove that old archives stay readable. This wrote them, and writes those
/// that are missing:
/// `cargo test --test it write_vectors -- --ignored`.
#[test]
#[ignore = "writes into the source tree, with fresh keys"]
fn write_vectors() {
    let (secret, public) = generate_identity();
    let (stranger, _) = generate_identity();
    let passphrase = || Recipient::passphrase(Passphrase::new(PASSPHRASE).unwrap());
    let age = || Recipient::parse(&public).unwrap();
    let (by_age, by_phrase) = (format!("identity: {}\n", *secret), format!("passphrase: {PASSPHRASE}\n"));
    let clear = archive(vec![], 3, b"the catalog");
    save("clear", "", &clear);
    save("clear-large-section", "", &archive(vec![], 1, &b"0123456789".repeat(220_000)));
    save("columns", "", &laid_out(vec![], 25, b"columns", How::Columns));
    save("encoded", "", &laid_out(vec![], 4, b"encoded", How::Encoded));
    save("paged", "", &archive(vec![], 1100, b"many chunks"));
    save("passphrase", &by_phrase, &archive(vec![passphrase()], 3, b"the catalog"));
    save("several-recipients", &by_age, &archive(vec![passphrase(), age()], 3, b"the catalog"));
    let sealed = archive(vec![age()], 3, b"the catalog");
    save("age", &by_age, &sealed);
    save("no-matching-identity", &format!("identity: {}\n", *stranger), &sealed);
    let wrong = archive(vec![passphrase()], 1, b"");
    save("wrong-passphrase", "passphrase: incorrect horse\n", &wrong);

    let opened = open(&sealed, &identities(&by_age)).unwrap();
    let ranges = frames(&sealed, &opened);
    let changed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = sealed.clone();
        change(&mut bytes);
        bytes
    };
    save("flipped-bit", &by_age, &changed(&|bytes| bytes[ranges[2].start + 40] ^= 8));
    save("truncated", &by_age, &sealed[..ranges[4].end]);
    let forged = changed(&|bytes| {
        bytes[ranges[3].start + 40] ^= 8;
        repair_frame(&mut bytes[ranges[3].clone()]);
    });
    save("forged-chunk", &by_age, &forged);
    let doubled = [&sealed[..ranges[2].end], &sealed[ranges[2].start..]].concat();
    save("doubled-frame", &by_age, &doubled);
    let dropped = [&sealed[..ranges[2].start], &sealed[ranges[2].end..]].concat();
    save("dropped-frame", &by_age, &dropped);
    let footer = sealed.len() - 1;
    save("footer-flipped", &by_age, &changed(&|bytes| bytes[footer] ^= 1));
}

fn archive(recipients: Vec<Recipient>, chunks: u32, catalog: &[u8]) -> Vec<u8> {
    laid_out(recipients, chunks, catalog, How::Rows)
}

/// How chunks are packed.
#[derive(Clone, Copy, PartialEq)]
enum How {
    Rows,
    Columns,
    Encoded,
}

/// Rows whose columns get each encoding: identity, random number, price, date, timestamps, a few words, flags, text.
fn rich(number: u32) -> (Vec<u8>, u32) {
    let row = |n: u32| {
        let mixed = n.wrapping_mul(2_654_435_761) >> 8;
        let null = |value: String| if n % 11 == number { "\\N".to_owned() } else { value };
        let (cents, minute) = (mixed % 100, mixed % 60);
        let date = format!("{:04}-{:02}-{:02}", 1992 + mixed % 7, mixed % 12 + 1, mixed % 28 + 1);
        let price = format!("{}{}.{cents:02}", if mixed.is_multiple_of(3) { "-" } else { "" }, mixed / 7 + 1);
        let time = format!("{date} {:02}:{minute:02}:00.{}", n % 24, mixed % 1000 * 10 + 1);
        let word = ["AIR", "a longer word than sixteen bytes", "RAIL"][(mixed % 3) as usize];
        let values = [
            (5_000_000_000 + u64::from(n)).to_string(),
            null((i64::from(mixed) - 8_000_000).to_string()),
            price,
            null(date),
            time.clone(),
            null(format!("{time}+00")),
            word.to_owned(),
            (mixed % 2).to_string(),
            format!("text {mixed:x}"),
        ];
        values.join("\t") + "\n"
    };
    let rows = 700 + number;
    ((0..rows).map(row).collect::<String>().into_bytes(), rows)
}

fn laid_out(recipients: Vec<Recipient>, chunks: u32, catalog: &[u8], how: How) -> Vec<u8> {
    let options = Options { created_micros: 1_794_000_000_123_456, recipients, ..Options::default() };
    let mut writer = Writer::new(&options).unwrap();
    let mut bytes = writer.section(META, 1, b"{\"kind\":\"daily\"}").unwrap().concat();
    bytes.extend(writer.section(CATALOG, 2, catalog).unwrap().concat());
    for (stream, name) in [(1, "public.orders"), (2, "public.\u{e9}tat"), (40, "empty")] {
        writer.declare(stream, name.as_bytes()).unwrap();
    }
    let sealer = writer.sealer();
    let mut scratch = sealer.scratch().unwrap();
    for (stream, number) in (0..chunks).map(|number| (1, number)).chain([(2, 0)]) {
        let (text, rows) = match how {
            How::Encoded => rich(number),
            _ => (text(stream, number % 20), number % 20 + 2),
        };
        let head = ChunkHead { stream, number, rows };
        let digest: [u8; 32] = Sha256::digest(&text).into();
        let hash = ContentHash(u128::from_le_bytes(*digest.first_chunk().unwrap()));
        let facts = ChunkFacts { hash, zone_map: number.to_le_bytes().to_vec() };
        let mut fields = Fields::default();
        let plan = Plan::default();
        let layout = match how {
            How::Columns if fields.find(&text) => Layout::Columns(&fields, &plan),
            How::Encoded if fields.find(&text) => Layout::Smaller(&fields),
            _ => Layout::Rows,
        };
        let frame = sealer.seal_chunk(head, &text, layout, facts, &mut scratch).unwrap();
        assert!(how == How::Rows || text.len() < 100 || frame.is_columnar());
        assert!(how != How::Encoded || frame.plan().is_some_and(|plan| !plan.is_text()));
        bytes.extend(writer.push(frame).unwrap().concat());
    }
    bytes.extend(writer.finish().unwrap().bytes.concat());
    bytes
}

fn save(name: &str, keys: &str, bytes: &[u8]) {
    let found = describe(bytes, &identities(keys)).unwrap_or_else(|error| format!("error: {error}\n"));
    if folder().join(name).with_extension("cask").exists() {
        return;
    }
    fs::write(folder().join(name).with_extension("cask"), bytes).unwrap();
    fs::write(folder().join(name).with_extension("txt"), format!("{keys}{found}")).unwrap();
}
