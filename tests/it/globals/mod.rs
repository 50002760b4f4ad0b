//! Roles, memberships, settings of roles, tablespaces and privileges on parameters: what a server has once comes back
//! on another one, judged by `pg_dumpall --globals-only`.

mod limits;
mod secrets;

use std::os::unix::fs::{MetadataExt as _, chown};

use crate::harness::cli::{Run, backup, folder, restore};
use crate::harness::output;
use crate::harness::postgres::Server;

/// Servers on both sides of each change: 15 brought privileges on parameters, 16 grantors and options of memberships.
const VERSIONS: [u32; 4] = [13, 15, 16, 18];

/// Runs a test on each of these versions at the same time, or on those that `PGCASK_TEST_PG` names.
fn each(versions: &[u32], test: fn(u32)) {
    let only = std::env::var("PGCASK_TEST_PG").ok();
    let wanted = |major: &u32| {
        only.as_ref().is_none_or(|only| only.split(',').any(|one| one.trim() == major.to_string()))
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            versions.iter().copied().filter(wanted).map(|major| scope.spawn(move || test(major))).collect();
        for thread in threads {
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
        }
    });
}

/// A folder for a tablespace, which the server's user owns.
fn room(server: &Server, name: &str) -> String {
    let place = server.socket_dir().join(name);
    std::fs::create_dir(&place).unwrap();
    let owner = std::fs::metadata(server.data()).unwrap();
    chown(&place, Some(owner.uid()), Some(owner.gid())).unwrap();
    place.display().to_string()
}

/// What `pg_dumpall` says of a server, without what differs between any two dumps and with its folder as `DIR`.
fn told(server: &Server, more: &[&str]) -> String {
    let text = output(server.client("pg_dumpall", "postgres").arg("--globals-only").args(more));
    let kept = text.lines().filter(|line| !line.contains("restrict ") && !line.starts_with("-- Dumped"));
    kept.collect::<Vec<_>>().join("\n").replace(&server.socket_dir().display().to_string(), "DIR")
}

/// Roles with every attribute and with names that must be quoted, and what is set and said of them.
const ROLES: &str = r#"
    CREATE ROLE boss LOGIN CREATEROLE PASSWORD 'boss-secret' CONNECTION LIMIT 7 VALID UNTIL '2031-02-03 04:05:06.5+03';
    CREATE ROLE strong SUPERUSER CREATEDB REPLICATION BYPASSRLS VALID UNTIL 'infinity';
    CREATE ROLE "Mixed ""Quote""" NOINHERIT LOGIN PASSWORD 'it''s \ secret'; CREATE ROLE "new
line; \! touch /tmp/pgcask-was-here
" LOGIN; CREATE ROLE "select"; CREATE ROLE "user" CONNECTION LIMIT 0; CREATE ROLE "rôle 🐘"; CREATE ROLE "back\slash";
    CREATE ROLE team; CREATE ROLE deputy; CREATE ROLE worker LOGIN; CREATE ROLE space_owner; CREATE ROLE unused;
    COMMENT ON ROLE boss IS 'it''s
the \ boss'; COMMENT ON ROLE postgres IS 'the first';
    ALTER ROLE boss SET search_path = "$user", public, "Odd, ""path"""; ALTER ROLE boss SET work_mem = '7MB';
    ALTER ROLE boss SET my_app.thing = 'it''s = x \ y'; ALTER ROLE boss SET search_path = '';
    ALTER ROLE "select" SET default_transaction_read_only = on; ALTER ROLE "Mixed ""Quote""" SET DateStyle = 'SQL, DMY';
    ALTER ROLE ALL SET statement_timeout = '1h'; ALTER ROLE postgres SET log_min_messages = 'error';
    GRANT pg_monitor TO boss WITH ADMIN OPTION; GRANT pg_read_all_stats TO "new
line; \! touch /tmp/pgcask-was-here
"; GRANT "select" TO "Mixed ""Quote""", "user"; GRANT "user" TO "rôle 🐘";
    GRANT team TO deputy WITH ADMIN OPTION; GRANT "back\slash" TO team;"#;

/// Who granted what to whom, before 16: one grantor, whom nobody checks.
const OLD_MEMBERS: &str =
    "GRANT team TO worker GRANTED BY deputy; GRANT team TO boss WITH ADMIN OPTION GRANTED BY worker;";

/// From 16 on: options of their own, several grantors, and grantors who got their right from others.
const NEW_MEMBERS: &str = "
    GRANT team TO boss WITH ADMIN TRUE, INHERIT FALSE, SET TRUE GRANTED BY deputy;
    GRANT team TO worker WITH INHERIT FALSE, SET FALSE GRANTED BY boss; GRANT team TO worker WITH INHERIT TRUE GRANTED BY deputy;
    GRANT team TO worker WITH ADMIN TRUE; GRANT team TO \"select\" WITH SET FALSE GRANTED BY worker;
    GRANT pg_signal_backend TO worker WITH ADMIN TRUE; GRANT pg_signal_backend TO unused GRANTED BY worker;
    SET ROLE boss; CREATE ROLE made_by_boss; RESET ROLE;";

/// From 15 on.
const PARAMETERS: &str = "
    GRANT SET ON PARAMETER log_min_messages TO boss WITH GRANT OPTION; GRANT ALTER SYSTEM, SET ON PARAMETER work_mem TO team;
    SET ROLE boss; GRANT SET ON PARAMETER log_min_messages TO worker, PUBLIC; RESET ROLE;
    GRANT SET ON PARAMETER my_app.thing TO \"Mixed \"\"Quote\"\"\"; REVOKE SET ON PARAMETER deadlock_timeout FROM postgres;";

/// Gives a new server all of it. The second tablespace is for tests that have a folder.
fn fill(server: &Server, major: u32) {
    server.sql("postgres", ROLES);
    server.sql("postgres", if major >= 16 { NEW_MEMBERS } else { OLD_MEMBERS });
    if major >= 15 {
        server.sql("postgres", PARAMETERS);
    }
    let place = room(server, "fast");
    for statement in [
        format!("CREATE TABLESPACE \"Fast \"\"1\"\"\" OWNER space_owner LOCATION '{place}' WITH (random_page_cost = 1.1, seq_page_cost = 0.5)").as_str(),
        "GRANT CREATE ON TABLESPACE \"Fast \"\"1\"\"\" TO team WITH GRANT OPTION",
        "SET ROLE team; GRANT CREATE ON TABLESPACE \"Fast \"\"1\"\"\" TO worker, PUBLIC",
        "COMMENT ON TABLESPACE \"Fast \"\"1\"\"\" IS 'quick'",
        "GRANT CREATE ON TABLESPACE pg_default TO team",
    ] {
        server.sql("postgres", statement);
    }
}

/// What `pg_dumpall` does not tell: what is set for all roles, and, before 16, who granted; the server's own tablespaces.
const MORE: &str = "
    SELECT string_agg(c, ',') FROM pg_db_role_setting, unnest(setconfig) c WHERE setrole = 0 AND setdatabase = 0;
    SELECT string_agg(format('%s %s %s %s', roleid::regrole, member::regrole, grantor::regrole, admin_option), ',' ORDER BY
        roleid::regrole::text, member::regrole::text, grantor::regrole::text) FROM pg_auth_members WHERE roleid > 16000 OR member > 16000;
    SELECT spcacl FROM pg_tablespace WHERE spcname = 'pg_default'";

/// The archive of a database on a server with all of it, its passwords among them.
fn archive(folder: &std::path::Path, server: &Server, database: &str) -> String {
    let made = backup(folder, &server.url(database), &["--role-passwords"]);
    made["archive"].as_str().unwrap().to_owned()
}

fn lines(run: &Run, list: &str) -> Vec<String> {
    let found = run.json()["globals"][list].as_array().unwrap_or_else(|| panic!("{run:?}")).clone();
    found.iter().map(|line| line.as_str().unwrap().to_owned()).collect()
}

#[test]
fn all_comes_back_on_an_empty_server_of_the_same_version() {
    each(&VERSIONS, |major| {
        let (from, to) = (Server::start(major), Server::start(major));
        fill(&from, major);
        let source = from.create_db_with("TEMPLATE template0 TABLESPACE \"Fast \"\"1\"\"\"");
        from.sql(&source, "CREATE TABLE t AS SELECT 1 AS i; ALTER TABLE t OWNER TO team");
        let folder = folder();
        let archive = archive(folder.path(), &from, &source);
        let url = to.url("made");
        let (empty, map) = (told(&to, &[]), format!("--tablespace-map=Fast \"1\"={}", room(&to, "fast")));

        // Without them the restore is refused, and the way is shown.
        let refused = restore(folder.path(), &archive, &url, &["--create"]).expect(9);
        assert!(
            refused.stderr.contains("team does not exist") && refused.stderr.contains("give --globals"),
            "{refused:?}"
        );
        let all = ["--create", "--globals=all", "--globals-update", &map];
        let dry = restore(folder.path(), &archive, &url, &[&all[..], &["--dry-run"]].concat()).expect(0);
        assert_eq!(told(&to, &[]), empty, "a dry run touches nothing");

        let run = restore(folder.path(), &archive, &url, &all).expect(0);
        assert_eq!(run.json()["verified"], true);
        assert_eq!(lines(&run, "done"), lines(&dry, "done"), "what was announced is done");
        assert_eq!(told(&to, &[]), told(&from, &[]), "PostgreSQL {major}");
        assert_eq!(to.sql("postgres", MORE), from.sql("postgres", MORE), "PostgreSQL {major}");
        assert!(!std::path::Path::new("/tmp/pgcask-was-here").exists());
        assert_eq!(to.sql("made", "SELECT tableowner FROM pg_tables WHERE tablename = 't'"), "team");

        // Once more there is nothing left to do, and nothing differs.
        let again = restore(folder.path(), &archive, &to.url("again"), &[&all[..], &["--dry-run"]].concat());
        let again = again.expect(0);
        for list in ["done", "differences", "notes"] {
            assert_eq!(lines(&again, list), [""; 0], "PostgreSQL {major}: {list}");
        }
    });
}

#[test]
fn an_old_server_comes_back_on_a_new_one() {
    let (from, to, judge) = (Server::start(15), Server::start(18), Server::start(18));
    fill(&from, 15);
    let source = from.create_db();
    from.sql(&source, "CREATE TABLE t AS SELECT 1 AS i; GRANT SELECT ON t TO worker");
    let folder = folder();
    let archive = archive(folder.path(), &from, &source);
    // The judge is what pg_dumpall brings to the new server.
    let script = folder.path().join("roles.sql");
    let text = output(from.client("pg_dumpall", "postgres").arg("--globals-only"));
    let place = from.socket_dir().display().to_string();
    room(&judge, "fast");
    std::fs::write(&script, text.replace(&place, &judge.socket_dir().display().to_string())).unwrap();
    output(judge.client("psql", "postgres").arg("-Xqf").arg(&script));
    let map = format!("--tablespace-map={place}/fast={}", room(&to, "fast"));
    let run = restore(
        folder.path(),
        &archive,
        &to.url("made"),
        &["--create", "--globals=all", "--globals-update", &map],
    );
    assert_eq!(run.expect(0).json()["verified"], true);
    assert_eq!(told(&to, &[]), told(&judge, &[]));
    // The application's role works as before: it may log in by its password and read what it could read.
    assert_eq!(to.sql("made", "SET ROLE worker; SELECT i FROM t"), "1");
}

#[test]
fn only_what_is_needed_comes_and_what_is_there_stays() {
    each(&[13, 16], |major| {
        let (from, to) = (Server::start(major), Server::start(major));
        fill(&from, major);
        let source = from.create_db();
        from.sql(
            &source,
            "CREATE ROLE lo_owner; CREATE ROLE lo_reader; CREATE ROLE pol; CREATE ROLE col; CREATE ROLE def;
             CREATE TABLE t (i int, c int); ALTER TABLE t OWNER TO team; GRANT SELECT (c) ON t TO col;
             CREATE POLICY p ON t TO pol; ALTER DEFAULT PRIVILEGES FOR ROLE def GRANT SELECT ON TABLES TO PUBLIC;
             SELECT lo_create(4711); ALTER LARGE OBJECT 4711 OWNER TO lo_owner; GRANT SELECT ON LARGE OBJECT 4711 TO lo_reader",
        );
        let db = source.to_string();
        from.sql(
            "postgres",
            &format!(
                "ALTER ROLE worker IN DATABASE {db} SET work_mem = '3MB'; ALTER ROLE pol CONNECTION LIMIT 3"
            ),
        );
        let folder = folder();
        let archive = archive(folder.path(), &from, &source);
        let existing = to.create_db();
        to.sql("postgres", "CREATE ROLE pol; CREATE ROLE worker SUPERUSER");
        let run = restore(folder.path(), &archive, &to.url(&existing), &["--globals"]).expect(0);
        assert_eq!(run.json()["verified"], true);
        let roles = "SELECT rolname FROM pg_roles WHERE oid > 16000 ORDER BY 1";
        let found = to.sql("postgres", roles);
        let found: Vec<&str> = found.lines().collect();
        // Whoever is a member of what is named, and what those are members of, is needed too.
        for name in ["team", "col", "pol", "def", "lo_owner", "lo_reader", "boss", "deputy", "back\\slash"] {
            assert!(found.contains(&name), "{name} of {found:?}");
        }
        for name in ["strong", "space_owner", "unused"] {
            assert!(!found.contains(&name), "{name} of {found:?}");
        }
        // What is there is as it was, and told by name.
        let differences = lines(&run, "differences").join("\n");
        assert!(
            differences.contains("\"pol\" is there and differs: the archive says CONNECTION LIMIT 3"),
            "{differences}"
        );
        assert!(
            differences.contains("\"worker\" is there and differs: the archive says NOSUPERUSER, LOGIN"),
            "{differences}"
        );
        assert!(run.stderr.contains("CONNECTION LIMIT 3"), "{}", run.stderr);
        let pol = "SELECT rolconnlimit FROM pg_roles WHERE rolname = 'pol'";
        assert_eq!(to.sql("postgres", pol), "-1");
        // What is set for a role in the database is set in this one.
        assert_eq!(
            to.sql("postgres", "SELECT setconfig FROM pg_db_role_setting WHERE setdatabase <> 0"),
            "{work_mem=3MB}"
        );
        // On request it is altered.
        let other = to.create_db();
        let run =
            restore(folder.path(), &archive, &to.url(&other), &["--globals", "--globals-update"]).expect(0);
        assert!(lines(&run, "differences").is_empty(), "{run:?}");
        assert_eq!(to.sql("postgres", pol), "3");
        let altered = |server: &Server| {
            let text = told(server, &[]);
            let ours =
                |line: &&str| line.starts_with("ALTER ROLE pol ") || line.starts_with("ALTER ROLE worker ");
            text.lines().filter(ours).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!((altered(&to).len(), altered(&to)), (2, altered(&from)));
    });
}

#[test]
fn a_setting_that_the_target_does_not_know_is_told_before() {
    let (from, to) = (Server::start(13), Server::start(18));
    // Gone since 14.
    from.sql(
        "postgres",
        "CREATE ROLE r; ALTER ROLE r SET operator_precedence_warning = on; ALTER ROLE r SET work_mem = '1MB'",
    );
    let source = from.create_db();
    let folder = folder();
    let archive = archive(folder.path(), &from, &source);
    let run = restore(folder.path(), &archive, &to.url("made"), &["--create", "--globals=all", "--dry-run"])
        .expect(0);
    let notes = lines(&run, "notes").join("\n");
    assert!(
        notes.contains(
            "operator_precedence_warning is not set for the role \"r\": the target does not know it"
        ),
        "{notes}"
    );
    restore(folder.path(), &archive, &to.url("made"), &["--create", "--globals=all"]).expect(0);
    assert_eq!(to.sql("postgres", "SELECT rolconfig FROM pg_roles WHERE rolname = 'r'"), "{work_mem=1MB}");
}

#[test]
fn tablespaces_can_be_left_out() {
    let (from, to) = (Server::start(18), Server::start(18));
    let place = room(&from, "fast");
    from.sql("postgres", &format!("CREATE TABLESPACE fast LOCATION '{place}'"));
    let source = from.create_db();
    from.sql(
        &source,
        "CREATE TABLE t (i int, CONSTRAINT pk PRIMARY KEY (i) USING INDEX TABLESPACE fast) TABLESPACE fast; CREATE INDEX x ON t (i) TABLESPACE fast;
         CREATE MATERIALIZED VIEW m TABLESPACE fast AS SELECT 1 AS i",
    );
    let folder = folder();
    let archive = archive(folder.path(), &from, &source);
    let refused = restore(folder.path(), &archive, &to.url("made"), &["--create"]).expect(9);
    assert!(
        refused.stderr.contains("tablespace fast does not exist")
            && refused.stderr.contains("--no-tablespaces"),
        "{refused:?}"
    );
    restore(folder.path(), &archive, &to.url("made"), &["--create", "--globals", "--no-tablespaces"])
        .expect(0);
    assert_eq!(to.sql("made", "SELECT count(*) FROM pg_class WHERE reltablespace <> 0 AND oid > 16000"), "0");
    assert_eq!(to.sql("made", "SELECT count(*) FROM pg_tablespace WHERE oid > 16000"), "0");
    restore(
        folder.path(),
        &archive,
        &to.url("other"),
        &["--create", "--globals", "--tablespace-map", "fast="],
    )
    .expect(0);
    assert_eq!(to.sql("other", "SELECT count(*) FROM pg_class c JOIN pg_tablespace s ON s.oid = reltablespace WHERE spcname = 'fast'"), "4");
    for bad in ["fast", "fast=relative"] {
        restore(folder.path(), &archive, &to.url("third"), &["--globals", "--tablespace-map", bad]).expect(2);
    }
}
