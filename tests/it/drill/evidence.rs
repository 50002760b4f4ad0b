//! What tests leave as evidence, and that a drill proves something.

use serde_json::Value;

use super::full::{Evidence, Place};
use super::outcome;
use super::schema::assert_documented;
use crate::harness::cli::run;
use crate::harness::postgres::{Server, newest};
use crate::swap::SHOP;

const TABLE: &str = "CREATE TABLE t AS SELECT n, md5(n::text) FROM generate_series(1, 2000) n;";

fn beside(archive: &str, part: &str) -> Vec<String> {
    let folder = std::path::Path::new(archive).parent().unwrap();
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path().display().to_string());
    names.filter(|name| name.contains(part)).collect()
}

#[test]
fn a_test_leaves_log_record_page_and_an_entry_in_the_register() {
    let (server, place) = (Server::shared(newest()), Place::new());
    let archive = place.archive(server, TABLE);
    let test = |more: &[&str]| run(place.command(&["test", &archive]).args(more));
    let done = test(&["--evidence", "evidence", &place.pass()]).expect(0).json();
    let Evidence { record, page, log, entry, table } = place.evidence();
    assert_documented(&record);
    assert_eq!(
        (&record["type"], &record["passed"], &record["archive"]["rows"]),
        (&"quick".into(), &true.into(), &2000.into())
    );
    assert_eq!((&record["checks"], &record["server"]), (&done["checks"], &Value::Null));
    assert!(done["files"]["report"].as_str().unwrap().starts_with("evidence/reports/test-"), "{done}");
    assert!(page.contains("PASSED") && page.contains("Quick test of"), "{page}");
    assert!(!page.contains("<script") && !page.contains("://") && !page.contains("recovery time;"), "{page}");
    assert!(
        log.contains("quick test of") && log.contains("Passed authentic") && log.contains("passed, 100 %"),
        "{log}"
    );
    assert_eq!((&entry["type"], &entry["result"]), (&"quick".into(), &"passed".into()));
    assert_eq!(entry["rto_measured_seconds"], Value::Null);
    let (at, due): (jiff::Timestamp, jiff::Timestamp) = (
        entry["at"].as_str().unwrap().parse().unwrap(),
        entry["next_due"].as_str().unwrap().parse().unwrap(),
    );
    assert_eq!(due.duration_since(at).as_hours(), 24);
    assert!(table.contains("| quick test |") && table.contains("| passed | – | – | none |"), "{table}");
    // A test is no drill: nothing beside the archive says that it was restored.
    assert!(beside(&archive, ".drill-").is_empty() && beside(&archive, ".evidence-").is_empty());
    // One that fails, and where it goes by itself.
    let mut bytes = std::fs::read(&archive).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&archive, bytes).unwrap();
    test(&["--evidence", "evidence", &place.pass(), "--upload-evidence"]).expect(5);
    let Evidence { record, page, entry, table, .. } = place.evidence();
    assert_documented(&record);
    assert!(page.contains("FAILED") && table.contains("| failed |"), "{table}");
    assert_eq!(entry["result"], "failed");
    assert!(entry["issues"].to_string().contains("readable"), "{entry}");
    assert_eq!(beside(&archive, ".evidence-").len(), 3);
    test(&["--no-evidence"]).expect(5);
    assert!(!place.path("backup-tests").exists());
    test(&[]).expect(5);
    assert!(place.path("backup-tests/compliance-register.md").is_file());
    std::fs::write(place.path("pgcask.toml"), "[defaults]\nevidence = \"proofs\"\n").unwrap();
    test(&[]).expect(5);
    assert!(place.path("proofs/compliance-register.md").is_file());
}

#[test]
fn evidence_that_cannot_be_written_is_told_before_the_work_or_after_the_result() {
    let (server, place) = (Server::shared(newest()), Place::new());
    let archive = place.archive(server, SHOP);
    // No folder can be made there: nothing is begun.
    for command in ["test", "drill"] {
        let refused = run(&mut place.plain(&[command, &archive, "--evidence", "pass"])).expect(1);
        assert!(
            refused.stderr.contains("write into pass/logs") && refused.stderr.contains("--no-evidence"),
            "{}",
            refused.stderr
        );
        assert!(refused.stdout.is_empty(), "{}", refused.stdout);
    }
    // It fails only at the end: the result is told all the same, and a bad one is the worse news.
    std::fs::create_dir_all(place.path("evidence/compliance-register.md")).unwrap();
    let passed = run(&mut place.named(&archive, server, &[&place.pass()])).expect(1);
    assert!(passed.stdout.contains("\"passed\":true"), "{}", passed.stdout);
    assert!(passed.stderr.contains("keep the evidence"), "{}", passed.stderr);
    let failed = run(&mut place.named(&archive, server, &[&place.pass(), "--rto", "1ms"])).expect(5);
    assert!(failed.stderr.contains("compliance-register.md"), "{}", failed.stderr);
    // What was written before is there, and no half of anything.
    let left: Vec<_> =
        std::fs::read_dir(place.path("evidence")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().starts_with('.')), "{left:?}");
    assert_eq!(
        std::fs::read_to_string(place.path("evidence/compliance-register.jsonl")).unwrap().lines().count(),
        2
    );
}

#[test]
fn tests_at_the_same_time_keep_all_their_evidence() {
    let (server, place) = (Server::shared(newest()), Place::new());
    let archive = place.archive(server, TABLE);
    let mut runs = Vec::new();
    for _ in 0..6 {
        let mut command = place.command(&["test", &archive, "--evidence", "evidence"]);
        runs.push(crate::harness::cli::spawn(&mut command));
    }
    for child in runs {
        crate::harness::cli::wait(child).expect(0);
    }
    let count = |part: &str| std::fs::read_dir(place.path("evidence").join(part)).unwrap().count();
    assert_eq!([count("results"), count("logs"), count("reports")], [6, 6, 6]);
    let Evidence { table, .. } = place.evidence();
    assert_eq!(table.matches("| quick test |").count(), 6, "{table}");
}

#[test]
fn with_quiet_only_what_is_wrong_is_said() {
    let (server, place) = (Server::shared(newest()), Place::new());
    let archive = place.archive(server, TABLE);
    let url = server.url("postgres");
    for command in [&["test", &archive][..], &["drill", &archive, "--server", &url]] {
        let said = |more: &[&str], code: i32| {
            let pass = place.pass();
            let args = [command, &["--quiet", "--no-evidence", &pass], more].concat();
            run(&mut place.plain(&args)).expect(code).stdout
        };
        assert_eq!(said(&[], 0), "");
        // A drill of an old backup passes, and the age is told.
        let code = if command[0] == "test" { 6 } else { 0 };
        assert!(said(&["--rpo", "1ms"], code).contains("age within the RPO         FAILED"), "{command:?}");
    }
}

#[test]
fn drills_of_the_same_second_leave_a_mark_each() {
    let (server, place) = (Server::shared(newest()), Place::new());
    let archive = place.archive(server, TABLE);
    let mut runs = Vec::new();
    for rto in ["1h", "1ms", "1h", "1ms"] {
        let mut command = place.named(&archive, server, &[&place.pass(), "--rto", rto]);
        runs.push((rto, crate::harness::cli::spawn(&mut command)));
    }
    for (rto, child) in runs {
        crate::harness::cli::wait(child).expect(if rto == "1h" { 0 } else { 5 });
    }
    let results = beside(&archive, ".drill-").into_iter().map(|mark| {
        let mark: Value = serde_json::from_slice(&std::fs::read(mark).unwrap()).unwrap();
        mark["result"].as_str().unwrap().to_owned()
    });
    let mut results: Vec<String> = results.collect();
    results.sort();
    assert_eq!(results, ["failed", "failed", "passed", "passed"]);
}

#[test]
fn a_private_server_is_made_in_a_folder_named_from_here() {
    let (server, place) = (Server::shared(newest()), Place::new());
    let archive = place.archive(server, TABLE);
    let drill = |more: &[&str]| {
        let mut command =
            place.command(&["drill", &archive, "--pg-bin", &super::full::bin(), "--no-evidence"]);
        run(command.args(["--work-dir", "work", &place.pass()]).args(more))
    };
    let done = drill(&[]).expect(0);
    // What there is none of was not checked, and does not count.
    assert_eq!(outcome(&done, "sequences not behind").0, "skipped");
    assert_eq!(outcome(&done, "time within the RTO").0, "passed");
    place.assert_clean();
    let failed = drill(&["--assert", "SELECT true, count(*) < 0 FROM t"]).expect(5);
    assert_eq!(outcome(&failed, "assertions").0, "failed");
    assert!(outcome(&failed, "time within the RTO").1.contains("ended at a check that failed"), "{failed:?}");
    let refused = drill(&["--set", "no_such_setting=1"]).expect(5);
    let (_, found) = outcome(&refused, "server at hand");
    assert!(
        found.contains("FATAL:  unrecognized configuration parameter") && !found.contains("Success"),
        "{found}"
    );
    place.assert_clean();
}

#[test]
fn a_drill_of_nothing_does_not_pass() {
    let (server, place) = (Server::shared(newest()), Place::new());
    let archive = place.archive(server, SHOP);
    let drill = |archive: &str, more: &[&str]| {
        run(place.named(archive, server, &[&place.pass()]).args(more)).expect(5)
    };
    // One of two patterns has a slip of the pen in it.
    let some = drill(&archive, &["--table", "customers", "--table", "oders"]);
    let (word, found) = outcome(&some, "restored");
    assert!(word == "failed" && found.contains("oders"), "{word} {found}");
    // Definitions alone.
    let (word, found) = outcome(&drill(&archive, &["--exclude-table-data", "*"]), "restored");
    assert!(word == "failed" && found.contains("the rows of no table were restored"), "{word} {found}");
    // A backup of a database in which nothing is.
    let empty = place.archive(server, "SELECT 1");
    let (word, found) = outcome(&drill(&empty, &[]), "restored");
    assert!(word == "failed" && found.contains("the right database"), "{word} {found}");
}
