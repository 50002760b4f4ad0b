//! The project's own commands: `cargo xtask COMMAND`.

mod commands;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  servers [--pg 13..18] [--s3] [--start]   install servers into .servers/; --start runs them until stdin ends
  test [--pg 15,18] [--filter TEXT] [--accept]   run all tests, on these versions of PostgreSQL
  test --zoo                    every kind of object and random schemas, brought back on PostgreSQL 13 to 18
  check                         formatting, lints, docs, licences: what to run before each commit
  ci                            exactly what continuous integration runs
  book                          make a book of docs/, in target/book
  docs                          write docs/reference/cli.md from the program's help
  demo [--orders N] [--program FILE]   a guided tour on a throw-away server: backup, disaster, recovery, proof
  bench [--prepare] [--help]    against pg_dump and pg_restore, interleaved in one run
  crash [--rounds N] [--pg 15,18] [--seed N]   kill restores at N random moments each, and recover
  faults [--schedules N] [--seed N]   backups and restores through N random schedules of faults of the store [500]
  list [--backups N]            how long it takes to list N backups in a bucket [10000]
  fuzz [TARGET]... [--seconds N]   look for inputs that break the parsers";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (command, rest) = args.split_first().map_or(("", &[][..]), |(first, rest)| (first.as_str(), rest));
    let result = match command {
        "servers" => commands::servers::run(rest),
        "test" => commands::test::run(rest),
        "check" => commands::check::run_check(),
        "ci" => commands::run("bash", &[".ci/run"]),
        "book" => commands::book::run_book(),
        "docs" => commands::test::write_docs(),
        "demo" => commands::demo::run_demo(rest),
        "bench" => bench(rest),
        "crash" => commands::test::run_crash(rest),
        "faults" => commands::test::run_faults(rest),
        "list" => commands::test::run_list(rest),
        "fuzz" => commands::fuzz::run_fuzz(rest),
        "help" | "--help" | "-h" => {
            commands::print(USAGE);
            Ok(())
        }
        _ => Err(USAGE.into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            commands::say(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

/// The benchmark is a package of its own, so that its generators don't weigh on every other command.
fn bench(args: &[String]) -> xtask::Result<()> {
    let mut cargo = vec!["run", "--quiet", "--release", "--package", "pgcask-bench", "--"];
    cargo.extend(args.iter().map(String::as_str));
    commands::run("cargo", &cargo)
}
