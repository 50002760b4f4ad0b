//! What goes wrong: wrong keys, damage, kills, dead servers, refusals. Each has its exit code, says what to do, and
//! leaves nothing that looks like a backup.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::harness::cli::{backup, folder, pass, pgcask, restore, run, signal, spawn, wait};
use crate::harness::postgres::{Server, newest};
use crate::load::until;

/// A small database, and an archive of it.
fn archived(folder: &Path) -> (&'static Server, String) {
    let server = Server::shared(newest());
    let source = server.create_db();
    server.sql(&source, "CREATE TABLE t AS SELECT i, md5(i::text) AS m FROM generate_series(1, 5000) i");
    let made = backup(folder, &server.url(&source), &[]);
    (server, made["archive"].as_str().unwrap().to_owned())
}

/// All files under a folder.
fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(next).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() { open.push(path) } else { found.push(path.display().to_string()) }
        }
    }
    // What failed is recorded, too.
    found.retain(|file| !file.contains("/.pgcask/audit/"));
    found
}

#[test]
fn a_wrong_key_is_told_apart_from_damage() {
    let folder = folder();
    let (server, archive) = archived(folder.path());
    std::fs::write(folder.path().join("pass"), "another passphrase\n").unwrap();
    let target = server.fresh_name();
    let wrong = restore(folder.path(), &archive, &server.url(&target), &["--create"]).expect(4);
    assert!(wrong.stderr.contains("not the one of this archive"), "{}", wrong.stderr);
    assert_eq!(wrong.json()["exit_code"], 4);
    assert_eq!(
        server.value("postgres", &format!("SELECT count(*) FROM pg_database WHERE datname = '{target}'")),
        "0"
    );

    let key = folder.path().join("other.key").display().to_string();
    run(&mut pgcask(["keygen", "--output", &key])).expect(0);
    run(&mut pgcask(["show", &archive, "--identity", &key])).expect(4);
    run(&mut pgcask(["show", &archive])).expect(4);
}

#[test]
fn a_recipient_can_write_and_only_the_identity_reads() {
    let folder = folder();
    let server = Server::shared(newest());
    let source = server.create_db();
    server.sql(&source, "CREATE TABLE t AS SELECT 1 AS a");
    let key = folder.path().join("key").display().to_string();
    let public = run(&mut pgcask(["keygen", "--output", &key])).expect(0).stdout.trim().to_owned();
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&key).unwrap().permissions()) & 0o777,
        0o600
    );
    run(&mut pgcask(["keygen", "--output", &key])).expect(1);
    let store = folder.path().join("store").display().to_string();
    let made =
        run(&mut pgcask(["backup", &server.url(&source), "--to", &store, "--recipient", &public, "--json"]));
    let made = made.expect(0).json();
    let archive = made["archive"].as_str().unwrap();
    run(&mut pgcask(["show", archive, &pass(folder.path())])).expect(4);
    let shown = run(&mut pgcask(["cat", archive, "t", "--identity", &key])).expect(0);
    assert_eq!(shown.stdout, "a\n1\n");
}

#[test]
fn damage_is_found_and_named() {
    let folder = folder();
    let (server, archive) = archived(folder.path());
    let good = std::fs::read(&archive).unwrap();
    run(&mut pgcask(["verify", &archive, &pass(folder.path())])).expect(0);
    run(&mut pgcask(["verify", &archive, "--no-key"])).expect(0);
    let at = good.len() / 2;
    let mut bad = good.clone();
    bad[at] ^= 1;
    std::fs::write(&archive, &bad).unwrap();
    for key in [pass(folder.path()), "--no-key".to_owned()] {
        let verified = run(&mut pgcask(["verify", &archive, &key])).expect(3);
        assert!(verified.stdout.contains("damaged: "), "{}", verified.stdout);
        assert!(verified.stdout.contains("offset"), "{}", verified.stdout);
    }
    let target = server.create_db();
    restore(folder.path(), &archive, &server.url(&target), &[]).expect(3);
    for cut in [0, 1, 100, good.len() / 2, good.len() - 1] {
        std::fs::write(&archive, &good[..cut]).unwrap();
        run(&mut pgcask(["verify", &archive, &pass(folder.path())])).expect(3);
        run(&mut pgcask(["show", &archive, &pass(folder.path())])).expect(3);
    }
}

#[test]
fn the_checksum_is_one_that_sha256sum_accepts() {
    let folder = folder();
    let (_, archive) = archived(folder.path());
    let archive = Path::new(&archive);
    let mut check = std::process::Command::new("sha256sum");
    check.arg("-c").arg(format!("{}.sha256", archive.file_name().unwrap().to_str().unwrap()));
    assert!(check.current_dir(archive.parent().unwrap()).output().unwrap().status.success());
    let json = std::fs::read_to_string(format!("{}.json", archive.display())).unwrap();
    let metadata: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(metadata["rows"], 5000);
    assert_eq!(metadata["encrypted"], true);
}

#[test]
fn a_stopped_backup_leaves_nothing() {
    let server = Server::start(newest());
    server.sql(
        "postgres",
        "CREATE TABLE big AS SELECT i, repeat(md5(i::text), 8) AS m FROM generate_series(1, 400000) i",
    );
    for (name, code) in [("INT", 130), ("TERM", 143), ("KILL", -1)] {
        let folder = folder();
        let store = folder.path().join("store");
        let to = store.display().to_string();
        let child = spawn(&mut pgcask([
            "backup",
            &server.url("postgres"),
            "--to",
            &to,
            &pass(folder.path()),
            "--level",
            "12",
        ]));
        let began = Instant::now();
        while server.value("postgres", "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pgcask' AND query LIKE 'COPY%' AND state = 'active'") == "0" {
            assert!(began.elapsed() < Duration::from_mins(1), "the backup does not begin");
        }
        signal(&child, name);
        let ended = wait(child);
        assert_eq!(ended.code, code, "{name}: {}", ended.stderr);
        let left = files(&store);
        // A killed process cannot tidy up: its staging file stays, and its name says that it is no archive.
        assert!(
            left.iter()
                .all(|file| code == -1 && Path::new(file).extension().is_none_or(|ending| ending != "cask")),
            "{name}: {left:?}"
        );
        let began = Instant::now();
        while server
            .value("postgres", "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pgcask'")
            != "0"
        {
            assert!(began.elapsed() < Duration::from_secs(20), "{name}: sessions stay at the server");
        }
    }
}

#[test]
fn a_dead_server_is_named() {
    let server = Server::start(newest());
    server.sql(
        "postgres",
        "CREATE TABLE big AS SELECT i, repeat(md5(i::text), 8) AS m FROM generate_series(1, 400000) i",
    );
    let folder = folder();
    let store = folder.path().join("store");
    let to = store.display().to_string();
    let args = ["backup", &server.url("postgres"), "--to", &to, &pass(folder.path()), "--level", "12"];
    let child = spawn(&mut pgcask(args));
    let began = Instant::now();
    while server.value(
        "postgres",
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'COPY%' AND state = 'active'",
    ) == "0"
    {
        assert!(began.elapsed() < Duration::from_mins(1), "the backup does not begin");
    }
    server.kill9();
    let lost = wait(child);
    assert_eq!(lost.code, 7, "{}", lost.stderr);
    assert_eq!(files(&store), Vec::<String>::new());
    let unreachable = run(&mut pgcask(args)).expect(7);
    assert!(unreachable.stderr.contains("hint: "), "{}", unreachable.stderr);
    assert_eq!(files(&store), Vec::<String>::new());
}

/// One session of several ends: the others' rows would make half a backup.
#[test]
fn a_backup_whose_one_session_is_ended_is_none() {
    let server = Server::start(newest());
    let rows = "CREATE TABLE big AS SELECT i, repeat(md5(i::text), 8) AS m FROM generate_series(1, 600000) i";
    server.sql("postgres", rows);
    let folder = folder();
    let store = folder.path().join("store");
    let to = store.display().to_string();
    let url = server.url("postgres");
    let args = ["backup", &url, "--to", &to, &pass(folder.path()), "--level", "12", "--jobs", "4"];
    let child = spawn(&mut pgcask(args));
    let ours = "FROM pg_stat_activity WHERE application_name = 'pgcask'";
    let copying = format!("SELECT count(*) > 1 {ours} AND query LIKE 'COPY%' AND state = 'active'");
    until(&server, "postgres", &copying, "t");
    let end =
        format!("SELECT pg_terminate_backend(min(pid)) {ours} AND query LIKE 'COPY%' AND state = 'active'");
    until(&server, "postgres", &end, "t");
    let lost = wait(child).expect(7).stderr;
    // What the server said last may be lost with the connection.
    let told =
        ["terminating connection due to administrator command", "the connection to the server was lost"];
    assert!(told.iter().any(|words| lost.contains(words)), "{lost}");
    assert_eq!(files(&store), Vec::<String>::new());
    until(&server, "postgres", &format!("SELECT count(*) {ours}"), "0");
    run(&mut pgcask(args)).expect(0);
}

#[test]
fn what_is_refused_is_refused_before_anything_is_touched() {
    let folder = folder();
    let (server, archive) = archived(folder.path());
    let full = server.create_db();
    server.sql(&full, "CREATE TABLE mine AS SELECT 1 AS a");
    let refused = restore(folder.path(), &archive, &server.url(&full), &[]).expect(9);
    assert!(refused.stderr.contains("not empty"), "{}", refused.stderr);
    restore(folder.path(), &archive, &server.url(&full), &["--create"]).expect(9);
    let planned = restore(folder.path(), &archive, &server.url(&full), &["--dry-run"]).expect(9).json();
    assert_eq!(planned["rows"], 5000);
    assert_eq!(
        server.value(&full, "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace"),
        "1"
    );

    let other = Server::start(newest());
    server.sql(
        "postgres",
        "DO $$ BEGIN CREATE ROLE only_here; EXCEPTION WHEN duplicate_object THEN NULL; END $$",
    );
    let source = server.create_db();
    server.sql(&source, "CREATE TABLE owned (a int); ALTER TABLE owned OWNER TO only_here");
    let made = backup(folder.path(), &server.url(&source), &[]);
    let archive = made["archive"].as_str().unwrap();
    let target = other.create_db();
    let refused = restore(folder.path(), archive, &other.url(&target), &[]).expect(9);
    assert!(refused.stderr.contains("only_here"), "{}", refused.stderr);
    restore(folder.path(), archive, &other.url(&target), &["--no-owner", "--no-acl"]).expect(0);
}

#[test]
fn mistakes_of_usage_have_their_code() {
    for args in [
        &["backup", "postgres://h?nonsense=1", "--to", "/tmp/x", "--no-encrypt"][..],
        &["backup"],
        &["nonsense"],
    ] {
        run(&mut pgcask(args)).expect(2);
    }
    let gone = run(&mut pgcask(["verify", "/nonexistent.cask"])).expect(1);
    assert!(gone.stderr.contains("does not exist"), "{}", gone.stderr);
}
