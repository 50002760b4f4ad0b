//! `cargo xtask servers`: installs what tests and demo need; with `--start`, runs it until it is told to stop.

use xtask::package::{MDBOOK, PROMETHEUS, PUSHGATEWAY, SEAWEEDFS, SERVERS, SHELLCHECK, TOOLS};
use xtask::postgres::{Build, Options, Postgres};
use xtask::seaweed::S3;
use xtask::{Context, Result, install};

use super::{print, say, unknown, value};

/// Runs the command.
pub(crate) fn run(args: &[String]) -> Result<()> {
    let mut majors: Vec<u32> = SERVERS.iter().filter_map(|package| package.label.parse().ok()).collect();
    let (mut s3, mut start, mut chosen) = (true, false, false);
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        match arg.as_str() {
            "--pg" => {
                majors = versions(&value(arg, &mut rest)?)?;
                (s3, chosen) = (chosen && s3, true);
            }
            "--s3" => {
                if !chosen {
                    majors.clear();
                }
                (s3, chosen) = (true, true);
            }
            "--start" => start = true,
            other => unknown(other)?,
        }
    }
    for major in &majors {
        print(&format!("PostgreSQL {major}: {}", Build::Major(*major).bin()?.display()));
    }
    for major in majors.iter().filter(|major| Build::System(**major).bin().is_ok()) {
        print(&format!("PostgreSQL {major} of the system: {}", Build::System(*major).bin()?.display()));
    }
    print(&format!("client tools 18.6: {}", install::ensure(&TOOLS)?.display()));
    if s3 {
        print(&format!("S3 server: {}", install::ensure(&SEAWEEDFS)?.display()));
    }
    if !chosen {
        for (what, package) in [
            ("Prometheus", PROMETHEUS),
            ("Pushgateway", PUSHGATEWAY),
            ("mdBook", MDBOOK),
            ("ShellCheck", SHELLCHECK),
        ] {
            print(&format!("{what}: {}", install::ensure(&package)?.display()));
        }
    }
    if start { serve(&majors, s3) } else { Ok(()) }
}

/// `13..18` or `13,15,18`.
pub(crate) fn versions(list: &str) -> Result<Vec<u32>> {
    let parse = |word: &str| word.trim().parse::<u32>().context(|| format!("read the version {word:?}"));
    if let Some((first, last)) = list.split_once("..") {
        return Ok((parse(first)?..=parse(last.trim_start_matches('='))?).collect());
    }
    list.split(',').map(parse).collect()
}

/// Starts servers, prints how to reach them, and stops them when stdin ends.
fn serve(majors: &[u32], s3: bool) -> Result<()> {
    let mut servers = Vec::new();
    for major in majors {
        let server = Postgres::start(Build::Major(*major), Options { tcp: true, ..Options::default() })?;
        print(&format!("PostgreSQL {major}: {}", server.tcp_url("postgres")));
        servers.push(server);
    }
    let s3 = s3.then(S3::start).transpose()?;
    for (name, value) in s3.iter().flat_map(S3::environment) {
        print(&format!("export {name}={value}"));
    }
    if let Some(s3) = &s3 {
        s3.create_bucket("pgcask")?;
        print("bucket: s3://pgcask");
    }
    say("servers run until stdin ends (Ctrl-D) or Ctrl-C");
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    Ok(())
}
