//! One file per command.

pub(crate) mod check;
pub(crate) mod servers;
pub(crate) mod test;

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The workspace's folder.
pub(crate) fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(|| PathBuf::from("."), Path::to_owned)
}

/// Runs a program in the workspace; its failure is ours.
pub(crate) fn run(program: &str, args: &[&str]) -> io::Result<()> {
    run_with(program, args, &[])
}

/// As [`run`], with variables in the environment.
pub(crate) fn run_with(program: &str, args: &[&str], environment: &[(&str, &str)]) -> io::Result<()> {
    say(&format!("$ {program} {}", args.join(" ")));
    let status = Command::new(program)
        .args(args)
        .envs(environment.iter().copied())
        .current_dir(workspace())
        .status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("{program} failed: {status}"))) }
}

/// Says something to the person at the terminal.
pub(crate) fn say(text: &str) {
    // With nobody listening there is nothing to do about it.
    drop(writeln!(io::stderr(), "{text}"));
}
