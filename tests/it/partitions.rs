//! Partitions whose rows, names or states are not what one would think.

use std::process::Stdio;

use crate::harness::cli::{backup, folder, pass, pgcask, restore, run};
use crate::harness::oracle::assert_same;
use crate::harness::postgres::{Build, Options, Server, newest, versions};
use crate::load::until;

/// What is before what in a text is the collation's to say, and the target's may say otherwise, as one of another
/// version of the operating system does.
#[test]
fn rows_lie_where_the_targets_collation_puts_them() {
    for major in versions() {
        let (server, folder) = (Server::shared(major), folder());
        let source = server.create_db_with("ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0");
        server.sql(
            &source,
            "CREATE TABLE words (w text, n int) PARTITION BY RANGE (w); CREATE TABLE words_low PARTITION OF words FOR VALUES FROM (MINVALUE) TO ('b');
             CREATE TABLE words_high PARTITION OF words FOR VALUES FROM ('b') TO (MAXVALUE);
             CREATE TABLE bytes (w text COLLATE \"C\") PARTITION BY RANGE (w); CREATE TABLE bytes_low PARTITION OF bytes FOR VALUES FROM (MINVALUE) TO ('b');
             INSERT INTO words SELECT w, n FROM unnest(ARRAY['A', 'B', 'Z', 'a', 'b', 'z']) w, generate_series(1, 50) n; INSERT INTO bytes VALUES ('B')",
        );
        assert_eq!(server.value(&source, "SELECT count(*) FROM words_low"), "200");
        let made = backup(folder.path(), &server.url(&source), &[]);
        let archive = made["archive"].as_str().unwrap();
        let target =
            server.create_db_with("TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en' LOCALE 'C'");
        let restored = restore(folder.path(), archive, &server.url(&target), &[]).expect(0);
        assert_eq!(restored.json()["verified"], true, "PostgreSQL {major}");
        let moved = "rows may come to lie in other partitions of \"public\".\"words\"";
        assert!(restored.stderr.contains(moved) && restored.stderr.contains("icu en"), "{}", restored.stderr);
        let rows = "SELECT (SELECT count(*) FROM words_low) || ' ' || (SELECT count(*) FROM words_high) || ' ' || (SELECT count(*) FROM bytes_low)";
        assert_eq!(server.value(&target, rows), "100 200 1", "PostgreSQL {major}");
        let same = server.adopt(server.fresh_name());
        let restored = restore(folder.path(), archive, &server.url(&same), &["--create"]).expect(0);
        assert!(!restored.stderr.contains("texts are ordered"), "{}", restored.stderr);
        assert_same(server, &source, server, &same);
    }
}

/// As after an upgrade of the operating system: the same locale, with other data.
#[test]
fn another_version_of_the_targets_collation_is_told() {
    for major in versions() {
        let (server, folder) = (Server::shared(major), folder());
        let source =
            server.create_db_with("TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en' LOCALE 'C'");
        server.sql(
            &source,
            "CREATE TABLE words (w text, n int) PARTITION BY RANGE (w); INSERT INTO words SELECT WHERE false",
        );
        let warned = |version: &str| {
            server.sql(
                &source,
                &format!(
                    "UPDATE pg_database SET datcollversion = {version} WHERE datname = current_database()"
                ),
            );
            let (store, key) = (folder.path().join("store").display().to_string(), pass(folder.path()));
            let args = ["backup", &server.url(&source), "--to", &store, "--json", &key];
            let made = run(&mut pgcask(args)).expect(0);
            let said = made.stderr.contains("the collation of the database was of version 1.5");
            assert_eq!(said, version.contains("1.5"), "{}", made.stderr);
            let target = server.adopt(server.fresh_name());
            let (archive, args) = (made.json(), ["--create", "--dry-run"]);
            let archive = archive["archive"].as_str().unwrap();
            restore(folder.path(), archive, &server.url(&target), &args).expect(0).stdout
        };
        let told = warned("'1.5'");
        for words in ["in the archive's database: indexes", "icu en, version 1.5", "words"] {
            assert!(told.contains(words), "{words}: {told}");
        }
        let told = warned("pg_database_collation_actual_version(oid)");
        assert!(!told.contains("texts are ordered"), "{told}");
    }
}

#[test]
fn partitioned_tables_have_statistics_too() {
    for major in versions() {
        let (server, folder) = (Server::shared(major), folder());
        let (source, target) = (server.create_db(), server.adopt(server.fresh_name()));
        server.sql(
            &source,
            "CREATE TABLE p (a int, b int) PARTITION BY RANGE (a); CREATE TABLE p_0 PARTITION OF p FOR VALUES FROM (0) TO (100) PARTITION BY LIST (b);
             CREATE TABLE p_0_0 PARTITION OF p_0 DEFAULT; INSERT INTO p SELECT n, n % 7 FROM generate_series(0, 99) n",
        );
        let made = backup(folder.path(), &server.url(&source), &[]);
        restore(folder.path(), made["archive"].as_str().unwrap(), &server.url(&target), &["--create"])
            .expect(0);
        let known = "SELECT string_agg(DISTINCT tablename || '.' || attname, ' ' ORDER BY tablename || '.' || attname) FROM pg_stats WHERE schemaname = 'public'";
        assert_eq!(server.value(&target, known), "p.a p.b p_0.a p_0.b p_0_0.a p_0_0.b", "PostgreSQL {major}");
    }
}

#[test]
fn some_partitions_of_a_table() {
    let (server, folder) = (Server::shared(newest()), folder());
    let source = server.create_db();
    server.sql(
        &source,
        "CREATE TABLE p (a int PRIMARY KEY, b text) PARTITION BY RANGE (a); CREATE TABLE p_0 PARTITION OF p FOR VALUES FROM (0) TO (10);
         CREATE TABLE p_1 PARTITION OF p FOR VALUES FROM (10) TO (20); CREATE TABLE p_rest PARTITION OF p DEFAULT; CREATE INDEX ON p (b);
         INSERT INTO p SELECT n, n::text FROM generate_series(0, 29) n",
    );
    let whole = backup(folder.path(), &server.url(&source), &[]);
    let some = backup(folder.path(), &server.url(&source), &["--exclude-table", "p_1"]);
    let rows = "SELECT string_agg(c.relname || ' ' || (xpath('/row/n/text()', query_to_xml('SELECT count(*) AS n FROM ONLY ' || c.oid::regclass, false, true, '')))[1], ', ' ORDER BY c.relname)
        FROM pg_class c WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace";
    for (made, more, expected) in [
        (&whole, &["--exclude-table", "p_1"][..], "p_0 10, p_rest 10"),
        (&whole, &["--table", "p_0"], "p_0 10"),
        (&some, &[], "p_0 10, p_rest 10"),
    ] {
        let target = server.create_db();
        restore(folder.path(), made["archive"].as_str().unwrap(), &server.url(&target), more).expect(0);
        assert_eq!(server.value(&target, rows), expected, "{more:?}");
        // What the whole holds is what its partitions hold.
        let attached = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'p'::regclass";
        assert_eq!(server.value(&target, attached), expected.split(", ").count().to_string(), "{more:?}");
        let invalid = "SELECT coalesce(string_agg(indexrelid::regclass::text, ' '), '') FROM pg_index WHERE NOT indisvalid";
        assert_eq!(server.value(&target, invalid), "", "{more:?}");
    }
}

/// `DETACH PARTITION … CONCURRENTLY` that was broken off leaves the partition half way out.
#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_is_half_detached() {
    let (server, folder) =
        (Server::with(Build::Major(newest()), Options { tcp: true, ..Options::default() }), folder());
    let source = server.create_db();
    server.sql(
        &source,
        "CREATE TABLE p (a int) PARTITION BY RANGE (a); CREATE TABLE p_0 PARTITION OF p FOR VALUES FROM (0) TO (10); CREATE TABLE p_1 PARTITION OF p FOR VALUES FROM (10) TO (20);
         INSERT INTO p SELECT generate_series(0, 19)",
    );
    let reader = server.connect(&source).await;
    reader.batch_execute("BEGIN; SELECT count(*) FROM p").await.unwrap();
    let sql = "ALTER TABLE p DETACH PARTITION p_1 CONCURRENTLY";
    let mut detaching = server.client("psql", &source);
    let mut detaching = detaching.args(["-Xqc", sql]).stderr(Stdio::null()).spawn().unwrap();
    until(&server, &source, "SELECT count(*) FROM pg_inherits WHERE inhdetachpending", "1");
    server.sql(
        &source,
        "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE 'ALTER TABLE p DETACH%'",
    );
    assert!(!detaching.wait().unwrap().success());
    reader.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(server.value(&source, "SELECT count(*) FROM p"), "10", "its rows are out already");
    let store = folder.path().join("store").display().to_string();
    let made =
        run(&mut pgcask(["backup", &server.url(&source), "--to", &store, "--json", &pass(folder.path())]))
            .expect(0);
    let warning =
        "partition \"public\".\"p_1\" is half detached from \"public\".\"p\", and comes back attached";
    assert!(made.stderr.contains(warning), "{}", made.stderr);
    let target = server.adopt(server.fresh_name());
    let archive = made.json()["archive"].as_str().unwrap().to_owned();
    let restored = restore(folder.path(), &archive, &server.url(&target), &["--create"]).expect(0);
    assert_eq!(restored.json()["verified"], true);
    assert_eq!(server.value(&target, "SELECT count(*) FROM p_1"), "10", "no row is lost");
}

/// Making an index and attaching it lock several tables of the tree. Connections that do so side by side must not wait for
/// each other, which would be for ever.
#[test]
fn indexes_of_partitions_of_partitions_are_attached_side_by_side() {
    let (server, folder) = (Server::shared(newest()), folder());
    let (source, target) = (server.create_db(), server.fresh_name());
    server.sql(
        &source,
        "CREATE TABLE t (a int, b int, PRIMARY KEY (a, b)) PARTITION BY LIST (a);
         CREATE INDEX ON t (b); CREATE INDEX ON t (b, a); CREATE UNIQUE INDEX ON t (a, b) ;
         DO $$ BEGIN FOR n IN 1..40 LOOP
             EXECUTE format('CREATE TABLE t_%s PARTITION OF t FOR VALUES IN (%s) PARTITION BY HASH (b)', n, n);
             EXECUTE format('CREATE TABLE t_%s_0 PARTITION OF t_%s FOR VALUES WITH (MODULUS 2, REMAINDER 0)', n, n);
             EXECUTE format('CREATE TABLE t_%s_1 PARTITION OF t_%s FOR VALUES WITH (MODULUS 2, REMAINDER 1)', n, n);
         END LOOP; END $$",
    );
    let made = backup(folder.path(), &server.url(&source), &[]);
    let archive = made["archive"].as_str().unwrap();
    let url = server.url(&target);
    let args = ["restore", archive, "--into", &url, "--create", "--jobs", "8", &pass(folder.path())];
    run(&mut pgcask(args)).expect(0);
    assert_same(server, &source, server, &server.adopt(target));
}
