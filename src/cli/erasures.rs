//! The erasure ledger as commands that restore take it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;

use super::Context;
use super::backup::in_one_line;
use super::printer::{Printer, human_count};
use crate::erasure::{Entry, Erasures, HashKey, Ledger, Recorded, Report, SharedErasures, merged};
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::opened::OpenArchive;
use crate::store::Location;

/// How the erasure ledger is minded.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Erasure")]
pub struct ErasureArgs {
    /// Mind the erasure ledger in this store, too; may be repeated. That in the archive's own store is minded anyway
    #[arg(long = "erasures", value_name = "STORE", conflicts_with = "no_erasure")]
    pub stores: Vec<String>,
    /// Let rows come back that the erasure ledger names; it is written into the audit log
    #[arg(long)]
    pub no_erasure: bool,
    /// The configured store.
    #[arg(skip)]
    pub configured: Option<String>,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would print it as help text")]
    pub key: ErasureKeyArgs,
}

/// The key of hashed entries.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Erasure")]
pub struct ErasureKeyArgs {
    /// The file of the key of hashed entries of the erasure ledger
    #[arg(long, value_name = "FILE", env = "PGCASK_ERASURE_KEY_FILE")]
    pub erasure_key_file: Option<PathBuf>,
}

impl ErasureKeyArgs {
    /// The key, if a file is named.
    pub(super) fn read(&self) -> Result<Option<HashKey>> {
        self.erasure_key_file.as_deref().map(read_key).transpose()
    }
}

fn read_key(path: &Path) -> Result<HashKey> {
    let doing = || format!("read the key of erasure hashes from {}", path.display());
    let content = std::fs::read(path).map_err(|error| Error::with_source(ErrorKind::Key, doing(), error))?;
    HashKey::new(&zeroize::Zeroizing::new(content)).context(doing)
}

/// Whose ledger is minded.
pub(super) struct Asked<'a> {
    /// Path or URL of the archive; nothing when there is none.
    pub(super) archive: &'a str,
    /// The database that it is of, where that is known.
    pub(super) database: Option<&'a str>,
}

impl ErasureArgs {
    /// The entries for an archive that was opened.
    pub(super) async fn of(&self, archive: &OpenArchive, context: &Context) -> Result<SharedErasures> {
        let (place, manifest) = (archive.source().display(), archive.manifest().await?);
        self.gather(Asked { archive: &place, database: Some(&manifest.database) }, context).await
    }

    /// Reads the ledgers: that beside the archive, those that were named, and the one in the configured store, if it can be reached.
    pub(super) async fn gather(&self, asked: Asked<'_>, context: &Context) -> Result<SharedErasures> {
        let printer = context.printer;
        if self.no_erasure {
            printer
                .warning("the erasure ledger is not applied: erased rows that are in the backup come back");
            context.record.detail("erasure_ledger", &"not applied");
            return Ok(SharedErasures::default());
        }
        let own = Ledger::beside(asked.archive);
        let in_store = |place: &str| -> Result<Ledger> {
            let store = Location::parse(place)?.open_existing()?;
            match (&own, asked.database) {
                (Some(own), _) => Ok(own.in_store(&store)),
                (None, Some(database)) => Ok(Ledger::of(&store, database)),
                (None, None) => Err(Error::new(
                    ErrorKind::Usage,
                    "whose erasure ledger is meant cannot be told from the archive's name",
                )),
            }
        };
        let mut all = Gathered::default();
        if let Some(own) = &own {
            all.take(own).await?;
        }
        for place in &self.stores {
            all.take(&in_store(place)?).await?;
        }
        if let Some(place) = &self.configured
            && (own.is_some() || asked.database.is_some())
        {
            // The store that a copy was taken instead of may be the one that is down.
            let minded = async { all.take(&in_store(place)?).await };
            if let Err(error) = minded.await {
                printer.warning(&format!("not minded: {}", in_one_line(&error)));
            }
        }
        if all.ledgers.is_empty() {
            printer.info(
                "the archive lies in no store, so that no erasure ledger is minded; --erasures names one",
            );
        }
        let entries = all.entries();
        let erasures = Erasures { entries, key: self.key.read()? };
        erasures.check()?;
        if !erasures.is_empty() {
            context.record.detail("erasure_entries", &erasures.entries.len());
        }
        Ok(Arc::new(erasures))
    }
}

/// What several ledgers have, each read once.
#[derive(Default)]
pub(super) struct Gathered {
    ledgers: BTreeSet<String>,
    all: Vec<Recorded>,
}

impl Gathered {
    /// Reads a ledger, unless it was read already.
    pub(super) async fn take(&mut self, ledger: &Ledger) -> Result<()> {
        if self.ledgers.insert(ledger.place()) {
            self.all.extend(ledger.read().await?);
        }
        Ok(())
    }

    /// The entries that hold, each once.
    pub(super) fn entries(self) -> Vec<Entry> {
        let hold = merged(self.all).into_iter().filter(|recorded| recorded.withdrawn.is_none());
        hold.map(|recorded| recorded.entry).collect()
    }
}

/// Takes down for the audit log what the ledger did.
pub(super) fn record(report: Option<&Report>, context: &Context) {
    if let Some(report) = report {
        context.record.detail("erased_rows", &report.rows_deleted);
    }
}

/// What the ledger did, in words; nothing where there is none.
pub(super) fn words(report: Option<&Report>) -> Vec<String> {
    let Some(report) = report else { return Vec::new() };
    let Report { entries, rows_named, rows_deleted, found, tables, along, refreshed, not_there, fired: _ } =
        report;
    let mut lines = vec![format!(
        "erasure ledger: {} entries name {} rows; {} were in the backup, and are deleted again",
        human_count(*entries),
        human_count(*rows_named),
        human_count(*rows_deleted)
    )];
    for one in found {
        let day = one.at.strftime("%Y-%m-%d");
        lines.push(format!(
            "  entry {} of {day}: {} rows of {}",
            one.entry,
            human_count(one.rows),
            one.table
        ));
    }
    let gone = tables.iter().map(|one| format!("  {}: {} rows deleted", one.table, human_count(one.rows)));
    lines.extend(gone);
    for one in along {
        lines.push(format!("  {}: {} rows changed along, by foreign keys", one.table, human_count(one.rows)));
    }
    lines.extend(refreshed.iter().map(|view| format!("  filled anew: {view}")));
    lines.extend(not_there.iter().map(|table| format!("  not there: {table}")));
    lines
}

/// Says that what is written out has rows that the ledger names.
pub(super) async fn not_covered(archive: &str, what: &str, printer: Printer) {
    let Some(ledger) = Ledger::beside(archive) else { return };
    match ledger.read().await {
        Ok(all) => {
            let count = all.iter().filter(|recorded| recorded.withdrawn.is_none()).count();
            if count > 0 {
                printer.warning(&format!(
                    "{count} entries of the erasure ledger are not applied to {what}: erased rows may be in it"
                ));
            }
        }
        // Who may read an archive need not be able to list its store.
        Err(error) => printer.detail(&in_one_line(&error)),
    }
}
