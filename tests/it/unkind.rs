//! Recovery where others' tools stumble: odd names, settings that end or forbid what we do, keys in a circle, keys that do not
//! hold, slots and subscriptions that a rename does not move, a signal in the middle.

use std::io::BufRead as _;
use std::process::Stdio;

use crate::harness::cli::{backup, folder, pass, pgcask, restore, run, signal, wait};
use crate::harness::oracle::{assert_same, content};
use crate::harness::postgres::{Server, newest};
use crate::swap::{ACCIDENT, SHOP, accident, databases, proven_versions};

/// What a database can be called.
const NAMES: [&str; 4] = [
    "Shop.North \"quoted\" 100% 'it''s'; DROP",
    "x23456789012345678901234567890123456789012345678901234567890123",
    "äöüßéèêñçåøæœäöüßéèêñçåøæœäöüß",
    "shop_before_20260101T000000Z",
];

#[test]
fn databases_of_odd_names_are_replaced_and_come_back() {
    let (server, folder) = (Server::start(newest()), folder());
    for name in NAMES {
        let quoted = format!("\"{}\"", name.replace('"', "\"\""));
        server.sql("postgres", &format!("CREATE DATABASE {quoted} TEMPLATE template0"));
        let value = name.replace('\\', "\\\\").replace('\'', "\\'");
        let url = format!("host=127.0.0.1 port={} user=postgres dbname='{value}'", server.port());
        let made = backup(folder.path(), &url, &["--no-globals"]);
        let archive = made["archive"].as_str().unwrap().to_owned();
        server.sql("postgres", &format!("COMMENT ON DATABASE {quoted} IS 'the live one'"));
        let exists = |wanted: &[&str]| {
            let mut found = databases(&server);
            found.retain(|name| !NAMES.contains(&name.as_str()) || wanted.contains(&name.as_str()));
            found
        };
        let before = exists(&[name]);
        assert_eq!(before, [name]);
        let done = restore(folder.path(), &archive, &url, &["--swap", "--yes", "--no-safety-backup"]);
        let kept = done.expect(0).json()["kept_as"].as_str().unwrap().to_owned();
        assert!(kept.len() <= 63, "{kept}");
        let go = |more: &[&str]| run(pgcask(["rollback", &url, "--json"]).args(more));
        let listed = go(&["--list"]).expect(0).json();
        assert!(listed.as_array().unwrap().iter().any(|left| left["name"] == kept.as_str()), "{listed}");
        let back = go(&["--yes"]).expect(0).json();
        let other = back["kept_as"].as_str().unwrap();
        go(&["--discard", other, "--yes"]).expect(0);
        assert_eq!(exists(&[name]), [name], "nothing else is left");
        restore(folder.path(), &archive, &url, &["--in-place", "--yes", "--no-safety-backup"]).expect(0);
        server.sql("postgres", &format!("DROP DATABASE {quoted}"));
    }
}

#[test]
fn settings_that_end_or_forbid_statements_stop_no_form_of_recovery() {
    for major in proven_versions() {
        let folder = folder();
        let (server, archive) = accident(major, folder.path());
        let url = server.url("shop");
        for (name, value) in [
            // The oracle's own question takes some milliseconds.
            ("statement_timeout", "200ms"),
            ("lock_timeout", "1ms"),
            ("idle_in_transaction_session_timeout", "5ms"),
            ("default_transaction_read_only", "on"),
            ("default_transaction_isolation", "serializable"),
            ("search_path", "nowhere"),
        ] {
            server.sql("postgres", &format!("ALTER DATABASE shop SET {name} = '{value}'"));
        }
        let writable = "SET default_transaction_read_only = off; SET statement_timeout = 0; SET lock_timeout = 0; \
                        SET idle_in_transaction_session_timeout = 0; SET search_path = public;";
        let golden = content(&server, "golden");
        let orders = || content(&server, "shop")["public.orders"].clone();
        restore(folder.path(), &archive, &url, &["--table", "orders", "--only", "missing", "--yes"])
            .expect(0);
        assert_eq!(orders(), golden["public.orders"]);
        server.sql("shop", &format!("{writable} UPDATE orders SET note = 'x' WHERE id = 3"));
        restore(folder.path(), &archive, &url, &["--table", "orders", "--replace", "--yes"]).expect(0);
        assert_eq!(orders(), golden["public.orders"]);
        restore(folder.path(), &archive, &url, &["--table", "orders", "--as", "orders_then"]).expect(0);
        assert_eq!(content(&server, "shop")["public.orders_then"], golden["public.orders"]);
        let done = restore(folder.path(), &archive, &url, &["--swap", "--yes"]).expect(0).json();
        assert_eq!(content(&server, "shop"), golden);
        run(&mut pgcask(["rollback", &url, "--yes"])).expect(0);
        assert!(content(&server, "shop").contains_key("public.orders_then"));
        restore(folder.path(), &archive, &url, &["--in-place", "--yes"]).expect(0);
        assert_eq!(content(&server, "shop"), golden, "{done}");
        let setting = "SELECT array_to_string(setconfig, ' ') FROM pg_db_role_setting s JOIN pg_database d ON d.oid = setdatabase WHERE datname = 'shop'";
        assert!(
            server.value("postgres", setting).contains("default_transaction_read_only=on"),
            "it was so before"
        );
    }
}

/// Two tables whose keys lead to one another, and one whose key is violated though it is called valid.
const KEYS: &str = "
    CREATE TABLE chickens (id int PRIMARY KEY, egg int); CREATE TABLE eggs (id int PRIMARY KEY, chicken int);
    INSERT INTO chickens SELECT n, n FROM generate_series(1, 2000) n; INSERT INTO eggs SELECT n, n FROM generate_series(1, 2000) n;
    ALTER TABLE chickens ADD FOREIGN KEY (egg) REFERENCES eggs; ALTER TABLE eggs ADD FOREIGN KEY (chicken) REFERENCES chickens";

#[test]
fn keys_in_a_circle_do_not_stop_rows_alone() {
    for major in proven_versions() {
        let (server, folder) = (Server::shared(major), folder());
        let (source, target) = (server.create_db(), server.create_db());
        server.sql(&source, KEYS);
        let archive =
            backup(folder.path(), &server.url(&source), &[])["archive"].as_str().unwrap().to_owned();
        let url = server.url(&target);
        restore(folder.path(), &archive, &url, &["--schema-only"]).expect(0);
        for how in [&["--data-only"][..], &["--data-only", "--dry-run"]] {
            let refused = restore(folder.path(), &archive, &url, how).expect(9);
            let said = format!("{}{}", refused.stdout, refused.stderr);
            assert!(
                said.contains("eggs_chicken_fkey of public.eggs") && said.contains("--section"),
                "{said}"
            );
        }
        assert_eq!(server.value(&target, "SELECT count(*) FROM chickens"), "0");
        server.sql(&target, "ALTER TABLE chickens DROP CONSTRAINT chickens_egg_fkey");
        restore(folder.path(), &archive, &url, &["--data-only"]).expect(0);
        assert_eq!(content(server, &source), content(server, &target));
        // Back into live tables they come in one transaction.
        server.sql(&source, "ALTER TABLE chickens DISABLE TRIGGER ALL; ALTER TABLE eggs DISABLE TRIGGER ALL; DELETE FROM chickens WHERE id < 9; DELETE FROM eggs WHERE id < 9; ALTER TABLE chickens ENABLE TRIGGER ALL; ALTER TABLE eggs ENABLE TRIGGER ALL");
        let tables = ["--table", "chickens", "--table", "eggs", "--only", "missing", "--yes"];
        let live = restore(folder.path(), &archive, &server.url(&source), &tables);
        assert_eq!(live.code, 0, "{}", live.stderr);
        let left =
            server.value(&source, "SELECT count(*) FROM chickens WHERE egg NOT IN (SELECT id FROM eggs)");
        assert_eq!(left, "0", "{}", live.stderr);
    }
}

/// Tables of one after the other, the smallest last; one that references itself and is loaded in parts; partitions.
#[test]
fn rows_alone_go_into_referenced_tables_first() {
    for major in proven_versions() {
        let (server, folder) = (Server::shared(major), folder());
        let (source, target) = (server.create_db(), server.create_db());
        server.sql(
            &source,
            "CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY, a int REFERENCES a);
             CREATE TABLE c (id int, b int REFERENCES b, v text) PARTITION BY RANGE (id);
             CREATE TABLE c1 PARTITION OF c FOR VALUES FROM (0) TO (30000); CREATE TABLE c2 PARTITION OF c DEFAULT;
             CREATE TABLE tree (id int PRIMARY KEY, above int REFERENCES tree, v text);
             INSERT INTO a SELECT generate_series(1, 20000); INSERT INTO b SELECT n, n FROM generate_series(1, 20000) n;
             INSERT INTO c SELECT n, 1 + n % 20000, md5(n::text) FROM generate_series(1, 60000) n;
             INSERT INTO tree SELECT n, CASE WHEN n < 400000 THEN n + 1 END, md5(n::text) || md5((n * 3)::text) FROM generate_series(1, 400000) n",
        );
        let archive =
            backup(folder.path(), &server.url(&source), &[])["archive"].as_str().unwrap().to_owned();
        let url = server.url(&target);
        restore(folder.path(), &archive, &url, &["--schema-only"]).expect(0);
        restore(folder.path(), &archive, &url, &["--data-only"]).expect(0);
        assert_same(server, &source, server, &target);
    }
}

#[test]
fn a_key_that_does_not_hold_is_told_by_name_and_its_rows_come_back() {
    for major in proven_versions() {
        let (server, folder) = (Server::shared(major), folder());
        let source = server.create_db();
        server.sql(&source, KEYS);
        server.sql(&source, "ALTER TABLE eggs DISABLE TRIGGER ALL; UPDATE eggs SET chicken = -5 WHERE id = 77; ALTER TABLE eggs ENABLE TRIGGER ALL");
        let archive =
            backup(folder.path(), &server.url(&source), &[])["archive"].as_str().unwrap().to_owned();
        let target = server.create_db();
        let failed = restore(folder.path(), &archive, &server.url(&target), &[]).expect(1);
        assert!(
            failed.stderr.contains("eggs_chicken_fkey") && failed.stderr.contains("-5"),
            "{}",
            failed.stderr
        );
        let target = server.create_db();
        let kept = restore(folder.path(), &archive, &server.url(&target), &["--keep-going"]).expect(1);
        assert!(kept.stderr.contains("eggs_chicken_fkey"), "{}", kept.stderr);
        assert_eq!(server.value(&target, "SELECT count(*) FROM eggs"), "2000");
        // Not valid, it holds for new rows; its old ones are told when they are looked at.
        let target = server.create_db();
        let url = server.url(&target);
        restore(folder.path(), &archive, &url, &["--defer-validation"]).expect(0);
        let finished = run(&mut pgcask(["validate", &url, "--finish"])).expect(5);
        let said = format!("{}{}", finished.stdout, finished.stderr);
        assert!(said.contains("eggs_chicken_fkey"), "{said}");
    }
}

#[test]
fn slots_and_subscriptions_that_a_rename_does_not_move_are_told_before() {
    let folder = folder();
    let server = Server::private(newest(), &["wal_level=logical"]);
    server.sql("postgres", "CREATE DATABASE shop TEMPLATE template0");
    server.sql("shop", SHOP);
    server.sql("shop", "CREATE PUBLICATION all_of_it FOR ALL TABLES");
    server.sql("shop", "CREATE SUBSCRIPTION mirror CONNECTION 'host=127.0.0.1 port=1 dbname=nowhere' PUBLICATION p WITH (connect = false)");
    let url = server.url("shop");
    let archive = backup(folder.path(), &url, &[])["archive"].as_str().unwrap().to_owned();
    server.sql("shop", &ACCIDENT.replace("DROP MATERIALIZED VIEW notes; ", ""));
    server.sql("shop", "SELECT pg_create_logical_replication_slot('feed', 'test_decoding')");
    server.sql("shop", "ALTER SUBSCRIPTION mirror SET (slot_name = 'mirror')");
    server.sql("shop", "ALTER SUBSCRIPTION mirror ENABLE");
    let plan = restore(folder.path(), &archive, &url, &["--swap", "--dry-run"]).expect(0).json();
    let notes = plan["left_behind"].to_string();
    assert!(notes.contains("feed") && notes.contains("mirror"), "{plan}");
    let done =
        restore(folder.path(), &archive, &url, &["--swap", "--yes", "--no-safety-backup"]).expect(0).json();
    let kept = done["kept_as"].as_str().unwrap();
    assert!(done["left_behind"].to_string().contains("feed"), "{done}");
    // Two subscribers of one publication would both apply: the restored one is off.
    let enabled = "SELECT d.datname || ' ' || s.subenabled FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid ORDER BY d.datname = 'shop' DESC";
    let enabled: Vec<String> = server.rows("postgres", enabled).into_iter().flatten().collect();
    assert_eq!(enabled, ["shop false".to_owned(), format!("{kept} true")]);
    assert_eq!(server.value("shop", "SELECT count(*) FROM pg_publication WHERE puballtables"), "1");
    // In place a subscription would have to be dropped outside of the transaction: refused by name.
    let refused = restore(folder.path(), &archive, &url, &["--in-place", "--yes"]).expect(9);
    assert!(refused.stderr.contains("mirror"), "{}", refused.stderr);
}

#[test]
fn a_signal_ends_a_restore_and_its_statements_and_resume_goes_on() {
    for (name, code) in [("INT", 130), ("TERM", 143)] {
        let (server, folder) = (Server::start(newest()), folder());
        server.sql("postgres", "CREATE DATABASE shop TEMPLATE template0");
        server.sql("shop", SHOP);
        // An index that takes as long as nobody waits.
        server.sql("shop", "CREATE FUNCTION slow(bigint) RETURNS bigint IMMUTABLE LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(CASE WHEN current_setting(''application_name'') = ''pgcask'' AND pg_catalog.to_regclass(''public.fast'') IS NULL THEN 0.02 ELSE 0 END); RETURN $1; END'; \
             CREATE INDEX slowly ON orders (slow(id))");
        let archive = backup(folder.path(), &server.url("shop"), &[])["archive"].as_str().unwrap().to_owned();
        let url = server.url("copy");
        let mut command =
            pgcask(["restore", &archive, "--into", &url, "--create", "-v", &pass(folder.path())]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut log = std::io::BufReader::new(child.stderr.take().unwrap());
        let building = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'copy' AND query LIKE '%INDEX%slowly%' AND state = 'active'";
        let began = std::time::Instant::now();
        while server.value("postgres", building) == "0" {
            assert!(began.elapsed().as_secs() < 60, "the index is not built");
        }
        let asked = std::time::Instant::now();
        signal(&child, name);
        let mut told = String::new();
        while log.read_line(&mut told).unwrap() > 0 {}
        let ended = wait(child);
        assert_eq!(ended.code, code, "{told}");
        assert!(asked.elapsed().as_secs() < 20, "it took {:?}", asked.elapsed());
        assert!(told.contains("--resume"), "{told}");
        let left = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'copy' AND pid <> pg_backend_pid() AND backend_type = 'client backend'";
        let began = std::time::Instant::now();
        while server.value("postgres", left) != "0" {
            assert!(began.elapsed().as_secs() < 10, "its statements go on");
        }
        server.sql("copy", "CREATE TABLE fast ()");
        let resumed = restore(folder.path(), &archive, &url, &["--resume"]).expect(0).json();
        assert_eq!(resumed["resumed"], true);
        server.sql("copy", "DROP TABLE fast");
        assert_same(&server, "shop", &server, "copy");
    }
}
