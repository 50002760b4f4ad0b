//! An archive written as an SQL script: psql makes the same database of it.

use crate::harness::cli::{backup, folder, pass, pgcask, run};
use crate::harness::oracle::assert_same;
use crate::harness::postgres::{Server, newest};
use crate::roundtrip::each_fixture;

#[test]
fn psql_makes_the_same_database_of_a_script() {
    let server = Server::start(newest());
    let folder = folder();
    let script = folder.path().join("script.sql");
    each_fixture(&server, newest(), |name, source| {
        // A script can no more than pg_dump's: fill a view whose owner may not read, or make columns count as inherited.
        if name == "beyond" {
            return;
        }
        let target = server.create_db();
        let made = backup(folder.path(), &server.url(source), &[]);
        let archive = made["archive"].as_str().unwrap();
        let mut cat = pgcask(["cat", archive, "--show-secrets", &pass(folder.path())]);
        let status = cat.stdout(std::fs::File::create(&script).unwrap()).status().unwrap();
        assert!(status.success());
        server.script(&target, &script);
        assert_same(&server, source, &server, &target);
    });
}

#[test]
fn a_script_hides_passwords_and_runs_no_meta_command() {
    let server = Server::shared(newest());
    let folder = folder();
    let source = server.create_db();
    server.sql(
        &source,
        r#"CREATE TABLE "a
\! touch /tmp/pgcask-was-here
" (v text);
        INSERT INTO "a
\! touch /tmp/pgcask-was-here
" VALUES (E'\\.'), (E'\n\\! x\n'), ('\restrict');
        CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w OPTIONS (api_token 'planted-1', host 'h');
        CREATE USER MAPPING FOR PUBLIC SERVER s OPTIONS ("user" 'u', password 'planted-2');
        CREATE SUBSCRIPTION pgcask_script CONNECTION 'host=h password=planted-3 dbname=d' PUBLICATION p WITH (connect = false)"#,
    );
    let made = backup(folder.path(), &server.url(&source), &[]);
    server.sql(
        &source,
        "ALTER SUBSCRIPTION pgcask_script SET (slot_name = NONE); DROP SUBSCRIPTION pgcask_script",
    );
    let archive = made["archive"].as_str().unwrap();
    let hidden = run(&mut pgcask(["cat", archive, &pass(folder.path())])).expect(0);
    assert!(!hidden.stdout.contains("planted"), "{}", hidden.stdout);
    assert!(hidden.stdout.contains("host=h password=******** dbname=d"), "{}", hidden.stdout);
    assert!(hidden.stderr.contains("3 options that may be passwords are hidden"), "{}", hidden.stderr);
    // The first and the last line hold psql back from meta-commands, with a key that each script makes anew.
    let guard = |text: &str| text.lines().next().unwrap().strip_prefix("\\restrict ").unwrap().to_owned();
    let key = guard(&hidden.stdout);
    assert!(key.len() == 32 && key.chars().all(|c| c.is_ascii_alphanumeric()), "{key}");
    assert_eq!(hidden.stdout.lines().last(), Some(format!("\\unrestrict {key}").as_str()));
    let shown = run(&mut pgcask(["cat", archive, "--show-secrets", &pass(folder.path())])).expect(0);
    for secret in ["planted-1", "planted-2", "planted-3"] {
        assert!(shown.stdout.contains(secret), "{secret}");
    }
    assert_ne!(guard(&shown.stdout), key);
    // What psql makes of it: the rows are there, and no command was run.
    let target = server.create_db();
    let file = folder.path().join("script.sql");
    let table = run(&mut pgcask(["cat", archive, "--table", "public.*", &pass(folder.path())])).expect(0);
    assert!(!table.stdout.contains("SUBSCRIPTION"), "only what was chosen");
    std::fs::write(&file, table.stdout).unwrap();
    server.script(&target, &file);
    let rows =
        "SELECT string_agg(v, '|' ORDER BY v COLLATE \"C\") FROM \"a\n\\! touch /tmp/pgcask-was-here\n\"";
    assert_eq!(server.sql(&target, rows), server.sql(&source, rows));
    assert!(!std::path::Path::new("/tmp/pgcask-was-here").exists());
    // A table and a selection exclude one another.
    run(&mut pgcask(["cat", archive, "public.t", "--schema", "x", &pass(folder.path())])).expect(2);
}
