//! Straight to an object store and back, and no secret in any output.

use crate::harness::cli::{folder, pass, pgcask, run};
use crate::harness::oracle::content;
use crate::harness::postgres::{Server, newest};
use crate::harness::s3::{S3Server, SECRET};

#[test]
fn to_s3_and_back_without_a_secret_in_any_output() {
    let (server, s3, folder) = (Server::shared(newest()), S3Server::shared(), folder());
    s3.create_bucket("backups");
    let source = server.create_db();
    server.sql(&source, "CREATE TABLE t AS SELECT i, md5(i::text) || md5((i * 3)::text) AS m FROM generate_series(1, 700000) i");
    let pass = pass(folder.path());
    let mut said = String::new();
    let mut go = |args: &[&str], code: i32| {
        let mut command = pgcask(args);
        s3.configure(&mut command);
        let ended = run(&mut command);
        said.push_str(&ended.stdout);
        said.push_str(&ended.stderr);
        ended.expect(code)
    };
    let url = server.url(&source).replace("postgres@", "postgres:planted-password-4712@");
    let made = go(&["backup", &url, "--to", "s3://backups/prod", "--json", "-v", &pass], 0).json();
    let archive = made["archive"].as_str().unwrap().to_owned();
    assert!(archive.starts_with("s3://backups/prod/"), "{archive}");
    assert!(made["bytes"].as_u64().unwrap() > 16 << 20, "several parts: {made}");
    let target = server.fresh_name();
    let into = server.url(&target).replace("postgres@", "postgres:planted-password-4712@");
    go(&["restore", &archive, "--into", &into, "--create", "-v", &pass], 0);
    assert_eq!(content(server, &source), content(server, &target));
    go(&["verify", &archive, &pass], 0);
    go(&["show", &archive, &pass], 0);
    go(&["show", "s3://backups/prod/nothing.cask", &pass], 1);
    go(
        &["backup", "postgres://u:planted-password-4712@127.0.0.1:1/x", "--to", "s3://backups/prod", &pass],
        7,
    );
    for secret in [SECRET, "planted-password-4712", "correct horse battery staple"] {
        assert!(!said.contains(secret), "{secret} in the output:\n{said}");
    }
}
