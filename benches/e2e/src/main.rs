//! pgcask against `pg_dump` and `pg_restore`, end to end: `cargo xtask bench`.

mod apart;
mod contest;
mod data;
mod log;
mod measure;
mod peers;
mod recovery;
mod report;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use contest::Tools;
use data::Data;
use peers::Peers;
use report::Report;
use xtask::seaweed::S3;
use xtask::{Context, Result, install};

const USAGE: &str = "\
usage: cargo xtask bench [OPTIONS]

  --scale F        TPC-H scale factor [default: 1]; the big table has twice that, pgbench 50 times
  --jobs N         connections of every contender [default: 2]
  --runs N         rounds; the medians count [default: 3]
  --only A,B       of backup1, backup3, big, pgbench, gpg, gzip, schema, restore, load, table, rows,
                   priority, s3, memory
  --program FILE   a built pgcask; otherwise a release build is made
  --prepare        only build the data sets, for later
  --write          write docs/benchmarks.md and docs/benchmarks.json, not only stdout; what is not
                   measured in this run stays in them as it was";

/// What was asked for.
#[derive(Debug)]
struct Arguments {
    scale: f64,
    jobs: u32,
    runs: u32,
    only: Vec<String>,
    program: Option<PathBuf>,
    prepare: bool,
    write: bool,
}

fn main() -> ExitCode {
    let outcome = match parse(std::env::args().skip(1)) {
        Ok(Some(arguments)) => bench(&arguments),
        Ok(None) => print(USAGE),
        Err(error) => Err(error),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

fn parse(mut rest: impl Iterator<Item = String>) -> Result<Option<Arguments>> {
    let mut arguments = Arguments {
        scale: 1.0,
        jobs: 2,
        runs: 3,
        only: Vec::new(),
        program: None,
        prepare: false,
        write: false,
    };
    while let Some(option) = rest.next() {
        let mut value = || rest.next().ok_or_else(|| format!("{option} needs a value"));
        match option.as_str() {
            "--scale" => arguments.scale = value()?.parse().context(|| "read --scale".to_owned())?,
            "--jobs" => arguments.jobs = value()?.parse().context(|| "read --jobs".to_owned())?,
            "--runs" => arguments.runs = value()?.parse().context(|| "read --runs".to_owned())?,
            "--only" => arguments.only = value()?.split(',').map(str::to_owned).collect(),
            "--program" => arguments.program = Some(std::path::absolute(value()?)?),
            "--prepare" => arguments.prepare = true,
            "--write" => arguments.write = true,
            "--help" => return Ok(None),
            other => return Err(format!("unknown option {other}\n{USAGE}").into()),
        }
    }
    Ok(Some(arguments))
}

fn bench(arguments: &Arguments) -> Result<()> {
    // Before the data sets: a comparison that cannot be made is said at once.
    let peers = Peers::find()?;
    if arguments.prepare {
        return Data::prepare(arguments.scale, &["tpch", "big", "pgb", "many", "tpch5"]).map(drop);
    }
    let program = arguments.program.clone().map_or_else(built, Ok)?;
    let scratch = tempfile::Builder::new().prefix(".bench-").tempdir_in(install::root()?)?;
    let chosen = |name: &str| arguments.only.is_empty() || arguments.only.iter().any(|only| only == name);
    let s3 = chosen("s3").then(S3::start).transpose()?;
    if let Some(s3) = &s3 {
        s3.create_bucket("bench")?;
    }
    let tools = Tools {
        functions: peers.functions(),
        pgcask: &program,
        jobs: arguments.jobs,
        scratch: scratch.path(),
        s3: s3.as_ref(),
    };
    tools.make_keys()?;
    let data = Data::prepare(arguments.scale, &[])?;
    let contests: Vec<_> = tools.contests(&data).into_iter().filter(|contest| chosen(contest.name)).collect();
    if contests.is_empty() {
        return Err(format!("--only names no contest\n{USAGE}").into());
    }
    let databases: Vec<_> = contests.iter().map(|contest| contest.database).collect();
    data.complete(&databases, arguments.scale)?;
    let mut report = Report::new(header(arguments, &peers, &data, &program)?, today()?);
    let mut failed = Vec::new();
    for contest in &contests {
        // Half an hour of measuring is not lost with one that fails.
        match tools.hold(contest, &data, arguments.runs) {
            Ok(outcomes) => report.add(contest, &outcomes),
            Err(error) => failed.push(format!("{}: {error}", contest.name)),
        }
    }
    print(&report.markdown())?;
    if arguments.write {
        let order: Vec<_> = tools.contests(&data).iter().map(|contest| contest.title.clone()).collect();
        report.write(&install::repository().join("docs"), &order)?;
    }
    if failed.is_empty() { Ok(()) } else { Err(failed.join("\n").into()) }
}

fn today() -> Result<String> {
    let output = Command::new("date").arg("+%F").output().context(|| "run date".to_owned())?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn header(
    arguments: &Arguments,
    peers: &Peers,
    data: &Data,
    program: &std::path::Path,
) -> Result<Vec<(&'static str, String)>> {
    let processor = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = processor.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown");
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let memory = memory.lines().next().unwrap_or_default().replace("MemTotal:", "");
    let cores = std::thread::available_parallelism()?;
    Ok(vec![
        (
            "Machine",
            format!("{cores} cores of {}, {} of memory", model.trim_matches([' ', '\t', ':']), memory.trim()),
        ),
        ("pgcask", version(program)?),
        ("Peer", peers.version.clone()),
        ("Server", format!("PostgreSQL {}; {}", data.version()?, Data::settings())),
        (
            "Data",
            format!(
                "TPC-H SF {}, lineitem SF {}, {} jobs",
                arguments.scale,
                2.0 * arguments.scale,
                arguments.jobs
            ),
        ),
        ("Rounds", arguments.runs.to_string()),
    ])
}

fn version(program: &std::path::Path) -> Result<String> {
    let output = Command::new(program).arg("--version").output().context(|| "run pgcask".to_owned())?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The program as users get it, built now.
fn built() -> Result<PathBuf> {
    let mut cargo = Command::new("cargo");
    install::run(cargo.args(["build", "--release", "--bin", "pgcask"]).current_dir(install::repository()))?;
    Ok(install::target_directory().join("release/pgcask"))
}

/// Tells whoever waits what is done.
pub(crate) fn say(text: &str) {
    // With nobody listening there is nothing to do about it.
    drop(writeln!(std::io::stderr(), "{text}"));
}

fn print(text: &str) -> Result<()> {
    Ok(writeln!(std::io::stdout(), "{text}")?)
}
