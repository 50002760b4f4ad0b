//! The password file (manual, section 32.16).

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::secret::Secret;

/// One line: `hostname:port:database:username:password`; `None` is the wildcard `*`.
#[derive(Debug, Clone)]
struct Entry {
    fields: [Option<String>; 4],
    password: Secret,
}

/// The entries of a password file, in its order.
#[derive(Debug, Clone, Default)]
pub(crate) struct PgPass {
    entries: Vec<Entry>,
}

impl PgPass {
    /// Reads the file. A missing one has no entries; one that others can read is not used, and the warning says so,
    /// as libpq does.
    pub(crate) fn load(path: &Path) -> (Self, Option<String>) {
        let Ok(metadata) = std::fs::metadata(path) else {
            return (Self::default(), None);
        };
        if !metadata.is_file() {
            let warning = format!("password file {} is not a plain file", path.display());
            return (Self::default(), Some(warning));
        }
        if metadata.permissions().mode() & 0o077 != 0 {
            let warning = format!(
                "password file {} is ignored: others have access to it; permissions should be u=rw (0600) or less",
                path.display()
            );
            return (Self::default(), Some(warning));
        }
        match std::fs::read(path) {
            Ok(bytes) => (Self::parse(&String::from_utf8_lossy(&zeroize::Zeroizing::new(bytes))), None),
            Err(error) => {
                (Self::default(), Some(format!("cannot read password file {}: {error}", path.display())))
            }
        }
    }

    /// Reads the text of a file. Lines that are too short are skipped, as libpq skips them.
    fn parse(text: &str) -> Self {
        let entries = text
            .split('\n')
            .map(|line| line.trim_end_matches('\r'))
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .filter_map(parse_line)
            .collect();
        Self { entries }
    }

    /// The password of the first line that matches. `host` is `localhost` for a socket in the default directory.
    pub(crate) fn find(&self, host: &str, port: u16, database: &str, user: &str) -> Option<Secret> {
        let port = port.to_string();
        let wanted = [host, &port, database, user];
        let matches = |entry: &&Entry| {
            entry.fields.iter().zip(wanted).all(|(field, value)| field.as_deref().is_none_or(|f| f == value))
        };
        self.entries.iter().find(matches).map(|entry| entry.password.clone())
    }
}

fn parse_line(line: &str) -> Option<Entry> {
    let mut fields: [Option<String>; 4] = [None, None, None, None];
    let mut rest = line;
    for field in &mut fields {
        let (raw, after) = split_field(rest)?;
        *field = (raw != "*").then(|| unescape(raw));
        rest = after;
    }
    // The password runs to the next free colon or the end of the line.
    let password = split_field(rest).map_or(rest, |(password, _)| password);
    Some(Entry { fields, password: Secret::new(unescape(password)) })
}

/// Splits at the first colon that no backslash escapes.
fn split_field(text: &str) -> Option<(&str, &str)> {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ':' => return Some((text.get(..at)?, text.get(at + 1..)?)),
            _ => {}
        }
    }
    None
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.extend(chars.next()),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(text: &str, host: &str, port: u16, database: &str, user: &str) -> Option<String> {
        PgPass::parse(text).find(host, port, database, user).map(|secret| secret.expose().to_owned())
    }

    #[test]
    fn the_first_matching_line_wins() {
        let text = "# c\nh:5432:d:u:first\nh:*:*:u:second\n*:*:*:*:last\n";
        assert_eq!(find(text, "h", 5432, "d", "u").unwrap(), "first");
        assert_eq!(find(text, "h", 5433, "d", "u").unwrap(), "second");
        assert_eq!(find(text, "x", 5432, "d", "z").unwrap(), "last");
        assert_eq!(find("h:5432:d:u:p", "h", 5432, "D", "u"), None);
    }

    #[test]
    fn colons_and_backslashes_are_escaped() {
        assert_eq!(find(r"\:\:1:*:d\\b:u\:x:p\:a\\s", "::1", 1, r"d\b", "u:x").unwrap(), r"p:a\s");
        assert_eq!(find(r"h:*:*:*:pass word 'x' ü", "h", 1, "", "").unwrap(), "pass word 'x' ü");
        assert_eq!(find(r"h:*:*:\*:p", "h", 1, "d", "anyone"), None, "an escaped star is a star");
        assert_eq!(find("h:*:*:*:p\r\n", "h", 1, "d", "u").unwrap(), "p");
        assert_eq!(find("h:*:*", "h", 1, "d", "u"), None);
        let token = "t".repeat(3000);
        assert_eq!(find(&format!("h:*:*:*:{token}"), "h", 1, "d", "u").unwrap(), token);
    }

    #[test]
    fn a_file_that_others_can_read_is_ignored_with_a_warning() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pass");
        std::fs::write(&path, "*:*:*:*:p\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let (pass, warning) = PgPass::load(&path);
        assert!(pass.entries.is_empty() && warning.unwrap().contains("0600"));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let (pass, warning) = PgPass::load(&path);
        assert_eq!((pass.entries.len(), warning), (1, None));
        assert_eq!(PgPass::load(&dir.path().join("none")).1, None);
    }
}
