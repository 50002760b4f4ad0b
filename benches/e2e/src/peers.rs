//! `pg_dump` and `pg_restore` built with zstd.
//!
//! The client tools that tests use were built without it, and Debian's stable ones are too old to have it. So the
//! packages of the development suite are unpacked into a folder, with all libraries they need, and run by their own
//! loader. Nothing is installed into the system.

use std::path::{Path, PathBuf};
use std::process::Command;

use xtask::{Context, Result, install, package};

use crate::say;

const PACKAGE: &str = "postgresql-client-18";
/// Where the system says which mirror it uses.
const SOURCES: &str = "/etc/apt/sources.list.d";
const LOADER: &str = "ld-linux-x86-64.so.2";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// PostgreSQL's client programs, with zstd.
#[derive(Debug)]
pub(crate) struct Peers {
    root: PathBuf,
    /// Where `age` and `age-keygen` are.
    age: PathBuf,
    /// Version, as `pg_dump` says it.
    pub(crate) version: String,
}

impl Peers {
    /// Installs them if need be; refuses what would compare with something else than zstd.
    pub(crate) fn find() -> Result<Self> {
        let root = install::root()?.join("debian-clients");
        if !root.is_dir() {
            fetch(&root)
                .context(|| "pg_dump with zstd is needed, and could not be had from apt".to_owned())?;
        }
        let age = install::ensure(&package::AGE)?;
        let unnamed = Self { root, age, version: String::new() };
        let version = unnamed.ask("pg_dump --version")?.trim().to_owned();
        let peers = Self { version, ..unnamed };
        let refused = peers.ask("pg_dump -Z zstd:1 -h /nonexistent -d x 2>&1 || true")?;
        if refused.contains("not supported") || refused.contains("unrecognized compression") {
            return Err(format!("{} has no zstd: comparing with it would flatter us", peers.version).into());
        }
        Ok(peers)
    }

    /// Defines the programs as functions of a shell script.
    pub(crate) fn functions(&self) -> String {
        let root = self.root.display();
        // Where the C library keeps it depends on how far `/usr` was merged.
        let places =
            ["usr/lib64", "lib64", "usr/lib/x86_64-linux-gnu"].map(|dir| self.root.join(dir).join(LOADER));
        let loader = places.iter().find(|path| path.exists()).unwrap_or(&places[0]).display();
        let programs = ["pg_dump", "pg_restore", "vacuumdb"];
        let functions = programs.map(|program| {
            format!(
                "{program}() {{ {loader} --library-path \
                 {root}/usr/lib/x86_64-linux-gnu:{root}/lib/x86_64-linux-gnu \
                 {root}/usr/lib/postgresql/18/bin/{program} \"$@\"; }}\n"
            )
        });
        let age = ["age", "age-keygen"]
            .map(|program| format!("{program}() {{ {} \"$@\"; }}\n", self.age.join(program).display()));
        functions.concat() + &age.concat()
    }

    fn ask(&self, script: &str) -> Result<String> {
        let mut bash = Command::new("bash");
        let output = bash.args(["-c", &format!("{}{script}", self.functions())]).output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() {
            return Ok(text);
        }
        Err(format!("{script}: {}", String::from_utf8_lossy(&output.stderr)).into())
    }
}

/// Resolves the package against an empty system, so that every library comes along, down to the C library.
fn fetch(root: &Path) -> Result<()> {
    say("fetching pg_dump with zstd");
    let parent = root.parent().ok_or("no folder for servers")?;
    install::create_shared(parent)?;
    let work = tempfile::Builder::new().prefix(".apt-").tempdir_in(parent)?;
    let apt = work.path();
    for folder in ["lists/partial", "cache/archives/partial", "etc", "unpacked"] {
        std::fs::create_dir_all(apt.join(folder))?;
    }
    std::fs::write(apt.join("status"), "")?;
    let source =
        format!("Types: deb\nURIs: {}\nSuites: sid\nComponents: main\nSigned-By: {KEYRING}\n", mirror()?);
    std::fs::write(apt.join("etc/sid.sources"), source)?;
    let options = [
        ("Dir::Etc::sourcelist", PathBuf::from("/dev/null")),
        ("Dir::Etc::sourceparts", apt.join("etc")),
        ("Dir::State", apt.to_path_buf()),
        ("Dir::State::lists", apt.join("lists")),
        ("Dir::State::status", apt.join("status")),
        ("Dir::Cache", apt.join("cache")),
    ];
    let get = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command.args(options.iter().map(|(name, path)| format!("-o{name}={}", path.display())));
        // The user that apt downloads as cannot write into our folder.
        install::run(command.args(["-oDebug::NoLocking=1", "-oAPT::Sandbox::User=root"]).args(arguments))
    };
    get(&["update"])?;
    get(&["install", "--yes", "--no-install-recommends", "--download-only", PACKAGE])?;
    let unpacked = apt.join("unpacked");
    for entry in std::fs::read_dir(apt.join("cache/archives"))? {
        let file = entry?.path();
        if file.extension().is_some_and(|extension| extension == "deb") {
            install::run(Command::new("dpkg-deb").arg("-x").arg(&file).arg(&unpacked))?;
        }
    }
    install::run(Command::new("chmod").args(["-R", "a+rX"]).arg(&unpacked))?;
    std::fs::rename(&unpacked, root).context(|| format!("rename to {}", root.display()))
}

/// The mirror this system takes its own packages from.
fn mirror() -> Result<String> {
    let listed = std::fs::read_dir(SOURCES).into_iter().flatten().flatten().map(|entry| entry.path());
    let files = listed.chain([PathBuf::from("/etc/apt/sources.list")]);
    let text: Vec<_> = files.filter_map(|file| std::fs::read_to_string(file).ok()).collect();
    let words = text.iter().flat_map(|text| text.split_whitespace());
    let found =
        words.filter(|word| word.contains("://")).find(|url| url.trim_end_matches('/').ends_with("/debian"));
    found.map(str::to_owned).ok_or_else(|| "apt on this system names no mirror of Debian".into())
}
