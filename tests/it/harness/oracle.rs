//! The judge: pg_dump 18 for definitions, SQL on the server for content. Neither is ours.

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

/// For every table: number of rows and a sum over their hashes; for every sequence: its value; for large objects: their
/// number and a sum over their hashes.
pub(crate) fn content(server: &Server, database: &str) -> BTreeMap<String, String> {
    let tables = server.rows(
        database,
        "SELECT format('%I.%I', n.nspname, c.relname), c.relkind FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r', 'm', 'S') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' ORDER BY 1",
    );
    let mut content = BTreeMap::new();
    for row in tables {
        let (name, kind) = (&row[0], &row[1]);
        let query = if kind == "S" {
            format!("SELECT last_value || ' ' || is_called FROM {name}")
        } else {
            format!(
                "SELECT count(*) || ' ' || coalesce(sum(('x' || substr(md5(t::text), 1, 15))::bit(60)::bigint::numeric), 0) FROM ONLY {name} t"
            )
        };
        // A materialized view that was never filled cannot be read.
        let filled = kind != "m"
            || server.value(
                database,
                &format!(
                    "SELECT relispopulated FROM pg_class WHERE oid = '{}'::regclass",
                    name.replace('\'', "''")
                ),
            ) == "t";
        let value = if filled {
            server.value(database, &query)
        } else {
            "not filled".to_owned()
        };
        content.insert(name.clone(), value);
    }
    let large = server.value(
        database,
        "SELECT count(*) || ' ' || coalesce(sum(('x' || substr(md5(m.oid || ' ' || pg_get_userbyid(m.lomowner) || ' ' || coalesce(m.lomacl::text, '') || coalesce(obj_description(m.oid, 'pg_largeobject'), '') || encode(lo_get(m.oid), 'hex')), 1, 15))::bit(60)::bigint::numeric), 0) FROM pg_largeobject_metadata m",
    );
    content.insert("large objects".to_owned(), large);
    content
}

/// Fails unless the two databases have the same definitions and the same content.
pub(crate) fn assert_same(server: &Server, source: &str, target: &Server, restored: &str) {
    similar_asserts(
        &schema_dump(server, source),
        &schema_dump(target, restored),
        "definitions",
    );
    let (a, b) = (content(server, source), content(target, restored));
    for (name, value) in &a {
        assert_eq!(Some(value), b.get(name), "content of {name}");
    }
    assert_eq!(a.len(), b.len(), "relations");
}

/// Compares texts line by line and shows the first differences.
fn similar_asserts(expected: &str, found: &str, what: &str) {
    if expected == found {
        return;
    }
    let (folder, mut diff) = (tempfile::tempdir().unwrap(), Command::new("diff"));
    std::fs::write(folder.path().join("source"), expected).unwrap();
    std::fs::write(folder.path().join("restored"), found).unwrap();
    let shown = diff
        .args(["-U2", "source", "restored"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    let shown: Vec<String> = String::from_utf8_lossy(&shown.stdout)
        .lines()
        .take(80)
        .map(str::to_owned)
        .collect();
    panic!("{what} differ:\n{}", shown.join("\n"));
}
