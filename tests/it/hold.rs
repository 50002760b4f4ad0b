//! Legal holds, here and in the store itself; and a host that can write backups and neither read nor destroy them.

use pgcask::store::naming::Kind;

use crate::harness::cli::{pgcask, run};
use crate::harness::place::Place;
use crate::harness::postgres::{Server, newest};
use crate::harness::s3::S3Server;

#[test]
fn a_held_backup_is_removed_by_no_prune_until_it_is_released() {
    Place::each(|place| {
        place.plant("000000000001", Kind::Daily, 0);
        let old = place.plant("000000000002", Kind::Daily, 200);
        let why = ["--reason", "litigation", "--case", "2026-117", "--person", "J. Doe"];
        let add = |more: &[&str]| place.run(&[&["hold", "add", "000000000002", "--json"], more].concat());
        assert_eq!(add(&why).expect(0).json()["hold"], 1);
        assert_eq!(add(&["--reason", "audit"]).expect(0).json()["hold"], 2);
        let listed = place.run(&["hold", "list", "--json"]).expect(0).json();
        let statement = &listed[0]["statement"];
        assert_eq!(
            (&statement["reason"], &statement["case"], &statement["person"]),
            (&"litigation".into(), &"2026-117".into(), &"J. Doe".into())
        );
        assert!(statement["by"]["host"].as_str().is_some_and(|host| !host.is_empty()));
        let rows = place.run(&["list", "--json"]).expect(0).json();
        assert_eq!(rows[1]["holds"], serde_json::json!([1, 2]));
        assert!(place.run(&["list"]).expect(0).stdout.contains("held"));

        let policy = ["prune", "--apply", "--grace", "0s", "--keep-last", "1", "--shorten"];
        assert!(place.run(&policy).expect(0).stdout.contains("held"));
        let named = ["prune", "--backup", "000000000002", "--apply", "--grace", "0s"];
        let refused = place.run(&named).expect(9);
        assert!(
            refused.stderr.contains("held") && refused.stderr.contains("hold release"),
            "{}",
            refused.stderr
        );
        let release = |more: &[&str]| {
            let args = ["hold", "release", "000000000002", "--reason", "case closed", "--json"];
            place.run(&[&args, more].concat())
        };
        assert_eq!(release(&["--hold", "1"]).expect(0).json().as_array().unwrap().len(), 1);
        release(&["--hold", "1"]).expect(1);
        place.run(&named).expect(9);
        release(&[]).expect(0);
        let over = place.run(&["hold", "list", "--released", "--json"]).expect(0).json();
        assert_eq!(over[0]["released"]["reason"], "case closed");
        assert_eq!(place.run(&["hold", "list", "--json"]).expect(0).json(), serde_json::json!([]));
        place.run(&policy).expect(0);
        assert!(!place.keys().iter().any(|key| key.starts_with(&old)), "{:?}", place.keys());
        assert!(add(&why).expect(1).stderr.contains("there is no backup"));
    });
}

#[test]
fn a_hold_that_cannot_be_read_holds_and_one_that_came_after_the_mark_too() {
    Place::each(|place| {
        place.plant("000000000001", Kind::Daily, 0);
        let old = place.plant("000000000002", Kind::Daily, 200);
        place.put(&format!("{old}.hold-7.json"), "no JSON");
        place.run(&["prune", "--apply", "--grace", "0s"]).expect(0);
        assert_eq!(place.ids().len(), 2);
        assert_eq!(
            place.run(&["hold", "list", "--json"]).expect(0).json()[0]["statement"],
            serde_json::Value::Null
        );
        let second = place.plant("000000000003", Kind::Daily, 201);
        place.run(&["prune", "--apply"]).expect(0);
        place.run(&["hold", "add", "000000000003", "--reason", "late"]).expect(0);
        let kept = place.run(&["prune", "--apply", "--grace", "0s"]).expect(0);
        assert!(kept.stdout.contains("kept, unmarked"), "{}", kept.stdout);
        assert!(place.keys().contains(&format!("{second}.json")));
    });
}

#[test]
fn a_bucket_with_object_lock_holds_every_object_itself() {
    let s3 = S3Server::shared();
    let place = Place::in_bucket(s3.fresh_locked_bucket());
    let bucket = place.bucket.clone().unwrap();
    let key = place.plant("000000000001", Kind::Daily, 0);
    let held = place.run(&["hold", "add", "000000000001", "--reason", "litigation", "--json"]).expect(0);
    assert_eq!(held.json()["store_hold"], true);
    let status = |suffix: &str| {
        s3.ask("GET", (&bucket, &format!("prod/{key}{suffix}")), &[("legal-hold", "")], &[], "").1
    };
    for suffix in ["", ".json", ".sha256", ".hold-1.json"] {
        assert!(status(suffix).contains("<Status>ON</Status>"), "{suffix}: {}", status(suffix));
    }
    // Not even who may do all can delete that version.
    let versions =
        s3.ask("GET", (&bucket, ""), &[("versions", ""), ("prefix", &format!("prod/{key}"))], &[], "").1;
    let version = versions.split("<VersionId>").nth(1).unwrap().split('<').next().unwrap().to_owned();
    let path = format!("prod/{key}");
    let denied = s3.ask("DELETE", (&bucket, &path), &[("versionId", &version)], &[], "");
    assert_eq!(denied.0, 403, "{denied:?}");
    let released = place.run(&["hold", "release", "000000000001", "--reason", "over", "--json"]).expect(0);
    assert_eq!(released.json()[0]["store_hold"], false);
    assert!(status("").contains("<Status>OFF</Status>"), "{}", status(""));
    assert_eq!(s3.ask("DELETE", (&bucket, &path), &[("versionId", &version)], &[], "").0, 204);
}

#[test]
fn a_backup_is_locked_in_the_store_until_it_expires() {
    let (server, s3) = (Server::shared(newest()), S3Server::shared());
    let source = server.create_db();
    server.sql(&source, "CREATE TABLE t AS SELECT 42 AS answer");
    let place = Place::in_bucket(s3.fresh_locked_bucket());
    let bucket = place.bucket.clone().unwrap();
    let pass = crate::harness::cli::pass(place.folder.path());
    let backup = |place: &Place, mode: &str| {
        let url = server.url(&source);
        run(&mut place.command(&[
            "backup",
            &url,
            "--to",
            &place.store,
            "--json",
            "--object-lock",
            mode,
            &pass,
        ]))
    };
    let made = backup(&place, "governance").expect(0).json();
    let path = made["archive"].as_str().unwrap().strip_prefix(&format!("s3://{bucket}/")).unwrap().to_owned();
    let expires = place.run(&["list", "--json"]).expect(0).json()[0]["metadata"]["expires_at"].clone();
    let until = |suffix: &str| {
        let answer = s3.ask("GET", (&bucket, &format!("{path}{suffix}")), &[("retention", "")], &[], "").1;
        assert!(answer.contains("<Mode>GOVERNANCE</Mode>"), "{answer}");
        answer.split("<RetainUntilDate>").nth(1).unwrap()[..20].to_owned()
    };
    for suffix in ["", ".sha256", ".json"] {
        assert!(until(suffix).as_str() >= expires.as_str().unwrap(), "{} {expires}", until(suffix));
    }
    // What is put beside it later is locked as it is.
    let public = pgcask::seal::recipient::generate_identity().1;
    place.run(&["key", "add", made["id"].as_str().unwrap(), "-r", &public, &pass]).expect(0);
    assert_eq!(until(".keys-1"), until(""));
    // So is the backup that takes its place.
    let database = &*source;
    place
        .run(&["erase", "record", database, "--table", "t", "--key", "answer=42", "--reason", "asked"])
        .expect(0);
    let rewritten = place.run(&["erase", "rewrite", "--all", "--yes", "--json", &pass]).expect(0).json();
    let new = rewritten[0]["made"]["archive"].as_str().unwrap().replace(&format!("s3://{bucket}/"), "");
    for suffix in ["", ".sha256", ".json"] {
        let answer = s3.ask("GET", (&bucket, &format!("{new}{suffix}")), &[("retention", "")], &[], "").1;
        assert!(answer.contains("<Mode>GOVERNANCE</Mode>"), "{suffix}: {answer}");
    }

    // A bucket without it: the backup is made, and that it is not locked is an error.
    let plain = Place::bucket();
    let failed = backup(&plain, "compliance").expect(1);
    assert!(
        failed.stderr.contains("has no Object Lock") && failed.stderr.contains("it is made"),
        "{}",
        failed.stderr
    );
    assert_eq!(plain.ids().len(), 1);
}

/// The backup host has credentials that allow to put, to list, and to get what it wrote as sidecars; and public keys alone.
#[test]
fn a_writer_can_neither_read_nor_destroy_what_it_wrote() {
    let (server, s3) = (Server::shared(newest()), S3Server::shared());
    let source = server.create_db();
    server.sql(&source, "CREATE TABLE t AS SELECT i, md5(i::text) AS m FROM generate_series(1, 20000) i");
    let place = Place::in_bucket(s3.fresh_locked_bucket());
    let bucket = place.bucket.clone().unwrap();
    let writer = xtask::seaweed::WRITER_ARN;
    s3.deny(
        &bucket,
        &[
            (
                writer,
                &["DeleteObject", "DeleteObjectVersion", "PutObjectRetention", "PutObjectLegalHold"],
                "*",
            ),
            (writer, &["GetObject", "GetObjectVersion"], "*.cask"),
        ],
    );
    let as_writer = |args: &[&str]| run(&mut place.command_of_writer(args));
    let identity = place.folder.path().join("key").display().to_string();
    let recipient = run(&mut pgcask(["keygen", "--output", &identity])).expect(0).stdout.trim().to_owned();
    let made = as_writer(&[
        "backup",
        &server.url(&source),
        "--to",
        &place.store,
        "--recipient",
        &recipient,
        "--json",
    ]);
    let made = made.expect(0).json();
    let (archive, id) = (made["archive"].as_str().unwrap(), made["id"].as_str().unwrap());
    let at = ["--store", &place.store];
    let listed = as_writer(&[&["list", "--json"], &at[..]].concat()).expect(0).json();
    assert_eq!((&listed[0]["id"], &listed[0]["metadata"]["rows"]), (&id.into(), &20000.into()));

    // It cannot read: the store does not let it, and its key is not there.
    let denied = as_writer(&["show", archive, "-i", &identity]).expect(8);
    assert!(denied.stderr.contains("permission denied"), "{}", denied.stderr);
    let local = place.folder.path().join("stolen.cask");
    let bytes = s3.client(&bucket);
    let path = object_store::path::Path::from(archive.strip_prefix(&format!("s3://{bucket}/")).unwrap());
    let whole = crate::harness::block_on(async {
        use object_store::ObjectStoreExt as _;
        bytes.get(&path).await.unwrap().bytes().await.unwrap()
    });
    std::fs::write(&local, whole).unwrap();
    run(&mut pgcask(["cat", local.to_str().unwrap(), "public.t", "-i", &recipient])).expect(4);
    // It cannot destroy: neither by a prune nor by a plain request.
    let pruned =
        as_writer(&[&["prune", "--apply", "--grace", "0s", "--leftover-age", "0s"], &at[..]].concat());
    assert_eq!(pruned.code, 0, "there is nothing to do: {}", pruned.stderr);
    place.plant("000000000001", Kind::Daily, 200);
    place.plant("000000000002", Kind::Daily, 1);
    let refused = as_writer(&[&["prune", "--apply", "--grace", "0s"], &at[..]].concat()).expect(8);
    assert!(refused.stderr.contains("nothing was marked or removed"), "{}", refused.stderr);
    // Who has the key and may read has all of it.
    place.run(&["verify", id, "-i", &identity]).expect(0);
}
