//! What a database, a role or a server may be set to, and what a backup must not be led astray by: other formats of
//! values, time limits, encodings, look-alikes of the system's functions, policies that hide rows.

use crate::harness::cli::{backup, folder, pass, pgcask, restore, run};
use crate::harness::oracle::assert_same;
use crate::harness::postgres::{Server, newest, on_each_version};

/// Backs up and restores into a new database made by hand; gives its name.
fn comes_back(server: &Server, source: &str, target: &str) {
    let folder = folder();
    let made = backup(folder.path(), &server.url(source), &[]);
    let archive = made["archive"].as_str().unwrap();
    let run = restore(folder.path(), archive, &server.url(target), &[]);
    assert_eq!(run.expect(0).json()["verified"], true);
}

/// Values whose text depends on settings, or that lose something under careless ones.
const VALUES: &str = "
    CREATE TABLE v (id int PRIMARY KEY, f8 float8, f4 float4, n numeric, b bytea, i interval, d date, t timestamptz,
        m money, x xml, j jsonb, r int8range, tr tstzrange, vb varbit, u uuid, ip inet, a text[], e text, c char(3), nm name, p point, tm timetz);
    INSERT INTO v VALUES
        (1, 0.1 + 0.2, 1.1::float4 / 3, 'NaN', '\\x00ff5c0a', '-1 mon +2 days -03:04:05.678901', '0044-03-15 BC', '2024-03-31 02:30:00.123456+05:45',
            '-12,345.67', '<a>1</a>text', '{\"k\": 12345678901234567890.123456789, \"u\": \"\\u00e9\\\\\"}', '[1,9007199254740993)', '(,infinity)',
            B'', '00000000-0000-0000-0000-000000000000', '::1/128', '{NULL,\"\",\"a,b\",\"\\\\N\",\"{\"}', '', 'a', 'n', '(1e-300,-0)', '23:59:59.999999-15:59'),
        (2, 'NaN', '-Infinity', '1e-16383', '', '178000000 years', 'infinity', '-infinity', 0, NULL, 'null', 'empty', NULL,
            B'1010101', NULL, '10.0.0.0/8', '{}', E'\\\\N', '', '', NULL, NULL),
        (3, 5e-324, 1e-45, repeat('9', 300)::numeric, decode(repeat('00', 3000), 'hex'), '0', '5874897-12-31', '294276-12-31 23:59:59.999999+00', NULL,
            '<!DOCTYPE x><x/>', '[]', NULL, NULL, NULL, NULL, NULL, ARRAY[ARRAY['x', NULL], ARRAY['y', E'\\n\\t\\\\']], E'\\\\.\\n\\\\.\\n--\\r\\n', NULL, NULL, NULL, NULL);
    CREATE TABLE exact (v float8);
    INSERT INTO exact SELECT (random() * 10 ^ (random() * 600 - 300))::float8 FROM generate_series(1, 10000)";

#[test]
fn formats_of_values_that_a_database_prefers_change_nothing() {
    on_each_version(|server| {
        let (source, target) = (server.create_db(), server.create_db());
        server.sql(&source, &format!("SET xmloption = content; {VALUES}"));
        // Only now: both sides prefer other forms, and not the same.
        for (db, style) in [(&source, "SQL, DMY"), (&target, "German, MDY")] {
            for (name, value) in [
                ("DateStyle", style),
                ("IntervalStyle", "sql_standard"),
                ("extra_float_digits", "-10"),
                ("bytea_output", "escape"),
                ("TimeZone", "Asia/Kathmandu"),
                ("xmloption", "document"),
                ("standard_conforming_strings", "off"),
                ("quote_all_identifiers", "on"),
            ] {
                let name_of_db = format!("\"{}\"", &**db);
                server.sql("postgres", &format!("ALTER DATABASE {name_of_db} SET {name} = '{value}'"));
            }
        }
        comes_back(server, &source, &target);
        // The database's own settings are no part of its definitions here.
        let sum = "SET extra_float_digits = 3; SET bytea_output = 'hex'; SET DateStyle = 'ISO'; SET IntervalStyle = 'postgres'; SET TimeZone = 'UTC'; \
             SELECT md5(string_agg(t::text, '|' ORDER BY t::text)) FROM (SELECT v::text FROM v UNION ALL SELECT exact::text FROM exact) t";
        assert_eq!(server.sql(&source, sum), server.sql(&target, sum));
    });
}

#[test]
fn time_limits_and_read_only_modes_of_others_do_not_stop_us() {
    on_each_version(|server| {
        let (source, target) = (server.create_db(), server.create_db());
        server.sql(&source, "CREATE TABLE t AS SELECT i, md5(i::text) m FROM generate_series(1, 50000) i; CREATE INDEX ON t (m)");
        for db in [&source, &target] {
            for (name, value) in [
                ("statement_timeout", "5ms"),
                ("lock_timeout", "1ms"),
                ("idle_in_transaction_session_timeout", "5ms"),
                ("default_transaction_read_only", "on"),
                ("default_transaction_isolation", "serializable"),
                ("search_path", "nowhere"),
                ("session_replication_role", "replica"),
            ] {
                server.sql("postgres", &format!("ALTER DATABASE \"{}\" SET {name} = '{value}'", &**db));
            }
        }
        comes_back(server, &source, &target);
        let count = "SET statement_timeout = 0; SELECT count(*) FROM public.t";
        assert_eq!(server.sql(&target, count), "50000");
    });
}

#[test]
fn look_alikes_of_the_systems_functions_are_never_called() {
    on_each_version(|server| {
        let (source, target) = (server.create_db(), server.create_db());
        server.sql(
            &source,
            "CREATE SCHEMA evil;
             CREATE TABLE public.t (id int PRIMARY KEY, v text); INSERT INTO public.t VALUES (1, 'x');
             CREATE SEQUENCE public.s; CREATE VIEW public.w AS SELECT id FROM public.t;
             CREATE FUNCTION evil.alarm(text) RETURNS text LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'hijacked: %', $1; END$$;
             CREATE FUNCTION evil.pg_get_viewdef(oid) RETURNS text LANGUAGE sql AS $$SELECT evil.alarm('viewdef')$$;
             CREATE FUNCTION evil.format_type(oid, int) RETURNS text LANGUAGE sql AS $$SELECT evil.alarm('format_type')$$;
             CREATE FUNCTION evil.equal(name, name) RETURNS bool LANGUAGE sql AS $$SELECT evil.alarm('=') IS NULL$$;
             CREATE FUNCTION evil.equal(oid, oid) RETURNS bool LANGUAGE sql AS $$SELECT evil.alarm('=') IS NULL$$;
             CREATE FUNCTION evil.joined(\"char\", text) RETURNS text LANGUAGE sql AS $$SELECT evil.alarm('||')$$;
             CREATE OPERATOR evil.|| (LEFTARG = \"char\", RIGHTARG = text, FUNCTION = evil.joined);
             CREATE OPERATOR evil.= (LEFTARG = name, RIGHTARG = name, FUNCTION = evil.equal);
             CREATE OPERATOR evil.= (LEFTARG = oid, RIGHTARG = oid, FUNCTION = evil.equal);
             CREATE FUNCTION evil.text_from_char(\"char\") RETURNS text LANGUAGE sql AS $$SELECT evil.alarm('cast')$$;
             CREATE TABLE evil.pg_class (oid oid, relname name); CREATE VIEW evil.pg_namespace AS SELECT evil.alarm('pg_namespace') nspname",
        );
        server.sql(
            "postgres",
            &format!("ALTER DATABASE \"{}\" SET search_path = evil, pg_catalog, public", &*source),
        );
        comes_back(server, &source, &target);
        server.sql("postgres", &format!("ALTER DATABASE \"{}\" RESET search_path", &*source));
        assert_same(server, &source, server, &target);
    });
}

#[test]
fn every_encoding_keeps_its_bytes() {
    let server = Server::shared(newest());
    let c = "LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0";
    for (encoding, bytes) in [
        ("SQL_ASCII", "'\\xff80c328e4'"),
        ("LATIN1", "'\\xe9e4f6fc5c'"),
        ("WIN1252", "'\\x80e9929f'"),
        ("EUC_JP", "'\\xa4a2a5f3c6fc8fb0a1'"),
        ("KOI8R", "'\\xf0d2c9d7c5d4'"),
        ("UTF8", "'\\xf09f90985cc3a9'"),
    ] {
        let options = format!("ENCODING '{encoding}' {c}");
        let (source, target) = (server.create_db_with(&options), server.create_db_with(&options));
        server.sql(
            &source,
            &format!(
                "CREATE TABLE t (i int PRIMARY KEY, v text);
                 INSERT INTO t VALUES (1, convert_from({bytes}, '{encoding}')), (2, ''), (3, NULL);
                 COMMENT ON TABLE t IS 'plain'"
            ),
        );
        comes_back(server, &source, &target);
        let sum = "SELECT string_agg(coalesce(encode(convert_to(v, getdatabaseencoding()), 'hex'), '-'), '|' ORDER BY i) FROM t";
        let sent = if encoding == "SQL_ASCII" {
            sum.replace("convert_to(v, getdatabaseencoding())", "textsend(v)")
        } else {
            sum.to_owned()
        };
        let found = server.sql(&target, &sent);
        assert_eq!(found, server.sql(&source, &sent));
        assert_eq!(found, format!("{}||-", bytes.trim_matches('\'').trim_start_matches("\\x")), "{encoding}");
    }
    // What the target's encoding lacks is told before, and fails; it is not replaced by something else.
    let (source, target) = (server.create_db(), server.create_db_with(&format!("ENCODING 'LATIN1' {c}")));
    server.sql(&source, "CREATE TABLE t AS SELECT '\u{1f418}' AS v");
    let folder = folder();
    let made = backup(folder.path(), &server.url(&source), &[]);
    let run = restore(folder.path(), made["archive"].as_str().unwrap(), &server.url(&target), &[]).expect(1);
    assert!(
        run.stderr.contains("LATIN1") && run.stderr.contains("\"t\"") || run.stderr.contains("public.t"),
        "{}",
        run.stderr
    );
}

#[test]
fn rows_that_a_policy_hides_make_the_backup_fail_not_smaller() {
    let server = Server::start(newest());
    let source = server.create_db();
    server.sql(
        &source,
        "CREATE ROLE rls_reader LOGIN PASSWORD 'x'; CREATE ROLE rls_owner LOGIN PASSWORD 'x';
         CREATE TABLE t (who name, v int); INSERT INTO t VALUES ('rls_reader', 1), ('someone', 2);
         ALTER TABLE t OWNER TO rls_owner; GRANT SELECT ON t TO rls_reader;
         ALTER TABLE t ENABLE ROW LEVEL SECURITY; ALTER TABLE t FORCE ROW LEVEL SECURITY;
         CREATE POLICY p ON t USING (who = current_user)",
    );
    let folder = folder();
    let store = folder.path().join("store").display().to_string();
    for role in ["rls_reader", "rls_owner"] {
        let url = server.url(&source).replacen("postgres@", &format!("{role}@"), 1);
        assert!(url.contains(role), "{url}");
        let run = run(&mut pgcask(["backup", &url, "--to", &store, "--jobs", "2", &pass(folder.path())]));
        assert!(run.code != 0 && run.stderr.contains("row-level security"), "{role}: {run:?}");
    }
    let left: Vec<_> = std::fs::read_dir(&store).into_iter().flatten().flatten().collect();
    assert!(left.iter().all(|entry| !entry.path().display().to_string().contains(".cask")), "{left:?}");
    // Who may see all gets all.
    assert_eq!(backup(folder.path(), &server.url(&source), &[])["rows"], 2);
}

#[test]
fn parents_and_children_are_read_apart_however_they_are_split() {
    let server = Server::shared(newest());
    let (source, target) = (server.create_db(), server.create_db());
    // Both are larger than a unit of work, and nobody has counted their pages yet.
    server.sql(
        &source,
        "CREATE TABLE parent (i int, v text) WITH (autovacuum_enabled = off);
         CREATE TABLE child () INHERITS (parent) WITH (autovacuum_enabled = off);
         CREATE TABLE empty (i int);
         INSERT INTO parent SELECT i, repeat('p', 700) FROM generate_series(1, 120000) i;
         INSERT INTO child SELECT i, repeat('c', 700) FROM generate_series(1, 130000) i",
    );
    let estimate = server
        .value(&source, "SELECT sum(relpages) FROM pg_class WHERE relname IN ('parent', 'child', 'empty')");
    assert_eq!(estimate, "0", "a table that was never analyzed says nothing of its size");
    comes_back(server, &source, &target);
    for (table, rows) in
        [("ONLY parent", "120000"), ("child", "130000"), ("parent", "250000"), ("empty", "0")]
    {
        assert_eq!(server.sql(&target, &format!("SELECT count(*) FROM {table}")), rows, "{table}");
    }
}
