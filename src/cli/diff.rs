//! `pgcask diff`.

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use serde_json::{Map, Value};

use super::Context;
use super::args::{FindArgs, UnlockArgs, patterns};
use super::printer::{Printer, human_count};
use super::progress::Progress;
use super::read::open_to_read;
use crate::error::{Error, ErrorKind, Result};
use crate::event::SharedObserver;
use crate::exit::Exit;
use crate::pg::quote::printable;
use crate::pg::{ConnectOptions, EnvLookup, PgError};
use crate::rows::{ColumnFate, DiffOptions, Difference, TableDiff, diff};

/// Compare tables of an archive with a live database: missing, changed and extra rows
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
The live table is read once; of the archive only the chunks that differ. Rows are told apart by the primary key, else by the
replica identity, else by a unique key; a table without one is compared as a multiset of whole rows. Only temporary tables are
written.

EXAMPLES
  What is lost:
    pgcask diff ARCHIVE --table sales.orders --against shop -i ~/pgcask.key

  All of it, into a file:
    pgcask diff ARCHIVE --table sales.orders --against shop --csv lost.csv -i ~/pgcask.key

EXIT STATUS
  0 compared (with --exit-code: and equal) · 1 failed · 2 usage · 3 archive damaged · 4 key · 5 different, with --exit-code ·
  7 server lost · 8 store unreachable · 9 refused")]
pub struct DiffArgs {
    /// The archive: a file, the URL of an object, or with --store `latest`, `latest:weekly`, `shop/latest`, an id; without it,
    /// on a terminal, one is chosen from the newest of the store
    #[arg(value_name = "ARCHIVE", default_value = "", hide_default_value = true)]
    pub archive: String,
    /// The tables; may be repeated. A partitioned table stands for its partitions
    #[arg(short = 't', long = "table", value_name = "PATTERN", required = true)]
    pub tables: Vec<String>,
    /// The live database [default: as psql's, from the environment]
    #[arg(long, value_name = "DBURL", alias = "database")]
    pub against: Option<String>,
    /// A column of the archive has another name in the live table, or was dropped: 'TABLE: OLD=NEW', 'TABLE: OLD='; may be
    /// repeated
    #[arg(long = "column", value_name = "FATE")]
    pub columns: Vec<String>,
    /// Show so many rows of each kind
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub sample: usize,
    /// Write all rows that differ into this file, as CSV: what differs, on which side, the values
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,
    /// End with status 5 when something differs
    #[arg(long)]
    pub exit_code: bool,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would print it as help text")]
    pub find: FindArgs,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would print it as help text")]
    pub unlock: UnlockArgs,
}

impl DiffArgs {
    /// Runs the command.
    pub async fn run(&self, context: &Context) -> Result<Exit> {
        let printer = context.printer;
        let live =
            ConnectOptions::resolve(self.against.as_deref(), &EnvLookup::system()).map_err(PgError::from)?;
        for warning in &live.warnings {
            printer.warning(warning);
        }
        let options = DiffOptions {
            live,
            tables: patterns(&self.tables)?,
            columns: self.columns.iter().map(|text| ColumnFate::parse(text)).collect::<Result<_>>()?,
            sample: self.sample,
        };
        let place = self.find.place(&self.archive).await?;
        let archive = open_to_read(&place, &self.unlock, context).await?;
        let progress = Progress::new(printer, context.bar);
        let observer: SharedObserver = Arc::<Progress>::clone(&progress);
        let mut file =
            self.csv.as_ref().map(File::create).transpose().map_err(|error| self.csv_error(error))?;
        let mut write = |bytes: &[u8]| match &mut file {
            Some(file) => file.write_all(bytes).map_err(|error| self.csv_error(error)),
            None => Ok(()),
        };
        let csv: Option<crate::rows::Sink<'_>> = if self.csv.is_some() { Some(&mut write) } else { None };
        let work = Box::pin(diff(&options, &archive, csv, &observer, &context.stop));
        let result = context.stop.or(work).await;
        progress.finish();
        let found = result?;
        if printer.json {
            printer.json(&serde_json::json!({
                "archive": place, "database": options.live.display(), "tables": found,
                "bytes_read": archive.source().bytes_read(),
            }))?;
        } else {
            for table in &found {
                print_table(printer, table)?;
            }
        }
        let equal = found.iter().all(TableDiff::is_equal);
        Ok(if self.exit_code && !equal { Exit::Validation } else { Exit::Good })
    }

    fn csv_error(&self, error: std::io::Error) -> Error {
        let path = self.csv.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
        Error::with_source(ErrorKind::Failed, format!("write {path}"), error)
    }
}

fn print_table(printer: Printer, table: &TableDiff) -> Result<()> {
    let TableDiff { missing, changed, extra, .. } = table;
    printer.line(&format!(
        "{}: {} missing, {} changed, {} extra; {} rows in the archive, {} live",
        table.table,
        human_count(*missing),
        human_count(*changed),
        human_count(*extra),
        human_count(table.backup_rows),
        human_count(table.live_rows),
    ))?;
    for row in &table.sample {
        printer.line(&format!(
            "  {:<8} {}",
            row.difference,
            printable(&describe(&table.key, &table.columns, row))
        ))?;
    }
    let shown = u64::try_from(table.sample.len()).unwrap_or(u64::MAX);
    if missing + changed + extra > shown && shown > 0 {
        printer.line(&format!("  … {} more", human_count(missing + changed + extra - shown)))?;
    }
    for note in &table.notes {
        printer.line(&format!("  note: {note}"))?;
    }
    printer.line(&format!(
        "  compared by {}; {} of {} chunks of the archive were read",
        table.compared_by,
        human_count(table.chunks_read),
        human_count(table.chunks)
    ))
}

/// A row in one line; of a changed one the key and the values that differ.
pub(super) fn describe(key: &[String], columns: &[String], row: &Difference) -> String {
    let value = |values: &Map<String, Value>, name: &String| short(values.get(name).unwrap_or(&Value::Null));
    let list = |values: &Map<String, Value>, names: &[String]| -> String {
        let parts: Vec<String> = names.iter().map(|name| format!("{name}={}", value(values, name))).collect();
        parts.join(" ")
    };
    match (&row.backup, &row.live) {
        (Some(backup), Some(live)) => {
            let differs = |name: &&String| backup.get(*name) != live.get(*name);
            let part =
                |name: &String| format!("{name} was {}, is {}", value(backup, name), value(live, name));
            let parts: Vec<String> = columns.iter().filter(differs).map(part).collect();
            format!("{}: {}", list(backup, key), parts.join(", "))
        }
        (Some(values), None) | (None, Some(values)) => list(values, columns),
        (None, None) => String::new(),
    }
}

/// A value, cut where it gets long.
fn short(value: &Value) -> String {
    const LONGEST: usize = 40;
    let text = value.as_str().unwrap_or("NULL");
    if text.chars().count() <= LONGEST {
        return text.to_owned();
    }
    let start: String = text.chars().take(LONGEST).collect();
    format!("{start}…")
}
