//! Where a value came from.

use std::fmt;
use std::path::PathBuf;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// An environment variable.
    Environment(String),
    /// A variable of a `.env` file.
    DotEnv {
        /// The variable.
        name: String,
        /// The file.
        file: PathBuf,
    },
    /// The configuration file.
    File {
        /// The file.
        file: PathBuf,
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
    },
    /// Nobody said anything.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::DotEnv { name, file } => write!(f, "{} {name}", file.display()),
            Self::File { file, line, .. } => write!(f, "{}:{line}", file.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// A value and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sourced<T> {
    /// The value.
    pub value: T,
    /// Where it came from.
    pub origin: Origin,
}

impl<T> Sourced<T> {
    /// The same origin, another value.
    pub fn map<U>(self, into: impl FnOnce(T) -> U) -> Sourced<U> {
        Sourced { value: into(self.value), origin: self.origin }
    }
}
