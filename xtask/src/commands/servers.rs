//! `cargo xtask servers`: installs what tests and demo need.

use std::io;

use super::say;

/// Runs the command.
pub(crate) fn run() -> io::Result<()> {
    for major in xtask::servers::majors() {
        say(&format!("PostgreSQL {major}: {}", xtask::servers::postgres(major)?.display()));
    }
    say(&format!("PostgreSQL 18 with clients: {}", xtask::servers::clients()?.display()));
    say(&format!("S3 server: {}", xtask::servers::weed()?.display()));
    Ok(())
}
