//! Stores that do not answer, die in the middle, ask for patience, or live by another clock.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::harness::cli::{folder, pass, pgcask, run, spawn, wait};
use crate::harness::output;
use crate::harness::postgres::{Server, newest};
use crate::harness::s3::{S3Server, SECRET};
use crate::load::{COPYING, until};

#[test]
fn a_store_that_is_not_there_is_given_up_in_time() {
    let (server, folder) = (Server::shared(newest()), folder());
    let source = server.create_db();
    // A port that nobody listens on: the listener is gone at once.
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (url, pass) = (server.url(&source), pass(folder.path()));
    for args in
        [&["backup", &url, "--to", "s3://bucket/prod", &pass][..], &["show", "s3://bucket/x.cask", &pass][..]]
    {
        let mut command = pgcask(args);
        S3Server::shared().configure(&mut command);
        command.env("AWS_ENDPOINT_URL", format!("http://{closed}")).env("PGCASK_STORE_TIMEOUT", "2");
        let began = Instant::now();
        let ended = run(&mut command).expect(8);
        assert!((2..20).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
        assert!(ended.stderr.contains("s3://bucket/"), "{}", ended.stderr);
        assert!(!ended.stderr.contains(SECRET));
    }
}

#[test]
fn a_store_that_dies_in_the_middle_is_given_up_in_time() {
    let (server, mut s3, folder) = (Server::start(newest()), S3Server::start(), folder());
    let bucket = s3.fresh_bucket();
    let source = server.create_db();
    server.sql(
        &source,
        "CREATE TABLE t AS SELECT i, md5(i::text) || md5((i * 3)::text) AS m FROM generate_series(1, 900000) i",
    );
    let to = format!("s3://{bucket}/prod");
    let mut command =
        pgcask(["backup", &server.url(&source), "--to", &to, "--level", "9", &pass(folder.path())]);
    s3.configure(&mut command);
    let ours = spawn(command.env("PGCASK_STORE_TIMEOUT", "3"));
    until(&server, &source, COPYING, "t");
    s3.kill9();
    let began = Instant::now();
    let ended = wait(ours).expect(8);
    assert!(began.elapsed() < Duration::from_mins(1), "{:?}", began.elapsed());
    assert!(ended.stderr.contains(&to), "{}", ended.stderr);
}

/// Stands before an S3 server and answers the first requests with "slow down".
fn overloaded(endpoint: &str, refusals: u32) -> (String, Arc<AtomicU32>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let own = format!("http://{}", listener.local_addr().unwrap());
    let server = endpoint.trim_start_matches("http://").to_owned();
    let refused = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&refused);
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            if count.load(Ordering::Relaxed) < refusals {
                count.fetch_add(1, Ordering::Relaxed);
                let mut request = [0; 8192];
                drop(client.read(&mut request));
                let body = "<Error><Code>SlowDown</Code></Error>";
                let head = format!(
                    "HTTP/1.1 503 Slow Down\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                    body.len()
                );
                drop(client.write_all(format!("{head}{body}").as_bytes()));
                continue;
            }
            let mut server = TcpStream::connect(&server).unwrap();
            let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            std::thread::spawn(move || {
                drop(std::io::copy(&mut from, &mut to));
                drop(to.shutdown(std::net::Shutdown::Write));
            });
            std::thread::spawn(move || {
                drop(std::io::copy(&mut server, &mut client));
                drop(client.shutdown(std::net::Shutdown::Both));
            });
        }
    });
    (own, refused)
}

#[test]
fn a_store_that_asks_to_slow_down_gets_its_time() {
    let (server, s3, folder) = (Server::shared(newest()), S3Server::shared(), folder());
    let bucket = s3.fresh_bucket();
    let source = server.create_db();
    server.sql(&source, "CREATE TABLE t AS SELECT i FROM generate_series(1, 1000) i");
    let (endpoint, refused) = overloaded(&s3.endpoint(), 5);
    let to = format!("s3://{bucket}/prod");
    let mut command = pgcask(["backup", &server.url(&source), "--to", &to, "--json", &pass(folder.path())]);
    s3.configure(&mut command);
    command.env("AWS_ENDPOINT_URL", endpoint).env("PGCASK_STORE_TIMEOUT", "1");
    assert_eq!(run(&mut command).expect(0).json()["rows"], 1000);
    assert_eq!(refused.load(Ordering::Relaxed), 5);
}

/// A library that, loaded before all others, makes the wall clock two hours fast.
pub(crate) const FAST_CLOCK: &str = "
    #define _GNU_SOURCE
    #include <sys/syscall.h>
    #include <time.h>
    #include <unistd.h>
    int clock_gettime(clockid_t clock, struct timespec *now) {
        int result = syscall(SYS_clock_gettime, clock, now);
        if (result == 0 && clock == CLOCK_REALTIME) now->tv_sec += 7200;
        return result;
    }";

#[test]
fn a_clock_that_is_wrong_is_told() {
    let (s3, folder) = (S3Server::shared(), folder());
    let bucket = s3.fresh_bucket();
    let (source, library) = (folder.path().join("clock.c"), folder.path().join("clock.so"));
    std::fs::write(&source, FAST_CLOCK).unwrap();
    output(Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source));
    let archive = format!("s3://{bucket}/x.cask");
    let mut command = pgcask(["show", &archive, &pass(folder.path())]);
    s3.configure(&mut command);
    run(&mut command).expect(1);
    let ended = run(command.env("LD_PRELOAD", &library)).expect(8);
    for words in ["signed at another time", "RequestTimeTooSkewed", "clock right"] {
        assert!(ended.stderr.contains(words), "{words}: {}", ended.stderr);
    }
}
