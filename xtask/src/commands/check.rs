//! `cargo xtask check`: what to run before each commit.

use xtask::Result;

use super::{has_cargo, run, run_with, say};

/// Runs the command.
pub(crate) fn run_check() -> Result<()> {
    run("cargo", &["fmt", "--all", "--check"])?;
    run("cargo", &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])?;
    // As users build it: without the tests, whose dependencies switch features of the product's on.
    run("cargo", &["check", "--package", "pgcask", "--bins"])?;
    run_with("cargo", &["doc", "--workspace", "--no-deps"], &[("RUSTDOCFLAGS", "-D warnings")])?;
    run("cargo", &["test", "--quiet", "--test", "it", "--", "architecture::", "tidy::"])?;
    if has_cargo("deny") {
        // The database of advisories is not part of the package registry: where it can be had, `cargo deny check`
        // has all.
        return run("cargo", &["deny", "check", "bans", "licenses", "sources"]);
    }
    say("cargo-deny is not installed: licences and bans are not checked (cargo install --locked cargo-deny)");
    Ok(())
}
