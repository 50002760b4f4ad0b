//! `pgcask diff`: what of a live table differs from an archive. SQL on the server is the judge.

use crate::harness::cli::{backup, folder, pass, pgcask, restore, run};
use crate::harness::postgres::{Server, newest, on_each_version};

/// Compares a table; gives its entry of the JSON result.
fn diff(folder: &std::path::Path, archive: &str, url: &str, table: &str, more: &[&str]) -> serde_json::Value {
    let mut command = pgcask(["diff", archive, "--table", table, "--against", url, "--json", &pass(folder)]);
    run(command.args(more)).expect(0).json()["tables"][0].clone()
}

/// Missing, changed, extra.
fn counts(found: &serde_json::Value) -> [u64; 3] {
    ["missing", "changed", "extra"].map(|name| found[name].as_u64().unwrap())
}

/// What the server itself says of two tables with the same key.
fn judged(server: &Server, db: &str, was: &str, is: &str, key: &str) -> [u64; 3] {
    let count = |query: String| server.value(db, &query).parse().unwrap();
    [
        count(format!(
            "SELECT count(*) FROM {was} a WHERE NOT EXISTS (SELECT FROM ONLY {is} b WHERE b.{key} = a.{key})"
        )),
        count(format!(
            "SELECT count(*) FROM {was} a JOIN ONLY {is} b USING ({key}) WHERE a::text <> b::text"
        )),
        count(format!(
            "SELECT count(*) FROM ONLY {is} b WHERE NOT EXISTS (SELECT FROM {was} a WHERE b.{key} = a.{key})"
        )),
    ]
}

/// All of it, as CSV, which the server reads back and agrees with.
fn the_csv_tells_all(server: &Server, db: &str, archive: &str, folder: &std::path::Path, judged: [u64; 3]) {
    let csv = folder.join("lost.csv");
    diff(folder, archive, &server.url(db), "orders", &["--csv", csv.to_str().unwrap()]);
    server.sql(db, "CREATE TABLE told (difference text, side text, LIKE orders)");
    let mut psql = server.client("psql", db);
    crate::harness::output(psql.args([
        "-Xq",
        "-c",
        &format!("\\copy told FROM '{}' CSV HEADER", csv.display()),
    ]));
    let told = |difference: &str, side: &str| {
        server
            .value(
                db,
                &format!("SELECT count(*) FROM told WHERE difference = '{difference}' AND side = '{side}'"),
            )
            .parse::<u64>()
            .unwrap()
    };
    assert_eq!(
        [
            told("missing", "backup"),
            told("changed", "backup"),
            told("changed", "live"),
            told("extra", "live")
        ],
        [judged[0], judged[1], judged[1], judged[2]]
    );
    let backup_side = "SELECT count(*) FROM told t JOIN was w USING (id) WHERE t.side = 'backup' AND w.note = t.note AND w.placed = t.placed";
    assert_eq!(server.value(db, backup_side), (judged[0] + judged[1]).to_string());
    server.sql(db, "DROP TABLE told");
}

#[test]
fn an_accident_is_seen_row_by_row_and_only_its_chunks_are_read() {
    on_each_version(|server| {
        let folder = folder();
        let db = server.create_db();
        server.sql(&db, "CREATE TABLE orders (id bigint PRIMARY KEY, customer int, placed timestamptz, note text, doc json);
            INSERT INTO orders SELECT n, n % 977, timestamptz '2026-01-01' + n * interval '7 s', md5(n::text), '{\"a\": 1}' FROM generate_series(1, 300000) n;
            CREATE TABLE was AS SELECT * FROM orders");
        let url = server.url(&db);
        let made = backup(folder.path(), &url, &["--table", "orders"]);
        let archive = made["archive"].as_str().unwrap();
        let same = diff(folder.path(), archive, &url, "orders", &[]);
        assert_eq!((counts(&same), same["chunks_read"].as_u64()), ([0, 0, 0], Some(0)), "{same}");
        assert!(same["chunks"].as_u64().unwrap() > 10, "{same}");

        // One place: one chunk is read.
        server.sql(&db, "DELETE FROM orders WHERE id BETWEEN 150000 AND 150099");
        let one = diff(folder.path(), archive, &url, "orders", &[]);
        assert_eq!(counts(&one), [100, 0, 0]);
        assert!(one["chunks_read"].as_u64().unwrap() <= 2, "{one}");
        assert_eq!(one["sample"][0]["backup"]["id"], "150000", "{one}");

        // Everywhere, and rows before, between and after those of the archive.
        server.sql(&db, "DELETE FROM orders WHERE id % 1009 = 0; UPDATE orders SET note = NULL WHERE id % 5003 = 1;
            UPDATE orders SET doc = '{\"a\":1}' WHERE id = 7; UPDATE orders SET note = note WHERE id = 9;
            INSERT INTO orders (id, note) SELECT n, 'new' FROM generate_series(300001, 300777) n; INSERT INTO orders (id) VALUES (-5), (0);
            UPDATE orders SET id = 1000000 WHERE id = 12345");
        let judged = judged(server, &db, "was", "orders", "id");
        let found = diff(folder.path(), archive, &url, "orders", &[]);
        assert_eq!(counts(&found), judged, "{found}");
        assert!(judged[0] > 390 && judged[1] == 60 && judged[2] == 780, "{judged:?}");
        let only_counted = diff(folder.path(), archive, &url, "orders", &["--sample", "0"]);
        assert_eq!(counts(&only_counted), judged);
        assert_eq!(found["compared_by"], "primary key (id)");

        the_csv_tells_all(server, &db, archive, folder.path(), judged);

        // Exit status and words.
        let mut command = pgcask([
            "diff",
            archive,
            "-t",
            "orders",
            "--database",
            &url,
            "--exit-code",
            &pass(folder.path()),
        ]);
        let said = run(&mut command).expect(5).stdout;
        assert!(
            said.contains(&format!(
                "public.orders: {} missing, {} changed, {} extra",
                judged[0], judged[1], judged[2]
            )),
            "{said}"
        );
        assert!(said.contains("note was "), "{said}");
    });
}

#[test]
fn a_table_without_a_key_is_a_multiset_and_other_keys_do_too() {
    on_each_version(|server| {
        let folder = folder();
        let db = server.create_db();
        server.sql(&db, "CREATE TABLE log (at timestamptz, line text, doc jsonb);
            INSERT INTO log SELECT '2026-01-01'::timestamptz + (n / 3) * interval '1 s', 'line ' || n / 3, '{}' FROM generate_series(0, 29999) n;
            CREATE TABLE by_uuid (id uuid PRIMARY KEY, v text); INSERT INTO by_uuid SELECT md5(n::text)::uuid, 'v' || n FROM generate_series(1, 60000) n;
            CREATE SCHEMA \"Odd, one\"; CREATE TABLE \"Odd, one\".\"T \"\"x\" (\"the key\" varchar(9) NOT NULL, \"a\tb\" int, g int GENERATED ALWAYS AS (1) STORED, id int GENERATED ALWAYS AS IDENTITY);
            CREATE UNIQUE INDEX ON \"Odd, one\".\"T \"\"x\" (\"the key\"); INSERT INTO \"Odd, one\".\"T \"\"x\" VALUES ('a', NULL), (E'b\\n', 2), ('c', 3);
            CREATE TABLE pair (a int, b int, v float8, PRIMARY KEY (a, b)); INSERT INTO pair SELECT n / 4, n % 4, n / 7.0 FROM generate_series(0, 99999) n;
            CREATE TABLE empty (id int PRIMARY KEY)");
        let url = server.url(&db);
        let made = backup(folder.path(), &url, &[]);
        let archive = made["archive"].as_str().unwrap();
        let compare = |table: &str| counts(&diff(folder.path(), archive, &url, table, &[]));
        for table in ["log", "by_uuid", "\"Odd, one\".*", "pair", "empty"] {
            assert_eq!(compare(table), [0, 0, 0], "{table}");
        }
        // Each line is there three times: one copy goes here, two there, and one line has a fourth.
        server.sql(&db, "DELETE FROM log WHERE ctid = (SELECT min(ctid) FROM log WHERE line = 'line 5');
            DELETE FROM log WHERE ctid IN (SELECT ctid FROM log WHERE line = 'line 6' LIMIT 2);
            INSERT INTO log SELECT * FROM log WHERE line = 'line 7' LIMIT 1; UPDATE log SET doc = '{\"x\": 1}' WHERE line = 'line 9'");
        assert_eq!(compare("log"), [6, 0, 4]);
        server.sql(&db, "DELETE FROM by_uuid WHERE v LIKE '%77'; UPDATE by_uuid SET v = 'other' WHERE v LIKE '%78'; INSERT INTO by_uuid VALUES (gen_random_uuid(), 'new')");
        assert_eq!(compare("by_uuid"), [600, 600, 1]);
        server.sql(&db, "DELETE FROM \"Odd, one\".\"T \"\"x\" WHERE \"the key\" = 'a'; UPDATE \"Odd, one\".\"T \"\"x\" SET \"a\tb\" = 9 WHERE \"the key\" = 'c'");
        assert_eq!(compare("\"Odd, one\".*"), [1, 1, 0]);
        server.sql(&db, "DELETE FROM pair WHERE (a, b) IN ((5, 1), (5, 2), (24999, 3)); UPDATE pair SET v = v + 1 WHERE a = 6; INSERT INTO pair VALUES (5, 7, 0), (-1, 0, 'NaN')");
        assert_eq!(compare("pair"), [3, 4, 2]);
        server.sql(&db, "TRUNCATE pair; INSERT INTO empty VALUES (1)");
        assert_eq!(compare("pair"), [100_000, 0, 0]);
        assert_eq!(compare("empty"), [0, 0, 1]);
    });
}

#[test]
fn a_table_that_was_altered_since_is_compared_by_what_both_have() {
    on_each_version(|server| {
        let folder = folder();
        let db = server.create_db();
        server.sql(&db, "CREATE TABLE t (id int PRIMARY KEY, gone text, v int, w numeric(10,2)); INSERT INTO t SELECT n, 'g', n, n FROM generate_series(1, 50000) n");
        let url = server.url(&db);
        let made = backup(folder.path(), &url, &[]);
        let archive = made["archive"].as_str().unwrap();
        server.sql(&db, "ALTER TABLE t ADD added text DEFAULT 'x'");
        let found = diff(folder.path(), archive, &url, "t", &[]);
        assert_eq!((counts(&found), found["chunks_read"].as_u64()), ([0, 0, 0], Some(0)), "{found}");
        assert!(found["notes"][0].as_str().unwrap().contains("added"), "{found}");
        server.sql(&db, "ALTER TABLE t DROP gone; ALTER TABLE t ALTER v TYPE bigint; ALTER TABLE t ALTER w TYPE numeric(12,4); DELETE FROM t WHERE id = 77; UPDATE t SET v = 0 WHERE id = 78");
        let found = diff(folder.path(), archive, &url, "t", &[]);
        assert_eq!(counts(&found), [1, 1, 0], "{found}");
        assert!(found["notes"][0].as_str().unwrap().contains("gone"), "{found}");
        server.sql(&db, "ALTER TABLE t RENAME TO u");
        let mut command = pgcask(["diff", archive, "-t", "t", "--against", &url, &pass(folder.path())]);
        assert!(run(&mut command).expect(1).stderr.contains("does not exist in the live database"));
    });
}

/// Rows must not come back without what the archive has in a column that goes by another name now.
#[test]
fn rows_do_not_come_back_without_the_values_of_a_column_that_was_renamed() {
    on_each_version(|server| {
        let folder = folder();
        let db = server.create_db();
        server.sql(
            &db,
            "CREATE TABLE t (id int PRIMARY KEY, total int, note text); INSERT INTO t SELECT n, n * 2, 'n' || n FROM generate_series(1, 30000) n; \
             CREATE TABLE was AS SELECT * FROM t",
        );
        let url = server.url(&db);
        let archive = backup(folder.path(), &url, &[])["archive"].as_str().unwrap().to_owned();
        server.sql(&db, "ALTER TABLE t RENAME total TO \"Amount\"; DELETE FROM t WHERE id % 1000 = 0; UPDATE t SET note = 'x' WHERE id = 7");
        let only = |more: &[&str]| {
            restore(folder.path(), &archive, &url, &[&["--table", "t", "--only", "all"], more].concat())
        };
        for how in [&["--yes"][..], &["--dry-run"]] {
            let refused = only(how).expect(9);
            let said = format!("{}{}", refused.stdout, refused.stderr);
            assert!(said.contains("total"), "{said}");
        }
        assert_eq!(server.value(&db, "SELECT count(*) FROM t"), "29970", "nothing was inserted");
        // As `diff` says it, too.
        let compared = |more: &[&str]| {
            run(pgcask([
                "diff",
                &archive,
                "-t",
                "t",
                "--against",
                &url,
                "--json",
                "--exit-code",
                &pass(folder.path()),
            ])
            .args(more))
        };
        let found = compared(&[]).expect(5).json();
        assert_eq!(found["tables"][0]["lost_columns"][0], "total", "{found}");
        let renamed = ["--column", "t: total=\"Amount\""];
        let found = compared(&renamed).expect(5).json();
        assert_eq!(counts(&found["tables"][0]), [30, 1, 0], "{found}");
        only(&[&renamed[..], &["--yes"]].concat()).expect(0);
        let differ = "SELECT count(*) FROM was w FULL JOIN t USING (id) WHERE (w.total, w.note) IS DISTINCT FROM (t.\"Amount\", t.note)";
        assert_eq!(server.value(&db, differ), "0");
        let found = compared(&renamed).expect(0).json();
        assert_eq!(
            (counts(&found["tables"][0]), &found["tables"][0]["chunks_read"]),
            ([0, 0, 0], &0.into()),
            "{found}"
        );
        // One that was dropped must be said to be.
        server.sql(&db, "ALTER TABLE t DROP \"Amount\"; DELETE FROM t WHERE id = 8");
        only(&["--yes"]).expect(9);
        only(&["--column", "t: total=", "--yes"]).expect(0);
        assert_eq!(server.value(&db, "SELECT count(*) FROM t"), "30000");
        for wrong in ["t: nosuch=x", "u: total=", "t total"] {
            only(&["--column", wrong, "--yes"]).expect(2);
        }
        // What the live column does not take is told by its name.
        server.sql(&db, "ALTER TABLE t ALTER note TYPE varchar(2) USING left(note, 2)");
        let refused = compared(&["--column", "t: total="]).expect(9);
        assert!(
            refused.stderr.contains("column note") && !refused.stderr.contains("pgcask_backup"),
            "{}",
            refused.stderr
        );
    });
}

#[test]
fn a_partitioned_table_is_compared_as_one() {
    on_each_version(|server| {
        let folder = folder();
        let db = server.create_db();
        server.sql(&db, "CREATE TABLE p (id int, at date, v text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
            CREATE TABLE p1 PARTITION OF p FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
            CREATE TABLE p2 (v text, at date NOT NULL, id int NOT NULL); ALTER TABLE p ATTACH PARTITION p2 FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
            CREATE TABLE parent (id int PRIMARY KEY); CREATE TABLE child () INHERITS (parent); INSERT INTO parent VALUES (1), (2); INSERT INTO child VALUES (1), (3);
            INSERT INTO p SELECT n, date '2026-01-01' + n % 59, 'v' || n FROM generate_series(1, 40000) n");
        let url = server.url(&db);
        let made = backup(folder.path(), &url, &[]);
        let archive = made["archive"].as_str().unwrap();
        assert_eq!(counts(&diff(folder.path(), archive, &url, "p", &[])), [0, 0, 0]);
        server.sql(&db, "DELETE FROM p WHERE id % 1000 = 3; UPDATE p SET v = 'x' WHERE id = 5; DELETE FROM ONLY parent WHERE id = 1");
        assert_eq!(counts(&diff(folder.path(), archive, &url, "p", &[])), [40, 1, 0]);
        let leaf = diff(folder.path(), archive, &url, "p1", &[]);
        let lost = server.value(&db, "SELECT count(*) FROM generate_series(3, 40000, 1000) n WHERE date '2026-01-01' + n % 59 < '2026-02-01'");
        assert_eq!(leaf["missing"].to_string(), lost);
        let mut command = pgcask([
            "diff",
            archive,
            "-t",
            "parent",
            "-t",
            "child",
            "--against",
            &url,
            "--json",
            &pass(folder.path()),
        ]);
        let both = run(&mut command).expect(0).json();
        assert_eq!(
            (counts(&both["tables"][0]), counts(&both["tables"][1])),
            ([1, 0, 0], [0, 0, 0]),
            "{both}"
        );
    });
}

#[test]
fn a_role_that_may_see_some_rows_only_is_refused() {
    let (server, folder) = (Server::shared(newest()), folder());
    let db = server.create_db();
    server.sql(&db, "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT n, 'v' FROM generate_series(1, 1000) n;
        ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY few ON t USING (id < 10)");
    let role = format!("diff_{db}");
    server.sql(&db, &format!("CREATE ROLE {role} LOGIN PASSWORD 'x'; GRANT SELECT ON t TO {role}"));
    let made = backup(folder.path(), &server.url(&db), &[]);
    let archive = made["archive"].as_str().unwrap();
    let url = server.url(&db);
    let (_, host) = url.split_once('@').unwrap();
    let limited = format!("postgres://{role}:x@{host}");
    let said = run(&mut pgcask(["diff", archive, "-t", "t", "--against", &limited, &pass(folder.path())]));
    assert!(said.code != 0 && said.stderr.contains("row-level security"), "{said:?}");
    server.sql(&db, &format!("DROP OWNED BY {role}; DROP ROLE {role}"));
}
