//! `pgcask show`, `pgcask verify`, `pgcask cat`: reading an archive without a server.

use std::sync::Arc;

use clap::{Args, ValueEnum};

use super::args::{FindArgs, UnlockArgs, WantedArgs, actor};
use super::printer::{Printer, human_bytes, human_count};
use super::progress::Progress;
use super::{Context, erasures, globals, keys};
use crate::archive::{Report, Totals, Verifier};
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::event::SharedObserver;
use crate::exit::Exit;
use crate::extract::{Extractor, Form, Pick, PickError, Picks};
use crate::manifest::{Manifest, Stream};
use crate::opened::{self, Found, OpenArchive};
use crate::operate::reading;
use crate::pg::quote::{printable, unquoted};
use crate::plan::select::Pattern;
use crate::restore::{ScriptOptions, Sections, script};
use crate::store::Location;
use crate::store::find::{Reference, find_backup};
use crate::store::get::Source;
use crate::store::sidecar::hex;

/// Show what is in an archive
#[derive(Debug, Clone, Args)]
pub struct ShowArgs {
    /// The archive: a file, the URL of an object, or with --store `latest`, `latest:weekly`, `shop/latest`, an id; without it,
    /// on a terminal, one is chosen from the newest of the store
    #[arg(value_name = "ARCHIVE", default_value = "", hide_default_value = true)]
    pub archive: String,
    /// List every object
    #[arg(long)]
    pub toc: bool,
    /// Show roles, memberships, tablespaces and what else the whole server had
    #[arg(long, conflicts_with_all = ["toc", "table"])]
    pub globals: bool,
    /// Show one table: columns, rows, size, chunks
    #[arg(short, long, value_name = "PATTERN")]
    pub table: Option<String>,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would print it as help text")]
    pub find: FindArgs,
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
    /// The archive: a file, the URL of an object, or with --store `latest`, `latest:weekly`, `shop/latest`, an id; without it,
    /// on a terminal, one is chosen from the newest of the store
    #[arg(value_name = "ARCHIVE", default_value = "", hide_default_value = true)]
    pub archive: String,
    /// Check only what can be checked without a key
    #[arg(long)]
    pub no_key: bool,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would print it as help text")]
    pub find: FindArgs,
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

/// Write one table's rows, or an SQL script of everything, to stdout
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
EXAMPLES
  One table:
    pgcask cat shop.cask sales.orders --format csv -i ~/pgcask.key > orders.csv

  Some of its rows, reading no more than the chunks that can hold them:
    pgcask cat shop.cask sales.orders --key id=1000..1999 -i ~/pgcask.key

  Everything, as pg_dump would write it:
    pgcask cat shop.cask -i ~/pgcask.key | psql -X -v ON_ERROR_STOP=1 shop_copy

  Roles and tablespaces:
    pgcask cat shop.cask --globals -i ~/pgcask.key | psql -X postgres

  Only definitions, to read or to compare:
    pgcask cat shop.cask --schema-only --no-owner -i ~/pgcask.key | less")]
pub struct CatArgs {
    /// The archive: a file, the URL of an object, or with --store `latest`, `latest:weekly`, `shop/latest`, an id; without it,
    /// on a terminal, one is chosen from the newest of the store
    #[arg(value_name = "ARCHIVE", default_value = "", hide_default_value = true)]
    pub archive: String,
    /// The table: schema.name. Without it, all that is selected is written as a script for psql
    #[arg(value_name = "TABLE")]
    pub table: Option<String>,
    /// The form of a table's rows [default: csv]
    #[arg(short, long, value_enum, requires = "table")]
    pub format: Option<RowFormat>,
    /// Only rows with this value, or values FROM..TO (both included, one may be left out), in a column; nothing means null. Values
    /// are as the archive writes them, times under UTC. May be repeated: rows are meant that all of them mean. Of key and time
    /// columns the archive knows which of its chunks can hold such rows, and reads no others
    #[arg(long, value_name = "COLUMN=VALUE", requires = "table")]
    pub key: Vec<String>,
    /// Write roles, tablespaces and what else the whole server had, as `pg_dumpall --globals-only` does
    #[arg(long, conflicts_with = "table")]
    pub globals: bool,
    /// Write the passwords of user mappings, foreign servers, subscriptions and roles into the script
    #[arg(long, conflicts_with = "table")]
    pub show_secrets: bool,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would print it as help text")]
    pub find: FindArgs,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would print it as help text")]
    pub unlock: UnlockArgs,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would print it as help text")]
    pub wanted: WantedArgs,
}

/// Finds and unlocks an archive.
pub(super) async fn open(archive: &str, unlock: &UnlockArgs) -> Result<OpenArchive> {
    let found = Found::locate(Source::open(archive).await?).await?;
    keys::unlock(found, unlock).await
}

/// As [`open`], for who reads for long: an archive that is marked for removal stays meanwhile.
pub(super) async fn open_to_read(
    archive: &str,
    unlock: &UnlockArgs,
    context: &Context,
) -> Result<OpenArchive> {
    context.record.archive(archive);
    announce(archive, context.printer).await?;
    open(archive, unlock).await
}

/// Says beside an archive that is marked for removal that it is being read.
pub(super) async fn announce(archive: &str, printer: Printer) -> Result<()> {
    if let Some(note) = reading::announce(archive, &actor(), Clock::System).await? {
        printer.warning(&note);
    }
    Ok(())
}

impl FindArgs {
    /// Path or URL of the archive that is meant.
    pub(super) async fn place(&self, archive: &str) -> Result<String> {
        if archive.is_empty() {
            return self.pick().await;
        }
        match Reference::parse(archive)? {
            Reference::Place(place) => Ok(place),
            Reference::Backup { database, which } => {
                let Some(store) = &self.store else {
                    let what = printable(archive);
                    let message = format!("there is no file {what}, and no store is named to look for it");
                    return Err(Error::new(ErrorKind::Usage, message)
                        .hint("give --store, set PGCASK_STORE, or set store in pgcask.toml"));
                };
                let store = Location::parse(store)?.open_existing()?;
                let backup = find_backup(&store, database.as_deref(), &which, self.before).await?;
                Ok(store.display(&backup.key))
            }
        }
    }
}

impl ShowArgs {
    /// Runs the command.
    pub async fn run(&self, context: &Context) -> Result<Exit> {
        let printer = context.printer;
        let place = self.find.place(&self.archive).await?;
        let archive = open(&place, &self.unlock).await?;
        if self.globals {
            return globals::show(printer, &archive).await;
        }
        let manifest = archive.manifest().await?;
        if let Some(pattern) = &self.table {
            return show_tables(printer, &archive, &manifest, pattern);
        }
        let model = archive.model().await?;
        let toc: Vec<String> = model
            .iter()
            .flat_map(|model| &model.entries)
            .map(|entry| printable(&entry.object.identity(&entry.head)))
            .collect();
        let totals =
            |stream: &Stream| archive.root().stream(stream.id).map(|entry| entry.totals).unwrap_or_default();
        let rows: u64 = manifest.streams.iter().map(|stream| totals(stream).rows).sum();
        let plain: u64 = manifest.streams.iter().map(|stream| totals(stream).plain_bytes).sum();
        if printer.json {
            printer.json(&serde_json::json!({
                "archive": place, "bytes": archive.source().size(), "rows": rows, "plain_bytes": plain,
                "manifest": manifest, "toc": self.toc.then_some(toc),
            }))?;
            return Ok(Exit::Good);
        }
        let Manifest { id, kind, database, server, snapshot, tool, .. } = &manifest;
        printer.line(&format!("archive    {} ({})", place, human_bytes(archive.source().size())))?;
        printer.line(&format!("database   {} on PostgreSQL {}", printable(database), server.version))?;
        printer.line(&format!("snapshot   {} ({kind}, id {id}, {tool})", snapshot.taken_at))?;
        printer.line(&format!("content    {} rows, {} of rows", human_count(rows), human_bytes(plain)))?;
        let personal = &manifest.left_out.personal;
        if !personal.is_empty() {
            let names = printable(&unquoted(&personal.join(", ")));
            printer.line(&format!("left out   the rows of {names}, as personal data"))?;
        }
        if self.toc {
            for line in &toc {
                printer.line(line)?;
            }
            return Ok(Exit::Good);
        }
        let mut largest: Vec<&Stream> = manifest.streams.iter().collect();
        largest.sort_by_key(|stream| std::cmp::Reverse(totals(stream).plain_bytes));
        printer.line("largest tables")?;
        for stream in largest.into_iter().take(10) {
            let Totals { rows, plain_bytes, .. } = totals(stream);
            printer.line(&format!(
                "  {:>14} rows {:>12}  {}",
                human_count(rows),
                human_bytes(plain_bytes),
                stream.display()
            ))?;
        }
        Ok(Exit::Good)
    }
}

fn show_tables(printer: Printer, archive: &OpenArchive, manifest: &Manifest, pattern: &str) -> Result<Exit> {
    let pattern = Pattern::table(pattern)
        .map_err(|error| Error::with_source(ErrorKind::Usage, "read the table's name", error))?;
    let mut shown = Vec::new();
    for stream in manifest.streams.iter().filter(|stream| pattern.matches(&stream.schema, &stream.name)) {
        let entry = archive.stream(stream)?;
        let Totals { chunks, rows, plain_bytes, sealed_bytes, hash } = entry.totals;
        shown.push(serde_json::json!({
            "table": stream.display(), "columns": stream.columns, "rows": rows, "plain_bytes": plain_bytes,
            "sealed_bytes": sealed_bytes, "chunks": chunks, "content_hash": hash.to_string(),
        }));
        if !printer.json {
            printer.line(&format!(
                "{}: {} rows, {} ({} in the archive), {chunks} chunks, content hash {hash}",
                stream.display(),
                human_count(rows),
                human_bytes(plain_bytes),
                human_bytes(sealed_bytes)
            ))?;
            printer.line(&format!("  columns: {}", printable(&stream.columns.join(", "))))?;
        }
    }
    if shown.is_empty() {
        return Err(Error::new(
            ErrorKind::Failed,
            format!("no table in the archive matches {}", pattern.text),
        )
        .hint("`pgcask show ARCHIVE --toc` lists what is there"));
    }
    if printer.json {
        printer.json(&shown)?;
    }
    Ok(Exit::Good)
}

impl VerifyArgs {
    /// Runs the command.
    pub async fn run(&self, context: &Context) -> Result<Exit> {
        let printer = context.printer;
        let place = self.find.place(&self.archive).await?;
        context.record.archive(&place);
        let source = Source::open(&place).await?;
        let mut refused = None;
        let verifier = if self.no_key {
            Verifier::new()
        } else {
            // An archive that cannot even be opened is scanned without a key, so that what is damaged is named.
            match Found::locate(source.clone()).await {
                Ok(found) if found.located().header.encrypted && !self.unlock.is_given() => {
                    printer.warning("no key is given: only structure and checksums are checked");
                    Verifier::new()
                }
                Ok(found) => match keys::unlock(found, &self.unlock).await {
                    Ok(archive) => Verifier::with_key(archive.opener().clone())?,
                    Err(error) if error.kind() != ErrorKind::Damaged => return Err(error),
                    Err(error) => {
                        refused = Some(error);
                        Verifier::new()
                    }
                },
                Err(error) if error.kind() == ErrorKind::Damaged => Verifier::new(),
                Err(error) => return Err(error),
            }
        };
        let report = scan(&source, verifier, context).await?;
        match refused {
            // What only the key shows to be wrong, such as a header whose checksum was made to fit.
            Some(error) if report.is_sound() => Err(error),
            _ => print_report(printer, &place, &report),
        }
    }
}

/// Feeds the whole archive to a verifier, with a progress bar.
pub(super) async fn scan(source: &Source, verifier: Verifier, context: &Context) -> Result<Report> {
    let progress = Progress::new(context.printer, context.bar);
    let observer: SharedObserver = Arc::<Progress>::clone(&progress);
    let report = opened::scan(source, verifier, &observer, &context.stop).await;
    progress.finish();
    report
}

fn print_report(printer: Printer, archive: &str, report: &Report) -> Result<Exit> {
    let sound = report.is_sound();
    let findings: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
    let sha256 = hex(&report.sha256);
    if printer.json {
        printer.json(&serde_json::json!({
            "archive": archive, "sound": sound, "findings": findings, "problems": report.problems,
            "frames": report.frames, "rows": report.rows, "sha256": sha256,
        }))?;
    } else {
        for finding in &findings {
            printer.line(&format!("damaged: {finding}"))?;
        }
        let word = if sound { "sound" } else { "DAMAGED" };
        printer
            .line(&format!("{archive}: {word}, {} frames, sha256 {sha256}", human_count(report.frames)))?;
    }
    Ok(if sound { Exit::Good } else { Exit::Damaged })
}

impl CatArgs {
    /// Runs the command.
    pub async fn run(&self, context: &Context) -> Result<Exit> {
        let printer = context.printer;
        let wanted = self.wanted.resolve()?;
        if self.table.is_some() && (!wanted.selection.is_everything() || wanted.sections != Sections::ALL) {
            return Err(Error::new(
                ErrorKind::Usage,
                "a TABLE is one table's rows: nothing else can be selected",
            )
            .hint("leave TABLE out, and give --table, for a script of some tables"));
        }
        let place = self.find.place(&self.archive).await?;
        let archive = open_to_read(&place, &self.unlock, context).await?;
        if !self.globals && wanted.sections.data {
            erasures::not_covered(&place, "what is written here", printer).await;
        }
        if self.globals {
            globals::cat(printer, &archive, self.show_secrets, &wanted).await?;
        } else if let Some(table) = &self.table {
            self.rows(&archive, table, context).await?;
        } else {
            let options = ScriptOptions { wanted, show_secrets: self.show_secrets };
            let mut out = |bytes: &[u8]| printer.bytes(bytes);
            let hidden = script(&options, &archive, &context.stop, &mut out).await?;
            if hidden > 0 {
                printer.warning(&format!(
                    "{hidden} options that may be passwords are hidden; --show-secrets writes them"
                ));
            }
        }
        printer.detail(&format!("{} read from the store", human_bytes(archive.source().bytes_read())));
        Ok(Exit::Good)
    }

    /// Writes one table's rows.
    async fn rows(&self, archive: &OpenArchive, table: &str, context: &Context) -> Result<()> {
        let printer = context.printer;
        let manifest = archive.manifest().await?;
        let stream = find(&manifest, table)?;
        let form = match self.format.unwrap_or(RowFormat::Csv) {
            RowFormat::Csv => Form::Csv,
            RowFormat::Jsonl => Form::Jsonl,
            RowFormat::Sql => Form::Sql,
            RowFormat::Copy => Form::Copy,
        };
        let picks = self.picks(stream).map_err(|error| {
            Error::with_source(ErrorKind::Usage, "choose rows", error)
                .hint("as in --key id=42, or --key id=100..200")
        })?;
        let extractor = Extractor::new(form, stream.qualified(), stream.columns.clone());
        printer.bytes(&extractor.header())?;
        let mut take = |text: &[u8]| {
            context.stop.check()?;
            if picks.is_empty() {
                return printer.bytes(&extractor.block(text));
            }
            printer.bytes(&extractor.block(&picks.pick(text)))
        };
        archive.each_text_of(archive.all_chunks(stream.id), &|chunk| picks.admit(chunk), &mut take).await
    }

    fn picks(&self, stream: &Stream) -> std::result::Result<Picks, PickError> {
        let picks =
            self.key.iter().map(|text| Pick::parse(text)).collect::<std::result::Result<Vec<_>, _>>()?;
        let zones: Vec<_> =
            stream.zones.iter().map(|zone| (usize::from(zone.position), zone.order)).collect();
        Picks::place(&picks, &stream.columns, &zones)
    }
}

/// The one table that is meant.
fn find<'a>(manifest: &'a Manifest, table: &str) -> Result<&'a Stream> {
    let pattern = Pattern::table(table)
        .map_err(|error| Error::with_source(ErrorKind::Usage, "read the table's name", error))?;
    let found: Vec<&Stream> =
        manifest.streams.iter().filter(|stream| pattern.matches(&stream.schema, &stream.name)).collect();
    match found.as_slice() {
        [one] => Ok(one),
        [] => Err(Error::new(
            ErrorKind::Failed,
            format!("no table in the archive matches {}", printable(table)),
        )
        .hint("`pgcask show ARCHIVE --toc` lists what is there")),
        several => {
            let names: Vec<String> = several.iter().map(|stream| stream.display()).collect();
            Err(Error::new(ErrorKind::Usage, format!("several tables match: {}", names.join(", "))))
        }
    }
}
