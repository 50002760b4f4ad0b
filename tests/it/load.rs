//! A server at work: writers go on, one moment is backed up, and nobody who waits for a lock stands in our way for
//! ever, nor we in his.

use std::time::{Duration, Instant};

use crate::harness::cli::{backup, folder, pass, pgcask, restore, run, spawn, wait};
use crate::harness::postgres::{Server, newest, versions};

/// Waits until the query gives the value.
#[track_caller]
pub(crate) fn until(server: &Server, db: &str, query: &str, value: &str) {
    let began = Instant::now();
    while server.value(db, query) != value {
        assert!(began.elapsed() < Duration::from_mins(1), "never {value}: {query}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Whether a session of ours reads rows now.
pub(crate) const COPYING: &str = "SELECT count(*) > 0 FROM pg_stat_activity WHERE application_name = 'pgcask' \
    AND datname = current_database() AND query LIKE 'COPY%' AND state = 'active'";

#[test]
fn the_books_balance_however_many_write() {
    for major in versions() {
        let server = Server::start(major);
        let (source, folder) = (server.create_db(), folder());
        let init = server.client("pgbench", &source).args(["-i", "-q", "-s", "5", "--foreign-keys"]).output();
        assert!(init.unwrap().status.success());
        let mut bench = server.client("pgbench", &source);
        let bench = spawn(bench.args(["-n", "-c", "4", "-j", "1", "-T", "600"]));
        until(&server, &source, "SELECT count(*) > 100 FROM pgbench_history", "t");
        let before: u64 = server.value(&source, "SELECT count(*) FROM pgbench_history").parse().unwrap();
        let made = backup(folder.path(), &server.url(&source), &[]);
        let after: u64 = server.value(&source, "SELECT count(*) FROM pgbench_history").parse().unwrap();
        crate::harness::cli::signal(&bench, "INT");
        wait(bench);
        assert!(after > before + 10, "{before} to {after}: nobody wrote meanwhile");
        let target = server.adopt(server.fresh_name());
        let archive = made["archive"].as_str().unwrap();
        let run = restore(folder.path(), archive, &server.url(&target), &["--create"]).expect(0);
        assert_eq!(run.json()["verified"], true);
        let sums = server.rows(
            &target,
            "SELECT (SELECT sum(abalance) FROM pgbench_accounts), (SELECT sum(bbalance) FROM pgbench_branches), \
             (SELECT sum(tbalance) FROM pgbench_tellers), (SELECT sum(delta) FROM pgbench_history), \
             (SELECT count(*) FROM pgbench_history)",
        );
        let (first, rows) = (&sums[0][0], sums[0][4].parse::<u64>().unwrap());
        assert!(sums[0][..4].iter().all(|sum| sum == first), "PostgreSQL {major}: {sums:?}");
        assert!((before..=after).contains(&rows), "{before} to {after}: {rows}");
    }
}

/// A database with one table that takes seconds to read, and one more.
fn slow(server: &Server) -> crate::harness::postgres::Db<'_> {
    let source = server.create_db();
    server.sql(
        &source,
        "CREATE TABLE big AS SELECT i, repeat(md5(i::text), 8) AS m FROM generate_series(1, 300000) i;
         CREATE TABLE other AS SELECT i FROM generate_series(1, 1000) i",
    );
    source
}

#[test]
fn a_change_of_the_schema_that_waits_for_us_does_not_stop_us() {
    let (server, folder) = (Server::start(newest()), folder());
    let source = slow(&server);
    let (url, store) = (server.url(&source), folder.path().join("store").display().to_string());
    let pass = pass(folder.path());
    let args = ["backup", &url, "--to", &store, "--jobs", "4", "--level", "9", "--json", &pass];
    let ours = spawn(&mut pgcask(args));
    until(&server, &source, COPYING, "t");
    let alter = |table: &str| {
        let mut psql = server.client("psql", &source);
        let sql = format!("SET lock_timeout = 0; ALTER TABLE {table} ADD COLUMN later int DEFAULT 7");
        spawn(psql.args(["-Xq", "-v", "ON_ERROR_STOP=1", "-c", &sql]))
    };
    let waiting = [alter("big"), alter("other")];
    let queue = "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database \
        WHERE datname = current_database() AND NOT granted AND mode = 'AccessExclusiveLock'";
    until(&server, &source, queue, "2");
    assert_eq!(server.value(&source, COPYING), "t", "the backup ended before the change waited");
    let made = wait(ours).expect(0).json();
    for alter in waiting {
        wait(alter).expect(0);
    }
    assert_eq!(server.value(&source, "SELECT sum(later) FROM big"), (7 * 300_000).to_string());
    let target = server.adopt(server.fresh_name());
    let archive = made["archive"].as_str().unwrap();
    restore(folder.path(), archive, &server.url(&target), &["--create"]).expect(0);
    let later = "SELECT count(*) FROM pg_attribute WHERE attname = 'later'";
    assert_eq!(server.value(&target, later), "0", "the archive is of the moment of its snapshot");
    assert_eq!(server.value(&target, "SELECT count(*) FROM big"), "300000");
}

#[test]
fn readers_and_writers_do_not_wait_for_us() {
    let (server, folder) = (Server::start(newest()), folder());
    let source = slow(&server);
    let (url, store) = (server.url(&source), folder.path().join("store").display().to_string());
    let pass = pass(folder.path());
    let ours = spawn(&mut pgcask(["backup", &url, "--to", &store, "--level", "9", "--json", &pass]));
    until(&server, &source, COPYING, "t");
    server.sql(
        &source,
        "SET lock_timeout = 1; SELECT count(*) FROM big; INSERT INTO big VALUES (0, 'new'); \
         UPDATE other SET i = -i; DELETE FROM other WHERE i = -5; TABLE big LIMIT 1; \
         SELECT i FROM big WHERE i < 3 FOR UPDATE; CREATE TABLE fresh (i int); CREATE INDEX ON other (i)",
    );
    assert_eq!(server.value(&source, COPYING), "t", "the backup ended too early for this test");
    assert_eq!(wait(ours).expect(0).json()["rows"], 301_000);
}

#[test]
fn a_reader_does_not_wait_behind_us_while_we_wait() {
    let (server, folder) = (Server::start(newest()), folder());
    let source = slow(&server);
    // Somebody keeps the strongest lock: we stand in the queue, try after try, and give up by name.
    let sql = "BEGIN; LOCK TABLE other IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(600)";
    let holder = spawn(server.client("psql", &source).args(["-Xq", "-c", sql]));
    let held = "SELECT count(*) FROM pg_locks WHERE relation = 'other'::regclass AND granted";
    until(&server, &source, held, "1");
    let (url, store) = (server.url(&source), folder.path().join("store").display().to_string());
    let began = Instant::now();
    let pass = pass(folder.path());
    let ended = run(&mut pgcask(["backup", &url, "--to", &store, "--lock-timeout", "4", &pass])).expect(1);
    assert!(ended.stderr.contains("other"), "{}", ended.stderr);
    assert!((3..30).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    // `big` is free, though we hold our lock on it and wait for the other.
    let args = ["backup", &url, "--to", &store, "--lock-timeout", "60", "--json", &pass];
    let ours = spawn(&mut pgcask(args));
    let queued = "SELECT count(*) FROM pg_locks WHERE relation = 'other'::regclass AND NOT granted";
    until(&server, &source, queued, "1");
    server.sql(&source, "SET lock_timeout = 1; SELECT count(*) FROM big; INSERT INTO big VALUES (0, 'new')");
    server.sql(
        &source,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)'
        AND pid <> pg_backend_pid()",
    );
    assert_ne!(wait(holder).code, 0);
    wait(ours).expect(0);
}

#[test]
fn sequences_are_never_behind_their_rows_and_large_objects_are_of_the_snapshot() {
    let (server, folder) = (Server::start(newest()), folder());
    let source = server.create_db();
    server.sql(&source, "CREATE TABLE t (id bigserial PRIMARY KEY, lo oid)");
    let script = folder.path().join("insert.sql");
    std::fs::write(&script, "INSERT INTO t (lo) VALUES (lo_from_bytea(0, 'content'));\n").unwrap();
    let mut bench = server.client("pgbench", &source);
    let bench = spawn(bench.args(["-n", "-c", "2", "-T", "600", "-f"]).arg(&script));
    until(&server, &source, "SELECT count(*) > 500 FROM t", "t");
    let made = backup(folder.path(), &server.url(&source), &["--level", "9"]);
    let rows = made["rows"].as_u64().unwrap();
    until(&server, &source, &format!("SELECT count(*) > {rows} FROM t"), "t");
    crate::harness::cli::signal(&bench, "INT");
    wait(bench);
    let target = server.adopt(server.fresh_name());
    restore(folder.path(), made["archive"].as_str().unwrap(), &server.url(&target), &["--create"]).expect(0);
    let behind = "SELECT max(id) > (SELECT last_value FROM t_id_seq) FROM t";
    assert_eq!(server.value(&target, behind), "f");
    let apart = "SELECT (SELECT count(*) FROM t) - (SELECT count(*) FROM pg_largeobject_metadata), \
        (SELECT count(*) FROM t WHERE lo NOT IN (SELECT oid FROM pg_largeobject_metadata))";
    assert_eq!(server.rows(&target, apart), [["0", "0"]]);
    assert_eq!(server.value(&target, "SELECT count(*) FROM t WHERE lo_get(lo) <> 'content'"), "0");
}
