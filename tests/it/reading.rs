//! Reading archives: one table out of many, in every form, at the cost of that table; selections; memory.

use std::time::Duration;

use crate::harness::cli::{backup, folder, pass, pgcask, restore, run, spawn, wait};
use crate::harness::oracle::content;
use crate::harness::postgres::{Server, newest};

#[test]
fn one_small_table_costs_little_however_large_the_archive() {
    let (server, folder) = (Server::shared(newest()), folder());
    let source = server.create_db();
    server.sql(&source, "CREATE TABLE small (id int PRIMARY KEY, t text, n numeric); INSERT INTO small VALUES (1, 'a,\"b\"', 1.5), (2, NULL, NULL), (3, '', 0);
        CREATE TABLE large AS SELECT i, md5(i::text) || md5((i * 7)::text) AS m FROM generate_series(1, 700000) i");
    let made = backup(folder.path(), &server.url(&source), &[]);
    let archive = made["archive"].as_str().unwrap();
    assert!(made["bytes"].as_u64().unwrap() > 20 << 20, "{made}");
    let form = |form: &str| {
        run(&mut pgcask(["cat", archive, "small", "--format", form, &pass(folder.path()), "-v"])).expect(0)
    };
    assert_eq!(form("csv").stdout, "id,t,n\n1,\"a,\"\"b\"\"\",1.5\n2,,\n3,\"\",0\n");
    assert_eq!(
        form("jsonl").stdout.lines().next().unwrap(),
        "{\"id\":\"1\",\"t\":\"a,\\\"b\\\"\",\"n\":\"1.5\"}"
    );
    assert!(form("sql").stdout.starts_with("INSERT INTO \"public\".\"small\" (\"id\", \"t\", \"n\")"));
    let read = form("copy").stderr;
    let said =
        read.lines().find(|line| line.ends_with("read from the store")).unwrap_or_else(|| panic!("{read}"));
    assert!(said.contains("KiB"), "a few requests suffice: {said}");
    // Of a large table, too, when its rows are asked for by their key: some chunks of it, out of many.
    server.sql(&source, "CREATE TABLE keyed (i int PRIMARY KEY, m text, d date); INSERT INTO keyed SELECT i, m, CASE WHEN i % 7 > 0 THEN date '2026-01-01' + i / 1000 END FROM large");
    let made = backup(folder.path(), &server.url(&source), &[]);
    let keyed = made["archive"].as_str().unwrap();
    let picked = |keys: &[&str]| {
        let keys = keys.iter().flat_map(|key| ["--key", key]);
        run(pgcask(["cat", keyed, "keyed", &pass(folder.path()), "-v", "--format", "copy"]).args(keys))
    };
    let rows = |sql: &str| server.sql(&source, &format!("COPY ({sql}) TO STDOUT"));
    for (keys, condition) in [
        (vec!["i=345678"], "i = 345678"),
        (vec!["i=345678..345999"], "i BETWEEN 345678 AND 345999"),
        (vec!["i=699998.."], "i >= 699998"),
        (vec!["i=1..99", "d="], "i BETWEEN 1 AND 99 AND d IS NULL"),
        (vec!["d=2026-06-01..2026-06-02"], "d BETWEEN '2026-06-01' AND '2026-06-02'"),
        (vec!["i=-5"], "false"),
    ] {
        let found = picked(&keys).expect(0);
        let expected = rows(&format!("SELECT * FROM keyed WHERE {condition} ORDER BY i"));
        let mut lines: Vec<&str> = found.stdout.lines().collect();
        lines.sort_by_key(|line| line.split('\t').next().unwrap().parse::<i64>().unwrap());
        assert_eq!(lines, expected.lines().collect::<Vec<_>>(), "{keys:?}");
        let read = found.stderr.lines().find(|line| line.ends_with("read from the store")).unwrap();
        let few = read.contains("KiB") || read.starts_with("1.") || read.starts_with("2.");
        assert!(few, "{keys:?}: {read} of {} bytes", made["bytes"]);
    }
    for wrong in ["nothing=1", "m=a..b", "i"] {
        picked(&[wrong]).expect(2);
    }
    let shown = run(&mut pgcask(["show", archive, "--toc", "--json", &pass(folder.path())])).expect(0).json();
    assert!(
        shown["toc"].as_array().unwrap().iter().any(|line| line == "TABLE \"public\".\"large\""),
        "{shown}"
    );
    run(&mut pgcask(["cat", archive, "nonsense", &pass(folder.path())])).expect(1);
}

#[test]
fn a_dropped_table_comes_back_alone() {
    let (server, folder) = (Server::shared(newest()), folder());
    let source = server.create_db();
    server.sql(&source, "CREATE SCHEMA s; CREATE TABLE s.kept (id int PRIMARY KEY); INSERT INTO s.kept SELECT generate_series(1, 100);
        CREATE TABLE s.lost (id bigserial PRIMARY KEY, k int REFERENCES s.kept, t text); CREATE INDEX lost_t ON s.lost (t);
        INSERT INTO s.lost (k, t) SELECT 1 + i % 100, md5(i::text) FROM generate_series(1, 20000) i");
    let before = content(server, &source);
    let made = backup(folder.path(), &server.url(&source), &[]);
    server.sql(&source, "DROP TABLE s.lost");
    let args = ["--table", "s.lost"];
    let run =
        restore(folder.path(), made["archive"].as_str().unwrap(), &server.url(&source), &args).expect(0);
    assert_eq!(run.json()["verified"], true);
    assert_eq!(before, content(server, &source));
    let indexes = "SELECT count(*) FROM pg_index WHERE indrelid = 's.lost'::regclass";
    assert_eq!(server.value(&source, indexes), "2");
    let keys = "SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND conrelid = 's.lost'::regclass AND convalidated";
    assert_eq!(server.value(&source, keys), "1", "the key to a table that stayed");
}

#[test]
fn selections_of_a_backup() {
    let (server, folder) = (Server::shared(newest()), folder());
    let source = server.create_db();
    server.sql(&source, "CREATE SCHEMA a; CREATE SCHEMA b; CREATE TABLE a.x AS SELECT 1 AS i; CREATE TABLE a.log AS SELECT 2 AS i; CREATE TABLE b.y AS SELECT 3 AS i");
    let url = server.url(&source);
    let rows = |args: &[&str]| backup(folder.path(), &url, args)["rows"].as_u64().unwrap();
    assert_eq!(rows(&["--schema", "a"]), 2);
    assert_eq!(rows(&["--table", "a.x", "--table", "b.*"]), 2);
    assert_eq!(rows(&["--exclude-schema", "a"]), 1);
    assert_eq!(rows(&["--exclude-table-data", "log"]), 2);
    assert_eq!(rows(&["--schema-only"]), 0);
    let made = backup(folder.path(), &url, &["--exclude-table-data", "log", "--exclude-schema", "b"]);
    let target = server.fresh_name();
    restore(folder.path(), made["archive"].as_str().unwrap(), &server.url(&target), &["--create"]).expect(0);
    assert_eq!(
        server.value(&target, "SELECT (SELECT count(*) FROM a.x) || ' ' || (SELECT count(*) FROM a.log)"),
        "1 0"
    );
    assert_eq!(server.value(&target, "SELECT to_regclass('b.y') IS NULL"), "t");
    let store = folder.path().join("store").display().to_string();
    run(&mut pgcask(["backup", &url, "--to", &store, "--table", "nothing", &pass(folder.path())])).expect(2);
}

/// The most memory that a process had, in MiB, as the kernel tells.
fn peak(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap_or("VmHWM: 0 kB");
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

/// Runs a command to its end and gives its peak memory in MiB.
fn measured(command: &mut std::process::Command) -> u64 {
    let mut child = spawn(command);
    let mut most = 0;
    while child.try_wait().unwrap().is_none() {
        most = most.max(peak(child.id()));
        std::thread::sleep(Duration::from_millis(5));
    }
    let ended = wait(child);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    most
}

#[test]
fn memory_is_bounded_whatever_the_size() {
    let (server, folder) = (Server::shared(newest()), folder());
    let source = server.create_db();
    server.sql(&source, "CREATE TABLE t AS SELECT i, repeat(md5(i::text), 20) AS m FROM generate_series(1, 500000) i; CREATE TABLE u AS SELECT * FROM t LIMIT 100000");
    let store = folder.path().join("store").display().to_string();
    let (url, pass) = (server.url(&source), pass(folder.path()));
    let used = measured(&mut pgcask(["backup", &url, "--to", &store, "--jobs", "4", &pass]));
    assert!(used < 200, "backup took {used} MiB");
    let made = backup(folder.path(), &url, &[]);
    let target = server.url(&server.fresh_name());
    let used = measured(&mut pgcask([
        "restore",
        made["archive"].as_str().unwrap(),
        "--into",
        &target,
        "--create",
        "--jobs",
        "4",
        &pass,
    ]));
    assert!(used < 200, "restore took {used} MiB");
}

#[test]
fn a_row_of_a_hundred_megabytes() {
    let (server, folder) = (Server::shared(newest()), folder());
    let source = server.create_db();
    server.sql(&source, "CREATE TABLE t (id int, b text); INSERT INTO t SELECT i, repeat(md5(i::text), 3276800) FROM generate_series(1, 3) i; INSERT INTO t SELECT i, 'x' FROM generate_series(4, 1000) i");
    let store = folder.path().join("store").display().to_string();
    let (url, pass) = (server.url(&source), pass(folder.path()));
    let used = measured(&mut pgcask(["backup", &url, "--to", &store, "--jobs", "4", &pass]));
    assert!(used < 200 + 3 * 100, "backup took {used} MiB");
    let made = backup(folder.path(), &url, &[]);
    let target = server.fresh_name();
    let used = measured(&mut pgcask([
        "restore",
        made["archive"].as_str().unwrap(),
        "--into",
        &server.url(&target),
        "--create",
        "--jobs",
        "4",
        &pass,
    ]));
    assert!(used < 200 + 3 * 100, "restore took {used} MiB");
    assert_eq!(content(server, &source), content(server, &target));
}

#[test]
fn a_restore_that_keeps_going_restores_the_rest_and_names_what_failed() {
    let (server, folder) = (Server::shared(newest()), folder());
    let source = server.create_db();
    server.sql(&source, "CREATE TABLE good (id int PRIMARY KEY); INSERT INTO good SELECT generate_series(1, 1000);
        CREATE FUNCTION positive(i int) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT i > 0';
        CREATE TABLE bad (id int PRIMARY KEY, CHECK (positive(id))); INSERT INTO bad VALUES (1);
        CREATE TABLE child (id int REFERENCES bad); INSERT INTO child VALUES (1); CREATE VIEW of_good AS SELECT * FROM good");
    // Rows that break a constraint which nobody looked at again.
    server.sql(
        &source,
        "CREATE OR REPLACE FUNCTION positive(i int) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT i > 5'",
    );
    let made = backup(folder.path(), &server.url(&source), &[]);
    let archive = made["archive"].as_str().unwrap();
    let stopped = server.fresh_name();
    restore(folder.path(), archive, &server.url(&stopped), &["--create"]).expect(1);
    let target = server.fresh_name();
    let run = restore(folder.path(), archive, &server.url(&target), &["--create", "--keep-going"]).expect(1);
    let told = run.json();
    assert_eq!(told["verified"], false, "{told}");
    let failures: Vec<&str> =
        told["failures"].as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect();
    assert_eq!(failures.len(), 2, "the rows, and the key to them: {told}");
    assert!(failures[0].contains("bad_id_check") && failures[1].contains("child_id_fkey"), "{told}");
    assert!(run.stderr.contains("not restored: "), "{}", run.stderr);
    assert_eq!(server.value(&target, "SELECT count(*) FROM of_good"), "1000");
    assert_eq!(server.value(&target, "SELECT count(*) FROM child"), "1");
    server.adopt(stopped);
    server.adopt(target);
}
