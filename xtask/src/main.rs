//! The project's own commands: `cargo xtask COMMAND`.

mod commands;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  servers                       install the servers that tests and demo need, into .servers/
  test [--pg 15,18] [--filter TEXT]   run all tests, on these versions of PostgreSQL
  check                         formatting, lints, licences: what to run before each commit
  ci                            exactly what continuous integration runs";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (command, rest) = args.split_first().map_or(("", &[][..]), |(first, rest)| (first.as_str(), rest));
    let result = match command {
        "servers" => commands::servers::run(),
        "test" => commands::test::run(rest),
        "check" => commands::check::run_check(),
        "ci" => commands::run("bash", &[".ci/run"]),
        _ => Err(std::io::Error::other(USAGE)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            commands::say(&error.to_string());
            ExitCode::FAILURE
        }
    }
}
