//! Flags that several commands share.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Span, SpanRelativeTo, Timestamp, Unit};

use crate::catalog::profile::{Profile, Wish};
use crate::custody::KeyCommand;
use crate::error::{Error, ErrorKind, Result};
use crate::operate::Actor;
use crate::pg::quote::printable;
use crate::plan::priority::Priorities;
use crate::plan::select::{Pattern, PatternError, Selection};
use crate::restore::{Sections, Wanted};
use crate::store::beside::Place;
use crate::store::{Store, naming};

/// When output is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Flags that every command takes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Output")]
pub struct OutputArgs {
    /// Write results as JSON to stdout
    #[arg(long, global = true)]
    pub json: bool,
    /// Say only what went wrong
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Say more
    #[arg(short, long, global = true)]
    pub verbose: bool,
    /// Show no progress bar
    #[arg(long, global = true)]
    pub no_progress: bool,
    /// When to use colours
    #[arg(long, global = true, value_enum, default_value = "auto", value_name = "WHEN")]
    pub color: Color,
}

/// Where the configuration is.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Configuration")]
pub struct ConfigFileArgs {
    /// The configuration file [default: ./pgcask.toml, ~/.config/pgcask/pgcask.toml, /etc/pgcask/pgcask.toml]
    #[arg(long = "config", global = true, value_name = "FILE", env = "PGCASK_CONFIG")]
    pub file: Option<PathBuf>,
}

/// The heading over the flags that say what is meant.
pub(super) const SELECTION: &str = "Selection (patterns as in psql)";

/// Which objects are meant.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = SELECTION)]
pub struct SelectionArgs {
    /// Only these tables; may be repeated
    #[arg(short = 't', long = "table", value_name = "PATTERN")]
    pub tables: Vec<String>,
    /// Only these schemas; may be repeated
    #[arg(short = 'n', long = "schema", value_name = "PATTERN")]
    pub schemas: Vec<String>,
    /// Not these tables
    #[arg(short = 'T', long = "exclude-table", value_name = "PATTERN")]
    pub exclude_tables: Vec<String>,
    /// Not these schemas
    #[arg(short = 'N', long = "exclude-schema", value_name = "PATTERN")]
    pub exclude_schemas: Vec<String>,
    /// These tables, but not their rows
    #[arg(long = "exclude-table-data", value_name = "PATTERN")]
    pub exclude_data: Vec<String>,
    /// The rows of foreign tables too, of these foreign servers: they are read from there, and restored to there
    #[arg(long = "include-foreign-data", value_name = "SERVER")]
    pub foreign_data: Vec<String>,
}

impl SelectionArgs {
    /// The selection, with its patterns read.
    pub fn resolve(&self) -> Result<Selection> {
        let tables = |list: &[String]| compile(list, Pattern::table);
        let schemas = |list: &[String]| compile(list, Pattern::schema);
        Ok(Selection {
            tables: tables(&self.tables)?,
            schemas: schemas(&self.schemas)?,
            exclude_tables: tables(&self.exclude_tables)?,
            exclude_schemas: schemas(&self.exclude_schemas)?,
            exclude_data: tables(&self.exclude_data)?,
            foreign_data: schemas(&self.foreign_data)?,
        })
    }
}

/// As which managed service's a database is taken.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct ProfileArgs {
    /// The managed service that the database is on: supabase, rds, none [default: what the server shows beyond doubt]
    #[arg(long, value_name = "PROFILE", help_heading = "Managed services")]
    pub profile: Option<Profile>,
}

impl ProfileArgs {
    /// The wish.
    pub fn wish(self) -> Wish {
        self.profile.map_or(Wish::Detect, Wish::Take)
    }
}

/// A section of an archive, as `pg_restore` cuts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Section {
    /// What must be there before rows: schemas, types, functions, tables, views
    PreData,
    /// Rows, large objects, the values of sequences
    Data,
    /// What comes after rows: indexes, constraints, triggers, rules, the rows of materialized views
    PostData,
}

/// What of an archive is wanted.
#[derive(Debug, Clone, Default, Args)]
pub struct WantedArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would print it as help text")]
    pub selection: SelectionArgs,
    /// Definitions only, no rows
    #[arg(short = 's', long, help_heading = SELECTION, conflicts_with = "data_only")]
    pub schema_only: bool,
    /// Rows only, into tables that exist
    #[arg(short = 'a', long, help_heading = SELECTION)]
    pub data_only: bool,
    /// Only this section; may be repeated
    #[arg(
        long = "section",
        value_name = "SECTION",
        value_enum,
        help_heading = SELECTION,
        conflicts_with_all = ["schema_only", "data_only"]
    )]
    pub sections: Vec<Section>,
    /// Fail when a pattern matches nothing
    #[arg(long, help_heading = SELECTION)]
    pub strict_names: bool,
    /// Not what the chosen tables need besides: types, functions, schemas. Else it is created where it is missing
    #[arg(long, help_heading = SELECTION)]
    pub no_dependencies: bool,
    /// Do not set owners
    #[arg(short = 'O', long, help_heading = SELECTION)]
    pub no_owner: bool,
    /// Do not set privileges
    #[arg(short = 'x', long, help_heading = SELECTION)]
    pub no_acl: bool,
    /// Create everything in the database's own tablespace, and no tablespaces
    #[arg(long, help_heading = SELECTION)]
    pub no_tablespaces: bool,
}

impl WantedArgs {
    /// What is wanted, with its patterns read.
    pub fn resolve(&self) -> Result<Wanted> {
        let has = |section| self.sections.contains(&section);
        let sections = match (self.schema_only, self.data_only) {
            (true, _) => Sections::DEFINITIONS,
            (_, true) => Sections::ROWS,
            _ if self.sections.is_empty() => Sections::ALL,
            _ => Sections {
                pre_data: has(Section::PreData),
                data: has(Section::Data),
                post_data: has(Section::PostData),
            },
        };
        Ok(Wanted {
            selection: self.selection.resolve()?,
            sections,
            no_owner: self.no_owner,
            no_acl: self.no_acl,
            no_tablespaces: self.no_tablespaces,
            priorities: Priorities::default(),
            strict_names: self.strict_names,
            dependencies: !self.no_dependencies,
        })
    }
}

/// Patterns of tables.
pub(super) fn patterns(list: &[String]) -> Result<Vec<Pattern>> {
    compile(list, Pattern::table)
}

fn compile(
    list: &[String],
    read: fn(&str) -> std::result::Result<Pattern, PatternError>,
) -> Result<Vec<Pattern>> {
    list.iter()
        .map(|text| {
            read(text).map_err(|error| {
                Error::with_source(ErrorKind::Usage, "read the selection", error)
                    .hint("patterns are those of psql: sales.*, \"Mixed Case\", part_[0-9]+")
            })
        })
        .collect()
}

/// Where a passphrase comes from.
#[derive(Debug, Clone, Default, Args)]
pub struct PassphraseArgs {
    /// Take the passphrase from the first line of this file
    #[arg(long, value_name = "FILE", env = "PGCASK_PASSPHRASE_FILE", help_heading = "Keys")]
    pub passphrase_file: Option<PathBuf>,
    /// Take the passphrase from the first line that this file descriptor gives
    #[arg(long, value_name = "FD", help_heading = "Keys", conflicts_with = "passphrase_file")]
    pub passphrase_fd: Option<u32>,
    /// Take the passphrase from the first line that this shell command prints
    #[arg(
        long,
        value_name = "COMMAND",
        env = "PGCASK_PASSPHRASE_COMMAND",
        help_heading = "Keys",
        conflicts_with_all = ["passphrase_file", "passphrase_fd"]
    )]
    pub passphrase_command: Option<String>,
}

/// A moment: RFC 3339, or a date with or without a time, which is UTC then.
pub(super) fn moment(text: &str) -> std::result::Result<Timestamp, String> {
    let utc = |civil: DateTime| civil.to_zoned(TimeZone::UTC).map(|zoned| zoned.timestamp());
    text.parse::<Timestamp>()
        .or_else(|_| text.parse::<DateTime>().and_then(utc))
        .map_err(|_| "a time is written as 2026-11-22 14:30:00+00, or as 2026-11-22 14:30 in UTC".to_owned())
}

/// A span of time that lies ahead: `30d`, `1y 6mo`.
pub(super) fn span_ahead(text: &str) -> std::result::Result<Span, String> {
    let read = text.parse::<Span>().ok().filter(|span| span.is_positive());
    read.ok_or_else(|| "a span is written as 90d, 12w, 18mo, 7y, 1y 6mo".to_owned())
}

/// A length of time in seconds: `24h`, `1h 30m`, `500ms`; a day has 24 hours.
pub(super) fn seconds(text: &str) -> std::result::Result<f64, String> {
    let total = |span: Span| span.total((Unit::Second, SpanRelativeTo::days_are_24_hours()));
    let read = text.parse::<Span>().and_then(total).ok().filter(|seconds| *seconds >= 0.0);
    read.ok_or_else(|| "a length of time is written as 24h, 7d, 1h 30m, 90s".to_owned())
}

/// How long a recovery may take, in seconds, unless something else is said.
pub(super) const RTO: f64 = 3_600.0;

/// How old the newest backup may be, in seconds, unless something else is said.
pub(super) const RPO: f64 = 86_400.0;

/// A number of connections: one at least.
pub(super) fn jobs(text: &str) -> std::result::Result<usize, String> {
    let read = text.parse().ok().filter(|jobs| *jobs > 0);
    read.ok_or_else(|| "a number of connections is wanted, 1 at least".to_owned())
}

/// The store that a command cannot do without.
pub(super) fn store_needed<'a>(given: Option<&'a str>, flag: &str) -> Result<&'a str> {
    given.ok_or_else(|| {
        let hint =
            format!("give {flag}, set PGCASK_STORE, or set store in pgcask.toml (`pgcask init` writes one)");
        Error::new(ErrorKind::Usage, "no store is named").hint(hint)
    })
}

/// Where an archive is looked for that is not named by its place.
#[derive(Debug, Clone, Default, Args)]
pub struct FindArgs {
    /// The store that `latest`, `latest:weekly`, `shop/latest` or an id as the archive's name is looked for in
    #[arg(long, value_name = "STORE", env = "PGCASK_STORE", help_heading = "Archive")]
    pub store: Option<String>,
    /// Of `latest`, the newest begun before this time; without a zone it is UTC
    #[arg(long, value_name = "TIME", value_parser = moment, help_heading = "Archive")]
    pub before: Option<Timestamp>,
}

/// A command in front of a key management service.
#[derive(Debug, Clone, Default, Args)]
pub struct KeyCommandArgs {
    /// Wrap and unwrap the archive's key by this shell command, in front of a KMS or Vault; docs/keys.md tells how it is
    /// asked
    #[arg(long, value_name = "COMMAND", env = "PGCASK_KEY_COMMAND", help_heading = "Keys")]
    pub key_command: Option<String>,
    /// Wait at most so many seconds for the key command's answer
    #[arg(long, value_name = "SECONDS", default_value_t = 60, help_heading = "Keys")]
    pub key_command_timeout: u64,
}

impl KeyCommandArgs {
    /// The command, if one is named.
    pub fn command(&self) -> Option<KeyCommand> {
        let timeout = Duration::from_secs(self.key_command_timeout);
        self.key_command.clone().map(|command| KeyCommand { command, timeout })
    }
}

/// For whom an archive that exists is sealed, too or anew.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "New keys")]
pub struct NewKeysArgs {
    /// Seal for this recipient: age1…, an SSH public key, a file of them or of OpenPGP public keys, or the fingerprint or
    /// e-mail address of a key in the keyring of gpg; may be repeated
    #[arg(short, long = "recipient", value_name = "RECIPIENT")]
    pub recipients: Vec<String>,
    /// Seal with the passphrase that is the first line of this file
    #[arg(long, value_name = "FILE")]
    pub new_passphrase_file: Option<PathBuf>,
    /// Seal by this key command
    #[arg(long, value_name = "COMMAND")]
    pub new_key_command: Option<String>,
}

impl NewKeysArgs {
    /// Whether any is named.
    pub fn is_given(&self) -> bool {
        !self.recipients.is_empty() || self.new_passphrase_file.is_some() || self.new_key_command.is_some()
    }
}

/// How an archive is opened.
#[derive(Debug, Clone, Default, Args)]
pub struct UnlockArgs {
    /// An identity file: of age, an SSH private key, or an OpenPGP secret key; may be repeated
    #[arg(
        short = 'i',
        long = "identity",
        value_name = "FILE",
        env = "PGCASK_IDENTITY",
        value_delimiter = ':',
        help_heading = "Keys"
    )]
    pub identities: Vec<PathBuf>,
    /// Take the passphrase that protects an identity file from the first line of this file [default:
    /// `PGCASK_IDENTITY_PASSPHRASE`, else it is asked for]
    #[arg(long, value_name = "FILE", env = "PGCASK_IDENTITY_PASSPHRASE_FILE", help_heading = "Keys")]
    pub identity_passphrase_file: Option<PathBuf>,
    /// Open with the gpg program: its agent, a smart card [default: when no other key is given]
    #[arg(long, help_heading = "Keys")]
    pub gpg: bool,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would print it as help text")]
    pub passphrase: PassphraseArgs,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would print it as help text")]
    pub command: KeyCommandArgs,
}

impl UnlockArgs {
    /// Whether any key is named, here or in the environment.
    pub fn is_given(&self) -> bool {
        !self.identities.is_empty()
            || self.gpg
            || self.passphrase.is_given()
            || self.command.key_command.is_some()
    }
}

/// Who runs this, and where.
pub(super) fn actor() -> Actor {
    let unknown = |_| "unknown".to_owned();
    Actor {
        person: whoami::username().unwrap_or_else(unknown),
        host: whoami::hostname().unwrap_or_else(unknown),
    }
}

/// The store that a backup lies in, and its key, by its path or URL.
pub(super) fn located(place: &str) -> Result<(Store, String)> {
    let found = Place::of(place)?;
    if naming::parse(&found.key).is_none() {
        let message = format!("{} is not named as the backups in a store are", printable(place));
        return Err(Error::new(ErrorKind::Usage, message).hint("`pgcask list` shows what there is"));
    }
    Ok((found.store, found.key))
}

/// Columns as wide as their widest value; numbers are compared by their last digit.
pub(super) fn table<const N: usize>(rows: &[[String; N]], right: &[usize]) -> Vec<String> {
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    let line = |row: &[String; N]| {
        let padded = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
            if right.contains(&column) { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        });
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}
