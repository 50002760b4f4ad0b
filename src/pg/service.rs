//! The connection service file (manual, section 32.17).

use std::path::{Path, PathBuf};

use super::error::OptionsError;
use super::params::{EnvLookup, Params};

/// Where packagers put the system-wide file when `PGSYSCONFDIR` does not say: Debian's place, then PostgreSQL's own.
const SYSTEM_DIRS: [&str; 2] = ["/etc/postgresql-common", "/usr/local/pgsql/etc"];

/// Finds the service in the user's file, then in the system's.
///
/// # Errors
/// [`OptionsError::NoService`] where neither has it; a named file that is missing, or a bad line.
pub(crate) fn load(name: &str, file: Option<&str>, env: &EnvLookup) -> Result<Params, OptionsError> {
    if let Some(file) = file {
        let path = PathBuf::from(file);
        let text = std::fs::read_to_string(&path)
            .map_err(|error| OptionsError::File { path: path.clone(), reason: error.to_string() })?;
        if let Some(params) = parse(&text, &path, name)? {
            return Ok(params);
        }
    } else if let Some(found) = try_file(env.in_home(".pg_service.conf"), name)? {
        return Ok(found);
    }
    let dirs: Vec<PathBuf> = match env.var("PGSYSCONFDIR") {
        Some(dir) => vec![PathBuf::from(dir)],
        None => SYSTEM_DIRS.iter().map(PathBuf::from).collect(),
    };
    for dir in dirs {
        if let Some(found) = try_file(Some(dir.join("pg_service.conf")), name)? {
            return Ok(found);
        }
    }
    Err(OptionsError::NoService { name: name.to_owned() })
}

/// Looks into a file that need not exist.
fn try_file(path: Option<PathBuf>, name: &str) -> Result<Option<Params>, OptionsError> {
    let Some(path) = path else { return Ok(None) };
    match std::fs::read_to_string(&path) {
        Ok(text) => parse(&text, &path, name),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(OptionsError::File { path, reason: error.to_string() }),
    }
}

/// Reads the section `[name]`; `None` if there is none.
fn parse(text: &str, path: &Path, name: &str) -> Result<Option<Params>, OptionsError> {
    let mut found: Option<Params> = None;
    let mut inside = false;
    for (number, line) in text.lines().enumerate() {
        let bad =
            |reason: String| OptionsError::ServiceFile { path: path.to_owned(), line: number + 1, reason };
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(header) = line.strip_prefix('[') {
            // The first section of the name counts, as in libpq.
            if found.is_some() {
                return Ok(found);
            }
            inside = header.strip_suffix(']') == Some(name);
            if inside {
                found = Some(Params::default());
            }
        } else if let (true, Some(params)) = (inside, found.as_mut()) {
            if line.starts_with("ldap") {
                return Err(bad("services kept in LDAP are not supported".to_owned()));
            }
            let (key, value) = line.split_once('=').ok_or_else(|| bad("expected name=value".to_owned()))?;
            if matches!(key, "service" | "servicefile") {
                return Err(bad("a service cannot refer to another".to_owned()));
            }
            if params.get(key).is_none() {
                params.set(key, value.to_owned()).map_err(|error| bad(error.to_string()))?;
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# comment\n[one]\nhost=h1\nport=1\n\n  dbname=d \n[two]\nhost = x\n[three]\nservice=one\n[four]\nzzz=1\n[five]\npassword=a=b c\n";

    fn service(name: &str) -> Result<Option<Params>, String> {
        parse(FILE, Path::new("/f"), name).map_err(|error| error.to_string())
    }

    #[test]
    fn a_section_is_found_and_ends_at_the_next() {
        let one = service("one").unwrap().unwrap();
        assert_eq!((one.get("host"), one.get("port"), one.get("dbname")), (Some("h1"), Some("1"), Some("d")));
        assert_eq!(service("five").unwrap().unwrap().get("password"), Some("a=b c"));
        assert_eq!(service("none").unwrap(), None);
    }

    #[test]
    fn bad_lines_are_named() {
        assert_eq!(service("two").unwrap_err(), "/f:8: unknown connection parameter \"host \"");
        assert_eq!(service("three").unwrap_err(), "/f:10: a service cannot refer to another");
        assert_eq!(service("four").unwrap_err(), "/f:12: unknown connection parameter \"zzz\"");
    }

    #[test]
    fn the_users_file_comes_before_the_systems() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(".pg_service.conf"), "[a]\nhost=user\n").unwrap();
        std::fs::write(dir.path().join("pg_service.conf"), "[a]\nhost=system\n[b]\nhost=system\n").unwrap();
        let sysconf = dir.path().to_str().unwrap();
        let env = EnvLookup::fixed(&[("PGSYSCONFDIR", sysconf)], Some(dir.path().to_owned()), None);
        assert_eq!(load("a", None, &env).unwrap().get("host"), Some("user"));
        assert_eq!(load("b", None, &env).unwrap().get("host"), Some("system"));
        assert!(matches!(load("c", None, &env), Err(OptionsError::NoService { .. })));
        assert!(matches!(load("a", Some("/nonexistent"), &env), Err(OptionsError::File { .. })));
    }
}
