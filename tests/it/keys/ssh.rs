//! SSH keys, made by `ssh-keygen`, as recipients and identities.

use std::process::Command;

use super::{cat, opens, sealed, shop, tampered};
use crate::harness::cli::folder;
use crate::harness::output;

#[test]
fn ssh_keys_seal_and_open() {
    let ((server, database), folder) = (shop(), folder());
    let path = |name: &str| folder.path().join(name).display().to_string();
    let make = |name: &str, kind: &[&str], passphrase: &str| {
        output(
            Command::new("ssh-keygen")
                .args(["-q", "-N", passphrase, "-C", name, "-f", &path(name)])
                .args(kind),
        );
    };
    make("ed", &["-t", "ed25519"], "");
    make("locked", &["-t", "ed25519"], "open sesame");
    make("rsa", &["-t", "rsa", "-b", "2048"], "");
    make("ec", &["-t", "ecdsa"], "");
    let url = server.url(&database);
    let text = std::fs::read_to_string(path("ed.pub")).unwrap();
    let archive = sealed(
        folder.path(),
        &url,
        &["-r", text.trim(), "-r", &path("locked.pub"), "-r", &path("rsa.pub")],
        &[],
    );
    opens(&archive, &["-i", &path("ed")], &[]);
    opens(&archive, &["-i", &path("rsa")], &[]);
    let passphrase = |text: &str| [("PGCASK_IDENTITY_PASSPHRASE", text.to_owned())];
    opens(&archive, &["-i", &path("locked")], &passphrase("open sesame"));
    let said = cat(&archive, &["-i", &path("locked")], &passphrase("closed")).expect(4).stderr;
    assert!(said.contains("passphrase of the SSH key is wrong"), "{said}");
    let other = sealed(folder.path(), &url, &["-r", &path("rsa.pub")], &[]);
    cat(&other, &["-i", &path("ed")], &[]).expect(4);
    let changed = tampered(&archive, 0, 40);
    assert!(cat(&changed, &["-i", &path("ed")], &[]).expect(3).stderr.contains("was changed"));
    let store = path("store");
    let mut backup = crate::harness::cli::pgcask(["backup", &url, "--to", &store, "-r", &path("ec.pub")]);
    let refused = crate::harness::cli::run(&mut backup).expect(4).stderr;
    assert!(refused.contains("ec.pub"), "{refused}");
}
