//! Archives that are made anew without erased rows, and take the place of those that have them.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use jiff::SignedDuration;
use pgcask::actor::Actor;
use pgcask::clock::Clock;
use pgcask::operate::prune;
use pgcask::operate::retention::Policy;
use pgcask::seal::recipient::generate_identity;
use pgcask::stop::Stop;
use pgcask::store::location::Location;
use serde_json::{Value, json};

use crate::harness::cli::{Run, run, signal, spawn, wait};
use crate::harness::oracle::content;
use crate::harness::place::Place;
use crate::harness::postgres::{Db, Server, newest};
use crate::harness::proxy::{Fault, Proxy, Request};
use crate::harness::rss;
use crate::swap::proven_versions;

/// People and what hangs on them by foreign keys of several rules, through partitions, over more than one chunk, along a tree.
const PEOPLE: &str = "
    CREATE DOMAIN code AS text;
    CREATE TABLE users (id bigint PRIMARY KEY, email text NOT NULL, boss bigint REFERENCES users ON DELETE SET NULL);
    CREATE TABLE events (id int PRIMARY KEY, of_user bigint NOT NULL REFERENCES users ON DELETE CASCADE, note text);
    CREATE TABLE marks (event int PRIMARY KEY REFERENCES events ON DELETE CASCADE);
    CREATE TABLE posts (id int PRIMARY KEY, author int REFERENCES users ON DELETE SET NULL, body text);
    CREATE TABLE tree (id int PRIMARY KEY, up int REFERENCES tree ON DELETE CASCADE);
    CREATE TABLE members (tenant int, code code, joined date, PRIMARY KEY (tenant, code, joined)) PARTITION BY RANGE (joined);
    CREATE TABLE members_old PARTITION OF members FOR VALUES FROM (MINVALUE) TO ('2026-01-01');
    CREATE TABLE members_new PARTITION OF members FOR VALUES FROM ('2026-01-01') TO (MAXVALUE);
    CREATE TABLE lines (text text);
    INSERT INTO users SELECT n, 'u' || n || '@example', NULLIF(n / 2, 0) FROM generate_series(1, 100) n;
    INSERT INTO events SELECT n, 1 + n % 100, md5(n::text) || md5((n * 3)::text) FROM generate_series(1, 60000) n;
    INSERT INTO marks SELECT generate_series(1, 60000, 7);
    INSERT INTO posts SELECT n, 1 + n % 100, 'a\tb\nc\\\\' FROM generate_series(1, 300) n;
    INSERT INTO tree SELECT n, NULLIF(n / 2, 0) FROM generate_series(1, 100) n;
    INSERT INTO members SELECT n % 5, 'C' || n, date '2025-12-01' + n FROM generate_series(1, 60) n;
    INSERT INTO lines VALUES (''), (NULL), ('\\N');
    SELECT lo_from_bytea(0, 'a large object');";

/// What is erased: in the database, by a server.
const ERASED: &str =
    "DELETE FROM users WHERE id = 42; DELETE FROM members WHERE (tenant, code) IN ((1, 'C1'), (3, 'C58'));
    DELETE FROM tree WHERE id = 3";

struct Case<'a> {
    place: &'a Place,
    server: &'static Server,
    database: Db<'static>,
}

impl<'a> Case<'a> {
    fn new(place: &'a Place, server: &'static Server, sql: &str) -> Self {
        let database = server.create_db();
        server.sql(&database, sql);
        let (secret, public) = generate_identity();
        std::fs::write(place.folder.path().join("key"), secret.as_bytes()).unwrap();
        std::fs::write(place.folder.path().join("key.pub"), public).unwrap();
        Self { place, server, database }
    }

    fn path(&self, name: &str) -> String {
        self.place.folder.path().join(name).display().to_string()
    }

    fn key(&self) -> [String; 2] {
        ["-i".to_owned(), self.path("key")]
    }

    /// Backs up; gives the archive.
    fn backup(&self, more: &[&str]) -> String {
        let url = self.server.url(&self.database);
        let mut command = self.place.command(&["backup", &url, "--to", &self.place.store, "--json"]);
        let made = run(command.args(more)).expect(0).json();
        made["archive"].as_str().unwrap().to_owned()
    }

    fn record(&self, more: &[&str]) {
        let args = ["erase", "record", &*self.database, "--reason", "asked"];
        self.place.run(&[&args[..], more].concat()).expect(0);
    }

    fn record_all(&self) {
        self.record(&["--table", "users", "--key", "id=042"]);
        let members = ["--key", "tenant=1", "--key", "code=C1", "--key", "tenant=3", "--key", "code=C58"];
        self.record(&[&["--table", "members"], &members[..]].concat());
        self.record(&["--table", "tree", "--key", "id=3"]);
    }

    fn rewrite(&self, more: &[&str]) -> Run {
        let mut command = self.place.command(&["erase", "rewrite", "--store", &self.place.store, "--json"]);
        run(command.args(more))
    }

    /// With the identity, without being asked.
    fn rewrite_all(&self, more: &[&str]) -> Run {
        let key = self.key();
        self.rewrite(&[&["--all", "--yes", &key[0], &key[1]], more].concat())
    }

    fn list(&self) -> Vec<Value> {
        self.place.run(&["list", "--json"]).expect(0).json().as_array().unwrap().clone()
    }

    fn report(&self) -> Value {
        self.place.run(&["erase", "report", &self.database, "--json"]).expect(0).json()
    }

    /// Restores an archive without its ledger, and compares it with the source after the erasure, which a server did.
    fn is_without(&self, archive: &str, erased: &str) {
        let [i, key] = self.key();
        let target = self.server.fresh_name();
        let into = self.server.url(&target);
        let args = ["restore", archive, "--into", &into, "--create", "--no-erasure", &i, &key, "--json"];
        let restored = run(&mut self.place.command(&args)).expect(0);
        assert_eq!(restored.json()["verified"], true);
        let target = self.server.adopt(target);
        let expected = self.server.create_db_with(&format!("TEMPLATE {}", &*self.database));
        self.server.sql(&expected, erased);
        assert_eq!(content(self.server, &expected), content(self.server, &target));
    }
}

/// What a run said of the backups before it failed.
fn rows(run: &Run) -> Value {
    serde_json::from_str(run.stdout.lines().next().unwrap()).unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

#[test]
fn the_rows_leave_the_archive_and_all_else_stays() {
    for major in proven_versions() {
        Place::each(|place| the_rows_leave(place, Server::shared(major)));
    }
}

fn the_rows_leave(place: &Place, server: &'static Server) {
    let case = Case::new(place, server, PEOPLE);
    let [i, key] = case.key();
    let old = case.backup(&["-r", &case.path("key.pub"), "--kind", "monthly"]);
    case.record_all();
    let before = (place.keys(), case.list());

    let (wrong, _) = generate_identity();
    std::fs::write(case.path("wrong"), wrong.as_bytes()).unwrap();
    case.rewrite(&["--all", "--yes", "-i", &case.path("wrong")]).expect(4);
    case.rewrite(&["--all", &i, &key]).expect(9);
    let planned = case.rewrite(&["--all", "--dry-run", &i, &key]).expect(0).json();
    assert_eq!(planned[0]["outcome"], "would_be_rewritten");
    assert_eq!(place.keys(), before.0, "nothing was touched");

    let done = case.rewrite_all(&[]).expect(0).json();
    let made = &done[0]["made"];
    assert_eq!((&done[0]["outcome"], &made["supersedes"]), (&json!("rewritten"), &before.1[0]["id"]));
    let gone = what_went(&case, &done[0]["found"]);
    takes_the_place(&case, made, &before.1[0], gone);
    let reference = format!("{}/latest", &*case.database);
    let latest = place.run(&["show", &reference, &i, &key, "--json"]).expect(0).json();
    assert_eq!((&latest["manifest"]["id"], &latest["archive"]), (&made["id"], &made["archive"]));
    assert_eq!(latest["manifest"]["rewritten"]["from"], made["supersedes"]);
    place.run(&["verify", &reference, &i, &key]).expect(0);
    let tested = place.run(&["test", &reference, &i, &key, "--no-evidence"]).expect(0).stdout;
    assert!(tested.contains("metadata agrees") && !tested.contains("failed  "), "{tested}");
    let cat = |archive: &str| {
        let args = ["cat", archive, "users", "--key", "id=42", "--format", "csv", &i, &key];
        run(&mut place.command(&args)).expect(0).stdout.lines().count()
    };
    assert_eq!((cat(&old), cat(text(&made["archive"]))), (2, 1));
    case.is_without(text(&made["archive"]), ERASED);

    old_one_goes(&case, made);
}

/// Which rows went, by what the run said; gives how many.
fn what_went(case: &Case<'_>, found: &Value) -> u64 {
    let count = |list: &str| -> Vec<(String, u64)> {
        let all = found[list].as_array().unwrap();
        all.iter().map(|one| (text(&one["table"]).to_owned(), one["rows"].as_u64().unwrap())).collect()
    };
    let named = |name: &str, rows: u64| (format!("public.{name}"), rows);
    let mut tables = count("tables");
    tables.sort();
    let own = [("members_new", 1), ("members_old", 1), ("tree", 1), ("users", 1)];
    assert_eq!(tables, own.map(|(name, rows)| named(name, rows)));
    let mut along = count("along");
    along.sort();
    // Below 3: 6 7 12–15 24–31 48–63 96–100.
    let marks: u64 = case
        .server
        .value(&case.database, "SELECT count(*) FROM marks JOIN events ON id = event WHERE of_user = 42")
        .parse()
        .unwrap();
    assert_eq!(along, [named("events", 600), named("marks", marks), named("tree", 35)]);
    let mut emptied = count("emptied");
    emptied.sort();
    assert_eq!(emptied, [named("posts", 3), named("users", 2)]);

    4 + 600 + marks + 35
}

/// The new one is listed as the old one was, and the old one as superseded.
fn takes_the_place(case: &Case<'_>, made: &Value, before: &Value, gone: u64) {
    let [new_row, old_row] = <[Value; 2]>::try_from(case.list())
        .map(|mut rows| {
            rows.sort_by_key(|row| !row["superseded_by"].is_null());
            rows
        })
        .unwrap();
    assert_eq!((&old_row["superseded_by"], &new_row["superseded_by"]), (&made["id"], &Value::Null));
    for field in ["taken_at", "kind", "database"] {
        assert_eq!(new_row[field], old_row[field]);
    }
    for field in ["expires_at", "snapshot_at", "keys", "server_version", "tables", "objects"] {
        assert_eq!(new_row["metadata"][field], before["metadata"][field], "{field}");
    }
    let kept = |row: &Value| row["metadata"]["rows"].as_u64().unwrap();
    assert_eq!(kept(&new_row) + gone, kept(&old_row));
    assert_eq!(new_row["metadata"]["rewritten"]["rows"], gone);
    let shown = case.place.run(&["list"]).expect(0).stdout;
    assert!(shown.contains("superseded"), "{shown}");
}

/// The report and the audit log know of it, and the old one goes after the grace period.
fn old_one_goes(case: &Case<'_>, made: &Value) {
    let place = case.place;
    let report = case.report();
    assert_eq!(report["backups"].as_array().unwrap().len(), 1, "{report}");
    assert_eq!(
        (&report["backups"][0]["superseded_by"], &report["backups"][0]["overdue"]),
        (&made["id"], &json!(true))
    );
    let audit = place.run(&["audit", "show", "--operation", "erase rewrite", "--json"]).expect(0).stdout;
    assert!(audit.contains(text(&made["id"])), "{audit}");
    // It is known without a key that nothing is left to do.
    let again = case.rewrite(&["--all", "--yes"]).expect(0).json();
    assert_eq!(again[0]["outcome"], "has_none", "{again}");

    place.run(&["prune", "--apply"]).expect(0);
    place.run(&["prune", "--apply"]).expect(0);
    assert_eq!(place.ids().len(), 2, "the grace period is not over");
    std::thread::sleep(Duration::from_millis(1100));
    place.run(&["prune", "--apply", "--grace", "1s"]).expect(0);
    assert_eq!(place.ids(), [text(&made["id"])]);
    let report = case.report();
    assert!(report["entries"].as_array().unwrap().iter().all(|entry| entry["gone"] == true), "{report}");
}

#[test]
fn a_held_backup_stays_as_it_is_and_one_that_is_superseded_goes_only_while_the_other_is_there() {
    Place::each(|place| {
        let case = Case::new(place, Server::shared(newest()), PEOPLE);
        let old = case.backup(&["-r", &case.path("key.pub")]);
        case.record_all();
        let reason = ["--reason", "litigation"];
        run(place.command(&["hold", "add", &old]).args(reason)).expect(0);
        let before = place.keys();
        let refused = case.rewrite_all(&[]).expect(9);
        assert!(refused.stderr.contains("is held"), "{}", refused.stderr);
        assert_eq!(rows(&refused)[0]["outcome"], "held");
        assert_eq!(place.keys(), before);
        run(place.command(&["hold", "release", &old]).args(reason)).expect(0);

        let first = case.rewrite_all(&[]).expect(0).json()[0]["made"].clone();
        // Held after it was superseded: it stays, too.
        run(place.command(&["hold", "add", &old]).args(reason)).expect(0);
        place.run(&["prune", "--apply", "--grace", "0s"]).expect(0);
        assert_eq!(place.ids().len(), 2);
        run(place.command(&["hold", "release", &old]).args(reason)).expect(0);

        // One that was rewritten is rewritten again: whoever has the place now, both others go.
        case.record(&["--table", "users", "--key", "id=50"]);
        let second = case.rewrite_all(&[]).expect(0).json();
        assert_eq!(second.as_array().unwrap().len(), 1, "superseded ones are left out: {second}");
        assert_eq!(second[0]["made"]["supersedes"], first["id"]);
        let superseded = |by: &Value| case.list().iter().filter(|row| row["superseded_by"] == *by).count();
        assert_eq!(superseded(&second[0]["made"]["id"]), 2 - superseded(&first["id"]));
        case.is_without(
            text(&second[0]["made"]["archive"]),
            &format!("{ERASED}; DELETE FROM users WHERE id = 50"),
        );

        // Without the new ones, the old one is a backup as before.
        place.run(&["prune", "--apply"]).expect(0);
        let new = [&first, &second[0]["made"]].map(|made| text(&made["id"]).to_owned());
        for key in
            place.keys().into_iter().filter(|key| new.iter().any(|id| key.contains(&format!("-{id}.cask"))))
        {
            place.delete(&key);
        }
        place.run(&["prune", "--apply", "--grace", "0s"]).expect(0);
        let left = case.list();
        assert_eq!((left.len(), &left[0]["superseded_by"]), (1, &Value::Null), "{left:?}");
        assert!(old.ends_with(&format!("{}.cask", text(&left[0]["id"]))));
    });
}

/// Between a plan and its doing the archive that took the place may go: then it is the old one that is the backup.
#[test]
fn one_whose_successor_goes_at_the_last_moment_stays() {
    let place = Place::directory();
    let case = Case::new(&place, Server::shared(newest()), PEOPLE);
    let old = case.backup(&["-r", &case.path("key.pub")]);
    case.record_all();
    let new = text(&case.rewrite_all(&[]).expect(0).json()[0]["made"]["id"]).to_owned();
    place.run(&["prune", "--apply"]).expect(0);
    let store = Location::parse(&place.store).unwrap().open_existing().unwrap();
    let options = prune::Options {
        database: None,
        named: Vec::new(),
        policy: Policy::default(),
        policies: BTreeMap::new(),
        grace: SignedDuration::ZERO,
        leftover_age: SignedDuration::from_hours(24),
        trust_clock: false,
        actor: Actor { person: String::new(), host: String::new() },
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut plan = runtime.block_on(prune::plan(&store, &options, Clock::System.now())).unwrap();
    let is_old = |one: &&prune::Planned| old.ends_with(&format!("{}.cask", one.id));
    let goes = |plan: &prune::Plan| plan.backups.iter().find(is_old).cloned();
    assert_eq!(goes(&plan).unwrap().step, prune::Step::Remove);
    for key in place.keys().into_iter().filter(|key| key.contains(&format!("-{new}.cask"))) {
        place.delete(&key);
    }
    runtime.block_on(prune::apply(&store, &mut plan, &options, Clock::System, &Stop::default())).unwrap();
    let Some(prune::Outcome::Spared(why)) = goes(&plan).unwrap().outcome else { panic!("{plan:?}") };
    assert!(why.contains(&new) && why.contains("is gone"), "{why}");
    run(&mut place.command(&["verify", &old, "-i", &case.path("key")])).expect(0);
}

#[test]
fn what_would_leave_a_reference_or_cannot_be_told_is_refused_by_name() {
    let place = Place::directory();
    let sql = "CREATE TABLE users (id int PRIMARY KEY, score float8 UNIQUE);
        CREATE TABLE invoices (id int PRIMARY KEY, payer int NOT NULL REFERENCES users);
        INSERT INTO users SELECT n, n / 2.0 FROM generate_series(1, 9) n;
        INSERT INTO invoices VALUES (1, 4), (2, 4), (3, 5)";
    let case = Case::new(&place, Server::shared(newest()), sql);
    case.backup(&["-r", &case.path("key.pub")]);
    case.record(&["--table", "users", "--key", "id=4"]);
    let before = place.keys();
    let refused = case.rewrite_all(&[]).expect(9);
    let words = "2 rows of public.invoices (payer, invoices_payer_fkey)";
    assert!(refused.stderr.contains(words), "{}", refused.stderr);
    assert_eq!(rows(&refused)[0]["outcome"], "failed");
    assert_eq!(place.keys(), before);

    case.record(&["--table", "invoices", "--key", "payer=4"]);
    let made = case.rewrite_all(&[]).expect(0).json();
    let gone = "DELETE FROM invoices WHERE payer = 4; DELETE FROM users WHERE id = 4";
    case.is_without(text(&made[0]["made"]["archive"]), gone);

    // What it was searched for in vain stands beside it: it is not opened for that again, nor counted on.
    case.record(&["--table", "users", "--key", "id=77"]);
    assert_eq!(case.rewrite_all(&[]).expect(0).json()[0]["outcome"], "has_none");
    let notes = || place.keys().iter().filter(|key| key.contains(".searched-")).count();
    assert_eq!(notes(), 1);
    let without_a_key = case.rewrite(&["--all", "--yes"]).expect(0).json();
    assert_eq!((&without_a_key[0]["outcome"], notes()), (&json!("has_none"), 1));
    let report = case.report();
    let newest = report["entries"].as_array().unwrap().iter().max_by_key(|entry| text(&entry["at"])).unwrap();
    assert_eq!(newest["backups"], 1, "only the superseded one can still have it: {report}");

    // What a table is called today says nothing of what it was called then: such a row is not said to be gone.
    case.record(&["--table", "people", "--key", "id=1"]);
    let again = case.rewrite_all(&[]).expect(0).json();
    let not_there = &again[0]["found"]["not_there"];
    assert_eq!((&again[0]["outcome"], not_there), (&json!("has_none"), &json!(["public.people"])), "{again}");
    let report = case.report();
    let people = report["entries"]
        .as_array()
        .unwrap()
        .iter()
        .find(|entry| entry["table"]["name"] == "people")
        .unwrap();
    assert_eq!((&people["gone"], &people["backups"]), (&json!(false), &json!(2)), "{report}");

    case.record(&["--table", "users", "--key", "score=1.50"]);
    let refused = case.rewrite_all(&[]).expect(9);
    assert!(refused.stderr.contains("double precision"), "{}", refused.stderr);
}

#[test]
fn copies_in_other_stores_are_rewritten_in_the_same_run() {
    let (place, second) = (Place::directory(), Place::bucket());
    let server = Server::shared(newest());
    let case = Case::new(&place, server, "CREATE TABLE t AS SELECT generate_series(1, 9) AS id");
    let url = server.url(&case.database);
    let (public, [i, key]) = (case.path("key.pub"), case.key());
    let args = ["backup", &url, "--to", &place.store, "--copy-to", &second.store, "-r", &public];
    run(&mut second.command(&args)).expect(0);
    let row = ["--table", "t", "--key", "id=5", "--reason", "asked", "--copy-to", &second.store];
    let go =
        |args: &[&str]| run(second.command(args).args(["--store", &place.store, "--json"])).expect(0).json();
    go(&[&["erase", "record", &*case.database], &row[..]].concat());
    let all = ["erase", "rewrite", "--all", "--yes", "--copy-to", &second.store, &i, &key];
    let done = go(&all);
    for (row, store) in done.as_array().unwrap().iter().zip([&place.store, &second.store]) {
        assert_eq!(row["outcome"], "rewritten");
        let archive = text(&row["made"]["archive"]);
        assert!(archive.starts_with(store.as_str()), "{archive}");
        let cat = run(&mut second.command(&["cat", archive, "t", &i, &key])).expect(0).stdout;
        assert_eq!(
            cat.split_whitespace().collect::<Vec<_>>(),
            ["id", "1", "2", "3", "4", "6", "7", "8", "9"]
        );
    }
    assert_eq!((place.ids().len(), second.ids().len()), (2, 2));
}

/// Each row passes through memory once, and not all at once: 200 MiB and three times the largest row are enough.
#[test]
fn a_large_archive_is_rewritten_in_little_memory() {
    const LARGEST: u64 = 8 << 20;
    let place = Place::directory();
    let sql = format!(
        "CREATE TABLE t AS SELECT n AS id, n AS twin, repeat(md5(n::text), 160) AS v FROM generate_series(1, 48000) n;
         INSERT INTO t VALUES (0, 0, repeat('x', {LARGEST}))"
    );
    let case = Case::new(&place, Server::shared(newest()), &sql);
    case.backup(&["-r", &case.path("key.pub")]);
    // By a column that has no zone: every row is looked at.
    case.record(&["--table", "t", "--key", "v=x"]);
    case.record(&["--table", "t", "--key", "twin=47999"]);
    let [i, key] = case.key();
    let args = ["erase", "rewrite", "--all", "--yes", &i, &key, "--store", &place.store];
    let quiet = Stdio::null;
    let child = place.command(&args).stdout(quiet()).stderr(quiet()).spawn().unwrap();
    let (peak, status) = rss::peak(child);
    assert!(status.success());
    assert!(peak < (200 << 20) + 3 * LARGEST, "{} MiB", peak >> 20);
    let rows: Vec<u64> = case.list().iter().map(|row| row["metadata"]["rows"].as_u64().unwrap()).collect();
    assert_eq!(rows.iter().sum::<u64>(), 48_001 + 48_000, "{rows:?}");
    eprintln!("{} MiB", peak >> 20);
}

#[test]
fn hashed_entries_are_found_and_a_passphrase_opens_the_new_one_as_it_did_the_old() {
    let place = Place::directory();
    let case = Case::new(&place, Server::shared(newest()), PEOPLE);
    let pass = format!("--passphrase-file={}", case.path("pass"));
    case.backup(&["-r", &case.path("key.pub"), &pass]);
    std::fs::write(case.path("hmac"), "k".repeat(70)).unwrap();
    let hmac = ["--erasure-key-file".to_owned(), case.path("hmac")];
    let rows = ["--table", "members", "--key", "tenant=1", "--key", "code=C1", "--hash", &hmac[0], &hmac[1]];
    case.record(&rows);
    case.rewrite_all(&[]).expect(4);
    let refused = case.rewrite_all(&[&hmac[0], &hmac[1]]).expect(4);
    assert!(refused.stderr.contains("can be opened by a passphrase"), "{}", refused.stderr);
    std::fs::write(case.path("other"), "planted-secret but another one").unwrap();
    let other = format!("--passphrase-file={}", case.path("other"));
    case.rewrite_all(&[&hmac[0], &hmac[1], &other]).expect(4);
    let made = case.rewrite_all(&[&hmac[0], &hmac[1], &pass]).expect(0).json();
    let archive = text(&made[0]["made"]["archive"]);
    run(&mut place.command(&["verify", archive, &pass])).expect(0);
    case.is_without(archive, "DELETE FROM members WHERE (tenant, code) = (1, 'C1')");
}

#[test]
fn killed_at_each_step_nothing_is_listed_that_is_not_whole() {
    let s3 = crate::harness::s3::S3Server::shared();
    for step in ["POST uploads", "PUT part", "POST upload", "PUT sha256", "PUT json"] {
        let place = Place::bucket();
        let case = Case::new(&place, Server::shared(newest()), PEOPLE);
        let [i, key] = case.key();
        let old = case.backup(&["-r", &case.path("key.pub")]);
        case.record_all();
        let (arrived, arrival) = std::sync::mpsc::sync_channel(1);
        let proxy = Proxy::start(&s3.endpoint(), move |request: &Request, _: u32| {
            if request.class() != step {
                return Fault::None;
            }
            let _sent = arrived.try_send(());
            Fault::Delay(Duration::from_mins(1))
        });
        let args = ["erase", "rewrite", "--all", "--yes", &i, &key, "--store", &place.store];
        let child = spawn(place.command(&args).env("AWS_ENDPOINT_URL", proxy.endpoint()));
        arrival.recv_timeout(Duration::from_secs(30)).unwrap_or_else(|_| panic!("{step} never came"));
        signal(&child, "KILL");
        assert_eq!(wait(child).code, -1, "{step}");
        drop(proxy);
        let left = case.list();
        assert_eq!((left.len(), &left[0]["superseded_by"]), (1, &Value::Null), "{step}: {:?}", place.keys());
        run(&mut place.command(&["verify", &old, &i, &key])).expect(0);
        let made = case.rewrite_all(&[]).expect(0).json();
        assert_eq!(
            case.list().iter().filter(|row| row["superseded_by"] == made[0]["made"]["id"]).count(),
            1,
            "{step}"
        );
    }
}
