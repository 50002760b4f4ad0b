//! The packages that `tests/vectors/reader.py` needs, beside the servers: nothing is installed into the system's Python.

use std::path::PathBuf;
use std::process::Command;

use crate::{Context, Result, install};

/// Wheels are made per version of Python, so they are pinned by version and not by hash.
const PACKAGES: [&str; 3] = ["cryptography==50.0.2", "zstandard==0.25.0", "argon2-cffi==25.1.0"];

/// Installs them if need be, and returns the folder for `PYTHONPATH`.
pub fn packages() -> Result<PathBuf> {
    let asked =
        Command::new("python3").args(["-c", "import sys; print('%d.%d' % sys.version_info[:2])"]).output();
    let version = asked.context(|| "run python3".to_owned())?.stdout;
    let name = format!("python-{}", String::from_utf8_lossy(&version).trim());
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
        pip.args(["--only-binary", ":all:", "--target"]).arg(&target).args(PACKAGES);
        install::run(&mut pip)?;
        std::fs::rename(&target, &home).context(|| format!("rename to {}", home.display()))?;
    }
    lock.unlock()?;
    Ok(home)
}
