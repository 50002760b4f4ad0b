//! `pgcask key`: more recipients for an archive that exists, and what others make of it.

use pgcask::seal::recipient::generate_identity;

use super::{cat, opens, sealed, shop};
use crate::harness::cli::{folder, pgcask, run};
use crate::harness::gpg::GpgHome;
use crate::harness::oracle::content;
use crate::harness::s3::S3Server;

#[test]
fn more_keys_open_an_archive_whose_bytes_stay_the_same() {
    let ((server, database), folder, home) = (shop(), folder(), GpgHome::new());
    let path = |name: &str| folder.path().join(name).display().to_string();
    let pair = |name: &str| {
        let (secret, public) = generate_identity();
        std::fs::write(path(name), secret.as_bytes()).unwrap();
        public
    };
    let (first, second) = (pair("first"), pair("second"));
    let alice = home.key("alice", "future-default", "", "never", "");
    std::fs::write(path("new.pass"), "another passphrase\n").unwrap();
    let url = server.url(&database);
    let archive = sealed(folder.path(), &url, &["-r", &first], &[]);
    let before = std::fs::read(&archive).unwrap();
    assert!(cat(&archive, &["-i", &path("second")], &[]).expect(4).stderr.contains("sealed for"));

    let add = |more: &[&str], code: i32| {
        let mut add = pgcask(["key", "add", &archive, "--json", "-i", &path("first")]);
        run(add.args(more).envs([home.variable()])).expect(code)
    };
    let made = add(&["-r", &second, "-r", &alice], 0).json();
    assert_eq!(made["object"], format!("{archive}.keys-1"));
    assert_eq!(made["added"].as_array().unwrap().len(), 2);
    assert_eq!(
        add(&["--new-passphrase-file", &path("new.pass")], 0).json()["object"],
        format!("{archive}.keys-2")
    );
    let again = add(&["-r", &second], 0).json();
    assert_eq!((&again["object"], &again["already"][0]), (&serde_json::Value::Null, &second.into()));
    assert_eq!(std::fs::read(&archive).unwrap(), before, "the archive is not touched");
    add(&[], 2);

    // Every kind opens it: by file, by agent, by passphrase; a whole restore, and a check of every byte.
    opens(&archive, &["-i", &path("second")], &[]);
    opens(&archive, &[], &[home.variable()]);
    opens(&archive, &["--passphrase-file", &path("new.pass")], &[]);
    let target = server.fresh_name();
    let mut restore =
        pgcask(["restore", &archive, "--into", &server.url(&target), "--create", "-i", &path("second")]);
    run(&mut restore).expect(0);
    assert_eq!(content(server, &database), content(server, &target));
    server.adopt(target);
    run(&mut pgcask(["verify", &archive, "-i", &path("second")])).expect(0);

    let list =
        |more: &[&str], code| run(pgcask(["key", "list", &archive, "--json"]).args(more)).expect(code).json();
    let rows = list(&["-i", &path("second")], 0);
    let column = |name: &str| -> Vec<String> {
        let rows = rows["recipients"].as_array().unwrap();
        rows.iter().map(|row| row[name].as_str().unwrap_or("-").to_owned()).collect()
    };
    assert_eq!(column("kind"), ["age", "age", "openpgp", "passphrase"]);
    assert_eq!(column("place"), ["archive", ".keys-1", ".keys-1", ".keys-2"]);
    assert_eq!(column("recipient")[0], first);
    assert!(alice.to_lowercase().ends_with(&column("fingerprint")[2]));
    assert_eq!(list(&[], 0)["recipients"][1]["authentic"], serde_json::Value::Null, "no key, no proof");

    // Removing is sealing anew.
    let said = run(&mut pgcask(["key", "remove", &archive, &column("fingerprint")[1]])).expect(9).stderr;
    assert!(said.contains("copy") && said.contains("--rekey"), "{said}");
}

#[test]
fn added_keys_that_were_changed_or_moved_are_told() {
    let ((server, database), folder) = (shop(), folder());
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (secret, public) = generate_identity();
    std::fs::write(path("key"), secret.as_bytes()).unwrap();
    let (other_secret, other) = generate_identity();
    std::fs::write(path("other"), other_secret.as_bytes()).unwrap();
    let url = server.url(&database);
    let archives = [(); 2].map(|()| sealed(folder.path(), &url, &["-r", &public], &[]));
    for archive in &archives {
        run(&mut pgcask(["key", "add", archive, "-i", &path("key"), "-r", &other])).expect(0);
    }
    // One archive's keys beside the other: they do not open it, and are named.
    let moved = format!("{}.keys-2", archives[0]);
    std::fs::copy(format!("{}.keys-1", archives[1]), &moved).unwrap();
    opens(&archives[0], &["-i", &path("other")], &[]);
    let list =
        |more: &[&str], code| run(pgcask(["key", "list", &archives[0], "--json"]).args(more)).expect(code);
    let damaged = list(&["-i", &path("key")], 3).json()["damaged"].to_string();
    assert!(damaged.contains(".keys-2 is not authentic"), "{damaged}");
    std::fs::remove_file(&moved).unwrap();

    let object = format!("{}.keys-1", archives[0]);
    let mut bad = std::fs::read(&object).unwrap();
    bad[60] ^= 1;
    std::fs::write(&object, &bad).unwrap();
    let said = cat(&archives[0], &["-i", &path("other")], &[]).expect(3).stderr;
    assert!(said.contains("the added keys (.keys-1)"), "{said}");
    assert!(list(&[], 3).json()["damaged"].to_string().contains("checksum"));
    opens(&archives[0], &["-i", &path("key")], &[]);
}

#[test]
fn keys_are_added_in_a_bucket_as_in_a_directory() {
    let ((server, database), folder, s3) = (shop(), folder(), S3Server::shared());
    let path = |name: &str| folder.path().join(name).display().to_string();
    let store = format!("s3://{}/prod", s3.fresh_bucket());
    let (secret, public) = generate_identity();
    std::fs::write(path("key"), secret.as_bytes()).unwrap();
    let (other_secret, other) = generate_identity();
    std::fs::write(path("other"), other_secret.as_bytes()).unwrap();
    let go = |args: &[&str], code| {
        let mut command = pgcask(args);
        s3.configure(&mut command);
        run(&mut command).expect(code)
    };
    let made = go(&["backup", &server.url(&database), "--to", &store, "--json", "-r", &public], 0).json();
    let archive = made["archive"].as_str().unwrap();
    go(&["cat", archive, "public.t", "-i", &path("other")], 4);
    go(&["key", "add", "latest", "--store", &store, "-i", &path("key"), "-r", &other], 0);
    assert!(go(&["cat", archive, "public.t", "-i", &path("other")], 0).stdout.contains("7,kept 7"));
    let rows = go(&["key", "list", archive, "--json"], 0).json();
    assert_eq!(rows["recipients"].as_array().unwrap().len(), 2);
    // The listing of backups does not mind what lies beside them.
    let listed = go(&["list", "--store", &store, "--json"], 0).json();
    assert_eq!(listed.as_array().unwrap().len(), 1);
}
