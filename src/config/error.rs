//! What can be wrong with a configuration.

use std::path::PathBuf;

/// Something wrong at one place of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// What is wrong.
    pub message: String,
}

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A file that was named is not there, or cannot be read.
    #[error("read {}: {source}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Somebody else could have written it: what it says may be an order to run a command.
    #[error("{}: {why}", file.display())]
    NotTrusted {
        /// The file.
        file: PathBuf,
        /// Who may write it.
        why: String,
    },
    /// What it says is wrong.
    #[error("{}", list(file, problems))]
    Invalid {
        /// The file.
        file: PathBuf,
        /// All that is wrong, in the order of the file.
        problems: Vec<Problem>,
    },
    /// A value that is taken from elsewhere cannot be had.
    #[error("{key}: {why}")]
    Value {
        /// The key or variable.
        key: String,
        /// Why not.
        why: String,
    },
}

impl From<ConfigError> for crate::error::Error {
    fn from(error: ConfigError) -> Self {
        let hint = match &error {
            ConfigError::Invalid { .. } => {
                Some("docs/configuration.md lists every key; `pgcask config check` checks the file")
            }
            ConfigError::NotTrusted { .. } => {
                Some("make it yours and not writable by others, or name another file by --config")
            }
            ConfigError::Unreadable { .. } | ConfigError::Value { .. } => None,
        };
        let made =
            Self::with_source(crate::error::ErrorKind::Usage, "the configuration cannot be used", error);
        match hint {
            Some(hint) => made.hint(hint),
            None => made,
        }
    }
}

fn list(file: &std::path::Path, problems: &[Problem]) -> String {
    let line = |Problem { line, column, message }: &Problem| {
        format!("{}:{line}:{column}: {message}", file.display())
    };
    problems.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// `; did you mean …?` when one of the known words is near enough to be meant.
pub(super) fn nearest(word: &str, known: &[&str]) -> String {
    let distance = |other: &&&str| strsim::damerau_levenshtein(word, other);
    let near = known.iter().min_by_key(distance).filter(|other| distance(other) <= (word.len() / 3).max(2));
    near.map_or_else(String::new, |other| format!("; did you mean {other}?"))
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_slip_is_told_from_another_word() {
        let known = ["jobs", "level", "exclude_tables"];
        assert_eq!(nearest("job", &known), "; did you mean jobs?");
        assert_eq!(nearest("exclude_table", &known), "; did you mean exclude_tables?");
        assert_eq!(nearest("colour", &known), "");
    }
}
