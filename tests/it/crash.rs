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

/// How many random moments, and of which seed.
fn moments() -> (usize, u64) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let rounds = usize::try_from(number("PGCASK_CRASH_ROUNDS").unwrap_or(3)).unwrap();
    (rounds, number("PGCASK_CRASH_SEED").unwrap_or_else(rand::random))
}

/// Runs a command and kills it, or its server, after a while. A client that lives on goes on by itself, or says that the
/// server was lost.
fn interrupt(server: &Server, child: Child, after: Duration, server_too: bool) {
    std::thread::sleep(after);
    if server_too {
        server.kill9();
        server.launch();
        let ended = wait(child);
        assert!(matches!(ended.code, 0 | 7), "{}: {}", ended.code, ended.stderr);
    } else {
        signal(&child, "KILL");
        wait(child);
        // The server may still do what the one who was killed had sent.
        settle(server);
    }
}

#[test]
fn killed_at_random_moments_it_goes_on_or_back() {
    let (rounds, seed) = moments();
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
                let more: &[&str] = if round % 4 == 1 { &[] } else { &["--no-safety-backup"] };
                let child = ring.spawn(more);
                if server_too || !resume {
                    interrupt(ring.server, child, moment, server_too);
                } else {
                    // Gone on with at once, while the server may still work for the one who was killed.
                    std::thread::sleep(moment);
                    signal(&child, "KILL");
                    wait(child);
                }
                ring.recover(&old, resume);
            }
        });
    }
}

/// A rollback is done or it is not: one of the two is live, whole, and the other is kept.
#[test]
fn killed_at_random_moments_a_rollback_is_done_or_not() {
    let (rounds, seed) = moments();
    for major in proven_versions() {
        with_ring(major, |ring| {
            let (old, url) = (content(ring.server, "shop"), ring.server.url("shop"));
            let swapped = wait(ring.spawn(&["--no-safety-backup"]));
            assert_eq!(swapped.code, 0, "{}", swapped.stderr);
            let start = || {
                let mut command = pgcask(["rollback", &url, "--yes"]);
                command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
            };
            let began = Instant::now();
            assert_eq!(wait(start()).code, 0);
            let span = began.elapsed();
            let mut random = StdRng::seed_from_u64(seed);
            for round in 0..rounds {
                let moment = span.mul_f64(random.random::<f64>() * 1.1);
                eprintln!("PostgreSQL {major}, seed {seed}, round {round}, a rollback: {moment:?}");
                interrupt(ring.server, start(), moment, round % 3 == 2);
                let restored = ring.judge(&old);
                // Killed just after it, it leaves in the database that came back the note of its replacement.
                let listed = ring.listed();
                let kept: Vec<_> = listed.iter().filter(|(name, _)| name != "shop").collect();
                assert_eq!((kept.len(), kept[0].1.as_str()), (1, "before"), "{listed:?}");
                let noted = listed.iter().filter(|(name, _)| name == "shop");
                assert!(noted.clone().all(|(_, kind)| kind == "note"), "{listed:?}");
                let other = content(ring.server, &kept[0].0);
                assert!(other == if restored { old.clone() } else { ring.golden.clone() }, "{other:?}");
            }
        });
    }
}

/// In place there is no old database to go back to: it is as it was, or it goes on.
#[test]
fn killed_at_random_moments_in_place_it_goes_on() {
    let (rounds, seed) = moments();
    for major in proven_versions() {
        with_ring(major, |ring| {
            let url = ring.server.url("shop");
            let key = pass(ring.folder);
            let args = ["restore", &ring.archive, "--into", &url, "--in-place", "--yes", &key];
            let start = |more: &[&str]| {
                let mut command = pgcask(args);
                command.args(more).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
            };
            let without: &[&str] = &["--no-safety-backup"];
            let began = Instant::now();
            let whole = wait(start(without));
            assert_eq!(whole.code, 0, "{}", whole.stderr);
            let span = began.elapsed();
            let mut random = StdRng::seed_from_u64(seed);
            for round in 0..rounds {
                let old = ring.wreck(round);
                let moment = span.mul_f64(random.random::<f64>() * 1.1);
                eprintln!("PostgreSQL {major}, seed {seed}, round {round}, in place: {moment:?}");
                let more = if round % 4 == 1 { &[] } else { without };
                interrupt(ring.server, start(more), moment, round % 3 == 2);
                let marked =
                    ring.server.value("shop", "SELECT to_regclass('pgcask_restore.claim') IS NOT NULL")
                        == "t";
                let read_only = || ring.server.value("shop", "SHOW default_transaction_read_only");
                assert_eq!(read_only(), if marked { "on" } else { "off" });
                if !marked {
                    let now = content(ring.server, "shop");
                    assert!(now == old || now == ring.golden, "without marks, and neither: {now:?}");
                }
                let again = if marked { &["--resume"][..] } else { without };
                let again = wait(start(again));
                assert_eq!(again.code, 0, "{}", again.stderr);
                assert_eq!(read_only(), "off");
                assert_eq!(content(ring.server, "shop"), ring.golden);
                assert_eq!(schema_dump(ring.server, "shop"), schema_dump(ring.server, "golden"));
            }
        });
    }
}

/// Rows are brought back in one transaction: all of them are, or none, and what went is kept or was never gone.
#[test]
fn killed_at_random_moments_a_table_is_what_it_was_or_what_it_is_to_be() {
    let (rounds, seed) = moments();
    for major in proven_versions() {
        with_ring(major, |ring| {
            let server = ring.server;
            server.sql("postgres", "CREATE DATABASE rows TEMPLATE golden");
            let (url, key) = (server.url("rows"), pass(ring.folder));
            let args =
                ["restore", &ring.archive, "--into", &url, "--table", "orders", "--replace", "--yes", &key];
            let start = || pgcask(args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
            let wreck = || {
                server.sql(
                    "rows",
                    "UPDATE orders SET note = 'oops' WHERE id % 7 = 0; DELETE FROM orders WHERE id % 11 = 0;
                     INSERT INTO orders (customer, note) SELECT 1, 'late' FROM generate_series(1, 100)",
                );
                content(server, "rows")
            };
            let kept = "SELECT string_agg(quote_ident(tablename), ', ') FROM pg_tables WHERE tablename LIKE 'orders\\_before%'";
            wreck();
            let began = Instant::now();
            let whole = wait(start());
            assert_eq!(whole.code, 0, "{}", whole.stderr);
            let span = began.elapsed();
            let mut random = StdRng::seed_from_u64(seed);
            for round in 0..rounds {
                server.sql("rows", &format!("DROP TABLE {}", server.value("rows", kept)));
                let old = wreck();
                let moment = span.mul_f64(random.random::<f64>() * 1.1);
                eprintln!("PostgreSQL {major}, seed {seed}, round {round}, a table: {moment:?}");
                interrupt(server, start(), moment, round % 3 == 2);
                let now = content(server, "rows");
                if now == old {
                    assert_eq!(server.value("rows", kept), "");
                    let again = wait(start());
                    assert_eq!(again.code, 0, "{}", again.stderr);
                }
                assert_eq!(content(server, "rows")["public.orders"], ring.golden["public.orders"]);
                assert_ne!(server.value("rows", kept), "", "what went is kept");
            }
        });
    }
}
