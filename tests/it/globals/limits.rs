//! What a role may not read or make, names that cannot be read, and servers without a superuser.

use super::{each, fill, lines, told};
use crate::harness::cli::{backup, folder, pass, pgcask, restore, run};
use crate::harness::postgres::Server;

#[test]
fn what_may_not_be_read_is_left_out_with_one_warning() {
    let server = Server::start(18);
    let (folder, source) = (folder(), server.create_db());
    server.sql(&source, "CREATE ROLE app LOGIN; CREATE TABLE t AS SELECT 1 AS i; GRANT SELECT ON t TO app");
    let url = server.url(&source).replacen("postgres@", "app@", 1);
    let store = folder.path().join("store").display().to_string();
    let back = |more: &[&str]| run(pgcask(["backup", &url, "--to", &store, &pass(folder.path())]).args(more));
    // Whoever may connect may read roles, unless somebody took that away.
    let all = back(&[]).expect(0);
    assert!(!all.stderr.contains("warning"), "{}", all.stderr);
    server.sql(&source, "REVOKE SELECT ON pg_roles FROM PUBLIC");
    let some = back(&[]).expect(0);
    let warnings: Vec<&str> = some.stderr.lines().filter(|line| line.contains("warning")).collect();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings[0].contains("roles, memberships, settings of roles") && warnings[0].contains("\"app\""),
        "{warnings:?}"
    );
    assert!(back(&["--globals"]).expect(1).stderr.contains("may not be read"));
    let none = back(&["--no-globals"]).expect(0);
    assert!(!none.stderr.contains("warning"), "{}", none.stderr);
    let archive = none.stdout.lines().next().unwrap();
    let shown = run(&mut pgcask(["show", archive, "--globals", &pass(folder.path())])).expect(1);
    assert!(shown.stderr.contains("no roles and tablespaces"), "{}", shown.stderr);
    let target = server.create_db();
    let asked = restore(folder.path(), archive, &server.url(&target), &["--globals"]).expect(2);
    assert!(asked.stderr.contains("--no-globals"), "{}", asked.stderr);
}

#[test]
fn a_role_named_in_another_encoding_is_told_and_the_rest_comes() {
    each(&[13, 18], |major| {
        let (from, to) = (Server::start(major), Server::start(major));
        let latin = from.create_db_with("TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'");
        // Stored as the byte f4, which means nothing in a database of UTF-8.
        from.sql(&latin, "SET client_encoding = 'UTF8'; CREATE ROLE \"r\u{f4}le\"; CREATE ROLE plain; GRANT \"r\u{f4}le\" TO plain");
        let source = from.create_db();
        from.sql(&source, "CREATE TABLE t AS SELECT 1 AS i; ALTER TABLE t OWNER TO plain");
        let folder = folder();
        let store = folder.path().join("store").display().to_string();
        let made =
            run(&mut pgcask(["backup", &from.url(&source), "--to", &store, &pass(folder.path())])).expect(0);
        assert!(made.stderr.contains(r#"the role "r\xf4le" is left out"#), "{}", made.stderr);
        assert!(
            made.stderr.contains(r#"the membership of "plain" in "r\xf4le" is left out"#),
            "{}",
            made.stderr
        );
        let archive = made.stdout.lines().next().unwrap().to_owned();
        restore(folder.path(), &archive, &to.url("made"), &["--create", "--globals"]).expect(0);
        assert_eq!(
            to.sql("postgres", "SELECT string_agg(rolname, ',') FROM pg_roles WHERE oid > 16000"),
            "plain"
        );
        // In its own encoding it can be read, and goes to a database of that encoding.
        from.sql(&latin, "CREATE TABLE t AS SELECT 1 AS i; ALTER TABLE t OWNER TO plain");
        let archive = backup(folder.path(), &from.url(&latin), &[]);
        let archive = archive["archive"].as_str().unwrap();
        let refused = restore(folder.path(), archive, &to.url("other"), &["--create", "--globals"]).expect(9);
        assert!(refused.stderr.contains("cannot be written in the encoding"), "{}", refused.stderr);
        let target = to.create_db_with("TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'");
        restore(folder.path(), archive, &to.url(&target), &["--globals"]).expect(0);
        let bytes = "SELECT md5(textin(nameout(rolname))) FROM pg_roles WHERE oid > 16000 ORDER BY 1";
        assert_eq!(to.sql(&target, bytes), from.sql(&latin, bytes));
    });
}

#[test]
fn who_is_no_superuser_restores_what_he_may() {
    each(&[15, 16, 18], |major| {
        let (from, to) = (Server::start(major), Server::start(major));
        fill(&from, major);
        let source = from.create_db();
        from.sql(
            &source,
            "CREATE SCHEMA s AUTHORIZATION team; CREATE TABLE s.t AS SELECT 1 AS i; ALTER TABLE s.t OWNER TO team;
             CREATE INDEX ON s.t (i); GRANT SELECT ON s.t TO worker, strong",
        );
        let folder = folder();
        let archive = backup(folder.path(), &from.url(&source), &[]);
        let archive = archive["archive"].as_str().unwrap();
        to.sql("postgres", "CREATE ROLE adm LOGIN CREATEROLE CREATEDB");
        let url = to.url("made").replacen("postgres@", "adm@", 1);
        // The database belongs to a role that only a superuser can give it to.
        let args = ["--create", "--globals=all", "--no-tablespaces", "--keep-going"];
        let run = restore(folder.path(), archive, &url, &args);
        let notes = lines(&run, "notes").join("\n");
        for part in [
            "the role \"strong\" does not get SUPERUSER",
            "BYPASSRLS",
            "\"adm\" is no superuser and becomes a member",
        ] {
            assert!(notes.contains(part), "PostgreSQL {major}: {part}: {notes}");
        }
        assert!(notes.contains("not allowed: grant rights on the parameter"), "PostgreSQL {major}: {notes}");
        assert_eq!(
            to.sql("made", "SELECT tableowner FROM pg_tables WHERE tablename = 't'"),
            "team",
            "{run:?}"
        );
        assert_eq!(to.sql("made", "SET ROLE worker; SELECT i FROM s.t"), "1");
        // Without its owner's name it is the restoring role's.
        let failures = run.json()["failures"].as_array().unwrap().clone();
        assert!(
            failures.iter().all(|failure| failure.as_str().unwrap().contains("properties of the database")),
            "{failures:?}"
        );
        assert!(told(&to, &[]).contains("CREATE ROLE strong"));
    });
}

#[test]
fn a_server_whose_first_superuser_has_another_name() {
    let from = Server::start(18);
    let to = Server::with(
        crate::harness::postgres::Build::Major(18),
        crate::harness::postgres::Options { tcp: true, ..Default::default() },
    );
    fill(&from, 18);
    to.sql("postgres", "CREATE ROLE temporary SUPERUSER LOGIN");
    let rename = to
        .client("psql", "postgres")
        .args(["-U", "temporary", "-Xqc", "ALTER ROLE postgres RENAME TO root_of_all"])
        .output()
        .unwrap();
    assert!(rename.status.success(), "{rename:?}");
    let source = from.create_db();
    let folder = folder();
    let archive = backup(folder.path(), &from.url(&source), &[]);
    let archive = archive["archive"].as_str().unwrap();
    let url = to.url("made").replacen("postgres@", "root_of_all@", 1);
    let args = ["--create", "--globals=all", "--no-tablespaces"];
    let run = restore(folder.path(), archive, &url, &args).expect(0);
    let notes = lines(&run, "notes");
    assert!(notes.is_empty(), "{notes:?}");
    let by = "SELECT g.rolname, count(*) FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.grantor WHERE m.roleid > 16000 OR m.member > 16000 GROUP BY 1 ORDER BY 2, 1";
    let renamed = |text: String| text.replace("root_of_all|", "postgres|");
    let psql = |sql: &str| {
        let out = to.client("psql", "postgres").args(["-U", "root_of_all", "-XqAtc", sql]).output().unwrap();
        String::from_utf8(out.stdout).unwrap().trim_end().to_owned()
    };
    assert_eq!(renamed(psql(by)), from.sql("postgres", by));
    // What the source called its first superuser is an ordinary one here.
    assert_eq!(psql("SELECT rolsuper, oid > 16000 FROM pg_roles WHERE rolname = 'postgres'"), "t|t");
}
