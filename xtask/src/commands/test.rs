//! `cargo xtask test`: everything that continuous integration tests, on the chosen versions.

use std::io;

use super::run_with;

/// Runs the command.
pub(crate) fn run(args: &[String]) -> io::Result<()> {
    let mut versions = String::from("15,16,17,18");
    let mut filter = None;
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let mut value =
            || args.next().cloned().ok_or_else(|| io::Error::other(format!("{arg} needs a value")));
        match arg.as_str() {
            "--pg" => versions = value()?,
            "--filter" => filter = Some(value()?),
            other => return Err(io::Error::other(format!("unknown option {other}"))),
        }
    }
    super::servers::run()?;
    let mut cargo = vec!["test", "--workspace", "--no-fail-fast"];
    cargo.extend(filter.as_deref());
    run_with("cargo", &cargo, &[("PGCASK_TEST_PG", &versions)])
}
