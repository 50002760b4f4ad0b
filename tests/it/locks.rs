//! Locks: what is swapped while we wait for one, a server with room for few, and two of us at once.

use pgcask::pg::options::ConnectOptions;
use pgcask::pg::{Session, SessionKind};

use crate::harness::cli::{backup, folder, pass, pgcask, restore, run, spawn, wait};
use crate::harness::oracle::assert_same;
use crate::harness::postgres::{Build, Options, Server, newest, versions};
use crate::load::until;

#[tokio::test(flavor = "multi_thread")]
async fn what_takes_a_tables_place_while_we_wait_for_its_lock_is_refused() {
    let server = Server::start(newest());
    for (swap, told) in [
        ("CREATE TABLE victim AS SELECT 666 AS i", "another relation has its name now"),
        ("CREATE VIEW victim AS SELECT attack() AS i", "another relation has its name now"),
        ("CREATE TABLE other (i int)", "it was dropped or renamed"),
    ] {
        let (source, folder) = (server.create_db(), folder());
        server.sql(
            &source,
            "CREATE TABLE victim AS SELECT 1 AS i;
             CREATE FUNCTION attack() RETURNS int LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''attacked''; END'",
        );
        let attacker = server.connect(&source).await;
        attacker.batch_execute("BEGIN; LOCK TABLE victim IN ACCESS EXCLUSIVE MODE").await.unwrap();
        let (url, store) = (server.url(&source), folder.path().join("store").display().to_string());
        let ours = spawn(&mut pgcask(["backup", &url, "--to", &store, &pass(folder.path())]));
        let queued = "SELECT count(*) FROM pg_locks WHERE relation = 'victim'::regclass AND NOT granted";
        until(&server, &source, queued, "1");
        attacker.batch_execute(&format!("DROP TABLE victim; {swap}; COMMIT")).await.unwrap();
        let ended = wait(ours).expect(1);
        assert!(ended.stderr.contains("victim") && ended.stderr.contains(told), "{}", ended.stderr);
        assert!(!server.log().contains("attacked"), "the attacker's function was run");
    }
}

#[tokio::test]
async fn a_session_that_reads_never_runs_a_users_view() {
    for major in versions() {
        let server = Server::shared(major);
        let source = server.create_db();
        server.sql(&source, "CREATE VIEW public.trap AS SELECT 1 AS i");
        let options = ConnectOptions::parse(&server.url(&source)).unwrap();
        let session = Session::open(&options, SessionKind::Source).await.unwrap();
        let error = session.execute("COPY (SELECT i FROM public.trap) TO STDOUT").await.unwrap_err();
        assert!(error.to_string().contains("access to non-system view"), "PostgreSQL {major}: {error}");
    }
}

/// Makes tables, a few in a transaction.
fn tables(server: &Server, db: &str, range: std::ops::RangeInclusive<u32>) {
    let all: Vec<String> = range
        .map(|at| {
            format!(
                "CREATE TABLE t{at} (id serial PRIMARY KEY, v text); INSERT INTO t{at} (v) VALUES ('{at}');"
            )
        })
        .collect();
    for few in all.chunks(5) {
        server.sql(db, &few.concat());
    }
}

#[test]
fn a_server_with_room_for_few_locks() {
    let settings = [
        ("max_locks_per_transaction", "10"),
        ("max_connections", "50"),
        ("max_worker_processes", "2"),
        ("max_wal_senders", "0"),
        ("wal_level", "minimal"),
    ];
    let options = Options { tcp: true, ..Options::default() };
    let options = settings.iter().fold(options, |all, (name, value)| all.set(name, value));
    let server = Server::with(Build::Major(newest()), options);
    let source = server.create_db();
    tables(&server, &source, 1..=150);
    // What is said of a large object takes a lock on it: more objects than the table of locks has room for.
    server.sql("postgres", "CREATE ROLE archivist");
    for from in (1..2000).step_by(100) {
        server.sql(
            &source,
            &format!(
                "DO $$ BEGIN FOR i IN {from}..{} LOOP PERFORM lo_from_bytea(100000 + i, 'content'); \
                 EXECUTE format('COMMENT ON LARGE OBJECT %s IS ''number %s''', 100000 + i, i); \
                 EXECUTE format('ALTER LARGE OBJECT %s OWNER TO archivist', 100000 + i); END LOOP; END $$",
                from + 99
            ),
        );
    }
    let kept = folder();
    let folder = kept.path();
    let made = backup(folder, &server.url(&source), &[]);
    assert_eq!(made["rows"], 150 + 2 * 2000, "tables, large objects, their pages");
    let target = server.adopt(server.fresh_name());
    restore(folder, made["archive"].as_str().unwrap(), &server.url(&target), &["--create"]).expect(0);
    assert_same(&server, &source, &server, &target);
    // More than are sure to fit: told before the first lock is taken, and tried, for the table of locks can grow.
    tables(&server, &source, 151..=700);
    let store = folder.join("store").display().to_string();
    let args = ["backup", &server.url(&source), "--to", &store, "--jobs", "2", &pass(folder)];
    let ended = run(&mut pgcask(args)).expect(0);
    for words in ["needs 900 locks", "sure to have room for", "max_locks_per_transaction is 10"] {
        assert!(ended.stderr.contains(words), "{words}: {}", ended.stderr);
    }
    assert!(!server.log().contains("out of shared memory"));
    // More than fit: the server's words, and what they mean.
    for from in (1..8000).step_by(100) {
        let few: Vec<String> = (from..from + 100).map(|at| format!("CREATE TABLE u{at} (i int);")).collect();
        server.sql(&source, &few.concat());
    }
    let ended = run(&mut pgcask(args)).expect(1);
    for words in ["table of locks is full", "out of shared memory", "raise max_locks_per_transaction"] {
        assert!(ended.stderr.contains(words), "{words}: {}", ended.stderr);
    }
    // A part of it fits.
    assert_eq!(backup(folder, &server.url(&source), &["--table", "t1*"])["rows"], 111);
}

#[test]
fn a_lock_that_keeps_a_definition_from_being_read_is_named() {
    let (server, folder) = (Server::start(newest()), folder());
    let source = server.create_db();
    server.sql(
        &source,
        "CREATE SCHEMA busy; CREATE TABLE busy.altered (i int); CREATE TABLE kept (i int);
         CREATE VIEW reads AS SELECT i FROM busy.altered",
    );
    let sql = "BEGIN; LOCK TABLE busy.altered IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(600)";
    let mut holder = spawn(server.client("psql", &source).args(["-Xq", "-c", sql]));
    until(
        &server,
        &source,
        "SELECT count(*) FROM pg_locks WHERE relation = 'busy.altered'::regclass AND granted",
        "1",
    );
    let (url, store) = (server.url(&source), folder.path().join("store").display().to_string());
    let args =
        ["backup", &url, "--to", &store, "--table", "kept", "--lock-timeout", "1", &pass(folder.path())];
    let ended = run(&mut pgcask(args)).expect(1);
    for words in ["could not lock", "\"busy\".\"altered\"", "pg_sleep(600)", "hint: "] {
        assert!(ended.stderr.contains(words), "{words}: {}", ended.stderr);
    }
    holder.kill().unwrap();
    holder.wait().unwrap();
}

#[test]
fn two_backups_of_one_database_at_the_same_time() {
    let (server, folder) = (Server::shared(newest()), folder());
    let source = server.create_db();
    server.sql(&source, "CREATE TABLE t AS SELECT i, md5(i::text) AS m FROM generate_series(1, 100000) i");
    let (url, store) = (server.url(&source), folder.path().join("store").display().to_string());
    let pass = pass(folder.path());
    let start = || spawn(&mut pgcask(["backup", &url, "--to", &store, "--json", &pass]));
    let both = [start(), start()].map(|ours| wait(ours).expect(0).json());
    assert_ne!(both[0]["archive"], both[1]["archive"]);
    assert_ne!(both[0]["id"], both[1]["id"]);
    for made in &both {
        assert_eq!(made["rows"], 100_000);
        let archive = made["archive"].as_str().unwrap();
        run(&mut pgcask(["verify", archive, &pass])).expect(0);
        assert!(std::path::Path::new(&format!("{archive}.json")).exists());
    }
}

#[test]
fn a_second_restore_into_the_same_database_is_refused() {
    let (server, folder) = (Server::start(newest()), folder());
    let source = server.create_db();
    server.sql(
        &source,
        "CREATE TABLE big AS SELECT i, repeat(md5(i::text), 8) AS m FROM generate_series(1, 400000) i;
         CREATE TABLE small AS SELECT 1 AS i",
    );
    let made = backup(folder.path(), &server.url(&source), &[]);
    let archive = made["archive"].as_str().unwrap();
    let target = server.create_db();
    let (into, pass) = (server.url(&target), pass(folder.path()));
    let all_but =
        ["restore", archive, "--into", &into, "--json", "--jobs", "2", "--exclude-table", "small", &pass];
    let first = spawn(&mut pgcask(all_but));
    until(
        &server,
        &target,
        "SELECT count(*) > 0 FROM pg_stat_activity WHERE query LIKE 'COPY%' AND state = 'active'",
        "t",
    );
    let second = restore(folder.path(), archive, &into, &["--table", "small"]).expect(9);
    assert!(
        second.stderr.contains("another restore into") && second.stderr.contains("(pid "),
        "{}",
        second.stderr
    );
    assert_eq!(wait(first).expect(0).json()["verified"], true);
    restore(folder.path(), archive, &into, &["--table", "small"]).expect(0);
    assert_same(&server, &source, &server, &target);
}
