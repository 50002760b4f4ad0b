//! `pgcask erase`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Context;
use super::args::{actor, store_needed, table};
use super::erase_record::RecordArgs;
use super::erase_rewrite::RewriteArgs;
use super::erasures::ErasureKeyArgs;
use super::printer::{Printer, human_count};
use crate::clock::Clock;
use crate::erasure::{Entry, Erasures, Ledger, Recorded, Rows, Table, Withdrawal, count, csv};
use crate::error::{Error, ErrorKind, Result};
use crate::exit::Exit;
use crate::operate::erasure::{self, ErasureReport, Prospect};
use crate::pg::quote::printable;
use crate::pg::{ConnectOptions, EnvLookup, PgError, Session, SessionKind};
use crate::plan::select::Pattern;
use crate::store::list::{Filter, list};
use crate::store::{Location, Store};

/// Keep what was erased erased: a ledger that every restore applies
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
Backups that are older than an erasure still have the row. The ledger lies beside the backups of a
database; every restore deletes what it names before the restored database is used, and says so. Rows
are named by the values of columns; with --hash the ledger holds only keyed hashes of them.

EXAMPLES
  After the row was deleted in the database:
    pgcask erase record shop --store s3://backups/prod --table public.users --key id=42 \\
      --reason 'GDPR 17' --request DSR-2026-117 --live postgres://db.example/shop

  Keys of two columns, two rows:
    pgcask erase record shop --table sales.members --key tenant=7 --key id=1 --key tenant=7 --key id=2 --reason …

  Many rows; the first line of the file names the columns:
    pgcask erase record shop --table public.users --keys-from erased.csv --reason …

  When are they gone from all backups, and does the live database still have them:
    pgcask erase report shop --store s3://backups/prod --live postgres://db.example/shop

  Take them out of the backups that are there, without waiting until these expire:
    pgcask erase rewrite --all --database shop --store s3://backups/prod -i ~/pgcask.key --dry-run

EXIT STATUS
  0 done · 1 failed · 2 usage · 3 damaged · 4 key · 8 store unreachable · 9 refused: the live database still has the row,
  the backup is held, or others reference the row")]
pub struct EraseArgs {
    /// What to do
    #[command(subcommand)]
    pub action: EraseAction,
}

/// What to do about the ledger.
#[derive(Debug, Clone, Subcommand)]
#[expect(missing_docs, reason = "each action's arguments carry its help text")]
pub enum EraseAction {
    Record(RecordArgs),
    Withdraw(WithdrawArgs),
    List(ListArgs),
    Report(ReportArgs),
    Rewrite(Box<RewriteArgs>),
}

/// Which ledger.
#[derive(Debug, Clone, Default, Args)]
pub struct LedgerArgs {
    /// The database [default: the one whose backups are in the store]
    #[arg(value_name = "DATABASE")]
    pub database: Option<String>,
    /// The store: a directory, or `s3://bucket/prefix`, `gs://…`, `az://…`
    #[arg(long, value_name = "STORE", env = "PGCASK_STORE")]
    pub store: Option<String>,
    /// Another store with copies of the backups, which has the same ledger; may be repeated
    #[arg(long, value_name = "STORE")]
    pub copy_to: Vec<String>,
}

/// Which rows.
#[derive(Debug, Clone, Default, Args)]
pub struct KeyArgs {
    /// The table: SCHEMA.NAME, or NAME in the schema public
    #[arg(short, long, value_name = "TABLE")]
    pub table: Option<String>,
    /// A row by the value of a column; may be repeated for keys of several columns. A column that was given already begins the
    /// next row
    #[arg(short, long = "key", value_name = "COLUMN=VALUE")]
    pub keys: Vec<String>,
    /// Rows by a CSV file whose first line names the columns; `-` for stdin
    #[arg(long, value_name = "FILE", conflicts_with = "keys")]
    pub keys_from: Option<PathBuf>,
}

/// End an entry, for instance because the key belongs to another row now
#[derive(Debug, Clone, Args)]
pub struct WithdrawArgs {
    /// The entry's id, or its beginning
    #[arg(value_name = "ENTRY")]
    pub entry: String,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would print it as help text")]
    pub ledger: LedgerArgs,
    /// Why
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
}

/// List the entries
#[derive(Debug, Clone, Args)]
pub struct ListArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would print it as help text")]
    pub ledger: LedgerArgs,
    /// Those that were withdrawn, too
    #[arg(long)]
    pub withdrawn: bool,
}

/// Show when erased rows are gone from all backups
#[derive(Debug, Clone, Args)]
pub struct ReportArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would print it as help text")]
    pub ledger: LedgerArgs,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would print it as help text")]
    pub rows: KeyArgs,
    /// Ask the live database whether it has the rows still, or again
    #[arg(long, value_name = "DBURL")]
    pub live: Option<String>,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would print it as help text")]
    pub key: ErasureKeyArgs,
}

impl EraseAction {
    /// Which ledger it is about.
    pub(super) fn ledger(&mut self) -> &mut LedgerArgs {
        match self {
            Self::Record(args) => &mut args.ledger,
            Self::Withdraw(args) => &mut args.ledger,
            Self::List(args) => &mut args.ledger,
            Self::Report(args) => &mut args.ledger,
            Self::Rewrite(args) => args.configurable(),
        }
    }

    /// The live database, where one is named.
    pub(super) const fn live(&mut self) -> Option<&mut Option<String>> {
        match self {
            Self::Record(RecordArgs { live: live @ Some(_), .. })
            | Self::Report(ReportArgs { live: live @ Some(_), .. }) => Some(live),
            _ => None,
        }
    }

    /// How hashed entries are read and made.
    pub(super) const fn key(&mut self) -> Option<&mut ErasureKeyArgs> {
        match self {
            Self::Record(args) => Some(&mut args.key),
            Self::Report(args) => Some(&mut args.key),
            Self::Rewrite(args) => Some(&mut args.key),
            Self::Withdraw(_) | Self::List(_) => None,
        }
    }

    /// The name of what is written into the audit log.
    pub(super) const fn audited(&self) -> Option<&'static str> {
        match self {
            Self::Record(_) => Some("erase record"),
            Self::Withdraw(_) => Some("erase withdraw"),
            Self::List(_) => None,
            Self::Report(_) => Some("erase report"),
            Self::Rewrite(_) => Some("erase rewrite"),
        }
    }
}

impl EraseArgs {
    /// Runs the command.
    pub async fn run(&self, context: &Context) -> Result<Exit> {
        match &self.action {
            EraseAction::Record(args) => args.run(context).await,
            EraseAction::Withdraw(args) => args.run(context).await,
            EraseAction::List(args) => args.run(context.printer).await,
            EraseAction::Report(args) => args.run(context).await,
            EraseAction::Rewrite(args) => Box::pin(args.run(context)).await,
        }
    }
}

/// Opened stores, and the database whose ledger is meant.
pub(super) struct Opened {
    pub(super) stores: Vec<Store>,
    pub(super) database: String,
}

impl LedgerArgs {
    pub(super) async fn open(&self) -> Result<Opened> {
        let first = store_needed(self.store.as_deref(), "--store")?;
        let places = std::iter::once(first).chain(self.copy_to.iter().map(String::as_str));
        let stores: Vec<Store> =
            places.map(|place| Ok(Location::parse(place)?.open_existing()?)).collect::<Result<_>>()?;
        let database = match (&self.database, stores.first()) {
            (Some(database), _) => database.clone(),
            (None, Some(store)) => only_database(store).await?,
            (None, None) => return Err(Error::new(ErrorKind::Usage, "no store is named")),
        };
        Ok(Opened { stores, database })
    }
}

/// The database whose backups are in a store, if it is one.
async fn only_database(store: &Store) -> Result<String> {
    let mut names: Vec<String> = list(store, &Filter::default())
        .await?
        .backups
        .into_iter()
        .map(|backup| backup.facts.database)
        .collect();
    names.sort();
    names.dedup();
    match <[String; 1]>::try_from(names) {
        Ok([name]) => Ok(name),
        Err(names) => {
            let message = format!("the store has backups of {} databases, and none is named", names.len());
            Err(Error::new(ErrorKind::Usage, message).hint("name the database: pgcask erase … DATABASE"))
        }
    }
}

impl KeyArgs {
    pub(super) fn table(&self) -> Result<Option<Table>> {
        let Some(text) = &self.table else { return Ok(None) };
        let (schema, name) = Pattern::plain_name(text).ok_or_else(|| {
            Error::new(ErrorKind::Usage, format!("{} is no name: SCHEMA.NAME", printable(text)))
        })?;
        Ok(Some(Table { schema: schema.unwrap_or_else(|| "public".to_owned()), name }))
    }

    /// Columns and values, of as many rows as were given.
    pub(super) fn keys(&self) -> Result<csv::Listed> {
        if let Some(file) = &self.keys_from {
            let doing = || format!("read the keys from {}", file.display());
            let text = if file.as_os_str() == "-" {
                std::io::read_to_string(std::io::stdin())
            } else {
                std::fs::read_to_string(file)
            };
            let text = text.map_err(|error| Error::with_source(ErrorKind::Failed, doing(), error))?;
            return csv::keys(&text);
        }
        let mut rows: Vec<Vec<(String, String)>> = Vec::new();
        for text in &self.keys {
            let (column, value) = text.split_once('=').ok_or_else(|| {
                Error::new(ErrorKind::Usage, format!("{} is no COLUMN=VALUE", printable(text)))
            })?;
            let (column, value) = (column.to_owned(), value.to_owned());
            match rows.last_mut().filter(|row| row.iter().all(|(name, _)| *name != column)) {
                Some(row) => row.push((column, value)),
                None => rows.push(vec![(column, value)]),
            }
        }
        let columns: Vec<String> = rows.first().into_iter().flatten().map(|(name, _)| name.clone()).collect();
        let sorted = |row: Vec<(String, String)>| -> Result<Vec<String>> {
            let value =
                |name: &String| row.iter().find(|(column, _)| column == name).map(|(_, value)| value.clone());
            let values: Option<Vec<String>> = columns.iter().map(value).collect();
            values.filter(|values| values.len() == row.len()).ok_or_else(|| {
                Error::new(ErrorKind::Usage, "the rows are not told by the same columns")
                    .hint("give --key for each column of each row")
            })
        };
        let values = rows.into_iter().map(sorted).collect::<Result<_>>()?;
        Ok((columns, values))
    }
}

pub(super) async fn session(url: &str) -> Result<(Session, String)> {
    let options = ConnectOptions::resolve(Some(url), &EnvLookup::system()).map_err(PgError::from)?;
    let shown = options.display();
    Ok((Session::open(&options, SessionKind::Target).await?, shown))
}

impl WithdrawArgs {
    async fn run(&self, context: &Context) -> Result<Exit> {
        let Opened { stores, database } = self.ledger.open().await?;
        stores.first().into_iter().for_each(|store| context.record.store(store));
        let all = erasure::entries(&stores, &database).await?;
        let meant: Vec<&Recorded> =
            all.iter().filter(|recorded| recorded.entry.id.starts_with(&self.entry)).collect();
        let [recorded] = meant.as_slice() else {
            let message = format!(
                "{} entries of {} begin with {}",
                meant.len(),
                printable(&database),
                printable(&self.entry)
            );
            return Err(Error::new(ErrorKind::Failed, message).hint("`pgcask erase list` shows them"));
        };
        let (at, by, reason) = (Clock::System.now(), actor(), self.reason.clone());
        let withdrawal = Withdrawal { format: 1, at, by, reason };
        for store in &stores {
            let ledger = Ledger::of(store, &database);
            ledger.add(&recorded.entry).await?;
            ledger.withdraw(&recorded.entry, &withdrawal).await?;
        }
        context.record.detail("entry", &recorded.entry.id);
        context.record.detail("reason", &self.reason);
        if context.printer.json {
            context.printer.json(&withdrawal)?;
        } else {
            context.printer.line(&format!("withdrawn: {}", recorded.entry.id))?;
        }
        Ok(Exit::Good)
    }
}

impl ListArgs {
    async fn run(&self, printer: Printer) -> Result<Exit> {
        let Opened { stores, database } = self.ledger.open().await?;
        let mut all = erasure::entries(&stores, &database).await?;
        all.retain(|recorded| self.withdrawn || recorded.withdrawn.is_none());
        if printer.json {
            printer.json(&all)?;
            return Ok(Exit::Good);
        }
        let heads = ["RECORDED (UTC)", "TABLE", "KEY", "ROWS", "REQUEST", "REASON", "STATE", "ID"];
        let mut rows = vec![heads.map(str::to_owned)];
        rows.extend(all.iter().map(|Recorded { entry, withdrawn }| {
            [
                entry.at.strftime("%Y-%m-%d %H:%M:%S").to_string(),
                entry.table.display(),
                keys(entry),
                human_count(entry.len()),
                printable(entry.request.as_deref().unwrap_or("-")),
                printable(&entry.reason),
                (if withdrawn.is_some() { "withdrawn" } else { "holds" }).to_owned(),
                entry.id.clone(),
            ]
        }));
        table(&rows, &[3]).iter().try_for_each(|line| printer.line(line))?;
        Ok(Exit::Good)
    }
}

/// The key of the first row, in short.
fn keys(entry: &Entry) -> String {
    match &entry.rows {
        Rows::Keys(rows) => {
            let first = rows.first().into_iter().flatten().zip(&entry.columns);
            let first: Vec<String> = first.map(|(value, column)| format!("{column}={value}")).collect();
            let more = if rows.len() > 1 { " …" } else { "" };
            printable(&format!("{}{more}", first.join(" ")))
        }
        Rows::Hashes { key, .. } => printable(&format!("{} (hashed, key {key})", entry.columns.join(" "))),
    }
}

impl ReportArgs {
    async fn run(&self, context: &Context) -> Result<Exit> {
        let printer = context.printer;
        let Opened { stores, database } = self.ledger.open().await?;
        stores.first().into_iter().for_each(|store| context.record.store(store));
        let mut all = erasure::entries(&stores, &database).await?;
        let key = self.key.read()?;
        if let Some(table) = self.rows.table()? {
            all.retain(|recorded| recorded.entry.table == table);
        }
        let (columns, values) = self.rows.keys()?;
        if !values.is_empty() {
            let names = |entry: &Entry| match &entry.rows {
                _ if entry.columns != columns => false,
                Rows::Keys(rows) => values.iter().any(|value| rows.contains(value)),
                Rows::Hashes { values: hashes, .. } => key.as_ref().is_some_and(|key| {
                    values.iter().any(|value| hashes.contains(&key.hash(&entry.table, &columns, value)))
                }),
            };
            all.retain(|recorded| names(&recorded.entry));
        }
        let (mut live, mut shown) = (None, None);
        if let Some(url) = &self.live {
            let entries = all.iter().map(|recorded| recorded.entry.clone()).collect();
            let (session, name) = session(url).await?;
            live = Some(count(&session, &Erasures { entries, key }).await?);
            shown = Some(name);
        }
        let mut report =
            erasure::report(&stores, &database, &all, live.as_deref(), Clock::System.now()).await?;
        report.live = shown;
        context.record.detail("entries", &report.entries.len());
        if printer.json {
            printer.json(&report)?;
        } else {
            tell(printer, &report)?;
        }
        Ok(Exit::Good)
    }
}

fn tell(printer: Printer, report: &ErasureReport) -> Result<()> {
    let heads = ["RECORDED (UTC)", "TABLE", "ROWS", "REQUEST", "LIVE", "BACKUPS", "GONE FROM BACKUPS", "ID"];
    let mut rows = vec![heads.map(str::to_owned)];
    rows.extend(report.entries.iter().map(|entry| {
        [
            entry.at.strftime("%Y-%m-%d %H:%M:%S").to_string(),
            entry.table.display(),
            human_count(entry.rows),
            printable(entry.request.as_deref().unwrap_or("-")),
            entry.live_rows.map_or_else(|| "?".to_owned(), human_count),
            human_count(entry.backups),
            gone(entry),
            entry.entry.clone(),
        ]
    }));
    table(&rows, &[2, 4, 5]).iter().try_for_each(|line| printer.line(line))?;
    for backup in report.backups.iter().filter(|backup| backup.overdue || !backup.holds.is_empty()) {
        let why = match &backup.superseded_by {
            _ if !backup.overdue => "is held".to_owned(),
            Some(id) => format!("is superseded by {id}; `pgcask prune --apply` removes it"),
            None => "has expired and is still there".to_owned(),
        };
        printer.line(&format!("{} {why}", printable(&backup.archive)))?;
    }
    if report.live.is_none() && report.entries.iter().any(|entry| entry.absent_at.is_none()) {
        printer.info(
            "the live database was not asked: backups that are newer than an entry are taken not to have its rows; --live asks",
        );
    }
    Ok(())
}

/// When the rows of an entry are gone, in words.
fn gone(entry: &Prospect) -> String {
    let day = |at: jiff::Timestamp| at.strftime("%Y-%m-%d").to_string();
    match entry {
        Prospect { withdrawn_at: Some(_), .. } => "withdrawn".to_owned(),
        Prospect { live_rows: Some(rows), .. } if *rows > 0 => "no: they are live".to_owned(),
        Prospect { gone: true, .. } => "yes".to_owned(),
        Prospect { gone_at: Some(at), .. } => format!("on {}", day(*at)),
        Prospect { without_end, .. } => format!("open: {without_end} are held, or kept for ever"),
    }
}
