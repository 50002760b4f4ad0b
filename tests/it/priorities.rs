//! What comes back first, and how fast.

use std::time::Instant;

use crate::harness::cli::{backup, folder, pgcask, restore, run};
use crate::harness::oracle::assert_same;
use crate::harness::postgres::{Server, newest, on_each_version};

/// Much that can wait, and two tables that cannot.
const SHOP: &str = "
    CREATE TABLE archive_a AS SELECT n AS id, repeat(md5(n::text), 4) AS t FROM generate_series(1, 120000) n;
    CREATE TABLE archive_b AS SELECT * FROM archive_a; CREATE INDEX ON archive_a (t); CREATE INDEX ON archive_b (t);
    CREATE TABLE customers (id int PRIMARY KEY, name text); INSERT INTO customers SELECT n, 'c' || n FROM generate_series(1, 500) n;
    CREATE TABLE orders (id int, customer int REFERENCES customers, at date, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
    CREATE TABLE orders_1 PARTITION OF orders FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
    CREATE TABLE orders_2 PARTITION OF orders FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
    INSERT INTO orders SELECT n, 1 + n % 500, date '2026-01-01' + n % 59 FROM generate_series(1, 20000) n; CREATE INDEX ON orders (customer);
    ALTER TABLE archive_a ADD first_order int; CREATE SEQUENCE s; SELECT nextval('s');
    CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; CREATE TRIGGER t BEFORE INSERT ON customers FOR EACH ROW EXECUTE FUNCTION f();
    CREATE MATERIALIZED VIEW m AS SELECT count(*) FROM orders";

#[test]
fn the_first_class_is_complete_first_and_can_be_all_for_now() {
    on_each_version(|server| {
        let folder = folder();
        let source = server.create_db();
        server.sql(&source, SHOP);
        let made = backup(folder.path(), &server.url(&source), &[]);
        let archive = made["archive"].as_str().unwrap();
        let first = ["--priority", "P0=orders,public.customers", "--create"];
        let whole = server.adopt(server.fresh_name());
        let done = restore(folder.path(), archive, &server.url(&whole), &first).expect(0).json();
        assert_eq!(
            (&done["classes"][0]["class"], &done["classes"][1]["class"]),
            (&"P0".into(), &"rest".into()),
            "{done}"
        );
        let at = |class: usize| done["classes"][class]["seconds"].as_f64().unwrap();
        assert!(at(0) < at(1), "{done}");
        assert_same(server, &source, server, &whole);

        let target = server.adopt(server.fresh_name());
        let stop = [&first[..], &["--stop-after", "P0"]].concat();
        let done = restore(folder.path(), archive, &server.url(&target), &stop).expect(0).json();
        assert_eq!(done["classes"].as_array().unwrap().len(), 1, "{done}");
        let there = "SELECT (SELECT count(*) FROM orders) || ' ' || (SELECT count(*) FROM customers) || ' ' || (SELECT count(*) FROM archive_a) || ' ' \
            || (SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND conrelid = 'orders'::regclass AND convalidated) || ' ' \
            || (SELECT count(*) FROM pg_index WHERE indrelid IN ('orders'::regclass, 'orders_1'::regclass) AND indisvalid)";
        assert_eq!(server.value(&target, there), "20000 500 0 1 4");
        let rest =
            restore(folder.path(), archive, &server.url(&target), &["--create", "--resume"]).expect(0).json();
        assert_eq!((&rest["resumed"], &rest["verified"]), (&true.into(), &true.into()), "{rest}");
        assert_same(server, &source, server, &target);
    });
}

#[test]
fn a_slow_restore_spares_the_server() {
    let (server, folder) = (Server::shared(newest()), folder());
    let source = server.create_db();
    server.sql(
        &source,
        "CREATE TABLE t AS SELECT n, repeat(md5(n::text), 8) AS t FROM generate_series(1, 60000) n",
    );
    let made = backup(folder.path(), &server.url(&source), &[]);
    let archive = made["archive"].as_str().unwrap();
    let target = server.adopt(server.fresh_name());
    let began = Instant::now();
    // 15 MiB at 4 MiB a second: the first request passes at once, and the other three are waited for.
    restore(folder.path(), archive, &server.url(&target), &["--create", "--max-rate", "4M"]).expect(0);
    assert!(began.elapsed().as_secs_f64() > 2.5, "{:?}", began.elapsed());
    assert_eq!(server.value(&target, "SELECT count(*) FROM t"), "60000");
    let url = server.url(&source);
    for (args, code) in
        [(["--max-rate", "fast"], 2), (["--priority", "orders"], 2), (["--stop-after", "P0"], 2)]
    {
        restore(folder.path(), archive, &url, &args).expect(code);
    }
}

#[test]
fn what_no_class_and_no_table_is_called_is_refused() {
    let (server, folder) = (Server::shared(newest()), folder());
    let source = server.create_db();
    server.sql(&source, "CREATE TABLE t AS SELECT n FROM generate_series(1, 300) n; CREATE TABLE u (n int); CREATE VIEW v AS SELECT 1 AS n");
    let made = backup(folder.path(), &server.url(&source), &[]);
    let archive = made["archive"].as_str().unwrap();
    let target = server.adopt(server.fresh_name());
    let go = |args: &[&str]| {
        restore(folder.path(), archive, &server.url(&target), &[&["--create"], args].concat())
    };
    for (args, why) in [
        (&["--priority", "P0=typo", "--stop-after", "P0"][..], "nothing in the archive matches typo (of P0)"),
        (&["--priority", "P0=t", "--priority", "P1=typo", "--stop-after", "P1"], "typo (of P1)"),
        (&["--priority", "P0=t,typo", "--strict-names"], "typo (of P0)"),
        (&["--priority", "P0=t", "--stop-after", "P1"], "--stop-after P1 names no class"),
        (&["--priority", "P0=", "--stop-after", "P0"], "no class of priority"),
    ] {
        for more in [&["--dry-run"][..], &[]] {
            let refused = go(&[args, more].concat()).expect(2);
            assert!(refused.stderr.contains(why), "{args:?}: {}", refused.stderr);
        }
    }
    let none =
        run(&mut pgcask(["restore", archive, "--into", &server.url(&target), "--jobs", "0"])).expect(2);
    assert!(none.stderr.contains("1 at least"), "{}", none.stderr);
    // A table that must have rows, and that nobody has.
    for more in [&["--dry-run"][..], &[]] {
        let refused = go(&[&["--critical", "typo", "--critical", "t"], more].concat()).expect(9);
        let said = format!("{}{}", refused.stdout, refused.stderr);
        assert!(said.contains("no table in the archive matches typo, which must have rows"), "{said}");
    }
    let there = format!("SELECT count(*) FROM pg_database WHERE datname = '{}'", &*target);
    assert_eq!(server.value("postgres", &there), "0", "nothing was touched");
    // What a run would do until the first class is there, and what it does.
    let args = ["--priority", "P0=t,typo", "--stop-after", "P0"];
    let plan = go(&[&args[..], &["--dry-run"]].concat()).expect(0).json();
    assert_eq!(
        (&plan["rows"], &plan["tables"], &plan["stop_after"]),
        (&300.into(), &1.into(), &"P0".into()),
        "{plan}"
    );
    assert!(plan["findings"].to_string().contains("typo (of P0)"), "{plan}");
    let done = go(&args).expect(0);
    assert!(done.stderr.contains("typo (of P0)"), "{}", done.stderr);
    assert_eq!(server.value(&target, "SELECT count(*) FROM t"), "300");
}

/// What the server's log says of settings, as an event trigger of the target sees them, and of how indexes are built.
#[test]
fn indexes_are_built_with_the_memory_and_the_workers_that_are_asked_for() {
    let settings =
        ["log_min_messages=debug1", "min_parallel_table_scan_size=0", "max_parallel_maintenance_workers=2"];
    let (server, folder) = (Server::private(newest(), &settings), folder());
    let source = server.create_db();
    server.sql(&source, "CREATE TABLE t AS SELECT n, md5(n::text) AS v FROM generate_series(1, 50000) n; CREATE INDEX by_v ON t (v)");
    let made = backup(folder.path(), &server.url(&source), &[]);
    let target = server.create_db();
    server.sql(&target, "CREATE FUNCTION public.say() RETURNS event_trigger LANGUAGE plpgsql AS $$BEGIN RAISE LOG 'memory of the build: %', current_setting('maintenance_work_mem'); END$$;
        CREATE EVENT TRIGGER say ON ddl_command_end WHEN TAG IN ('CREATE INDEX') EXECUTE FUNCTION public.say()");
    let args = ["--maintenance-work-mem", "123MB"];
    restore(folder.path(), made["archive"].as_str().unwrap(), &server.url(&target), &args).expect(0);
    let log = server.log();
    assert!(log.contains("memory of the build: 123MB"), "{log}");
    let built = log.lines().rfind(|line| line.contains("building index \"by_v\"")).unwrap_or_default();
    assert!(built.contains("with request for 2 parallel workers"), "{built}");
}
