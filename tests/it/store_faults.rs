//! Faults between the program and its store, by schedules that a seed makes. A backup that reports success restores
//! identically; any other leaves nothing that lists as a backup, and nothing that the next run stumbles over.
//!
//! `PGCASK_FAULT_SCHEDULES` sets the number of random schedules and `PGCASK_FAULT_SEED` the first seed (`cargo xtask faults
//! --schedules 500 --seed 1`); each failure tells its seed, and what was done to which request.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::LazyLock;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use crate::harness::cli::{Run, folder, pgcask, run};
use crate::harness::oracle::content;
use crate::harness::postgres::{Db, Server, newest};
use crate::harness::proxy::{Fault, Proxy, Request};
use crate::harness::s3::S3Server;

/// A database, and its content.
struct Source {
    database: Db<'static>,
    golden: BTreeMap<String, String>,
}

/// Databases, a key, and a place of its own for each schedule.
struct Bench {
    server: &'static Server,
    s3: &'static S3Server,
    /// One whose archive has one part, and one whose archive has several.
    sources: [Source; 2],
    folder: tempfile::TempDir,
    bucket: &'static str,
}

impl Bench {
    fn new() -> Self {
        static BUCKET: LazyLock<String> = LazyLock::new(|| S3Server::shared().fresh_bucket());
        let server = Server::shared(newest());
        let sources = [3_000, 250_000].map(|rows| {
            let database = server.create_db();
            let sql = format!(
                "CREATE TABLE orders AS SELECT i AS id, md5(i::text) || md5((i * 3)::text) AS note
                     FROM generate_series(1, {rows}) i;
                 ALTER TABLE orders ADD PRIMARY KEY (id); CREATE TABLE none (c int);
                 CREATE VIEW newest AS SELECT max(id) FROM orders; CREATE SEQUENCE s START 42"
            );
            server.sql(&database, &sql);
            let golden = content(server, &database);
            Source { database, golden }
        });
        let folder = folder();
        let config = format!("[stores.faulty]\nurl = \"s3://{}\"\npart_size = \"5M\"\n", *BUCKET);
        std::fs::write(folder.path().join("pgcask.toml"), config).unwrap();
        let (secret, public) = pgcask::seal::recipient::generate_identity();
        std::fs::write(folder.path().join("key"), secret.as_bytes()).unwrap();
        std::fs::write(folder.path().join("key.pub"), public).unwrap();
        Self { server, s3: S3Server::shared(), sources, folder, bucket: &BUCKET }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// The program, on a host of its own for each name.
    fn command(&self, host: &str, args: &[&str]) -> Command {
        let mut command = pgcask([&["--config", &self.path("pgcask.toml")], args].concat());
        self.s3.configure(&mut command);
        command.env("XDG_STATE_HOME", self.path(host)).env("PGCASK_STORE_TIMEOUT", "1");
        command
    }

    fn through(&self, proxy: &Proxy, host: &str, args: &[&str]) -> Run {
        run(self.command(host, args).env("AWS_ENDPOINT_URL", proxy.endpoint()))
    }

    fn store(&self, place: &str) -> String {
        format!("s3://{}/{place}", self.bucket)
    }

    fn backup(&self, proxy: Option<&Proxy>, source: &Source, place: &str) -> Run {
        let (url, store, key) = (self.server.url(&source.database), self.store(place), self.path("key.pub"));
        let args = ["backup", &url, "--to", &store, "--json", "--jobs", "2", "-r", &key];
        match proxy {
            Some(proxy) => self.through(proxy, place, &args),
            None => run(&mut self.command(place, &args)),
        }
    }

    /// What is listed, asked without faults.
    fn listed(&self, place: &str) -> Vec<String> {
        let rows = self.direct(place, &["list", "--json", "--limit", "0"]).json();
        rows.as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
    }

    fn direct(&self, place: &str, args: &[&str]) -> Run {
        run(self.command(place, args).args(["--store", &self.store(place)])).expect(0)
    }

    /// Restores, perhaps through faults; whatever reports success has the same content.
    fn restore(&self, proxy: Option<&Proxy>, source: &Source, place: &str, archive: &str) -> Run {
        let target = self.server.fresh_name();
        let (into, key) = (self.server.url(&target), self.path("key"));
        let args = ["restore", archive, "--into", &into, "--create", "--json", "--jobs", "2", "-i", &key];
        let ended = match proxy {
            Some(proxy) => self.through(proxy, place, &args),
            None => run(&mut self.command(place, &args)),
        };
        let created = format!("SELECT count(*) FROM pg_database WHERE datname = '{target}'");
        if self.server.value("postgres", &created) == "1" {
            let target = self.server.adopt(target);
            if ended.code == 0 {
                assert_eq!(content(self.server, &target), source.golden);
            }
        }
        ended
    }

    /// The next run is none the wiser: it makes a backup, and what was left is named.
    fn goes_on(&self, place: &str) {
        let before = self.listed(place);
        let next = self.backup(None, &self.sources[0], place).expect(0).json();
        let after = self.listed(place);
        assert_eq!(after.len(), before.len() + 1);
        assert!(after.contains(&next["id"].as_str().unwrap().to_owned()));
        let plan = self.direct(place, &["prune", "--json"]).json();
        assert_eq!(plan["backups"].as_array().unwrap().len(), after.len());
        let orphans = self.direct(place, &["list", "--orphans", "--json"]).json();
        let named: Vec<&str> =
            orphans.as_array().unwrap().iter().filter_map(|orphan| orphan["key"].as_str()).collect();
        for key in self.keys(place) {
            let of_a_backup = after.iter().any(|id| key.contains(&format!("-{id}.cask")));
            // What lies beside an archive without .json is named with it.
            let is_named = named.iter().any(|name| key.starts_with(name));
            assert!(of_a_backup || is_named, "{key} is left and not named: {named:?}");
        }
    }

    fn keys(&self, place: &str) -> Vec<String> {
        use futures_util::TryStreamExt as _;
        use object_store::ObjectStore as _;
        let (client, prefix) = (self.s3.client(self.bucket), object_store::path::Path::from(place));
        let all: Vec<_> = crate::harness::block_on(client.list(Some(&prefix)).try_collect()).unwrap();
        let key = |meta: &object_store::ObjectMeta| {
            meta.location.as_ref().strip_prefix(&format!("{place}/")).unwrap().to_owned()
        };
        all.iter().map(key).filter(|key| !key.starts_with(".pgcask/")).collect()
    }
}

/// What a store says when it is busy, and when it fails.
const FAILURES: [(u16, &str); 4] =
    [(500, "InternalError"), (503, "SlowDown"), (503, "ServiceUnavailable"), (502, "BadGateway")];

/// Requests at which something may go wrong for good.
const FATAL: [&str; 8] = [
    "HEAD archive",
    "POST uploads",
    "PUT part",
    "POST upload",
    "PUT sha256",
    "PUT json",
    "GET archive",
    "GET list",
];

/// The schedule of a seed: how often something goes wrong, and at which request, if any, for good. A request's fate depends
/// on its class and its number in it, not on the order in which several arrive at the same time.
fn schedule(seed: u64) -> impl Fn(&Request, u32) -> Fault {
    let mut random = StdRng::seed_from_u64(seed);
    let rate = random.random_range(0.0..0.5);
    let end = random.random::<f64>();
    let fatal = (FATAL[random.random_range(0..FATAL.len())], random.random_range(1..=2));
    move |request, number| {
        let class = request.class();
        let mark = class.bytes().fold(u64::from(number), |mark, byte| {
            mark.wrapping_mul(0x0100_0000_01b3).wrapping_add(u64::from(byte))
        });
        let mut random = StdRng::seed_from_u64(seed ^ mark.rotate_left(17));
        if class == fatal.0 && number >= fatal.1 {
            match end {
                end if end < 0.12 => return Fault::Die,
                end if end < 0.2 => return Fault::Answer(403, "AccessDenied"),
                end if end < 0.24 => return Fault::Answer(507, "XMinioStorageFull"),
                end if end < 0.28 => return Fault::Answer(500, "InternalError"),
                end if end < 0.32 => return Fault::LoseAnswer,
                _ => {}
            }
        }
        if random.random::<f64>() >= rate {
            return Fault::None;
        }
        let (status, code) = FAILURES[random.random_range(0..FAILURES.len())];
        match random.random_range(0..9) {
            0 => Fault::Delay(Duration::from_millis(random.random_range(1..80))),
            1 => Fault::Reset,
            2 => Fault::ResetInBody,
            3 => Fault::Answer(status, code),
            4 | 5 => Fault::LoseAnswer,
            6 => Fault::AnswerAfter(status, code),
            7 if class.starts_with("PUT ") => Fault::FlipInBody,
            _ => Fault::Truncate,
        }
    }
}

/// How one schedule ended.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    /// Backed up, and restored through faults.
    Restored,
    /// Backed up; the restore through faults failed by name, the one without did not.
    RestoreFailed,
    /// The backup failed by name, and left no backup.
    Failed,
    /// The store fell silent at the commit: told as not known, and what was left is a whole backup.
    Unknown,
}

fn one(bench: &Bench, seed: u64) -> End {
    let place = format!("seed-{seed}");
    let source = &bench.sources[usize::from(seed % 8 == 7)];
    let proxy = Proxy::start(&bench.s3.endpoint(), schedule(seed));
    let made = bench.backup(Some(&proxy), source, &place);
    eprintln!("seed {seed}: the backup ended with {}; {}", made.code, proxy.faults().join(", "));
    drop(proxy);
    let listed = bench.listed(&place);
    if made.code != 0 {
        assert_eq!(made.code, 8, "{made:?}");
        assert!(made.stderr.contains(&bench.store(&place)), "the place is named: {made:?}");
        let end = if listed.is_empty() { End::Failed } else { End::Unknown };
        if end == End::Unknown {
            assert!(made.stderr.contains("is not known"), "{made:?}");
            bench.restore(None, source, &place, &archive_of(bench, &place)).expect(0);
        }
        bench.goes_on(&place);
        return end;
    }
    let made = made.json();
    assert_eq!(listed, [made["id"].as_str().unwrap()]);
    let archive = made["archive"].as_str().unwrap();
    let proxy = Proxy::start(&bench.s3.endpoint(), schedule(!seed));
    let restored = bench.restore(Some(&proxy), source, &place, archive);
    eprintln!("seed {seed}: the restore ended with {}; {}", restored.code, proxy.faults().join(", "));
    drop(proxy);
    if seed.is_multiple_of(4) {
        bench.goes_on(&place);
    }
    if restored.code == 0 {
        return End::Restored;
    }
    assert_eq!(restored.code, 8, "{restored:?}");
    bench.restore(None, source, &place, archive).expect(0);
    End::RestoreFailed
}

fn archive_of(bench: &Bench, place: &str) -> String {
    let rows = bench.direct(place, &["list", "--json"]).json();
    rows[0]["archive"].as_str().unwrap().to_owned()
}

#[test]
fn random_faults_make_no_backup_that_is_none() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let count = number("PGCASK_FAULT_SCHEDULES").unwrap_or(12);
    let first = number("PGCASK_FAULT_SEED").unwrap_or(1);
    let bench = Bench::new();
    let mut ends: BTreeMap<End, u64> = BTreeMap::new();
    for seed in first..first + count {
        *ends.entry(one(&bench, seed)).or_default() += 1;
    }
    eprintln!("{count} schedules from seed {first} on: {ends:?}");
}

/// One fault at the first request of a class; it passes afterwards.
fn once(class: &'static str, fault: Fault) -> impl Fn(&Request, u32) -> Fault {
    move |request, number| if number == 1 && request.class() == class { fault } else { Fault::None }
}

#[test]
fn a_lost_or_broken_answer_to_any_step_of_a_backup_is_overcome() {
    let bench = Bench::new();
    let steps = ["HEAD archive", "POST uploads", "PUT part", "POST upload", "PUT sha256", "PUT json"];
    let faults = [Fault::LoseAnswer, Fault::AnswerAfter(500, "InternalError"), Fault::Truncate];
    for (number, step) in steps.iter().enumerate() {
        for (of, fault) in faults.iter().enumerate() {
            let place = format!("lost-{number}-{of}");
            let proxy = Proxy::start(&bench.s3.endpoint(), once(step, *fault));
            let made = bench.backup(Some(&proxy), &bench.sources[0], &place).expect(0).json();
            assert_eq!(proxy.faults(), [format!("{step}: {fault:?}")], "it came to that");
            assert_eq!(bench.listed(&place), [made["id"].as_str().unwrap()], "{step}: {fault:?}");
            let archive = made["archive"].as_str().unwrap();
            run(&mut bench.command(&place, &["verify", archive, "-i", &bench.path("key")])).expect(0);
        }
    }
}

#[test]
fn wrong_bytes_from_a_store_are_never_restored() {
    let bench = Bench::new();
    let source = &bench.sources[0];
    let made = bench.backup(None, source, "flipped").expect(0).json();
    let archive = made["archive"].as_str().unwrap();
    let flipped =
        |request: &Request, _| if request.class() == "GET archive" { Fault::Flip } else { Fault::None };
    let proxy = Proxy::start(&bench.s3.endpoint(), flipped);
    let ended = bench.restore(Some(&proxy), source, "flipped", archive);
    assert!(matches!(ended.code, 3 | 4), "{ended:?}");
    // Half of every other answer: resumed where it broke off.
    let half = |request: &Request, number: u32| {
        if request.class() == "GET archive" && number % 2 == 1 { Fault::Truncate } else { Fault::None }
    };
    let proxy = Proxy::start(&bench.s3.endpoint(), half);
    bench.restore(Some(&proxy), source, "flipped", archive).expect(0);
    assert!(proxy.faults().len() > 1, "{:?}", proxy.faults());
    // No answer is ever whole: it ends, by name.
    let never =
        |request: &Request, _| if request.class() == "GET archive" { Fault::Truncate } else { Fault::None };
    let proxy = Proxy::start(&bench.s3.endpoint(), never);
    let ended = bench.restore(Some(&proxy), source, "flipped", archive).expect(8);
    assert!(ended.stderr.contains(archive), "{}", ended.stderr);
}

/// What the store is given is not what was sent: it says so, and gets it again.
#[test]
fn bytes_that_change_on_their_way_to_the_store_are_sent_again() {
    let bench = Bench::new();
    for (number, step) in ["PUT part", "PUT sha256", "PUT json"].into_iter().enumerate() {
        let place = format!("changed-{number}");
        let proxy = Proxy::start(&bench.s3.endpoint(), once(step, Fault::FlipInBody));
        let made = bench.backup(Some(&proxy), &bench.sources[0], &place).expect(0).json();
        assert_eq!(proxy.faults(), [format!("{step}: FlipInBody")]);
        let archive = made["archive"].as_str().unwrap();
        run(&mut bench.command(&place, &["verify", archive, "-i", &bench.path("key")])).expect(0);
        assert_eq!(bench.listed(&place), [made["id"].as_str().unwrap()]);
        let copied = run(&mut bench.command(&place, &["copy", archive, "--to", &bench.path(&place)]));
        copied.expect(0);
    }
    // Always: no backup.
    let always =
        |request: &Request, _| if request.class() == "PUT part" { Fault::FlipInBody } else { Fault::None };
    let proxy = Proxy::start(&bench.s3.endpoint(), always);
    bench.backup(Some(&proxy), &bench.sources[0], "always").expect(8);
    assert!(bench.listed("always").is_empty());
}
