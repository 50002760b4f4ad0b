//! Secrets and confirmations from people, files and commands. Secrets are never in `argv`, and never echoed.

use std::io::{BufRead, BufReader, IsTerminal, Read, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use zeroize::Zeroizing;

use super::args::PassphraseArgs;
use crate::error::{Error, ErrorKind, Result};
use crate::pg::quote::printable;
use crate::seal::recipient::Prompt;

/// Longest passphrase taken, in bytes: a file given by mistake is not read whole.
const MAX_PASSPHRASE: u64 = 64 << 10;

/// A secret text, wiped when dropped.
pub type SecretText = Zeroizing<String>;

impl PassphraseArgs {
    /// Whether a source is named, here or by `PGCASK_PASSPHRASE`.
    pub fn is_given(&self) -> bool {
        self.passphrase_file.is_some()
            || self.passphrase_fd.is_some()
            || self.passphrase_command.is_some()
            || std::env::var_os("PGCASK_PASSPHRASE").is_some()
    }

    /// The passphrase from the named source, if one is named.
    pub fn read(&self) -> Result<Option<SecretText>> {
        if let Some(path) = &self.passphrase_file {
            let doing = format!("read the passphrase from {}", path.display());
            let file = std::fs::File::open(path).map_err(|e| key_error(&doing, e))?;
            return first_line(file, &doing).map(Some);
        }
        if let Some(fd) = self.passphrase_fd {
            // The system's own name for an inherited descriptor: no unsafe code is needed to own it.
            let doing = format!("read the passphrase from file descriptor {fd}");
            let file = std::fs::File::open(format!("/dev/fd/{fd}")).map_err(|e| key_error(&doing, e))?;
            return first_line(file, &doing).map(Some);
        }
        if let Some(command) = &self.passphrase_command {
            return from_command(command).map(Some);
        }
        match std::env::var("PGCASK_PASSPHRASE") {
            Ok(text) => check(Zeroizing::new(text), "read PGCASK_PASSPHRASE").map(Some),
            Err(std::env::VarError::NotPresent) => Ok(None),
            Err(error) => Err(key_error("read PGCASK_PASSPHRASE", error)),
        }
    }
}

/// Asks for a passphrase on the terminal without echo; twice where a new one is chosen.
pub fn ask_passphrase(what: &str, twice: bool) -> Result<SecretText> {
    if !std::io::stdin().is_terminal() {
        return Err(Error::new(
            ErrorKind::Key,
            "a passphrase is needed and there is no terminal to ask for it",
        )
        .hint("give --passphrase-file, --passphrase-command, --identity, or PGCASK_PASSPHRASE"));
    }
    let ask = |prompt: &str| {
        rpassword::prompt_password(prompt)
            .map(Zeroizing::new)
            .map_err(|e| key_error("ask for the passphrase", e))
    };
    let first = check(ask(&format!("{what}: "))?, "ask for the passphrase")?;
    if twice && *ask("The same again: ")? != *first {
        return Err(Error::new(ErrorKind::Key, "the two passphrases differ"));
    }
    Ok(first)
}

/// Answers for identities that are protected: from a file, the environment, or whoever sits at the terminal.
pub(super) struct Asked {
    /// The file with the passphrase.
    pub(super) file: Option<PathBuf>,
}

impl Prompt for Asked {
    fn say(&self, message: &str) {
        let mut err = anstream::stderr().lock();
        // A message that cannot be shown is no reason to fail: the token waits all the same.
        drop(writeln!(err, "{}", printable(message)));
    }

    fn secret(&self, what: &str) -> Option<SecretText> {
        if let Some(path) = &self.file {
            return std::fs::File::open(path).ok().and_then(|file| first_line(file, "").ok());
        }
        if let Ok(text) = std::env::var("PGCASK_IDENTITY_PASSPHRASE") {
            return Some(Zeroizing::new(text));
        }
        if !std::io::stdin().is_terminal() {
            return None;
        }
        rpassword::prompt_password(format!("{}: ", printable(what))).ok().map(Zeroizing::new)
    }
}

/// Asks to type a word; false when something else was typed.
pub fn confirm(question: &str, word: &str) -> Result<bool> {
    if !std::io::stdin().is_terminal() {
        return Err(Error::new(
            ErrorKind::Refused,
            "this must be confirmed and there is no terminal to ask on",
        )
        .hint("give --yes if you are sure"));
    }
    let mut err = anstream::stderr().lock();
    let shown = std::io::Write::write_all(&mut err, format!("{question}\nType {word} to go on: ").as_bytes());
    shown.map_err(|e| Error::with_source(ErrorKind::Failed, "ask for confirmation", e))?;
    let mut line = String::new();
    let read = std::io::stdin().lock().take(1024).read_line(&mut line);
    read.map_err(|e| Error::with_source(ErrorKind::Failed, "read the confirmation", e))?;
    Ok(line.trim() == word)
}

fn from_command(command: &str) -> Result<SecretText> {
    let doing = "take the passphrase from the command";
    let mut child = Command::new("sh")
        .args(["-c", command])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| key_error(doing, e))?;
    let line = match child.stdout.take() {
        Some(stdout) => first_line(stdout, doing),
        None => Err(Error::new(ErrorKind::Key, doing)),
    };
    let status = child.wait().map_err(|e| key_error(doing, e))?;
    if !status.success() {
        return Err(Error::new(ErrorKind::Key, format!("the passphrase command failed: {status}")));
    }
    line
}

fn first_line(from: impl Read, doing: &str) -> Result<SecretText> {
    let mut line = Zeroizing::new(String::new());
    BufReader::new(from.take(MAX_PASSPHRASE)).read_line(&mut line).map_err(|e| key_error(doing, e))?;
    let end = line.trim_end_matches(['\n', '\r']).len();
    line.truncate(end);
    check(line, doing)
}

fn check(text: SecretText, doing: &str) -> Result<SecretText> {
    if text.is_empty() {
        return Err(Error::new(ErrorKind::Key, format!("{doing}: it is empty")));
    }
    Ok(text)
}

fn key_error(doing: &str, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::with_source(ErrorKind::Key, doing, error)
}
