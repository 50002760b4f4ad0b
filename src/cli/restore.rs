//! `pgcask restore`.

use clap::Args;

use super::args::{SelectionArgs, UnlockArgs};

/// Restore an archive into a database
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
EXAMPLES
  Into a new database:
    pgcask restore /backups/shop/daily/2026-11-23/shop-daily-….cask --into shop_copy --create -i ~/pgcask.key

  What would happen:
    pgcask restore ARCHIVE --into shop_copy --create --dry-run

  One table into a database that lacks it:
    pgcask restore ARCHIVE --into shop --table sales.orders

EXIT STATUS
  0 done and proven · 1 failed · 2 usage · 3 archive damaged · 4 key · 5 the content differs · 7 server lost ·
  8 store unreachable · 9 refused · 130/143 stopped")]
pub struct RestoreArgs {
    /// The archive: a file or the URL of an object
    #[arg(value_name = "ARCHIVE")]
    pub archive: String,
    /// The database to restore into: empty, or new with --create
    #[arg(long, value_name = "DBURL")]
    pub into: String,
    /// Create the database
    #[arg(short = 'C', long)]
    pub create: bool,
    /// Say what would happen, touch nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,

    /// Connections that load at the same time [default: the number of processors, at most 8]
    #[arg(short, long, value_name = "N", help_heading = "Speed")]
    pub jobs: Option<usize>,
    /// Memory of the server for one index build (`maintenance_work_mem`), as in postgresql.conf
    #[arg(long, value_name = "SIZE", help_heading = "Speed")]
    pub maintenance_work_mem: Option<String>,
    /// Do not read back what was restored to prove it equal
    #[arg(long, help_heading = "Speed")]
    pub no_verify: bool,
    /// Do not ANALYZE
    #[arg(long, help_heading = "Speed")]
    pub no_analyze: bool,

    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would print it as help text")]
    pub unlock: UnlockArgs,

    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would print it as help text")]
    pub selection: SelectionArgs,
    /// Definitions only, no rows
    #[arg(
        short = 's',
        long,
        help_heading = "Selection (patterns as in psql)",
        conflicts_with = "data_only"
    )]
    pub schema_only: bool,
    /// Rows only, into tables that exist
    #[arg(short = 'a', long, help_heading = "Selection (patterns as in psql)")]
    pub data_only: bool,
    /// Only these parts: pre-data, data, post-data; may be repeated
    #[arg(
        long = "section",
        value_name = "PART",
        help_heading = "Selection (patterns as in psql)"
    )]
    pub sections: Vec<String>,
    /// Do not set owners
    #[arg(short = 'O', long, help_heading = "Selection (patterns as in psql)")]
    pub no_owner: bool,
    /// Do not set privileges
    #[arg(short = 'x', long, help_heading = "Selection (patterns as in psql)")]
    pub no_acl: bool,
}
