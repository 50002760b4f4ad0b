//! The packages that `tests/vectors/reader.py` needs, beside the servers: nothing is installed into the system's Python.

use std::path::PathBuf;
use std::process::Command;

use crate::{Context, Result, install};

/// Wheels are made per version of Python, so they are pinned by version and not by hash.
const PACKAGES: [&str; 3] = ["cryptography==50.0.2", "zstandard==0.25.0", "argon2-cffi==25.1.0"];

/// The definitions of OTLP, by which its own makers read it.
const OTLP: [&str; 2] = ["opentelemetry-proto==1.45.2", "protobuf==7.36.2"];

/// Installs them if need be, and returns the folder for `PYTHONPATH`.
pub fn packages() -> Result<PathBuf> {
    install_all("python", &PACKAGES)
}

/// What reads OTLP, likewise.
pub fn otlp() -> Result<PathBuf> {
    install_all("python-otlp", &OTLP)
}

fn install_all(kind: &str, packages: &[&str]) -> Result<PathBuf> {
    let asked =
        Command::new("python3").args(["-c", "import sys; print('%d.%d' % sys.version_info[:2])"]).output();
    let version = asked.context(|| "run python3".to_owned())?.stdout;
    let name = format!("{kind}-{}", String::from_utf8_lossy(&version).trim());
    let root = install::root()?;
    let home = root.join(&name);
    if home.is_dir() {
        return Ok(home);
    }
    install::create_shared(&root)?;
    let lock = install::lock(&root, &name)?;
    if !home.is_dir() {
        let fresh = tempfile::Builder::new().prefix(".python-").tempdir_in(&root)?;
        let target = fresh.path().join("packages");
        let mut pip = Command::new("python3");
        pip.args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--root-user-action=ignore",
        ]);
        pip.args(["--only-binary", ":all:", "--target"]).arg(&target).args(packages);
        install::run(&mut pip)?;
        std::fs::rename(&target, &home).context(|| format!("rename to {}", home.display()))?;
    }
    lock.unlock()?;
    Ok(home)
}
