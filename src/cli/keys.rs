//! `pgcask keygen`, and the keys that commands are given.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::Context;
use super::args::{PassphraseArgs, UnlockArgs};
use super::backup::expand_recipients;
use super::prompt::ask_passphrase;
use crate::archive::Located;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::exit::Exit;
use crate::seal::recipient::{Identity, Passphrase, Recipient, generate_identity};

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
        let (secret, recipient) = generate_identity();
        let created = crate::clock::Clock::System.now().strftime("%Y-%m-%dT%H:%M:%SZ");
        let text = zeroize::Zeroizing::new(format!(
            "# created: {created}\n# public key: {recipient}\n{}\n",
            *secret
        ));
        if let Some(path) = &self.output {
            let doing = || format!("write the identity to {}", path.display());
            let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
            file.and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
                .map_err(|error| Error::with_source(ErrorKind::Failed, doing(), error))?;
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

/// For whom a backup is sealed: recipients, a passphrase, or both. Asked for on a terminal when nothing is given.
pub(super) fn recipients(
    given: &[String],
    passphrase: &PassphraseArgs,
    no_encrypt: bool,
) -> Result<Vec<Recipient>> {
    if no_encrypt {
        return Ok(Vec::new());
    }
    let texts = expand_recipients(given)
        .map_err(|error| Error::with_source(ErrorKind::Key, "read the recipients", error))?;
    let mut recipients = Vec::new();
    for text in &texts {
        recipients
            .push(Recipient::parse(text).map_err(Error::from).context(|| "read the recipients".to_owned())?);
    }
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

/// The identities to open an archive with. A passphrase is asked for only when nothing else is given.
pub(super) fn identities(unlock: &UnlockArgs, located: &Located) -> Result<Vec<Identity>> {
    let mut identities = Vec::new();
    if !located.header.encrypted {
        return Ok(identities);
    }
    for path in &unlock.identities {
        let doing = || format!("read the identity file {}", path.display());
        let text = std::fs::read_to_string(path)
            .map(zeroize::Zeroizing::new)
            .map_err(|error| Error::with_source(ErrorKind::Key, doing(), error))?;
        identities.extend(Identity::parse_file(&text).map_err(Error::from).context(doing)?);
    }
    if let Some(secret) = unlock.passphrase.read()? {
        identities.push(Identity::Passphrase(Passphrase::new(secret.as_str())?));
    }
    if identities.is_empty() {
        let secret = ask_passphrase("Passphrase of the archive", false)?;
        identities.push(Identity::Passphrase(Passphrase::new(secret.as_str())?));
    }
    Ok(identities)
}
