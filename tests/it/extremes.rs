//! What few databases have and a backup must bring back all the same: very long rows, very many columns and tables,
//! tables without columns, and names that break whoever forgets to quote.

use std::process::{Child, Command, Stdio};

use crate::harness::cli::{backup, folder, pass, pgcask, restore, run};
use crate::harness::oracle::assert_same;
use crate::harness::postgres::{Server, newest};
use crate::harness::rss;

/// Memory that backup and restore may take beside their largest rows, in bytes.
const MEMORY: u64 = 200 << 20;

/// Backs up, restores into a new database, and lets the oracle compare.
fn comes_back(server: &Server, source: &str) {
    let folder = folder();
    let made = backup(folder.path(), &server.url(source), &[]);
    let target = server.adopt(server.fresh_name());
    let archive = made["archive"].as_str().unwrap();
    let run = restore(folder.path(), archive, &server.url(&target), &["--create"]).expect(0);
    assert_eq!(run.json()["verified"], true);
    assert_same(server, source, server, &target);
}

#[test]
fn names_that_must_be_quoted() {
    let server = Server::shared(newest());
    let source = server.create_db();
    let long = "ß".repeat(31);
    let names = [
        "Select",
        "select",
        "a.b",
        "a b",
        "it's",
        "say \"hi\"",
        "new\nline",
        "tab\there",
        "\u{1f418}",
        "back\\slash",
        "$1",
        "--",
        "/* */",
        "\\.",
        "%s",
        "*",
        long.as_str(),
    ];
    for (at, name) in names.iter().enumerate() {
        let quoted = format!("\"{}\"", name.replace('"', "\"\""));
        let literal = format!("E'{}'", name.replace('\\', "\\\\").replace('\'', "''"));
        server.sql(
            &source,
            &format!(
                "CREATE SCHEMA {quoted};
                 CREATE TYPE {quoted}.{quoted} AS ENUM ({literal}, 'other');
                 CREATE TABLE {quoted}.\"t{at}\" ({quoted} {quoted}.{quoted} PRIMARY KEY, note text DEFAULT {literal});
                 CREATE TABLE {quoted}.{quoted}_ (i int, {quoted} int GENERATED ALWAYS AS IDENTITY);
                 CREATE INDEX {quoted}_ix ON {quoted}.\"t{at}\" (note, {quoted});
                 COMMENT ON COLUMN {quoted}.\"t{at}\".{quoted} IS {literal};
                 INSERT INTO {quoted}.\"t{at}\" VALUES ({literal}), ('other');"
            )
            .replace(&format!("{quoted}_ix"), &format!("\"ix{at}\""))
            .replace(&format!("{quoted}_ "), &format!("\"identity{at}\" ")),
        );
    }
    comes_back(server, &source);
}

#[test]
fn tables_of_no_columns_and_of_as_many_as_there_can_be() {
    let server = Server::shared(newest());
    let source = server.create_db();
    let columns: Vec<String> = (0..1_600).map(|at| format!("c{at} int DEFAULT {at}")).collect();
    server.sql(
        &source,
        &format!(
            "CREATE TABLE wide ({}); INSERT INTO wide SELECT FROM generate_series(1, 20);
             UPDATE wide SET c1599 = NULL, c7 = -1 WHERE ctid < '(1,1)';
             CREATE TABLE none (); INSERT INTO none SELECT FROM generate_series(1, 1000);
             CREATE TABLE dropped (a int, b text); INSERT INTO dropped SELECT i, 'x' FROM generate_series(1, 50) i;
             ALTER TABLE dropped DROP COLUMN a, DROP COLUMN b;
             CREATE TABLE gap (a int, b text, c int); ALTER TABLE gap DROP COLUMN b; INSERT INTO gap VALUES (1, 2);
             CREATE TABLE empty (i int PRIMARY KEY);
             CREATE TABLE only_generated (g int GENERATED ALWAYS AS (1) STORED);
             INSERT INTO only_generated SELECT FROM generate_series(1, 9)",
            columns.join(", ")
        ),
    );
    comes_back(server, &source);
}

/// Starts a command whose output goes nowhere.
fn quiet(command: &mut Command) -> Child {
    command.stdout(Stdio::null()).stderr(Stdio::inherit()).spawn().unwrap()
}

/// Runs backup and restore with four jobs; gives the most memory that each took.
fn memory(server: &Server, source: &str) -> [u64; 2] {
    let folder = folder();
    let store = folder.path().join("store");
    let (pass, to) = (pass(folder.path()), store.display().to_string());
    let url = server.url(source);
    let (backup, status) = rss::peak(quiet(&mut pgcask(["backup", &url, "--to", &to, "--jobs", "4", &pass])));
    assert!(status.success());
    let listed = Command::new("find").args([&to, "-name", "*.cask"]).output().unwrap();
    let archive = String::from_utf8(listed.stdout).unwrap().trim().to_owned();
    let target = server.adopt(server.fresh_name());
    let into = server.url(&target);
    let args = ["restore", &archive, "--into", &into, "--create", "--jobs", "4", &pass];
    let (restore, status) = rss::peak(quiet(&mut pgcask(args)));
    assert!(status.success());
    assert_same(server, source, server, &target);
    [backup, restore]
}

#[test]
fn five_thousand_tables_in_bounded_memory() {
    let server = Server::start(newest());
    let source = server.create_db();
    for from in (1..=5_000).step_by(500) {
        server.sql(
            &source,
            &format!(
                "DO $$ BEGIN FOR i IN {from}..{} LOOP EXECUTE format(
                    'CREATE TABLE t%s (id serial PRIMARY KEY, v text); INSERT INTO t%s (v) VALUES (''row of %s'')', i, i, i);
                 END LOOP; END $$",
                from + 499
            ),
        );
    }
    for peak in memory(&server, &source) {
        assert!(peak < MEMORY, "{} MiB", peak >> 20);
    }
}

#[test]
fn rows_of_a_hundred_megabytes() {
    /// Bytes of the largest row's COPY text: a `bytea` is written in hexadecimal.
    const ROW: u64 = 100 << 20;
    let server = Server::start(newest());
    let source = server.create_db();
    server.sql(
        &source,
        "CREATE TABLE t (i int, b bytea, x text);
         INSERT INTO t SELECT i, decode(repeat(md5(i::text), 50 << 15), 'hex'), NULL FROM generate_series(1, 4) i;
         INSERT INTO t SELECT i, NULL, repeat(md5(i::text) || E'\\t\\\\', 3 << 20) FROM generate_series(5, 7) i;
         INSERT INTO t SELECT i, '\\x00', 'small' FROM generate_series(8, 1000) i",
    );
    for peak in memory(&server, &source) {
        assert!(peak < MEMORY + 3 * ROW, "{} MiB", peak >> 20);
    }
}

/// An archive of the same database, in which the one table has so many chunks of one row each.
async fn with_chunks(archive: &str, chunks: u32, to: &std::path::Path) {
    use pgcask::archive::{ChunkFacts, ChunkHead, ContentHash, Layout, Options, SectionTag, Writer};
    use pgcask::manifest;

    let source = pgcask::store::get::Source::open(archive).await.unwrap();
    let found = pgcask::opened::Found::locate(source).await.unwrap().unlock(&[]).await.unwrap();
    let facts = found.manifest().await.unwrap();
    let catalog = pgcask::catalog::encode::encode(&found.model().await.unwrap().unwrap()).unwrap();
    let closing = serde_json::to_vec(&found.closing().await.unwrap()).unwrap();
    let mut writer = Writer::new(&Options::default()).unwrap();
    let hasher = pgcask::pg::copy::RowHasher::new(writer.content_hash_secret().unwrap());
    let (sealer, stream) = (writer.sealer(), &facts.streams[0]);
    let mut scratch = sealer.scratch().unwrap();
    let mut file = std::io::BufWriter::new(std::fs::File::create(to).unwrap());
    let mut put = |pieces: Vec<bytes::Bytes>| {
        for piece in pieces {
            std::io::Write::write_all(&mut file, &piece).unwrap();
        }
    };
    writer.declare(stream.id, stream.display().as_bytes()).unwrap();
    put(writer.section(SectionTag(manifest::MANIFEST_TAG), 1, &serde_json::to_vec(&facts).unwrap()).unwrap());
    put(writer.section(SectionTag(manifest::CATALOG_TAG), 1, &catalog).unwrap());
    for number in 0..chunks {
        let text = format!("{number}\n");
        let hash = ContentHash(hasher.block(text.as_bytes()).sum);
        let facts = ChunkFacts { hash, zone_map: Vec::new() };
        let head = ChunkHead { stream: stream.id, number, rows: 1 };
        let frame = sealer.seal_chunk(head, text.as_bytes(), Layout::Rows, facts, &mut scratch).unwrap();
        put(writer.push(frame).unwrap());
    }
    put(writer.section(SectionTag(manifest::CLOSING_TAG), 1, &closing).unwrap());
    put(writer.finish().unwrap().bytes);
}

#[tokio::test]
async fn the_memory_of_a_restore_does_not_grow_with_the_archive() {
    let (server, folder) = (Server::shared(newest()), folder());
    let source = server.create_db();
    server.sql(&source, "CREATE TABLE t AS SELECT 1 AS i");
    let store = folder.path().join("store").display().to_string();
    let args = ["backup", &server.url(&source), "--to", &store, "--no-encrypt", "--json"];
    let made = run(&mut pgcask(args)).expect(0).json();
    let mut peaks = Vec::new();
    // As many chunks as 2 and 200 GB of rows have.
    for chunks in [2_000, 200_000] {
        let archive = folder.path().join(format!("{chunks}.cask"));
        with_chunks(made["archive"].as_str().unwrap(), chunks, &archive).await;
        let target = server.adopt(server.fresh_name());
        let (archive, into) = (archive.display().to_string(), server.url(&target));
        let args = ["restore", &archive, "--into", &into, "--create", "--jobs", "2"];
        let (peak, status) = rss::peak(quiet(&mut pgcask(args)));
        assert!(status.success());
        let sum = u64::from(chunks) * (u64::from(chunks) - 1) / 2;
        assert_eq!(server.value(&target, "SELECT sum(i) FROM t"), sum.to_string());
        peaks.push(peak >> 10);
    }
    assert!(peaks[1] < peaks[0] + (6 << 10), "{peaks:?} KiB");
}

#[test]
fn numbers_that_are_none_are_refused_wherever_one_is_asked_for() {
    for number in ["NaN", "inf", "-inf", "1e400", ""] {
        for args in [
            &["backup", "shop", "--to", "store", "--jobs"][..],
            &["backup", "shop", "--to", "store", "--level"],
            &["backup", "shop", "--to", "store", "--lock-timeout"],
            &["backup", "shop", "--to", "store", "--keep-for"],
            &["backup", "shop", "--to", "store", "--rto"],
            &["restore", "a.cask", "--into", "shop", "--max-rate"],
            &["prune", "--store", "store", "--keep-last"],
            &["prune", "--store", "store", "--grace"],
            &["prune", "--store", "store", "--leftover-age"],
            &["check", "--store", "store", "--rpo"],
            &["list", "--store", "store", "--limit"],
        ] {
            let (last, front) = args.split_last().unwrap();
            let refused = run(pgcask(front).arg(format!("{last}={number}")));
            // Monitoring would take 2 for CRITICAL.
            let code = if args[0] == "check" { 3 } else { 2 };
            assert_eq!(refused.code, code, "{args:?} {number:?}: {}", refused.stderr);
        }
    }
    let folder = folder();
    for line in ["jobs = nan", "level = inf", "rto = \"NaN\"", "max_rate = \"inf\"", "lock_timeout = -1"] {
        std::fs::write(folder.path().join("pgcask.toml"), format!("[defaults]\n{line}\n")).unwrap();
        let refused = run(pgcask(["config", "check"]).current_dir(folder.path()));
        assert_eq!(refused.code, 2, "{line}: {}", refused.stderr);
    }
}

#[test]
fn rows_are_compressed_once_and_what_cannot_be_does_not_grow() {
    let (server, folder) = (Server::shared(newest()), folder());
    let made = |sql: &str| {
        let source = server.create_db();
        server.sql(&source, sql);
        let made = backup(folder.path(), &server.url(&source), &[]);
        (made["bytes"].as_f64().unwrap(), made["plain_bytes"].as_f64().unwrap())
    };
    let (bytes, plain) =
        made("CREATE TABLE t AS SELECT repeat('the same words ', 20) AS v FROM generate_series(1, 20000)");
    assert!(bytes < plain / 50.0, "{bytes} of {plain}");
    // Hexadecimal digits of random bytes hold half of what they take; frames and index are little beside them.
    let random = "CREATE TABLE t AS SELECT decode(string_agg(md5(random()::text), ''), 'hex') AS v
        FROM generate_series(1, 160000) i GROUP BY i % 100";
    let (bytes, plain) = made(random);
    assert!((plain * 0.49..plain * 0.53).contains(&bytes), "{bytes} of {plain}");
}
