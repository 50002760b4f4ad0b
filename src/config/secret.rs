//! Secrets, and where they are taken from. They are taken when they are needed, and shown to nobody.

use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{Config, ConfigError};
use crate::pg::Secret;

/// Most bytes of a secret: a file given by mistake is not read whole.
const MAX_BYTES: u64 = 64 << 10;

/// Where a secret is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// In the configuration file itself, which nobody else can read.
    Text(Secret),
    /// In an environment variable.
    Environment(String),
    /// In the first line of a file.
    File(String),
    /// A shell command prints it.
    Command(String),
}

impl SecretSource {
    pub(super) fn text(text: &str) -> Self {
        Self::Text(Secret::new(text))
    }

    /// Where it is, without the secret itself.
    pub fn describe(&self) -> String {
        match self {
            Self::Text(_) => "********".to_owned(),
            Self::Environment(name) => format!("the environment's {name}"),
            Self::File(file) => format!("the file {file}"),
            Self::Command(_) => "what a command prints".to_owned(),
        }
    }
}

impl Config {
    /// Takes a secret from where it is. `key`: for whom, for messages.
    ///
    /// # Errors
    /// [`ConfigError::Value`] when the variable is not set, the file cannot be read, the command fails, or it is empty.
    pub fn take(&self, key: &str, source: &SecretSource) -> Result<Secret, ConfigError> {
        let wrong = |why: String| ConfigError::Value { key: key.to_owned(), why };
        let secret = match source {
            SecretSource::Text(secret) => secret.clone(),
            SecretSource::Environment(name) => Secret::new(
                self.env.var(name).ok_or_else(|| wrong(format!("the variable {name} is not set")))?,
            ),
            SecretSource::File(file) => {
                let path = self.path(file);
                first_line(&path).map_err(|error| wrong(format!("read {}: {error}", path.display())))?
            }
            SecretSource::Command(command) => from_command(command).map_err(wrong)?,
        };
        if secret.expose().is_empty() {
            return Err(wrong(format!("{} is empty", source.describe())));
        }
        Ok(secret)
    }
}

fn first_line(path: &Path) -> std::io::Result<Secret> {
    let mut text = zeroize::Zeroizing::new(String::new());
    std::fs::File::open(path)?.take(MAX_BYTES).read_to_string(&mut text)?;
    Ok(Secret::new(text.lines().next().unwrap_or_default()))
}

fn from_command(command: &str) -> Result<Secret, String> {
    let output = Command::new("sh")
        .args(["-c", command])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("run the command: {error}"))?;
    let text = zeroize::Zeroizing::new(output.stdout);
    if !output.status.success() {
        return Err(format!("the command failed: {}", output.status));
    }
    let text = std::str::from_utf8(&text).map_err(|_| "what the command printed is not UTF-8".to_owned())?;
    Ok(Secret::new(text.lines().next().unwrap_or_default()))
}
