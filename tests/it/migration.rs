//! The scripts for those who come from scripts: they take the old arguments, and do what these say.

use std::path::{Path, PathBuf};
use std::process::Command;

use xtask::install;
use xtask::package::SHELLCHECK;

use crate::harness::cli::{Run, folder, run};
use crate::harness::oracle::content;
use crate::harness::output;
use crate::harness::postgres::{Server, newest};
use crate::harness::s3::S3Server;

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/migration")
}

#[test]
fn a_checker_of_shell_scripts_finds_nothing() {
    let checker = install::ensure(&SHELLCHECK).unwrap().join("shellcheck");
    let names =
        ["backup-database.sh", "restore-database.sh", "test-backup.sh"].map(|name| scripts().join(name));
    output(Command::new(checker).args(["--severity=style", "--shell=bash"]).args(names));
}

/// A host with the variables of the old scripts.
struct Host {
    folder: tempfile::TempDir,
    variables: Vec<(&'static str, String)>,
}

impl Host {
    fn run(&self, script: &str, args: &[&str]) -> Run {
        let bin = Path::new(env!("CARGO_BIN_EXE_pgcask")).parent().unwrap();
        let mut command = Command::new(scripts().join(script));
        command.args(args).env_clear().current_dir(self.folder.path());
        command.env("PATH", format!("{}:/usr/bin:/bin", bin.display()));
        command.env("HOME", self.folder.path()).env("XDG_STATE_HOME", self.folder.path().join("state"));
        run(command.envs(self.variables.iter().map(|(name, value)| (*name, value))))
    }

    /// The archives in the folder of backups, the oldest first.
    fn archives(&self) -> Vec<PathBuf> {
        let mut found = crate::architecture::files_below(&self.folder.path().join("backups"), "cask");
        found.sort_by_key(|path| path.file_name().unwrap().to_owned());
        found
    }
}

#[test]
fn the_scripts_take_the_old_arguments() {
    let (server, s3, folder) = (Server::start(newest()), S3Server::shared(), folder());
    server.sql("postgres", "CREATE DATABASE shop TEMPLATE template0");
    server.sql("shop", crate::swap::SHOP);
    let bucket = s3.fresh_bucket();
    let mut variables = vec![
        ("DATABASE_URL", server.url("shop")),
        ("BACKUP_S3_BUCKET", bucket),
        ("PGCASK_PASSPHRASE_FILE", folder.path().join("pass").display().to_string()),
        ("DRILL_SERVER", server.url("postgres")),
    ];
    variables.extend(s3.environment());
    let mut host = Host { folder, variables };
    // Sealed, and a copy in the bucket.
    host.run("backup-database.sh", &[]).expect(0);
    let first = host.archives()[0].clone();
    assert!(first.to_str().unwrap().contains("/shop/daily/"), "{first:?}");
    let good = content(&server, "shop");
    host.run("test-backup.sh", &[]).expect(0);
    let drilled = host.run("test-backup.sh", &[first.to_str().unwrap(), "--full-test"]).expect(0);
    assert!(drilled.stdout.contains("content hashes"), "{}", drilled.stdout);
    // By file: nothing happens without a word for it, and all of it comes back with one.
    server.sql("shop", crate::swap::ACCIDENT);
    let file = first.to_str().unwrap();
    host.run("restore-database.sh", &["local", file, "--dry-run"]).expect(0);
    host.run("restore-database.sh", &["local", file]).expect(9);
    assert_ne!(content(&server, "shop"), good);
    host.run("restore-database.sh", &["local", file, "--yes"]).expect(0);
    assert_eq!(content(&server, "shop"), good);
    // From the bucket: the newest, and by key.
    server.sql("shop", crate::swap::ACCIDENT);
    host.run("restore-database.sh", &["s3", "--yes"]).expect(0);
    assert_eq!(content(&server, "shop"), good);
    let key = first.strip_prefix(host.folder.path().join("backups")).unwrap().to_str().unwrap().to_owned();
    host.run("restore-database.sh", &["s3", &key, "--dry-run"]).expect(0);
    // By time: the newest before it, which is told to lack what came after.
    server.sql("shop", crate::swap::ACCIDENT);
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let between = server.value("shop", "SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')");
    std::thread::sleep(std::time::Duration::from_millis(1100));
    // Not sealed, and nowhere else.
    let plain = host.run("backup-database.sh", &["manual", "false", "false"]).expect(0);
    assert!(plain.stderr.contains("not encrypted"), "{}", plain.stderr);
    let restored = host.run("restore-database.sh", &["pitr", &between, "--yes"]).expect(0);
    assert!(restored.stderr.contains("is not in it"), "{}", restored.stderr);
    assert_eq!(content(&server, "shop"), good);
    // What cannot be meant.
    for (script, args) in [
        ("backup-database.sh", &["daily", "yes"][..]),
        ("backup-database.sh", &["hourly"]),
        ("restore-database.sh", &["tape"]),
        ("restore-database.sh", &["local", "no-such-file"]),
        ("test-backup.sh", &["a", "b"]),
    ] {
        host.run(script, args).expect(2);
    }
    host.variables.retain(|(name, _)| *name != "BACKUP_S3_BUCKET");
    host.run("backup-database.sh", &[]).expect(2);
}
