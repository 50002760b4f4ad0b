//! Kill -9 of the client, or of the server, at any moment of a restore over a live database. Then one of the two
//! databases is there under the name, whole, and takes connections; one resume or one rollback ends it; and what is left
//! on the server is listed.
//!
//! `PGCASK_CRASH_ROUNDS` sets the number of random moments (`cargo xtask crash --rounds 200`), and
//! `PGCASK_CRASH_SEED` the seed, which each failure tells.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use crate::harness::cli::{folder, pass, pgcask, run, signal, wait};
use crate::harness::oracle::schema_dump;
use crate::harness::postgres::Server;
use crate::swap::{accident, databases, proven_versions, swap};

/// All content but sequences, each of which jumps ahead when the server crashes, and but the marks that a restore leaves
/// which is killed just after its swap: those must be listed.
fn content(server: &Server, database: &str) -> BTreeMap<String, String> {
    let mut all = crate::harness::oracle::content(server, database);
    all.retain(|name, _| !name.ends_with("_seq") && !name.starts_with("pgcask_restore."));
    all
}

/// What all rounds on one server share.
struct Ring<'a> {
    server: &'a Server,
    folder: &'a Path,
    archive: String,
    golden: BTreeMap<String, String>,
}

impl Ring<'_> {
    fn spawn(&self, more: &[&str]) -> Child {
        let url = self.server.url("shop");
        let mut command =
            pgcask(["restore", &self.archive, "--into", &url, "--swap", "--yes", "-v", &pass(self.folder)]);
        command.args(["--jobs", "2"]).args(more).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// What the accident left, different in each round.
    fn wreck(&self, round: usize) -> BTreeMap<String, String> {
        self.server.sql("shop", &format!("INSERT INTO customers (name) VALUES ('written in round {round}')"));
        content(self.server, "shop")
    }

    /// One of the two is live, whole, and lets us in. Gives whether it is the restored one.
    fn judge(&self, old: &BTreeMap<String, String>) -> bool {
        let mut live = content(self.server, "shop");
        if live != *old && live != self.golden {
            // The commit that the killed client had sent came between our two questions.
            settle(self.server);
            live = content(self.server, "shop");
        }
        assert!(
            live == *old || live == self.golden,
            "neither the old nor the restored database is live:\n{live:?}\nold: {old:?}\nrestored: {:?}",
            self.golden
        );
        live == self.golden
    }

    fn listed(&self) -> Vec<(String, String)> {
        let listed =
            run(&mut pgcask(["rollback", &self.server.url("shop"), "--list", "--json"])).expect(0).json();
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        listed.as_array().unwrap().iter().map(|left| (text(&left["name"]), text(&left["kind"]))).collect()
    }

    /// Ends what was interrupted, by a resume or by going back, and takes away what is left. Nothing is left unnamed.
    fn recover(&self, old: &BTreeMap<String, String>, resume: bool) {
        let url = self.server.url("shop");
        let swapped = self.judge(old);
        if resume {
            swap(self.folder, &self.archive, &url, &["--no-safety-backup", "--resume"]).expect(0);
            assert_eq!(content(self.server, "shop"), self.golden);
            assert_eq!(schema_dump(self.server, "shop"), schema_dump(self.server, "golden"));
        } else if swapped {
            run(&mut pgcask(["rollback", &url, "--yes"])).expect(0);
            assert_eq!(content(self.server, "shop"), *old);
        }
        let listed = self.listed();
        let unnamed: Vec<String> = databases(self.server)
            .into_iter()
            .filter(|name| name != "golden" && name != "shop" && listed.iter().all(|(left, _)| left != name))
            .collect();
        assert!(unnamed.is_empty(), "not listed: {unnamed:?}");
        for (name, _) in listed {
            run(&mut pgcask(["rollback", &url, "--yes", "--discard", &name])).expect(0);
        }
        assert_eq!(databases(self.server), ["golden", "shop"]);
        assert_eq!(self.listed(), []);
        let marks = "SELECT count(*) FROM pg_namespace WHERE nspname = 'pgcask_restore'";
        assert_eq!(self.server.value("shop", marks), "0");
    }
}

/// Backends of a client that was killed may live a moment longer: what they do then belongs to the moment of the kill.
fn settle(server: &Server) {
    let began = Instant::now();
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pgcask'";
    while server.value("postgres", sql) != "0" {
        assert!(began.elapsed() < Duration::from_secs(20), "sessions of a killed client stay");
    }
}

fn with_ring(major: u32, test: impl Fn(&Ring<'_>)) {
    let folder = folder();
    let (server, archive) = accident(major, folder.path());
    let golden = content(&server, "golden");
    test(&Ring { server: &server, folder: folder.path(), archive, golden });
}

/// Lets a run go on until its log has a line with this text; then kills it. Gives whether the line came.
fn kill_at(mut child: Child, line: &str) -> bool {
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let (mut text, mut seen) = (String::new(), false);
    while !seen && log.read_line(&mut text).unwrap() > 0 {
        seen = text.lines().last().is_some_and(|last| last.contains(line));
    }
    signal(&child, "KILL");
    child.wait().unwrap();
    log.read_to_string(&mut text).unwrap();
    assert!(seen, "no {line:?} in the log:\n{text}");
    seen
}

/// What the log says at the beginning of each step of a swap.
const STEPS: [&str; 9] = [
    "safety backup",
    "planning",
    "creating",
    "loading",
    "load public.orders",
    "finishing",
    "proving the content",
    "swapping",
    "end ",
];

#[test]
fn killed_at_each_step_it_goes_on_or_back() {
    for major in proven_versions() {
        with_ring(major, |ring| {
            for (round, step) in STEPS.iter().enumerate() {
                let old = ring.wreck(round);
                let more: &[&str] = if round == 0 { &[] } else { &["--no-safety-backup"] };
                kill_at(ring.spawn(more), step);
                if round % 2 == 0 || round % 3 == 2 {
                    settle(ring.server);
                }
                ring.recover(&old, round % 3 != 2);
            }
        });
    }
}

#[test]
fn killed_at_random_moments_it_goes_on_or_back() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let rounds = usize::try_from(number("PGCASK_CRASH_ROUNDS").unwrap_or(3)).unwrap();
    let seed = number("PGCASK_CRASH_SEED").unwrap_or_else(rand::random);
    for major in proven_versions() {
        with_ring(major, |ring| {
            // How long an undisturbed one takes.
            let began = Instant::now();
            let whole = wait(ring.spawn(&["--no-safety-backup"]));
            assert_eq!(whole.code, 0, "{}", whole.stderr);
            let span = began.elapsed();
            ring.recover(&ring.golden, true);
            let mut random = StdRng::seed_from_u64(seed);
            for round in 0..rounds {
                let old = ring.wreck(round);
                let moment = span.mul_f64(random.random::<f64>() * 1.1);
                let (server_too, resume) = (round % 3 == 2, random.random::<bool>());
                eprintln!(
                    "PostgreSQL {major}, seed {seed}, round {round}: {moment:?}, server {server_too}, resume {resume}"
                );
                let child = ring.spawn(&["--no-safety-backup"]);
                std::thread::sleep(moment);
                if server_too {
                    // The client lives, and goes on by itself when the server is back.
                    ring.server.kill9();
                    ring.server.launch();
                    let ended = wait(child);
                    assert!(matches!(ended.code, 0 | 7), "{}: {}", ended.code, ended.stderr);
                } else {
                    signal(&child, "KILL");
                    wait(child);
                    if !resume {
                        // The server may still create a database for the one who was killed.
                        settle(ring.server);
                    }
                }
                ring.recover(&old, resume);
            }
        });
    }
}
