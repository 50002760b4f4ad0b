//! Pruning: what goes and what stays, on a directory and on a bucket alike.

use std::process::Command;
use std::time::Duration;

use pgcask::store::naming::Kind;

use crate::harness::cli::{Run, pass, run, spawn, wait};
use crate::harness::oracle::content;
use crate::harness::output;
use crate::harness::place::Place;
use crate::harness::postgres::{Server, newest};
use crate::harness::s3::S3Server;
use crate::store_down::FAST_CLOCK;

/// The step of each backup of a plan, by id, and its reasons.
fn steps(run: &Run) -> Vec<(String, String, String)> {
    let plan = run.json();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let reasons = |one: &serde_json::Value| {
        one["reasons"].as_array().unwrap().iter().map(text).collect::<Vec<_>>().join(", ")
    };
    let mut all: Vec<_> = plan["backups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (text(&one["id"]), text(&one["step"]), reasons(one)))
        .collect();
    all.sort();
    all
}

fn step<'a>(steps: &'a [(String, String, String)], id: &str) -> (&'a str, &'a str) {
    let (_, step, why) = steps.iter().find(|(found, ..)| found == id).unwrap();
    (step, why)
}

fn beside(place: &Place, archive: &str) -> Vec<String> {
    place.keys().iter().filter_map(|key| key.strip_prefix(archive).map(str::to_owned)).collect()
}

#[test]
fn what_expired_is_marked_and_removed_after_the_grace_period() {
    Place::each(|place| {
        place.plant("000000000001", Kind::Daily, 0);
        let old = place.plant("000000000002", Kind::Daily, 100);
        place.plant("000000000003", Kind::Weekly, 100);
        place.plant("000000000004", Kind::PreRestore, 50);
        place.put("notes.txt", "not ours");
        let before = place.keys();
        let plan = place.run(&["prune", "--json"]).expect(0);
        let steps = steps(&plan);
        assert_eq!(step(&steps, "000000000001").0, "keep");
        assert!(step(&steps, "000000000001").1.starts_with("newest good backup, expires 20"), "{steps:?}");
        let (what, why) = step(&steps, "000000000002");
        assert!(what == "mark" && why.starts_with("expired 20"), "{steps:?}");
        assert_eq!(step(&steps, "000000000003").0, "keep");
        assert_eq!(step(&steps, "000000000004"), ("keep", "last way back from a restore"));
        let table = place.run(&["prune"]).expect(0).stdout;
        for words in ["TAKEN (UTC)", "1 to be marked", "3 kept", "nothing was touched"] {
            assert!(table.contains(words), "{words}: {table}");
        }
        assert_eq!(place.keys(), before, "a dry run touches nothing");

        let marked = place.run(&["prune", "--apply", "--json"]).expect(0);
        assert_eq!(marked.json()["backups"].as_array().unwrap().len(), 4);
        let notes = beside(place, &old);
        assert!(notes.len() == 4 && notes.iter().any(|note| note.starts_with(".prune-2")), "{notes:?}");
        assert_eq!(place.keys().len(), before.len() + 1, "the lease is given back");
        let waiting = place.run(&["prune", "--apply"]).expect(0);
        assert!(waiting.stdout.contains("marked, goes after 20"), "{}", waiting.stdout);
        assert_eq!(place.ids().len(), 4, "a marked backup is one");
        assert!(place.run(&["list"]).expect(0).stdout.contains("marked"));

        std::thread::sleep(Duration::from_millis(1100));
        let removed = place.run(&["prune", "--apply", "--grace", "1s"]).expect(0);
        assert!(removed.stdout.contains("removed"), "{}", removed.stdout);
        let left: Vec<String> = before.iter().filter(|key| !key.starts_with(&old)).cloned().collect();
        assert_eq!(place.keys(), left, "nothing else went");
        let told =
            place.run(&["prune", "--apply", "--grace", "0s", "--drop-last-safety", "--json"]).expect(0);
        assert_eq!(step(&self::steps(&told), "000000000004").0, "remove");
        assert_eq!(place.ids(), ["000000000001", "000000000003"]);
    });
}

#[test]
fn counts_keep_more_and_a_mark_goes_when_the_policy_changes() {
    Place::each(|place| {
        for (id, days) in [("000000000001", 1), ("000000000002", 120), ("000000000003", 121)] {
            place.plant(id, Kind::Daily, days);
        }
        place.run(&["prune", "--apply"]).expect(0);
        assert_eq!(place.keys().iter().filter(|key| key.contains(".prune-")).count(), 2);
        let kept = place.run(&["prune", "--keep-last", "2", "--apply", "--json"]).expect(0);
        assert_eq!(step(&steps(&kept), "000000000002"), ("unmark", "last 2"));
        assert_eq!(step(&steps(&kept), "000000000003").0, "wait");
        assert_eq!(place.keys().iter().filter(|key| key.contains(".prune-")).count(), 1);
        let shorter = place.run(&["prune", "--keep-last", "1", "--shorten", "--json"]).expect(0);
        assert_eq!(step(&steps(&shorter), "000000000002"), ("mark", "not wanted by the policy"));
        place.run(&["prune", "--keep", "hourly=3d"]).expect(2);
        place.run(&["prune", "--grace", "NaN"]).expect(2);
    });
}

#[test]
fn what_is_not_understood_and_what_comes_from_the_future_stays() {
    Place::each(|place| {
        place.plant("000000000001", Kind::Daily, 0);
        let planted = [
            place.plant_with("000000000002", Kind::Daily, 200, |sidecar| sidecar["format"] = 2.into()),
            place.plant_with("000000000003", Kind::Daily, 201, |sidecar| {
                sidecar["expires_at"] = "soon".into();
            }),
            place.plant_with("000000000004", Kind::Daily, 202, |sidecar| sidecar["bytes"] = 8.into()),
            place.plant_with("000000000005", Kind::Daily, 203, |sidecar| sidecar["id"] = "other".into()),
            place.plant("000000000006", Kind::Daily, 204),
            place.plant("000000000007", Kind::Daily, 205),
            place.plant("000000000008", Kind::PreDeploy, -4000),
        ];
        place.put(&format!("{}.json", planted[4]), "{");
        place.put(&format!("{}.wal-1.json", planted[5]), "of a version to come");
        let before = place.keys();
        let plan = place.run(&["prune", "--apply", "--grace", "0s", "--json"]).expect(0);
        for (id, words) in [
            ("000000000002", "a newer pgcask reads it"),
            ("000000000003", "\"soon\" is no time"),
            ("000000000004", "7 bytes instead of 8"),
            ("000000000005", "another backup's"),
            ("000000000006", "cannot be read"),
            ("000000000007", "nothing is known of"),
            ("000000000008", "from the future"),
        ] {
            let steps = steps(&plan);
            let (step, why) = step(&steps, id);
            assert!(step == "keep" && why.contains(words), "{id}: {step}: {why}");
        }
        for words in ["1 backups come from the future", "6 backups are not understood"] {
            assert!(plan.stderr.contains(words), "{words}: {}", plan.stderr);
        }
        assert_eq!(place.keys(), before);
    });
}

#[test]
fn leftovers_are_named_and_removed_only_when_they_are_old_and_not_needed() {
    Place::each(|place| {
        let lone = place.plant("000000000002", Kind::Daily, 3);
        let held = place.plant("000000000003", Kind::Daily, 4);
        place.put(&format!("{held}.hold-1.json"), "{}");
        let gone = place.plant("000000000004", Kind::Daily, 5);
        place.delete(&format!("{lone}.json"));
        place.delete(&format!("{held}.json"));
        place.delete(&gone);
        let upload = "shop/daily/2026-01-01/shop-daily-20260101T000000Z-000000000005.cask";
        place.begin_upload(upload);
        let leftovers = |run: &Run| -> Vec<(String, String, String)> {
            let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
            let plan = run.json();
            let all = plan["leftovers"].as_array().unwrap().iter();
            all.map(|one| (text(&one["place"]), text(&one["kind"]), text(&one["reason"]))).collect()
        };
        let found = leftovers(&place.run(&["prune", "--json", "--leftover-age", "0s"]).expect(0));
        let said = |key: &str| {
            let (_, kind, reason) = found.iter().find(|(place, ..)| place.contains(key)).unwrap();
            (kind.as_str(), reason.as_str())
        };
        assert_eq!(said(&lone), ("archive", "no newer good backup of its database is there"));
        assert_eq!(said(&held), ("archive", "held"));
        assert_eq!(said(&format!("{gone}.json")), ("sidecar", "old enough"));
        assert_eq!(said(&format!("{gone}.sha256")), ("sidecar", "old enough"));
        let kind = if place.bucket.is_some() { "upload" } else { "temporary_file" };
        assert_eq!(said(upload), (kind, "old enough"));

        let listed = place.run(&["list", "--orphans", "--json"]).expect(0).json();
        let unfinished: Vec<_> =
            listed.as_array().unwrap().iter().filter(|one| one["lacks"] == "its end").collect();
        assert!(
            unfinished.len() == 1 && unfinished[0]["key"].as_str().unwrap().starts_with(upload),
            "{listed}"
        );
        assert!((0.0..3600.0).contains(&unfinished[0]["age_seconds"].as_f64().unwrap()), "{listed}");
        assert_eq!(unfinished[0]["upload"].is_string(), place.bucket.is_some());
        let shown = place.run(&["list", "--orphans", "shop"]).expect(0).stdout;
        assert!(shown.contains(upload) && shown.contains("without its end"), "{shown}");
        assert!(!place.run(&["list", "--orphans", "other"]).expect(0).stdout.contains("its end"));

        place.plant("000000000001", Kind::Daily, 0);
        let young = leftovers(&place.run(&["prune", "--json", "--apply"]).expect(0));
        assert!(
            young.len() == 5 && young.iter().all(|(_, _, why)| why == "not old enough" || why == "held"),
            "{young:?}"
        );
        let before = place.keys();
        place.run(&["prune", "--apply", "--leftover-age", "0s"]).expect(0);
        let went: Vec<_> = before.iter().filter(|key| !place.keys().contains(key)).cloned().collect();
        let mut expected =
            [lone.clone(), format!("{lone}.sha256"), format!("{gone}.json"), format!("{gone}.sha256")];
        expected.sort();
        assert_eq!(went, expected);
        let listed = place.run(&["list", "--orphans"]).expect(0).stdout;
        assert!(!listed.contains("its end"), "the upload was aborted: {listed}");
        let left = leftovers(&place.run(&["prune", "--json"]).expect(0));
        assert_eq!(left.len(), 1, "{left:?}");
    });
}

#[test]
fn a_backup_goes_by_name_unless_it_is_protected() {
    Place::each(|place| {
        place.plant("000000000001", Kind::Daily, 1);
        place.plant("000000000002", Kind::Daily, 2);
        let before = place.keys();
        let refused = place.run(&["prune", "--backup", "000000000001", "--apply"]).expect(9);
        assert!(refused.stderr.contains("newest good backup"), "{}", refused.stderr);
        place.run(&["prune", "--backup", "zzzzzz", "--apply"]).expect(1);
        assert_eq!(place.keys(), before);
        let gone =
            place.run(&["prune", "--backup", "000000000002", "--apply", "--grace", "0s", "--json"]).expect(0);
        assert_eq!(step(&steps(&gone), "000000000002"), ("remove", "asked for by name"));
        assert_eq!(place.ids(), ["000000000001"]);
    });
}

#[test]
fn a_clock_that_jumped_removes_nothing() {
    Place::each(|place| {
        place.plant("000000000001", Kind::Daily, 60);
        place.plant("000000000002", Kind::Daily, 200);
        let before = place.keys();
        let told = place.run(&["prune"]).expect(0);
        assert!(
            told.stderr.contains("--apply would be refused: the newest backup is 60 days old"),
            "{}",
            told.stderr
        );
        let refused = place.run(&["prune", "--apply", "--grace", "0s"]).expect(9);
        assert!(refused.stderr.contains("--trust-clock"), "{}", refused.stderr);
        assert_eq!(place.keys(), before);
        place.run(&["prune", "--apply", "--grace", "0s", "--trust-clock"]).expect(0);
        assert_eq!(place.ids(), ["000000000001"]);
    });
    // The store's own clock is asked, too. (A bucket refuses requests of such a machine altogether.)
    let place = Place::directory();
    place.plant("000000000001", Kind::Daily, 0);
    place.plant("000000000002", Kind::Daily, 200);
    let (source, library) = (place.folder.path().join("clock.c"), place.folder.path().join("clock.so"));
    std::fs::write(&source, FAST_CLOCK).unwrap();
    output(Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source));
    let before = place.keys();
    let mut command = place.command(&["prune", "--apply", "--grace", "0s", "--store", &place.store]);
    let refused = run(command.env("LD_PRELOAD", &library)).expect(9);
    assert!(
        refused.stderr.contains("differ by 1") && refused.stderr.contains("nothing was marked"),
        "{}",
        refused.stderr
    );
    assert_eq!(place.keys(), before);
}

#[test]
fn one_prune_at_a_time_and_a_dead_ones_lease_is_passed_over() {
    let place = Place::directory();
    place.plant("000000000001", Kind::Daily, 0);
    place.plant("000000000002", Kind::Daily, 200);
    place.put(".pgcask/prune.json", "{}");
    let refused = place.run(&["prune", "--apply"]).expect(9);
    assert!(refused.stderr.contains("another prune is at work"), "{}", refused.stderr);
    let lease = std::path::Path::new(&place.store).join(".pgcask/prune.json");
    output(Command::new("touch").args(["-d", "2 hours ago"]).arg(lease));
    place.run(&["prune", "--apply", "--grace", "0s"]).expect(0);
    assert_eq!(place.ids(), ["000000000001"]);
}

#[test]
fn a_store_that_denies_delete_is_told_and_nothing_is_half_done() {
    let s3 = S3Server::shared();
    let place = Place::in_bucket(s3.fresh_bucket());
    place.plant("000000000001", Kind::Daily, 0);
    let old = place.plant("000000000002", Kind::Daily, 200);
    let bucket = place.bucket.clone().unwrap();
    let denied = |run: &Run| {
        assert!(run.stderr.contains("permission denied (AccessDenied)"), "{}", run.stderr);
        assert!(run.stderr.contains("nothing was marked or removed"), "{}", run.stderr);
    };
    let (writer, args) = (xtask::seaweed::WRITER_ARN, ["prune", "--apply", "--grace", "0s", "--json"]);
    let prune = || run(place.command_of_writer(&args).args(["--store", &place.store]));
    s3.deny(&bucket, &[(writer, &["DeleteObject"], "*")]);
    denied(&prune().expect(8));
    assert_eq!(beside(&place, &old), ["", ".json", ".sha256"]);
    assert_eq!(place.ids().len(), 2);
    // A store that lets the sidecar go and not the archive: it is a backup again.
    s3.deny(&bucket, &[(writer, &["DeleteObject"], "*.cask")]);
    place.delete(".pgcask/prune.json");
    let failed = prune().expect(8);
    let plan: serde_json::Value = serde_json::from_str(failed.stdout.lines().next().unwrap()).unwrap();
    let one = plan["backups"].as_array().unwrap().iter().find(|one| one["step"] == "remove").unwrap();
    assert_eq!(one["outcome"], "failed", "{plan}");
    assert_eq!(beside(&place, &old), ["", ".json", ".sha256"]);
    assert_eq!(place.ids().len(), 2);
}

/// Makes a real backup; gives its key and id.
fn real(place: &Place, url: &str, more: &[&str]) -> (String, String) {
    let pass = pass(place.folder.path());
    let mut command = place.command(&["backup", url, "--to", &place.store, "--json", "--jobs", "2", &pass]);
    let made = run(command.args(more)).expect(0).json();
    let archive = made["archive"].as_str().unwrap();
    let key = archive.strip_prefix(&place.store).unwrap().trim_start_matches('/');
    (key.to_owned(), made["id"].as_str().unwrap().to_owned())
}

/// Lets a backup have expired.
fn expire(place: &Place, key: &str) {
    let sidecar = format!("{key}.json");
    let mut json: serde_json::Value = serde_json::from_str(&place.read(&sidecar)).unwrap();
    json["expires_at"] = "2020-01-01T00:00:00Z".into();
    place.put(&sidecar, &json.to_string());
}

#[test]
fn a_restore_and_a_prune_do_not_get_into_each_others_way() {
    let server = Server::shared(newest());
    let source = server.create_db();
    server.sql(&source, "CREATE TABLE t AS SELECT i, md5(i::text) AS m FROM generate_series(1, 60000) i");
    Place::each(|place| {
        let (old, id) = real(place, &server.url(&source), &[]);
        std::thread::sleep(Duration::from_millis(1100));
        let (_, newer) = real(place, &server.url(&source), &[]);
        expire(place, &old);
        place.run(&["prune", "--apply"]).expect(0);
        assert!(beside(place, &old).iter().any(|note| note.starts_with(".prune-")));
        let (target, pass) = (server.fresh_name(), pass(place.folder.path()));
        let args = [
            "restore",
            &id,
            "--into",
            &server.url(&target),
            "--create",
            "--max-rate",
            "1M",
            "--jobs",
            "1",
            &pass,
        ];
        let restore = spawn(place.command(&args).args(["--store", &place.store]));
        let deadline = std::time::Instant::now() + Duration::from_mins(1);
        while !beside(place, &old).iter().any(|note| note.starts_with(".use-")) {
            assert!(std::time::Instant::now() < deadline, "{:?}", place.keys());
            std::thread::sleep(Duration::from_millis(50));
        }
        let pruned = place.run(&["prune", "--apply", "--grace", "0s", "--json"]).expect(0);
        let (step, why) = (steps(&pruned), "being read since");
        assert!(self::step(&step, &id).1.starts_with(why), "{step:?}");
        let restored = wait(restore).expect(0);
        assert!(restored.stderr.contains("marked for removal; it stays"), "{}", restored.stderr);
        assert_eq!(content(server, &source), content(server, &target));
        server.adopt(target);
        assert_eq!(place.ids().len(), 2);
        assert!(place.ids().contains(&newer));
    });
}

#[test]
fn backups_and_prunes_at_once_in_one_place_all_succeed() {
    let server = Server::shared(newest());
    let source = server.create_db();
    server.sql(&source, "CREATE TABLE t AS SELECT i, md5(i::text) AS m FROM generate_series(1, 50000) i");
    Place::each(|place| {
        let mut planted = Vec::new();
        for number in 0..12 {
            planted.push(place.plant(&format!("{number:012}"), Kind::Daily, 100 + number));
        }
        place.plant("0000000000aa", Kind::Daily, 1);
        let pass = pass(place.folder.path());
        let url = server.url(&source);
        let backup = || {
            spawn(&mut place.command(&[
                "backup",
                &url,
                "--to",
                &place.store,
                "--json",
                "--prune",
                "--jobs",
                "2",
                &pass,
            ]))
        };
        let running = [backup(), backup()];
        let args = ["prune", "--apply", "--grace", "0s", "--json", "--store", &place.store];
        let prunes = [(); 3].map(|()| spawn(&mut place.command(&args)));
        let ended: Vec<Run> = prunes.into_iter().map(wait).collect();
        assert!(ended.iter().all(|run| matches!(run.code, 0 | 9)), "{ended:?}");
        for one in running {
            let made = wait(one).expect(0).json();
            let verified = place.run(&["verify", made["id"].as_str().unwrap(), &pass]).expect(0);
            assert!(verified.stdout.contains(": sound, "), "{}", verified.stdout);
        }
        place.run(&["prune", "--apply", "--grace", "0s"]).expect(0);
        assert_eq!(place.ids().len(), 3, "the one of yesterday and the two new ones");
        assert!(planted.iter().all(|key| beside(place, key).is_empty()), "{:?}", place.keys());
        assert_eq!(place.run(&["list", "--orphans", "--json"]).expect(0).json().as_array().unwrap().len(), 0);
    });
}
