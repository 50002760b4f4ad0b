//! Which installed PostgreSQL a private server is made of.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{Error, ErrorKind, Result};

/// The programs of one installed server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Programs {
    /// The folder with `postgres` and `initdb`.
    pub bin: PathBuf,
    /// The major version.
    pub major: u32,
}

/// Folders of which each subfolder may be a version's: Debian's, Red Hat's, Homebrew's.
const PARENTS: [&str; 4] = ["/usr/lib/postgresql", "/usr", "/opt/homebrew/opt", "/usr/local/opt"];

impl Programs {
    /// Finds programs that can restore an archive of this major version: of the same one if there are, otherwise of the
    /// next newer. `given` is the only place that is looked at if there is one; `path` is the search path.
    ///
    /// # Errors
    /// When there are none, with what was found instead.
    pub(super) fn find(major: u32, given: Option<&Path>, path: &[PathBuf]) -> Result<Self> {
        let candidates = given.map_or_else(|| folders(path), |given| vec![given.to_owned()]);
        let found: Vec<Self> = candidates.iter().filter_map(|bin| Self::at(bin)).collect();
        if let Some(best) = best(&found, major) {
            return Ok(best.clone());
        }
        let others: Vec<String> =
            found.iter().map(|other| format!("{} in {}", other.major, other.bin.display())).collect();
        let seen = if others.is_empty() { "none was found".to_owned() } else { others.join(", ") };
        Err(Error::new(
            ErrorKind::Failed,
            format!("no installed PostgreSQL {major} or newer to make a private server of: {seen}"),
        )
        .hint("install the server package, name its folder with --pg-bin, or restore into a server of yours with --server"))
    }

    /// The programs in a folder, if both are there.
    pub(super) fn at(bin: &Path) -> Option<Self> {
        if !bin.join("initdb").is_file() {
            return None;
        }
        let told = Command::new(bin.join("postgres")).arg("--version").output().ok()?;
        let major = major_of(&String::from_utf8_lossy(&told.stdout))?;
        Some(Self { bin: bin.to_owned(), major })
    }
}

/// The lowest version that is new enough.
fn best(found: &[Programs], major: u32) -> Option<&Programs> {
    found.iter().filter(|programs| programs.major >= major).min_by_key(|programs| programs.major)
}

/// `15` of `postgres (PostgreSQL) 15.20 (Debian …)`.
fn major_of(text: &str) -> Option<u32> {
    let (_, version) = text.split_once("(PostgreSQL) ")?;
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// The usual places, and those that the search path and `pg_config` name.
fn folders(path: &[PathBuf]) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for parent in PARENTS {
        let inside = std::fs::read_dir(parent).into_iter().flatten().filter_map(std::result::Result::ok);
        let versions = inside.filter(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            name.starts_with(|c: char| c.is_ascii_digit())
                || name.starts_with("pgsql-")
                || name.starts_with("postgresql@")
        });
        all.extend(versions.map(|entry| entry.path().join("bin")));
    }
    all.push(PathBuf::from("/usr/local/pgsql/bin"));
    all.extend(path.iter().cloned());
    if let Ok(told) = Command::new("pg_config").arg("--bindir").output() {
        all.push(PathBuf::from(String::from_utf8_lossy(&told.stdout).trim()));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_version_or_the_next() {
        let of = |major| Programs { bin: PathBuf::from(format!("/{major}")), major };
        let found = [of(18), of(14), of(16)];
        let major = |wanted| best(&found, wanted).map(|programs| programs.major);
        assert_eq!(
            [major(13), major(14), major(15), major(17), major(19)],
            [Some(14), Some(14), Some(16), Some(18), None]
        );
        assert_eq!(major_of("postgres (PostgreSQL) 15.20 (Debian 15.20-0+deb12u1)\n"), Some(15));
        assert_eq!(major_of("postgres (PostgreSQL) 19beta1"), Some(19));
        assert_eq!(major_of("bash 5"), None);
    }
}
