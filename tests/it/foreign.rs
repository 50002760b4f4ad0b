//! Rows of foreign tables, which are others' unless they are asked for, and of unlogged ones.

use crate::harness::cli::{backup, folder, pass, pgcask, restore, run};
use crate::harness::postgres::{Server, newest, versions};

/// A database with tables on two foreign servers, one of which is another database of the same server.
fn with_foreign_tables(server: &Server, source: &str, remote: &str) {
    let (host, port) = (server.socket_dir().display().to_string(), server.port());
    server.sql(
        remote,
        "CREATE TABLE far (id int PRIMARY KEY, v text); INSERT INTO far SELECT i, 'row ' || i FROM generate_series(1, 500) i;
         CREATE TABLE part (id int, v text); INSERT INTO part VALUES (150, 'in a partition')",
    );
    server.sql(
        source,
        &format!(
            "CREATE EXTENSION postgres_fdw; CREATE EXTENSION file_fdw;
             CREATE SERVER \"Other DB\" FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '{host}', port '{port}', dbname '{remote}');
             CREATE USER MAPPING FOR CURRENT_USER SERVER \"Other DB\" OPTIONS (user 'postgres');
             CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
             CREATE FOREIGN TABLE far (id int, v text) SERVER \"Other DB\";
             CREATE FOREIGN TABLE nowhere (line text) SERVER files OPTIONS (filename '/no/such/file');
             CREATE TABLE near (id int, v text) PARTITION BY RANGE (id); CREATE TABLE near_0 PARTITION OF near FOR VALUES FROM (0) TO (100);
             CREATE FOREIGN TABLE near_1 PARTITION OF near FOR VALUES FROM (100) TO (200) SERVER \"Other DB\" OPTIONS (table_name 'part');
             INSERT INTO near VALUES (1, 'here')"
        ),
    );
}

#[test]
fn foreign_rows_are_taken_and_brought_back_only_when_asked_for() {
    for major in versions() {
        let (server, folder) = (Server::shared(major), folder());
        let (source, remote) = (server.create_db(), server.create_db());
        with_foreign_tables(server, &source, &remote);
        // The server whose rows cannot be read is not asked.
        assert_eq!(backup(folder.path(), &server.url(&source), &[])["rows"], 1, "PostgreSQL {major}");
        let made = backup(folder.path(), &server.url(&source), &["--include-foreign-data", "\"Other DB\""]);
        assert_eq!(made["rows"], 502, "PostgreSQL {major}");
        let archive = made["archive"].as_str().unwrap();
        let far =
            run(&mut pgcask(["cat", archive, "far", "--format", "csv", &pass(folder.path())])).expect(0);
        assert!(far.stdout.contains("500,row 500"), "{}", far.stdout);
        // Where they are still, they would be there twice.
        let target = server.adopt(server.fresh_name());
        let told = restore(folder.path(), archive, &server.url(&target), &["--create"]).expect(0);
        assert!(
            told.stderr.contains("foreign tables are not restored: public.far, public.near_1"),
            "{}",
            told.stderr
        );
        assert_eq!(server.value(&remote, "SELECT count(*) FROM far"), "500");
        server.sql(&remote, "TRUNCATE far, part");
        let again = server.adopt(server.fresh_name());
        let more = ["--create", "--include-foreign-data", "\"Other DB\""];
        let run = restore(folder.path(), archive, &server.url(&again), &more).expect(0);
        assert_eq!(run.json()["rows"], 502);
        let sums = "SELECT count(*) || ' ' || sum(id) || ' ' || max(v) FROM far";
        assert_eq!(server.value(&remote, sums), "500 125250 row 99");
        assert_eq!(
            server.value(&again, "SELECT string_agg(v, ', ' ORDER BY id) FROM near"),
            "here, in a partition"
        );
    }
    let (server, folder) = (Server::shared(newest()), folder());
    let source = server.create_db();
    let (url, store) = (server.url(&source), folder.path().join("store").display().to_string());
    let args = ["backup", &url, "--to", &store, "--include-foreign-data", "none", &pass(folder.path())];
    let refused = run(&mut pgcask(args)).expect(2);
    assert!(refused.stderr.contains("no foreign server matches none"), "{}", refused.stderr);
}

#[test]
fn unlogged_rows_are_left_out_on_request() {
    let (server, folder) = (Server::shared(newest()), folder());
    let source = server.create_db();
    server.sql(&source, "CREATE UNLOGGED TABLE u AS SELECT 1 AS i; CREATE TABLE t AS SELECT 2 AS i");
    let made = backup(folder.path(), &server.url(&source), &["--no-unlogged-table-data"]);
    assert_eq!(made["rows"], 1);
    let archive = made["archive"].as_str().unwrap();
    let shown = run(&mut pgcask(["show", archive, "--json", &pass(folder.path())])).expect(0);
    assert!(shown.stdout.contains("\"public\\\".\\\"u"), "{}", shown.stdout);
    let target = server.adopt(server.fresh_name());
    restore(folder.path(), archive, &server.url(&target), &["--create"]).expect(0);
    assert_eq!(server.value(&target, "SELECT count(*) FROM u"), "0");
    assert_eq!(server.value(&target, "SELECT relpersistence FROM pg_class WHERE relname = 'u'"), "u");
    assert_eq!(backup(folder.path(), &server.url(&source), &[])["rows"], 2);
}
