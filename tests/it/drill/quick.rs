//! `pgcask test`.

use std::path::{Path, PathBuf};

use super::outcome;
use crate::harness::cli::{Run, backup, folder, pass, pgcask, run};
use crate::harness::postgres::{Server, newest};

fn test(folder: &Path, archive: &str, more: &[&str]) -> Run {
    let mut command = pgcask(["test", archive, "--json", "--no-evidence", "--store"]);
    run(command.arg(folder.join("store")).args(more))
}

/// A small database's archive.
fn made(server: &Server, folder: &Path) -> (String, PathBuf) {
    let source = server.create_db();
    server.sql(&source, "CREATE TABLE t AS SELECT n, md5(n::text) FROM generate_series(1, 2000) n");
    let archive = backup(folder, &server.url(&source), &[])["archive"].as_str().unwrap().to_owned();
    (archive.clone(), PathBuf::from(archive))
}

#[test]
fn a_good_backup_passes_with_a_key_and_without_one() {
    let (server, folder) = (Server::shared(newest()), folder());
    let (archive, _) = made(server, folder.path());
    let with_key = test(folder.path(), "latest", &[&pass(folder.path())]).expect(0);
    let json = with_key.json();
    assert_eq!(
        (&json["passed"], &json["pass_rate"], &json["stale"]),
        (&true.into(), &1.0.into(), &false.into())
    );
    assert_eq!(
        (json["archive"]["place"].as_str(), &json["archive"]["rows"]),
        (Some(archive.as_str()), &2000.into())
    );
    for check in
        ["exists, with its sidecars", "key at hand", "readable", "checksum", "authentic", "metadata agrees"]
    {
        assert_eq!(outcome(&with_key, check).0, "passed", "{check}");
    }
    let without = test(folder.path(), &archive, &[]).expect(0);
    for check in ["key at hand", "authentic"] {
        assert_eq!(outcome(&without, check).0, "skipped", "{check}");
    }
    assert_eq!(outcome(&without, "checksum").0, "passed");
    let shown = run(&mut pgcask(["test", &archive, "--no-evidence"])).expect(0).stdout;
    assert!(shown.contains("passed: 5 of 5 checks passed (100 %)"), "{shown}");
    // What is read is counted: only the ends, when that is asked for.
    let ends = test(folder.path(), &archive, &["--no-read"]).expect(0);
    assert_eq!(outcome(&ends, "readable").0, "skipped");
}

#[test]
fn an_old_backup_is_stale_and_nothing_worse() {
    let (server, folder) = (Server::shared(newest()), folder());
    let (archive, _) = made(server, folder.path());
    let stale = test(folder.path(), &archive, &["--rpo", "1ms"]).expect(6);
    assert_eq!(stale.json()["stale"], true);
    assert_eq!(outcome(&stale, "age within the RPO").0, "failed");
    test(folder.path(), &archive, &["--rpo", "7d"]).expect(0);
    run(&mut pgcask(["test", &archive, "--rpo", "soon"])).expect(2);
}

#[test]
fn an_archive_by_itself_says_what_it_is() {
    let (server, folder) = (Server::shared(newest()), folder());
    let (archive, _) = made(server, folder.path());
    let lone = folder.path().join("lone.cask").display().to_string();
    std::fs::copy(&archive, &lone).unwrap();
    let tested = test(folder.path(), &lone, &[&pass(folder.path())]).expect(5);
    assert_eq!(outcome(&tested, "exists, with its sidecars").0, "failed");
    assert_eq!(outcome(&tested, "age within the RPO").0, "passed");
    let (alone, whole) = (tested.json(), test(folder.path(), &archive, &[]).expect(0).json());
    for fact in
        ["id", "database", "kind", "taken_at", "server_version", "rows", "tables", "plain_bytes", "encrypted"]
    {
        assert_eq!(alone["archive"][fact], whole["archive"][fact], "{fact}");
    }
}

#[test]
fn a_backup_from_the_future_is_not_taken_for_a_young_one() {
    let (server, folder) = (Server::shared(newest()), folder());
    let (archive, _) = made(server, folder.path());
    let sidecar = format!("{archive}.json");
    let mut told: serde_json::Value = serde_json::from_slice(&std::fs::read(&sidecar).unwrap()).unwrap();
    told["snapshot_at"] = "2099-01-01T00:00:00Z".into();
    std::fs::write(&sidecar, told.to_string()).unwrap();
    let found = test(folder.path(), &archive, &[]).expect(6);
    let (word, found) = outcome(&found, "age within the RPO");
    assert!(word == "failed" && found.contains("a clock is wrong"), "{word} {found}");
}

/// Damage to an archive and its sidecars, and the check that finds it.
#[test]
fn each_damage_is_found_by_its_check() {
    let (server, folder) = (Server::shared(newest()), folder());
    let (archive, path) = made(server, folder.path());
    let beside = |end: &str| PathBuf::from(format!("{archive}.{end}"));
    let whole = std::fs::read(&path).unwrap();
    let json = std::fs::read_to_string(beside("json")).unwrap();
    let flipped = {
        let mut bytes = whole.clone();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        bytes
    };
    let replaced = |from: &str, to: &str| {
        assert!(json.contains(from), "{json}");
        json.replace(from, to).into_bytes()
    };
    let cases: [(&Path, Option<Vec<u8>>, &str); 6] = [
        (&path, Some(flipped), "readable"),
        (&path, Some(whole[..whole.len() - 100].to_vec()), "exists, with its sidecars"),
        (&path, None, "exists, with its sidecars"),
        (&beside("sha256"), Some(format!("{}  x.cask\n", "0".repeat(64)).into_bytes()), "checksum"),
        (&beside("json"), Some(replaced("\"rows\": 2000", "\"rows\": 1999")), "metadata agrees"),
        (&beside("json"), Some(replaced("\"kind\": \"daily\"", "\"kind\": \"weekly\"")), "metadata agrees"),
    ];
    for (file, content, check) in cases {
        let before = std::fs::read(file).unwrap();
        match content {
            Some(content) => std::fs::write(file, content).unwrap(),
            None => std::fs::remove_file(file).unwrap(),
        }
        let found = test(folder.path(), &archive, &[&pass(folder.path())]).expect(5);
        assert_eq!(outcome(&found, check).0, "failed", "{check}: {found:?}");
        std::fs::write(file, before).unwrap();
    }
    let wrong = folder.path().join("wrong");
    std::fs::write(&wrong, "not the passphrase\n").unwrap();
    let found = test(folder.path(), &archive, &["--passphrase-file", wrong.to_str().unwrap()]).expect(5);
    assert_eq!(outcome(&found, "key at hand").0, "failed");
    test(folder.path(), &archive, &[&pass(folder.path())]).expect(0);
}

#[test]
fn a_size_out_of_the_usual_is_told_and_does_not_fail_alone() {
    let (server, folder) = (Server::shared(newest()), folder());
    let source = server.create_db();
    server.sql(&source, "CREATE TABLE t AS SELECT n, md5(n::text) FROM generate_series(1, 20000) n");
    for _ in 0..2 {
        backup(folder.path(), &server.url(&source), &[]);
    }
    server.sql(&source, "DELETE FROM t WHERE n > 100");
    // Names carry whole seconds: only what was taken in an earlier one is earlier.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    backup(folder.path(), &server.url(&source), &[]);
    let shrunk = test(folder.path(), "latest", &[&pass(folder.path())]).expect(0);
    let (word, found) = outcome(&shrunk, "size is plausible");
    assert_eq!(word, "failed", "{found}");
    assert!(found.contains("the median of the 2 before it"), "{found}");
}
