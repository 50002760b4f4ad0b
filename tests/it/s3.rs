//! Straight to an object store and back, and no secret in any output.

use std::process::Stdio;

use base64::Engine as _;

use crate::harness::cli::{PLANTED, folder, pass, pgcask, run};
use crate::harness::oracle::content;
use crate::harness::postgres::{Server, newest};
use crate::harness::proxy::{Fault, Proxy};
use crate::harness::rss;
use crate::harness::s3::S3Server;

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
    for secret in PLANTED {
        assert!(!said.contains(secret), "{secret} in the output:\n{said}");
    }
}

/// Backup and restore with four jobs over a store that is slower than the server: what waits for it must not pile up.
#[test]
fn a_slow_store_takes_no_more_memory() {
    /// What backup and restore may take, in bytes.
    const MEMORY: u64 = 200 << 20;
    let (server, s3, folder) = (Server::shared(newest()), S3Server::shared(), folder());
    let source = server.create_db();
    server.sql(&source, "CREATE TABLE t AS SELECT i, gen_random_uuid() AS a, gen_random_uuid() AS b, gen_random_uuid() AS c FROM generate_series(1, 2500000) i");
    let (pass, to) = (pass(folder.path()), format!("s3://{}/prod", s3.fresh_bucket()));
    let slow = Proxy::start(&s3.endpoint(), |request, _| {
        let is_part = request.method == "PUT" || request.method == "GET" && request.target.contains(".cask");
        if is_part { Fault::Delay(std::time::Duration::from_millis(400)) } else { Fault::None }
    });
    let measured = |args: &[&str]| {
        let mut command = pgcask(args);
        s3.configure(&mut command);
        command.env("AWS_ENDPOINT_URL", slow.endpoint());
        let (peak, status) =
            rss::peak(command.stdout(Stdio::null()).stderr(Stdio::inherit()).spawn().unwrap());
        assert!(status.success());
        peak
    };
    let backup =
        measured(&["backup", &server.url(&source), "--to", &to, "--jobs", "4", "--kind", "daily", &pass]);
    let mut list = pgcask(["list", "--store", &to, "--json"]);
    s3.configure(&mut list);
    let listed = run(&mut list).expect(0).json();
    let archive = &listed[0];
    let bytes = archive["bytes"].as_u64().unwrap();
    assert!(bytes > 100 << 20, "too little to pile up: {listed}");
    let target = server.adopt(server.fresh_name());
    let place = archive["archive"].as_str().unwrap();
    let into = server.url(&target);
    let restore = measured(&["restore", place, "--into", &into, "--create", "--jobs", "4", &pass]);
    assert_eq!(content(server, &source), content(server, &target));
    eprintln!(
        "backup {} MiB, restore {} MiB, of an archive of {} MiB",
        backup >> 20,
        restore >> 20,
        bytes >> 20
    );
    assert!(
        backup < MEMORY && restore < MEMORY,
        "backup {} MiB, restore {} MiB",
        backup >> 20,
        restore >> 20
    );
}

/// A store that turns a request away may quote all of it, with the token of temporary credentials.
#[test]
fn what_a_store_quotes_of_a_request_is_not_told() {
    let (server, s3, folder) = (Server::shared(newest()), S3Server::shared(), folder());
    let bucket = s3.fresh_bucket();
    let source = server.create_db();
    let (url, to, pass) = (server.url(&source), format!("s3://{bucket}/prod"), pass(folder.path()));
    let key = base64::engine::general_purpose::STANDARD.encode("planted-secret-of-32-bytes-12345");
    let config = folder.path().join("pgcask.toml");
    let text = format!(
        "[stores.wire]\nurl = \"{to}\"\nencryption = \"sse-c\"\ncustomer_key = {{ env = \"CUSTOMER_KEY\" }}\n"
    );
    std::fs::write(&config, text).unwrap();
    let config = config.display().to_string();
    for (status, code) in
        [(400, "ExpiredToken"), (403, "SignatureDoesNotMatch"), (500, "InternalError"), (404, "NoSuchKey")]
    {
        let proxy = Proxy::start(&s3.endpoint(), move |_, _| Fault::Echo(status, code));
        for args in [
            &["backup", &url, "--to", "wire", "-v", "--json", &pass][..],
            &["list", "--store", &to, "-v"],
            &["prune", "--store", &to, "--apply", "-v"],
            &["verify", &format!("{to}/x.cask"), "-v", &pass],
        ] {
            let mut command = pgcask([&["--config", config.as_str()], args].concat());
            s3.configure(&mut command);
            command.env("AWS_SESSION_TOKEN", "planted-token-4714").env("PGCASK_STORE_TIMEOUT", "0");
            command.env("AWS_ENDPOINT_URL", proxy.endpoint()).env("CUSTOMER_KEY", &key);
            let ended = run(&mut command);
            assert!(
                !ended.stderr.contains(&key) && !ended.stderr.contains("CanonicalRequest"),
                "{}",
                ended.stderr
            );
            assert!(ended.code != 0 || args[0] == "list", "{args:?}: {ended:?}");
        }
        let tokens = proxy
            .seen()
            .iter()
            .filter(|(request, _)| request.header("x-amz-security-token").is_some())
            .count();
        assert!(tokens > 0, "the token was sent");
    }
}
