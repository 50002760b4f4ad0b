//! Restores of some objects of an archive: what comes along, what does not, and what is told of it.

use crate::harness::cli::{Run, backup, folder, restore};
use crate::harness::postgres::{Db, Server, newest, on_each_version, versions};

struct Made<'a> {
    server: &'a Server,
    folder: tempfile::TempDir,
    archive: String,
    db: Db<'a>,
}

impl<'a> Made<'a> {
    /// A database of this SQL, and an archive of it.
    fn new(server: &'a Server, sql: &str) -> Self {
        let (db, folder) = (server.create_db(), folder());
        server.sql(&db, sql);
        let made = backup(folder.path(), &server.url(&db), &[]);
        Self { server, archive: made["archive"].as_str().unwrap().to_owned(), folder, db }
    }

    fn restore(&self, into: &str, more: &[&str]) -> Run {
        restore(self.folder.path(), &self.archive, &self.server.url(into), more)
    }
}

#[test]
fn patterns_that_mean_nothing_are_told_and_refused_on_request() {
    let server = Server::shared(newest());
    let made = Made::new(server, "CREATE TABLE a AS SELECT 1 AS i; CREATE TABLE b AS SELECT 2 AS i");
    let target = server.create_db();
    let refused = made.restore(&target, &["--table", "a", "--table", "nope", "--strict-names"]).expect(2);
    assert!(refused.stderr.contains("nothing in the archive matches nope"), "{}", refused.stderr);
    made.restore(&target, &["--table", "nope"]).expect(2);
    assert_eq!(server.value(&target, "SELECT to_regclass('a') IS NULL"), "t");
    let told = made.restore(&target, &["--table", "a", "--table", "nope"]).expect(0);
    assert!(told.stderr.contains("nothing in the archive matches nope"), "{}", told.stderr);
    made.restore(&target, &["--table", "b", "--strict-names"]).expect(0);
    assert_eq!(server.value(&target, "SELECT a.i + b.i FROM a, b"), "3");
}

#[test]
fn what_a_table_needs_comes_along_and_is_listed_first() {
    on_each_version(|server| {
        let made = Made::new(
            server,
            "CREATE SCHEMA kinds; CREATE TYPE kinds.mood AS ENUM ('sad', 'happy'); CREATE FUNCTION kinds.next() RETURNS int LANGUAGE sql AS 'SELECT 7';
             CREATE TABLE t (m kinds.mood, n int DEFAULT kinds.next()); INSERT INTO t VALUES ('happy'); CREATE TABLE other (i int)",
        );
        let target = server.create_db();
        let plan = made.restore(&target, &["--table", "t", "--dry-run"]).expect(0).json();
        let needed: Vec<&str> =
            plan["needed"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
        assert_eq!(needed.len(), 3, "{needed:?}");
        for name in ["SCHEMA \"kinds\"", "TYPE \"kinds\".\"mood\"", "FUNCTION \"kinds\".\"next\"()"] {
            assert!(needed.contains(&name), "{name}: {needed:?}");
        }
        assert!(
            plan["estimated_seconds"].as_f64().unwrap() > 0.0 && plan["read_bytes"].as_u64().unwrap() > 0,
            "{plan}"
        );
        // Without them the table cannot be made.
        let alone = made.restore(&target, &["--table", "t", "--no-dependencies"]).expect(1);
        assert!(alone.stderr.contains("kinds"), "{}", alone.stderr);
        server.sql(&target, "CREATE SCHEMA kinds; CREATE TYPE kinds.mood AS ENUM ('happy', 'mad'); CREATE FUNCTION kinds.next() RETURNS int LANGUAGE sql AS 'SELECT 8'");
        made.restore(&target, &["--table", "t", "--no-dependencies"]).expect(0);
        assert_eq!(server.value(&target, "INSERT INTO t VALUES ('mad') RETURNING n"), "8");
        let whole = server.create_db();
        let told = made.restore(&whole, &["--table", "t"]).expect(0);
        assert!(told.stderr.contains("created besides, where the target lacks them"), "{}", told.stderr);
        assert_eq!(server.value(&whole, "INSERT INTO t VALUES ('sad') RETURNING n"), "7");
        // What is there already is neither made nor told; another function of the same name is not it.
        server.sql(&whole, "DROP TABLE t; DROP FUNCTION kinds.next(); CREATE FUNCTION kinds.next(int) RETURNS int LANGUAGE sql AS 'SELECT 9'");
        let plan = made.restore(&whole, &["--table", "t", "--dry-run"]).expect(0).json();
        assert_eq!(plan["needed"], serde_json::json!(["FUNCTION \"kinds\".\"next\"()"]), "{plan}");
        made.restore(&whole, &["--table", "t"]).expect(0);
        assert_eq!(server.value(&whole, "INSERT INTO t VALUES ('sad') RETURNING n"), "7");
        let plan = made.restore(&whole, &["--table", "other", "--dry-run"]).expect(0).json();
        assert_eq!(plan["needed"], serde_json::json!([]), "{plan}");
    });
}

/// A table without its foreign key, or its policy, is not the table that was asked for: whoever restores it must know.
#[test]
fn what_a_table_comes_without_is_told() {
    let server = Server::shared(newest());
    let made = Made::new(
        server,
        "CREATE TABLE towns (id int PRIMARY KEY); CREATE TABLE people (id int PRIMARY KEY, town int CONSTRAINT lives REFERENCES towns);
         ALTER TABLE people ENABLE ROW LEVEL SECURITY; CREATE POLICY near ON people USING (town IN (SELECT id FROM towns));
         CREATE TABLE pets (owner int CONSTRAINT owned REFERENCES people)",
    );
    let target = server.create_db();
    let found = |args: &[&str]| made.restore(&target, args).expect(0).json()["findings"].to_string();
    let people = ["--table", "people", "--dry-run"];
    let plan = found(&people);
    assert!(plan.contains("CONSTRAINT lives ON public.people"), "{plan}");
    assert!(plan.contains("POLICY near ON public.people"), "{plan}");
    // Not what belongs to others.
    assert!(!plan.contains("owned"), "{plan}");
    let excluded = found(&["--exclude-table", "people", "--dry-run"]);
    assert!(
        excluded.contains("CONSTRAINT owned ON public.pets") && !excluded.contains("lives"),
        "{excluded}"
    );
    let told = made.restore(&target, &["--table", "people"]).expect(0).stderr;
    assert!(told.contains("not restored, for what it needs is neither chosen nor in the target"), "{told}");
    assert!(told.contains("CONSTRAINT lives ON public.people"), "{told}");
    // In the target it is enough.
    server.sql(&target, "DROP TABLE people");
    made.restore(&target, &["--table", "towns"]).expect(0);
    let plan = found(&people);
    assert!(!plan.contains("neither chosen"), "{plan}");
    made.restore(&target, &["--table", "people"]).expect(0);
    assert_eq!(server.value(&target, "SELECT count(*) FROM pg_constraint WHERE conname = 'lives'"), "1");
}

/// Privileges of columns come with the table; comments on what is left out do not.
#[test]
fn a_table_comes_with_its_own_and_without_what_others_have() {
    on_each_version(|server| {
        let role = format!("column_reader_{}", server.port());
        server.sql("postgres", &format!("CREATE ROLE {role}"));
        let made = Made::new(
            server,
            &format!(
                "CREATE TABLE t (a int, b int, c int); GRANT SELECT (a), UPDATE (b) ON t TO {role}; COMMENT ON COLUMN t.a IS 'kept';
                 CREATE PUBLICATION pub FOR TABLE t; COMMENT ON PUBLICATION pub IS 'left out';
                 CREATE SUBSCRIPTION sub CONNECTION 'dbname=none' PUBLICATION x WITH (connect = false); COMMENT ON SUBSCRIPTION sub IS 'left out'; ALTER SUBSCRIPTION sub SET (slot_name = NONE)"
            ),
        );
        let target = server.create_db();
        made.restore(&target, &["--table", "t"]).expect(0);
        let may = format!(
            "SELECT has_column_privilege('{role}', 't', 'a', 'SELECT'), has_column_privilege('{role}', 't', 'b', 'UPDATE'), has_column_privilege('{role}', 't', 'c', 'SELECT'), col_description('t'::regclass, 1)"
        );
        assert_eq!(server.rows(&target, &may), [["t", "t", "f", "kept"]]);
        assert_eq!(server.value(&target, "SELECT count(*) FROM pg_publication"), "0");
        server.sql(&made.db, "DROP SUBSCRIPTION sub");
    });
}

#[test]
fn a_dropped_table_is_published_again() {
    on_each_version(|server| {
        let part = "(a, b) WHERE (a > 0)";
        let made = Made::new(
            server,
            &format!(
                "CREATE TABLE t (a int PRIMARY KEY, b int, c int); CREATE TABLE other (i int); INSERT INTO t VALUES (1, 2, 3);
                 CREATE PUBLICATION partly FOR TABLE t {part}, other; CREATE PUBLICATION gone FOR TABLE t; CREATE PUBLICATION all_of_it FOR ALL TABLES"
            ),
        );
        let published = "SELECT pubname, attnames::text, rowfilter FROM pg_publication_tables WHERE tablename = 't' ORDER BY 1";
        let before = server.rows(&made.db, published);
        server.sql(&made.db, "DROP TABLE t; DROP PUBLICATION gone");
        made.restore(&made.db, &["--table", "t"]).expect(0);
        let after = server.rows(&made.db, published);
        let kept: Vec<_> = before.into_iter().filter(|row| row[0] != "gone").collect();
        assert_eq!(after, kept);
        assert_eq!(after.len(), 2);
    });
}

/// What hangs on a table that somebody added to an extension is the extension's as the table is: it is told, and not half
/// restored.
#[test]
fn policies_and_triggers_of_an_extensions_tables_are_the_extensions() {
    on_each_version(|server| {
        let made = Made::new(
            server,
            "CREATE EXTENSION hstore; CREATE TABLE added (a int PRIMARY KEY, b text); ALTER TABLE added ENABLE ROW LEVEL SECURITY; CREATE POLICY own ON added USING (a > 0);
             CREATE TRIGGER same BEFORE UPDATE ON added FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger(); CREATE RULE quiet AS ON DELETE TO added DO INSTEAD NOTHING;
             CREATE INDEX ON added (b); ALTER EXTENSION hstore ADD TABLE added; CREATE TABLE own (i int)",
        );
        let target = server.create_db();
        made.restore(&target, &[]).expect(0);
        assert_eq!(server.value(&target, "SELECT count(*) FROM pg_policy"), "0");
        assert_eq!(server.value(&target, "SELECT to_regclass('own')::text"), "own");
    });
}

/// A query within a text is read with no schema to look in. The view stays empty and is named; all else comes.
#[test]
fn a_materialized_view_that_reads_by_names_in_a_text() {
    // Since PostgreSQL 17 such a view cannot be filled at all.
    for server in versions().into_iter().filter(|major| *major < 17).map(Server::shared) {
        let made = Made::new(
            server,
            "CREATE TABLE docs (v tsvector); INSERT INTO docs VALUES ('a b'); CREATE TABLE kept AS SELECT 1 AS i;
             CREATE MATERIALIZED VIEW words AS SELECT word FROM ts_stat('SELECT v FROM docs'); CREATE MATERIALIZED VIEW sound AS SELECT word FROM ts_stat('SELECT v FROM public.docs')",
        );
        let target = server.create_db();
        let ended = made.restore(&target, &["--keep-going"]).expect(1);
        let failures = ended.json()["failures"].to_string();
        assert!(
            failures.contains("\\\"words\\\"") && failures.contains("docs") && !failures.contains("sound"),
            "{failures}"
        );
        assert_eq!(server.value(&target, "SELECT count(*) FROM sound"), "2");
        assert_eq!(server.value(&target, "SELECT relispopulated FROM pg_class WHERE relname = 'words'"), "f");
        let strict = server.create_db();
        let ended = made.restore(&strict, &[]).expect(1);
        assert!(ended.stderr.contains("words") && ended.stderr.contains("docs"), "{}", ended.stderr);
    }
}
