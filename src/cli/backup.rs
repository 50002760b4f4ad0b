//! `pgcask backup`.

use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use jiff::Span;
use serde::Serialize;

use super::args::{
    KeyCommandArgs, PassphraseArgs, ProfileArgs, RTO, SELECTION, SelectionArgs, patterns, seconds,
    span_ahead, store_needed,
};
use super::globals::BackupGlobalsArgs;
use super::printer::{Printer, human_bytes, human_count, human_seconds};
use super::progress::Progress;
use super::prune::{self, PolicyArgs};
use super::record::{self, Record};
use super::{Context, estimate, keys};
use crate::backup::{Options, Parts, Summary};
use crate::clock::Clock;
use crate::copies::{self, Copied};
use crate::drill::ForecastFacts;
use crate::erasure;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::event::SharedObserver;
use crate::exit::Exit;
use crate::operate::lock;
use crate::pg::{ConnectOptions, EnvLookup, PgError};
use crate::seal::compress::Level;
use crate::stop::Stop;
use crate::store::beside::Place;
use crate::store::naming::Kind;
use crate::store::{Location, LockMode, Store};

/// Back up a database into one sealed archive
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
EXAMPLES
  Back up to a directory, sealed with a passphrase:
    pgcask backup postgres://app@db.example/shop --to /backups --passphrase-file ~/.pgcask-pass

  Seal for a recipient: this host can then write backups and not read them:
    pgcask keygen --output ~/pgcask.key
    pgcask backup shop --to s3://backups/prod --recipient age1…

  Seal for a team's OpenPGP keys, of which any one restores:
    pgcask backup shop --to /backups --recipient team.asc --recipient alice@example.com

  And a copy elsewhere, as the 3-2-1 rule wants:
    pgcask backup shop --to /backups --copy-to s3://elsewhere/prod

  Only some tables, four connections, a weekly backup:
    pgcask backup shop --to /backups --table 'sales.*' --exclude-table-data sales.log \\
      --jobs 4 --kind weekly

ENVIRONMENT
  PGCASK_STORE_TIMEOUT  seconds for which a store that cannot be reached is tried [30]; one that
                        answers \"slow down\" is tried for three minutes

EXIT STATUS
  0 done · 1 failed · 2 usage · 4 key · 7 server lost · 8 store unreachable or full ·
  130/143 stopped")]
pub struct BackupArgs {
    /// The database: a configured name, a libpq URL, keyword string or name; default from PG* variables as in psql
    #[arg(value_name = "DBURL")]
    pub source: Option<String>,
    /// Where to: a configured store, a directory, or `s3://bucket/prefix`, `gs://…`, `az://…`
    #[arg(long, value_name = "STORE", env = "PGCASK_STORE")]
    pub to: Option<String>,
    /// When the backup is done, copy it to this store, too; may be repeated. A copy that fails is reported and ends with its
    /// exit status; the backup stands
    #[arg(long, value_name = "STORE", env = "PGCASK_COPY_TO", value_delimiter = ',')]
    pub copy_to: Vec<String>,
    /// Kind of backup: daily, weekly, monthly, pre-deploy, manual [default: daily]
    #[arg(long, value_name = "KIND")]
    pub kind: Option<String>,
    /// Keep it for so long, as `30d` or `1y 6mo` [default: daily and manual 90 days, weekly 1 year, monthly 7 years,
    /// pre-deploy 30 days]
    #[arg(long, value_name = "SPAN", value_parser = span_ahead)]
    pub keep_for: Option<Span>,

    /// Lock the backup in the store until it expires; the bucket must have Object Lock
    #[arg(long, value_enum, value_name = "MODE", help_heading = "Retention")]
    pub object_lock: Option<ObjectLock>,
    /// Then prune the backups of this database in the store, as `pgcask prune --apply` does
    #[arg(long, help_heading = "Retention")]
    pub prune: bool,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would print it as help text")]
    pub policy: PolicyArgs,

    /// Connections that read at the same time [default: the number of processors, at most 8]
    #[arg(short, long, value_name = "N", value_parser = super::args::jobs, help_heading = "Speed")]
    pub jobs: Option<usize>,
    /// Compression level of zstd, -7 to 22 [default: 1]
    #[arg(long, value_name = "LEVEL", allow_negative_numbers = true, help_heading = "Speed")]
    pub level: Option<i32>,

    /// Seal for this recipient: age1…, an SSH public key, a file of them or of OpenPGP public keys, or the fingerprint or
    /// e-mail address of a key in the keyring of gpg; may be repeated
    #[arg(
        short,
        long = "recipient",
        value_name = "RECIPIENT",
        env = "PGCASK_RECIPIENT",
        value_delimiter = ',',
        help_heading = "Keys"
    )]
    pub recipients: Vec<String>,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would print it as help text")]
    pub passphrase: PassphraseArgs,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would print it as help text")]
    pub key_command: KeyCommandArgs,
    /// Do not encrypt: anybody who gets the archive reads all of it
    #[arg(long, help_heading = "Keys", conflicts_with_all = ["recipients", "passphrase_file", "passphrase_fd", "passphrase_command", "key_command"])]
    pub no_encrypt: bool,

    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would print it as help text")]
    pub selection: SelectionArgs,
    /// Configured tables of personal data, whose rows this kind of backup is without.
    #[arg(skip)]
    pub personal: Vec<String>,
    /// Definitions only, no rows
    #[arg(short = 's', long, help_heading = SELECTION, conflicts_with = "data_only")]
    pub schema_only: bool,
    /// Rows only, no definitions
    #[arg(short = 'a', long, help_heading = SELECTION)]
    pub data_only: bool,
    /// Not the rows of unlogged tables
    #[arg(long, help_heading = SELECTION)]
    pub no_unlogged_table_data: bool,
    /// Fail when a pattern matches nothing
    #[arg(long, help_heading = SELECTION)]
    pub strict_names: bool,

    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would print it as help text")]
    pub globals: BackupGlobalsArgs,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would print it as help text")]
    pub profile: ProfileArgs,

    /// How long a restore may take: a warning when its forecast comes near [default: 1h]
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    pub rto: Option<f64>,
    /// Wait at most so many seconds for each table's lock [default: 60]
    #[arg(long, value_name = "SECONDS", help_heading = "Snapshot")]
    pub lock_timeout: Option<u64>,
    /// Refuse to run while another run with this flag backs up the same database, from whatever host
    #[arg(long, help_heading = "Snapshot")]
    pub no_overlap: bool,
    /// Wait for a snapshot that is serializable beyond doubt
    #[arg(long, help_heading = "Snapshot")]
    pub serializable_deferrable: bool,
}

impl BackupArgs {
    /// The lock timeout as a duration.
    pub fn lock_deadline(&self) -> Duration {
        Duration::from_secs(self.lock_timeout.unwrap_or(60))
    }
}

/// How strictly a bucket with Object Lock keeps a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ObjectLock {
    /// Until its date, unless somebody with a special permission says otherwise
    Governance,
    /// Until its date; nobody can end it sooner
    Compliance,
}

/// The default number of connections: one a processor, at most 8, since the server works as hard as we do.
pub fn default_jobs() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from).min(8)
}

impl BackupArgs {
    /// Runs the command.
    pub async fn run(&self, context: &Context) -> Result<Exit> {
        let printer = context.printer;
        // A mistake in the command line is told before a passphrase is asked for.
        let place = Location::parse(store_needed(self.to.as_deref(), "--to")?)?;
        let mut options = self.options(printer)?;
        context.about.database(&options.source.database);
        let store = place.open()?;
        context.record.store(&store);
        // Of a backup that fails, too, the audit log says which database it was of.
        context.record.detail("database", &options.source.database);
        context.record.detail("kind", &options.kind);
        options.audit = record::head(&store);
        // What cannot be a place is told before anything is done; what cannot be reached must not keep a backup from being made.
        let places = self.copy_to.iter().map(|place| Location::parse(place));
        let copy_to = places.collect::<std::result::Result<Vec<_>, _>>()?;
        let turn =
            if self.no_overlap { Some(crate::backup::turn::take(&options.source).await?) } else { None };
        let progress = Progress::new(printer, context.bar);
        let observer: SharedObserver = Arc::<Progress>::clone(&progress);
        let result = crate::backup::run(&options, &store, Clock::System, &observer, &context.stop).await;
        drop(turn);
        let (copies, failed) = match &result {
            Ok(summary) => self.copy(summary, &copy_to, &observer, &context.stop).await,
            Err(_) => (Vec::new(), None),
        };
        progress.finish();
        let summary = result?;
        note(&context.record, &summary, &copies);
        context.tell(&summary);
        context.about.archive(&summary.archive, Some(summary.bytes));
        let forecast = estimate::of_backup(&summary.database, summary.plain_bytes);
        tell(printer, &Made { summary: &summary, copies: &copies, forecast: &forecast })?;
        estimate::warn(printer, &forecast, self.rto.unwrap_or(RTO));
        if let Some(mode) = self.object_lock {
            lock(&store, &summary.archive, mode, context).await?;
        }
        if self.prune {
            self.prune(&store, &summary.database, context).await;
        }
        failed.map_or(Ok(Exit::Good), Err)
    }

    /// What is asked for.
    fn options(&self, printer: Printer) -> Result<Options> {
        let source =
            ConnectOptions::resolve(self.source.as_deref(), &EnvLookup::system()).map_err(PgError::from)?;
        for warning in &source.warnings {
            printer.warning(warning);
        }
        let kind = self.kind.as_deref().unwrap_or("daily").parse::<Kind>()?;
        let recipients = if self.no_encrypt {
            printer.warning("the archive is not encrypted: whoever gets it reads all of it");
            Vec::new()
        } else {
            keys::recipients(&self.recipients, self.key_command.command(), &self.passphrase)?
        };
        let (mut selection, personal) = (self.selection.resolve()?, patterns(&self.personal)?);
        selection.exclude_data.extend(personal.iter().cloned());
        Ok(Options {
            source,
            kind,
            keep_for: self.keep_for,
            jobs: self.jobs.unwrap_or_else(default_jobs).max(1),
            level: Level::new(self.level.unwrap_or(1))
                .map_err(|error| Error::new(ErrorKind::Usage, error.to_string()))?,
            recipients,
            selection,
            personal,
            unlogged_rows: !self.no_unlogged_table_data,
            strict_names: self.strict_names,
            parts: match (self.schema_only, self.data_only) {
                (true, _) => Parts::Definitions,
                (_, true) => Parts::Rows,
                _ => Parts::All,
            },
            globals: self.globals.resolve(self.data_only),
            role_passwords: self.globals.role_passwords,
            profile: self.profile.wish(),
            lock_timeout: self.lock_deadline(),
            serializable_deferrable: self.serializable_deferrable,
            audit: None,
            replaced_by: None,
        })
    }

    /// Copies the backup that was just made to all stores, whichever of them fails; gives the first failure.
    async fn copy(
        &self,
        summary: &Summary,
        to: &[Location],
        observer: &SharedObserver,
        stop: &Stop,
    ) -> (Vec<Copied>, Option<Error>) {
        let (mut copies, mut failed) = (Vec::new(), None);
        for (place, store) in self.copy_to.iter().zip(to) {
            match copy(&summary.archive, store, observer, stop).await {
                Ok(copied) => copies.push(copied),
                Err(error) => failed = failed.or_else(|| Some(not_copied(error, summary, place))),
            }
        }
        (copies, failed)
    }

    /// Prunes after the backup, which is good whatever becomes of this.
    async fn prune(&self, store: &Store, database: &str, context: &Context) {
        let printer = context.printer;
        match Box::pin(prune::after_backup(store, database, &self.policy, context)).await {
            Ok(plan) => {
                plan.warnings.iter().for_each(|warning| printer.warning(warning));
                printer.info(&prune::summary(&plan));
            }
            Err(error) => {
                printer.warning(&format!(
                    "the backup is made; pruning after it failed: {}",
                    in_one_line(&error)
                ));
                error.hints().iter().for_each(|hint| printer.info(&format!("hint: {hint}")));
            }
        }
    }
}

/// Locks a backup that is made. It is a good one even if that fails, and not what was asked for.
async fn lock(store: &Store, archive: &str, mode: ObjectLock, context: &Context) -> Result<()> {
    let mode = match mode {
        ObjectLock::Governance => LockMode::Governance,
        ObjectLock::Compliance => LockMode::Compliance,
    };
    let key = Place::of(archive)?.key;
    let until = Box::pin(lock::until_expiry(store, &key, mode)).await;
    let until =
        until.context(|| "lock the backup in the store; it is made, and can be deleted".to_owned())?;
    context.record.detail("locked_until", &until);
    context.printer.info(&format!("locked in the store until {until}"));
    Ok(())
}

/// What the audit log has of a backup.
fn note(record: &Record, summary: &Summary, copies: &[Copied]) {
    record.archive(&summary.archive);
    record.digest(&summary.sha256);
    record.detail("database", &summary.database);
    record.detail("kind", &summary.kind);
    record.detail("rows", &summary.rows);
    record.detail("bytes", &summary.bytes);
    if !copies.is_empty() {
        let places: Vec<&str> = copies.iter().map(|copied| copied.archive.as_str()).collect();
        record.detail("copies", &places.join(" "));
    }
}

/// An error and its causes.
pub(super) fn in_one_line(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text.push_str(&format!(": {inner}"));
        cause = inner.source();
    }
    text
}

/// Says what was made.
fn tell(printer: Printer, made: &Made<'_>) -> Result<()> {
    if printer.json {
        return printer.json(made);
    }
    let Made { summary, copies, forecast } = made;
    printer.line(&summary.archive)?;
    printer.info(&format!(
        "{} rows of {} tables, {} → {} in {} ({}/s)",
        human_count(summary.rows),
        human_count(summary.tables),
        human_bytes(summary.plain_bytes),
        human_bytes(summary.bytes),
        human_seconds(summary.seconds),
        rate(summary.plain_bytes, summary.seconds),
    ));
    estimate::tell(printer, forecast);
    for copied in *copies {
        printer.line(&copied.archive)?;
        super::copy::tell(printer, copied);
    }
    Ok(())
}

/// What `--json` gives.
#[derive(Serialize)]
struct Made<'a> {
    #[serde(flatten)]
    summary: &'a Summary,
    copies: &'a [Copied],
    /// How long a restore would take.
    forecast: &'a ForecastFacts,
}

/// Copies the backup that was just made.
async fn copy(archive: &str, to: &Location, observer: &SharedObserver, stop: &Stop) -> Result<Copied> {
    let store = to.open()?;
    erasure::carry(archive, &store).await?;
    Box::pin(copies::copy(archive, &store, observer, stop)).await
}

/// The backup is good, and its copy is not.
fn not_copied(error: Error, summary: &Summary, place: &str) -> Error {
    error
        .context(format!("the backup was made, its copy to {place} was not"))
        .hint(format!("the backup stands: {}", summary.archive))
        .hint(format!("`pgcask copy {} --to {place}` tries the copy again", summary.archive))
}

/// Bytes per second as people read them.
pub(super) fn rate(bytes: u64, seconds: f64) -> String {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a figure to look at"
    )]
    let rate = (bytes as f64 / seconds.max(0.001)) as u64;
    human_bytes(rate)
}
