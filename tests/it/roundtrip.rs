//! Backup, restore, and the judgement: the restored database cannot be told from the original.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::harness::cli::{backup, folder, restore};
use crate::harness::oracle::assert_same;
use crate::harness::postgres::{Server, newest, versions};

/// The fixtures for a version: `name.sql` and what `name.NN.sql` adds to it from version NN on, loaded together.
fn fixtures(major: u32) -> BTreeMap<String, Vec<PathBuf>> {
    let only = std::env::var("PGCASK_TEST_KIND").ok();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/kinds");
    let mut all: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let file = entry.unwrap().path();
        let stem = file.file_stem().unwrap().to_str().unwrap();
        let numbered =
            stem.rsplit_once('.').and_then(|(name, least)| Some((name, least.parse::<u32>().ok()?)));
        let (name, least) = numbered.unwrap_or((stem, 0));
        if major >= least && only.as_ref().is_none_or(|only| only == name) {
            all.entry(name.to_owned()).or_default().push(file.clone());
        }
    }
    for files in all.values_mut() {
        files.sort_by_key(|file| file.as_os_str().len());
    }
    all
}

/// Round trip of each fixture on a server of its own: roles are the cluster's.
fn every_fixture(major: u32) {
    let server = Server::start(major);
    let mut failures = Vec::new();
    for (name, files) in fixtures(major) {
        let round = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let (source, target) = (server.create_db(), server.fresh_name());
            for file in &files {
                server.script(&source, file);
            }
            let folder = folder();
            let made = backup(folder.path(), &server.url(&source), &[]);
            let run = restore(
                folder.path(),
                made["archive"].as_str().unwrap(),
                &server.url(&target),
                &["--create"],
            );
            assert_eq!(run.expect(0).json()["verified"], true);
            assert_same(&server, &source, &server, &target);
        }));
        if let Err(panic) = round {
            let text = panic.downcast_ref::<String>().cloned().unwrap_or_default();
            failures.push(format!("{name}: {text}"));
        }
    }
    assert!(failures.is_empty(), "PostgreSQL {major}:\n{}", failures.join("\n"));
}

#[test]
fn every_kind_comes_back_the_same() {
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            versions().into_iter().map(|major| scope.spawn(move || every_fixture(major))).collect();
        for thread in threads {
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
        }
    });
}

#[test]
fn from_the_oldest_to_the_newest_server() {
    let (old, new) = (Server::start(*versions().iter().min().unwrap()), Server::start(newest()));
    let folder = folder();
    let source = old.create_db();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/kinds/table.sql");
    old.script(&source, &file);
    new.sql("postgres", "CREATE ROLE fx_owner; CREATE ROLE fx_reader; CREATE ROLE \"Fx \"\"odd\"\" role\"");
    let made = backup(folder.path(), &old.url(&source), &[]);
    let target = new.fresh_name();
    let run = restore(folder.path(), made["archive"].as_str().unwrap(), &new.url(&target), &["--create"]);
    assert_eq!(run.expect(0).json()["verified"], true);
    let (a, b) =
        (crate::harness::oracle::content(&old, &source), crate::harness::oracle::content(&new, &target));
    assert_eq!(a, b);
}
