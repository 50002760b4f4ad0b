//! One file per command.

pub(crate) mod book;
pub(crate) mod check;
pub(crate) mod demo;
pub(crate) mod fuzz;
pub(crate) mod servers;
pub(crate) mod test;

use std::io::Write as _;
use std::process::Command;

use xtask::{Context, Result};

/// The value that follows an option.
pub(crate) fn value(option: &str, rest: &mut std::slice::Iter<'_, String>) -> Result<String> {
    rest.next().cloned().ok_or_else(|| format!("{option} needs a value").into())
}

/// Refuses an option that a command does not have.
pub(crate) fn unknown(option: &str) -> Result<()> {
    Err(format!("unknown option {option}").into())
}

/// Runs a program in the workspace; its failure is ours.
pub(crate) fn run(program: &str, args: &[&str]) -> Result<()> {
    run_with(program, args, &[])
}

/// As [`run`], with variables in the environment.
pub(crate) fn run_with(program: &str, args: &[&str], environment: &[(&str, &str)]) -> Result<()> {
    say(&format!("$ {program} {}", args.join(" ")));
    let mut command = Command::new(program);
    command.args(args).envs(environment.iter().copied()).current_dir(xtask::install::repository());
    let status = command.status().context(|| format!("run {program}"))?;
    if status.success() { Ok(()) } else { Err(format!("{program} failed: {status}").into()) }
}

/// Whether a subcommand of cargo is installed.
pub(crate) fn has_cargo(subcommand: &str) -> bool {
    let asked = Command::new("cargo").args([subcommand, "--version"]).output();
    asked.is_ok_and(|output| output.status.success())
}

/// Says something to the person at the terminal.
pub(crate) fn say(text: &str) {
    // With nobody listening there is nothing to do about it.
    drop(writeln!(std::io::stderr(), "{text}"));
}

/// Prints a result.
pub(crate) fn print(text: &str) {
    // As above.
    drop(writeln!(std::io::stdout(), "{text}"));
}
