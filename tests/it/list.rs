//! Finding backups: what a store lists, and how one of them is named.

use std::path::Path;
use std::time::{Duration, Instant};

use pgcask::store::naming::Kind;

use crate::harness::cli::{Run, backup, folder, pass, pgcask, run};
use crate::harness::place::Place;
use crate::harness::postgres::{Server, newest};
use crate::harness::proxy::{Fault, Proxy};
use crate::harness::s3::S3Server;

/// A name that every place it goes to could misread: keys, URLs, shells, file names.
const HOSTILE: &str = "my-app 100%/..=é";

/// Names a database as no URL has to spell it.
fn named(server: &Server, name: &str) -> String {
    format!("host={} port={} user=postgres dbname='{name}'", server.socket_dir().display(), server.port())
}

fn list(store: &Path, more: &[&str]) -> Run {
    run(pgcask(["list", "--store", &store.display().to_string()]).args(more))
}

fn ids(run: &Run) -> Vec<String> {
    let rows = run.json();
    rows.as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn an_archive_lies_where_the_backup_says_whatever_the_database_is_called() {
    let (server, folder) = (Server::start(newest()), folder());
    for name in [HOSTILE, "my-app", &"long ".repeat(12)] {
        server.sql("postgres", &format!("CREATE DATABASE \"{name}\""));
        server.sql(name, "CREATE TABLE t AS SELECT 42 AS answer");
        let url = named(&server, name);
        let made = backup(folder.path(), &url, &[]);
        let archive = Path::new(made["archive"].as_str().unwrap());
        assert!(archive.is_file(), "{}", archive.display());
        let checked = std::process::Command::new("sha256sum")
            .args(["--check", "--quiet"])
            .arg(format!("{}.sha256", archive.file_name().unwrap().to_str().unwrap()))
            .current_dir(archive.parent().unwrap())
            .status();
        assert!(checked.unwrap().success(), "{name}");
        let listed = list(&folder.path().join("store"), &[name, "--json"]).expect(0);
        assert_eq!(ids(&listed), [made["id"].as_str().unwrap()], "{name}");
        assert_eq!(listed.json()[0]["metadata"]["database"], name);
    }
}

#[test]
fn backups_are_listed_newest_first_and_named_by_id_kind_time_and_database() {
    let (server, folder) = (Server::shared(newest()), folder());
    let store = folder.path().join("store");
    let (shop, other) = (server.create_db(), server.create_db());
    let made = |db: &str, more: &[&str]| {
        let made = backup(folder.path(), &server.url(db), more);
        // Names carry whole seconds.
        std::thread::sleep(Duration::from_millis(1100));
        made["id"].as_str().unwrap().to_owned()
    };
    let first = made(&shop, &["--kind", "weekly"]);
    let second = made(&shop, &["--keep-for", "5y"]);
    let foreign = made(&other, &["--kind", "manual"]);
    let all = list(&store, &["--json"]).expect(0);
    assert_eq!(ids(&all), [&*foreign, &*second, &*first]);
    let rows = all.json();
    let expiry = |row: usize| rows[row]["metadata"]["expires_at"].as_str().unwrap()[..4].to_owned();
    let taken = |row: usize| rows[row]["taken_at"].as_str().unwrap()[..4].parse::<i32>().unwrap();
    assert_eq!(expiry(1), (taken(1) + 5).to_string());
    assert_eq!(expiry(2), (taken(2) + 1).to_string(), "a weekly one is kept for a year");
    assert_eq!(ids(&list(&store, &[&shop, "--kind", "weekly", "--json"]).expect(0)), [&*first]);
    assert_eq!(ids(&list(&store, &["--limit", "1", "--json"]).expect(0)), [&*foreign]);
    let from = rows[1]["taken_at"].as_str().unwrap();
    assert_eq!(ids(&list(&store, &["--before", from, "--json"]).expect(0)), [&*first]);
    assert_eq!(ids(&list(&store, &["--since", from, "--json"]).expect(0)), [&*foreign, &*second]);
    let table = list(&store, &[]).expect(0).stdout;
    assert!(table.starts_with("TAKEN (UTC)") && table.contains(&first), "{table}");

    let show = |archive: &str, more: &[&str], code| {
        let place = store.display().to_string();
        let mut command = pgcask(["show", archive, "--store", &place, "--json", &pass(folder.path())]);
        run(command.args(more)).expect(code)
    };
    let shown = |archive: &str, more: &[&str]| {
        show(archive, more, 0).json()["manifest"]["id"].as_str().unwrap().to_owned()
    };
    let of = |name: &str| format!("{}/{name}", &*shop);
    assert_eq!(shown(&of("latest"), &[]), second);
    assert_eq!(shown(&of("latest:weekly"), &[]), first);
    assert_eq!(shown("latest:manual", &[]), foreign);
    assert_eq!(shown(&first[..6], &[]), first);
    assert_eq!(shown(&of("latest"), &["--before", from]), first);
    // Not a guess where two databases could be meant, and no backup where there is none.
    assert!(show("latest", &[], 2).stderr.contains("which backup is meant?"));
    assert!(show("latest:monthly", &[], 1).stderr.contains("there is no monthly backup in"));
    assert!(show("zzzz", &[], 1).stderr.contains("there is no backup zzzz"));
}

#[test]
fn of_two_backups_of_one_second_the_latest_is_the_one_that_ended_last() {
    let (server, folder) = (Server::shared(newest()), folder());
    let made = backup(folder.path(), &server.url(&server.create_db()), &[]);
    let (archive, first) = (made["archive"].as_str().unwrap(), made["id"].as_str().unwrap());
    for (id, later) in [("zzzzzzzzzzzz", 1), ("000000000000", 2)] {
        for end in ["", ".sha256", ".json"] {
            std::fs::copy(format!("{archive}{end}"), format!("{}{end}", archive.replace(first, id))).unwrap();
        }
        // File systems tell times apart by the kernel's tick only.
        let sidecar = format!("{}.json", archive.replace(first, id));
        let sidecar = std::fs::File::options().write(true).open(sidecar).unwrap();
        let written = sidecar.metadata().unwrap().modified().unwrap();
        sidecar.set_modified(written + Duration::from_millis(10 * later)).unwrap();
    }
    let listed = list(&folder.path().join("store"), &["--json"]).expect(0);
    assert_eq!(ids(&listed), ["000000000000", "zzzzzzzzzzzz", first]);
}

#[test]
fn what_is_no_whole_backup_is_an_orphan_and_never_the_latest() {
    let (server, folder) = (Server::shared(newest()), folder());
    let (store, db) = (folder.path().join("store"), server.create_db());
    let archives = [(); 3].map(|()| {
        let made = backup(folder.path(), &server.url(&db), &[]);
        made["archive"].as_str().unwrap().to_owned()
    });
    std::fs::remove_file(format!("{}.json", archives[0])).unwrap();
    std::fs::remove_file(&archives[1]).unwrap();
    std::fs::write(store.join("notes.txt"), "not ours").unwrap();
    std::fs::write(format!("{}.hold-1.json", archives[2]), "{}").unwrap();
    let all = list(&store, &["--json"]).expect(0);
    assert_eq!(all.json().as_array().unwrap().len(), 1);
    assert_eq!(all.json()[0]["archive"], archives[2]);
    assert!(all.stderr.contains("3 leftovers of backups that failed"), "{}", all.stderr);
    let orphans = list(&store, &["--orphans", "--json"]).expect(0).json();
    let mut found: Vec<_> = orphans
        .as_array()
        .unwrap()
        .iter()
        .map(|orphan| {
            (orphan["key"].as_str().unwrap().to_owned(), orphan["lacks"].as_str().unwrap().to_owned())
        })
        .collect();
    found.sort();
    let key = |archive: &str| archive.strip_prefix(&format!("{}/", store.display())).unwrap().to_owned();
    let mut expected = vec![
        (key(&archives[0]), ".json".to_owned()),
        (format!("{}.json", key(&archives[1])), "archive".to_owned()),
        (format!("{}.sha256", key(&archives[1])), "archive".to_owned()),
    ];
    expected.sort();
    assert_eq!(found, expected);
    // A slip of the pen makes no directory.
    list(&folder.path().join("stroe"), &[]).expect(1);
    assert!(!folder.path().join("stroe").exists());
}

#[test]
fn a_bucket_is_listed_and_searched_as_a_directory_is() {
    let (server, s3, folder) = (Server::start(newest()), S3Server::shared(), folder());
    let bucket = s3.fresh_bucket();
    server.sql("postgres", &format!("CREATE DATABASE \"{HOSTILE}\""));
    let store = format!("s3://{bucket}/prod");
    let url = named(&server, HOSTILE);
    let go = |args: &[&str]| {
        let mut command = pgcask(args);
        s3.configure(&mut command);
        run(&mut command).expect(0)
    };
    let made = go(&["backup", &url, "--to", &store, "--json", &pass(folder.path())]).json();
    let listed = go(&["list", "--store", &store, "--json"]).json();
    assert_eq!(listed[0]["archive"], made["archive"]);
    assert_eq!(listed[0]["database"], HOSTILE);
    for archive in [made["archive"].as_str().unwrap(), "latest"] {
        let shown = go(&["show", archive, "--store", &store, "--json", &pass(folder.path())]).json();
        assert_eq!(shown["manifest"]["database"], HOSTILE);
    }
}

/// Sidecars that were read are kept on this machine; what it keeps never shows what the store does not have, and damage to it
/// is not noticed.
#[test]
fn sidecars_are_read_once_and_a_damaged_cache_is_passed_over() {
    let s3 = S3Server::shared();
    let place = Place::bucket();
    let ids = place.plant_many(8);
    let host = folder();
    let reads = |more: &[&str]| {
        let proxy = Proxy::start(&s3.endpoint(), |_, _| Fault::None);
        let mut command = place.command(&[&["list", "--store", &place.store, "--json"], more].concat());
        command.env("AWS_ENDPOINT_URL", proxy.endpoint()).env("XDG_STATE_HOME", host.path());
        let listed = run(&mut command).expect(0);
        let seen = proxy.seen();
        (
            listed.stdout.clone(),
            self::ids(&listed),
            seen.iter().filter(|(request, _)| request.class() == "GET json").count(),
        )
    };
    let (first, listed, count) = reads(&[]);
    assert_eq!((listed, count), (ids.clone(), 8));
    assert_eq!(reads(&[]), (first.clone(), ids.clone(), 0));
    // A part of the store is listed, another backup comes: the rest is still known.
    assert_eq!(reads(&["--kind", "weekly"]).2, 0);
    let added = place.plant("00000000new1", Kind::Weekly, 2);
    assert_eq!(reads(&["--kind", "weekly"]).2, 1);
    assert_eq!(reads(&[]).2, 0);
    // What is gone from the store is not listed; under the same name, another one is.
    for suffix in ["", ".sha256", ".json"] {
        place.delete(&format!("{added}{suffix}"));
    }
    assert_eq!(reads(&[]), (first.clone(), ids.clone(), 0));
    place.plant_with("00000000new1", Kind::Weekly, 2, |sidecar| sidecar["rows"] = 4711.into());
    assert!(reads(&[]).0.contains("4711"));
    place.delete(&added);
    assert_eq!(reads(&[]).1, ids);
    // Damage, line by line, and a file that is none.
    let cache =
        std::fs::read_dir(host.path().join("pgcask/sidecars")).unwrap().next().unwrap().unwrap().path();
    let good = std::fs::read_to_string(&cache).unwrap();
    std::fs::write(&cache, good.replacen("\"rows\":1,", "\"rows\":9,", 3)).unwrap();
    assert_eq!(reads(&[]), (first.clone(), ids.clone(), 3));
    std::fs::write(&cache, [0, 159, 146, 150, 10]).unwrap();
    assert_eq!(reads(&[]), (first.clone(), ids.clone(), 8));
    std::fs::remove_file(&cache).unwrap();
    std::fs::create_dir(&cache).unwrap();
    assert_eq!(reads(&[]), (first, ids, 8));
}

/// Many backups are listed whole, in their order, whatever a page of the store's listing holds; `PGCASK_LIST_BACKUPS` sets how
/// many (`cargo xtask list --backups 10000`).
#[test]
fn many_backups_are_listed_whole_and_soon() {
    let count: usize = std::env::var("PGCASK_LIST_BACKUPS").map_or(1200, |text| text.parse().unwrap());
    let place = Place::bucket();
    let began = Instant::now();
    let ids = place.plant_many(count);
    eprintln!("{count} backups planted in {:.1} s", began.elapsed().as_secs_f64());
    let timed = |args: &[&str]| {
        let began = Instant::now();
        let rows = place.run(args).expect(0).json();
        let took = began.elapsed();
        eprintln!("pgcask {}: {:.2} s", args.join(" "), took.as_secs_f64());
        let rows = rows.as_array().unwrap().iter().map(|row| {
            assert_eq!(row["metadata"]["rows"], 1, "{row}");
            row["id"].as_str().unwrap().to_owned()
        });
        (rows.collect::<Vec<_>>(), took)
    };
    let (newest, took) = timed(&["list", "--json"]);
    assert_eq!(newest, ids[..100], "newest first");
    assert!(took < Duration::from_secs(3), "{took:?}");
    let (all, took) = timed(&["list", "--json", "--limit", "0"]);
    assert_eq!(all, ids);
    assert!(took < Duration::from_secs(20), "{took:?}");
    let began = Instant::now();
    let plan = place.run(&["prune", "--json"]).expect(0).json();
    eprintln!("pgcask prune: {:.2} s", began.elapsed().as_secs_f64());
    assert_eq!(plan["backups"].as_array().unwrap().len(), count);
}
