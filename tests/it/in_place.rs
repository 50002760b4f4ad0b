//! Full restore inside the live database, by one who may not create any.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::harness::cli::{backup, folder, pass, pgcask, restore, run, signal, wait};
use crate::harness::oracle::{assert_same, content};
use crate::harness::postgres::{Server, newest};
use crate::swap::{SHOP, databases, proven_versions};

/// More kinds of objects, in `public` and out of it.
const MORE: &str = "
    CREATE SCHEMA sales; CREATE TYPE sales.state AS ENUM ('new', 'old'); CREATE DOMAIN positive AS int CHECK (VALUE > 0);
    CREATE TABLE sales.parts (id positive, s sales.state) PARTITION BY LIST (s);
    CREATE TABLE sales.new PARTITION OF sales.parts FOR VALUES IN ('new');
    INSERT INTO sales.parts VALUES (1, 'new');
    CREATE TYPE pair AS (a int, b int); CREATE FUNCTION add(pair) RETURNS int LANGUAGE sql AS 'SELECT $1.a + $1.b';
    CREATE AGGREGATE total(int) (SFUNC = int4pl, STYPE = int);
    CREATE OPERATOR <+> (LEFTARG = int, RIGHTARG = int, FUNCTION = int4pl);
    CREATE TEXT SEARCH CONFIGURATION words (COPY = simple); CREATE COLLATION plain (LOCALE = 'C');
    CREATE STATISTICS two ON id, customer FROM orders;";

#[test]
fn the_live_database_is_emptied_and_filled_again() {
    for major in proven_versions() {
        let (server, folder) = (Server::start(major), folder());
        server.sql("postgres", "CREATE ROLE tenant LOGIN");
        server.sql("postgres", "CREATE DATABASE shop TEMPLATE template0 OWNER tenant");
        server.sql("shop", "GRANT CREATE ON SCHEMA public TO tenant");
        let as_tenant = |sql: &str| server.sql("shop", &format!("SET ROLE tenant; {sql}"));
        as_tenant(SHOP);
        as_tenant(MORE);
        let url = server.url("shop");
        let archive = backup(folder.path(), &url, &[])["archive"].as_str().unwrap().to_owned();
        server.sql("postgres", "CREATE DATABASE golden TEMPLATE shop");
        as_tenant(
            "DROP TABLE orders CASCADE; CREATE TABLE orders (wrong int); CREATE SCHEMA rubbish; CREATE TABLE rubbish.t (a int); \
             CREATE VIEW also_wrong AS SELECT * FROM orders; SELECT lo_unlink(4711); CREATE TYPE sales.more AS ENUM ('x')",
        );
        let wrecked = content(&server, "shop");
        // A superuser's URL names the user; the tenant's names no other.
        let tenant = url.replacen("postgres@", "tenant@", 1);
        assert_ne!(tenant, url);
        let refused = restore(folder.path(), &archive, &tenant, &["--swap", "--yes"]).expect(9);
        assert!(refused.stderr.contains("--in-place"), "{}", refused.stderr);
        let plan = restore(folder.path(), &archive, &tenant, &["--in-place", "--dry-run"]).expect(0).json();
        let drops = plan["drops"].to_string();
        assert!(drops.contains("SCHEMA rubbish") && drops.contains("public.orders"), "{plan}");
        assert_eq!(content(&server, "shop"), wrecked);
        // One who may not do it is told so before he is asked.
        server.sql("postgres", "CREATE ROLE passer LOGIN; GRANT pg_read_all_data TO passer");
        let passer = url.replacen("postgres@", "passer@", 1);
        let refused =
            restore(folder.path(), &archive, &passer, &["--in-place", "--dry-run"]).expect(9).json();
        let findings = refused["findings"].to_string();
        for what in
            ["passer may not drop", "schema sales", "public.customers", "may not create schemas in shop"]
        {
            assert!(findings.contains(what), "{what}: {findings}");
        }
        let foreign = "CREATE CAST (json AS varchar) WITH INOUT; CREATE ACCESS METHOD heap2 TYPE TABLE HANDLER heap_tableam_handler";
        server.sql("shop", foreign);
        let refused =
            restore(folder.path(), &archive, &tenant, &["--in-place", "--dry-run"]).expect(9).json();
        let findings = refused["findings"].to_string();
        for what in ["json AS character varying)", "access method heap2"] {
            assert!(findings.contains(what), "{what}: {findings}");
        }
        let gone = "DROP CAST (json AS varchar); DROP ACCESS METHOD heap2";
        server.sql("shop", gone);
        let refused = restore(folder.path(), &archive, &passer, &["--in-place", "--yes"]).expect(9);
        assert!(refused.stderr.contains("nothing was touched"), "{}", refused.stderr);
        let told =
            run(pgcask(["restore", &archive, "--into", &tenant, "--in-place", &pass(folder.path())])
                .arg("-v"))
            .expect(9);
        assert!(
            told.stderr.contains("other than with --swap") && told.stderr.contains("not usable"),
            "{}",
            told.stderr
        );
        assert_eq!(content(&server, "shop"), wrecked);

        let done = restore(folder.path(), &archive, &tenant, &["--in-place", "--yes"]).expect(0).json();
        assert_eq!(done["verified"], true);
        assert_same(&server, "golden", &server, "shop");
        assert_eq!(databases(&server), ["golden", "shop"]);
        // The way back is the safety backup.
        let safety = done["safety_backup"].as_str().unwrap();
        restore(folder.path(), safety, &server.url("before"), &["--create"]).expect(0);
        assert_eq!(content(&server, "before"), wrecked);
    }
}

#[test]
fn killed_while_it_is_filled_it_goes_on() {
    let (server, folder) = (Server::start(newest()), folder());
    server.sql("postgres", "CREATE DATABASE shop TEMPLATE template0");
    server.sql("shop", SHOP);
    let url = server.url("shop");
    let archive = backup(folder.path(), &url, &[])["archive"].as_str().unwrap().to_owned();
    server.sql("postgres", "CREATE DATABASE golden TEMPLATE shop");
    let wreck = "DROP TABLE orders CASCADE; CREATE TABLE leftover (a int)";
    for line in ["emptying", "planning", "loading", "proving the content"] {
        server.sql("shop", wreck);
        let wrecked = content(&server, "shop");
        let mut command =
            pgcask(["restore", &archive, "--into", &url, "--in-place", "--yes", "--no-safety-backup", "-v"]);
        let mut child =
            command.arg(pass(folder.path())).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        {
            use std::io::BufRead as _;
            let log = std::io::BufReader::new(child.stderr.take().unwrap());
            assert!(log.lines().map(Result::unwrap).any(|text| text.contains(line)), "{line}");
        }
        signal(&child, "KILL");
        wait(child);
        // Emptied and marked, or as it was: never half of it. Others find it read-only as long as it has marks.
        let marked = server.value("shop", "SELECT to_regclass('pgcask_restore.claim') IS NOT NULL") == "t";
        assert!(marked || content(&server, "shop") == wrecked, "{line}");
        assert_eq!(read_only(&server), if marked { "on" } else { "off" }, "{line}");
        let again = ["--in-place", "--yes", "--no-safety-backup"];
        if marked {
            restore(folder.path(), &archive, &url, &[&again[..], &["--resume"]].concat()).expect(0);
        } else {
            restore(folder.path(), &archive, &url, &again).expect(0);
        }
        assert_same(&server, "golden", &server, "shop");
        assert_eq!(read_only(&server), "off", "{line}");
        // What is whole must not be taken for the rest of something.
        let refused = restore(folder.path(), &archive, &url, &[&again[..], &["--resume"]].concat()).expect(9);
        assert!(refused.stderr.contains("leave --resume out"), "{}", refused.stderr);
        assert_same(&server, "golden", &server, "shop");
    }
}

/// Whether the sessions of others begin read-only.
fn read_only(server: &Server) -> String {
    server.value("shop", "SHOW default_transaction_read_only")
}

/// Enough rows for a safety backup that takes a while.
const BULK: &str = "CREATE TABLE bulk AS SELECT n, md5(n::text) AS a, md5((n * 3)::text) AS b FROM generate_series(1, 300000) n; \
    CREATE TABLE arrivals (id bigint PRIMARY KEY)";

/// An application that goes on inserting, and connects again when its session is ended.
#[test]
fn what_others_commit_is_in_the_safety_backup_or_in_what_was_restored() {
    for major in proven_versions() {
        let (server, folder) = (Server::start(major), folder());
        server.sql("postgres", "CREATE DATABASE shop TEMPLATE template0");
        server.sql("postgres", "ALTER DATABASE shop SET default_transaction_read_only = 'false'");
        server.sql("shop", SHOP);
        server.sql("shop", BULK);
        let url = server.url("shop");
        let archive = backup(folder.path(), &url, &[])["archive"].as_str().unwrap().to_owned();
        let ended = AtomicBool::new(false);
        let (done, committed, refusals) = std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                let (mut committed, mut refusals) = (Vec::new(), Vec::new());
                for id in 1_u64.. {
                    match server.try_sql("shop", &format!("INSERT INTO arrivals VALUES ({id})")) {
                        Ok(_) => committed.push(id),
                        Err(error) => refusals.push(error),
                    }
                    // Until some were committed to the restored database, too.
                    if ended.load(Ordering::Relaxed) && committed.last() == Some(&id) {
                        break;
                    }
                }
                (committed, refusals)
            });
            let done = restore(folder.path(), &archive, &url, &["--in-place", "--yes"]);
            ended.store(true, Ordering::Relaxed);
            let (committed, refusals) = writer.join().unwrap();
            (done.expect(0).json(), committed, refusals)
        });
        restore(folder.path(), done["safety_backup"].as_str().unwrap(), &server.url("before"), &["--create"])
            .expect(0);
        let ids = |db: &str| -> BTreeSet<u64> {
            let rows = server.rows(db, "SELECT id FROM arrivals");
            rows.iter().map(|row| row[0].parse().unwrap()).collect()
        };
        let (before, after) = (ids("before"), ids("shop"));
        let lost: Vec<&u64> =
            committed.iter().filter(|id| !before.contains(id) && !after.contains(id)).collect();
        assert!(lost.is_empty(), "PostgreSQL {major}: committed, and in neither: {lost:?}");
        assert!(!before.is_empty(), "the writer came too late to prove anything");
        assert!(refusals.iter().any(|error| error.contains("read-only transaction")), "{refusals:?}");
        let setting = "SELECT setconfig[1] FROM pg_db_role_setting";
        assert_eq!(server.value("postgres", setting), "default_transaction_read_only=false");
    }
}

#[test]
fn what_locks_do_not_keep_is_looked_at_before_anything_is_dropped() {
    let (server, folder) = (Server::start(newest()), folder());
    server.sql("postgres", "CREATE DATABASE shop TEMPLATE template0");
    server.sql("shop", SHOP);
    server.sql("shop", BULK);
    let url = server.url("shop");
    let archive = backup(folder.path(), &url, &[])["archive"].as_str().unwrap().to_owned();
    for change in
        ["CREATE TABLE sneaked (a int)", "SELECT lo_put(4711, 0, 'X')", "SELECT lo_from_bytea(4712, 'new')"]
    {
        let refused = std::thread::scope(|scope| {
            let other = scope.spawn(|| {
                // Ours, and that of the backup, which has begun.
                let locked = "SELECT count(DISTINCT mode) FROM pg_locks WHERE mode IN ('ShareLock', 'AccessShareLock') \
                              AND relation = 'bulk'::regclass";
                let began = std::time::Instant::now();
                // The question itself is ended with the sessions of all others, once.
                while !server.try_sql("shop", locked).is_ok_and(|modes| modes == "2") {
                    assert!(began.elapsed().as_secs() < 60, "nothing is locked");
                }
                server.sql("shop", change);
            });
            let done = restore(folder.path(), &archive, &url, &["--in-place", "--yes"]);
            other.join().unwrap();
            done.expect(9)
        });
        assert!(refused.stderr.contains("while it was backed up"), "{change}: {}", refused.stderr);
        assert_eq!(server.value("shop", "SELECT count(*) FROM bulk"), "300000");
        assert_eq!(read_only(&server), "off");
    }
    assert_eq!(server.value("shop", "SELECT to_regclass('sneaked') IS NOT NULL"), "t");
}

#[test]
fn who_discards_the_marks_lets_others_write_again() {
    let (server, folder) = (Server::start(newest()), folder());
    server.sql("postgres", "CREATE DATABASE shop TEMPLATE template0");
    server.sql("shop", SHOP);
    let url = server.url("shop");
    let archive = backup(folder.path(), &url, &[])["archive"].as_str().unwrap().to_owned();
    // A check that fails, when the old content is gone.
    let failing = ["--in-place", "--yes", "--assert", "SELECT false"];
    let failed = restore(folder.path(), &archive, &url, &failing).expect(5);
    assert!(failed.stderr.contains("read-only for others"), "{}", failed.stderr);
    assert_eq!(read_only(&server), "on");
    // Gone on with, it would take no other backup, and says which one it took.
    let plan =
        restore(folder.path(), &archive, &url, &["--in-place", "--resume", "--dry-run"]).expect(0).json();
    assert!(plan["safety_backup"].as_str().is_some_and(|place| place.contains("/pre-restore/")), "{plan}");
    // Neither form goes over it: the safety backup would be one of what a check has failed on.
    for form in ["--in-place", "--swap"] {
        let refused = restore(folder.path(), &archive, &url, &[form, "--yes"]).expect(9);
        assert!(refused.stderr.contains("interrupted restore is in it"), "{form}: {}", refused.stderr);
    }
    run(&mut pgcask(["rollback", &url, "--discard", "shop", "--yes"])).expect(0);
    assert_eq!(read_only(&server), "off");
    restore(folder.path(), &archive, &url, &["--swap", "--yes"]).expect(0);
}

#[test]
fn a_damaged_archive_empties_nothing() {
    let (server, folder) = (Server::start(newest()), folder());
    server.sql("postgres", "CREATE DATABASE shop TEMPLATE template0");
    server.sql("shop", "CREATE TABLE t AS SELECT n, md5(n::text) AS v FROM generate_series(1, 100000) n");
    let url = server.url("shop");
    let archive = backup(folder.path(), &url, &[])["archive"].as_str().unwrap().to_owned();
    let mut bytes = std::fs::read(&archive).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let bad = folder.path().join("bad.cask");
    std::fs::write(&bad, bytes).unwrap();
    let before = content(&server, "shop");
    let refused =
        restore(folder.path(), bad.to_str().unwrap(), &url, &["--in-place", "--yes", "--no-safety-backup"])
            .expect(3);
    assert!(refused.stderr.contains("nothing was touched"), "{}", refused.stderr);
    assert_eq!(content(&server, "shop"), before);
}

/// Far more objects than the server can lock at once, most of them in one schema and hanging on one table.
const MANY: &str = r"
    CREATE SCHEMA crowd; CREATE TABLE crowd.hub (id int PRIMARY KEY); INSERT INTO crowd.hub VALUES (1), (2);
    CREATE TABLE parts (id int, v text, PRIMARY KEY (id)) PARTITION BY RANGE (id);
    SELECT format('CREATE TABLE crowd.t%s (id serial PRIMARY KEY, hub int REFERENCES crowd.hub, v text)', n),
        format('INSERT INTO crowd.t%s (hub, v) VALUES (1, %L)', n, n) FROM generate_series(1, 400) n \gexec
    SELECT format('CREATE TABLE parts%s PARTITION OF parts FOR VALUES FROM (%s) TO (%s)', n, n, n + 1),
        format('CREATE FUNCTION f%s(int) RETURNS int LANGUAGE sql AS %L', n, 'SELECT 1') FROM generate_series(1, 50) n \gexec
    CREATE VIEW crowd.v AS SELECT a.id, b.v FROM crowd.t1 a JOIN crowd.t2 b USING (id);
    SELECT count(lo_from_bytea(n + 20000, 'large')) FROM generate_series(1, 300) n";

#[test]
fn more_objects_than_the_server_can_lock_are_dropped_in_several_transactions() {
    let (server, folder) = (Server::private(newest(), &["max_locks_per_transaction=10"]), folder());
    server.sql("postgres", "CREATE DATABASE shop TEMPLATE template0");
    server.sql("shop", MANY);
    let url = server.url("shop");
    let archive = backup(folder.path(), &url, &[])["archive"].as_str().unwrap().to_owned();
    server.sql("postgres", "CREATE DATABASE golden TEMPLATE shop");
    let all = ["--in-place", "--yes", "--no-safety-backup"];
    let plan = restore(folder.path(), &archive, &url, &["--in-place", "--dry-run"]).expect(0).json();
    assert_eq!(plan["drops_at_once"], false);
    restore(folder.path(), &archive, &url, &all).expect(0);
    assert_same(&server, "golden", &server, "shop");

    // Killed between two of the transactions: a part is gone, and marked.
    let mut command = pgcask(["restore", &archive, "--into", &url, &pass(folder.path())]);
    let child = command.args(all).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let began = std::time::Instant::now();
    let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'crowd'";
    // Our question is ended with the sessions of all others, now and then.
    while !server.try_sql("shop", tables).is_ok_and(|count| count != "401") {
        assert!(began.elapsed().as_secs() < 60, "nothing is dropped");
    }
    signal(&child, "KILL");
    wait(child);
    let left: u32 = server.value("shop", tables).parse().unwrap();
    assert!(0 < left && left < 401, "{left} tables are left: not the moment that was meant");
    assert_eq!(server.value("shop", "SELECT step FROM pgcask_restore.done"), "emptying");
    let refused = restore(folder.path(), &archive, &url, &["--resume"]).expect(9);
    assert!(refused.stderr.contains("--in-place"), "{}", refused.stderr);
    // Begun anew, its safety backup would be one of what is left: refused, and nothing is made or dropped.
    for anew in [&["--in-place", "--yes"][..], &["--in-place", "--dry-run"]] {
        let refused = restore(folder.path(), &archive, &url, anew).expect(9);
        assert!(
            format!("{}{}", refused.stdout, refused.stderr).contains("interrupted"),
            "{}",
            refused.stderr
        );
    }
    assert!(!folder.path().join("store/shop/pre-restore").exists());
    assert_eq!(server.value("shop", tables).parse::<u32>().unwrap(), left);
    let resume = [&all[..], &["--resume"]].concat();
    restore(folder.path(), &archive, &url, &resume).expect(0);
    assert_same(&server, "golden", &server, "shop");
}
