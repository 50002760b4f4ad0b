//! A server ends with the process that started it, even when that one is killed and can do nothing about it.

use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

#[test]
fn a_killed_process_leaves_no_server() {
    let mut holder = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(["servers", "--pg", "18", "--start"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(holder.stdout.take().unwrap()).lines();
    let url = lines.map_while(Result::ok).find(|line| line.contains("postgres://")).unwrap();
    let address = url.split_once('@').unwrap().1.split_once('/').unwrap().0.to_owned();
    TcpStream::connect(&address).unwrap_or_else(|error| panic!("{url}: {error}"));
    holder.kill().unwrap();
    holder.wait().unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while TcpStream::connect(&address).is_ok() {
        assert!(Instant::now() < deadline, "{address} still answers");
        std::thread::sleep(Duration::from_millis(50));
    }
}
