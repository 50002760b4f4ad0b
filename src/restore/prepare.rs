//! Reads what the archive holds, picks what is wanted, and plans.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::options::{Options, Parts, Plan};
use super::preflight::Finding;
use super::steps::LoadPlan;
use crate::archive::ChunkEntry;
use crate::catalog::encode::FORMAT;
use crate::catalog::ident::ObjectId;
use crate::catalog::model::{DatabaseInfo, Entry, Model};
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::limits::UNIT_BYTES;
use crate::manifest::{Closing, Content, Manifest, Stream};
use crate::opened::OpenArchive;
use crate::pg::{Session, SessionKind, quote};
use crate::plan::choose::choose;
use crate::plan::restore::{Item, Load, RestorePlan, plan};

/// A table of at least this share of all bytes is loaded by several sessions at once; another by one, which can
/// freeze its rows.
const SPLIT_SHARE: u64 = 8;

/// All that is known before the target is touched.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) manifest: Manifest,
    pub(super) model: Model,
    pub(super) closing: Closing,
    pub(super) loads: Vec<LoadPlan>,
    pub(super) plan: RestorePlan,
    /// Entries that are only there because others need them.
    pub(super) needed: BTreeSet<ObjectId>,
    sealed_bytes: u64,
}

/// Reads and plans.
pub(super) async fn prepare(
    options: &Options,
    archive: &OpenArchive,
    existing: Option<&Session>,
) -> Result<Prepared> {
    let manifest = archive.manifest().await?;
    let closing = archive.closing().await?;
    let mut model = match archive.model().await? {
        Some(model) => model,
        None if options.parts == Parts::Rows => empty_model(&manifest),
        None => {
            return Err(Error::new(ErrorKind::Usage, "the archive holds rows only, no definitions")
                .hint("give --data-only, and a database that has the tables"));
        }
    };
    let needed = select(options, &mut model, existing).await?;
    let mut loads = Vec::new();
    let mut sealed_bytes = 0;
    if options.parts != Parts::Definitions {
        let wanted: Vec<&Stream> =
            manifest.streams.iter().filter(|stream| is_wanted(options, stream)).collect();
        let total: u64 =
            wanted.iter().filter_map(|s| archive.root().stream(s.id)).map(|e| e.totals.plain_bytes).sum();
        for stream in wanted {
            let entry = archive.stream(stream)?;
            sealed_bytes += entry.totals.sealed_bytes;
            let chunks = archive.chunks(stream.id).await?;
            let split = options.jobs > 1
                && stream.content == Content::Table
                && entry.totals.plain_bytes >= UNIT_BYTES
                && entry.totals.plain_bytes >= total / SPLIT_SHARE;
            loads.push(LoadPlan { stream: stream.clone(), units: cut(chunks, split) });
        }
    }
    let plan = make_plan(options, &model, &loads)?;
    Ok(Prepared { manifest, model, closing, loads, plan, needed, sealed_bytes })
}

fn empty_model(manifest: &Manifest) -> Model {
    Model {
        format: FORMAT,
        server: manifest.server.version,
        database: DatabaseInfo {
            name: manifest.database.clone(),
            owner: String::new(),
            encoding: manifest.server.encoding.clone(),
            collate: None,
            ctype: None,
            provider: None,
            locale: None,
        },
        entries: Vec::new(),
        warnings: Vec::new(),
    }
}

/// Keeps the entries that are wanted; gives those that are kept only because others need them.
async fn select(
    options: &Options,
    model: &mut Model,
    existing: Option<&Session>,
) -> Result<BTreeSet<ObjectId>> {
    if options.parts == Parts::Rows {
        model.entries.clear();
        return Ok(BTreeSet::new());
    }
    let present = match existing {
        Some(session) if !options.selection.is_everything() => present(session, model).await?,
        _ => BTreeSet::new(),
    };
    Ok(choose(model, &options.selection, &present))
}

/// The relations of the model that the target has already, by name, and what is said of those alone.
async fn present(session: &Session, model: &Model) -> Result<BTreeSet<ObjectId>> {
    let sql = "SELECT n.nspname, c.relname FROM pg_catalog.pg_class c \
               JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f')";
    let names: HashSet<(String, String)> = session
        .query_text(sql)
        .await?
        .into_iter()
        .filter_map(|row| match row.as_slice() {
            [Some(schema), Some(name)] => Some((schema.clone(), name.clone())),
            _ => None,
        })
        .collect();
    let mut found = BTreeSet::new();
    for Entry { head, object } in &model.entries {
        let schema = head.schema.clone().unwrap_or_default();
        if object.after_data_of().is_empty() && names.contains(&(schema, head.name.clone())) {
            found.extend(head.ids());
        }
    }
    for Entry { head, object } in &model.entries {
        let relations = object.after_data_of();
        if !relations.is_empty() && relations.iter().all(|id| found.contains(id)) {
            found.extend(head.ids());
        }
    }
    Ok(found)
}

fn is_wanted(options: &Options, stream: &Stream) -> bool {
    match stream.content {
        Content::Table | Content::ExtensionConfig { .. } => {
            options.selection.rows(&stream.schema, &stream.name)
        }
        Content::LargeObjects | Content::LargeObjectData => !options.selection.is_narrowed(),
    }
}

/// Cuts chunks into units of about [`UNIT_BYTES`], or makes one unit of all.
fn cut(chunks: Vec<ChunkEntry>, split: bool) -> Vec<Vec<ChunkEntry>> {
    if !split {
        return vec![chunks];
    }
    let mut units: Vec<Vec<ChunkEntry>> = Vec::new();
    let mut bytes = u64::MAX;
    for chunk in chunks {
        if bytes >= UNIT_BYTES {
            units.push(Vec::new());
            bytes = 0;
        }
        bytes += u64::from(chunk.plain_bytes);
        if let Some(unit) = units.last_mut() {
            unit.push(chunk);
        }
    }
    units
}

fn make_plan(options: &Options, model: &Model, loads: &[LoadPlan]) -> Result<RestorePlan> {
    let items: Vec<Item> = model.entries.iter().map(item).collect();
    let loads: Vec<Load> = loads
        .iter()
        .map(|load| Load {
            relation: load.stream.object,
            units: load.units.iter().map(|u| u.iter().map(|c| u64::from(c.plain_bytes)).sum()).collect(),
        })
        .collect();
    plan(&items, &loads, options.analyze).map_err(|cycle| {
        let names: Vec<String> = cycle
            .0
            .iter()
            .filter_map(|position| model.entries.get(*position))
            .map(|entry| quote::printable(&entry.object.identity(&entry.head)))
            .collect();
        Error::new(
            ErrorKind::Failed,
            format!("objects depend on one another in a circle: {}", names.join(", ")),
        )
    })
}

fn item(entry: &Entry) -> Item {
    let Entry { head, object } = entry;
    Item {
        kind: object.kind(),
        ids: head.ids().collect(),
        depends: head.depends.clone(),
        after_data_of: object.after_data_of(),
        after_all_data: object.after_all_data(),
        partition_of: object.partition_of(),
        detachable: !object.detached_ids().is_empty(),
        detached_depends: head.detached_depends.clone(),
        refresh: object.is_filled(),
        class: 0,
    }
}

/// Creates the target with the encoding and locale of the source, from `template0`, so that nothing of another
/// template gets into it.
pub(super) async fn create_database(options: &Options, model: &Model) -> Result<()> {
    let name = options.target.database.clone();
    let DatabaseInfo { encoding, collate, ctype, provider, locale, .. } = &model.database;
    let mut session = Err(Error::new(ErrorKind::Failed, "no maintenance database"));
    for maintenance in ["postgres", "template1"] {
        session = Session::open(&options.target.with_database(maintenance), SessionKind::Target)
            .await
            .map_err(Error::from);
        if session.is_ok() {
            break;
        }
    }
    let session = session.context(|| "connect to create the database".to_owned())?;
    let mut sql = format!("CREATE DATABASE {} TEMPLATE template0", quote::ident(&name));
    if !encoding.is_empty() {
        sql.push_str(&format!(" ENCODING {}", quote::literal(encoding)));
    }
    for (word, value) in [("LC_COLLATE", collate), ("LC_CTYPE", ctype)] {
        if let Some(value) = value {
            sql.push_str(&format!(" {word} {}", quote::literal(value)));
        }
    }
    match (provider.as_deref(), locale) {
        (Some("icu"), Some(locale)) => {
            sql.push_str(&format!(" LOCALE_PROVIDER icu ICU_LOCALE {}", quote::literal(locale)));
        }
        (Some("builtin"), Some(locale)) => {
            sql.push_str(&format!(" LOCALE_PROVIDER builtin BUILTIN_LOCALE {}", quote::literal(locale)));
        }
        (Some("libc"), _) if session.version().at_least(15) => sql.push_str(" LOCALE_PROVIDER libc"),
        _ => {}
    }
    session.execute(&sql).await.context(|| format!("create the database {}", quote::printable(&name)))
}

impl Prepared {
    /// Bytes of COPY text to be loaded.
    pub(super) fn bytes(&self) -> u64 {
        self.chunks().map(|chunk| u64::from(chunk.plain_bytes)).sum()
    }

    /// Rows to be loaded.
    pub(super) fn rows(&self) -> u64 {
        self.chunks().map(|chunk| u64::from(chunk.rows)).sum()
    }

    fn chunks(&self) -> impl Iterator<Item = &ChunkEntry> {
        self.loads.iter().flat_map(|load| load.units.iter().flatten())
    }

    pub(super) fn describe(&self, options: &Options, findings: Vec<Finding>) -> Plan {
        let mut objects: BTreeMap<&'static str, u64> = BTreeMap::new();
        for entry in &self.model.entries {
            *objects.entry(entry.object.kind()).or_default() += 1;
        }
        Plan {
            database: options.target.display(),
            create: options.create,
            objects: objects.into_iter().map(|(kind, count)| (kind.to_owned(), count)).collect(),
            tables: u64::try_from(self.loads.len()).unwrap_or(u64::MAX),
            rows: self.rows(),
            bytes: self.bytes(),
            read_bytes: self.sealed_bytes,
            findings,
        }
    }
}
