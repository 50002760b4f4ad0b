//! `pgcask show`, `pgcask verify`, `pgcask cat`: reading an archive without a server.

use clap::{Args, ValueEnum};

use super::args::UnlockArgs;

/// Show what is in an archive
#[derive(Debug, Clone, Args)]
pub struct ShowArgs {
    /// The archive: a file or the URL of an object
    #[arg(value_name = "ARCHIVE")]
    pub archive: String,
    /// List every object
    #[arg(long)]
    pub toc: bool,
    /// Show one table: columns, rows, size, chunks
    #[arg(short, long, value_name = "PATTERN")]
    pub table: Option<String>,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would print it as help text")]
    pub unlock: UnlockArgs,
}

/// Verify an archive: without a key its structure and checksums, with one every byte
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
EXIT STATUS
  0 good · 3 damaged or not authentic · 4 key · 8 store unreachable")]
pub struct VerifyArgs {
    /// The archive: a file or the URL of an object
    #[arg(value_name = "ARCHIVE")]
    pub archive: String,
    /// Check only what can be checked without a key
    #[arg(long)]
    pub no_key: bool,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would print it as help text")]
    pub unlock: UnlockArgs,
}

/// The form of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RowFormat {
    /// Comma-separated values with a header (RFC 4180); null is an empty field without quotes.
    Csv,
    /// One JSON object a line; values are strings or null.
    Jsonl,
    /// INSERT statements.
    Sql,
    /// PostgreSQL's COPY text, as it stands in the archive.
    Copy,
}

/// Write one table's rows to stdout, reading only its part of the archive
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
EXAMPLES
  pgcask cat shop.cask sales.orders --format csv -i ~/pgcask.key > orders.csv")]
pub struct CatArgs {
    /// The archive: a file or the URL of an object
    #[arg(value_name = "ARCHIVE")]
    pub archive: String,
    /// The table: schema.name
    #[arg(value_name = "TABLE")]
    pub table: String,
    /// The form
    #[arg(short, long, value_enum, default_value = "csv")]
    pub format: RowFormat,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would print it as help text")]
    pub unlock: UnlockArgs,
}
