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
    assert!(database["drill_seconds"].as_f64().unwrap() > 0.0);
    assert!(told["stores"][0]["room"]["free"].as_u64().unwrap() > 0, "{told}");
    assert_eq!(check(&place, &["--quiet"]).expect(0).stdout, "");
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
fn drills_of_some_tables_hide_no_drill_and_are_told_when_they_fail() {
    let (server, place) = (Server::shared(newest()), Place::new());
    let archive = place.archive(server, SHOP);
    run(&mut place.named(&archive, server, &[&place.pass()])).expect(0);
    let mark = mark_of(&archive);
    let whole: Value = serde_json::from_slice(&std::fs::read(&mark).unwrap()).unwrap();
    let marked = |file: &Path, kind: &str, at: &str, result: &str| {
        let mut other = whole.clone();
        (other["type"], other["at"], other["result"]) = (kind.into(), at.into(), result.into());
        std::fs::write(file, other.to_string()).unwrap();
    };
    let sample = PathBuf::from(format!("{archive}.drill-20261101T000000Z.json"));
    std::fs::rename(&mark, format!("{archive}.drill-20261031T000000Z.json")).unwrap();
    let full = mark_of(&archive);
    let days = ["2026-10-31T00:00:00Z", "2026-11-01T00:00:00Z"];
    marked(&full, "full", days[0], "failed");
    marked(&sample, "tables", days[1], "passed");
    let told = check(&place, &["--drill-every", "100y"]).expect(2).stdout;
    assert!(told.contains("the last drill, on 2026-10-31, failed"), "{told}");
    marked(&full, "full", days[0], "passed");
    check(&place, &["--drill-every", "100y"]).expect(0);
    marked(&sample, "tables", days[1], "failed");
    let told = check(&place, &["--drill-every", "100y"]).expect(2).stdout;
    assert!(told.contains("the last drill of some tables, on 2026-11-01, failed"), "{told}");
    // One of the whole that came later says more.
    marked(&sample, "tables", "2026-10-30T00:00:00Z", "failed");
    check(&place, &["--drill-every", "100y"]).expect(0);
}

#[test]
fn a_backup_from_the_future_does_not_hide_that_none_is_young() {
    let (server, place) = (Server::shared(newest()), Place::new());
    let archive = place.archive(server, SHOP);
    run(&mut place.named(&archive, server, &[&place.pass()])).expect(0);
    check(&place, &[]).expect(0);
    // The same again, made by a host whose clock was wrong.
    let (folder, name) = archive.rsplit_once('/').unwrap();
    let day = folder.rsplit_once('/').unwrap().1;
    let ahead = |text: &str| text.replace(day, "2099-01-01").replace(&day.replace('-', ""), "20990101");
    std::fs::create_dir(ahead(folder)).unwrap();
    for end in ["", ".json", ".sha256"] {
        let new = ahead(&format!("{archive}{end}")).replace(".cask", "x.cask");
        let id = name.rsplit_once('-').unwrap().1.split('.').next().unwrap();
        let other = format!("{}{}", &id[1..], &id[..1]);
        std::fs::copy(format!("{archive}{end}"), new.replace("x.cask", ".cask").replace(id, &other)).unwrap();
    }
    let told = check(&place, &[]).expect(1).stdout;
    assert!(told.contains("a clock is wrong") && told.contains("2099-01-01"), "{told}");
    let stale = check(&place, &["--rpo", "1ms"]).expect(2).stdout;
    assert!(stale.contains("the newest backup is "), "{stale}");
}

#[test]
fn all_that_is_configured_is_looked_at() {
    let (server, place) = (Server::shared(newest()), Place::new());
    let (shop, other) = (server.create_db(), server.create_db());
    server.sql(&shop, SHOP);
    let toml = format!(
        "[defaults]\nstore = \"one\"\npassphrase_file = \"pass\"\n[databases.shop]\nurl = \"{}\"\n[databases.forgotten]\nurl = \"{}\"\n\
         [databases.away]\nurl = \"postgres://h/away\"\nstore = \"two\"\n[stores.one]\nurl = \"./one\"\n[stores.two]\nurl = \"./two\"\n",
        server.url(&shop),
        server.url(&other)
    );
    std::fs::write(place.path("pgcask.toml"), toml).unwrap();
    crate::harness::output(std::process::Command::new("chmod").arg("600").arg(place.path("pgcask.toml")));
    run(&mut place.plain(&["backup", "shop"])).expect(0);
    let drilled = ["drill", "shop/latest", "--server", &server.url("postgres"), "--no-evidence"];
    run(&mut place.plain(&drilled)).expect(0);
    run(&mut place.plain(&["check", "shop"])).expect(0);
    // One was never backed up, and the store of the third is not there: neither is passed over.
    let told = run(&mut place.plain(&["check"])).expect(2).stdout;
    assert!(told.starts_with(&format!("PGCASK CRITICAL - {other} in one: there is no backup; ")), "{told}");
    assert!(told.contains("two cannot be looked at: ") && told.lines().count() == 1, "{told}");
    let shown = run(&mut place.plain(&["status"])).expect(6).stdout;
    for expected in ["STORE", &shop, &other, "UNKNOWN two: it cannot be looked at"] {
        assert!(shown.contains(expected), "{expected}\n{shown}");
    }
    let json = run(&mut place.command(&["status"])).expect(6).json();
    assert_eq!((&json["level"], json["stores"].as_array().unwrap().len()), (&"critical".into(), 2));
    assert!(json["stores"][1]["unreachable"].is_string() && json["databases"][0]["store"] == "one", "{json}");
    run(&mut place.plain(&["check", "away"])).expect(3);
    run(&mut place.plain(&["status", "away"])).expect(1);
    // Without anything worse, what cannot be seen is unknown.
    run(&mut place.plain(&["backup", "forgotten"])).expect(0);
    let told = run(&mut place.plain(&["check"])).expect(3).stdout;
    assert!(told.starts_with("PGCASK UNKNOWN - two cannot be looked at: "), "{told}");
    run(&mut place.plain(&["status"])).expect(8);
    std::fs::create_dir(place.path("two")).unwrap();
    let told = run(&mut place.plain(&["check"])).expect(2).stdout;
    assert!(told.contains("away in two: there is no backup"), "{told}");
}

#[test]
fn copies_need_no_drill_of_their_own_and_must_arrive() {
    let (server, place) = (Server::shared(newest()), Place::new());
    let shop = server.create_db();
    server.sql(&shop, SHOP);
    let toml = format!(
        "[defaults]\nstore = \"./one\"\ncopy_to = [\"./two\"]\npassphrase_file = \"pass\"\n[databases.shop]\nurl = \"{}\"\n",
        server.url(&shop)
    );
    std::fs::write(place.path("pgcask.toml"), toml).unwrap();
    crate::harness::output(std::process::Command::new("chmod").arg("600").arg(place.path("pgcask.toml")));
    run(&mut place.plain(&["backup", "shop"])).expect(0);
    // Never restored on trial, neither the one nor the other.
    let told = run(&mut place.plain(&["check"])).expect(1).stdout;
    assert_eq!(told.matches("never restored on trial").count(), 2, "{told}");
    let drilled = ["drill", "shop/latest", "--server", &server.url("postgres"), "--no-evidence"];
    run(&mut place.plain(&drilled)).expect(0);
    run(&mut place.plain(&["check"])).expect(0);
    let metrics = run(&mut place.plain(&["metrics"])).expect(0).stdout;
    let healthy =
        metrics.lines().filter(|line| line.starts_with("pgcask_health_level{") && line.ends_with(" 0"));
    assert_eq!(healthy.count(), 2, "{metrics}");
    std::fs::remove_dir_all(place.path("two")).unwrap();
    std::fs::create_dir(place.path("two")).unwrap();
    let told = run(&mut place.plain(&["check"])).expect(2).stdout;
    assert!(told.contains("two: there is no backup"), "{told}");
}

#[test]
fn monitoring_is_told_unknown_whatever_keeps_it_from_knowing() {
    let place = Place::new();
    let unknown = |args: &[&str], words: &str| {
        let told = run(&mut place.plain(args)).expect(3);
        assert!(format!("{}{}", told.stdout, told.stderr).contains(words), "{told:?}");
        told
    };
    unknown(&["check"], "PGCASK UNKNOWN - no store is named");
    unknown(&["check", "--store", "store", "--rpo", "soon"], "--rpo");
    unknown(&["--config", "nowhere.toml", "check"], "PGCASK UNKNOWN - ");
    unknown(&["check", "--no-such-option"], "--no-such-option");
    std::fs::write(place.path("pgcask.toml"), "[defaults]\nrpoo = \"1h\"\n").unwrap();
    unknown(&["check"], "PGCASK UNKNOWN - ");
    let json = run(&mut place.command(&["check"])).expect(3).json();
    assert_eq!(json["level"], "unknown");
    run(&mut place.plain(&["status", "--no-such-option"])).expect(2);
    run(&mut place.plain(&["check", "--help"])).expect(0);
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
    // One that fails before it reaches the server, too.
    backup(&["--kind", "no_such_kind"]).expect(2);
    assert!(check(&place, &[]).expect(1).stdout.contains("no_such_kind"));
    // Names carry whole seconds, and a backup counts as later than a failure from the next one on.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    server.sql(&source, "DELETE FROM t WHERE n > 100");
    backup(&[]).expect(0);
    assert_eq!(about(&status(&place, &[]).expect(0).json()), ["size", "drill"]);
    let history = std::fs::read_to_string(place.path("state/pgcask/history.jsonl")).unwrap();
    let runs: Vec<Value> = history.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        runs.iter().map(|run| run["exit_code"].as_u64().unwrap()).collect::<Vec<_>>(),
        [0, 0, 2, 2, 0]
    );
    assert!(runs.iter().all(|run| run["command"] == "backup" && run["database"] == *source));
}
