//! `pgcask erase rewrite`.

use std::collections::BTreeMap;
use std::sync::Arc;

use clap::Args;
use serde::Serialize;

use super::args::{FindArgs, UnlockArgs, actor, store_needed};
use super::backup::in_one_line;
use super::erase::LedgerArgs;
use super::erasures::{ErasureKeyArgs, Gathered};
use super::printer::{Printer, human_bytes, human_count, human_seconds};
use super::progress::Progress;
use super::{Context, keys, read, swap};
use crate::clock::Clock;
use crate::copies::rewrite::{self, Done, Found as FoundRows, Order};
use crate::custody;
use crate::erasure::{Erasures, Ledger};
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::event::SharedObserver;
use crate::exit::Exit;
use crate::opened::{Found, OpenArchive};
use crate::pg::quote::printable;
use crate::seal::recipient::{Fingerprint, Identity, Passphrase, Recipient, WrapKind, WrappedKey};
use crate::store::beside::Place;
use crate::store::get::Source;
use crate::store::list::{Backup, Filter, list};
use crate::store::naming::Kind;
use crate::store::searched::{self, Searched};
use crate::store::{Location, Store, sidecar};

/// Make new archives without the erased rows, which take the place of those that have them
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
Each backup that still has rows of the erasure ledger is read, sealed anew without them for the same
recipients, with time, kind and expiry of the old one, and verified. Then it takes the place of the old
one, which `pgcask prune --apply` removes after its grace period. Where foreign keys say so, rows that
reference an erased one go along or lose the reference; rows that would stay in the way refuse the
rewriting by name. A held backup stays as it is. Rewrite each store that has copies, too.

EXAMPLES
  What would be done:
    pgcask erase rewrite --all --database shop --store s3://backups/prod -i ~/pgcask.key --dry-run

  One backup:
    pgcask erase rewrite shop/latest:monthly --store s3://backups/prod -i ~/pgcask.key --yes

EXIT STATUS
  0 none of the backups has the rows any more · 1 failed · 2 usage · 3 damaged · 4 key · 8 store unreachable ·
  9 refused: held, not confirmed, or others reference the row · 130/143 stopped")]
pub struct RewriteArgs {
    /// The archive: a file, the URL of an object, or with --store `latest`, `latest:weekly`, `shop/latest`, an id
    #[arg(value_name = "ARCHIVE", default_value = "", hide_default_value = true, conflicts_with_all = ["all", "database"])]
    pub archive: String,
    /// All backups of the database, or of the store
    #[arg(long)]
    pub all: bool,
    /// Only backups of this database
    #[arg(long, value_name = "DATABASE")]
    pub database: Option<String>,
    /// Another store with copies of the backups; may be repeated
    #[arg(long, value_name = "STORE")]
    pub copy_to: Vec<String>,
    /// Show what would be done, and touch nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would print it as help text")]
    pub find: FindArgs,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would print it as help text")]
    pub unlock: UnlockArgs,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would print it as help text")]
    pub key: ErasureKeyArgs,
    /// What of that is configured.
    #[arg(skip)]
    pub ledger: LedgerArgs,
}

/// What becomes of one backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    /// Another takes its place.
    Rewritten,
    /// Another would.
    WouldBeRewritten,
    /// It has none of the rows.
    HasNone,
    /// It is held.
    Held,
    /// It could not be done.
    Failed,
}

/// One backup.
#[derive(Debug, Serialize)]
struct Row {
    archive: String,
    id: String,
    database: String,
    kind: Kind,
    outcome: Outcome,
    /// Why not.
    error: Option<String>,
    /// Which rows it has.
    found: Option<FoundRows>,
    /// What takes its place.
    made: Option<Done>,
}

/// Where a backup is.
struct Target {
    store: Store,
    backup: Backup,
}

impl RewriteArgs {
    /// What is to be filled from the configuration.
    pub(super) fn configurable(&mut self) -> &mut LedgerArgs {
        let of_archive = self.archive.rsplit_once('/').map(|(database, _)| database.to_owned());
        self.ledger.database = self.database.clone().or(of_archive);
        self.ledger.store.clone_from(&self.find.store);
        self.ledger.copy_to.clone_from(&self.copy_to);
        &mut self.ledger
    }

    /// Takes what was filled.
    pub(super) fn configured(&mut self) {
        self.find.store.clone_from(&self.ledger.store);
        self.copy_to.clone_from(&self.ledger.copy_to);
        if self.database.is_some() {
            self.database.clone_from(&self.ledger.database);
        }
    }

    pub(super) async fn run(&self, context: &Context) -> Result<Exit> {
        let printer = context.printer;
        let targets = self.targets(context).await?;
        if self.dry_run {
            context.record.nothing();
        } else {
            let count = targets.len();
            let question = format!(
                "{count} backups are looked through. Those that have rows of the erasure ledger are made anew without them, and\n\
                 `pgcask prune` removes the old ones after its grace period: what is in them is lost then."
            );
            swap::ask(self.yes, &question, "rewrite")?;
        }
        let mut ledgers: BTreeMap<String, Erasures> = BTreeMap::new();
        let (mut rows, mut first) = (Vec::new(), None);
        for target in &targets {
            context.stop.check()?;
            let database = &target.backup.facts.database;
            if !ledgers.contains_key(database) {
                ledgers.insert(database.clone(), self.erasures(target, database).await?);
            }
            let Some(erasures) = ledgers.get(database) else { continue };
            let row = Box::pin(self.one(target, erasures, context)).await;
            let (row, error) = row.unwrap_or_else(|error| target.failed(error));
            if !printer.json {
                tell(printer, &row)?;
            }
            first = first.or(error);
            rows.push(row);
        }
        let made: Vec<&str> = rows.iter().filter_map(|row| Some(row.made.as_ref()?.id.as_str())).collect();
        context.record.detail("backups", &rows.len());
        context.record.detail("rewritten", &made.join(" "));
        if printer.json {
            printer.json(&rows)?;
        } else if made.is_empty() && self.dry_run {
            printer.line("nothing was touched")?;
        }
        if !made.is_empty() {
            printer
                .info("`pgcask prune --apply` marks the old ones, and removes them after its grace period");
        }
        first.map_or(Ok(Exit::Good), Err)
    }

    /// The backups that are looked through. Those whose place another has are left out.
    async fn targets(&self, context: &Context) -> Result<Vec<Target>> {
        let listed = |store: Store, database: Option<String>| async move {
            let filter = Filter { database, ..Filter::default() };
            let backups = list(&store, &filter).await?.backups;
            Ok::<_, Error>(backups.into_iter().map(move |backup| Target { store: store.clone(), backup }))
        };
        if self.all {
            let first = store_needed(self.find.store.as_deref(), "--store")?;
            let mut all = Vec::new();
            for place in std::iter::once(first).chain(self.copy_to.iter().map(String::as_str)) {
                let store = Location::parse(place)?.open_existing()?;
                context.record.store(&store);
                let found = listed(store, self.database.clone()).await?;
                all.extend(found.filter(|target| target.backup.superseded_by.is_none()));
            }
            return Ok(all);
        }
        let place = self.find.place(&self.archive).await?;
        context.record.archive(&place);
        let Place { store, key } = Place::of(&place)?;
        let database = crate::store::naming::parse(&key).map(|facts| facts.database);
        let mut found = listed(store, database).await?;
        let target = found.find(|target| target.backup.key == key).ok_or_else(|| {
            Error::new(ErrorKind::Refused, format!("{} is no backup in a store", printable(&place)))
                .hint("only what a listing shows can be superseded")
        })?;
        if let Some(id) = &target.backup.superseded_by {
            let message = format!("{} is superseded by {id} already", printable(&place));
            return Err(Error::new(ErrorKind::Refused, message));
        }
        Ok(vec![target])
    }

    /// The entries that hold for a database, of all stores that are known.
    async fn erasures(&self, target: &Target, database: &str) -> Result<Erasures> {
        let mut all = Gathered::default();
        all.take(&Ledger::of(&target.store, database)).await?;
        for place in self.find.store.iter().chain(&self.copy_to) {
            let store = Location::parse(place)?.open_existing()?;
            all.take(&Ledger::of(&store, database)).await?;
        }
        let erasures = Erasures { entries: all.entries(), key: self.key.read()? };
        erasures.check()?;
        Ok(erasures)
    }

    /// One backup; an error besides, which ends the others not.
    async fn one(
        &self,
        target: &Target,
        erasures: &Erasures,
        context: &Context,
    ) -> Result<(Row, Option<Error>)> {
        let Target { store, backup } = target;
        let mut row = target.row(Outcome::HasNone);
        let before = sidecar::read(store, &backup.key).await?.and_then(|metadata| metadata.rewritten);
        let mut without = before.map(|before| before.entries).unwrap_or_default();
        without.extend(searched::entries(store, backup).await?);
        if erasures.entries.iter().all(|entry| without.contains(&entry.id)) {
            return Ok((row, None));
        }
        let place = store.display(&backup.key);
        read::announce(&place, context.printer).await?;
        let located = Found::locate(Source::open(&place).await?).await?;
        let recipients = self.recipients(&located, context.printer).await?;
        let wrapped = located.located().header.stanzas.clone();
        let archive = keys::unlock(located, &self.unlock).await?;
        let found = rewrite::find(&archive, erasures, &context.stop).await?;
        if found.is_empty() {
            if !self.dry_run {
                remember(target, &found, &without).await?;
            }
            row.found = Some(found);
            return Ok((row, None));
        }
        if backup.is_held() {
            let message = format!("{place} has rows of the erasure ledger, is held, and stays as it is");
            let error = Error::new(ErrorKind::Refused, message).hint(
                "`pgcask hold list` says who holds it and why; a restore erases the rows again all the same",
            );
            row.error = Some(in_one_line(&error));
            (row.outcome, row.found) = (Outcome::Held, Some(found));
            return Ok((row, Some(error)));
        }
        row.outcome = Outcome::WouldBeRewritten;
        if !self.dry_run {
            let recipients = sealed_for(recipients, &wrapped, &archive, context.printer).await?;
            row.made = Some(make(&archive, &found, recipients, context).await?);
            row.outcome = Outcome::Rewritten;
        }
        row.found = Some(found);
        Ok((row, None))
    }

    /// For whom it is sealed besides those whose public keys it keeps: the passphrase and the command must be given, too, or
    /// whoever has only them could not open the new one.
    async fn recipients(&self, found: &Found, printer: Printer) -> Result<Vec<Recipient>> {
        let header = &found.located().header;
        let has = |kind| header.stanzas.iter().any(|stanza| stanza.kind == kind);
        let lacks = |what: &str, hint: &str| {
            let message = format!("{} can be opened by {what}, which is not given", found.place());
            Error::new(ErrorKind::Key, message).hint(hint).hint("the new archive is sealed for the same")
        };
        let mut all = Vec::new();
        if !header.encrypted {
            return Ok(all);
        }
        if has(WrapKind::Passphrase) {
            let secret = self.unlock.passphrase.read()?;
            let secret = secret.ok_or_else(|| lacks("a passphrase", "give --passphrase-file"))?;
            found.keys(&[Identity::Passphrase(Passphrase::new(secret.as_str())?)]).await?;
            all.push(Recipient::passphrase(Passphrase::new(secret.as_str())?));
        }
        if has(WrapKind::Command) {
            let command = self.unlock.command.command();
            let command = command.ok_or_else(|| lacks("a key command", "give --key-command"))?;
            all.push(Recipient::Keeper(Arc::new(command)));
        }
        let added = found.added().await?.len();
        if added > 0 {
            printer.warning(&format!(
                "{}: keys that were added later do not open the new archive; `pgcask key add` adds them to it",
                found.place()
            ));
        }
        Ok(all)
    }
}

/// Those for whom the archive is sealed, with those whose public keys it keeps.
async fn sealed_for(
    mut recipients: Vec<Recipient>,
    wrapped: &[WrappedKey],
    archive: &OpenArchive,
    printer: Printer,
) -> Result<Vec<Recipient>> {
    if !archive.is_encrypted() {
        return Ok(recipients);
    }
    let (known, gone) = custody::still_good(&archive.manifest().await?.recipients, Clock::System.now());
    for error in gone {
        printer.warning(&format!(
            "one who opens the old archive cannot open the new one: {}",
            in_one_line(&error)
        ));
    }
    for word in known {
        recipients.extend(custody::recipients(&word, Clock::System.now())?);
    }
    let sealed: Vec<Fingerprint> = recipients.iter().filter_map(Recipient::fingerprint).collect();
    let by_key = wrapped.iter().filter(|key| matches!(key.kind, WrapKind::Age | WrapKind::OpenPgp));
    for key in by_key.filter(|key| !sealed.contains(&key.fingerprint)) {
        printer.warning(&format!(
            "the new archive is not sealed for {} {}, whose public key the old one does not keep: `pgcask key add`",
            key.kind, key.fingerprint
        ));
    }
    if recipients.is_empty() {
        let message = "the archive does not say for whom it is sealed, and the new one would be for nobody";
        return Err(Error::new(ErrorKind::Key, message).hint("`pgcask copy --rekey` names recipients anew"));
    }
    Ok(recipients)
}

/// Leaves beside a backup that it has none of the rows. Of a table that it does not know nobody can say so.
async fn remember(target: &Target, found: &FoundRows, noted: &[String]) -> Result<()> {
    let known = found.entries.iter().filter(|entry| entry.known).map(|entry| entry.entry.clone());
    let entries: Vec<String> = known.filter(|entry| !noted.contains(entry)).collect();
    if entries.is_empty() {
        return Ok(());
    }
    let searched = Searched { at: Clock::System.now(), by: actor(), entries };
    let put = searched.put(&target.store, &target.backup.key).await;
    put.context(|| "leave beside the backup what it was searched for".to_owned())
}

async fn make(
    archive: &OpenArchive,
    found: &FoundRows,
    recipients: Vec<Recipient>,
    context: &Context,
) -> Result<Done> {
    let order = Order { recipients, actor: actor(), at: Clock::System.now() };
    let progress = Progress::new(context.printer, context.bar);
    let observer: SharedObserver = Arc::<Progress>::clone(&progress);
    let done = Box::pin(rewrite::rewrite(archive, found, &order, &observer, &context.stop)).await;
    progress.finish();
    done
}

impl Target {
    fn row(&self, outcome: Outcome) -> Row {
        Row {
            archive: self.store.display(&self.backup.key),
            id: self.backup.facts.id.clone(),
            database: self.backup.facts.database.clone(),
            kind: self.backup.facts.kind,
            outcome,
            error: None,
            found: None,
            made: None,
        }
    }

    fn failed(&self, error: Error) -> (Row, Option<Error>) {
        let row = Row { error: Some(in_one_line(&error)), ..self.row(Outcome::Failed) };
        (row, Some(error.context(format!("rewrite {}", self.store.display(&self.backup.key)))))
    }
}

fn tell(printer: Printer, row: &Row) -> Result<()> {
    let place = printable(&row.archive);
    let said = match (row.outcome, &row.made) {
        (Outcome::HasNone, _) => "has none of the rows".to_owned(),
        (Outcome::Held, _) => "has the rows, and is held: it stays as it is".to_owned(),
        (Outcome::Failed, _) => format!("failed: {}", row.error.as_deref().unwrap_or_default()),
        (_, Some(made)) => format!(
            "superseded by {}: {} in {}",
            printable(&made.archive),
            human_bytes(made.bytes),
            human_seconds(made.seconds)
        ),
        (_, None) => "would be superseded".to_owned(),
    };
    printer.line(&format!("{place}: {said}"))?;
    let Some(found) = &row.found else { return Ok(()) };
    for (list, what) in [
        (&found.tables, "go"),
        (&found.along, "go along, by foreign keys"),
        (&found.emptied, "lose their reference, by foreign keys"),
    ] {
        for changed in list {
            printer.line(&format!("  {}: {} rows {what}", changed.table, human_count(changed.rows)))?;
        }
    }
    found.not_there.iter().try_for_each(|table| printer.line(&format!("  not there: {table}")))
}
