//! Databases that nobody thought up: random schemas, brought back and judged as the fixtures are.
//!
//! A few cases run always, the same ones each time. `PGCASK_RANDOM_CASES=N` runs N others, new ones each time; the script
//! of a case that fails is kept, and its place is told. What they find becomes a line in a fixture.

mod generator;
mod words;

use generator::script;
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use words::{ROLES, quoted};

use crate::catalog::assert_nothing_forgotten;
use crate::harness::cli::{backup, folder, restore};
use crate::harness::oracle::assert_same;
use crate::harness::postgres::{Server, versions};

/// Cases that run always, on each version.
const CASES: u32 = 1;
/// Statements that the server may refuse, of a hundred: the generator does not know every rule, and need not.
const REFUSED: usize = 8;

/// Runs one case; a panic says what differs.
fn round(server: &Server, statements: &[String], file: &std::path::Path) {
    std::fs::write(file, statements.join(";\n") + ";\n").unwrap();
    let source = server.create_db();
    let made = server.client("psql", &source).args(["-Xq", "-f"]).arg(file).output().unwrap();
    let errors = String::from_utf8_lossy(&made.stderr).matches("ERROR:").count();
    assert!(
        errors * 100 <= statements.len() * REFUSED,
        "{errors} of {} statements were refused:\n{}",
        statements.len(),
        String::from_utf8_lossy(&made.stderr)
    );
    let (folder, target) = (folder(), server.adopt(server.fresh_name()));
    let made = backup(folder.path(), &server.url(&source), &[]);
    let archive = made["archive"].as_str().unwrap();
    let run = restore(folder.path(), archive, &server.url(&target), &["--create"]);
    assert_eq!(run.expect(0).json()["verified"], true);
    assert_same(server, &source, server, &target);
    assert_nothing_forgotten(server, &source);
}

#[test]
fn random_schemas_come_back_the_same() {
    let more = std::env::var("PGCASK_RANDOM_CASES").ok().map(|text| text.parse::<u32>().unwrap());
    let mut runner = match more {
        Some(_) => TestRunner::new(Config::default()),
        None => TestRunner::new_with_rng(Config::default(), TestRng::deterministic_rng(RngAlgorithm::ChaCha)),
    };
    let choices = proptest::collection::vec(proptest::num::u16::ANY, 3_000);
    for major in versions() {
        let server = Server::start(major);
        for role in ROLES {
            server.sql("postgres", &format!("CREATE ROLE {}", quoted(role)));
        }
        for _ in 0..more.unwrap_or(CASES) {
            let statements = script(choices.new_tree(&mut runner).unwrap().current(), major);
            let kept = tempfile::Builder::new().prefix("random-").suffix(".sql").tempfile().unwrap();
            let run = std::panic::AssertUnwindSafe(|| round(&server, &statements, kept.path()));
            if let Err(panic) = std::panic::catch_unwind(run) {
                eprintln!(
                    "PostgreSQL {major}: the script is kept in {}",
                    kept.into_temp_path().keep().unwrap().display()
                );
                std::panic::resume_unwind(panic);
            }
        }
    }
}
