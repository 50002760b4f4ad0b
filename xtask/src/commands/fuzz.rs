//! `cargo xtask fuzz`: new inputs where there is a nightly compiler and cargo-fuzz, else the known ones once more.

use std::process::Command;

use xtask::{Result, install};

use super::{has_cargo, run, say, value};

/// Runs the command.
pub(crate) fn run_fuzz(args: &[String]) -> Result<()> {
    let (mut targets, mut seconds) = (Vec::new(), "60".to_owned());
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        match arg.as_str() {
            "--seconds" => seconds = value(arg, &mut rest)?,
            target => targets.push(target.to_owned()),
        }
    }
    if !can_fuzz() {
        say("no nightly compiler with cargo-fuzz: the known inputs are replayed instead");
        return run("cargo", &["test", "--workspace", "corpus"]);
    }
    if targets.is_empty() {
        targets = all_targets()?;
    }
    let limit = format!("-max_total_time={seconds}");
    targets.iter().try_for_each(|target| run("cargo", &["+nightly", "fuzz", "run", target, "--", &limit]))
}

fn can_fuzz() -> bool {
    let nightly = Command::new("cargo").args(["+nightly", "--version"]).output();
    nightly.is_ok_and(|output| output.status.success()) && has_cargo("fuzz")
}

fn all_targets() -> Result<Vec<String>> {
    let mut targets = Vec::new();
    for entry in std::fs::read_dir(install::repository().join("fuzz/fuzz_targets"))? {
        let path = entry?.path();
        targets.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
    }
    targets.sort();
    Ok(targets)
}
