//! `cargo xtask check`: what to run before each commit.

use std::io;
use std::process::{Command, Stdio};

use super::{run, run_with, say};

/// Runs the command.
pub(crate) fn run_check() -> io::Result<()> {
    run("cargo", &["fmt", "--all", "--check"])?;
    run("cargo", &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])?;
    run_with("cargo", &["doc", "--workspace", "--no-deps"], &[("RUSTDOCFLAGS", "-D warnings")])?;
    let has_deny = Command::new("cargo")
        .args(["deny", "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if has_deny.is_ok_and(|status| status.success()) {
        // The database of advisories is not part of the package registry: where it can be had, `cargo deny check` has all.
        run("cargo", &["deny", "check", "bans", "licenses", "sources"])
    } else {
        say(
            "cargo-deny is not installed: licences and bans are not checked (cargo install --locked cargo-deny)",
        );
        Ok(())
    }
}
