//! `pgcask key`: who can open an archive, and opening it to more.

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde::Serialize;

use super::args::{FindArgs, NewKeysArgs, UnlockArgs};
use super::printer::Printer;
use super::{Context, keys};
use crate::archive::{AddedKeys, Header};
use crate::clock::Clock;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::exit::Exit;
use crate::limits::MAX_ADDED_KEYS;
use crate::opened::{Found, added_end};
use crate::pg::quote::printable;
use crate::seal::data_key::Keys;
use crate::seal::recipient::{Fingerprint, Recipient, WrapKind, WrappedKey};
use crate::store::beside::{self, Place};
use crate::store::get::Source;
use crate::store::{StoreError, locks};

/// Show who can open an archive, and open it to more
#[derive(Debug, Clone, Args)]
pub struct KeyArgs {
    /// What to do
    #[command(subcommand)]
    pub action: KeyAction,
}

/// The actions.
#[derive(Debug, Clone, Subcommand)]
#[expect(missing_docs, reason = "each action's arguments carry its help text")]
pub enum KeyAction {
    List(KeyListArgs),
    Add(KeyAddArgs),
    Remove(KeyRemoveArgs),
}

/// List the recipients of an archive; with a key, also who they are
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
EXIT STATUS
  0 listed · 2 usage · 3 added keys are damaged or not authentic · 4 key · 8 store unreachable")]
pub struct KeyListArgs {
    /// The archive: a file, the URL of an object, or with --store `latest`, `latest:weekly`, `shop/latest`, an id
    #[arg(value_name = "ARCHIVE")]
    pub archive: String,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would print it as help text")]
    pub find: FindArgs,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would print it as help text")]
    pub unlock: UnlockArgs,
}

/// Let more recipients open an archive: its key is wrapped for them in a new object beside it, and no row is touched
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
EXAMPLES
  A new colleague:
    pgcask key add shop/latest --store /backups -i ~/pgcask.key --recipient carol@example.com

EXIT STATUS
  0 added, or all were there · 2 usage · 3 damaged · 4 key · 8 store unreachable · 9 not encrypted")]
pub struct KeyAddArgs {
    /// The archive: a file, the URL of an object, or with --store `latest`, `latest:weekly`, `shop/latest`, an id
    #[arg(value_name = "ARCHIVE")]
    pub archive: String,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would print it as help text")]
    pub new: NewKeysArgs,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would print it as help text")]
    pub find: FindArgs,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would print it as help text")]
    pub unlock: UnlockArgs,
}

/// Tell how a recipient is removed: by sealing anew
#[derive(Debug, Clone, Args)]
pub struct KeyRemoveArgs {
    /// The archive
    #[arg(value_name = "ARCHIVE")]
    pub archive: String,
    /// The recipient's fingerprint, as `key list` shows it
    #[arg(value_name = "KEY")]
    pub key: Option<String>,
}

impl KeyArgs {
    /// Runs the command.
    pub async fn run(&self, context: &Context) -> Result<Exit> {
        match &self.action {
            KeyAction::List(args) => args.run(context).await,
            KeyAction::Add(args) => args.run(context).await,
            KeyAction::Remove(args) => Err(args.refusal()),
        }
    }
}

/// A recipient, as it is listed.
#[derive(Debug, Serialize)]
struct Row {
    kind: String,
    fingerprint: String,
    /// When it became one.
    added_at: String,
    /// `archive`, or the name of the object with added keys.
    place: String,
    /// Its public text, or an OpenPGP key's fingerprint and name, where the archive could be opened and tells.
    recipient: Option<String>,
    /// Whether the archive's key says that it was made by somebody who had it; none when that was not checked.
    authentic: Option<bool>,
}

impl KeyListArgs {
    async fn run(&self, context: &Context) -> Result<Exit> {
        let printer = context.printer;
        let place = self.find.place(&self.archive).await?;
        let found = Found::locate(Source::open(&place).await?).await?;
        let header = found.located().header.clone();
        let mut wrong = Vec::new();
        let mut added = Vec::new();
        for object in found.added().await? {
            match object {
                Ok(object) => added.push(object.clone()),
                Err(error) => wrong.push(error.to_string()),
            }
        }
        let (mut keys, mut known) = (None, Vec::new());
        if header.encrypted && self.unlock.is_given() {
            let unlocked = keys::keys_of(&found, &self.unlock).await?;
            let manifest = found.open(unlocked.clone())?.manifest().await?;
            known = manifest.recipients.iter().filter_map(|text| Recipient::parse(text).ok()).collect();
            keys = Some(unlocked);
        }
        let rows = rows(&header, &added, keys.as_ref(), &known);
        let forged = rows.iter().filter(|row| row.authentic == Some(false));
        wrong.extend(forged.map(|row| format!("{} is not authentic", row.place)));
        if printer.json {
            printer.json(&serde_json::json!({
                "archive": place, "encrypted": header.encrypted, "recipients": rows, "damaged": wrong,
            }))?;
        } else if header.encrypted {
            printer.line(&format!(
                "{:<10}  {:<16}  {:<20}  {:<9}  RECIPIENT",
                "KIND", "KEY", "SINCE (UTC)", "IN"
            ))?;
            for Row { kind, fingerprint, added_at, place, recipient, .. } in &rows {
                let who = printable(recipient.as_deref().unwrap_or_default());
                let line = format!("{kind:<10}  {fingerprint:<16}  {added_at:<20}  {place:<9}  {who}");
                printer.line(line.trim_end())?;
            }
        } else {
            printer.line("not encrypted: whoever has the archive reads it")?;
        }
        for what in &wrong {
            printer.warning(what);
        }
        Ok(if wrong.is_empty() { Exit::Good } else { Exit::Damaged })
    }
}

fn rows(header: &Header, added: &[AddedKeys], keys: Option<&Keys>, known: &[Recipient]) -> Vec<Row> {
    let row = |stanza: &WrappedKey, micros: i64, place: String, authentic: Option<bool>| {
        let is = |recipient: &&Recipient| recipient.fingerprint() == Some(stanza.fingerprint);
        Row {
            kind: stanza.kind.to_string(),
            fingerprint: stanza.fingerprint.to_string(),
            added_at: moment(micros),
            place,
            recipient: known.iter().find(is).and_then(Recipient::describe),
            authentic,
        }
    };
    let own = header.stanzas.iter().filter(|stanza| stanza.kind != WrapKind::Clear);
    let own = own.map(|stanza| row(stanza, header.created_micros, "archive".to_owned(), keys.map(|_| true)));
    let more = added.iter().flat_map(|object| {
        let authentic = keys.map(|keys| object.authenticate(header, keys).is_ok());
        let place = format!(".{}", added_end(object.number));
        object.stanzas.iter().map(move |stanza| row(stanza, object.added_micros, place.clone(), authentic))
    });
    own.chain(more).collect()
}

fn moment(micros: i64) -> String {
    let moment = Timestamp::from_microsecond(micros);
    moment.map_or_else(|_| "?".to_owned(), |moment| moment.strftime("%Y-%m-%d %H:%M:%S").to_string())
}

impl KeyAddArgs {
    async fn run(&self, context: &Context) -> Result<Exit> {
        let printer = context.printer;
        let recipients = keys::new_recipients(&self.new)?;
        let archive = self.find.place(&self.archive).await?;
        context.record.archive(&archive);
        let found = Found::locate(Source::open(&archive).await?).await?;
        let header = &found.located().header;
        if !header.encrypted {
            return Err(Error::new(ErrorKind::Refused, "the archive is not encrypted: anybody can open it")
                .hint("`pgcask copy ARCHIVE --to STORE --rekey --recipient …` makes an encrypted one"));
        }
        let unlocked = keys::keys_of(&found, &self.unlock).await?;
        let objects = found.added().await?;
        let added =
            objects.iter().filter_map(|object| object.as_ref().ok()).flat_map(|object| &object.stanzas);
        let present: Vec<Fingerprint> = header.stanzas.iter().chain(added).map(|s| s.fingerprint).collect();
        let is_there =
            |recipient: &Recipient| recipient.fingerprint().is_some_and(|found| present.contains(&found));
        let (already, wanted): (Vec<_>, Vec<_>) = recipients.into_iter().partition(is_there);
        let already: Vec<String> = already.iter().filter_map(Recipient::describe).collect();
        for who in &already {
            printer.info(&format!("{who} can open it already"));
        }
        let mut made = None;
        if !wanted.is_empty() {
            let object = AddedKeys::create(header, &unlocked, Clock::System.now().as_microsecond(), &wanted)
                .context(|| "wrap the archive's key".to_owned())?;
            let end = put(&archive, &object, objects.len()).await?;
            lock(&archive, &end, printer).await?;
            made = Some((object, end));
        }
        let stanzas = made.iter().flat_map(|(object, _)| &object.stanzas);
        let shown: Vec<_> = stanzas
            .map(|stanza| serde_json::json!({"kind": stanza.kind.to_string(), "fingerprint": stanza.fingerprint.to_string()}))
            .collect();
        if printer.json {
            let object = made.as_ref().map(|(_, end)| format!("{archive}.{end}"));
            printer.json(&serde_json::json!({
                "archive": archive, "object": object, "added": shown, "already": already,
            }))?;
        } else if let Some((object, end)) = &made {
            for stanza in &object.stanzas {
                printer.line(&format!("{} {} added in {archive}.{end}", stanza.kind, stanza.fingerprint))?;
            }
        }
        Ok(Exit::Good)
    }
}

/// Locks the object as the archive is locked: who has that key alone depends on it.
async fn lock(archive: &str, end: &str, printer: Printer) -> Result<()> {
    let Place { store, key } = Place::of(archive)?;
    if let Err(error) = locks::as_archive(&store, &key, &[format!("{key}.{end}")]).await {
        printer
            .warning(&format!("the added keys are not locked in the store as the archive may be: {error}"));
    }
    Ok(())
}

/// Puts the object under the next free number. Two who add at the same time get one each.
async fn put(archive: &str, object: &AddedKeys, there: usize) -> Result<String> {
    let Place { store, key } = Place::of(archive)?;
    let first = u32::try_from(there).unwrap_or(u32::MAX).saturating_add(1);
    for number in first..=MAX_ADDED_KEYS {
        let end = added_end(number);
        match beside::put(&store, &key, &end, object.as_bytes().to_vec()).await {
            Ok(()) => return Ok(end),
            Err(StoreError::AlreadyExists { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Error::new(
        ErrorKind::Failed,
        format!("the archive has {MAX_ADDED_KEYS} objects with added keys already"),
    )
    .hint("`pgcask copy ARCHIVE --to STORE --rekey --recipient …` makes an archive for all of them"))
}

impl KeyRemoveArgs {
    fn refusal(&self) -> Error {
        let who = self.key.as_deref().map_or_else(|| "a recipient".to_owned(), printable);
        Error::new(
            ErrorKind::Refused,
            format!("{who} cannot be taken off an archive: who could open it may have its key, and copies of it"),
        )
        .hint(format!(
            "`pgcask copy {} --to STORE --rekey --recipient …` makes a new archive, under a new key, for those who are to \
             keep access",
            printable(&self.archive)
        ))
        .hint("verify the new one, then delete the old one; copies of it that somebody made stay open to them")
    }
}
