//! `pgcask init`: from nothing to a backup.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::harness::cli::{pgcask, run};
use crate::harness::oracle::assert_same;
use crate::harness::postgres::{Server, newest};
use crate::harness::s3::S3Server;

fn init(folder: &Path, args: &[&str]) -> std::process::Command {
    let mut command = pgcask(["init", "--yes"]);
    command.args(args).current_dir(folder);
    command
}

#[test]
fn what_init_writes_is_enough_to_back_up_and_to_restore() {
    let (server, folder) = (Server::shared(newest()), tempfile::tempdir().unwrap());
    let db = server.create_db();
    server.sql(&db, "CREATE TABLE t AS SELECT generate_series(1, 100) AS n");
    let url = server.url(&db);
    let made = run(&mut init(folder.path(), &[&url, "--store", "backups", "--name", "shop", "--json"]))
        .expect(0)
        .json();
    assert_eq!((&made["next"], &made["may_delete"]), (&"pgcask backup shop".into(), &true.into()));
    let key = made["identity_file"].as_str().unwrap();
    for file in [Path::new("pgcask.toml"), Path::new(key)] {
        let mode = std::fs::metadata(folder.path().join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", file.display());
    }
    let pgcask = |args: &[&str]| run(pgcask(args).current_dir(folder.path()));
    pgcask(&["config", "check", "--online"]).expect(0);
    pgcask(&["backup", "shop"]).expect(0);
    let copy = server.create_db();
    // This host can write backups, and not read them without the key.
    pgcask(&["show", "shop/latest"]).expect(4);
    pgcask(&["restore", "shop/latest", "--into", &server.url(&copy), "-i", key]).expect(0);
    assert_same(server, &db, server, &copy);
    // What the store was tried out with is gone; its own folder is that of the audit log.
    let left = std::fs::read_dir(folder.path().join("backups")).unwrap();
    let left: std::collections::BTreeSet<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, [".pgcask", &*db].map(std::ffi::OsString::from).into());
    // Nothing is overwritten.
    let before = std::fs::read_to_string(folder.path().join("pgcask.toml")).unwrap();
    run(&mut init(folder.path(), &[&url, "--store", "backups"])).expect(9);
    assert_eq!(std::fs::read_to_string(folder.path().join("pgcask.toml")).unwrap(), before);
    let other = ["--config", "other.toml", &url, "--store", "backups"];
    let refused = run(&mut init(folder.path(), &other)).expect(1);
    assert!(refused.stderr.contains("pgcask.key"), "{}", refused.stderr);
    run(init(folder.path(), &other).args(["--key", "other.key"])).expect(0);
}

#[test]
fn init_tries_a_bucket_out_and_writes_nothing_when_something_is_wrong() {
    let (server, folder, s3) = (Server::shared(newest()), tempfile::tempdir().unwrap(), S3Server::shared());
    let (db, bucket) = (server.create_db(), s3.fresh_bucket());
    let (url, store) = (server.url(&db), format!("s3://{bucket}/prod"));
    let wrong_server = init(folder.path(), &["postgres://u@127.0.0.1:1/d", "--store", "backups"]);
    for (mut command, code) in [
        (wrong_server, 7),
        (
            init(
                folder.path(),
                &[&url, "--store", "s3://no-such-bucket/x", "--endpoint", "http://127.0.0.1:1"],
            ),
            8,
        ),
        (init(folder.path(), &[&url]), 2),
        (init(folder.path(), &[&url, "--store", "backups", "--recipient", "age1wrong"]), 4),
    ] {
        run(command
            .env("PGCASK_STORE_TIMEOUT", "1")
            .env("AWS_ACCESS_KEY_ID", "x")
            .env("AWS_SECRET_ACCESS_KEY", "x"))
        .expect(code);
        assert!(!folder.path().join("pgcask.toml").exists() && !folder.path().join("pgcask.key").exists());
    }
    let mut command =
        init(folder.path(), &[&url, "--store", &store, "--endpoint", &s3.endpoint(), "--name", "shop"]);
    s3.configure(&mut command);
    command.env_remove("AWS_ENDPOINT_URL").env_remove("AWS_ENDPOINT_URL_S3");
    let made = run(&mut command).expect(0);
    assert!(
        made.stdout.contains("keep it in two places") && made.stdout.contains("next: pgcask backup shop"),
        "{}",
        made.stdout
    );
    let mut backup = pgcask(["backup", "shop"]);
    s3.configure(&mut backup);
    backup.env_remove("AWS_ENDPOINT_URL").env_remove("AWS_ENDPOINT_URL_S3");
    run(backup.current_dir(folder.path())).expect(0);
}
