//! `pgcask keygen`, and the keys that commands are given.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use super::Context;
use super::args::{NewKeysArgs, PassphraseArgs, UnlockArgs};
use super::backup::in_one_line;
use super::prompt::{Asked, ask_passphrase};
use crate::clock::Clock;
use crate::custody::{self, Gpg, KeyCommand};
use crate::drill::KeyFacts;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::exit::Exit;
use crate::opened::{Found, OpenArchive};
use crate::seal::data_key::Keys;
use crate::seal::recipient::{Identity, Passphrase, Recipient, SharedPrompt, WrapKind, generate_identity};

/// How long a new key command is waited for.
const NEW_KEY_COMMAND: Duration = Duration::from_mins(1);

/// What is to be known of the recipients that are configured: those that expire, and those that cannot be sealed for.
pub(super) fn key_facts(words: &[String], now: Timestamp) -> Vec<KeyFacts> {
    let mut facts = Vec::new();
    for word in words {
        // A whole certificate in base64 is no name.
        let short = if word.starts_with("openpgp:") { "an OpenPGP key" } else { word.as_str() };
        match custody::recipients(word, now) {
            Ok(recipients) => facts.extend(recipients.iter().filter_map(|recipient| {
                let expires_at = Some(recipient.expires_at()?);
                Some(KeyFacts { key: recipient.describe()?, expires_at, problem: None })
            })),
            Err(error) => {
                let problem = Some(in_one_line(&error));
                facts.push(KeyFacts { key: short.to_owned(), expires_at: None, problem });
            }
        }
    }
    facts
}

/// Make a key pair: an identity to restore with, and the recipient to back up to
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
The backup host needs only the recipient (age1…), which can write archives and not read them.
Keep the identity file elsewhere, and twice: without it no archive sealed for it can be opened
by anybody.

EXAMPLES
  pgcask keygen --output ~/pgcask.key
  pgcask keygen > /media/safe/pgcask.key")]
pub struct KeygenArgs {
    /// Write the identity to this new file, readable by you alone
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

#[derive(Serialize)]
struct Made<'a> {
    recipient: &'a str,
    identity_file: Option<&'a Path>,
}

impl KeygenArgs {
    /// Runs the command.
    pub fn run(&self, context: &Context) -> Result<Exit> {
        let (text, recipient) = identity();
        if let Some(path) = &self.output {
            write_identity(path, &text)?;
            if context.printer.json {
                context.printer.json(&Made { recipient: &recipient, identity_file: Some(path) })?;
            } else {
                context.printer.line(&recipient)?;
            }
        } else {
            context.printer.bytes(text.as_bytes())?;
            context.printer.info(&format!("public key: {recipient}"));
        }
        Ok(Exit::Good)
    }
}

/// A new identity, as the text of its file, and its recipient.
pub(super) fn identity() -> (zeroize::Zeroizing<String>, String) {
    let (secret, recipient) = generate_identity();
    let created = Clock::System.now().strftime("%Y-%m-%dT%H:%M:%SZ");
    let text =
        zeroize::Zeroizing::new(format!("# created: {created}\n# public key: {recipient}\n{}\n", *secret));
    (text, recipient)
}

/// Writes an identity to a new file, readable by its owner alone.
pub(super) fn write_identity(path: &Path, text: &str) -> Result<()> {
    let doing = || format!("write the identity to {}", path.display());
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        .map_err(|error| Error::with_source(ErrorKind::Failed, doing(), error))
}

/// For whom a backup is sealed: recipients, a key command, a passphrase, or several of them. A passphrase is asked for on a
/// terminal when nothing is given.
pub(super) fn recipients(
    given: &[String],
    command: Option<KeyCommand>,
    passphrase: &PassphraseArgs,
) -> Result<Vec<Recipient>> {
    let now = Clock::System.now();
    let mut recipients = Vec::new();
    for word in given {
        recipients.extend(custody::recipients(word, now)?);
    }
    recipients.extend(command.map(|command| Recipient::Keeper(Arc::new(command))));
    let secret = match passphrase.read()? {
        Some(secret) => Some(secret),
        None if recipients.is_empty() => Some(ask_passphrase("Passphrase for the archive", true)?),
        None => None,
    };
    if let Some(secret) = secret {
        recipients.push(Recipient::passphrase(Passphrase::new(secret.as_str())?));
    }
    Ok(recipients)
}

/// For whom an archive that exists is sealed, too or anew.
pub(super) fn new_recipients(new: &NewKeysArgs) -> Result<Vec<Recipient>> {
    if !new.is_given() {
        return Err(Error::new(ErrorKind::Usage, "no new key is named")
            .hint("give --recipient, --new-passphrase-file or --new-key-command"));
    }
    let command = new.new_key_command.clone().map(|command| KeyCommand { command, timeout: NEW_KEY_COMMAND });
    let mut recipients = Vec::new();
    for word in &new.recipients {
        recipients.extend(custody::recipients(word, Clock::System.now())?);
    }
    recipients.extend(command.map(|command| Recipient::Keeper(Arc::new(command))));
    if let Some(path) = &new.new_passphrase_file {
        let from = PassphraseArgs { passphrase_file: Some(path.clone()), ..PassphraseArgs::default() };
        let secret = from.read()?.unwrap_or_default();
        recipients.push(Recipient::passphrase(Passphrase::new(secret.as_str())?));
    }
    Ok(recipients)
}

/// Unlocks an archive with what is given.
pub(super) async fn unlock(found: Found, unlock: &UnlockArgs) -> Result<OpenArchive> {
    let keys = keys_of(&found, unlock).await?;
    found.open(keys)
}

/// The keys of an archive, by what is given. When nothing is, `gpg` is asked if it is sealed for an OpenPGP key, and a
/// passphrase is asked for if it is sealed with one.
pub(super) async fn keys_of(found: &Found, unlock: &UnlockArgs) -> Result<Keys> {
    let header = &found.located().header;
    if !header.encrypted {
        return found.keys(&[]).await;
    }
    if unlock.is_given() {
        return found.keys(&identities(unlock)?).await;
    }
    let added = found.added().await?.iter().filter_map(|object| object.as_ref().ok());
    let kinds: Vec<WrapKind> =
        header.stanzas.iter().chain(added.flat_map(|object| &object.stanzas)).map(|s| s.kind).collect();
    let has = |kind| kinds.contains(&kind);
    let mut refused = None;
    if has(WrapKind::OpenPgp) && Gpg::is_installed() {
        match found.keys(&[Identity::Keeper(Arc::new(Gpg))]).await {
            Ok(keys) => return Ok(keys),
            Err(error) if error.kind() == ErrorKind::Key && has(WrapKind::Passphrase) => {
                refused = Some(error);
            }
            Err(error) => return Err(error),
        }
    }
    if !has(WrapKind::Passphrase) {
        return Err(refused.unwrap_or_else(|| nothing_given(found, &kinds)));
    }
    let secret = ask_passphrase("Passphrase of the archive", false)?;
    found.keys(&[Identity::Passphrase(Passphrase::new(secret.as_str())?)]).await
}

/// Says which kinds of key an archive needs.
fn nothing_given(found: &Found, kinds: &[WrapKind]) -> Error {
    let mut kinds: Vec<String> = kinds.iter().map(ToString::to_string).collect();
    kinds.sort();
    kinds.dedup();
    let message = format!("no key is given for {}, which is sealed for: {}", found.place(), kinds.join(", "));
    Error::new(ErrorKind::Key, message).hint("give --identity FILE, or --key-command for a KMS")
}

/// The identities that are given.
pub(super) fn identities(unlock: &UnlockArgs) -> Result<Vec<Identity>> {
    let prompt: SharedPrompt = Arc::new(Asked { file: unlock.identity_passphrase_file.clone() });
    let mut identities = Vec::new();
    for path in &unlock.identities {
        let doing = || format!("read the identity file {}", path.display());
        let bytes = std::fs::read(path)
            .map(zeroize::Zeroizing::new)
            .map_err(|error| Error::with_source(ErrorKind::Key, doing(), error))?;
        identities.extend(Identity::read(&bytes, &prompt).map_err(Error::from).context(doing)?);
    }
    identities.extend(unlock.command.command().map(|command| Identity::Keeper(Arc::new(command))));
    if unlock.gpg {
        identities.push(Identity::Keeper(Arc::new(Gpg)));
    }
    if let Some(secret) = unlock.passphrase.read()? {
        identities.push(Identity::Passphrase(Passphrase::new(secret.as_str())?));
    }
    Ok(identities)
}
