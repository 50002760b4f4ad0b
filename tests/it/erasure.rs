//! Erased rows stay erased, whichever way a backup comes back.

use std::path::Path;

use serde_json::Value;

use crate::harness::cli::{Run, backup, folder, pass, pgcask, restore, run, signal, spawn, wait};
use crate::harness::place::Place;
use crate::harness::postgres::{Server, newest};
use crate::harness::proxy::{Fault, Proxy, Request};
use crate::harness::s3::S3Server;
use crate::load::until;
use crate::swap::{proven_versions, swap};

/// People, what hangs on them by foreign keys of every rule, and what must not see them go.
const PEOPLE: &str = "
    CREATE TABLE users (id int PRIMARY KEY, email text NOT NULL);
    CREATE TABLE sessions (id int PRIMARY KEY, of_user int NOT NULL REFERENCES users ON DELETE CASCADE);
    CREATE TABLE posts (id int PRIMARY KEY, author int REFERENCES users ON DELETE SET NULL, body text);
    CREATE TABLE trail (what text);
    CREATE FUNCTION trail() RETURNS trigger LANGUAGE plpgsql AS
      'BEGIN INSERT INTO public.trail VALUES (TG_TABLE_NAME || '' '' || OLD.id); RETURN OLD; END';
    CREATE TRIGGER trail AFTER DELETE ON users FOR EACH ROW EXECUTE FUNCTION trail();
    CREATE TRIGGER trail AFTER DELETE ON sessions FOR EACH ROW EXECUTE FUNCTION trail();
    ALTER TABLE sessions ENABLE ALWAYS TRIGGER trail;
    CREATE TRIGGER kept BEFORE DELETE ON posts FOR EACH ROW EXECUTE FUNCTION trail();
    CREATE RULE remember AS ON DELETE TO users DO ALSO INSERT INTO trail VALUES (OLD.email);
    CREATE MATERIALIZED VIEW addresses AS SELECT email FROM users;
    CREATE MATERIALIZED VIEW domains AS SELECT DISTINCT split_part(email, '@', 2) AS name FROM addresses;
    CREATE TABLE members (tenant int, code text, joined date, PRIMARY KEY (tenant, code, joined)) PARTITION BY RANGE (joined);
    CREATE TABLE members_old PARTITION OF members FOR VALUES FROM (MINVALUE) TO ('2026-01-01');
    CREATE TABLE members_new PARTITION OF members FOR VALUES FROM ('2026-01-01') TO (MAXVALUE);
    INSERT INTO users SELECT n, 'u' || n || '@host' || n || '.example' FROM generate_series(1, 100) n;
    INSERT INTO sessions SELECT n, 1 + n % 100 FROM generate_series(1, 1000) n;
    INSERT INTO posts SELECT n, 1 + n % 100, 'text' FROM generate_series(1, 300) n;
    INSERT INTO members SELECT n % 5, 'C' || n, date '2025-12-01' + n FROM generate_series(1, 60) n;
    REFRESH MATERIALIZED VIEW addresses; REFRESH MATERIALIZED VIEW domains;
    DELETE FROM trail;";

/// Triggers and rules, and whether they are on.
const ARMED: &str = "SELECT concat(tgrelid::regclass, tgname, tgenabled) FROM pg_trigger WHERE NOT tgisinternal \
    UNION ALL SELECT concat(ev_class::regclass, rulename, ev_enabled) FROM pg_rewrite WHERE rulename = 'remember' ORDER BY 1";

struct Case<'a> {
    server: &'a Server,
    folder: &'a Path,
    database: String,
}

impl Case<'_> {
    fn url(&self) -> String {
        self.server.url(&self.database)
    }

    fn store(&self) -> String {
        self.folder.join("store").display().to_string()
    }

    /// `pgcask erase ACTION DATABASE`.
    fn erase(&self, action: &str, more: &[&str]) -> Run {
        let store = self.store();
        run(pgcask(["erase", action, &self.database, "--store", &store, "--json"]).args(more))
    }

    fn record(&self, more: &[&str]) -> Value {
        self.erase("record", &[&["--reason", "asked"], more].concat()).expect(0).json()
    }

    fn value(&self, sql: &str) -> String {
        self.server.value(&self.database, sql)
    }
}

fn case<'a>(server: &'a Server, folder: &'a Path, sql: &str) -> (Case<'a>, String) {
    let database = server.fresh_name();
    server.sql("postgres", &format!("CREATE DATABASE {database} TEMPLATE template0"));
    server.sql(&database, sql);
    let made = backup(folder, &server.url(&database), &[]);
    (Case { server, folder, database }, made["archive"].as_str().unwrap().to_owned())
}

#[test]
fn a_swap_erases_again_and_so_does_the_way_back() {
    for major in proven_versions() {
        let (server, folder) = (Server::start(major), folder());
        let (case, archive) = case(&server, folder.path(), PEOPLE);
        let (url, armed) = (case.url(), server.rows(&case.database, ARMED));

        let row = ["--table", "users", "--key", "id=042", "--live", &url];
        let still = case.erase("record", &[&["--reason", "asked"], row.as_slice()].concat()).expect(9);
        assert!(still.stderr.contains("still has 1 of the rows"), "{}", still.stderr);
        server.sql(&case.database, "DELETE FROM users WHERE id = 42; DELETE FROM trail");
        let entry = case.record(&row);
        assert_eq!(entry[0]["rows"]["keys"], serde_json::json!([["42"]]), "as the server writes it");

        let planned = swap(folder.path(), &archive, &url, &["--dry-run"]).expect(0).json();
        assert_eq!(planned["erasure_entries"], 1);
        let done = swap(folder.path(), &archive, &url, &[]).expect(0).json();
        assert_eq!(done["verified"], true, "the rows were proven before");
        let report = &done["erasure"];
        assert_eq!((&report["rows_named"], &report["rows_deleted"]), (&1.into(), &1.into()), "{report}");
        assert_eq!(report["found"][0]["entry"], entry[0]["id"]);
        let along = serde_json::json!([{"table": "public.sessions", "rows": 10}, {"table": "public.posts", "rows": 3}]);
        let mut found = report["along"].as_array().unwrap().clone();
        found.sort_by_key(|one| std::cmp::Reverse(one["rows"].as_u64()));
        assert_eq!(serde_json::json!(found), along, "{report}");
        assert_eq!(report["refreshed"], serde_json::json!(["public.addresses", "public.domains"]));
        let left = "SELECT (SELECT count(*) FROM users) || ' ' || (SELECT count(*) FROM users WHERE id = 42) || ' ' || (SELECT count(*) FROM sessions) \
            || ' ' || (SELECT count(*) FROM posts WHERE author IS NULL) || ' ' || (SELECT count(*) FROM trail) || ' ' \
            || (SELECT count(*) FROM addresses) || ' ' || (SELECT count(*) FROM domains WHERE name = 'host42.example')";
        assert_eq!(case.value(left), "99 0 990 3 0 99 0", "PostgreSQL {major}");
        assert_eq!(server.rows(&case.database, ARMED), armed);

        // What was erased after the swap is in the database that was replaced.
        server.sql(&case.database, "DELETE FROM users WHERE id IN (7, 8); DELETE FROM trail");
        case.record(&["--table", "public.users", "--key", "id=7", "--key", "id=8"]);
        let store = case.store();
        let back =
            run(&mut pgcask(["rollback", &url, "--yes", "--json", "--erasures", &store])).expect(0).json();
        assert_eq!(back["erasure"]["rows_deleted"], 2, "{back}");
        assert_eq!(
            case.value("SELECT count(*) || ' ' || count(*) FILTER (WHERE id IN (7, 8, 42)) FROM users"),
            "97 0"
        );
        assert_eq!(server.rows(&case.database, ARMED), armed);
    }
}

#[test]
fn a_row_that_is_still_referenced_stops_the_swap_by_name_and_the_rest_can_be_recorded() {
    let (server, folder) = (Server::start(newest()), folder());
    let sql = "CREATE TABLE users (id int PRIMARY KEY);
        CREATE TABLE invoices (id int PRIMARY KEY, payer int NOT NULL REFERENCES users);
        INSERT INTO users SELECT generate_series(1, 9); INSERT INTO invoices VALUES (1, 4), (2, 4), (3, 5)";
    let (case, archive) = case(&server, folder.path(), sql);
    server.sql(&case.database, "CREATE TABLE live_only ()");
    case.record(&["--table", "users", "--key", "id=4"]);
    let refused = swap(folder.path(), &archive, &case.url(), &[]).expect(9);
    assert!(
        refused.stderr.contains("2 rows of public.invoices (payer, invoices_payer_fkey)"),
        "{}",
        refused.stderr
    );
    assert!(refused.stderr.contains("--resume"), "{}", refused.stderr);
    assert_eq!(case.value("SELECT to_regclass('live_only')"), "live_only", "the live database is as it was");

    case.record(&["--table", "invoices", "--key", "payer=4"]);
    let done = swap(folder.path(), &archive, &case.url(), &["--resume"]).expect(0).json();
    assert_eq!(done["erasure"]["rows_deleted"], 3, "{done}");
    assert_eq!(case.value("SELECT string_agg(payer::text, ',') || count(*) FROM invoices"), "51");
    assert_eq!(case.value("SELECT count(*) FROM users WHERE id = 4"), "0");
}

#[test]
fn hashed_keys_of_several_columns_are_found_by_the_server() {
    for major in proven_versions() {
        let (server, folder) = (Server::shared(major), folder());
        let (case, archive) = case(server, folder.path(), PEOPLE);
        let file = |name: &str, text: &str| {
            std::fs::write(folder.path().join(name), text).unwrap();
            folder.path().join(name).display().to_string()
        };
        let (key, other) = (file("key", &"k".repeat(70)), file("other", "another secret key"));
        let rows = file("rows.csv", "tenant,code\n1,C1\n3,\"C58\"\n4,C999\n");
        let hashed = ["--table", "members", "--keys-from", &rows, "--hash"];
        case.erase("record", &[&["--reason", "asked"], hashed.as_slice()].concat()).expect(2);
        let made = case.record(&[&hashed[..], &["--erasure-key-file", &key]].concat());
        let text = made.to_string();
        assert!(!text.contains("C58") && text.contains("hashes"), "{text}");

        let target = server.create_db();
        let refused = restore(folder.path(), &archive, &server.url(&target), &[]).expect(4);
        assert!(refused.stderr.contains("--erasure-key-file"), "{}", refused.stderr);
        let wrong = ["--erasure-key-file", other.as_str()];
        restore(folder.path(), &archive, &server.url(&target), &wrong).expect(4);
        let right = ["--erasure-key-file", key.as_str()];
        let done = restore(folder.path(), &archive, &server.url(&target), &right).expect(0).json();
        assert_eq!(
            (&done["erasure"]["rows_named"], &done["erasure"]["rows_deleted"]),
            (&3.into(), &2.into())
        );
        let left = "SELECT count(*) || ' ' || count(*) FILTER (WHERE code IN ('C1', 'C58')) FROM members";
        assert_eq!(server.value(&target, left), "58 0");
        assert!(!server.log().contains(&"k".repeat(70)), "the key is in no statement");
    }
}

#[test]
fn a_table_and_single_rows_come_back_without_the_erased_ones() {
    let (server, folder) = (Server::shared(newest()), folder());
    let (case, archive) = case(server, folder.path(), PEOPLE);
    let url = case.url();
    case.record(&["--table", "users", "--key", "id=42", "--key", "id=43"]);
    server.sql(&case.database, "DELETE FROM users WHERE id BETWEEN 40 AND 49; UPDATE users SET email = 'x' WHERE id = 50; DELETE FROM trail");
    let only = ["--table", "users", "--only", "all"];
    let preview =
        restore(folder.path(), &archive, &url, &[&only[..], &["--dry-run"]].concat()).expect(0).json();
    assert_eq!((&preview["erased"], &preview["tables"][0]["missing"]), (&2.into(), &8.into()), "{preview}");
    assert!(!preview.to_string().contains("u42@"), "{preview}");
    let done = restore(folder.path(), &archive, &url, &[&only[..], &["--yes"]].concat()).expect(0).json();
    assert_eq!((&done["proven"], &done["tables"][0]["inserted"]), (&true.into(), &8.into()), "{done}");
    assert_eq!(
        case.value("SELECT count(*) || ' ' || count(*) FILTER (WHERE id IN (42, 43)) FROM users"),
        "98 0"
    );

    let beside =
        restore(folder.path(), &archive, &url, &["--table", "users", "--as", "users_then"]).expect(0).json();
    assert_eq!(
        (&beside["rows"], &beside["erased"], &beside["verified"]),
        (&98.into(), &2.into(), &true.into())
    );
    assert_eq!(case.value("SELECT count(*) FROM users_then WHERE id IN (42, 43)"), "0");

    // Into a database that has other tables: only in the one that came is anything erased.
    let target = server.create_db();
    server.sql(&target, "CREATE TABLE members (tenant int, code text); INSERT INTO members VALUES (1, 'C1')");
    case.record(&["--table", "members", "--key", "code=C1"]);
    let table =
        restore(folder.path(), &archive, &server.url(&target), &["--table", "users"]).expect(0).json();
    assert_eq!(table["erasure"]["rows_deleted"], 2, "{table}");
    assert_eq!(
        server.value(&target, "SELECT (SELECT count(*) FROM users) || ' ' || (SELECT count(*) FROM members)"),
        "98 1"
    );
}

#[test]
fn a_ledger_that_cannot_be_understood_stops_a_restore_unless_told_otherwise() {
    let (server, folder) = (Server::shared(newest()), folder());
    let (case, archive) = case(server, folder.path(), "CREATE TABLE t AS SELECT 1 AS id");
    let ledger = folder.path().join("store/.pgcask/erasures").join(&case.database);
    std::fs::create_dir_all(&ledger).unwrap();
    let entry = ledger.join("20261125T010203Z-000000000001.json");
    for text in ["no JSON", r#"{"format": 1}"#] {
        std::fs::write(&entry, text).unwrap();
        let target = server.create_db();
        let stopped = restore(folder.path(), &archive, &server.url(&target), &[]).expect(8);
        assert!(
            stopped.stderr.contains("erasure ledger") && stopped.stderr.contains("--no-erasure"),
            "{}",
            stopped.stderr
        );
        assert_eq!(server.value(&target, "SELECT count(*) FROM pg_class WHERE relname = 't'"), "0");
    }
    let target = server.create_db();
    let told = restore(folder.path(), &archive, &server.url(&target), &["--no-erasure"]).expect(0);
    assert!(told.stderr.contains("the erasure ledger is not applied"), "{}", told.stderr);
    let (store, since) = (case.store(), ["audit", "show", "--operation", "restore", "--json", "--store"]);
    let shown = run(pgcask(since).arg(&store)).expect(0).stdout;
    assert!(shown.contains("\"erasure_ledger\":\"not applied\""), "{shown}");

    // A column that is not there any more: nobody can say which row is meant.
    std::fs::remove_file(&entry).unwrap();
    let made = case.record(&["--table", "t", "--key", "number=1"]);
    // One that is another than was written would erase another row, unseen.
    let file = std::fs::read_dir(&ledger).unwrap().next().unwrap().unwrap().path();
    let text = std::fs::read_to_string(&file).unwrap();
    let other = text.replacen("\"1\"", "\"2\"", 1);
    assert_ne!(text, other);
    std::fs::write(&file, other).unwrap();
    let stopped = restore(folder.path(), &archive, &server.url(&server.create_db()), &[]).expect(8);
    assert!(stopped.stderr.contains("its checksum is not its content's"), "{}", stopped.stderr);
    std::fs::write(&file, text).unwrap();
    let target = server.create_db();
    let refused = restore(folder.path(), &archive, &server.url(&target), &[]).expect(9);
    assert!(refused.stderr.contains("has no column"), "{}", refused.stderr);
    let id = made[0]["id"].as_str().unwrap();
    run(&mut pgcask(["erase", "withdraw", id, &case.database, "--store", &store, "--reason", "renamed"]))
        .expect(0);
    let resumed = restore(folder.path(), &archive, &server.url(&target), &["--resume"]).expect(0).json();
    assert_eq!(resumed["erasure"], Value::Null, "{resumed}");
}

#[test]
fn the_report_says_when_the_last_backup_goes_and_copies_take_the_ledger_along() {
    let (server, folder) = (Server::shared(newest()), folder());
    let (case, archive) = case(server, folder.path(), PEOPLE);
    let (store, url) = (case.store(), case.url());
    backup(folder.path(), &url, &["--kind", "monthly"]);
    let made = case.record(&["--table", "users", "--key", "id=42"]);
    let report = |more: &[&str]| case.erase("report", more).expect(0).json();
    let entry = |report: &Value, field: &str| report["entries"][0][field].clone();
    let all = report(&[]);
    assert_eq!((entry(&all, "backups"), entry(&all, "without_end")), (2.into(), 0.into()), "{all}");
    let monthly =
        all["backups"].as_array().unwrap().iter().find(|backup| backup["kind"] == "monthly").unwrap();
    assert_eq!(entry(&all, "gone_at"), monthly["expires_at"]);
    assert_eq!(report(&["--table", "users", "--key", "id=41"])["entries"], serde_json::json!([]));
    let live = report(&["--table", "users", "--key", "id=42", "--live", &url]);
    assert_eq!((entry(&live, "live_rows"), entry(&live, "gone_at")), (1.into(), Value::Null), "{live}");
    server.sql(&case.database, "DELETE FROM users WHERE id = 42");
    assert_eq!(entry(&report(&["--live", &url]), "live_rows"), 0);
    run(&mut pgcask(["hold", "add", &archive, "--reason", "case"])).expect(0);
    assert_eq!(entry(&report(&[]), "without_end"), 1);

    // A later backup cannot have the row, and is not counted.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    backup(folder.path(), &url, &[]);
    assert_eq!(entry(&report(&[]), "backups"), 2);

    let second = folder.path().join("second").display().to_string();
    run(pgcask(["copy", &archive, "--to", &second]).args(["--json"])).expect(0);
    let arguments = ["erase", "list", &case.database, "--store", &second, "--json"];
    assert_eq!(run(&mut pgcask(arguments)).expect(0).json()[0]["id"], made[0]["id"]);

    let evidence = folder.path().join("tests").display().to_string();
    let drill = [
        "drill",
        &archive,
        "--server",
        &server.url("postgres"),
        "--evidence",
        &evidence,
        "--json",
        &pass(folder.path()),
    ];
    let drilled = run(&mut pgcask(drill)).expect(0).json();
    let checks = drilled["checks"].as_array().unwrap();
    let erased = checks.iter().find(|check| check["check"] == "erasure ledger applied").unwrap();
    assert!(erased["found"].as_str().unwrap().contains("1 were in the backup"), "{erased}");

    let cat =
        run(pgcask(["cat", &archive, "users", &pass(folder.path())]).args(["--store", &store])).expect(0);
    assert!(cat.stderr.contains("erased rows may be in it"), "{}", cat.stderr);
}

#[test]
fn killed_while_rows_are_erased_nothing_of_it_is_done_and_the_restore_goes_on() {
    let (server, folder) = (Server::start(newest()), folder());
    // Filled anew within the transaction that erases, which takes long only then.
    let slow = "CREATE MATERIALIZED VIEW slow AS SELECT count(*), pg_sleep(CASE WHEN count(*) < 100 THEN 3 ELSE 0 END)::text FROM users";
    let (case, archive) = case(&server, folder.path(), &format!("{PEOPLE}; {slow}"));
    let (url, pass) = (case.url(), pass(folder.path()));
    case.record(&["--table", "users", "--key", "id=42"]);
    server.sql(&case.database, "CREATE TABLE live_only ()");
    let args = ["restore", &archive, "--into", &url, "--swap", "--yes", "--no-safety-backup", &pass];
    let child = spawn(&mut pgcask(args));
    let erasing = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pgcask' AND state = 'active' \
        AND query LIKE '%REFRESH MATERIALIZED VIEW%' AND wait_event = 'PgSleep'";
    until(&server, "postgres", erasing, "1");
    signal(&child, "KILL");
    assert_eq!(wait(child).code, -1);
    until(
        &server,
        "postgres",
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pgcask'",
        "0",
    );

    assert_eq!(case.value("SELECT to_regclass('live_only')"), "live_only", "the live database is as it was");
    let staging = format!("SELECT datname FROM pg_database WHERE datname LIKE '{}_restore_%'", case.database);
    let staging = server.value("postgres", &staging);
    let left = "SELECT (SELECT count(*) FROM users WHERE id = 42) || ' ' || (SELECT count(*) FROM sessions) || ' ' || count(*) \
        FROM pg_trigger WHERE tgenabled = 'D'";
    assert_eq!(server.value(&staging, left), "1 1000 0", "all or nothing");
    let done = swap(folder.path(), &archive, &url, &["--no-safety-backup", "--resume"]).expect(0).json();
    let erasure = &done["erasure"];
    assert_eq!((&done["verified"], &erasure["rows_deleted"]), (&true.into(), &1.into()), "{done}");
    assert_eq!(case.value(left), "0 990 0");
}

#[test]
fn in_place_replaced_and_from_a_copy_they_stay_erased_too() {
    for major in proven_versions() {
        let (server, folder) = (Server::start(major), folder());
        let (case, archive) = case(&server, folder.path(), PEOPLE);
        let (url, second) = (case.url(), folder.path().join("second").display().to_string());
        case.record(&["--table", "users", "--key", "id=42"]);
        let left = "SELECT count(*) || ' ' || count(*) FILTER (WHERE id = 42) FROM users";
        // A copy in the same run has the ledger with it, and whoever restores from there minds it.
        let copied = backup(folder.path(), &url, &["--copy-to", &second]);
        let copy = copied["archive"].as_str().unwrap().replace(&case.store(), &second);
        std::fs::rename(folder.path().join("store"), folder.path().join("lost")).unwrap();
        let target = server.create_db();
        let done = restore(folder.path(), &copy, &server.url(&target), &[]).expect(0).json();
        assert_eq!(done["erasure"]["rows_deleted"], 1, "{done}");
        assert_eq!(server.value(&target, left), "99 0", "PostgreSQL {major}");
        std::fs::rename(folder.path().join("lost"), folder.path().join("store")).unwrap();

        let in_place = ["--in-place", "--yes", "--no-safety-backup"];
        let done = restore(folder.path(), &archive, &url, &in_place).expect(0).json();
        assert_eq!(done["erasure"]["rows_deleted"], 1, "{done}");
        assert_eq!(case.value(left), "99 0", "PostgreSQL {major}");

        // The table's content becomes the archive's, but for that row.
        server.sql(&case.database, "DROP RULE remember ON users; DELETE FROM users WHERE id > 90");
        let replace = ["--table", "users", "--replace", "--yes"];
        restore(folder.path(), &archive, &url, &replace).expect(0);
        assert_eq!(case.value(left), "99 0", "PostgreSQL {major}");
    }
}

#[test]
fn a_ledger_that_may_not_be_listed_or_read_stops_a_restore_before_the_first_row() {
    let (server, place) = (Server::shared(newest()), Place::bucket());
    let source = server.create_db();
    server.sql(&source, "CREATE TABLE t AS SELECT 1 AS id");
    let pass = pass(place.folder.path());
    let go = |args: &[&str]| run(&mut place.command(args));
    let made = go(&["backup", &server.url(&source), "--to", &place.store, "--json", &pass]).expect(0).json();
    let archive = made["archive"].as_str().unwrap();
    let key = ["--table", "t", "--key", "id=1", "--reason", "asked"];
    place.run(&[&["erase", "record", &*source], &key[..]].concat()).expect(0);
    let s3 = S3Server::shared();
    for (method, fault) in
        [("list", Fault::Answer(403, "AccessDenied")), ("object", Fault::Answer(403, "AccessDenied"))]
    {
        let of_ledger = move |request: &Request, _: u32| {
            let is_list = request.target.contains("list-type");
            let ledger =
                request.target.contains(".pgcask/erasures") || request.target.contains(".pgcask%2Ferasures");
            if request.method == "GET" && ledger && is_list == (method == "list") {
                fault
            } else {
                Fault::None
            }
        };
        let proxy = Proxy::start(&s3.endpoint(), of_ledger);
        let target = server.create_db();
        let mut command = place.command(&["restore", archive, "--into", &server.url(&target), &pass]);
        command.env("AWS_ENDPOINT_URL", proxy.endpoint()).env("PGCASK_STORE_TIMEOUT", "3");
        let stopped = run(&mut command).expect(8);
        assert!(stopped.stderr.contains("the erasure ledger"), "{method} {fault:?}: {}", stopped.stderr);
        assert!(stopped.stderr.contains("--no-erasure"), "{method} {fault:?}: {}", stopped.stderr);
        assert_eq!(server.value(&target, "SELECT count(*) FROM pg_class WHERE relname = 't'"), "0");
    }
}
