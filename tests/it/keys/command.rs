//! `--key-command`, with a script that does what one in front of a key management service does.

use std::path::Path;
use std::time::{Duration, Instant};

use super::{cat, opens, opens_by_specification, sealed, shop};
use crate::harness::cli::{Run, folder, pgcask, run};
use crate::harness::gpg::GpgHome;

/// Encrypts under a master key of its own; the archive's id is bound to what it makes.
const KMS: &str = r#"#!/bin/sh
set -eu
key() { gpg --batch --quiet --pinentry-mode loopback --passphrase "$(cat "$KMS_MASTER")-$PGCASK_ARCHIVE_ID" "$@"; }
case "$PGCASK_KEY_OPERATION" in
wrap) key --armor --symmetric ;;
unwrap) key --decrypt ;;
esac
"#;

fn script(folder: &Path, name: &str, text: &str) -> String {
    use std::os::unix::fs::PermissionsExt as _;
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path.display().to_string()
}

#[test]
fn a_command_wraps_and_unwraps() {
    let ((server, database), folder, home) = (shop(), folder(), GpgHome::new());
    let kms = script(folder.path(), "kms", KMS);
    let master = |name: &str, text: &str| {
        std::fs::write(folder.path().join(name), text).unwrap();
        vec![home.variable(), ("KMS_MASTER", folder.path().join(name).display().to_string())]
    };
    let (right, wrong) = (master("master", "one"), master("other", "two"));
    let url = server.url(&database);
    let archive = sealed(folder.path(), &url, &["--key-command", &kms], &right);
    opens(&archive, &["--key-command", &kms], &right);
    opens_by_specification(&archive, &["--key-command", &kms], &right);
    let by_variable = [right.clone(), vec![("PGCASK_KEY_COMMAND", kms.clone())]].concat();
    opens(&archive, &[], &by_variable);
    let refused = cat(&archive, &["--key-command", &kms], &wrong).expect(4).stderr;
    assert!(refused.contains("the key command (unwrap): it failed (exit status: 2)"), "{refused}");
    let nothing = cat(&archive, &[], &right).expect(4).stderr;
    assert!(nothing.contains("sealed for: command") && nothing.contains("--key-command"), "{nothing}");
    // "Not mine" is no failure of the command: other keys may fit.
    cat(&archive, &["--key-command", "exit 10"], &right).expect(4);
    let another = sealed(
        folder.path(),
        &url,
        &["--key-command", &kms, "--passphrase-file", &master("pass", "p")[1].1],
        &right,
    );
    opens(&another, &["--key-command", "exit 10", "--passphrase-file", &master("pass", "p")[1].1], &right);
}

#[test]
fn what_a_command_does_wrong_is_told_without_the_key() {
    let ((server, database), folder) = (shop(), folder());
    let (url, store) = (server.url(&database), folder.path().join("store").display().to_string());
    let backup = |command: &str, more: &[&str]| -> Run {
        let mut backup = pgcask(["backup", &url, "--to", &store, "--key-command", command]);
        run(backup.args(more)).expect(4)
    };
    // It shows all it is given.
    let told = folder.path().join("told").display().to_string();
    let leak = format!("k=$(cat); echo \"$k\" > {told}; echo \"vault says: $k is sealed\" >&2; exit 3");
    let said = backup(&leak, &[]).stderr;
    let key = std::fs::read_to_string(&told).unwrap();
    assert_eq!(key.trim().len(), 44, "32 bytes in base64");
    assert!(said.contains("vault says: (secret) is sealed") && !said.contains(key.trim()), "{said}");
    assert!(backup("cat", &[]).stderr.contains("its answer holds the key itself"));
    assert!(backup("true", &[]).stderr.contains("it gave no answer"));
    assert!(backup("head -c 7000 /dev/zero | tr '\\0' x", &[]).stderr.contains("longer than 6,000 bytes"));
    let began = Instant::now();
    let late = backup("sleep 100 | sleep 100", &["--key-command-timeout", "1"]).stderr;
    assert!(late.contains("did not answer within 1 s"), "{late}");
    assert!(began.elapsed() < Duration::from_mins(1));
    let listed = run(&mut pgcask(["list", "--store", &store, "--json"])).expect(0).json();
    assert_eq!(listed, serde_json::json!([]), "nothing that looks like a backup");

    let archive = sealed(folder.path(), &url, &["--key-command", "echo any"], &[]);
    let short = cat(&archive, &["--key-command", "echo c2hvcnQ="], &[]).expect(4).stderr;
    assert!(short.contains("is not 32 bytes in base64") && !short.contains("c2hvcnQ"), "{short}");
    // A key, but not the one.
    let other = format!("echo {}=", "A".repeat(43));
    assert!(cat(&archive, &["--key-command", &other], &[]).expect(4).stderr.contains("key"));
}
