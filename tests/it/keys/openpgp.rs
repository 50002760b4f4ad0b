//! OpenPGP recipients, with keys that `gpg` made, and archives that `gpg` opens.

use std::process::Stdio;

use super::{cat, opens, opens_by_specification, sealed, shop, tampered};
use crate::harness::cli::{folder, pgcask, run};
use crate::harness::gpg::GpgHome;
use crate::harness::oracle::content;
use crate::harness::output;

#[test]
fn a_team_backs_up_to_its_keys_and_any_one_of_it_restores() {
    let ((server, database), folder, team) = (shop(), folder(), GpgHome::new());
    let folder = folder.path();
    team.key("alice", "rsa2048", "", "never", "");
    let bob = team.key("bob", "future-default", "bob's passphrase", "never", "");
    let file = |name: &str| folder.join(name).display().to_string();
    team.export(&["--armor", "--export"], "alice", &folder.join("alice.asc"));
    // A file, armored, and the keyring, by fingerprint and by address.
    let url = server.url(&database);
    let archive = sealed(folder, &url, &["-r", &file("alice.asc"), "-r", &bob], &[team.variable()]);
    let by_address = sealed(folder, &url, &["-r", "bob@example.com"], &[team.variable()]);

    // The agent: nothing is given. Then a whole restore through it.
    let alice = GpgHome::new();
    team.export(&["--export-secret-keys"], "alice", &folder.join("alice.secret"));
    output(alice.gpg().arg("--import").arg(folder.join("alice.secret")));
    opens(&archive, &[], &[alice.variable()]);
    opens_by_specification(&archive, &["--gpg"], &[alice.variable()]);
    let target = server.fresh_name();
    let mut restore =
        pgcask(["restore", &archive, "--into", &server.url(&target), "--create", "--jobs", "1"]);
    run(restore.envs([alice.variable()])).expect(0);
    assert_eq!(content(server, &database), content(server, &target));
    server.adopt(target);
    let verified = run(pgcask(["verify", &archive, "--gpg", "--json"]).envs([alice.variable()])).expect(0);
    assert_eq!(verified.json()["rows"], 20);

    // A secret key file: binary, and armored with a passphrase.
    opens(&archive, &["-i", &file("alice.secret")], &[]);
    let mut export = team.gpg();
    export.args(["--passphrase", "bob's passphrase", "--armor", "--output", &file("bob.secret")]);
    output(export.args(["--export-secret-keys", &bob]));
    std::fs::write(folder.join("bob.pass"), "bob's passphrase\n").unwrap();
    std::fs::write(folder.join("wrong.pass"), "rob's passphrase\n").unwrap();
    for archive in [&archive, &by_address] {
        opens(archive, &["-i", &file("bob.secret"), "--identity-passphrase-file", &file("bob.pass")], &[]);
        let by_variable = [("PGCASK_IDENTITY_PASSPHRASE", "bob's passphrase".to_owned())];
        opens(archive, &["-i", &file("bob.secret")], &by_variable);
    }
    let wrong = ["-i", &file("bob.secret"), "--identity-passphrase-file", &file("wrong.pass")];
    let refused = cat(&archive, &wrong, &[]).expect(4).stderr;
    assert!(refused.contains("the passphrase of the OpenPGP key") && !refused.contains("rob"), "{refused}");
    let nobody = cat(&archive, &["-i", &file("bob.secret")], &[]).expect(4).stderr;
    assert!(nobody.contains("protected by a passphrase") && nobody.contains("--identity-passphrase-file"));

    // Somebody else's keys: by the agent, and by file.
    assert!(cat(&by_address, &[], &[alice.variable()]).expect(4).stderr.contains("sealed for"));
    assert!(cat(&by_address, &["-i", &file("alice.secret")], &[]).expect(4).stderr.contains("sealed for"));
    // The agent has the key and nobody gives its passphrase.
    let shut = cat(&by_address, &[], &[team.variable()]).expect(4).stderr;
    assert!(shut.contains("gpg: "), "{shut}");
}

/// The key can be had without pgcask: the body of the stanza is a message that `gpg --decrypt` takes.
#[test]
fn the_wrapped_key_is_a_message_to_gpg_and_names_the_key() {
    let ((server, database), folder, home) = (shop(), folder(), GpgHome::new());
    let fingerprint = home.key("alice", "future-default", "", "never", "");
    let archive = sealed(folder.path(), &server.url(&database), &["-r", &fingerprint], &[home.variable()]);
    let bytes = std::fs::read(&archive).unwrap();
    let stanza = &bytes[44..];
    assert_eq!(stanza[..2], [3, 0], "the kind of the first stanza");
    let id: String = stanza[8..16].iter().map(|byte| format!("{byte:02X}")).collect();
    assert!(fingerprint.ends_with(&id), "{fingerprint} {id}");
    let length = u32::from_le_bytes(stanza[4..8].try_into().unwrap()) as usize;
    std::fs::write(folder.path().join("key.gpg"), &stanza[16..16 + length]).unwrap();
    let mut gpg = home.gpg();
    gpg.arg("--decrypt").arg(folder.path().join("key.gpg")).stderr(Stdio::null());
    assert_eq!(gpg.output().unwrap().stdout.len(), 32);
}

#[test]
fn a_changed_wrapped_key_is_told_from_a_wrong_one() {
    let ((server, database), folder, home) = (shop(), folder(), GpgHome::new());
    home.key("alice", "rsa2048", "", "never", "");
    home.key("bob", "future-default", "", "never", "");
    for name in ["alice", "bob"] {
        let secret = folder.path().join(name);
        home.export(&["--export-secret-keys"], name, &secret);
        let (secret, to) = (secret.display().to_string(), format!("{name}@example.com"));
        let archive = sealed(folder.path(), &server.url(&database), &["-r", &to], &[home.variable()]);
        // In the encrypted data, and in the encrypted session key before it.
        for from_end in [3, 100] {
            let changed = tampered(&archive, 0, from_end);
            for (flags, env) in [(&["-i", &secret][..], vec![]), (&[], vec![home.variable()])] {
                let said = cat(&changed, flags, &env).expect(3).stderr;
                assert!(said.contains("a wrapped key in it was changed"), "{name} {from_end} {said}");
            }
            let key: &[&str] = &["verify", &changed, "-i", &secret];
            assert!(run(&mut pgcask(key)).expect(3).stderr.contains("was changed"));
        }
        opens(&archive, &["-i", &secret], &[]);
    }
}

#[test]
fn keys_that_are_no_longer_good_are_refused_by_name() {
    let ((server, database), folder, home) = (shop(), folder(), GpgHome::new());
    let folder = folder.path();
    let (url, store) = (server.url(&database), folder.join("store").display().to_string());
    let refused = |recipient: &str| {
        let mut command = pgcask(["backup", &url, "--to", &store, "-r", recipient]);
        run(command.envs([home.variable()])).expect(4).stderr
    };
    let old = home.key("old", "future-default", "", "1y", "20200102T030405");
    let then = "--faked-system-time=20200102T030405";
    output(home.gpg().args([then, "--quick-set-expire", &old, "1y", "*"]));
    let said = refused(&old);
    assert!(said.contains(&old) && said.contains("old@example.com"), "{said}");
    assert!(said.contains("it expired on 2021-01-01"), "{said}");
    // Prolonged, it is good again, but for its subkey.
    output(home.gpg().args(["--quick-set-expire", &old, "0"]));
    let said = refused(&old);
    assert!(said.contains("no valid key for encryption") && said.contains("expired on 2021-01-01"), "{said}");
    // A new subkey beside the expired one; what is sealed opens with it.
    output(home.gpg().args(["--passphrase", "", "--quick-add-key", &old, "cv25519", "encr", "never"]));
    let archive = sealed(folder, &url, &["-r", &old], &[home.variable()]);
    opens(&archive, &[], &[home.variable()]);

    let gone = home.key("gone", "future-default", "", "never", "");
    let certificate = home.path().join("openpgp-revocs.d").join(format!("{gone}.rev"));
    // A colon keeps it from being imported by accident.
    let revocation = std::fs::read_to_string(certificate).unwrap().replace(":-----BEGIN", "-----BEGIN");
    std::fs::write(folder.join("revocation"), revocation).unwrap();
    output(home.gpg().arg("--import").arg(folder.join("revocation")));
    let said = refused(&gone);
    assert!(said.contains(&gone) && said.contains("it was revoked on 20"), "{said}");

    let signer = {
        output(home.gpg().args([
            "--passphrase",
            "",
            "--quick-generate-key",
            "signer <signer@example.com>",
            "ed25519",
            "sign",
            "never",
        ]));
        home.fingerprint("signer")
    };
    assert!(refused(&signer).contains("it has no valid key for encryption"));
    // What is no key, a secret key, and one that is not there.
    assert!(refused("nobody@example.com").contains("nobody@example.com"));
    assert!(refused(&"0".repeat(40)).contains("in the keyring of gpg"));
    assert!(refused("89ABCDEF").contains("is no recipient"));
    home.export(&["--export-secret-keys"], "signer", &folder.join("secret"));
    assert!(refused(&folder.join("secret").display().to_string()).contains("secret OpenPGP key"));
    // Two good keys of one name: which is meant, is not guessed.
    home.key("twin", "future-default", "", "never", "");
    output(home.gpg().args([
        "--passphrase",
        "",
        "--quick-generate-key",
        "twin <twin@example.com>",
        "future-default",
        "default",
        "never",
    ]));
    assert!(refused("twin@example.com").contains("several keys have that name"));
    assert!(!folder.join("store").join(&*database).join("daily").exists() || archive.contains(&*database));
}

/// The primary key is kept offline, as careful people do: only the subkeys' secrets are in the file.
#[test]
fn subkeys_alone_open_an_archive() {
    let ((server, database), folder, home) = (shop(), folder(), GpgHome::new());
    let fingerprint = home.key("alice", "future-default", "pw", "never", "");
    let archive = sealed(folder.path(), &server.url(&database), &["-r", &fingerprint], &[home.variable()]);
    let secret = folder.path().join("subkeys");
    let mut export = home.gpg();
    export.args(["--passphrase", "pw", "--output", &secret.display().to_string()]);
    output(export.args(["--export-secret-subkeys", &fingerprint]));
    let given = [("PGCASK_IDENTITY_PASSPHRASE", "pw".to_owned())];
    opens(&archive, &["-i", &secret.display().to_string()], &given);
}

/// `gpg` is not there: who needs it is told.
#[test]
fn without_gpg_the_error_says_what_to_do() {
    let ((server, database), folder, home) = (shop(), folder(), GpgHome::new());
    let fingerprint = home.key("alice", "future-default", "", "never", "");
    let archive = sealed(folder.path(), &server.url(&database), &["-r", &fingerprint], &[home.variable()]);
    let empty = folder.path().join("bin");
    std::fs::create_dir(&empty).unwrap();
    let path = [("PATH", empty.display().to_string())];
    let said = cat(&archive, &[], &path).expect(4).stderr;
    assert!(said.contains("sealed for: openpgp"), "{said}");
    assert!(cat(&archive, &["--gpg"], &path).expect(4).stderr.contains("gpg is not installed"));
    let store = folder.path().join("store").display().to_string();
    let mut backup = pgcask(["backup", &server.url(&database), "--to", &store, "-r", &fingerprint]);
    assert!(run(backup.envs(path)).expect(4).stderr.contains("install GnuPG"));
}
