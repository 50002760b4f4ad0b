//! Stores that cannot take an archive: full at any point, read-only, no directory. Exit 8, and no file is left.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::harness::cli::{Run, backup, folder, pass, pgcask, run};
use crate::harness::place::Place;
use crate::harness::postgres::{Server, newest};
use crate::harness::proxy::{Fault, Proxy, Request};
use crate::harness::s3::S3Server;

/// Backs up into a file system of its own, mounted for this one command, and gives what is left in it.
fn into_mount(folder: &Path, url: &str, options: &str) -> (Run, Vec<String>) {
    let (store, left) = (folder.join("small"), folder.join("left"));
    std::fs::create_dir_all(&store).unwrap();
    let script = "mount -t tmpfs -o \"$1\" tmpfs \"$2\" || exit 99; left=$3 store=$2; shift 3; \"$@\"; code=$?; \
        find \"$store\" -type f -not -path '*/.pgcask/*' > \"$left\"; exit $code";
    let mut command = Command::new("unshare");
    // Without root, a user namespace allows the mount.
    if !is_root() {
        command.arg("--map-root-user");
    }
    let to = store.display().to_string();
    command.args(["--mount", "sh", "-c", script, "sh", options, &to]).arg(&left);
    let inner = pgcask(["backup", url, "--to", &to, "--json", "--jobs", "2", &pass(folder)]);
    command.arg(inner.get_program()).args(inner.get_args());
    let ended = run(command.env("HOME", "/nonexistent"));
    assert_ne!(
        ended.code, 99,
        "{}\nhint: the test mounts a file system; run it as root or allow user namespaces",
        ended.stderr
    );
    let left = std::fs::read_to_string(left).unwrap();
    (ended, left.lines().map(str::to_owned).collect())
}

fn is_root() -> bool {
    let user = Command::new("id").arg("-u").output().unwrap();
    user.stdout == b"0\n"
}

#[test]
fn a_store_that_becomes_full_in_the_middle() {
    let (server, folder) = (Server::shared(newest()), folder());
    let source = server.create_db();
    server.sql(
        &source,
        "CREATE TABLE t AS SELECT i, md5(i::text) || md5((i * 7)::text) AS m FROM generate_series(1, 600000) i",
    );
    for size in ["size=16k", "size=1m", "size=8m", "size=18m"] {
        let (ended, left) = into_mount(folder.path(), &server.url(&source), size);
        let ended = ended.expect(8);
        assert!(ended.stderr.contains("no space is left") && ended.stderr.contains("hint: "), "{ended:?}");
        assert_eq!(left, Vec::<String>::new(), "{size}");
    }
    let sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pgcask' AND datname = ";
    assert_eq!(server.value("postgres", &format!("{sessions}'{source}'")), "0");
}

#[test]
fn a_store_with_room_for_the_archive_and_not_for_its_sidecars() {
    let (server, folder) = (Server::shared(newest()), folder());
    let source = server.create_db();
    server.sql(&source, "CREATE TABLE t AS SELECT i, md5(i::text) AS m FROM generate_series(1, 20000) i");
    let made = backup(folder.path(), &server.url(&source), &[]);
    let pages = made["bytes"].as_u64().unwrap().div_ceil(4096);
    let mut seen = Vec::new();
    for pages in pages - 1..=pages + 3 {
        let (ended, left) = into_mount(folder.path(), &server.url(&source), &format!("size={}k", pages * 4));
        let expected = if ended.code == 0 { 3 } else { 0 };
        assert_eq!(left.len(), expected, "{left:?}");
        assert!(matches!(ended.code, 0 | 8), "{ended:?}");
        seen.push(ended.code);
    }
    assert!(seen.starts_with(&[8]) && seen.ends_with(&[0]), "{seen:?}");
}

#[test]
fn a_store_that_cannot_be_written() {
    let (server, folder) = (Server::shared(newest()), folder());
    let source = server.create_db();
    let (ended, left) = into_mount(folder.path(), &server.url(&source), "ro");
    let ended = ended.expect(8);
    assert!(ended.stderr.contains("permission denied"), "{ended:?}");
    assert_eq!(left, Vec::<String>::new());

    let file = folder.path().join("pass").display().to_string();
    let url = server.url(&source);
    for to in [file.clone(), format!("{file}/below"), "/proc/nowhere".to_owned()] {
        let ended = run(&mut pgcask(["backup", &url, "--to", &to, &pass(folder.path())])).expect(8);
        assert!(ended.stderr.contains(&to), "{ended:?}");
    }
    assert_eq!(std::fs::read_to_string(file).unwrap(), "correct horse battery staple\n");
}

/// A bucket that is full from some request on, and lets us delete: whatever the store calls it, it is told at once, nothing
/// is listed, and no upload is left unfinished.
#[test]
fn a_bucket_without_room_is_told_at_once_and_nothing_stays_in_it() {
    let (server, s3, folder) = (Server::shared(newest()), S3Server::shared(), folder());
    let source = server.create_db();
    server.sql(&source, "CREATE TABLE t AS SELECT i, md5(i::text) AS m FROM generate_series(1, 5000) i");
    let place = Place::in_bucket(s3.fresh_bucket());
    for (class, status, code) in [
        ("POST uploads", 507, "XMinioStorageFull"),
        ("PUT part", 507, "InsufficientStorage"),
        ("PUT part", 403, "QuotaExceeded"),
        ("POST upload", 400, "XMinioAdminBucketQuotaExceeded"),
        ("PUT sha256", 507, "XMinioStorageFull"),
        ("PUT json", 403, "QuotaExceeded"),
    ] {
        let full = move |request: &Request, _| {
            if request.class() == class { Fault::Answer(status, code) } else { Fault::None }
        };
        let proxy = Proxy::start(&s3.endpoint(), full);
        let mut command =
            place.command(&["backup", &server.url(&source), "--to", &place.store, &pass(folder.path())]);
        let began = Instant::now();
        let ended = run(command.env("AWS_ENDPOINT_URL", proxy.endpoint())).expect(8);
        assert!(began.elapsed() < Duration::from_secs(20), "{class}: {:?}", began.elapsed());
        assert!(
            ended.stderr.contains("no space is left") && ended.stderr.contains("hint: "),
            "{class}: {ended:?}"
        );
        assert_eq!(place.keys(), Vec::<String>::new(), "{class}");
        assert_eq!(place.ids(), Vec::<String>::new());
        let left = place.run(&["list", "--orphans", "--json"]).expect(0).json();
        assert_eq!(left.as_array().map(Vec::len), Some(0), "{class}: {left}");
    }
}
