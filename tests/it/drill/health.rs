//! `pgcask status` and `pgcask check`: each thing that can be wrong is told, with its code.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::full::Place;
use crate::harness::cli::{Run, run};
use crate::harness::postgres::{Server, newest};
use crate::swap::SHOP;

fn check(place: &Place, more: &[&str]) -> Run {
    let mut command = place.plain(&["check"]);
    run(command.arg("--store").arg(place.path("store")).args(more))
}

fn status(place: &Place, more: &[&str]) -> Run {
    run(place.command(&["status"]).arg("--store").arg(place.path("store")).args(more))
}

fn mark_of(archive: &str) -> PathBuf {
    let folder = std::fs::read_dir(Path::new(archive).parent().unwrap()).unwrap();
    let mut paths = folder.map(|entry| entry.unwrap().path());
    paths.find(|path| path.to_string_lossy().contains(".cask.drill-")).unwrap()
}

/// How a good store is told when more is demanded, to people, and when it is not there.
fn assert_told(place: &Place) {
    // Too old.
    check(place, &["--rpo", "1ms"]).expect(2);
    let stale = status(place, &["--rpo", "1ms"]).expect(6).json();
    assert_eq!(stale["databases"][0]["problems"][0]["about"], "backup");
    // For people.
    let shown = run(place.plain(&["status", "--color", "always"]).arg("--store").arg(place.path("store")))
        .expect(0)
        .stdout;
    assert!(
        shown.contains("LAST DRILL") && shown.contains(" passed") && shown.contains("\u{1b}[32mOK"),
        "{shown}"
    );
    // No store: unknown.
    let unknown = run(&mut place.plain(&["check", "--store", "nowhere"])).expect(3).stdout;
    assert!(unknown.starts_with("PGCASK UNKNOWN - "), "{unknown}");
    check(place, &["no_such_database"]).expect(2);
}

#[test]
fn health_is_told_with_the_codes_of_monitoring() {
    let (server, place) = (Server::shared(newest()), Place::new());
    std::fs::create_dir_all(place.path("store")).unwrap();
    let empty = check(&place, &[]).expect(2);
    assert!(
        empty.stdout.starts_with("PGCASK CRITICAL - there is no backup in the store|"),
        "{}",
        empty.stdout
    );
    let archive = place.archive(server, SHOP);
    let never = check(&place, &[]).expect(1).stdout;
    assert!(never.starts_with("PGCASK WARNING - ") && never.contains("never restored on trial"), "{never}");
    assert!(never.contains("_age'=") && never.lines().count() == 1, "{never}");
    run(&mut place.named(&archive, server, &[&place.pass()])).expect(0);
    let good = check(&place, &[]).expect(0).stdout;
    assert!(good.starts_with("PGCASK OK - 1 databases"), "{good}");
    let told = status(&place, &[]).expect(0).json();
    let database = &told["databases"][0];
    assert_eq!((&told["level"], &database["drill_passed"]), (&"ok".into(), &true.into()));
    assert!(database["drill_seconds"].as_f64().unwrap() > 0.0 && told["room"]["free"].as_u64().unwrap() > 0);
    assert_told(&place);
}

#[test]
fn drills_that_failed_or_are_long_ago_are_told() {
    let (server, place) = (Server::shared(newest()), Place::new());
    let archive = place.archive(server, SHOP);
    run(&mut place.named(&archive, server, &[&place.pass()])).expect(0);
    let mark = mark_of(&archive);
    let whole: Value = serde_json::from_slice(&std::fs::read(&mark).unwrap()).unwrap();
    let with = |at: &str, result: &str| {
        let mut other = whole.clone();
        (other["at"], other["result"]) = (at.into(), result.into());
        std::fs::write(&mark, other.to_string()).unwrap();
    };
    let now = whole["at"].as_str().unwrap();
    with("2020-01-01T00:00:00Z", "passed");
    let overdue = check(&place, &[]).expect(1).stdout;
    assert!(overdue.contains("the next is overdue"), "{overdue}");
    check(&place, &["--drill-every", "100y"]).expect(0);
    with(now, "failed");
    let failed = check(&place, &[]).expect(2).stdout;
    assert!(failed.contains("the last drill, on ") && failed.contains("failed"), "{failed}");
}

#[test]
fn a_shrunk_backup_and_a_failed_run_are_told() {
    let (server, place) = (Server::shared(newest()), Place::new());
    let source = server.create_db();
    server.sql(&source, "CREATE TABLE t AS SELECT n, md5(n::text) FROM generate_series(1, 20000) n");
    let backup = |more: &[&str]| {
        let mut command = place.command(&["backup", &server.url(&source), "--jobs", "2", &place.pass()]);
        run(command.arg("--to").arg(place.path("store")).args(more))
    };
    let first = backup(&["--rto", "1ms"]).expect(0);
    assert!(first.json()["forecast"]["seconds"].as_f64().unwrap() > 0.0, "{first:?}");
    assert!(first.stderr.contains("and the RTO is"), "{}", first.stderr);
    assert!(!backup(&[]).expect(0).stderr.contains("the RTO is"));
    let about = |health: &Value| -> Vec<String> {
        let problems = health["databases"][0]["problems"].as_array().unwrap().clone();
        problems.iter().map(|problem| problem["about"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(about(&status(&place, &[]).expect(0).json()), ["drill"]);
    backup(&["--strict-names", "--table", "no_such_table"]).expect(2);
    let told = status(&place, &[]).expect(0).json();
    assert_eq!(about(&told), ["run", "drill"]);
    // Names carry whole seconds, and a backup counts as later than a failure from the next one on.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    server.sql(&source, "DELETE FROM t WHERE n > 100");
    backup(&[]).expect(0);
    assert_eq!(about(&status(&place, &[]).expect(0).json()), ["size", "drill"]);
    let history = std::fs::read_to_string(place.path("state/pgcask/history.jsonl")).unwrap();
    let runs: Vec<Value> = history.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(runs.iter().map(|run| run["exit_code"].as_u64().unwrap()).collect::<Vec<_>>(), [0, 0, 2, 0]);
    assert!(runs.iter().all(|run| run["command"] == "backup" && run["database"] == *source));
}
