//! `pgcask drill`: one that passes, and one for each way to fail, with all that is left as evidence.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::outcome;
use crate::harness::cli::{Run, backup, folder, pass, pgcask, run, signal, spawn, wait};
use crate::harness::postgres::{Build, Server, newest};
use crate::harness::s3::S3Server;
use crate::swap::{SHOP, databases};

/// A table whose name no report may take for mark-up.
const HOSTILE: &str =
    "CREATE TABLE \"<script>alert('x')</script>&|\" AS SELECT n FROM generate_series(1, 10) n;";

/// Loses a row wherever it is restored: the view is filled when all rows are loaded.
const LOSING: &str = "
    CREATE FUNCTION lose() RETURNS int LANGUAGE plpgsql AS
        'BEGIN IF current_database() LIKE ''pgcask_drill_%'' THEN DELETE FROM public.orders WHERE id = 77; END IF; RETURN 1; END';
    CREATE MATERIALIZED VIEW losing AS SELECT public.lose() AS one;";

/// The programs of a server under test.
pub(super) fn bin() -> String {
    Build::Major(newest()).bin().unwrap().display().to_string()
}

/// A folder for a test: key, store, evidence, the private servers' folders, the machine's memory.
pub(super) struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    pub(super) fn new() -> Self {
        let folder = folder();
        // The private server's account must get through.
        output_of(Command::new("chmod").arg("755").arg(folder.path()));
        Self { folder }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A command in the folder, with its memory, for people.
    pub(super) fn plain(&self, args: &[&str]) -> Command {
        let mut command = pgcask(args);
        command.env("XDG_STATE_HOME", self.path("state")).current_dir(self.folder.path());
        command
    }

    pub(super) fn command(&self, args: &[&str]) -> Command {
        let mut command = self.plain(args);
        command.arg("--json");
        command
    }

    /// A drill on a private server.
    pub(super) fn private(&self, archive: &str, more: &[&str]) -> Command {
        let work = self.path("work").display().to_string();
        let mut command =
            self.command(&["drill", archive, "--pg-bin", &bin(), "--work-dir", &work, "--jobs", "2"]);
        command.args(["--evidence", "evidence"]).args(more);
        command
    }

    /// A drill in a database of a server.
    pub(super) fn named(&self, archive: &str, server: &Server, more: &[&str]) -> Command {
        let mut command =
            self.command(&["drill", archive, "--server", &server.url("postgres"), "--jobs", "2"]);
        command.args(["--evidence", "evidence"]).args(more);
        command
    }

    pub(super) fn pass(&self) -> String {
        pass(self.folder.path())
    }

    pub(super) fn archive(&self, server: &Server, sql: &str) -> String {
        let source = server.create_db();
        server.sql(&source, sql);
        backup(self.folder.path(), &server.url(&source), &[])["archive"].as_str().unwrap().to_owned()
    }

    /// What was written of the last drill: the record, the page, the register's last line and its table.
    pub(super) fn evidence(&self) -> Evidence {
        let evidence = self.path("evidence");
        let last = |part: &str| {
            let files = std::fs::read_dir(evidence.join(part)).unwrap().map(|entry| entry.unwrap().path());
            std::fs::read_to_string(
                files.max_by_key(|path| path.metadata().unwrap().modified().unwrap()).unwrap(),
            )
            .unwrap()
        };
        let lines = std::fs::read_to_string(evidence.join("compliance-register.jsonl")).unwrap();
        Evidence {
            record: serde_json::from_str(&last("results")).unwrap(),
            page: last("reports"),
            log: last("logs"),
            entry: serde_json::from_str(lines.lines().last().unwrap()).unwrap(),
            table: std::fs::read_to_string(evidence.join("compliance-register.md")).unwrap(),
        }
    }

    /// That nothing is left of private servers.
    pub(super) fn assert_clean(&self) {
        let left: Vec<_> = std::fs::read_dir(self.path("work")).into_iter().flatten().collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

fn output_of(command: &mut Command) -> String {
    crate::harness::output(command)
}

pub(super) struct Evidence {
    pub(super) record: Value,
    pub(super) page: String,
    pub(super) log: String,
    pub(super) entry: Value,
    pub(super) table: String,
}

/// That a failed drill is told as that everywhere, with the check that failed.
fn assert_failed(place: &Place, run: &Run, check: &str) {
    let (word, found) = outcome(run, check);
    assert_eq!(word, "failed", "{check}: {found}\n{}", run.stdout);
    let Evidence { record, page, log, entry, table } = place.evidence();
    super::schema::assert_documented(&record);
    assert_eq!((&record["passed"], &entry["result"]), (&false.into(), &"failed".into()));
    assert!(entry["issues"].to_string().contains(check), "{entry}");
    assert!(page.contains("FAILED") && page.contains(check), "{check} is not in the page");
    assert!(log.contains(check) && table.contains("| failed |"), "{log}\n{table}");
}

/// That all kinds of work are in the timeline, and their rates were measured.
fn assert_timeline(record: &Value) {
    for work in ["load", "prove", "index", "foreign key", "analyze", "fill"] {
        let steps = record["steps"].as_array().unwrap();
        assert!(steps.iter().any(|step| step["work"] == work), "{work}: {steps:?}");
        assert!(record["rates"]["works"][work]["samples"].as_u64().unwrap() > 0, "{work}");
    }
}

/// That the mark beside the archive is no backup, no orphan, and one.
fn assert_marked(place: &Place, archive: &str) {
    let marks: Vec<PathBuf> = std::fs::read_dir(Path::new(archive).parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().contains(".cask.drill-"))
        .collect();
    let mark: Value = serde_json::from_slice(&std::fs::read(&marks[0]).unwrap()).unwrap();
    assert_eq!((marks.len(), &mark["result"]), (1, &"passed".into()));
    let listed =
        run(&mut place.command(&["list", "--store", place.path("store").to_str().unwrap()])).expect(0);
    assert_eq!(listed.json().as_array().unwrap().len(), 1);
    assert_eq!(listed.json()[0]["last_drill"]["result"], "passed");
    assert!(!listed.stderr.contains("leftovers"), "{}", listed.stderr);
}

#[test]
fn a_drill_on_a_private_server_passes_and_leaves_evidence_and_nothing_else() {
    let (server, place) = (Server::shared(newest()), Place::new());
    let archive = place.archive(server, &format!("{SHOP}{HOSTILE}"));
    let demands = ["--critical", "orders", "--assert", "SELECT count(*) = 500 FROM customers"];
    let done = run(place.private(&archive, &demands).arg(place.pass())).expect(0);
    for check in [
        "authentic",
        "server at hand",
        "restored",
        "row counts",
        "content hashes",
        "constraints validated",
        "indexes present and valid",
        "critical tables",
        "assertions",
        "time within the RTO",
        "removed again",
    ] {
        assert_eq!(outcome(&done, check).0, "passed", "{check}: {}", done.stdout);
    }
    place.assert_clean();
    let Evidence { record, page, log, entry, table } = place.evidence();
    assert_eq!(
        (&record["passed"], &record["type"], &record["jobs"]),
        (&true.into(), &"full".into(), &2.into())
    );
    crate::drill::schema::assert_documented(&record);
    assert_eq!(record["throughput"]["rows"], record["archive"]["rows"]);
    assert!(record["archive"]["rows"].as_u64().unwrap() > 5510, "large objects, too");
    assert_eq!(record["server"]["kind"], "private");
    assert_timeline(&record);
    let measured = record["rto"]["measured_seconds"].as_f64().unwrap();
    assert!(measured > 0.0 && record["rto"]["met"] == true && record["forecast"]["error"].is_number());
    // Phases are parts of the whole.
    let phases: f64 =
        record["phases"].as_array().unwrap().iter().map(|phase| phase["seconds"].as_f64().unwrap()).sum();
    // The recovery begins with opening the archive, whose key takes its time.
    let opening =
        record["phases"].as_array().unwrap().iter().find(|phase| phase["name"] == "opening the archive");
    let opening = opening.unwrap()["seconds"].as_f64().unwrap();
    let planning = record["phases"].as_array().unwrap().iter().find(|phase| phase["name"] == "planning");
    let planning = planning.unwrap()["seconds"].as_f64().unwrap();
    assert!(opening > 0.01 && measured > opening + planning, "{opening} {planning} {measured}");
    assert!(
        phases <= record["seconds"].as_f64().unwrap() + 0.01 && phases >= measured,
        "{phases} {measured}"
    );
    assert!(page.contains("<svg") && !page.contains("<script") && !page.contains("://"), "self-contained");
    assert!(
        page.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;|"),
        "the hostile name, escaped"
    );
    assert!(
        log.contains("load public.orders")
            && table.contains("| full drill |")
            && table.contains("| passed |")
    );
    assert_eq!((&entry["result"], &entry["issues"]), (&"passed".into(), &Value::Array(Vec::new())));
    assert_marked(&place, &archive);
    // The second one knows the rates of the first.
    run(place.private(&archive, &[]).arg(place.pass())).expect(0);
    let second = place.evidence();
    assert!(second.record["forecast"]["basis"].as_str().unwrap().contains("the drill of this database"));
    assert!(second.page.contains("Recovery times of the drills so far"));
}

#[test]
fn evidence_is_put_beside_the_archive_on_request() {
    let (server, place) = (Server::shared(newest()), Place::new());
    let source = server.create_db();
    server.sql(&source, SHOP);
    let made = backup(place.folder.path(), &server.url(&source), &[]);
    let archive = made["archive"].as_str().unwrap().to_owned();
    let drill = [&place.pass(), "--no-evidence", "--upload-evidence"];
    let mut command = place.command(&["drill", &archive, "--server", &server.url("postgres")]);
    let done = run(command.args(drill)).expect(0).json();
    let uploaded: Vec<&str> =
        done["uploaded"].as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect();
    let read = |place: &str| std::fs::read_to_string(place).unwrap();
    assert_eq!(uploaded.len(), 3);
    assert!(uploaded.iter().all(|one| one.starts_with(&format!("{archive}.evidence-"))), "{uploaded:?}");
    let record: Value = serde_json::from_str(&read(uploaded[0])).unwrap();
    assert_eq!((&record["passed"], &record["started_at"]), (&true.into(), &done["started_at"]));
    assert!(read(uploaded[1]).contains("load public.orders") && read(uploaded[2]).contains("PASSED"));
    assert!(!place.path("backup-tests").exists() && !place.path("evidence").exists());
    // It is known to lists, is no leftover, and goes with the archive.
    let store = place.path("store").display().to_string();
    let listed = run(&mut place.command(&["list", "--store", &store])).expect(0);
    assert_eq!(listed.json()[0]["last_drill"]["evidence"], done["uploaded"]);
    assert!(!listed.stderr.contains("leftovers"), "{}", listed.stderr);
    let id = listed.json()[0]["id"].as_str().unwrap().to_owned();
    // The only one would be kept whatever is asked for; names carry whole seconds.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    backup(place.folder.path(), &server.url(&source), &[]);
    let remove = ["prune", "--store", &store, "--backup", &id, "--grace", "0s", "--apply"];
    run(&mut place.command(&remove)).expect(0);
    assert!(uploaded.iter().all(|one| !Path::new(one).exists()), "{uploaded:?}");
}

#[test]
fn evidence_that_the_store_does_not_take_is_a_failure_and_hides_none() {
    let (server, s3, place) = (Server::shared(newest()), S3Server::shared(), Place::new());
    let source = server.create_db();
    server.sql(&source, SHOP);
    let bucket = s3.fresh_bucket();
    let store = format!("s3://{bucket}");
    let with = |args: &[&str]| {
        let mut command = place.command(args);
        s3.configure(command.arg(place.pass()));
        run(&mut command)
    };
    with(&["backup", &server.url(&source), "--to", &store]).expect(0);
    s3.deny(&bucket, &[("*", &["PutObject"], "*.evidence-*")]);
    let url = server.url("postgres");
    let drill =
        ["drill", "latest", "--store", &store, "--server", &url, "--no-evidence", "--upload-evidence"];
    let passed = with(&drill).expect(8);
    assert!(passed.stdout.contains("\"passed\":true"), "{}", passed.stdout);
    assert!(passed.stderr.contains("put the evidence beside the archive"), "{}", passed.stderr);
    let failed = with(&[&drill[..], &["--rto", "1ms"]].concat()).expect(5);
    assert!(failed.stderr.contains("put the evidence beside the archive"), "{}", failed.stderr);
}

#[test]
fn a_drill_in_a_database_of_a_server_drops_it_again() {
    let (server, place) = (Server::start(newest()), Place::new());
    server.sql("postgres", "CREATE ROLE keeper; CREATE DATABASE shop TEMPLATE template0");
    server.sql("shop", &format!("{SHOP} ALTER TABLE orders OWNER TO keeper"));
    let archive =
        backup(place.folder.path(), &server.url("shop"), &[])["archive"].as_str().unwrap().to_owned();
    let before = databases(&server);
    let done = run(&mut place.named(&archive, &server, &[&place.pass()])).expect(0);
    assert_eq!((outcome(&done, "content hashes").0.as_str(), databases(&server)), ("passed", before));
    // A server without the role: without owners, and that is told.
    let other = Server::start(newest());
    let done = run(&mut place.named(&archive, &other, &[&place.pass()])).expect(0);
    assert_eq!(outcome(&done, "owners and privileges").0, "noted");
    assert_eq!(databases(&other), Vec::<String>::new());
    // A sample of tables.
    let some =
        run(&mut place.named(&archive, &server, &[&place.pass(), "--table", "customers"])).expect(0).json();
    assert_eq!((&some["type"], &some["throughput"]["rows"]), (&"tables".into(), &500.into()));
    let list = run(place.plain(&["list", "--store"]).arg(place.path("store"))).expect(0).stdout;
    assert!(list.contains("passed (some tables)"), "{list}");
}

#[test]
fn a_flipped_bit_fails_before_anything_is_restored() {
    let (server, place) = (Server::shared(newest()), Place::new());
    let archive = place.archive(server, SHOP);
    let mut bytes = std::fs::read(&archive).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    std::fs::write(&archive, bytes).unwrap();
    let failed = run(&mut place.private(&archive, &[&place.pass()])).expect(5);
    assert_failed(&place, &failed, "readable");
    assert_eq!(outcome(&failed, "restored").0, "skipped");
    place.assert_clean();
}

#[test]
fn a_missing_and_a_wrong_key_fail() {
    let (server, place) = (Server::shared(newest()), Place::new());
    let archive = place.archive(server, SHOP);
    let failed = run(&mut place.private(&archive, &[])).expect(5);
    assert_failed(&place, &failed, "key at hand");
    std::fs::write(place.path("wrong"), "not it\n").unwrap();
    let failed = run(&mut place.private(&archive, &["--passphrase-file", "wrong"])).expect(5);
    assert_failed(&place, &failed, "key at hand");
}

#[test]
fn a_row_that_is_lost_on_the_way_is_found() {
    let (server, place) = (Server::shared(newest()), Place::new());
    let archive = place.archive(server, &format!("{SHOP}{LOSING}"));
    let failed = run(&mut place.private(&archive, &[&place.pass()])).expect(5);
    assert_failed(&place, &failed, "row counts");
    assert!(outcome(&failed, "row counts").1.contains("public.orders has 4999 rows of 5000"));
    // The rest is told, too.
    assert_eq!(outcome(&failed, "indexes present and valid").0, "passed");
    place.assert_clean();
}

#[test]
fn a_recovery_that_takes_too_long_fails() {
    let (server, place) = (Server::shared(newest()), Place::new());
    let archive = place.archive(server, SHOP);
    let failed = run(&mut place.named(&archive, server, &[&place.pass(), "--rto", "1ms"])).expect(5);
    assert_failed(&place, &failed, "time within the RTO");
    assert_eq!(outcome(&failed, "content hashes").0, "passed");
    let failed = run(&mut place.named(
        &archive,
        server,
        &[&place.pass(), "--assert", "SELECT count(*) = 1 FROM orders"],
    ))
    .expect(5);
    assert_failed(&place, &failed, "assertions");
}

#[test]
fn a_server_without_room_fails_and_is_removed() {
    let (server, place) = (Server::shared(newest()), Place::new());
    let archive = place.archive(
        server,
        "CREATE TABLE t AS SELECT i, repeat(md5(i::text), 8) AS m FROM generate_series(1, 400000) i",
    );
    let work = place.path("work");
    std::fs::create_dir_all(&work).unwrap();
    // A file system of its own, for this one command.
    let script = "mount -t tmpfs -o size=100m,mode=755 tmpfs \"$1\" || exit 99; shift; \"$@\"; code=$?; \
        [ -z \"$(ls \"$WORK\")\" ] || exit 98; exit $code";
    let drill =
        place.private(&archive, &[&place.pass(), "--set", "max_wal_size=32MB", "--set", "min_wal_size=32MB"]);
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-c", script, "sh"])
        .arg(&work)
        .arg(drill.get_program())
        .args(drill.get_args());
    command.current_dir(place.folder.path()).env("WORK", &work).env("HOME", "/nonexistent");
    let failed = run(&mut command).expect(5);
    assert_failed(&place, &failed, "restored");
    // As a failure of one statement, perhaps of a block that was written in part, or of the whole server, whose log says it.
    let found = outcome(&failed, "restored").1;
    let words = ["No space left on device", "HINT: Check free disk space"];
    assert!(words.iter().any(|words| found.contains(words)), "{found}");
}

/// The folders of private servers.
fn private_folders(place: &Place) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(place.path("work")).into_iter().flatten();
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// Waits until a private server or a drill's database is being filled.
fn until(what: impl Fn() -> bool) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(90);
    while !what() {
        assert!(std::time::Instant::now() < deadline, "it does not begin");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn a_stopped_drill_removes_what_it_made_and_a_killed_one_is_cleaned_up_by_the_next() {
    let (server, place) = (Server::start(newest()), Place::new());
    let source = server.create_db();
    server.sql(&source, "CREATE TABLE t AS SELECT i, md5(i::text) AS m FROM generate_series(1, 300000) i; CREATE INDEX ON t (m)");
    let archive =
        backup(place.folder.path(), &server.url(&source), &[])["archive"].as_str().unwrap().to_owned();
    let socket =
        |place: &Place| private_folders(place).iter().any(|folder| folder.join(".s.PGSQL.5432").exists());
    // Stopped.
    let child = spawn(&mut place.private(&archive, &[&place.pass()]));
    until(|| socket(&place));
    signal(&child, "INT");
    wait(child).expect(130);
    place.assert_clean();
    let made = || databases(&server).iter().any(|name| name.starts_with("pgcask_drill_"));
    let child = spawn(&mut place.named(&archive, &server, &[&place.pass()]));
    until(made);
    signal(&child, "TERM");
    wait(child).expect(143);
    assert!(!made());
    // Killed: the next one cleans up.
    let mut child = spawn(&mut place.private(&archive, &[&place.pass()]));
    until(|| socket(&place));
    child.kill().unwrap();
    child.wait().unwrap();
    let left = private_folders(&place);
    assert_eq!(left.len(), 1);
    let postmaster = std::fs::read_to_string(left[0].join("data/postmaster.pid")).unwrap();
    let postmaster = PathBuf::from(format!("/proc/{}", postmaster.lines().next().unwrap()));
    assert!(postmaster.exists());
    let done = run(&mut place.private(&archive, &[&place.pass()])).expect(0);
    assert_eq!(outcome(&done, "server at hand").0, "noted");
    assert!(!postmaster.exists(), "the killed drill's server still runs");
    place.assert_clean();
    let mut child = spawn(&mut place.named(&archive, &server, &[&place.pass()]));
    until(made);
    child.kill().unwrap();
    child.wait().unwrap();
    until(|| {
        let sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'pgcask_drill_%'";
        server.value("postgres", sessions) == "0"
    });
    let done = run(&mut place.named(&archive, &server, &[&place.pass()])).expect(0);
    assert_eq!((outcome(&done, "server at hand").0.as_str(), made()), ("noted", false));
}

#[test]
fn the_commands_of_the_page_on_drills_are_run() {
    let (server, place) = (Server::start(newest()), Place::new());
    server.sql("postgres", "CREATE DATABASE shop TEMPLATE template0");
    server.sql("shop", SHOP);
    let prepare = [
        "pgcask keygen --output pgcask.key > recipient",
        "pgcask backup \"$SHOP\" --to backups --recipient recipient",
    ];
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/drills.md")).unwrap();
    let shown = page.lines().filter_map(|line| line.strip_prefix("$ "));
    let path = format!("PATH=$PATH:{}", bin());
    let steps: Vec<String> =
        std::iter::once(path.as_str()).chain(prepare).chain(shown).map(str::to_owned).collect();
    assert!(steps.len() >= 5, "{steps:?}");
    let state = place.path("state").display().to_string();
    let variables = [("SHOP", server.url("shop")), ("XDG_STATE_HOME", state)];
    let printed = crate::docs::walk(&server, "shop", place.folder.path(), &steps, &variables);
    assert!(printed.contains("content hashes") && printed.contains("passed: "), "{printed}");
    assert!(place.path("backup-tests/compliance-register.md").is_file());
}
