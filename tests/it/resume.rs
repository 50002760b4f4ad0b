//! A restore that was interrupted goes on: each unit is loaded once, finished indexes stay, another restore is refused.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};

use crate::harness::cli::{backup, folder, pass, pgcask, restore, signal, wait};
use crate::harness::oracle::{assert_same, content, schema_dump};
use crate::harness::postgres::{Server, newest};
use crate::swap::{SHOP, proven_versions};

/// Reads the log until a line has this text.
fn until(child: &mut Child, line: &str) {
    let log = child.stderr.take().unwrap();
    let mut lines = BufReader::new(log).lines().map(Result::unwrap);
    let seen: Vec<String> = lines.by_ref().take_while(|text| !text.contains(line)).collect();
    assert!(seen.len() < 10_000, "the whole log was read");
    // The rest must be read too, or the child would block.
    std::thread::spawn(move || lines.for_each(drop));
}

fn spawn(args: &[&str], folder: &std::path::Path) -> Child {
    let mut command = pgcask(args);
    command.args(["-v", "--jobs", "2", "--json", &pass(folder)]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Enough rows that there is a middle.
const MORE: &str = "
    CREATE TABLE big (id int PRIMARY KEY, a text, b text);
    INSERT INTO big SELECT n, md5(n::text), repeat(md5((n * 7)::text), 4) FROM generate_series(1, 200000) n;
    CREATE INDEX big_a ON big (a); CREATE INDEX big_b ON big (b); CREATE INDEX big_ab ON big (a, b);";

#[test]
fn a_killed_restore_goes_on_where_it_was() {
    for major in proven_versions() {
        let (server, folder) = (Server::shared(major), folder());
        let source = server.create_db();
        server.sql(&source, SHOP);
        server.sql(&source, MORE);
        let archive =
            backup(folder.path(), &server.url(&source), &[])["archive"].as_str().unwrap().to_owned();
        let target = server.adopt(server.fresh_name());
        let url = server.url(&target);
        let mut child = spawn(&["restore", &archive, "--into", &url, "--create"], folder.path());
        until(&mut child, "index public.big_a:");
        signal(&child, "KILL");
        wait(child);

        let done = server.rows(&target, "SELECT step FROM pgcask_restore.done ORDER BY 1").concat();
        assert!(done.iter().any(|step| step.starts_with("load ")), "{done:?}");
        let built = "SELECT oid, relfilenode FROM pg_class WHERE relname IN ('big_a', 'big') ORDER BY 1";
        let built_before = server.rows(&target, built);

        // Without --resume it is not empty; another archive and other options are not what was begun.
        let refused = restore(folder.path(), &archive, &url, &[]).expect(9);
        assert!(refused.stderr.contains("--resume"), "{}", refused.stderr);
        let refused =
            restore(folder.path(), &archive, &url, &["--resume", "--create", "--no-owner"]).expect(9);
        assert!(refused.stderr.contains("was begun without --no-owner"), "{}", refused.stderr);
        let other = backup(folder.path(), &server.url(&source), &[])["archive"].as_str().unwrap().to_owned();
        let refused = restore(folder.path(), &other, &url, &["--resume", "--create"]).expect(9);
        assert!(refused.stderr.contains("is of backup"), "{}", refused.stderr);
        assert_eq!(server.rows(&target, built), built_before);
        // What a restore keeps for itself is no part of a backup.
        let partial = backup(folder.path(), &url, &[]);
        let toc = crate::harness::cli::run(&mut pgcask([
            "show",
            partial["archive"].as_str().unwrap(),
            "--toc",
            &pass(folder.path()),
        ]));
        assert!(!toc.expect(0).stdout.contains("pgcask_restore"));

        let resumed = restore(folder.path(), &archive, &url, &["--resume", "--create"]).expect(0).json();
        assert_eq!((&resumed["resumed"], &resumed["verified"]), (&true.into(), &true.into()), "{resumed}");
        assert_eq!(resumed["rows"], 205_502, "each row once");
        assert_eq!(server.rows(&target, built), built_before, "finished indexes are not built again");
        assert_same(server, &source, server, &target);
        let again = restore(folder.path(), &archive, &url, &["--resume", "--create"]).expect(9);
        assert!(again.stderr.contains("no interrupted restore"), "{}", again.stderr);
    }
}

#[test]
fn lost_connections_and_a_crashed_server_are_overcome_in_one_run() {
    let (server, folder) = (Server::start(newest()), folder());
    server.sql("postgres", "CREATE DATABASE source TEMPLATE template0");
    server.sql("source", SHOP);
    server.sql("source", MORE);
    let archive = backup(folder.path(), &server.url("source"), &[])["archive"].as_str().unwrap().to_owned();
    for (target, crash) in [("by_connection", false), ("by_server", true)] {
        let url = server.url(target);
        let mut child = spawn(&["restore", &archive, "--into", &url, "--create"], folder.path());
        until(&mut child, "load public.big");
        if crash {
            server.kill9();
            server.launch();
        } else {
            server.sql(
                "postgres",
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pgcask'",
            );
        }
        let ended = wait(child).expect(0).json();
        assert_eq!(ended["verified"], true, "{ended}");
        assert_eq!(ended["rows"], 205_502);
        assert_eq!(schema_dump(&server, "source"), schema_dump(&server, target));
        // A crash of the server lets its sequences jump ahead.
        let rows = |database: &str| {
            let mut all = content(&server, database);
            all.retain(|name, _| !name.ends_with("_seq"));
            all
        };
        assert_eq!(rows("source"), rows(target));
    }
}
