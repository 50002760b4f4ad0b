//! Copies between stores: as they are, sealed anew, and in the same run as the backup.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use pgcask::seal::recipient::generate_identity;

use crate::harness::cli::{Run, folder, pgcask, run, signal, spawn, wait};
use crate::harness::oracle::content;
use crate::harness::place::Place;
use crate::harness::postgres::{Db, Server, newest};
use crate::harness::proxy::{Fault, Proxy, Request};
use crate::harness::s3::S3Server;

/// Rows of several types, more than one chunk of them, and a table without rows.
const SHOP: &str = "
    CREATE TABLE orders AS SELECT i AS id, now() + i * interval '1 s' AS placed, md5(i::text) || md5((i * 3)::text) AS note
        FROM generate_series(1, 60000) i;
    ALTER TABLE orders ADD PRIMARY KEY (id);
    CREATE TABLE one (c text); INSERT INTO one SELECT repeat('x', 100) FROM generate_series(1, 3);
    CREATE TABLE none (c int);
    CREATE SEQUENCE s START 42;
    SELECT lo_from_bytea(0, 'a large object');";

struct Shop {
    server: &'static Server,
    database: Db<'static>,
    folder: tempfile::TempDir,
    s3: &'static S3Server,
}

impl Shop {
    fn new() -> Self {
        let server = Server::shared(newest());
        let database = server.create_db();
        server.sql(&database, SHOP);
        let shop = Self { server, database, folder: folder(), s3: S3Server::shared() };
        for name in ["key", "new"] {
            let (secret, public) = generate_identity();
            std::fs::write(shop.path(name), secret.as_bytes()).unwrap();
            std::fs::write(shop.path(&format!("{name}.pub")), public).unwrap();
        }
        shop
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn go(&self, args: &[&str], code: i32) -> Run {
        let mut command = pgcask(args);
        self.s3.configure(&mut command);
        run(&mut command).expect(code)
    }

    /// Runs a command that must succeed; gives its JSON.
    fn run(&self, mut command: Command) -> serde_json::Value {
        self.s3.configure(&mut command);
        run(&mut command).expect(0).json()
    }

    /// A backup into the folder `first`; gives its path.
    fn backup(&self) -> String {
        let made = self.go(
            &[
                "backup",
                &self.server.url(&self.database),
                "--to",
                &self.path("first"),
                "--json",
                "-r",
                &self.path("key.pub"),
            ],
            0,
        );
        made.json()["archive"].as_str().unwrap().to_owned()
    }

    /// Restores with a key, and compares with the source.
    fn restores(&self, archive: &str, key: &str) {
        let target = self.server.fresh_name();
        let into = self.server.url(&target);
        let run =
            self.go(&["restore", archive, "--into", &into, "--create", "-i", &self.path(key), "--json"], 0);
        assert_eq!(run.json()["verified"], true);
        assert_eq!(content(self.server, &self.database), content(self.server, &target));
        self.server.adopt(target);
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

#[test]
fn a_copy_is_the_same_bytes_and_what_lay_beside_moves_along() {
    let shop = Shop::new();
    let archive = shop.backup();
    shop.go(&["key", "add", &archive, "-i", &shop.path("key"), "-r", &shop.path("new.pub")], 0);
    std::fs::write(format!("{archive}.hold-1.json"), "{\"reason\": \"audit\"}").unwrap();
    std::fs::write(format!("{archive}.drill-20261125T010203Z.json"), "{}").unwrap();

    // There and back again: a directory, a bucket, another directory.
    let bucket = format!("s3://{}/copies", shop.s3.fresh_bucket());
    let there = shop.go(&["copy", &archive, "--to", &bucket, "--json"], 0).json();
    assert_eq!(there["beside"], serde_json::json!(["hold-1.json", "keys-1"]));
    let remote = there["archive"].as_str().unwrap();
    assert!(remote.starts_with(&bucket) && remote.ends_with(archive.rsplit('/').next().unwrap()), "{remote}");
    shop.go(&["copy", "latest", "--store", &bucket, "--to", &shop.path("second")], 0);
    let names = |store: &str| -> Vec<(String, Vec<u8>)> {
        let base = shop.path(store);
        let read = |path: PathBuf| {
            (path.strip_prefix(&base).unwrap().display().to_string(), std::fs::read(&path).unwrap())
        };
        files(Path::new(&base))
            .into_iter()
            .map(read)
            .filter(|(name, _)| !name.contains(".drill-") && !name.starts_with(".pgcask/"))
            .collect()
    };
    let (first, second) = (names("first"), names("second"));
    assert_eq!(first.len(), 5, "archive, two sidecars, added keys, hold");
    assert!(
        first == second,
        "{:?} {:?}",
        files(Path::new(&shop.path("first"))),
        files(Path::new(&shop.path("second")))
    );
    shop.restores(remote, "new");

    // Once more: nothing is written but what is missing beside it.
    std::fs::write(format!("{archive}.hold-2.json"), "{}").unwrap();
    let again = shop.go(&["copy", &archive, "--to", &bucket, "--json"], 0).json();
    assert_eq!((&again["already"], &again["beside"]), (&true.into(), &serde_json::json!(["hold-2.json"])));
    // Two copies whose additions went different ways.
    std::fs::write(format!("{archive}.hold-3.json"), "{\"a\": 1}").unwrap();
    shop.go(&["copy", &archive, "--to", &bucket], 0);
    std::fs::write(format!("{archive}.hold-3.json"), "{\"a\": 2}").unwrap();
    assert!(
        shop.go(&["copy", &archive, "--to", &bucket], 1)
            .stderr
            .contains("hold-3.json exists already, and is another")
    );
}

#[test]
fn what_is_damaged_or_in_the_way_is_not_copied() {
    let shop = Shop::new();
    let archive = shop.backup();
    let good = std::fs::read(&archive).unwrap();
    let mut bad = good.clone();
    let middle = bad.len() / 2;
    bad[middle] ^= 1;
    std::fs::write(&archive, &bad).unwrap();
    let second = shop.path("second");
    let said = shop.go(&["copy", &archive, "--to", &second], 3).stderr;
    assert!(said.contains("is damaged: its SHA-256 is"), "{said}");
    std::fs::write(&archive, &good[..good.len() - 1]).unwrap();
    shop.go(&["copy", &archive, "--to", &second], 3);
    assert_eq!(files(Path::new(&second)), Vec::<PathBuf>::new(), "nothing is left");
    std::fs::write(&archive, &good).unwrap();

    // What a copy that was killed left: named, not overwritten.
    let key = archive.strip_prefix(&format!("{}/", shop.path("first"))).unwrap();
    let leftover = Path::new(&second).join(key);
    std::fs::create_dir_all(leftover.parent().unwrap()).unwrap();
    std::fs::write(&leftover, "half").unwrap();
    let said = shop.go(&["copy", &archive, "--to", &second], 1).stderr;
    assert!(said.contains("exists already") && said.contains("remove it and copy again"), "{said}");
    // As long as the archive, and another.
    std::fs::write(&leftover, &bad).unwrap();
    assert!(
        shop.go(&["copy", &archive, "--to", &second], 1).stderr.contains("is not the archive that is copied")
    );
    std::fs::remove_file(&leftover).unwrap();
    shop.go(&["copy", &archive, "--to", &second], 0);
    // Another archive of the same name.
    let json = format!("{}.json", leftover.display());
    let other = std::fs::read_to_string(&json).unwrap().replacen("\"sha256\": \"", "\"sha256\": \"0", 1);
    std::fs::write(&json, other).unwrap();
    shop.go(&["copy", &archive, "--to", &second], 9);
    // An archive without its sidecars is no backup.
    std::fs::remove_file(format!("{archive}.json")).unwrap();
    assert!(shop.go(&["copy", &archive, "--to", &second], 1).stderr.contains("no whole backup"));
}

#[test]
fn sealed_anew_the_old_key_does_not_open_it_and_the_new_one_does() {
    let shop = Shop::new();
    let archive = shop.backup();
    shop.go(
        &["key", "add", &archive, "-i", &shop.path("key"), "--new-passphrase-file", &shop.path("pass")],
        0,
    );
    std::fs::write(format!("{archive}.hold-1.json"), "{}").unwrap();
    let second = shop.path("second");
    let rekey = ["copy", &archive, "--to", &second, "--json", "--rekey", "-r", &shop.path("new.pub")];
    shop.go(&[&rekey[..], &["-i", &shop.path("new")]].concat(), 4);
    let made = shop.go(&[&rekey[..], &["-i", &shop.path("key")]].concat(), 0).json();
    let copy = made["archive"].as_str().unwrap();
    assert_ne!(made["id"], archive.rsplit('-').next().unwrap().trim_end_matches(".cask"));
    assert_eq!(made["beside"], serde_json::json!(["hold-1.json"]), "the hold, and not the old keys");
    shop.go(&["cat", copy, "orders", "-i", &shop.path("key")], 4);
    shop.go(&["cat", copy, "orders", "--passphrase-file", &shop.path("pass")], 4);
    shop.go(&["verify", copy, "-i", &shop.path("new")], 0);
    shop.restores(copy, "new");
    // Zone maps came along: rows are found by key without reading all of it.
    let live = shop.server.url(&shop.database);
    let differs = shop
        .go(&["diff", copy, "--table", "orders", "--against", &live, "-i", &shop.path("new"), "--json"], 0);
    assert!(!differs.stdout.contains("\"missing\":1"), "{}", differs.stdout);

    let listed = shop.go(&["list", "--store", &second, "--json"], 0).json();
    let metadata = &listed[0]["metadata"];
    assert_eq!((&metadata["id"], &metadata["rows"]), (&made["id"], &60005.into()));
    assert_eq!(listed.as_array().unwrap().len(), 1);
    let json = std::fs::read_to_string(format!("{copy}.json")).unwrap();
    assert!(json.contains("\"rekeyed_from\""), "{json}");
    let checked = Command::new("sha256sum")
        .args(["--check", "--quiet", &format!("{copy}.sha256")])
        .current_dir(Path::new(copy).parent().unwrap())
        .status();
    assert!(checked.unwrap().success());
    // The sealed metadata names the new recipient, for safety backups.
    let shown = shop.go(&["show", copy, "-i", &shop.path("new"), "--json"], 0).json();
    let public = std::fs::read_to_string(shop.path("new.pub")).unwrap();
    assert_eq!(shown["manifest"]["recipients"], serde_json::json!([public]));
    assert_eq!(shown["manifest"]["id"], made["id"]);

    // Without --rekey, new keys are refused; without new keys, --rekey is.
    shop.go(&["copy", &archive, "--to", &second, "-r", &public], 2);
    shop.go(&["copy", &archive, "--to", &second, "--rekey", "-i", &shop.path("key")], 2);
}

#[test]
fn an_archive_that_was_not_encrypted_is_sealed() {
    let shop = Shop::new();
    let url = shop.server.url(&shop.database);
    let made = shop.go(&["backup", &url, "--to", &shop.path("first"), "--no-encrypt", "--json"], 0).json();
    let archive = made["archive"].as_str().unwrap();
    assert!(shop.go(&["key", "add", archive, "-r", &shop.path("new.pub")], 9).stderr.contains("--rekey"));
    let copy = shop.go(
        &["copy", archive, "--to", &shop.path("second"), "--rekey", "-r", &shop.path("new.pub"), "--json"],
        0,
    );
    let copy = copy.json()["archive"].as_str().unwrap().to_owned();
    shop.go(&["cat", &copy, "orders", "-i", &shop.path("key")], 4);
    shop.restores(&copy, "new");
}

#[test]
fn a_backup_is_copied_in_the_same_run_and_stands_when_the_copy_fails() {
    let shop = Shop::new();
    let url = shop.server.url(&shop.database);
    let bucket = format!("s3://{}/copies", shop.s3.fresh_bucket());
    let (first, second) = (shop.path("first"), shop.path("second"));
    let recipient = shop.path("key.pub");
    let backup = ["backup", &url, "--to", &first, "--json", "-r", &recipient];
    let made = shop.go(&[&backup[..], &["--copy-to", &bucket, "--copy-to", &second]].concat(), 0).json();
    let copies: Vec<&str> =
        made["copies"].as_array().unwrap().iter().map(|c| c["archive"].as_str().unwrap()).collect();
    assert!(copies[0].starts_with(&bucket) && copies[1].starts_with(&second), "{copies:?}");
    assert!(
        copies
            .iter()
            .all(|copy| copy.ends_with(made["archive"].as_str().unwrap().rsplit('/').next().unwrap()))
    );
    shop.restores(copies[0], "key");

    // As the configuration says, by paths relative to its file.
    let config = shop.path("pgcask.toml");
    let text = "[defaults]\nstore = \"./first\"\ncopy_to = [\"./third\"]\nrecipients = [\"./key.pub\"]\n";
    std::fs::write(&config, text).unwrap();
    let made = shop.go(&["--config", &config, "backup", &url, "--json"], 0).json();
    let copy = made["copies"][0]["archive"].as_str().unwrap();
    assert!(copy.starts_with(&shop.path("third")), "{made}");
    shop.go(&["cat", copy, "one", "-i", &shop.path("key")], 0);

    // One place is no directory: the other copy is made all the same.
    let file = shop.path("key.pub");
    let failed = shop.go(&[&backup[..], &["--copy-to", &file, "--copy-to", &second]].concat(), 8);
    assert!(
        failed.stderr.contains(&format!("the backup was made, its copy to {file} was not")),
        "{}",
        failed.stderr
    );
    assert!(failed.stderr.contains("tries the copy again"), "{}", failed.stderr);
    let summary: serde_json::Value = serde_json::from_str(failed.stdout.lines().next().unwrap()).unwrap();
    assert_eq!(summary["copies"].as_array().unwrap().len(), 1);
    shop.restores(summary["archive"].as_str().unwrap(), "key");
}

/// Copies that are killed at any moment, to a bucket: afterwards nothing is listed that is not whole, and the same command
/// ends what was begun.
#[test]
fn a_copy_that_was_killed_is_completed_by_the_same_command() {
    let shop = Shop::new();
    let archive = shop.backup();
    // Killed when this request arrives, before or after it was done.
    let steps = ["HEAD archive", "POST uploads", "PUT part", "POST upload", "PUT sha256", "PUT json"];
    for (number, step) in steps.into_iter().enumerate() {
        for done in [false, true] {
            let place = Place::bucket();
            let (arrived, arrival) = std::sync::mpsc::sync_channel(1);
            let proxy = Proxy::start(&shop.s3.endpoint(), move |request: &Request, _: u32| {
                if request.class() != step {
                    return Fault::None;
                }
                let _sent = arrived.try_send(());
                if done { Fault::LoseAnswer } else { Fault::Delay(Duration::from_mins(1)) }
            });
            let mut command = place.command(&["copy", &archive, "--to", &place.store]);
            let child = spawn(command.env("AWS_ENDPOINT_URL", proxy.endpoint()));
            arrival.recv_timeout(Duration::from_secs(30)).unwrap_or_else(|_| panic!("{step} never came"));
            if done {
                // The answer was lost, and the program waits before it asks again.
                std::thread::sleep(Duration::from_millis(200));
            }
            signal(&child, "KILL");
            assert_eq!(wait(child).code, -1, "{step}");
            drop(proxy);
            let whole = usize::from(step == "PUT json" && done);
            assert!(place.ids().len() <= whole, "{step}, {done}: {:?}", place.keys());
            let ended = place.command(&["copy", &archive, "--to", &place.store, "--json"]);
            let copied = shop.run(ended);
            assert_eq!(place.ids(), [copied["id"].as_str().unwrap()], "{step}");
            assert_eq!(
                copied["resumed"] == true || copied["already"] == true,
                number >= 4 || (number == 3 && done)
            );
            if number >= 4 {
                shop.restores(copied["archive"].as_str().unwrap(), "key");
            }
        }
    }
}

#[test]
fn two_copies_of_the_same_backup_at_once_both_succeed() {
    let shop = Shop::new();
    let archive = shop.backup();
    std::fs::write(format!("{archive}.hold-1.json"), "{}").unwrap();
    let bucket = Place::bucket();
    for store in [bucket.store.clone(), shop.path("second")] {
        let both =
            [(); 3].map(|()| spawn(&mut bucket.command(&["copy", &archive, "--to", &store, "--json"])));
        let ended = both.map(|child| wait(child).expect(0).json());
        let listed = shop.go(&["list", "--store", &store, "--json"], 0).json();
        assert_eq!(listed.as_array().unwrap().len(), 1, "{ended:?}");
        shop.restores(listed[0]["archive"].as_str().unwrap(), "key");
    }
}
