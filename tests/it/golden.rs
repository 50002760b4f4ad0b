//! Archives that released versions made: they verify, and restore to the same database.

use std::path::{Path, PathBuf};

use crate::harness::cli::{pgcask, run};
use crate::harness::oracle::assert_same;
use crate::harness::postgres::{Server, newest};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// Every kept archive.
fn archives() -> Vec<PathBuf> {
    let versions = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let archives: Vec<_> =
        versions.map(|version| version.join("shop.cask")).filter(|path| path.exists()).collect();
    assert!(!archives.is_empty(), "no archive is kept");
    archives
}

fn passphrase() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pass");
    std::fs::write(&file, "golden\n").unwrap();
    (folder, format!("--passphrase-file={}", file.display()))
}

#[test]
fn every_released_archive_restores_to_the_same_database() {
    let (server, (_kept, pass)) = (Server::shared(newest()), passphrase());
    let source = server.create_db();
    server.script(&source, &folder().join("shop.sql"));
    for archive in archives() {
        let archive = archive.to_str().unwrap();
        let verified = run(&mut pgcask(["verify", archive, "--json", &pass])).expect(0).json();
        assert_eq!(verified["sound"], true, "{archive}");
        let target = server.fresh_name();
        let args = ["restore", archive, "--into", &server.url(&target), "--create", "--json", &pass];
        assert_eq!(run(&mut pgcask(args)).expect(0).json()["verified"], true, "{archive}");
        let target = server.adopt(target);
        assert_same(server, &source, server, &target);
    }
}

/// Adds the archive of the present version, unless it is there.
#[test]
#[ignore = "writes into the source tree"]
fn write_golden() {
    let place = folder().join(env!("CARGO_PKG_VERSION")).join("shop.cask");
    if place.exists() {
        return;
    }
    let (server, (store, pass)) = (Server::start(18), passphrase());
    let source = server.create_db();
    server.script(&source, &folder().join("shop.sql"));
    let to = store.path().join("store").display().to_string();
    let made =
        run(&mut pgcask(["backup", &server.url(&source), "--to", &to, "--json", &pass])).expect(0).json();
    std::fs::create_dir_all(place.parent().unwrap()).unwrap();
    std::fs::copy(made["archive"].as_str().unwrap(), place).unwrap();
}
