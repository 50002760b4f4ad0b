//! The roles of `docs/stores.md`: who restores and who prunes does it with the rights that the page gives, and can do no more.
//! (Who writes: `hold::a_writer_can_neither_read_nor_destroy_what_it_wrote`.)

use pgcask::store::naming::Kind;
use xtask::seaweed::WRITER_ARN;

use crate::harness::cli::{Run, pass, run};
use crate::harness::oracle::content;
use crate::harness::place::Place;
use crate::harness::postgres::{Db, Server, newest};
use crate::harness::s3::S3Server;

/// A bucket with a backup, and the database that it is of; the restricted account may not do these things.
fn bucket(denied: &[(&[&str], &str)]) -> (Place, Db<'static>, String) {
    let (server, s3) = (Server::shared(newest()), S3Server::shared());
    let place = Place::in_bucket(s3.fresh_bucket());
    let source = server.create_db();
    server.sql(&source, "CREATE TABLE t AS SELECT i, md5(i::text) AS m FROM generate_series(1, 500) i");
    let pass = pass(place.folder.path());
    let args = ["backup", &server.url(&source), "--to", &place.store, "--json", &pass];
    let made = run(&mut place.command(&args)).expect(0).json();
    let rules: Vec<_> = denied.iter().map(|(actions, keys)| (WRITER_ARN, *actions, *keys)).collect();
    s3.deny(place.bucket.as_deref().unwrap(), &rules);
    (place, source, made["archive"].as_str().unwrap().to_owned())
}

fn restricted(place: &Place, args: &[&str]) -> Run {
    run(&mut place.command_of_writer(args))
}

fn restore(place: &Place, archive: &str, target: &str) -> Run {
    let (into, pass) = (Server::shared(newest()).url(target), pass(place.folder.path()));
    restricted(place, &["restore", archive, "--into", &into, "--create", &pass])
}

#[test]
fn who_restores_can_neither_change_nor_remove_an_archive() {
    let denied: [(&[&str], &str); 3] =
        [(&["DeleteObject"], "*"), (&["PutObject"], "*.cask"), (&["PutObject"], "*.sha256")];
    let (place, source, archive) = bucket(&denied);
    let (server, pass) = (Server::shared(newest()), pass(place.folder.path()));
    let listed = restricted(&place, &["list", "--store", &place.store, "--json"]).expect(0).json();
    assert_eq!(listed[0]["archive"], archive.as_str());
    restricted(&place, &["verify", &archive, &pass]).expect(0);
    let target = server.fresh_name();
    restore(&place, &archive, &target).expect(0);
    assert_eq!(content(server, &source), content(server, &target));
    server.adopt(target);
    for (id, days) in [("000000000001", 400), ("000000000002", 300)] {
        place.plant(id, Kind::Daily, days);
    }
    let told =
        restricted(&place, &["prune", "--store", &place.store, "--apply", "--grace", "0s"]).expect(8).stderr;
    assert!(told.contains("permission denied"), "{told}");
    let url = server.url(&source);
    restricted(&place, &["backup", &url, "--to", &place.store, &pass]).expect(8);
    assert_eq!(place.ids().len(), 3);
}

#[test]
fn who_prunes_can_read_no_archive() {
    let denied: [(&[&str], &str); 2] = [(&["GetObject"], "*.cask"), (&["PutObject"], "*.cask")];
    let (place, _, archive) = bucket(&denied);
    let old = place.plant("000000000001", Kind::Daily, 400);
    place.plant("000000000002", Kind::Daily, 300);
    let store = ["--store", place.store.as_str()];
    let held = [&["hold", "add", &archive, "--reason", "case"], &store[..]].concat();
    restricted(&place, &held).expect(0);
    let prune = [&["prune", "--apply", "--grace", "0s"], &store[..]].concat();
    restricted(&place, &prune).expect(0);
    assert!(!place.keys().iter().any(|key| key.starts_with(&old)), "{:?}", place.keys());
    assert_eq!(place.ids().len(), 2);
    let told = restore(&place, &archive, &Server::shared(newest()).fresh_name()).expect(8).stderr;
    assert!(told.contains("permission denied"), "{told}");
}
