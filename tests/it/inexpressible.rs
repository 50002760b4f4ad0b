//! What a target cannot have is told before anything is touched; what nothing depends on is left out.

use crate::harness::cli::{backup, folder, restore};
use crate::harness::postgres::{Build, Options, Server, newest};

fn tools() -> Server {
    Server::with(Build::Tools, Options { tcp: true, ..Options::default() })
}

/// Fails unless a restore into the server is refused with these words, and makes nothing.
#[track_caller]
fn refused(archive: &str, folder: &std::path::Path, into: &Server, words: &[&str]) {
    let target = into.fresh_name();
    let ended = restore(folder, archive, &into.url(&target), &["--create"]).expect(9);
    for word in words {
        assert!(ended.stderr.contains(word), "{word}: {}", ended.stderr);
    }
    let made = format!("SELECT count(*) FROM pg_database WHERE datname = '{target}'");
    assert_eq!(into.value("postgres", &made), "0");
}

#[test]
fn what_older_servers_had_and_newer_ones_removed() {
    let (old, new, folder) = (Server::start(13), Server::shared(newest()), folder());
    let source = old.create_db();
    old.sql(
        &source,
        "CREATE OPERATOR !!! (LEFTARG = int8, FUNCTION = factorial);
         CREATE AGGREGATE collect(anyelement) (SFUNC = array_append, STYPE = anyarray, INITCOND = '{}');
         CREATE OPERATOR ++@ (LEFTARG = anyarray, RIGHTARG = anyelement, FUNCTION = array_append);
         CREATE AGGREGATE fine(int) (SFUNC = int4pl, STYPE = int);
         CREATE FUNCTION sets() RETURNS int LANGUAGE sql SET operator_precedence_warning = off AS 'SELECT 1';
         CREATE TABLE kept AS SELECT 1 AS i",
    );
    old.sql("postgres", &format!("ALTER DATABASE {source} SET operator_precedence_warning = on; ALTER DATABASE {source} SET work_mem = '8MB'"));
    let made = backup(folder.path(), &old.url(&source), &[]);
    let archive = made["archive"].as_str().unwrap();
    refused(
        archive,
        folder.path(),
        new,
        &[
            "does not have postfix operators, which PostgreSQL 14 removed: OPERATOR \"public\".!!! (bigint, NONE)",
            "AGGREGATE \"public\".\"collect\"",
            "OPERATOR \"public\".++@",
            "operator_precedence_warning, which is set by FUNCTION \"public\".\"sets\"()",
        ],
    );
    // All the rest comes, and the setting that nobody knows is left out.
    let target = new.adopt(new.fresh_name());
    let ended = restore(folder.path(), archive, &new.url(&target), &["--create", "--keep-going"]).expect(1);
    assert!(ended.stderr.contains("which the database sets: it is left out"), "{}", ended.stderr);
    assert_eq!(ended.json()["failures"].as_array().unwrap().len(), 4, "{}", ended.stdout);
    assert_eq!(new.value(&target, "SELECT i FROM kept"), "1");
    assert_eq!(new.value(&target, "SELECT fine(i) FROM kept"), "1");
    assert_eq!(new.value(&target, "SHOW work_mem"), "8MB");
}

#[test]
fn what_newer_servers_have_and_older_ones_do_not() {
    let (new, old, folder) = (Server::shared(18), Server::shared(15), folder());
    let source = new.create_db();
    new.sql(
        &source,
        "CREATE TABLE v (a int, b int GENERATED ALWAYS AS (a + 1) VIRTUAL);
         CREATE TABLE lax (a int, CONSTRAINT loose CHECK (a > 0) NOT ENFORCED);
         CREATE TABLE nulls (a int); ALTER TABLE nulls ADD CONSTRAINT late NOT NULL a NOT VALID;
         CREATE EXTENSION btree_gist; CREATE TABLE spans (i int, p int4range, PRIMARY KEY (i, p WITHOUT OVERLAPS));
         CREATE COLLATION plain (PROVIDER = builtin, LOCALE = 'C.UTF-8')",
    );
    let made = backup(folder.path(), &new.url(&source), &[]);
    refused(
        made["archive"].as_str().unwrap(),
        folder.path(),
        old,
        &[
            "does not have virtual generated columns, which PostgreSQL 18 brought: TABLE \"public\".\"v\"",
            "does not have NOT ENFORCED, which PostgreSQL 18 brought: CONSTRAINT \"loose\"",
            "CONSTRAINT \"late\"",
            "does not have WITHOUT OVERLAPS",
            "does not have the provider builtin",
        ],
    );
}

/// Debian builds with lz4 and ICU, the client programs' own server was built without.
#[test]
fn what_a_build_lacks() {
    let (from, bare, folder) =
        (Server::with(Build::System(15), Options { tcp: true, ..Options::default() }), tools(), folder());
    let source = from.create_db();
    from.sql(
        &source,
        "CREATE TABLE packed (i int, v text COMPRESSION lz4, w text COMPRESSION pglz); INSERT INTO packed SELECT 1, repeat('x', 90000), 'w';
         CREATE MATERIALIZED VIEW m AS SELECT v FROM packed; ALTER MATERIALIZED VIEW m ALTER v SET COMPRESSION lz4",
    );
    let made = backup(folder.path(), &from.url(&source), &[]);
    let archive = made["archive"].as_str().unwrap();
    let target = bare.adopt(bare.fresh_name());
    let ended = restore(folder.path(), archive, &bare.url(&target), &["--create"]).expect(0);
    assert_eq!(ended.json()["verified"], true);
    for words in ["built without lz4", "\"public\".\"packed\".\"v\", \"public\".\"m\".\"v\""] {
        assert!(ended.stderr.contains(words), "{words}: {}", ended.stderr);
    }
    let methods = "SELECT string_agg(attname || attcompression::text, ' ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'packed'::regclass AND attcompression <> ''";
    assert_eq!(bare.value(&target, methods), "wp");
    // With lz4 it comes back as it was.
    let whole = from.adopt(from.fresh_name());
    restore(folder.path(), archive, &from.url(&whole), &["--create"]).expect(0);
    assert_eq!(from.value(&whole, methods), "vl wp");
    from.sql(&source, "CREATE COLLATION german (PROVIDER = icu, LOCALE = 'de')");
    let made = backup(folder.path(), &from.url(&source), &[]);
    refused(
        made["archive"].as_str().unwrap(),
        folder.path(),
        &bare,
        &["built without ICU", "COLLATION \"public\".\"german\""],
    );
}
