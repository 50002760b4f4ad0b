//! Nothing that a database can hold is forgotten: a server's own catalogs are asked what there is, and whatever no kind
//! claims must be listed here with a reason. A catalog, or a column of one, that a new version brings fails the test.

use std::collections::{BTreeMap, BTreeSet};

use pgcask::catalog::ident::ObjectId;
use pgcask::catalog::kinds::column::Column;
use pgcask::catalog::model::{Entry, Model};
use pgcask::catalog::reader::read_model;
use pgcask::catalog::registry::{ALL, Object};
use pgcask::pg::{ConnectOptions, Session, SessionKind};

use crate::harness::cli::{backup, folder};
use crate::harness::postgres::{Server, newest, on_each_version};

/// Catalogs that are read, though no kind of object is theirs alone.
const PART_OF_ANOTHER: &[(&str, &str)] = &[
    ("pg_database", "the database itself: catalog::database"),
    ("pg_db_role_setting", "settings of the database: catalog::database"),
    ("pg_description", "comments belong to what they are about: catalog::reader"),
    ("pg_largeobject", "large objects are rows, of streams of their own: catalog::large_object"),
    ("pg_largeobject_metadata", "as pg_largeobject"),
    ("pg_shdescription", "the comment on the database: catalog::database"),
    ("pg_shseclabel", "the labels of the database: catalog::database"),
];

/// Catalogs that are not backed up with a database.
const NOT_BACKED_UP: &[(&str, &str)] = &[
    ("pg_auth_members", "roles belong to the server: catalog::globals"),
    ("pg_authid", "roles belong to the server: catalog::globals"),
    ("pg_parameter_acl", "privileges on settings belong to the server: catalog::globals"),
    ("pg_replication_origin", "how far the server has followed another"),
    ("pg_shdepend", "the server derives it from owners and privileges"),
    ("pg_statistic", "gathered anew by ANALYZE"),
    ("pg_statistic_ext_data", "gathered anew by ANALYZE"),
    ("pg_subscription_rel", "how far a subscription came; a restored one begins anew, disabled"),
    ("pg_tablespace", "tablespaces belong to the server: catalog::globals"),
];

/// All catalogs of a server.
const CATALOGS: &str =
    "SELECT relname FROM pg_class WHERE relnamespace = 'pg_catalog'::regnamespace AND relkind = 'r'";

fn claimed() -> BTreeSet<&'static str> {
    ALL.iter().flat_map(|kind| kind.catalogs).copied().collect()
}

fn names(list: &[(&'static str, &'static str)]) -> BTreeSet<&'static str> {
    list.iter().map(|(name, _)| *name).collect()
}

#[test]
fn every_catalog_is_claimed_by_a_kind_or_left_out_for_a_reason() {
    let (claimed, part, left_out) = (claimed(), names(PART_OF_ANOTHER), names(NOT_BACKED_UP));
    let twice: Vec<_> =
        claimed.iter().filter(|name| part.contains(*name) || left_out.contains(*name)).collect();
    assert!(
        twice.is_empty(),
        "a kind reads them, and they are said to be part of another or left out: {twice:?}"
    );
    on_each_version(|server| {
        let there: BTreeSet<String> = server.sql("postgres", CATALOGS).lines().map(str::to_owned).collect();
        let known = |name: &str| [&claimed, &part, &left_out].iter().any(|list| list.contains(name));
        let forgotten: Vec<_> = there.iter().filter(|name| !known(name)).collect();
        assert!(
            forgotten.is_empty(),
            "no kind reads {forgotten:?}, and no reason is given for leaving them out"
        );
    });
    let server = Server::shared(newest());
    let there: BTreeSet<String> = server.sql("postgres", CATALOGS).lines().map(str::to_owned).collect();
    let all = claimed.iter().chain(&part).chain(&left_out);
    let gone: Vec<_> = all.filter(|name| !there.contains(**name)).collect();
    assert!(gone.is_empty(), "the newest server does not have {gone:?}");
}

/// Rows that are no entries, by their catalog: parts of an object that has an entry, and read with it.
const PARTS: &[(&str, &str)] = &[
    ("pg_amop", "of operator classes and families"),
    ("pg_amproc", "of operator classes and families"),
    ("pg_enum", "of enum types"),
    ("pg_largeobject_metadata", "large objects are rows, of streams of their own"),
    ("pg_publication_namespace", "of publications"),
    ("pg_publication_rel", "of publications"),
];

/// Writes a query for the identities of all objects that users made, but for members of extensions and what belongs to
/// one, for what the server makes and drops along with something else (`i`, `P` and `S` in `pg_depend`), for TOAST tables,
/// and for operators that another names and nobody has made yet.
const OBJECTS: &str = "
    SELECT string_agg(format('SELECT %1$s, oid, replace(pg_describe_object(%1$s, oid, 0), E''\\n'', '' '') FROM pg_catalog.%2$I o
        WHERE oid >= 16384
        AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = %1$s AND d.objid = o.oid AND d.deptype IN (''e'', ''i'', ''P'', ''S''))
        AND NOT EXISTS (SELECT FROM pg_depend d JOIN pg_depend e ON e.classid = d.refclassid AND e.objid = d.refobjid AND e.deptype = ''e''
            WHERE d.classid = %1$s AND d.objid = o.oid AND d.deptype = ''a'')
        AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = %1$s AND d.objid = o.oid AND d.refclassid = ''pg_class''::regclass
            AND d.refobjid IN (SELECT oid FROM pg_class WHERE relnamespace = ''pg_toast''::regnamespace))
        AND NOT EXISTS (SELECT FROM pg_operator p WHERE %1$s = ''pg_operator''::regclass AND p.oid = o.oid AND p.oprcode = 0)',
        c.oid, c.relname), ' UNION ALL ')
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'oid'
    WHERE c.relnamespace = 'pg_catalog'::regnamespace AND c.relkind = 'r' AND NOT c.relisshared AND c.relname <> ALL (";

/// Fails unless every object of the database that has an identity of its own is one that the catalog's reader found.
#[track_caller]
pub(crate) fn assert_nothing_forgotten(server: &Server, database: &str) {
    let parts: Vec<String> = PARTS.iter().map(|(name, _)| format!("'{name}'")).collect();
    let query = server.sql(database, &format!("{OBJECTS}ARRAY[{}])", parts.join(", ")));
    let url = server.url(database);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let model = runtime.block_on(async {
        let options = ConnectOptions::parse(&url).unwrap();
        let session = Session::open(&options, SessionKind::Source).await.unwrap();
        let model = read_model(&[&session]).await.unwrap();
        assert_as_the_server_says(&session, &model).await;
        model
    });
    let found: BTreeSet<ObjectId> = model.entries.iter().flat_map(|entry| entry.head.ids()).collect();
    let number = |text: &str| text.parse::<u32>().unwrap();
    let forgotten: Vec<String> = server
        .rows(database, &query)
        .into_iter()
        .filter(|row| !found.contains(&ObjectId::new(number(&row[0]), number(&row[1]))))
        .map(|row| row[2].clone())
        .collect();
    assert!(forgotten.is_empty(), "not found by any kind:\n{}", forgotten.join("\n"));
}

/// Fails unless the definitions of constraints and indexes, which the reader has the server write for one of those that are
/// alike, are what the server writes for each of them, and columns are what it says of them in another form.
async fn assert_as_the_server_says(session: &Session, model: &Model) {
    let (mut constraints, mut indexes, mut columns) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for Entry { head, object } in &model.entries {
        let table = match object {
            Object::Table(table) => table,
            Object::ForeignTable(foreign) => &foreign.table,
            Object::Index(index) => {
                indexes.insert(head.id.oid, index.definition.clone());
                continue;
            }
            Object::KeyConstraint(key) => {
                constraints.insert(head.id.oid, key.constraint.clone());
                continue;
            }
            Object::ForeignKey(key) => {
                constraints.insert(head.id.oid, key.constraint.clone());
                continue;
            }
            _ => continue,
        };
        constraints.extend(table.checks.iter().map(|check| (check.id.oid, check.definition.clone())));
        columns.insert(head.id.oid, table.columns.clone());
    }
    session.execute("SET quote_all_identifiers = on").await.unwrap();
    for (made, catalog, oid, function) in [
        (constraints, "pg_constraint", "oid", "pg_get_constraintdef"),
        (indexes, "pg_index", "indexrelid", "pg_get_indexdef"),
    ] {
        let sql = format!("SELECT {oid}, {function}({oid}) FROM pg_catalog.{catalog}");
        let written = session.query_text(&sql).await.unwrap();
        let written =
            written.into_iter().map(|row| (row[0].clone().unwrap().parse().unwrap(), row[1].clone()));
        let written: BTreeMap<u32, Option<String>> = written.collect();
        for (oid, text) in made {
            assert_eq!(Some(&text), written[&oid].as_ref(), "{catalog} {oid}");
        }
    }
    let json = Column::json("c", session.version());
    let sql = format!("SELECT c.oid, {json} FROM pg_catalog.pg_class c WHERE c.relkind IN ('r', 'p', 'f')");
    for row in session.query_text(&sql).await.unwrap() {
        let said: Vec<Column> =
            row[1].as_ref().map(|json| serde_json::from_str(json).unwrap()).unwrap_or_default();
        // That of an identity column is compared by the round trip.
        let without_identity = |column: Column| Column { identity: None, ..column };
        if let Some(columns) = columns.remove(&row[0].clone().unwrap().parse::<u32>().unwrap()) {
            assert_eq!(columns.into_iter().map(without_identity).collect::<Vec<_>>(), said);
        }
    }
    assert!(columns.is_empty(), "{:?} are no tables", columns.keys());
}

/// Statements that the server got from sessions of ours while a command ran, without those that lock tables, a batch each.
fn statements(server: &Server, work: impl FnOnce()) -> (usize, usize) {
    let before = server.log().len();
    work();
    let log = server.log();
    let ours = log[before..].lines().filter(|line| line.contains(" pgcask LOG:  "));
    let all: Vec<&str> =
        ours.filter_map(|line| line.split_once(" statement: ")).map(|(_, sql)| sql).collect();
    let locks = ["LOCK TABLE", "SAVEPOINT pgcask_lock", "RELEASE SAVEPOINT pgcask_lock"];
    let locking = all.iter().filter(|sql| locks.iter().any(|lock| sql.starts_with(lock))).count();
    (all.len() - locking, locking)
}

#[test]
fn the_catalog_is_read_in_as_many_queries_for_few_tables_as_for_many() {
    let server = Server::private(newest(), &["log_statement=all"]);
    let count = |tables: u32| {
        let (db, folder) = (server.create_db(), folder());
        server.sql(
            &db,
            &format!(
                "DO $$ BEGIN FOR i IN 1..{tables} LOOP EXECUTE format('CREATE TABLE t%1$s (id serial PRIMARY KEY,
                    other int REFERENCES t%1$s, name text DEFAULT ''x'' CHECK (name <> ''''), g int GENERATED ALWAYS AS IDENTITY);
                    CREATE INDEX ON t%1$s (name); COMMENT ON TABLE t%1$s IS ''a table''; GRANT SELECT ON t%1$s TO PUBLIC', i);
                 IF i % 200 = 0 THEN COMMIT; END IF; END LOOP; END $$"
            ),
        );
        statements(&server, || drop(backup(folder.path(), &server.url(&db), &["--schema-only"])))
    };
    let ((few, few_locks), (many, many_locks)) = (count(10), count(2_000));
    assert!(few > ALL.len(), "only {few} statements were seen");
    assert_eq!(few, many, "statements for 10 tables, and for 2,000");
    assert_eq!((few_locks, many_locks), (3, 4 * 3), "500 tables are locked by one statement between two");
}
