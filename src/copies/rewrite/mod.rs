//! A new archive without the rows that the erasure ledger names, which takes the place of the one that has them.
//!
//! ```text
//! ledger ─▶ search: zone maps, keys, foreign keys ─▶ sieves ─▶ every frame opened, sifted, sealed anew ─▶ verified
//!        ─▶ `.superseded-<id>.json` beside the old one ─▶ `.json` of the new one: from here on it has the place
//! ```
//!
//! The mark beside the old archive means nothing until the new one is a backup, so that there is no moment at which both or
//! none count. `pgcask prune` removes the old one, never while it is held.

mod form;
mod search;
mod sieve;
mod tables;

use std::time::Instant;

use bytes::Bytes;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;

use super::anew::{self, Anew, Sealed};
use super::original::Original;
use crate::actor::Actor;
use crate::archive::Verifier;
use crate::erasure::{Changed, Entry, Erasures};
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::event::{Event, SharedObserver};
use crate::opened::{self, OpenArchive, scan};
use crate::pg::copy::rows::{columns, rows};
use crate::seal::compress::Level;
use crate::seal::recipient::Recipient;
use crate::stop::Stop;
use crate::store::beside::Place;
use crate::store::get::Source;
use crate::store::notes::{self, NoteKind};
use crate::store::publish::{Sidecars, commit};
use crate::store::sidecar::{Rewritten, hex, sha256_line};
use crate::store::{locks, naming, objects};

pub use sieve::{Sieve, Sieves};

use search::Search;
use tables::Tables;

/// Which rows of an archive go.
#[derive(Debug, Default, Serialize)]
pub struct Found {
    /// The entries, and how many rows of each are there.
    pub entries: Vec<FoundEntry>,
    /// Rows that the ledger names, by table.
    pub tables: Vec<Changed>,
    /// Rows that go along, by `ON DELETE CASCADE`.
    pub along: Vec<Changed>,
    /// Rows that lose a reference, by `ON DELETE SET NULL`.
    pub emptied: Vec<Changed>,
    /// Tables of the ledger that are not in the archive.
    pub not_there: Vec<String>,
    #[serde(skip)]
    sieves: Sieves,
}

/// An entry of the ledger.
#[derive(Debug, Clone, Serialize)]
pub struct FoundEntry {
    /// Its id.
    pub entry: String,
    /// Its table.
    pub table: String,
    /// How many rows of it are in the archive.
    pub rows: u64,
    /// The archive has a table of that name. Where it has not, nobody can tell: it may have had another name then.
    pub known: bool,
}

impl FoundEntry {
    fn of(entry: &Entry) -> Self {
        Self { entry: entry.id.clone(), table: entry.table.display(), rows: 0, known: true }
    }
}

impl Found {
    /// Whether the archive has none of the rows.
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    /// How many rows go.
    pub fn rows(&self) -> u64 {
        self.tables.iter().chain(&self.along).map(|changed| changed.rows).sum()
    }
}

/// How the new archive is made.
#[derive(Debug, Clone)]
pub struct Order {
    /// For whom it is sealed; nobody for one that is not encrypted.
    pub recipients: Vec<Recipient>,
    /// Who does it.
    pub actor: Actor,
    /// When.
    pub at: Timestamp,
}

/// What a rewrite tells at the end.
#[derive(Debug, Clone, Serialize)]
pub struct Done {
    /// What takes the place: path or URL.
    pub archive: String,
    /// Its id.
    pub id: String,
    /// Its length.
    pub bytes: u64,
    /// Its SHA-256.
    pub sha256: String,
    /// The id of the old one.
    pub supersedes: String,
    /// How long it took.
    pub seconds: f64,
}

/// Finds the rows of an archive that the ledger names, and what goes along with them.
///
/// # Errors
/// [`ErrorKind::Refused`] when rows would be left that reference one that goes, when an entry does not fit the table, when equal
/// values cannot be told without a server, and for an archive without definitions; those of the archive.
pub async fn find(archive: &OpenArchive, erasures: &Erasures, stop: &Stop) -> Result<Found> {
    let manifest = archive.manifest().await?;
    let model = archive.model().await?.ok_or_else(|| {
        Error::new(
            ErrorKind::Refused,
            "the archive has rows alone: without definitions nobody can tell which are meant",
        )
        .hint("`pgcask prune --backup ID` removes it")
    })?;
    let tables = Tables::new(&manifest, &model)?;
    Search::new(archive, &tables, stop).run(erasures).await
}

/// Makes the archive that takes the place, verifies it, and lets it do so.
///
/// # Errors
/// [`ErrorKind::Refused`] when the old one is held; when what was made is not sound, and those of the store. No new backup is
/// there then.
pub async fn rewrite(
    archive: &OpenArchive,
    found: &Found,
    order: &Order,
    observer: &SharedObserver,
    stop: &Stop,
) -> Result<Done> {
    let began = Instant::now();
    let original = Original::open(&archive.source().display()).await?;
    refuse_held(&original.place).await?;
    let id = naming::new_id()?;
    let store = &original.place.store;
    let key = naming::sibling(&original.place.key, &id).ok_or_else(|| {
        let message = format!("{} is not named as backups are", archive.source().display());
        Error::new(ErrorKind::Refused, message).hint("only a backup in a store can be superseded")
    })?;
    let provenance = provenance(&original, found, order);
    let public: Vec<String> = order.recipients.iter().filter_map(Recipient::public_text).collect();
    let work = Anew {
        archive,
        recipients: &order.recipients,
        level: Level::new(original.metadata.level).unwrap_or_default(),
        manifest: json!({"id": id, "recipients": public, "rewritten": provenance}),
        sieves: Some(&found.sieves),
        observer,
    };
    observer.event(Event::Phase { name: "sealing anew" });
    let sealed = work.seal_into(store, &key, stop).await?;
    let made = Made { original: &original, found, key: &key, id: &id, sealed: &sealed };
    let checked = async {
        made.verify(observer, stop).await?;
        refuse_held(&original.place).await?;
        made.take_the_place(order, &provenance).await
    };
    if let Err(error) = checked.await {
        // Without its `.json` it is no backup; what cannot be removed is named by every listing.
        drop(objects::remove(store, &key).await);
        return Err(error);
    }
    let objects = [String::new(), ".sha256".to_owned(), ".json".to_owned()].map(|end| format!("{key}{end}"));
    locks::as_archive(store, &original.place.key, &objects).await.context(|| {
        "lock the new backup in the store as the old one is; it is made, and can be deleted".to_owned()
    })?;
    Ok(Done {
        archive: store.display(&key),
        id: id.clone(),
        bytes: sealed.summary.bytes,
        sha256: hex(&sealed.summary.sha256),
        supersedes: original.metadata.id.clone(),
        seconds: began.elapsed().as_secs_f64(),
    })
}

/// What stands in the new archive about where it comes from. Of one that was rewritten before, all entries stay named; those whose
/// table it does not know are not.
fn provenance(original: &Original, found: &Found, order: &Order) -> Rewritten {
    let before = original.metadata.rewritten.iter().flat_map(|before| before.entries.iter().cloned());
    let own = found.entries.iter().filter(|entry| entry.known).map(|entry| entry.entry.clone());
    let mut entries: Vec<String> = before.chain(own).collect();
    entries.sort();
    entries.dedup();
    let from = original.metadata.id.clone();
    Rewritten { from, at: order.at.to_string(), entries, rows: found.rows() }
}

/// A legal hold is stronger than an erasure.
async fn refuse_held(place: &Place) -> Result<()> {
    let beside = objects::beside(&place.store, &place.key).await?;
    if notes::holds(&notes::of(&place.key, &beside)).is_empty() {
        return Ok(());
    }
    let message = format!("{} is held, and stays as it is", place.store.display(&place.key));
    Err(Error::new(ErrorKind::Refused, message)
        .hint("`pgcask hold list` says who holds it and why; a restore erases the rows again all the same"))
}

/// An archive that was sealed, and is no backup yet.
struct Made<'a> {
    original: &'a Original,
    found: &'a Found,
    key: &'a str,
    id: &'a str,
    sealed: &'a Sealed,
}

impl Made<'_> {
    /// Reads it back: every frame is authentic, it is what was written, and none of the rows is in it.
    async fn verify(&self, observer: &SharedObserver, stop: &Stop) -> Result<()> {
        observer.event(Event::Phase { name: "verifying what was made" });
        let store = &self.original.place.store;
        let source = Source::open(&store.display(self.key)).await?;
        let archive = opened::Found::locate(source.clone()).await?.open(self.sealed.keys.clone())?;
        let verifier = Verifier::with_key(archive.opener().clone())?;
        let report = scan(&source, verifier, observer, stop).await?;
        let damaged = |what: String| Error::new(ErrorKind::Damaged, format!("{}: {what}", source.display()));
        if let Some(first) = report.findings.first() {
            return Err(damaged(format!("what was made is not sound: {first}")));
        }
        if report.sha256 != self.sealed.summary.sha256 || report.rows != self.sealed.summary.totals.rows {
            return Err(damaged("what is there is not what was written".to_owned()));
        }
        for (stream, sieve) in self.found.sieves.each() {
            let mut left = 0_u64;
            let mut take = |text: &[u8]| {
                stop.check()?;
                left += rows(text)
                    .fold(0, |left, row| left + u64::from(sieve.removes(&columns(row).collect::<Vec<_>>())));
                Ok(())
            };
            let wanted = |chunk: &crate::archive::ChunkEntry| sieve.admits(chunk);
            archive.each_text_of(archive.all_chunks(stream), &wanted, &mut take).await?;
            if left > 0 {
                return Err(damaged(format!("{left} rows are still there that were to go")));
            }
        }
        Ok(())
    }

    /// Says beside the old archive which one takes its place, and beside those that the old one took the place of; then makes the
    /// new one a backup.
    async fn take_the_place(&self, order: &Order, provenance: &Rewritten) -> Result<()> {
        let Self { original, key, id, sealed, .. } = self;
        let store = &original.place.store;
        let file = key.rsplit('/').next().unwrap_or(key);
        let bytes = id.as_bytes().try_into();
        let bytes = bytes.map_err(|_| Error::new(ErrorKind::Failed, format!("{id} is no id")))?;
        let suffix = NoteKind::Superseded(bytes).suffix().unwrap_or_default();
        let note = json!({
            "format": 1, "at": order.at.to_string(), "by": order.actor, "id": id, "archive": file,
            "entries": provenance.entries, "reason": "rows of the erasure ledger were taken out",
        });
        let note = Bytes::from(format!("{note:#}"));
        let mut marked = Vec::new();
        for old in self.superseded().await? {
            let place = format!("{old}{suffix}");
            objects::put_new(store, &place, note.clone()).await?;
            marked.push(place);
        }
        let made = &sealed.summary;
        let keys: Vec<String> = made.recipients.iter().map(ToString::to_string).collect();
        let sha256 = hex(&made.sha256);
        let changes = json!({
            "id": id, "archive": file, "bytes": made.bytes, "sha256": sha256, "keys": keys, "rows": made.totals.rows,
            "plain_bytes": made.totals.plain_bytes, "tool": concat!("pgcask ", env!("CARGO_PKG_VERSION")),
            "rewritten": provenance,
        });
        let json = Bytes::from(format!("{:#}", anew::changed(&original.json, changes)?));
        let checksum = Bytes::from(sha256_line(&sha256, file));
        if let Err(error) = commit(store, key, &Sidecars { checksum, beside: &[], json }).await {
            for place in marked {
                // It means nothing without the backup that it names.
                drop(objects::remove(store, &place).await);
            }
            return Err(error.into());
        }
        Ok(())
    }

    /// The keys of the old archive, and of those whose place it had.
    async fn superseded(&self) -> Result<Vec<String>> {
        let Place { store, key } = &self.original.place;
        let folder = key.rsplit_once('/').map_or("", |(folder, _)| folder);
        let mark = format!(".superseded-{}.json", self.original.metadata.id);
        let all = objects::below(store, folder).await?;
        let before = all.iter().filter_map(|object| object.key.strip_suffix(&mark).map(str::to_owned));
        // One may have been removed already, and its mark be left.
        let there = |old: &String| all.iter().any(|object| object.key == *old);
        Ok(std::iter::once(key.clone()).chain(before.filter(there)).collect())
    }
}
