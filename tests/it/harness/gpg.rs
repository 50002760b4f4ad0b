//! `GnuPG` homes of tests' own.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::output;

/// A home of `gpg`, with its agent; both gone with the value.
#[derive(Debug)]
pub(crate) struct GpgHome {
    folder: tempfile::TempDir,
}

impl GpgHome {
    /// An empty one. Its path is short, since it holds sockets.
    pub(crate) fn new() -> Self {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::Builder::new().prefix("gpg").tempdir_in("/tmp").unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        std::fs::write(folder.path().join("gpg-agent.conf"), "allow-loopback-pinentry\n").unwrap();
        Self { folder }
    }

    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// What programs need to use it.
    pub(crate) fn variable(&self) -> (&'static str, String) {
        ("GNUPGHOME", self.folder.path().display().to_string())
    }

    /// `gpg`, as a script uses it.
    pub(crate) fn gpg(&self) -> Command {
        let mut gpg = Command::new("gpg");
        gpg.args(["--batch", "--quiet", "--yes", "--pinentry-mode", "loopback"]).envs([self.variable()]);
        gpg.stdin(Stdio::null());
        gpg
    }

    /// Makes a key whose fingerprint it gives. `algorithm`: `rsa2048`, or `future-default` for ed25519 and cv25519.
    pub(crate) fn key(
        &self,
        name: &str,
        algorithm: &str,
        passphrase: &str,
        expires: &str,
        at: &str,
    ) -> String {
        let id = format!("{name} <{name}@example.com>");
        let time = format!("--faked-system-time={at}");
        let time = (!at.is_empty()).then_some(time.as_str());
        let make = |gpg: &mut Command, args: &[&str]| {
            output(gpg.args(time).args(["--passphrase", passphrase]).args(args))
        };
        if algorithm == "future-default" {
            make(&mut self.gpg(), &["--quick-generate-key", &id, algorithm, "default", expires]);
        } else {
            make(&mut self.gpg(), &["--quick-generate-key", &id, algorithm, "default", expires]);
            let fingerprint = self.fingerprint(name);
            make(&mut self.gpg(), &["--quick-add-key", &fingerprint, algorithm, "encr", expires]);
        }
        self.fingerprint(name)
    }

    /// The fingerprint of a name's primary key.
    pub(crate) fn fingerprint(&self, name: &str) -> String {
        let listed =
            output(self.gpg().args(["--with-colons", "--list-keys", &format!("<{name}@example.com>")]));
        let line = listed.lines().find(|line| line.starts_with("fpr:")).unwrap();
        line.split(':').nth(9).unwrap().to_owned()
    }

    /// Writes a key to a file; with `--export`, `--export-secret-keys`, or others of that kind.
    pub(crate) fn export(&self, how: &[&str], name: &str, to: &Path) -> PathBuf {
        let mut gpg = self.gpg();
        gpg.args(["--output", &to.display().to_string()]).args(how).arg(format!("<{name}@example.com>"));
        output(&mut gpg);
        to.to_owned()
    }
}

impl Drop for GpgHome {
    fn drop(&mut self) {
        drop(Command::new("gpgconf").args(["--kill", "all"]).envs([self.variable()]).output());
    }
}
