//! `--section`: three restores, each of one section, make what one restore of all makes.

use crate::harness::cli::{backup, folder, restore};
use crate::harness::oracle::{assert_same, schema_dump};
use crate::harness::postgres::{Server, newest};
use crate::roundtrip::each_fixture;

#[test]
fn three_sections_make_the_whole() {
    let server = Server::start(newest());
    let folder = folder();
    each_fixture(&server, newest(), |_, source| {
        let target = server.create_db();
        let made = backup(folder.path(), &server.url(source), &[]);
        let archive = made["archive"].as_str().unwrap();
        for section in ["pre-data", "data", "post-data"] {
            restore(folder.path(), archive, &server.url(&target), &["--section", section]).expect(0);
        }
        assert_same(&server, source, &server, &target);
    });
}

#[test]
fn sections_are_those_of_pg_dump() {
    let server = Server::shared(newest());
    let folder = folder();
    let source = server.create_db();
    server.sql(
        &source,
        "CREATE TABLE a (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v text CHECK (v <> ''));
         INSERT INTO a (v) SELECT 'x' || n FROM generate_series(1, 100) n;
         CREATE TABLE b (a int REFERENCES a);
         CREATE INDEX ON a (v);
         CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
         CREATE TRIGGER t BEFORE INSERT ON a FOR EACH ROW EXECUTE FUNCTION f();
         CREATE MATERIALIZED VIEW m AS SELECT count(*) FROM a",
    );
    let made = backup(folder.path(), &server.url(&source), &[]);
    let archive = made["archive"].as_str().unwrap();
    let target = server.create_db();
    let into = |more: &[&str]| restore(folder.path(), archive, &server.url(&target), more);
    into(&["--section", "pre-data"]).expect(0);
    let (before, there) = (schema_dump(server, &source), schema_dump(server, &target));
    for (text, early) in [
        ("CREATE TABLE public.a", true),
        ("CONSTRAINT a_v_check", true),
        ("CREATE MATERIALIZED VIEW", true),
        ("CREATE FUNCTION", true),
        ("PRIMARY KEY", false),
        ("FOREIGN KEY", false),
        ("CREATE INDEX", false),
        ("CREATE TRIGGER", false),
    ] {
        assert!(before.contains(text) && there.contains(text) == early, "{text}\n{there}");
    }
    assert_eq!(server.sql(&target, "SELECT count(*) FROM a"), "0");
    let loaded = into(&["--section", "data"]).expect(0).json();
    assert_eq!((&loaded["rows"], &loaded["verified"]), (&100.into(), &true.into()));
    assert_eq!(server.sql(&target, "SELECT nextval('a_id_seq')"), "101", "sequences are data");
    assert_eq!(server.sql(&target, "SELECT relispopulated FROM pg_class WHERE relname = 'm'"), "f");
    into(&["--section", "post-data"]).expect(0);
    assert_eq!(server.sql(&target, "SELECT count FROM m"), "100");
    assert_eq!(schema_dump(server, &target), before);
    // Two sections at once, as pg_restore's users write them; and what excludes one another.
    let two = server.create_db();
    let url = server.url(&two);
    restore(folder.path(), archive, &url, &["--section=pre-data", "--section=data"]).expect(0);
    assert_eq!(server.sql(&two, "SELECT count(*) FROM a"), "100");
    restore(folder.path(), archive, &url, &["--section=data", "--schema-only"]).expect(2);
}
