//! The judge: `pg_dump` 18 for definitions, SQL on the server for content. Neither is ours.

use std::collections::BTreeMap;
use std::process::Command;

use super::output;
use super::postgres::Server;

/// `pg_dump --schema-only` of a database, without what differs between any two dumps.
pub(crate) fn schema_dump(server: &Server, database: &str) -> String {
    let text = output(server.client("pg_dump", database).arg("--schema-only"));
    let keep = |line: &&str| {
        // A random token guards each dump against psql meta-commands.
        !line.starts_with("\\restrict ")
            && !line.starts_with("\\unrestrict ")
            // The versions of server and client.
            && !line.starts_with("-- Dumped ")
    };
    text.lines().filter(keep).collect::<Vec<_>>().join("\n")
}

/// Writes one query per relation: its name, and what it holds. A sum over rows' hashes doesn't depend on their order
/// and, unlike XOR, notices a row that is there twice. A materialized view that was never filled cannot be read.
const QUERIES: &str = r"
    SELECT string_agg(CASE
        WHEN relkind = 'S' THEN format('SELECT %L, concat_ws('' '', last_value, is_called) FROM %s', label, name)
        WHEN NOT relispopulated THEN format('SELECT %L, %L', label, 'not filled')
        ELSE format('SELECT %L, concat_ws('' '', count(*), coalesce(sum((''x'' || substr(md5(t::text), 1, 16))'
            '::bit(64)::bigint::numeric), 0)) FROM ONLY %s t', label, name)
    END || ';', E'\n' ORDER BY name)
    FROM (SELECT format('%I.%I', n.nspname, c.relname) AS name,
            replace(format('%I.%I', n.nspname, c.relname), E'\n', '\n') AS label, c.relkind, c.relispopulated
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'm', 'S') AND c.relpersistence <> 't'
          AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema') AS relations";

/// Bytes, owner, privileges and comment of all large objects.
const LARGE_OBJECTS: &str = r"
    SELECT 'large objects', concat_ws(' ', count(*), coalesce(sum(('x' || substr(md5(concat_ws(' ', m.oid,
        pg_get_userbyid(m.lomowner), m.lomacl, obj_description(m.oid, 'pg_largeobject'),
        encode(lo_get(m.oid), 'hex'))), 1, 16))::bit(64)::bigint::numeric), 0))
    FROM pg_largeobject_metadata m;";

/// The text of a value must not depend on what the two servers or databases are set to.
const SETTINGS: &str = "SET timezone = 'UTC'; SET datestyle = 'ISO, YMD'; SET intervalstyle = 'postgres'; \
    SET extra_float_digits = 3; SET bytea_output = 'hex'; SET lc_monetary = 'C'; SET statement_timeout = 0;";

/// For every table: number of rows and a sum over their hashes; for every sequence: its value; for large objects:
/// their number and a sum over their hashes. Two questions, however many tables.
pub(crate) fn content(server: &Server, database: &str) -> BTreeMap<String, String> {
    let queries = server.sql(database, QUERIES);
    let answers = server.rows(database, &format!("{SETTINGS}\n{queries}\n{LARGE_OBJECTS}"));
    answers.into_iter().map(|row| (row[0].clone(), row[1].clone())).collect()
}

/// Fails unless the two databases have the same definitions and the same content.
pub(crate) fn assert_same(server: &Server, source: &str, target: &Server, restored: &str) {
    same_text(&schema_dump(server, source), &schema_dump(target, restored), "definitions");
    let (a, b) = (content(server, source), content(target, restored));
    for (name, value) in &a {
        assert_eq!(Some(value), b.get(name), "content of {name}");
    }
    assert_eq!(a.len(), b.len(), "relations");
}

/// Compares texts line by line and shows the first differences.
pub(crate) fn same_text(expected: &str, found: &str, what: &str) {
    if expected == found {
        return;
    }
    let (folder, mut diff) = (tempfile::tempdir().unwrap(), Command::new("diff"));
    std::fs::write(folder.path().join("source"), expected).unwrap();
    std::fs::write(folder.path().join("restored"), found).unwrap();
    let shown = diff.args(["-U2", "source", "restored"]).current_dir(folder.path()).output().unwrap();
    let shown: Vec<String> =
        String::from_utf8_lossy(&shown.stdout).lines().take(80).map(str::to_owned).collect();
    panic!("{what} differ:\n{}", shown.join("\n"));
}

#[test]
fn a_changed_a_doubled_and_a_lost_row_are_seen_and_the_order_is_not() {
    let server = Server::shared(super::postgres::newest());
    let base = "CREATE TABLE t (id int, v text); CREATE SEQUENCE s; CREATE MATERIALIZED VIEW m AS SELECT 1 WITH NO DATA;";
    let judged = |rows: &str| {
        let db = server.create_db();
        server.sql(&db, &format!("{base} INSERT INTO t VALUES {rows}; SELECT lo_from_bytea(1000, 'x')"));
        (schema_dump(server, &db), content(server, &db))
    };
    let (schema, content) = judged("(1, 'a'), (2, 'b'), (2, 'b')");
    assert!(schema.contains("CREATE TABLE public.t") && !schema.contains("restrict "), "{schema}");
    assert_eq!(content.keys().collect::<Vec<_>>(), ["large objects", "public.m", "public.s", "public.t"]);
    assert_eq!(judged("(2, 'b'), (1, 'a'), (2, 'b')"), (schema.clone(), content.clone()));
    for other in ["(1, 'a'), (2, 'c'), (2, 'b')", "(1, 'a'), (1, 'a'), (2, 'b')", "(1, 'a'), (2, 'b')"] {
        let (same, found) = judged(other);
        assert_eq!(same, schema);
        assert_ne!(found["public.t"], content["public.t"], "{other}");
        assert_eq!(found["large objects"], content["large objects"]);
    }
}
