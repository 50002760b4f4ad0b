//! The database itself comes back with `--create`: owner, privileges, settings, comment, limits, locale.

use crate::harness::cli::{backup, folder, restore};
use crate::harness::output;
use crate::harness::postgres::{Server, versions};

/// What `pg_dump --create` says of a database, without its name and what differs between any two dumps.
fn told(server: &Server, name: &str) -> String {
    let text = output(server.client("pg_dump", name).args(["--create", "--schema-only"]));
    let kept = text.lines().filter(|line| !line.starts_with("--") && !line.contains("restrict "));
    kept.collect::<Vec<_>>()
        .join("\n")
        .replace(&format!("\\connect {name}"), "\\connect")
        .replace(name, "THE_DB")
}

#[test]
fn its_properties_come_back_when_it_is_created() {
    for major in versions() {
        let server = Server::start(major);
        let source = server.adopt(server.fresh_name());
        let name = source.to_string();
        // The longest name first: names are replaced by their text.
        server.sql(
            "postgres",
            "CREATE ROLE db_owner; CREATE ROLE \"Db \"\"reader\"\"\"; CREATE ROLE db_granter",
        );
        let locale = match major {
            ..=14 => "",
            15 | 16 => "LOCALE_PROVIDER icu ICU_LOCALE 'de-u-kn'",
            _ => "LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8'",
        };
        server.sql(
            "postgres",
            &format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C' {locale}"),
        );
        for statement in [
            "ALTER DATABASE @ OWNER TO db_owner",
            "COMMENT ON DATABASE @ IS 'it''s\nthe shop \u{1f418}'",
            "REVOKE ALL ON DATABASE @ FROM PUBLIC",
            "GRANT CONNECT, TEMPORARY ON DATABASE @ TO db_granter WITH GRANT OPTION",
            "SET ROLE db_granter; GRANT CONNECT ON DATABASE @ TO \"Db \"\"reader\"\"\"",
            "ALTER DATABASE @ SET work_mem = '7MB'",
            "ALTER DATABASE @ SET search_path = \"$user\", public, \"Odd, \"\"path\"\"\"",
            "ALTER DATABASE @ SET default_transaction_read_only = on",
            "ALTER DATABASE @ SET my_app.thing = 'it''s = x'",
            "ALTER ROLE \"Db \"\"reader\"\"\" IN DATABASE @ SET statement_timeout = '3s'",
            "ALTER ROLE \"Db \"\"reader\"\"\" IN DATABASE @ SET search_path = ''",
            "ALTER DATABASE @ IS_TEMPLATE true",
            "ALTER DATABASE @ CONNECTION LIMIT 17",
        ] {
            server.sql("postgres", &statement.replace('@', &name));
        }
        server.sql(&name, "SET default_transaction_read_only = off; CREATE TABLE t AS SELECT 1 AS i");
        let folder = folder();
        let made = backup(folder.path(), &server.url(&name), &[]);
        let archive = made["archive"].as_str().unwrap();
        let target = server.adopt(server.fresh_name());
        let run = restore(folder.path(), archive, &server.url(&target), &["--create"]).expect(0);
        assert_eq!(run.json()["verified"], true);
        assert_eq!(told(&server, &name), told(&server, &target), "PostgreSQL {major}");
        // Into a database that is there, they are not brought: it has its own.
        let other = server.create_db();
        restore(folder.path(), archive, &server.url(&other), &[]).expect(0);
        assert!(!told(&server, &other).contains("work_mem"));
        // Roles that the server lacks are told before anything is touched.
        let elsewhere = Server::shared(major);
        let refused = restore(folder.path(), archive, &elsewhere.url("never_made"), &["--create"]).expect(9);
        assert!(
            refused.stderr.contains("db_granter") && refused.stderr.contains("db_owner"),
            "{}",
            refused.stderr
        );
        assert_eq!(
            elsewhere.sql("postgres", "SELECT count(*) FROM pg_database WHERE datname = 'never_made'"),
            "0"
        );
        let free = elsewhere.adopt(elsewhere.fresh_name());
        restore(folder.path(), archive, &elsewhere.url(&free), &["--create", "--no-owner", "--no-acl"])
            .expect(0);
        let text = told(elsewhere, &free);
        assert!(text.contains("work_mem") && !text.contains("statement_timeout TO '3s'"), "{text}");
        elsewhere.sql("postgres", &format!("ALTER DATABASE {} IS_TEMPLATE false", &*free));
        for db in [&*name, &*target] {
            server.sql("postgres", &format!("ALTER DATABASE {db} IS_TEMPLATE false"));
        }
    }
}

#[test]
fn a_database_without_the_schema_public_has_none_again() {
    let server = Server::shared(crate::harness::postgres::newest());
    let schemas =
        "SELECT string_agg(nspname, ',' ORDER BY nspname) FROM pg_namespace WHERE nspname !~ '^(pg_|info)'";
    let restored = |sql: &str, more: &[&str]| {
        let (source, folder) = (server.create_db(), folder());
        server.sql(&source, sql);
        let made = backup(folder.path(), &server.url(&source), more);
        let target = server.adopt(server.fresh_name());
        restore(folder.path(), made["archive"].as_str().unwrap(), &server.url(&target), &["--create"])
            .expect(0);
        server.sql(&target, schemas)
    };
    let dropped = "DROP SCHEMA public; CREATE SCHEMA s; CREATE TABLE s.t AS SELECT 1 AS i";
    assert_eq!(restored(dropped, &[]), "s");
    // Nobody knows whether there was one in an archive of some schemas.
    assert_eq!(restored(dropped, &["--schema", "s"]), "public,s");
    assert_eq!(restored("CREATE TABLE t AS SELECT 1 AS i", &[]), "public");
}

#[test]
fn default_privileges_of_the_target_widen_nothing_and_are_told_where_they_stay() {
    let server = Server::shared(crate::harness::postgres::newest());
    let (source, target, folder) = (server.create_db(), server.create_db(), folder());
    server.sql(&source, "CREATE TABLE t AS SELECT 1 AS i");
    let made = backup(folder.path(), &server.url(&source), &[]);
    let archive = made["archive"].as_str().unwrap();
    let told = |more: &[&str]| restore(folder.path(), archive, &server.url(&target), more).expect(0);
    assert!(!told(&["--dry-run"]).stdout.contains("default privileges"));
    server.sql(&target, "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO PUBLIC");
    let without = told(&["--dry-run", "--no-acl"]).stdout;
    assert!(without.contains("default privileges for objects of postgres (in public)"), "{without}");
    assert!(!told(&[]).stderr.contains("default privileges"));
    let open = "SELECT has_table_privilege('pg_monitor', 't', 'SELECT')";
    assert_eq!((server.sql(&source, open), server.sql(&target, open)), ("f".to_owned(), "f".to_owned()));
}
