//! The audit log: who did what, in chains that show when somebody changed them.

use std::path::{Path, PathBuf};

use pgcask::store::naming::Kind;

use crate::harness::cli::{Run, pass, run, spawn, wait};
use crate::harness::place::Place;
use crate::harness::postgres::{Db, Server, newest};
use crate::harness::s3::S3Server;

/// The program as it runs on one host, which remembers its chain in a folder of its own.
struct Host<'a> {
    place: &'a Place,
    state: PathBuf,
}

impl<'a> Host<'a> {
    fn new(place: &'a Place, name: &str) -> Self {
        Self { place, state: place.folder.path().join(name) }
    }

    fn command(&self, args: &[&str]) -> std::process::Command {
        let mut command = self.place.command(args);
        command.env("XDG_STATE_HOME", &self.state);
        command
    }

    fn run(&self, args: &[&str]) -> Run {
        run(self.command(args).args(["--store", &self.place.store]))
    }

    fn backup(&self, url: &str) -> serde_json::Value {
        let pass = pass(self.place.folder.path());
        let to = &self.place.store;
        run(&mut self.command(&["backup", url, "--to", to, "--json", "--jobs", "1", &pass])).expect(0).json()
    }

    /// Entries of the store, oldest first.
    fn export(&self) -> Vec<serde_json::Value> {
        let lines = self.run(&["audit", "export"]).expect(0).stdout;
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn verify(&self) -> (i32, serde_json::Value) {
        let run = self.run(&["audit", "verify", "--json"]);
        (run.code, run.json())
    }
}

/// A small database, for as long as it is held, and its URL.
fn database() -> (Db<'static>, String) {
    let server = Server::shared(newest());
    let db = server.create_db();
    server.sql(&db, "CREATE TABLE t AS SELECT i FROM generate_series(1, 1000) i");
    let url = server.url(&db);
    (db, url)
}

#[test]
fn each_operation_leaves_an_entry_with_who_what_and_how_it_ended() {
    let (_db, url) = database();
    Place::each(|place| {
        let host = Host::new(place, "host");
        let made = host.backup(&url);
        let (archive, id) = (made["archive"].as_str().unwrap(), made["id"].as_str().unwrap());
        let pass = pass(place.folder.path());
        host.run(&["verify", id, &pass]).expect(0);
        let wrong = place.folder.path().join("wrong");
        std::fs::write(&wrong, "wrong\n").unwrap();
        host.run(&["cat", id, "t", &format!("--passphrase-file={}", wrong.display())]).expect(4);
        host.run(&["hold", "add", id, "--reason", "litigation", "--case", "2026-117"]).expect(0);
        host.run(&["prune", "--backup", id, "--apply"]).expect(9);
        // What only looks leaves none: neither do slips.
        host.run(&["list"]).expect(0);
        host.run(&["prune"]).expect(0);
        host.run(&["hold", "list"]).expect(0);
        host.run(&["verify", id, "--no-such-flag"]).expect(2);
        let log = host.export();
        let text =
            |entry: &serde_json::Value, name: &str| entry[name].as_str().unwrap_or_default().to_owned();
        let said: Vec<_> =
            log.iter().map(|entry| (text(entry, "operation"), text(entry, "result"))).collect();
        let expected = [
            ("backup", "done"),
            ("verify", "done"),
            ("cat", "key"),
            ("hold add", "done"),
            ("prune", "refused"),
        ];
        assert_eq!(said, expected.map(|(operation, result)| (operation.to_owned(), result.to_owned())));
        assert_eq!(log[0]["archive"], archive);
        assert_eq!(log[0]["digest"], made["sha256"]);
        assert_eq!(log[0]["details"]["rows"], "1000");
        assert_eq!(log[2]["exit_code"], 4);
        assert_eq!(log[3]["details"]["case"], "2026-117");
        assert!(!text(&log[0]["by"], "host").is_empty() && !text(&log[0]["by"], "person").is_empty());
        let (code, verdict) = host.verify();
        assert_eq!((code, &verdict["findings"]), (0, &serde_json::json!([])));
        assert_eq!(verdict["chains"][0]["entries"], 5);
        let table = host.run(&["audit", "show", "--operation", "backup"]).expect(0).stdout;
        assert!(table.contains("AT (UTC)") && table.lines().count() == 2, "{table}");
        // The same is on the host, where only it can write.
        let local = run(&mut host.command(&["audit", "export", "--local"])).expect(0).stdout;
        assert_eq!(local.lines().count(), 5);
        run(&mut host.command(&["audit", "verify", "--local"])).expect(0);
    });
}

#[test]
fn two_hosts_at_once_both_keep_their_chain() {
    let (_db, url) = database();
    Place::each(|place| {
        let hosts = [Host::new(place, "one"), Host::new(place, "two")];
        let pass = pass(place.folder.path());
        for _ in 0..2 {
            let args = ["backup", &url, "--to", &place.store, "--jobs", "1", &pass];
            // Two of each host, so that one chain is written by two processes at the same time, too.
            let running: Vec<_> =
                hosts.iter().chain(&hosts).map(|host| spawn(&mut host.command(&args))).collect();
            for run in running {
                let ended = wait(run).expect(0);
                assert!(!ended.stderr.contains("audit"), "{}", ended.stderr);
            }
        }
        for host in &hosts {
            let (code, verdict) = host.verify();
            assert_eq!(code, 0, "{verdict}");
            let chains = verdict["chains"].as_array().unwrap();
            assert_eq!(
                chains.iter().map(|chain| chain["entries"].as_u64().unwrap()).collect::<Vec<_>>(),
                [4, 4]
            );
        }
    });
}

#[test]
fn tampering_removal_reordering_and_a_cut_end_are_found_and_named() {
    let (_db, url) = database();
    Place::each(|place| {
        let (host, other) = (Host::new(place, "host"), Host::new(place, "other"));
        for _ in 0..4 {
            host.backup(&url);
        }
        let keys = place.audit_keys();
        assert_eq!(keys.len(), 4);
        let lines: Vec<String> = keys.iter().map(|key| place.read(key)).collect();
        let restore = || keys.iter().zip(&lines).for_each(|(key, line)| place.put(key, line));
        // Another host has no copy of this chain: it sees what the chain and the sidecars show.
        let found = |host: &Host<'_>| -> Vec<(u64, String)> {
            let (code, verdict) = host.verify();
            assert_eq!(code, 5, "{verdict}");
            let all = verdict["findings"].as_array().unwrap();
            let one = |finding: &serde_json::Value| {
                (finding["number"].as_u64().unwrap(), finding["problem"]["what"].as_str().unwrap().to_owned())
            };
            let mut all: Vec<_> = all.iter().map(one).collect();
            all.sort();
            all.dedup();
            all
        };
        let say =
            |all: &[(u64, &str)]| all.iter().map(|(n, what)| (*n, (*what).to_owned())).collect::<Vec<_>>();
        assert_eq!(other.verify().0, 0);
        place.put(&keys[1], &lines[1].replace("\"done\"", "\"gone\""));
        assert_eq!(found(&other), say(&[(2, "changed")]));
        let words = other.run(&["audit", "verify"]).expect(5).stdout;
        assert!(words.contains("entry 2 was changed") && words.contains("not whole"), "{words}");
        restore();
        place.delete(&keys[1]);
        assert_eq!(found(&other), say(&[(2, "missing")]));
        restore();
        place.put(&keys[1], &lines[2]);
        place.put(&keys[2], &lines[1]);
        assert_eq!(found(&other), say(&[(2, "changed"), (2, "misplaced"), (3, "changed"), (3, "misplaced")]));
        restore();
        place.delete(&keys[2]);
        place.delete(&keys[3]);
        // The sidecar of the fourth backup names the third entry; the host's own copy has the fourth too.
        assert_eq!(found(&other), say(&[(3, "cut_off")]));
        assert_eq!(found(&host), say(&[(3, "cut_off"), (4, "cut_off")]));
        restore();
        assert_eq!(other.verify().0, 0);
    });
}

#[test]
fn an_entry_that_cannot_be_written_is_told_and_follows_later() {
    let (_db, url) = database();
    let s3 = S3Server::shared();
    let place = Place::in_bucket(s3.fresh_bucket());
    let bucket = place.bucket.clone().unwrap();
    let host = Host::new(&place, "host");
    s3.deny(&bucket, &[(xtask::seaweed::WRITER_ARN, &["PutObject"], "prod/.pgcask/*")]);
    let pass = pass(place.folder.path());
    let mut command = place.command_of_writer(&["backup", &url, "--to", &place.store, "--json", &pass]);
    let made = run(command.env("XDG_STATE_HOME", &host.state)).expect(0);
    assert!(
        made.stderr.contains("not yet in the store: ") && made.stderr.contains("permission denied"),
        "{}",
        made.stderr
    );
    assert_eq!(place.audit_keys().len(), 0);
    host.backup(&url);
    assert_eq!(place.audit_keys().len(), 2, "the first followed with the second");
    assert_eq!(host.verify().0, 0);
    // Nowhere to write it down at all: a warning, and a good backup.
    let file = place.folder.path().join("pass").display().to_string();
    let mut command = place.command(&["backup", &url, "--to", &place.store, "--json", &pass]);
    let made = run(command.env("XDG_STATE_HOME", Path::new(&file))).expect(0);
    assert!(made.stderr.contains("no audit entry was written"), "{}", made.stderr);
    let mut command = place.command(&["backup", &url, "--to", &place.store, "--json", &pass]);
    let quiet = run(command.env("XDG_STATE_HOME", Path::new(&file)).env("PGCASK_AUDIT", "off")).expect(0);
    assert!(!quiet.stderr.contains("audit"), "{}", quiet.stderr);
    assert_eq!(place.ids().len(), 4);
    place.plant("000000000001", Kind::Daily, 0);
    assert_eq!(host.verify().0, 0, "backups without a head name none");
}
