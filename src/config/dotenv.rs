//! `.env` files: only variables that we know are taken, and none that the environment has already.
//!
//! The environment of a running process cannot be changed safely, and the clients of object stores read it themselves: the
//! program starts itself anew with the variables added (`cli/mod.rs`), and [`MARK`] says where they came from.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::env::{given, is_known};
use super::error::ConfigError;
use super::file::trusted;
use crate::pg::EnvLookup;

/// The variable that tells the program started anew what was taken from which file: the names with commas between, `=`, and
/// the file.
pub const MARK: &str = "PGCASK_FROM_ENV_FILE";

/// Most bytes of a file that is read.
const MAX_BYTES: u64 = 1 << 20;

/// Words in names of variables that are secrets.
const SECRET_WORDS: &[&str] = &["PASSWORD", "PASSPHRASE", "SECRET", "TOKEN", "ACCOUNT_KEY", "ACCESS_KEY"];

/// What a `.env` file adds to the environment.
#[derive(Debug, Clone)]
pub struct Additions {
    /// The file.
    pub file: PathBuf,
    /// Names and values.
    pub variables: Vec<(String, zeroize::Zeroizing<String>)>,
}

impl Additions {
    /// The value of [`MARK`].
    pub fn mark(&self) -> String {
        let names: Vec<&str> = self.variables.iter().map(|(name, _)| name.as_str()).collect();
        format!("{}={}", names.join(","), self.file.display())
    }
}

/// What the `.env` file of this run adds: `./.env`, or the one that `PGCASK_ENV_FILE` names. `None` when there is nothing to
/// add, or it was added already.
///
/// # Errors
/// [`ConfigError`] for a named file that cannot be read, or one that others may write.
pub fn additions(env: &EnvLookup) -> Result<Option<Additions>, ConfigError> {
    if env.var(MARK).is_some() {
        return Ok(None);
    }
    let named = env.var("PGCASK_ENV_FILE");
    let file = PathBuf::from(named.as_deref().unwrap_or(".env"));
    if file.as_os_str().is_empty() || (named.is_none() && !file.is_file()) {
        return Ok(None);
    }
    let unreadable = |source| ConfigError::Unreadable { file: file.clone(), source };
    let facts = std::fs::metadata(&file).map_err(unreadable)?;
    if named.is_none() && facts.len() > MAX_BYTES {
        return Ok(None);
    }
    let text = match std::fs::read_to_string(&file) {
        Ok(text) => zeroize::Zeroizing::new(text),
        // A file that nobody named and that is not for us to read is not for us.
        Err(_) if named.is_none() => return Ok(None),
        Err(source) => return Err(unreadable(source)),
    };
    let known = |(name, _): &(String, zeroize::Zeroizing<String>)| is_known(name) && env.var(name).is_none();
    let variables: Vec<_> = variables(&text).into_iter().filter(known).collect();
    if variables.is_empty() {
        return Ok(None);
    }
    trusted(&file, &facts)?;
    Ok(Some(Additions { file, variables }))
}

/// What [`MARK`] says: the file, and the names that came from it.
pub(super) fn adopted(env: &EnvLookup) -> Option<(String, Vec<String>)> {
    let mark = env.var(MARK)?;
    let (names, file) = mark.split_once('=')?;
    Some((file.to_owned(), names.split(',').map(str::to_owned).collect()))
}

/// A warning when secrets were taken from a file that others can read.
pub(super) fn warning(env: &EnvLookup) -> Option<String> {
    let (file, names) = adopted(env)?;
    let secret = names.iter().find(|name| SECRET_WORDS.iter().any(|word| name.contains(word)))?;
    let facts = std::fs::metadata(Path::new(&file)).ok()?;
    (given(env, secret).is_some() && facts.mode() & 0o077 != 0)
        .then(|| format!("{file} has {secret}, and others can read it: chmod 600 {file}"))
}

/// The variables of a text, in the form that dotenv libraries share: `NAME=value`, `export` before it, values bare, in single
/// quotes (as they stand) or in double quotes (with `\n`, `\"`, `\\`), `#` after a blank begins a comment. References to other
/// variables are not replaced.
fn variables(text: &str) -> Vec<(String, zeroize::Zeroizing<String>)> {
    let mut found = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let line = rest.split_inclusive('\n').next().unwrap_or_default();
        let stripped = line.trim_start();
        let stripped = stripped.strip_prefix("export ").unwrap_or(stripped);
        let Some((name, value)) = stripped.split_once('=').filter(|(name, _)| is_identifier(name.trim()))
        else {
            rest = rest.strip_prefix(line).unwrap_or_default();
            continue;
        };
        let offset = line.len() - value.len();
        let from = rest.get(offset..).unwrap_or_default();
        let (value, after) = read_value(from);
        found.push((name.trim().to_owned(), zeroize::Zeroizing::new(value)));
        rest = after;
    }
    found
}

fn is_identifier(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// A value at the beginning of a text, and what comes after its line.
fn read_value(text: &str) -> (String, &str) {
    let next_line =
        |text: &'_ str| text.find('\n').map_or("", |at| text.get(at + 1..).unwrap_or_default()).len();
    let blank = text.trim_start_matches([' ', '\t']);
    let Some(quote) = blank.chars().next().filter(|c| matches!(c, '"' | '\'')) else {
        let line = text.lines().next().unwrap_or_default();
        let value = line.split(" #").next().unwrap_or_default().trim();
        let value = if line.trim_start().starts_with('#') { "" } else { value };
        let keep = next_line(text);
        return (value.to_owned(), text.get(text.len() - keep..).unwrap_or_default());
    };
    let mut value = String::new();
    let mut chars = blank.char_indices().skip(1);
    let mut end = blank.len();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' if quote == '"' => match chars.next().map(|(_, c)| c) {
                Some('n') => value.push('\n'),
                Some(other) => value.push(other),
                None => break,
            },
            c if c == quote => {
                end = at + 1;
                break;
            }
            c => value.push(c),
        }
    }
    let after = blank.get(end..).unwrap_or_default();
    let keep = next_line(after);
    (value, after.get(after.len() - keep..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shared_form_is_read() {
        let text = "# c\nexport PGHOST = db # a comment\nPGUSER='it''s'\nPGPASSWORD=\"a\\\"b\\nc # d\"\nOTHER=\"two\nlines\" \nPGPORT=1\nno line\nEMPTY=\nHASH=a#b\n";
        let found = variables(text);
        let pairs: Vec<(&str, &str)> =
            found.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let expected = [
            ("PGHOST", "db"),
            ("PGUSER", "it"),
            ("PGPASSWORD", "a\"b\nc # d"),
            ("OTHER", "two\nlines"),
            ("PGPORT", "1"),
            ("EMPTY", ""),
            ("HASH", "a#b"),
        ];
        assert_eq!(pairs, expected);
    }
}
