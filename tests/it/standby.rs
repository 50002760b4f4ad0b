//! Backups of a streaming standby: whole, though by one connection where the server's version cannot do better, and
//! clear about what recovery does to a reader.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::harness::cli::{backup, folder, pass, pgcask, restore, run, spawn, wait};
use crate::harness::oracle::content;
use crate::harness::output;
use crate::harness::postgres::{Server, newest, versions};

/// The servers under test are older than the minor releases of November 2026: shared snapshots of their standbys are
/// wrong, and taking one can damage the standby.
#[test]
fn a_standby_too_old_for_shared_snapshots_is_read_whole_by_one_connection() {
    for major in versions() {
        let primary = Server::start(major);
        primary.sql(
            "postgres",
            "CREATE TABLE big AS SELECT i, repeat(md5(i::text), 8) AS m FROM generate_series(1, 400000) i;
             CREATE TABLE small (i int PRIMARY KEY, v text); INSERT INTO small SELECT i, 'row ' || i FROM generate_series(1, 1000) i;
             CREATE UNLOGGED TABLE volatile AS SELECT 1 AS a;
             CREATE SEQUENCE s; SELECT setval('s', 42);
             SELECT lo_from_bytea(0, 'content')",
        );
        let standby = primary.standby(&[]);
        standby.catch_up(&primary);
        let folder = folder();
        let store = folder.path().join("store").display().to_string();
        let url = standby.url("postgres");
        let made =
            run(&mut pgcask(["backup", &url, "--to", &store, "--jobs", "4", "--json", &pass(folder.path())]));
        let made = made.expect(0);
        assert!(made.stderr.contains("one connection is used"), "{}", made.stderr);
        assert!(made.stderr.contains("volatile"), "{}", made.stderr);
        let archive = made.json()["archive"].as_str().unwrap().to_owned();
        let target = primary.adopt(primary.fresh_name());
        let run = restore(folder.path(), &archive, &primary.url(&target), &["--create"]).expect(0);
        assert_eq!(run.json()["verified"], true);
        let (mut expected, mut found) = (content(&primary, "postgres"), content(&primary, &target));
        assert_eq!(found.remove("public.volatile").unwrap(), "0 0");
        expected.remove("public.volatile");
        assert_eq!(found, expected, "PostgreSQL {major}");
        assert!(found["public.big"].starts_with("400000 "), "{found:?}");
    }
}

#[test]
fn recovery_that_stops_a_reader_is_told_for_what_it_is() {
    let primary = Server::start(newest());
    primary.sql(
        "postgres",
        "CREATE TABLE big AS SELECT i, repeat(md5(i::text), 8) AS m FROM generate_series(1, 400000) i;
         CREATE TABLE doomed AS SELECT i FROM generate_series(1, 1000) i",
    );
    let standby = primary.standby(&[("max_standby_streaming_delay", "0"), ("hot_standby_feedback", "off")]);
    standby.catch_up(&primary);
    let folder = folder();
    let store = folder.path().join("store");
    let (to, url, pass) = (store.display().to_string(), standby.url("postgres"), pass(folder.path()));
    let ours = spawn(&mut pgcask(["backup", &url, "--to", &to, "--level", "12", &pass]));
    let copying =
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pgcask' AND query LIKE 'COPY%big%'";
    let began = Instant::now();
    while standby.value("postgres", copying) == "0" {
        assert!(began.elapsed() < Duration::from_mins(1), "the backup does not begin");
    }
    // Rows that our snapshot sees are removed for good.
    primary.sql("postgres", "DELETE FROM doomed");
    primary.sql("postgres", "VACUUM doomed");
    let ended = wait(ours).expect(7);
    for words in ["the standby stopped us", "conflict with recovery", "hot_standby_feedback"] {
        assert!(ended.stderr.contains(words), "{}", ended.stderr);
    }
    let left =
        output(Command::new("find").arg(&store).args(["-type", "f", "-not", "-path", "*/.pgcask/audit/*"]));
    assert_eq!(left, "");
    // Later, in peace, all is there.
    assert_eq!(backup(folder.path(), &url, &[])["rows"], 400_000);
}
