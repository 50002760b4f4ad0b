//! `GnuPG`: public keys out of its keyring, and decryption by its agent, which may hold keys on smart cards.

use std::process::Command;

use zeroize::Zeroizing;

use super::child::{self, ChildError, Ended};
use crate::error::{Error, ErrorKind, Result};
use crate::seal::SealError;
use crate::seal::recipient::{Unwraps, WrapKind};

/// The program, found in the path. Its home is that of the environment (`GNUPGHOME`).
const PROGRAM: &str = "gpg";

/// The `gpg` program as one that opens archives. It asks for PIN and passphrase itself, by its own means (pinentry).
#[derive(Debug, Clone, Copy, Default)]
pub struct Gpg;

impl Gpg {
    /// Whether the program can be run.
    pub fn is_installed() -> bool {
        let asked = child::run(command().arg("--version"), b"", None);
        asked.is_ok_and(|ended| ended.status.success())
    }

    /// Public keys out of the keyring, binary: those that `query` (a fingerprint, or an e-mail address) names.
    ///
    /// # Errors
    /// When the program is missing, or knows no such key.
    pub fn export(query: &str) -> Result<Vec<u8>> {
        let doing = || format!("look for {query} in the keyring of gpg");
        // An address in brackets is compared as a whole, not as a part of one.
        let exact = if query.contains('@') { format!("<{query}>") } else { query.to_owned() };
        let ended = child::run(command().args(["--quiet", "--export", "--", &exact]), b"", None).map_err(
            |error| {
                Error::with_source(ErrorKind::Key, doing(), error)
                    .hint("install GnuPG, or give a file with the public key instead")
            },
        )?;
        if ended.status.success() && !ended.stdout.is_empty() {
            return Ok(ended.stdout.to_vec());
        }
        let said = child::complaint(&ended.stderr, &[]);
        Err(Error::new(
            ErrorKind::Key,
            format!("{}: {}", doing(), if said.is_empty() { "there is none" } else { &said }),
        )
        .hint("`gpg --list-keys` shows what there is; `gpg --import FILE` adds a key"))
    }
}

impl Unwraps for Gpg {
    fn kind(&self) -> WrapKind {
        WrapKind::OpenPgp
    }

    fn unwrap_key(
        &self,
        body: &[u8],
        _: &[u8; 16],
    ) -> std::result::Result<Option<Zeroizing<Vec<u8>>>, SealError> {
        let mut decrypt = command();
        // Only a verbose one tells by its status lines why the agent refused.
        decrypt.args(["--verbose", "--status-fd", "2", "--no-auto-key-retrieve", "--decrypt"]);
        let ended = child::run(&mut decrypt, body, None).map_err(|error| failed(match error {
            ChildError::Start(error) if error.kind() == std::io::ErrorKind::NotFound => {
                "the program gpg is not installed; give the secret key as a file (--identity), or install GnuPG".to_owned()
            }
            error => error.to_string(),
        }))?;
        verdict(ended)
    }
}

/// What the program's status lines say (`doc/DETAILS` of `GnuPG`).
fn verdict(ended: Ended) -> std::result::Result<Option<Zeroizing<Vec<u8>>>, SealError> {
    let status: Vec<&str> = ended.stderr.lines().filter_map(|line| line.strip_prefix("[GNUPG:] ")).collect();
    let says = |word: &str| status.iter().any(|line| line.split(' ').next() == Some(word));
    if ended.status.success() && says("DECRYPTION_OKAY") && says("GOODMDC") {
        return Ok(Some(ended.stdout));
    }
    // A session key was had: what fails then is the message.
    if says("BADMDC") || says("DECRYPTION_INFO") || says("DECRYPTION_KEY") {
        return Err(SealError::BadStanza("gpg has its key and finds it changed"));
    }
    let failures = status.iter().filter_map(|line| line.strip_prefix("ERROR pkdecrypt_failed "));
    let numbers: Vec<u32> = failures.filter_map(|code| code.split(' ').next()?.parse().ok()).collect();
    if numbers.iter().any(|number| OF_THE_DATA.contains(&(number & 0xFFFF))) {
        return Err(SealError::BadStanza("gpg has its key, which does not open it"));
    }
    if !numbers.is_empty() {
        return Err(failed(told(&ended.stderr)));
    }
    if says("NO_SECKEY") {
        return Ok(None);
    }
    if says("NODATA") || says("UNEXPECTED") {
        return Err(SealError::BadStanza("gpg finds no OpenPGP message in it"));
    }
    Err(failed(told(&ended.stderr)))
}

/// What the agent answers, having the key, when it is the data that is wrong: the low 16 bits are an error's number in
/// libgpg-error. `BAD_SECKEY`, `CHECKSUM`, `WRONG_SECKEY`, `INV_VALUE`, `INV_OBJ`, `INV_DATA`, `BAD_DATA`, `DECRYPT_FAILED`.
const OF_THE_DATA: [u32; 8] = [7, 10, 18, 55, 65, 79, 89, 152];

/// Why it did not decrypt: a PIN that was not given, a card that is not there.
fn told(stderr: &str) -> String {
    const REASON: &str = "public key decryption failed: ";
    let reasons: Vec<&str> = stderr.lines().filter_map(|line| Some(line.split_once(REASON)?.1)).collect();
    let all: Vec<&str> = stderr.lines().filter(|line| !line.starts_with("[GNUPG:]")).collect();
    let said = child::complaint(&if reasons.is_empty() { all } else { reasons }.join("\n"), &[]);
    if said.is_empty() { "it did not decrypt, and does not say why".to_owned() } else { said }
}

fn failed(why: String) -> SealError {
    SealError::Keeper { who: PROGRAM.to_owned(), why }
}

/// The program, in English, asking nothing by itself. Pinentry has to know the terminal.
fn command() -> Command {
    let mut command = Command::new(PROGRAM);
    command.arg("--batch").env("LC_ALL", "C");
    if std::env::var_os("GPG_TTY").is_none()
        && let Some(terminal) =
            std::fs::read_link("/proc/self/fd/0").ok().filter(|path| path.starts_with("/dev"))
    {
        command.env("GPG_TTY", terminal);
    }
    command
}
