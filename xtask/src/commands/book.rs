//! `cargo xtask book`: the documents as a book.

use xtask::package::MDBOOK;
use xtask::{Result, install};

use super::{print, run};

/// Runs the command.
pub(crate) fn run_book() -> Result<()> {
    let program = install::ensure(&MDBOOK)?.join("mdbook").display().to_string();
    let repository = install::repository().display().to_string();
    run(&program, &["build", &repository])?;
    print(&install::repository().join("target/book/index.html").display().to_string());
    Ok(())
}
