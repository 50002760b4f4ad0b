//! A command of the user's that wraps and unwraps data keys, in front of a key management service.
//!
//! The contract, which `docs/keys.md` tells to those who write one:
//! * `sh -c COMMAND` with `PGCASK_KEY_OPERATION` = `wrap` or `unwrap` and `PGCASK_ARCHIVE_ID` (32 hexadecimal digits, to be
//!   bound as context where the service can);
//! * `wrap`: on standard input the data key in base64, without a newline; on standard output any text of at most 6,000 bytes;
//! * `unwrap`: on standard input that text as it was, less white space around it; on standard output the data key in base64;
//! * exit status 0 for done, 10 for "I have no key for this"; anything else is a failure, and standard error says why.

use std::process::Command;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use zeroize::Zeroizing;

use super::child;
use crate::seal::SealError;
use crate::seal::recipient::{Unwraps, WrapKind, Wraps};

/// A wrapped key has to fit into a stanza.
const MAX_WRAPPED_BYTES: usize = 6000;

/// The exit status by which a command says that the key is not its.
const NOT_MINE: i32 = 10;

/// The command, and how long it is waited for.
#[derive(Debug, Clone)]
pub struct KeyCommand {
    /// What the shell runs.
    pub command: String,
    /// How long an answer may take.
    pub timeout: Duration,
}

impl KeyCommand {
    /// The command's answer, trimmed; `None` for status 10.
    fn ask(
        &self,
        operation: &str,
        input: &str,
        archive_id: &[u8; 16],
    ) -> Result<Option<Zeroizing<String>>, SealError> {
        let failed = |why: String| SealError::Keeper { who: format!("the key command ({operation})"), why };
        let id = format!("{:032x}", u128::from_be_bytes(*archive_id));
        let mut shell = Command::new("sh");
        shell.args(["-c", &self.command]);
        shell.env("PGCASK_KEY_OPERATION", operation).env("PGCASK_ARCHIVE_ID", id);
        let ended = child::run(&mut shell, input.as_bytes(), Some(self.timeout))
            .map_err(|error| failed(error.to_string()))?;
        let answer = std::str::from_utf8(&ended.stdout).map(str::trim);
        match (ended.status.code(), answer) {
            (Some(0), Ok("")) => Err(failed("it gave no answer".to_owned())),
            (Some(0), Ok(answer)) => Ok(Some(Zeroizing::new(answer.to_owned()))),
            (Some(0), Err(_)) => Err(failed("its answer is no text".to_owned())),
            (Some(NOT_MINE), _) => Ok(None),
            (_, answer) => {
                // A script under `set -x` tells all it sees, and what it printed may be the key.
                let said = child::complaint(&ended.stderr, &[input, answer.unwrap_or_default()]);
                let said = if said.is_empty() { said } else { format!(": {said}") };
                Err(failed(format!("it failed ({}){said}", ended.status)))
            }
        }
    }
}

impl Wraps for KeyCommand {
    fn kind(&self) -> WrapKind {
        WrapKind::Command
    }

    fn wrap(&self, key: &[u8; 32], archive_id: &[u8; 16]) -> Result<Vec<u8>, SealError> {
        let failed =
            |why: &str| SealError::Keeper { who: "the key command (wrap)".to_owned(), why: why.to_owned() };
        let encoded = Zeroizing::new(BASE64.encode(key));
        let wrapped =
            self.ask("wrap", &encoded, archive_id)?.ok_or_else(|| failed("it has no key to wrap with"))?;
        if wrapped.contains(encoded.as_str()) {
            return Err(failed("its answer holds the key itself"));
        }
        if wrapped.len() > MAX_WRAPPED_BYTES {
            return Err(failed("its answer is longer than 6,000 bytes"));
        }
        Ok(wrapped.as_bytes().to_vec())
    }
}

impl Unwraps for KeyCommand {
    fn kind(&self) -> WrapKind {
        WrapKind::Command
    }

    fn unwrap_key(
        &self,
        body: &[u8],
        archive_id: &[u8; 16],
    ) -> Result<Option<Zeroizing<Vec<u8>>>, SealError> {
        let text = std::str::from_utf8(body)
            .map_err(|_| SealError::BadStanza("what a key command wrapped is no text"))?;
        let Some(answer) = self.ask("unwrap", text, archive_id)? else { return Ok(None) };
        let key = BASE64.decode(answer.as_bytes()).map(Zeroizing::new).ok().filter(|key| key.len() == 32);
        key.map(Some).ok_or_else(|| SealError::Keeper {
            who: "the key command (unwrap)".to_owned(),
            why: "its answer is not 32 bytes in base64".to_owned(),
        })
    }
}
