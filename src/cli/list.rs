//! `pgcask list`.

use clap::Args;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use serde::Serialize;

use super::Context;
use super::args::{moment, store_needed, table};
use super::printer::{Printer, human_bytes, human_count, human_seconds};
use super::state::state;
use crate::clock::Clock;
use crate::drill::TestType;
use crate::drill::evidence::last_mark;
use crate::error::Result;
use crate::exit::Exit;
use crate::pg::quote::printable;
use crate::store::beside;
use crate::store::cache::SidecarCache;
use crate::store::list::{Backup, Filter, Listing, Orphan, list};
use crate::store::naming::Kind;
use crate::store::sidecar::Metadata;
use crate::store::{Location, Store, StoreError, notes};

/// Sidecars read at the same time.
const READS: usize = 32;

/// List the backups in a store, newest first
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
EXAMPLES
  The newest backups:
    pgcask list --store s3://backups/prod

  Weekly ones of one database from before the accident:
    pgcask list shop --store s3://backups/prod --kind weekly --before '2026-11-22 14:30'

  Restore what is listed, by its id or as the newest:
    pgcask restore 6k2x8m41qvtz --store s3://backups/prod --into shop_copy --create
    pgcask restore shop/latest:weekly --store s3://backups/prod --into shop_copy --create

EXIT STATUS
  0 listed, even if there is none · 2 usage · 8 store unreachable")]
pub struct ListArgs {
    /// Only backups of this database
    #[arg(value_name = "DATABASE")]
    pub database: Option<String>,
    /// The store: a directory, or `s3://bucket/prefix`, `gs://…`, `az://…`
    #[arg(long, value_name = "STORE", env = "PGCASK_STORE")]
    pub store: Option<String>,
    /// Only this kind: daily, weekly, monthly, pre-deploy, manual, pre-restore
    #[arg(long, value_name = "KIND")]
    pub kind: Option<Kind>,
    /// Only those begun at this time or later; without a zone it is UTC
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub since: Option<Timestamp>,
    /// Only those begun before this time; without a zone it is UTC
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub before: Option<Timestamp>,
    /// Show at most so many; 0 shows all
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub limit: usize,
    /// Show what failed backups left behind instead
    #[arg(long)]
    pub orphans: bool,
}

/// A backup and its sidecar, as `--json` shows them.
#[derive(Debug, Serialize)]
struct Row<'a> {
    archive: String,
    id: &'a str,
    database: &'a str,
    kind: Kind,
    taken_at: Timestamp,
    bytes: u64,
    /// Numbers of the holds that keep it.
    holds: Vec<u32>,
    /// When `pgcask prune` marked it for removal.
    marked_at: Option<Timestamp>,
    /// The id of the backup that takes its place, without rows that were erased.
    superseded_by: Option<String>,
    /// What the sidecar says; `null` for one that cannot be read.
    metadata: Option<Metadata>,
    /// The last drill that restored it; `null` where there was none.
    last_drill: Option<LastDrill>,
}

/// A drill, by the mark that it left beside the archive.
#[derive(Debug, Serialize)]
struct LastDrill {
    at: Timestamp,
    /// `full`, or `tables`: only some of it was restored.
    #[serde(rename = "type")]
    kind: TestType,
    result: String,
    recovery_seconds: Option<f64>,
    /// Its record, log and page, where they were put beside the archive.
    evidence: Vec<String>,
}

/// What a failed backup left behind.
#[derive(Debug, Serialize)]
struct Left<'a> {
    key: String,
    /// Its length, where it is known: that of an unfinished upload is not.
    bytes: Option<u64>,
    /// What would make it whole.
    lacks: &'a str,
    /// When it was written, or the upload begun, by the store's clock.
    written: Timestamp,
    age_seconds: f64,
    held: bool,
    /// The store's name for an upload that nobody finished or aborted.
    upload: Option<String>,
}

impl Left<'_> {
    fn line(&self, store: &Store) -> String {
        let size = self.bytes.map_or_else(|| "an upload".to_owned(), human_bytes);
        let age = human_seconds(self.age_seconds.max(0.0));
        format!("{}  {size}  without {}, {age} old", printable(&store.display(&self.key)), self.lacks)
    }
}

/// Objects that are part of no backup, and uploads that were not finished.
async fn left_behind<'a>(
    store: &Store,
    listing: &'a Listing,
    filter: &Filter,
    printer: Printer,
) -> Result<Vec<Left<'a>>> {
    let now = Clock::System.now();
    let age = |written: Timestamp| now.duration_since(written).as_secs_f64();
    let orphans = listing.orphans.iter().map(|Orphan { key, bytes, lacks, written, held }| Left {
        key: key.clone(),
        bytes: Some(*bytes),
        lacks,
        written: *written,
        age_seconds: age(*written),
        held: *held,
        upload: None,
    });
    let mut left: Vec<Left<'_>> = orphans.collect();
    let unfinished = match store.unfinished().await {
        Err(error @ StoreError::PermissionDenied { .. }) => {
            printer.warning(&format!("unfinished uploads cannot be listed: {error}"));
            Vec::new()
        }
        other => other?,
    };
    left.extend(unfinished.into_iter().filter(|one| filter.takes_key(one.archive())).map(|one| Left {
        bytes: None,
        lacks: "its end",
        written: one.written,
        age_seconds: age(one.written),
        held: false,
        upload: Some(one.upload).filter(|upload| !upload.is_empty()),
        key: one.key,
    }));
    left.sort_by(|a, b| a.key.cmp(&b.key));
    Ok(left)
}

impl ListArgs {
    /// Runs the command.
    pub async fn run(&self, context: &Context) -> Result<Exit> {
        let printer = context.printer;
        let store = Location::parse(store_needed(self.store.as_deref(), "--store")?)?.open_existing()?;
        let filter = Filter {
            database: self.database.clone(),
            kind: self.kind,
            since: self.since,
            before: self.before,
        };
        let listing = list(&store, &filter).await?;
        if self.orphans {
            let left = left_behind(&store, &listing, &filter, printer).await?;
            if printer.json {
                printer.json(&left)?;
            } else {
                left.iter().try_for_each(|one| printer.line(&one.line(&store)))?;
            }
            return Ok(Exit::Good);
        }
        let count = if self.limit == 0 { usize::MAX } else { self.limit };
        let shown = listing.backups.get(..count.min(listing.backups.len())).unwrap_or_default();
        let folder = state().map(|state| state.sidecars());
        let cache = SidecarCache::open(folder.as_deref(), &store);
        let rows: Vec<Row<'_>> = stream::iter(shown.iter().map(|backup| row(&store, &cache, backup)))
            .buffered(READS)
            .try_collect()
            .await?;
        if printer.json {
            printer.json(&rows)?;
        } else {
            for line in lines(&rows) {
                printer.line(&line)?;
            }
        }
        let is_all =
            self.database.is_none() && self.kind.is_none() && self.since.is_none() && self.before.is_none();
        if let Err(error) = cache.save(&listing.backups, is_all) {
            printer.detail(&format!("the sidecars that were read are not kept for the next time: {error}"));
        }
        let hidden = listing.backups.len() - shown.len();
        if hidden > 0 {
            printer.info(&format!("{hidden} older ones are not shown: --limit 0 shows all"));
        }
        if !listing.orphans.is_empty() {
            let count = listing.orphans.len();
            printer.warning(&format!("{count} leftovers of backups that failed: --orphans shows them"));
        }
        Ok(Exit::Good)
    }
}

async fn row<'a>(store: &Store, cache: &SidecarCache, backup: &'a Backup) -> Result<Row<'a>> {
    let metadata = cache.read(store, backup).await?;
    let mark = last_mark(store, &backup.key, &backup.later).await?;
    Ok(Row {
        archive: store.display(&backup.key),
        id: &backup.facts.id,
        database: &backup.facts.database,
        kind: backup.facts.kind,
        taken_at: backup.facts.taken,
        bytes: backup.bytes,
        holds: notes::holds(&backup.notes),
        marked_at: notes::mark(&backup.notes).map(|(time, _)| time),
        superseded_by: backup.superseded_by.clone(),
        metadata,
        last_drill: mark.map(|mark| LastDrill {
            at: mark.entry.at,
            kind: mark.entry.kind,
            result: mark.entry.result,
            recovery_seconds: mark.entry.rto_measured_seconds,
            evidence: ["json", "log", "html"]
                .map(|form| beside::evidence_name(mark.entry.at, form))
                .into_iter()
                .filter(|end| backup.later.contains(end))
                .map(|end| store.display(&format!("{}.{end}", backup.key)))
                .collect(),
        }),
    })
}

fn lines(rows: &[Row<'_>]) -> Vec<String> {
    let heads =
        ["TAKEN (UTC)", "KIND", "DATABASE", "SIZE", "ROWS", "SEALED", "EXPIRES", "KEPT", "DRILLED", "ID"];
    let mut cells = vec![heads.map(str::to_owned)];
    cells.extend(rows.iter().map(|row| {
        let say = |of: &dyn Fn(&Metadata) -> String| row.metadata.as_ref().map_or_else(|| "?".to_owned(), of);
        let day = |text: &str| text.get(..10).unwrap_or("?").to_owned();
        [
            row.taken_at.strftime("%Y-%m-%d %H:%M:%S").to_string(),
            row.kind.to_string(),
            printable(row.database),
            human_bytes(row.bytes),
            say(&|metadata| match metadata.without_personal {
                0 => human_count(metadata.rows),
                tables => format!("{} (but {tables} tables)", human_count(metadata.rows)),
            }),
            say(&|metadata| (if metadata.encrypted { "yes" } else { "no" }).to_owned()),
            say(&|metadata| metadata.expires_at.as_deref().map_or_else(|| "never".to_owned(), day)),
            kept(row),
            row.last_drill.as_ref().map_or_else(
                || "–".to_owned(),
                |drill| {
                    let of = if drill.kind == TestType::Tables { " (some tables)" } else { "" };
                    format!("{} {}{of}", drill.at.strftime("%Y-%m-%d"), printable(&drill.result))
                },
            ),
            row.id.to_owned(),
        ]
    }));
    table(&cells, &[3, 4])
}

/// What keeps it, or ends it, besides its expiry.
fn kept(row: &Row<'_>) -> String {
    match (row.holds.is_empty(), &row.superseded_by, row.marked_at) {
        (false, ..) => "held",
        (true, Some(_), _) => "superseded",
        (true, None, Some(_)) => "marked",
        (true, None, None) => "-",
    }
    .to_owned()
}
