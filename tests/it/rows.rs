//! Single rows back into live tables: chosen, completed along foreign keys, in one transaction. SQL on the server judges.

use std::path::Path;

use crate::docs::{chapter, walk};
use crate::harness::cli::{Run, backup, folder, pass, pgcask, restore, run};
use crate::harness::postgres::{Server, newest, on_each_version};

/// A shop: keys, an identity, a generated column, triggers that keep a log, a column that only a default fills.
const SHOP: &str = "
    CREATE TABLE customers (id int PRIMARY KEY, name text NOT NULL);
    CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer int NOT NULL REFERENCES customers,
        placed timestamptz NOT NULL, note text, doc json, twice text GENERATED ALWAYS AS (note || note) STORED);
    CREATE TABLE items (order_id bigint REFERENCES orders, line int, what text, PRIMARY KEY (order_id, line));
    CREATE INDEX ON items (order_id);
    INSERT INTO customers SELECT n, 'Customer ' || n FROM generate_series(1, 2000) n;
    INSERT INTO orders (customer, placed, note, doc) SELECT 1 + n % 2000, timestamptz '2026-01-01' + n * interval '20 s', md5(n::text) || md5((n * 3)::text), '{\"a\": 1}' FROM generate_series(1, 200000) n;
    INSERT INTO items SELECT n, 1, 'thing ' || n FROM generate_series(1, 200000, 2) n;
    CREATE TABLE log (what text);
    CREATE FUNCTION note_it() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.log VALUES (TG_NAME); RETURN NEW; END';
    CREATE TRIGGER noted BEFORE INSERT OR UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION note_it();
    CREATE TRIGGER always_noted AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION note_it();
    CREATE TRIGGER off AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION note_it();
    ALTER TABLE orders ENABLE ALWAYS TRIGGER always_noted; ALTER TABLE orders DISABLE TRIGGER off;
    CREATE TABLE was AS SELECT * FROM orders; CREATE TABLE was_items AS SELECT * FROM items; CREATE TABLE was_customers AS SELECT * FROM customers;
    ALTER TABLE was ADD PRIMARY KEY (id)";

const TABLES: [&str; 6] = ["--table", "orders", "--table", "items", "--table", "customers"];

/// Rows of `orders` that are not as they were, or are not there.
fn not_as_it_was(server: &Server, db: &str) -> String {
    server.value(
        db,
        "SELECT count(*) FROM was w LEFT JOIN orders o USING (id) WHERE o::text IS DISTINCT FROM w::text",
    )
}

fn state(server: &Server, db: &str) -> String {
    server.value(db, "SELECT md5(string_agg(o::text, ',' ORDER BY o.id)) || (SELECT count(*) FROM items) || (SELECT count(*) FROM customers) FROM orders o")
}

fn bring(folder: &Path, archive: &str, url: &str, args: &[&str]) -> Run {
    restore(folder, archive, url, args)
}

#[test]
fn lost_rows_come_back_and_nothing_else_is_touched() {
    on_each_version(|server| {
        let folder = folder();
        let db = server.create_db();
        server.sql(&db, SHOP);
        let url = server.url(&db);
        let made = backup(folder.path(), &url, &TABLES);
        let archive = made["archive"].as_str().unwrap();
        let args = ["--table", "orders", "--only", "missing"];
        let none = bring(folder.path(), archive, &url, &args).expect(0).json();
        assert_eq!(none["tables"][0]["inserted"], 0, "{none}");

        server.sql(&db, "DELETE FROM items WHERE order_id % 199 = 0; DELETE FROM orders WHERE id % 199 = 0; UPDATE orders SET note = 'mine' WHERE id = 10; TRUNCATE log;
            INSERT INTO orders (customer, placed) VALUES (1, now()); SELECT setval('orders_id_seq', 5)");
        let lost = server.value(
            &db,
            "SELECT count(*) FROM was w WHERE NOT EXISTS (SELECT FROM orders o WHERE o.id = w.id)",
        );
        server.sql(&db, "TRUNCATE log");
        let before = state(server, &db);
        let seen =
            bring(folder.path(), archive, &url, &[&args[..], &["--dry-run"]].concat()).expect(0).json();
        assert_eq!(
            (seen["tables"][0]["missing"].to_string(), &seen["tables"][0]["changed"]),
            (lost.clone(), &0.into()),
            "{seen}"
        );
        bring(folder.path(), archive, &url, &args).expect(9);
        assert_eq!(before, state(server, &db), "neither a dry run nor a refusal writes");

        let done = bring(folder.path(), archive, &url, &[&args[..], &["--yes"]].concat()).expect(0).json();
        assert_eq!(
            (done["tables"][0]["inserted"].to_string(), &done["proven"]),
            (lost, &true.into()),
            "{done}"
        );
        assert_eq!(done["sequences"][0], "public.orders_id_seq");
        assert_eq!(not_as_it_was(server, &db), "1", "the row that was changed stays changed");
        assert_eq!(server.value(&db, "SELECT count(*) FROM orders"), "200001", "the new row stays");
        assert_eq!(server.value(&db, "SELECT count(*) FROM log"), "0", "no trigger fired");
        let triggers = "SELECT string_agg(tgname || tgenabled::text, ' ' ORDER BY tgname) FROM pg_trigger WHERE tgrelid = 'orders'::regclass AND NOT tgisinternal";
        assert_eq!(server.value(&db, triggers), "always_notedA notedO offD");
        let next = server.value(&db, "INSERT INTO orders (customer, placed) VALUES (1, now()) RETURNING id");
        assert!(next.parse::<u64>().unwrap() > 199_000, "{next}");

        // The changed row, and only it; then triggers on request.
        let args = ["--table", "orders", "--only", "changed", "--yes"];
        let done = bring(folder.path(), archive, &url, &args).expect(0).json();
        assert_eq!(done["tables"][0]["updated"], 1, "{done}");
        assert_eq!(not_as_it_was(server, &db), "0");
        server.sql(&db, "ALTER TABLE orders DISABLE TRIGGER noted; DELETE FROM orders WHERE id = 8; UPDATE orders SET doc = '{}' WHERE id = 4; ALTER TABLE orders ENABLE TRIGGER noted; TRUNCATE log");
        let args = ["--table", "orders", "--only", "all", "--fire-triggers", "--yes"];
        let done = bring(folder.path(), archive, &url, &args).expect(0).json();
        assert_eq!(
            (&done["tables"][0]["inserted"], &done["tables"][0]["updated"]),
            (&1.into(), &1.into()),
            "{done}"
        );
        assert_eq!(server.value(&db, "SELECT count(*) FROM log"), "3");
        assert_eq!(not_as_it_was(server, &db), "0");
    });
}

#[test]
fn rows_are_found_by_key_and_time_in_few_chunks() {
    on_each_version(|server| {
        let folder = folder();
        let db = server.create_db();
        server.sql(&db, SHOP);
        let url = server.url(&db);
        let made = backup(folder.path(), &url, &TABLES);
        let archive = made["archive"].as_str().unwrap();
        let bytes = made["bytes"].as_u64().unwrap();
        server.sql(&db, "TRUNCATE items; DELETE FROM orders WHERE id BETWEEN 1000 AND 90000");
        let find = |condition: &str| {
            bring(folder.path(), archive, &url, &["--where", condition, "--dry-run"]).expect(0).json()
        };
        for (condition, rows) in [
            ("orders: id = 1234", 1),
            ("orders: id IN (1234, 89999, 5)", 2),
            ("orders: id BETWEEN 1500 AND 1599", 100),
            ("public.orders: placed >= '2026-01-05' AND placed < '2026-01-05 01:00+00'", 180),
            ("items: order_id = 301", 1),
        ] {
            let seen = find(condition);
            assert_eq!(seen["tables"][0]["missing"], rows, "{condition}: {seen}");
            assert!(seen["bytes_read"].as_u64().unwrap() < bytes / 5, "{condition}: {bytes} {seen}");
        }
        // Any SQL, on the archive's rows; the server says what is wrong with it.
        for (condition, rows) in [
            ("orders: note LIKE 'a%' AND length(note) = 64 AND id <= 1100", "id <= 1100 AND note LIKE 'a%'"),
            (
                "orders: orders.id % 2 = 0 AND (id < 1010 OR id IS NULL)",
                "id IN (1000, 1002, 1004, 1006, 1008)",
            ),
            (
                "orders: doc->>'a' = '1' AND customer = (SELECT min(id) + 4 FROM public.customers)",
                "customer = 5 AND id BETWEEN 1000 AND 90000",
            ),
        ] {
            let expected = server
                .value(&db, &format!("SELECT count(*) FROM was WHERE id BETWEEN 1000 AND 90000 AND {rows}"));
            let seen = find(condition);
            assert_eq!(seen["tables"][0]["missing"].to_string(), expected, "{condition}: {seen}");
        }
        let wrong =
            bring(folder.path(), archive, &url, &["--where", "orders: nonsense = 1", "--dry-run"]).expect(1);
        assert!(wrong.stderr.contains("nonsense"), "{}", wrong.stderr);
        bring(folder.path(), archive, &url, &["--where", "nosuch: id = 1", "--dry-run"]).expect(2);
        let done =
            bring(folder.path(), archive, &url, &["--where", "orders: id BETWEEN 1500 AND 1599", "--yes"])
                .expect(0)
                .json();
        assert_eq!(done["tables"][0]["inserted"], 100, "{done}");
        assert_eq!(server.value(&db, "SELECT count(*) || ' ' || min(id) || ' ' || max(id) FROM orders WHERE id BETWEEN 1000 AND 90000"), "100 1500 1599");
    });
}

#[test]
fn rows_are_completed_by_what_they_reference_and_by_what_references_them() {
    on_each_version(|server| {
        let folder = folder();
        let db = server.create_db();
        server.sql(&db, SHOP);
        let url = server.url(&db);
        let made = backup(folder.path(), &url, &TABLES);
        let archive = made["archive"].as_str().unwrap();
        let lose = "DELETE FROM items USING orders WHERE order_id = orders.id AND customer IN (17, 18); DELETE FROM orders WHERE customer IN (17, 18); DELETE FROM customers WHERE id IN (17, 18)";
        server.sql(&db, lose);
        let before = state(server, &db);
        let one = "orders: id = 16";
        let alone = bring(folder.path(), archive, &url, &["--where", one, "--yes"]).expect(9);
        assert!(
            alone.stderr.contains("public.customers")
                && alone.stderr.contains("(17)")
                && alone.stderr.contains("--follow-keys"),
            "{}",
            alone.stderr
        );
        assert_eq!(before, state(server, &db));

        let done =
            bring(folder.path(), archive, &url, &["--where", one, "--follow-keys", "referenced", "--yes"])
                .expect(0)
                .json();
        let tables: Vec<(&str, u64)> = done["tables"]
            .as_array()
            .unwrap()
            .iter()
            .map(|t| (t["table"].as_str().unwrap(), t["inserted"].as_u64().unwrap()))
            .collect();
        assert_eq!(tables, [("public.customers", 1), ("public.orders", 1)], "{done}");

        let args = ["--where", "customers: id = 18", "--follow-keys=both", "--dry-run"];
        let seen = bring(folder.path(), archive, &url, &args).expect(0).json();
        let reasons: Vec<&str> =
            seen["tables"].as_array().unwrap().iter().map(|t| t["reasons"][0][0].as_str().unwrap()).collect();
        assert_eq!(
            reasons,
            [
                "asked for",
                "references public.customers by public.orders (customer)",
                "references public.orders by public.items (order_id)"
            ],
            "{seen}"
        );
        bring(
            folder.path(),
            archive,
            &url,
            &["--where", "customers: id = 18", "--follow-keys=both", "--yes"],
        )
        .expect(0);
        let left = "SELECT (SELECT count(*) FROM was w WHERE NOT EXISTS (SELECT FROM orders o WHERE o.id = w.id)) || ' ' \
            || (SELECT count(*) FROM was_items w WHERE NOT EXISTS (SELECT FROM items i WHERE (i.order_id, i.line) = (w.order_id, w.line)))";
        let expected = "SELECT (SELECT count(*) - 1 FROM was WHERE customer = 17) || ' ' || (SELECT count(*) FROM was_items JOIN was ON was.id = order_id WHERE customer = 17)";
        assert_eq!(server.value(&db, left), server.value(&db, expected));

        // Several tables, in the order of their keys, whatever the order in which they are named.
        let args =
            ["--table", "items", "--table", "orders", "--table", "customers", "--only", "all", "--yes"];
        bring(folder.path(), archive, &url, &args).expect(0);
        assert_eq!(server.value(&db, left), "0 0");
        assert_eq!(
            server.value(&db, "SELECT count(*) FROM was_customers w JOIN customers c USING (id, name)"),
            "2000"
        );
    });
}

#[test]
fn what_the_server_refuses_leaves_nothing_half_done() {
    let (server, folder) = (Server::shared(newest()), folder());
    let db = server.create_db();
    server.sql(&db, "CREATE TABLE a (id int PRIMARY KEY, u text UNIQUE); CREATE TABLE b (id int PRIMARY KEY, v int CHECK (v > 0));
        CREATE TABLE x (id int PRIMARY KEY, y int); CREATE TABLE y (id int PRIMARY KEY, x int REFERENCES x DEFERRABLE); ALTER TABLE x ADD FOREIGN KEY (y) REFERENCES y DEFERRABLE;
        CREATE TABLE tree (id int PRIMARY KEY, up int REFERENCES tree); INSERT INTO tree SELECT n, nullif(n / 2, 0) FROM generate_series(1, 5000) n;
        INSERT INTO a SELECT n, 'u' || n FROM generate_series(1, 100) n; INSERT INTO b SELECT n, n FROM generate_series(1, 100) n;
        BEGIN; SET CONSTRAINTS ALL DEFERRED; INSERT INTO x SELECT n, n FROM generate_series(1, 100) n; INSERT INTO y SELECT n, n FROM generate_series(1, 100) n; COMMIT;
        CREATE TABLE bare (a int, b text); INSERT INTO bare SELECT n / 2, 'r' FROM generate_series(0, 999) n");
    let url = server.url(&db);
    let made = backup(folder.path(), &url, &[]);
    let archive = made["archive"].as_str().unwrap();
    server.sql(
        &db,
        "DELETE FROM b WHERE id < 10; DELETE FROM a WHERE id = 5; INSERT INTO a VALUES (1000, 'u5')",
    );
    let refused =
        bring(folder.path(), archive, &url, &["--table", "b", "--table", "a", "--only", "all", "--yes"])
            .expect(1);
    assert!(
        refused.stderr.contains("a_u_key") && refused.stderr.contains("nothing was changed"),
        "{}",
        refused.stderr
    );
    assert_eq!(server.value(&db, "SELECT count(*) FROM b"), "91");
    // A circle of keys that can be deferred, and a table that references itself.
    server.sql(&db, "BEGIN; SET CONSTRAINTS ALL DEFERRED; DELETE FROM x WHERE id < 20; DELETE FROM y WHERE id < 20; COMMIT;
        DELETE FROM tree WHERE id > 2000; DELETE FROM bare WHERE a < 10; DELETE FROM bare WHERE ctid IN (SELECT min(ctid) FROM bare WHERE a < 100 GROUP BY a)");
    bring(
        folder.path(),
        archive,
        &url,
        &["--table", "x", "--table", "y", "--table", "tree", "--only", "missing", "--yes"],
    )
    .expect(0);
    assert_eq!(
        server.value(
            &db,
            "SELECT (SELECT count(*) FROM x JOIN y ON y.x = x.id) || ' ' || (SELECT count(*) FROM tree)"
        ),
        "100 5000"
    );
    // Without a key: as many of each row as there were.
    bring(folder.path(), archive, &url, &["--table", "bare", "--only", "missing", "--yes"]).expect(0);
    assert_eq!(server.value(&db, "SELECT count(*) || ' ' || count(DISTINCT a) || ' ' || max(n) FROM (SELECT a, count(*) AS n, sum(count(*)) OVER () FROM bare GROUP BY a) s"), "500 500 2");
    // One row of a tree, with all that it hangs on.
    server.sql(&db, "DELETE FROM tree WHERE id > 1");
    let done = bring(folder.path(), archive, &url, &["--where", "tree: id = 5000", "--follow-keys", "--yes"])
        .expect(0)
        .json();
    assert_eq!(done["tables"][0]["inserted"], 12, "{done}");
}

#[test]
fn an_owner_without_superuser_rights_can_and_a_stranger_is_told_why_not() {
    let server = Server::start(newest());
    let folder = folder();
    server.sql("postgres", "CREATE ROLE app LOGIN; CREATE ROLE clerk LOGIN");
    let db = server.create_db();
    server.sql(&db, &format!("GRANT CREATE ON SCHEMA public TO app; SET ROLE app; {SHOP}; GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA public TO clerk; GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO clerk"));
    let made = backup(folder.path(), &server.url(&db), &TABLES);
    let archive = made["archive"].as_str().unwrap();
    let url = server.url(&db);
    let (_, rest) = url.split_once('@').unwrap();
    server.sql(&db, "DELETE FROM items WHERE order_id < 100; DELETE FROM orders WHERE id < 100");
    let args = ["--table", "orders", "--only", "missing", "--yes"];
    let clerk = bring(folder.path(), archive, &format!("postgres://clerk@{rest}"), &args).expect(1);
    assert!(clerk.stderr.contains("--fire-triggers"), "{}", clerk.stderr);
    bring(folder.path(), archive, &format!("postgres://app@{rest}"), &args).expect(0);
    assert_eq!(not_as_it_was(&server, &db), "0");
    let usage =
        run(&mut pgcask(["restore", archive, "--into", &url, "--only", "missing", &pass(folder.path())]));
    usage.expect(2);
}

#[test]
fn the_chapter_on_rows_can_be_walked() {
    let (server, folder) = (Server::shared(newest()), tempfile::tempdir().unwrap());
    let db = server.create_db();
    server.sql(&db, SHOP);
    let url = server.url(&db);
    let variables = [("SHOP", url)];
    let go = |commands: &[String]| walk(server, &db, folder.path(), commands, &variables);
    let archive = "ARCHIVE=$(ls backups/*/daily/*/*.cask)".to_owned();
    let with_archive = |commands: &[String]| go(&[std::slice::from_ref(&archive), commands].concat());
    go(&[
        "pgcask keygen --output pgcask.key > recipient",
        "pgcask backup \"$SHOP\" --to backups --recipient recipient",
    ]
    .map(str::to_owned));
    let steps = chapter("Rows are gone, or wrong");
    assert_eq!(steps.len(), 6, "{steps:?}");
    server.sql(&db, "TRUNCATE items; DELETE FROM orders WHERE id % 100 = 0");
    let mut printed = with_archive(&steps[..3]);
    server.sql(&db, "DELETE FROM orders WHERE id < 10000");
    printed += &with_archive(&steps[3..5]);
    server.sql(&db, "DELETE FROM orders WHERE customer = 7; DELETE FROM customers WHERE id = 7");
    printed += &with_archive(&steps[5..]);
    assert!(printed.contains("public.orders: 2,000 missing, 0 changed, 0 extra"), "{printed}");
    assert!(printed.contains("public.orders: 2,000 rows inserted"), "{printed}");
    assert!(printed.contains("references public.customers by public.orders (customer)"), "{printed}");
    assert_eq!(server.value(&db, "SELECT count(*) FROM orders WHERE customer = 7"), "100");
    assert_eq!(
        server.value(
            &db,
            "SELECT count(*) FROM orders WHERE placed >= '2026-01-02+00' AND placed < '2026-01-03+00'"
        ),
        "4320"
    );
}
