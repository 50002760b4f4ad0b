//! The doctor: each fault is really there, and is named with its remedy.

use std::io::Write as _;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use xtask::user::RunAs;

use crate::harness::cli::{Run, backup, folder, pgcask, run};
use crate::harness::output;
use crate::harness::place::Place;
use crate::harness::postgres::{Build, Options, Server, every_version, newest, versions};
use crate::harness::s3::S3Server;
use crate::swap::proven_versions;

/// The findings of a run, each as `level check: found → remedy`.
fn findings(run: &Run) -> Vec<String> {
    let all = run.json();
    let text = |one: &Value, field: &str| one[field].as_str().unwrap_or("").to_owned();
    let line = |one: &Value| {
        format!(
            "{} {}: {} → {}",
            text(one, "level"),
            text(one, "check"),
            text(one, "found"),
            text(one, "remedy")
        )
    };
    let findings = all["findings"].as_array().unwrap();
    for one in findings.iter().filter(|one| one["level"] != "ok") {
        assert!(one["why"].is_string() && one["remedy"].is_string(), "what is to be done? {one}");
    }
    findings.iter().map(line).collect()
}

/// Fails unless each of the words is in one finding.
#[track_caller]
fn find(run: &Run, expected: &[(&str, &str)]) {
    let all = findings(run);
    for (start, words) in expected {
        let there = all.iter().any(|line| line.starts_with(start) && line.contains(words));
        assert!(there, "{start} … {words}\n{}\n{}", all.join("\n"), run.stderr);
    }
}

fn doctor(url: &str, more: &[&str]) -> Run {
    run(pgcask(["doctor", url]).args(more).arg("--json"))
}

/// A session that holds on to what it did.
fn holding(server: &Server, database: &str, sql: &str) -> Child {
    let mut psql = server.client("psql", database);
    let mut child = psql.args(["-qX"]).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    child.stdin.as_mut().unwrap().write_all(format!("{sql}\n").as_bytes()).unwrap();
    child
}

fn wait_for(server: &Server, database: &str, condition: &str) {
    let began = Instant::now();
    while server.value(database, condition) != "t" {
        assert!(began.elapsed() < Duration::from_secs(30), "{condition}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_sound_setup_is_told_to_be_sound() {
    let (server, folder) = (Server::shared(newest()), folder());
    let db = server.create_db();
    server.sql(&db, "CREATE TABLE t (id int PRIMARY KEY)");
    let keys: Vec<String> = ["a", "b"]
        .into_iter()
        .map(|name| {
            let file = folder.path().join(name).display().to_string();
            run(&mut pgcask(["keygen", "--output", &file])).expect(0).stdout.trim().to_owned()
        })
        .collect();
    let made = backup(folder.path(), &server.url(&db), &["-r", &keys[0]]);
    let store = folder.path().join("store").display().to_string();
    let identity = folder.path().join("a").display().to_string();
    let sound =
        doctor(&server.url(&db), &[&store, "-r", &keys[0], "-r", &keys[1], "-i", &identity]).expect(0);
    for check in [
        "connection",
        "tls",
        "privileges",
        "tables",
        "locks",
        "connections",
        "logging",
        "collations",
        "wraparound",
        "clock",
        "memory",
        "processors",
        "keys",
        "store rights",
        "store clock",
        "store leftovers",
        "newest backup",
    ] {
        assert!(
            findings(&sound).iter().any(|line| line.starts_with(&format!("ok {check}:"))),
            "{check}: {:#?}",
            findings(&sound)
        );
    }
    assert!(sound.json()["worst"] != "critical", "{sound:?}");
    find(&sound, &[("ok newest backup", made["id"].as_str().unwrap())]);
    assert!(
        !std::path::Path::new(&store)
            .join(".pgcask")
            .read_dir()
            .unwrap()
            .any(|entry| { entry.unwrap().file_name().to_string_lossy().starts_with("doctor") })
    );
    let text = run(&mut pgcask(["doctor", &server.url(&db), &store])).expect(0).stdout;
    assert!(text.contains("notice    keys: no recipient is named") && text.contains("0 critical"), "{text}");
}

#[test]
fn faults_of_a_database_are_named() {
    for major in proven_versions() {
        let server = Server::private(major, &["log_statement=all", "max_prepared_transactions=5"]);
        server.sql(
            "postgres",
            "CREATE TABLE keyless (a int); INSERT INTO keyless VALUES (1), (1); CREATE TABLE locked (id int PRIMARY KEY);
             CREATE SCHEMA pgcask_restore",
        );
        server.try_sql("postgres", "CREATE UNIQUE INDEX CONCURRENTLY half ON keyless (a)").unwrap_err();
        server.sql("postgres", "BEGIN; INSERT INTO keyless VALUES (2); PREPARE TRANSACTION 'forgotten'");
        let version = major >= 15;
        if version {
            server
                .sql("postgres", "UPDATE pg_database SET datcollversion = '0.1' WHERE datname = 'postgres'");
        }
        server.sql("postgres", "CREATE DATABASE \"shop_before_20261120T031500Z\"");
        server.sql("postgres", "CREATE DATABASE pgcask_drill_20261120t031500_x");
        let mut open = holding(&server, "postgres", "BEGIN; LOCK TABLE locked IN ACCESS EXCLUSIVE MODE;");
        wait_for(
            &server,
            "postgres",
            "SELECT EXISTS (SELECT FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND relation = 'locked'::regclass AND granted)",
        );
        let told = doctor(&server.url("postgres"), &["--longer-than", "0s"]).expect(0);
        find(
            &told,
            &[
                ("notice primary keys", "1 tables have none: public.keyless"),
                ("warning indexes", "public.half → REINDEX INDEX CONCURRENTLY public.half"),
                ("warning transactions", "has a transaction open for"),
                ("warning transactions", "forgotten → COMMIT PREPARED or ROLLBACK PREPARED 'forgotten'"),
                ("warning transactions", "ACCESS EXCLUSIVE lock: public.locked"),
                ("notice logging", "log_statement is all"),
                (
                    "notice leftovers",
                    "shop_before_20261120T031500Z is the database that shop was before a swap",
                ),
                ("warning leftovers", "postgres has the marks of an unfinished restore"),
                ("warning leftovers", "drills that were killed: pgcask_drill_20261120t031500_x"),
            ],
        );
        if version {
            find(&told, &[("warning collations", "version 0.1 of its collation")]);
        }
        drop(open.stdin.take());
        open.wait().unwrap();
        let quiet = doctor(&server.url("postgres"), &["--longer-than", "1h"]).expect(0);
        assert!(
            !findings(&quiet)
                .iter()
                .any(|line| line.contains("a transaction open for") || line.contains("forgotten"))
        );
    }
}

#[test]
fn a_role_that_may_not_read_or_connect_often_enough_is_told_before_the_first_backup() {
    let server = Server::start(newest());
    server.sql(
        "postgres",
        "CREATE TABLE secret (id int PRIMARY KEY); CREATE ROLE reader LOGIN CONNECTION LIMIT 2",
    );
    let url = server.url("postgres").replace("postgres@", "reader@");
    let told = doctor(&url, &["--jobs", "6"]).expect(1);
    find(
        &told,
        &[
            ("critical privileges", "secret"),
            ("critical privileges", "pg_read_all_data"),
            ("notice privileges", "ALTER ROLE \"reader\" CREATEDB"),
            ("critical connections", "6 jobs"),
            ("notice transactions", "pg_read_all_stats"),
        ],
    );
    server.sql(
        "postgres",
        "GRANT SELECT ON secret TO reader; GRANT pg_read_all_stats TO reader; ALTER ROLE reader CONNECTION LIMIT 50",
    );
    find(
        &doctor(&url, &["--jobs", "6"]).expect(0),
        &[("ok privileges", "all rows"), ("ok connections", "6 jobs")],
    );
    find(
        &doctor("postgres://nobody@127.0.0.1:1/x", &[]).expect(1),
        &[("critical connection", "host and port")],
    );
}

#[test]
fn poolers_standbys_and_old_servers_are_told() {
    let primary = Server::start(newest());
    find(
        &doctor(&crate::pooler::pooler(&primary, true), &[]).expect(1),
        &[("critical pooler", "session mode")],
    );
    find(
        &doctor(&crate::pooler::pooler(&primary, false), &[]).expect(0),
        &[("notice pooler", "session mode")],
    );
    let standby = primary.standby(&[("hot_standby_feedback", "off"), ("max_standby_streaming_delay", "5s")]);
    standby.catch_up(&primary);
    find(
        &doctor(&standby.url("postgres"), &[]).expect(0),
        &[(
            "warning standby",
            "hot_standby_feedback is off, max_standby_streaming_delay is 5s → ALTER SYSTEM SET hot_standby_feedback = on",
        )],
    );
    if every_version().contains(&13) && versions().contains(&13) {
        let url = Server::shared(13).url("postgres");
        find(&doctor(&url, &[]).expect(0), &[("warning server version", "no corrections since 2025-11-13")]);
    }
}

#[test]
fn keys_and_recipients_are_looked_at() {
    let (server, folder) = (Server::shared(newest()), folder());
    let url = server.url("postgres");
    let file = |name: &str, text: &str| {
        std::fs::write(folder.path().join(name), text).unwrap();
        folder.path().join(name).display().to_string()
    };
    let (weak, wrong) = (file("weak", "secret\n"), file("wrong", "no key\n"));
    find(
        &doctor(&url, &["--passphrase-file", &weak]).expect(0),
        &[("warning keys", "fewer than 12 characters"), ("warning keys", "one recipient alone")],
    );
    find(
        &doctor(&url, &["-r", "age1nonsense", "-i", &wrong]).expect(1),
        &[("critical keys", "age1nonsense"), ("critical keys", "wrong")],
    );
    // A key that opens nothing.
    let db = server.create_db();
    backup(folder.path(), &server.url(&db), &[]);
    let other = folder.path().join("other").display().to_string();
    run(&mut pgcask(["keygen", "--output", &other])).expect(0);
    let store = folder.path().join("store").display().to_string();
    find(&doctor(&url, &[&store, "-i", &other]).expect(1), &[("critical newest backup", "")]);
}

#[test]
fn a_stores_rights_and_protection_are_tried_out() {
    let (server, s3) = (Server::shared(newest()), S3Server::shared());
    let url = server.url("postgres");
    let place = Place::in_bucket(s3.fresh_locked_bucket());
    let bucket = place.bucket.clone().unwrap();
    place.put("shop/daily/2026-11-20/shop-daily-20261120T031500Z-000000000001.cask", "lost");
    let by = |writer: bool| {
        let args = ["doctor", &url, &place.store, "--json"];
        let mut command = if writer { place.command_of_writer(&args) } else { place.command(&args) };
        run(&mut command)
    };
    find(
        &by(false).expect(0),
        &[
            ("notice store rights", "may delete"),
            ("ok store rights", "multipart"),
            ("ok store rights", "not overwritten"),
            ("ok store protection", "keeps versions"),
            ("ok store protection", "Object Lock"),
            ("ok store clock", "agree"),
            ("notice store leftovers", "part of no backup"),
        ],
    );
    let writer = xtask::seaweed::WRITER_ARN;
    s3.deny(&bucket, &[(writer, &["DeleteObject", "DeleteObjectVersion"], "*")]);
    find(&by(true).expect(0), &[("ok store rights", "may not delete, as it should be")]);
    s3.deny(&bucket, &[(writer, &["PutObject"], "*")]);
    find(&by(true).expect(1), &[("critical store rights", "permission denied")]);
    let gone = folder();
    let missing = gone.path().join("none").display().to_string();
    find(&doctor(&url, &[&missing]).expect(1), &[("critical store", "none")]);
}

/// Makes the server's next transaction one that is far ahead, as years of writes without VACUUM would: the counter is set, and
/// its segment of the commit log made, as `pg_resetwal` demands.
fn far_ahead(server: &Server, segment: u64) {
    const TRANSACTIONS_OF_A_SEGMENT: u64 = 1 << 20;
    const BYTES_OF_A_SEGMENT: usize = 256 << 10;
    server.stop();
    let log = server.data().join(format!("pg_xact/{segment:04X}"));
    std::fs::write(&log, vec![0; BYTES_OF_A_SEGMENT]).unwrap();
    let mut reset = server.client("pg_resetwal", "postgres");
    reset.args(["-x", &(segment * TRANSACTIONS_OF_A_SEGMENT).to_string()]).arg(server.data());
    if let Some(user) = RunAs::detect().unwrap() {
        user.own(&log).unwrap();
        user.apply(&mut reset);
    }
    output(reset.current_dir("/"));
    server.launch();
}

#[test]
fn a_server_that_runs_out_of_transaction_numbers_is_told_in_time() {
    // The program that sets the counter is of this version.
    if !versions().contains(&18) {
        return;
    }
    // Else the server mends it by itself, at once.
    let server = Server::private(18, &["autovacuum=off", "autovacuum_freeze_max_age=2000000000"]);
    find(&doctor(&server.url("postgres"), &[]).expect(0), &[("ok wraparound", "transactions are")]);
    for (segment, level, code) in [(1000, "warning", 0), (1700, "critical", 1)] {
        far_ahead(&server, segment);
        let told = doctor(&server.url("postgres"), &[]).expect(code);
        find(&told, &[(&format!("{level} wraparound"), "back, in ")]);
        find(&told, &[(&format!("{level} wraparound"), "→ VACUUM (FREEZE)")]);
    }
    // The remedy is one.
    for database in ["postgres", "template1", "template0"] {
        server.sql("postgres", "UPDATE pg_database SET datallowconn = true");
        server.sql(database, "VACUUM (FREEZE)");
    }
    find(&doctor(&server.url("postgres"), &[]).expect(0), &[("ok wraparound", "transactions are")]);
}

#[test]
fn a_table_of_locks_that_is_too_small_or_full_is_told() {
    let options = Options { tcp: true, ..Options::default() };
    let options = options.set("max_locks_per_transaction", "10").set("max_connections", "20");
    let server = Server::with(Build::Major(newest()), options);
    let tables = |from: u32, to: u32| {
        let sql = format!(
            "DO $$BEGIN FOR i IN {from}..{to} LOOP EXECUTE format('CREATE TABLE t%s (id int PRIMARY KEY)', i);
             IF i % 20 = 0 THEN COMMIT; END IF; END LOOP; END$$"
        );
        server.sql("postgres", &sql);
    };
    let asked = || doctor(&server.url("postgres"), &["--jobs", "2"]).expect(0);
    tables(1, 230);
    find(&asked(), &[("ok locks", "room for a lock on each of 230 tables")]);
    // Somebody holds what is left.
    let lock = "BEGIN; DO $$BEGIN FOR i IN 1..230 LOOP EXECUTE format('LOCK TABLE t%s IN SHARE MODE', i); \
                END LOOP; END$$;";
    let mut open = holding(&server, "postgres", lock);
    let held = "SELECT count(*) >= 230 FROM pg_locks WHERE mode = 'ShareLock' AND granted AND NOT fastpath";
    wait_for(&server, "postgres", held);
    let full = asked();
    find(&full, &[("warning locks", "max_locks_per_transaction is 10")]);
    find(&full, &[("warning locks", "→ ALTER SYSTEM SET max_locks_per_transaction = 20 or more")]);
    drop(open.stdin.take());
    open.wait().unwrap();
    find(&asked(), &[("ok locks", "")]);
    // More tables than fit.
    tables(231, 700);
    find(&asked(), &[("warning locks", "one for each table")]);
}

#[test]
fn a_clock_that_is_wrong_is_told_by_how_much() {
    // The server's clock as its sessions read it: the machine's own cannot be set.
    let server = Server::private(newest(), &["allow_system_table_mods=on"]);
    let shift = |by: &str| {
        server.sql(
            "postgres",
            &format!(
                "ALTER FUNCTION pg_catalog.clock_timestamp() RENAME TO true_clock_timestamp;
                 CREATE FUNCTION pg_catalog.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS
                     $$SELECT pg_catalog.true_clock_timestamp() + interval '{by}'$$"
            ),
        );
        let told = doctor(&server.url("postgres"), &[]);
        server.sql(
            "postgres",
            "DROP FUNCTION pg_catalog.clock_timestamp();
             ALTER FUNCTION pg_catalog.true_clock_timestamp() RENAME TO clock_timestamp",
        );
        told
    };
    find(&shift("1 s").expect(0), &[("ok clock", "agree")]);
    find(
        &shift("-2 min").expect(0),
        &[("warning clock", "s behind of this machine's → set the clocks right")],
    );
    find(
        &shift("1 hour").expect(1),
        &[("critical clock", "s ahead of this machine's → set the clocks right")],
    );
    find(&doctor(&server.url("postgres"), &[]).expect(0), &[("ok clock", "agree")]);
}
