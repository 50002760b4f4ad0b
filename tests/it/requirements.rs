//! What a target lacks, or has too much of, is told before anything is touched.

use crate::harness::cli::{backup, folder, pass, pgcask, restore, run};
use crate::harness::output;
use crate::harness::postgres::{Server, newest};

#[test]
fn rows_go_into_empty_tables_only() {
    let (server, folder) = (Server::shared(newest()), folder());
    let source = server.create_db();
    server.sql(
        &source,
        "CREATE TABLE a AS SELECT i FROM generate_series(1, 100) i; CREATE TABLE b AS SELECT 1 AS i;
         CREATE TABLE \"odd 'name\" AS SELECT 2 AS i",
    );
    let made = backup(folder.path(), &server.url(&source), &[]);
    let archive = made["archive"].as_str().unwrap();
    let target = server.create_db();
    let into = |more: &[&str]| restore(folder.path(), archive, &server.url(&target), more);
    server.sql(&target, "CREATE TABLE b (i int); CREATE TABLE \"odd 'name\" (i int)");
    let ended = into(&["--data-only"]).expect(9);
    assert!(ended.stderr.contains("the target has no table public.a"), "{}", ended.stderr);
    assert!(ended.stderr.contains("hint: restore the definitions first"), "{}", ended.stderr);
    server.sql(
        &target,
        "CREATE TABLE a (i int); INSERT INTO a VALUES (1); INSERT INTO \"odd 'name\" VALUES (2)",
    );
    for arguments in [&["--data-only"][..], &["--section", "data"], &["--data-only", "--dry-run"]] {
        let ended = into(arguments).expect(9);
        let told = format!("{}{}", ended.stderr, ended.stdout);
        assert!(told.contains("have rows already: public.a, public.odd 'name"), "{told}");
        assert_eq!(server.value(&target, "SELECT count(*) FROM b"), "0");
    }
    assert_eq!(into(&["--data-only", "--table", "b"]).expect(0).json()["rows"], 1);
    server.sql(&target, "TRUNCATE a, b, \"odd 'name\"");
    assert_eq!(into(&["--data-only"]).expect(0).json()["verified"], true);
}

#[test]
fn libraries_and_languages_of_functions_are_looked_for() {
    let (server, folder) = (Server::start(newest()), folder());
    let source = server.create_db();
    let own = server.value("postgres", "SELECT setting FROM pg_config() WHERE name = 'PKGLIBDIR'");
    let copy = server.socket_dir().join("own_library.so");
    std::fs::copy(format!("{own}/dict_snowball.so"), &copy).unwrap();
    let library = copy.display().to_string();
    server.sql(
        &source,
        &format!(
            "CREATE FUNCTION here(internal) RETURNS internal LANGUAGE c AS '$libdir/dict_snowball', 'dsnowball_init';
             CREATE FUNCTION found(internal) RETURNS internal LANGUAGE c AS 'dict_snowball', 'dsnowball_init';
             CREATE FUNCTION far(internal) RETURNS internal LANGUAGE c AS '{library}', 'dsnowball_init';
             CREATE ROLE limited LOGIN CREATEDB"
        ),
    );
    let made = backup(folder.path(), &server.url(&source), &[]);
    let archive = made["archive"].as_str().unwrap();
    let target = server.adopt(server.fresh_name());
    restore(folder.path(), archive, &server.url(&target), &["--create"]).expect(0);
    std::fs::remove_file(&copy).unwrap();
    let target = server.create_db();
    let ended = restore(folder.path(), archive, &server.url(&target), &[]).expect(9);
    assert!(ended.stderr.contains(&format!("no library {library}")), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("\"far\"(\"internal\")")
            && !ended.stderr.contains("\"here\"")
            && !ended.stderr.contains("\"found\"")
    );
    let ended = restore(folder.path(), archive, &server.url(&target), &["--keep-going"]).expect(1);
    assert!(ended.stderr.contains("not restored: ") && ended.stderr.contains("\"far\""), "{}", ended.stderr);
    assert_eq!(
        server.value(&target, "SELECT count(*) FROM pg_proc WHERE proname IN ('here', 'found', 'far')"),
        "2"
    );
    // Who is no superuser cannot create them at all.
    let url = server.url("never_made").replace("postgres@", "limited@");
    let ended = restore(folder.path(), archive, &url, &["--create", "--no-owner", "--no-acl"]).expect(9);
    assert!(ended.stderr.contains("only a superuser may create functions in C"), "{}", ended.stderr);

    let source = server.create_db();
    server.sql(&source, "CREATE FUNCTION p() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 1; END'");
    let made = backup(folder.path(), &server.url(&source), &[]);
    let archive = made["archive"].as_str().unwrap();
    // The archive brings the language's extension along; a part of it may not.
    let target = server.create_db();
    server.sql(&target, "DROP EXTENSION plpgsql");
    restore(folder.path(), archive, &server.url(&target), &[]).expect(0);
    assert_eq!(server.value(&target, "SELECT p()"), "1");
}

#[test]
fn a_catalog_holds_no_privileges_that_every_database_has() {
    let (server, folder) = (Server::shared(newest()), folder());
    let source = server.create_db();
    server.sql(&source, "CREATE TABLE t (i int)");
    let toc = || {
        let made = backup(folder.path(), &server.url(&source), &[]);
        let archive = made["archive"].as_str().unwrap();
        run(&mut pgcask(["show", archive, "--toc", &pass(folder.path())])).expect(0).stdout
    };
    assert!(!toc().contains("information_schema"), "{}", toc());
    server.sql(&source, "REVOKE SELECT ON information_schema.tables FROM PUBLIC");
    let changed: Vec<_> =
        toc().lines().filter(|line| line.contains("information_schema")).map(str::to_owned).collect();
    assert_eq!(changed, ["TABLE \"information_schema\".\"tables\""]);
}

#[test]
fn a_table_brings_the_constraints_of_its_domains() {
    let (server, folder) = (Server::shared(newest()), folder());
    let source = server.create_db();
    server.sql(
        &source,
        "CREATE SCHEMA types; CREATE SCHEMA data;
         CREATE FUNCTION types.even(i int) RETURNS bool IMMUTABLE LANGUAGE sql AS 'SELECT i % 2 = 0';
         CREATE DOMAIN types.positive AS int CHECK (VALUE > 0); CREATE DOMAIN types.evens AS types.positive NOT NULL CHECK (types.even(VALUE));
         CREATE TABLE data.t (i types.evens); INSERT INTO data.t VALUES (2)",
    );
    let whole = backup(folder.path(), &server.url(&source), &[]);
    let part = backup(folder.path(), &server.url(&source), &["--schema", "data"]);
    for (made, more) in [(&whole, &["--table", "data.t"][..]), (&whole, &["--schema", "data"]), (&part, &[])]
    {
        let target = server.create_db();
        restore(folder.path(), made["archive"].as_str().unwrap(), &server.url(&target), more).expect(0);
        for wrong in ["3", "-2", "NULL"] {
            let refused = server.try_sql(&target, &format!("INSERT INTO data.t VALUES ({wrong})"));
            assert!(refused.is_err(), "{wrong} with {more:?}");
        }
        let dump = output(server.client("pg_dump", &target).args(["--schema-only", "--schema=types"]));
        assert!(dump.contains("CREATE DOMAIN types.evens"), "{dump}");
    }
}
