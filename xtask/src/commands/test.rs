//! `cargo xtask test`: everything that continuous integration tests, on the chosen versions.

use xtask::Result;
use xtask::postgres::Build;

use super::servers::versions;
use super::{run_with, unknown, value};

/// Runs the command.
pub(crate) fn run(args: &[String]) -> Result<()> {
    let mut list = std::env::var("PGCASK_TEST_PG").unwrap_or_else(|_| "13,14,15,16,17,18".to_owned());
    let (mut filter, mut accept, mut zoo) = (None, false, false);
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        match arg.as_str() {
            "--pg" => list = value(arg, &mut rest)?,
            "--filter" => filter = Some(value(arg, &mut rest)?),
            "--accept" => accept = true,
            "--zoo" => zoo = true,
            other => unknown(other)?,
        }
    }
    if zoo && filter.is_none() {
        return run_zoo();
    }
    let versions = versions(&list)?;
    for major in &versions {
        // Before the build, so that a machine without a way to the packages says so at once.
        Build::Major(*major).bin()?;
    }
    let list: Vec<_> = versions.iter().map(u32::to_string).collect();
    let mut cargo = vec!["test", "--workspace", "--no-fail-fast"];
    cargo.extend(filter.as_deref());
    let update = if accept { "always" } else { "no" };
    run_with("cargo", &cargo, &[("PGCASK_TEST_PG", &list.join(",")), ("INSTA_UPDATE", update)])
}

/// `cargo xtask crash`: kills restores over a live database, in place and of a table at many random moments, of which the
/// tests take a few.
pub(crate) fn run_crash(args: &[String]) -> Result<()> {
    let (mut rounds, mut list, mut seed) = ("200".to_owned(), "15,18".to_owned(), None);
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        match arg.as_str() {
            "--rounds" => rounds = value(arg, &mut rest)?,
            "--pg" => list = value(arg, &mut rest)?,
            "--seed" => seed = Some(value(arg, &mut rest)?),
            other => unknown(other)?,
        }
    }
    for major in versions(&list)? {
        Build::Major(major).bin()?;
    }
    let mut environment = vec![("PGCASK_TEST_PG", list.as_str()), ("PGCASK_CRASH_ROUNDS", rounds.as_str())];
    environment.extend(seed.as_deref().map(|seed| ("PGCASK_CRASH_SEED", seed)));
    let test = ["test", "--test", "it", "--", "killed_at_random_moments", "--nocapture"];
    run_with("cargo", &test, &environment)
}

/// `cargo xtask faults`: many random schedules of faults between the program and its store, of which the tests run a few.
pub(crate) fn run_faults(args: &[String]) -> Result<()> {
    let (mut schedules, mut seed) = ("500".to_owned(), "1".to_owned());
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        match arg.as_str() {
            "--schedules" => schedules = value(arg, &mut rest)?,
            "--seed" => seed = value(arg, &mut rest)?,
            other => unknown(other)?,
        }
    }
    let test = ["test", "--package", "pgcask", "--test", "it", "--", "random_faults_make", "--nocapture"];
    let environment = [("PGCASK_FAULT_SCHEDULES", schedules.as_str()), ("PGCASK_FAULT_SEED", seed.as_str())];
    run_with("cargo", &test, &environment)
}

/// `cargo xtask list`: how long it takes to list so many backups in a bucket.
pub(crate) fn run_list(args: &[String]) -> Result<()> {
    let mut count = "10000".to_owned();
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        match arg.as_str() {
            "--backups" => count = value(arg, &mut rest)?,
            other => unknown(other)?,
        }
    }
    let test =
        ["test", "--package", "pgcask", "--test", "it", "--", "many_backups_are_listed", "--nocapture"];
    run_with("cargo", &test, &[("PGCASK_LIST_BACKUPS", count.as_str())])
}

/// `cargo xtask test --zoo`: every kind of object on every version there is, and no other test.
fn run_zoo() -> Result<()> {
    let all = "13,14,15,16,17,18";
    for major in versions(all)? {
        Build::Major(major).bin()?;
    }
    let cargo =
        ["test", "--package", "pgcask", "--test", "it", "--", "roundtrip::", "catalog::", "random_schemas::"];
    run_with("cargo", &cargo, &[("PGCASK_TEST_PG", all)])
}

/// `cargo xtask docs`: writes what is generated of the documents. The test that compares them writes them, too.
pub(crate) fn write_docs() -> Result<()> {
    let test = [
        "test",
        "--test",
        "it",
        "--",
        "docs::the_command_reference",
        "docs::the_reference_of_the_configuration",
    ];
    run_with("cargo", &test, &[("PGCASK_WRITE_DOCS", "1")])
}
