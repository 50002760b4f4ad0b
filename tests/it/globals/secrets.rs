//! Password hashes go where they were asked to go, and nowhere else.

use super::{each, fill, told};
use crate::harness::cli::{backup, folder, pass, pgcask, restore, run};
use crate::harness::postgres::Server;

/// What hashes begin with.
const HASHES: [&str; 2] = ["SCRAM-SHA-256$", "md5"];

fn has_hash(text: &str) -> bool {
    HASHES.iter().any(|hash| text.contains(hash))
}

#[test]
fn a_script_of_roles_makes_the_same_of_another_server() {
    each(&[13, 18], |major| {
        let (from, to) = (Server::start(major), Server::start(major));
        fill(&from, major);
        let (folder, source) = (folder(), from.create_db());
        let made = backup(folder.path(), &from.url(&source), &["--role-passwords"]);
        let archive = made["archive"].as_str().unwrap();
        let cat = |more: &[&str]| {
            run(pgcask(["cat", archive, "--globals", "--no-tablespaces", &pass(folder.path())]).args(more))
                .expect(0)
        };
        let hidden = cat(&[]);
        assert!(!has_hash(&hidden.stdout) && !hidden.stdout.contains("PASSWORD"), "{}", hidden.stdout);
        assert!(hidden.stderr.contains("2 roles' passwords are left out"), "{}", hidden.stderr);
        let script = folder.path().join("roles.sql");
        std::fs::write(&script, cat(&["--show-secrets"]).stdout).unwrap();
        to.script("postgres", &script);
        assert_eq!(
            told(&to, &["--no-tablespaces"]),
            told(&from, &["--no-tablespaces"]),
            "PostgreSQL {major}"
        );
        assert!(!std::path::Path::new("/tmp/pgcask-was-here").exists());
    });
}

#[test]
fn hashes_are_in_no_output_no_sidecar_and_no_backup_that_was_not_asked() {
    let (from, to) = (Server::start(18), Server::start(18));
    fill(&from, 18);
    let (folder, source) = (folder(), from.create_db());
    let store = folder.path().join("store");
    let without = backup(folder.path(), &from.url(&source), &[]);
    let with = run(&mut pgcask([
        "backup",
        &from.url(&source),
        "--to",
        store.to_str().unwrap(),
        "-v",
        "--role-passwords",
        &pass(folder.path()),
    ]))
    .expect(0);
    let archive = with.stdout.lines().next().unwrap();
    let mut outputs = vec![with.stdout.clone(), with.stderr.clone()];
    for (archive, told) in [(without["archive"].as_str().unwrap(), false), (archive, true)] {
        for more in [&["--globals"][..], &["--globals", "--json"], &["--json", "--toc"]] {
            let shown = run(pgcask(["show", archive, &pass(folder.path())]).args(more)).expect(0);
            assert!(more.contains(&"--toc") || shown.stdout.contains("Mixed"), "{shown:?}");
            assert!(
                more != ["--globals"]
                    || shown.stdout.contains("LIMIT 7 VALID UNTIL '2031-02-03 01:05:06.5+00'"),
                "{shown:?}"
            );
            assert!(more != ["--globals"] || shown.stdout.contains("PASSWORD") == told, "{shown:?}");
            outputs.extend([shown.stdout, shown.stderr]);
        }
        for file in ["json", "sha256"] {
            outputs.push(std::fs::read_to_string(format!("{archive}.{file}")).unwrap_or_default());
            let sidecar = std::path::Path::new(archive).with_extension(file);
            outputs.push(std::fs::read_to_string(sidecar).unwrap_or_default());
        }
    }
    let args = ["--create", "--globals=all", "--no-tablespaces", "-v"];
    for more in [&["--dry-run"][..], &[]] {
        let restored =
            restore(folder.path(), archive, &to.url("made"), &[&args[..], more].concat()).expect(0);
        outputs.extend([restored.stdout, restored.stderr]);
    }
    // A role that stands in the way makes its statement fail: the error shows it without the hash.
    to.sql("postgres", "ALTER ROLE boss RENAME TO boss_before");
    to.sql("postgres", "CREATE FUNCTION stop() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'");
    let failed = restore(
        folder.path(),
        archive,
        &to.url("other"),
        &["--create", "--globals=all", "--no-tablespaces", "--keep-going"],
    );
    outputs.extend([failed.stdout, failed.stderr]);
    assert!(outputs.iter().any(|text| text.contains("boss")));
    for text in outputs {
        assert!(!has_hash(&text), "{text}");
    }
    // The archive without them restores roles that nobody can log in as by password.
    let hash = "SELECT count(*) FROM pg_authid WHERE rolpassword IS NOT NULL AND rolname <> 'postgres'";
    assert_eq!(to.sql("postgres", hash), from.sql("postgres", hash).replace('2', "3"), "boss twice");
}

#[test]
fn hashes_go_into_no_open_archive_and_are_not_for_everybody() {
    let server = Server::start(18);
    let (folder, source) = (folder(), server.create_db());
    server.sql("postgres", "CREATE ROLE app LOGIN");
    let store = folder.path().join("store").display().to_string();
    let open = run(&mut pgcask([
        "backup",
        &server.url(&source),
        "--to",
        &store,
        "--no-encrypt",
        "--role-passwords",
    ]));
    assert!(open.expect(2).stderr.contains("--role-passwords"));
    let url = server.url(&source).replacen("postgres@", "app@", 1);
    let refused =
        run(&mut pgcask(["backup", &url, "--to", &store, "--role-passwords", &pass(folder.path())]))
            .expect(1);
    assert!(
        refused.stderr.contains("pg_authid") && refused.stderr.contains("leave --role-passwords out"),
        "{refused:?}"
    );
}
