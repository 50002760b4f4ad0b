//! Reads what the archive holds, picks what is wanted, and plans.

use std::collections::{BTreeSet, HashMap};

use super::key_order;
use super::load_plan::LoadPlan;
use super::options::{Options, Wanted};
use super::platform::Platform;
use super::publications::Publications;
use super::selected::{self, Besides};
use crate::archive::Totals;
use crate::catalog::database::DatabaseInfo;
use crate::catalog::encode::FORMAT;
use crate::catalog::ident::ObjectId;
use crate::catalog::model::{Entry, Model, SequenceValue};
use crate::catalog::registry::Object;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::limits::UNIT_BYTES;
use crate::manifest::{Content, Manifest, Origin, Stream};
use crate::opened::{ChunkRange, OpenArchive};
use crate::pg::{ConnectOptions, Session, SessionKind, quote};
use crate::plan::priority::REST;
use crate::plan::restore::{Half, Item, Late, Load, RestorePlan, late, plan};

/// A table of at least this share of all bytes is loaded by several sessions at once; another by one, which can
/// freeze its rows.
const SPLIT_SHARE: u64 = 8;

/// With what means a restore is done, as far as the plan depends on them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Means {
    /// Large tables are loaded in parts, by several connections.
    pub(super) split: bool,
    /// Gather statistics.
    pub(super) analyze: bool,
    /// The class of priority that is the last one for now.
    pub(super) stop_after: Option<u8>,
}

impl Options {
    pub(super) const fn means(&self) -> Means {
        Means { split: self.jobs > 1, analyze: self.analyze, stop_after: self.stop_after }
    }
}

/// All that is known before the target is touched.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) manifest: Manifest,
    /// Which backup it is.
    pub(super) origin: Origin,
    pub(super) model: Model,
    /// Where the wanted sequences stood.
    pub(super) sequences: Vec<SequenceValue>,
    pub(super) loads: Vec<LoadPlan>,
    pub(super) plan: RestorePlan,
    pub(super) sectioned: Sectioned,
    /// What is done differently on the target's platform.
    pub(super) platform: Platform,
    /// Patterns that mean nothing in the archive, each as what it is a pattern of says.
    pub(super) unmatched: Vec<String>,
    /// What the selection means besides.
    pub(super) besides: Besides,
    /// Publications that the chosen tables were part of.
    pub(super) publications: Publications,
    /// Bytes of rows a second, as they were read when the backup was made.
    pub(super) rate: Option<f64>,
}

/// Reads and plans.
pub(super) async fn prepare(
    wanted: &Wanted,
    means: Means,
    archive: &OpenArchive,
    existing: Option<&Session>,
) -> Result<Prepared> {
    let manifest = archive.manifest().await?;
    let closing = archive.closing().await?;
    let rate = selected::rate(archive, &manifest, &closing);
    let mut sequences = closing.sequences;
    let mut model = match archive.model().await? {
        Some(model) => model,
        None if !wanted.sections.defines() => empty_model(&manifest),
        None => {
            return Err(Error::new(ErrorKind::Usage, "the archive holds rows only, no definitions")
                .hint("give --data-only, and a database that has the tables"));
        }
    };
    let has_definitions = !model.entries.is_empty();
    forget(wanted, &mut model);
    let unmatched = selected::unmatched(wanted, means.stop_after, &model, &manifest)?;
    let publications = Publications::of(wanted, &model);
    let besides = selected::select(wanted, &mut model, existing).await?;
    if !wanted.sections.data {
        sequences.clear();
    } else if has_definitions {
        let chosen = model.positions();
        sequences.retain(|sequence| chosen.contains_key(&sequence.object));
    } else {
        sequences.retain(|sequence| wanted.selection.rows(&sequence.schema, &sequence.name));
    }
    let mut loads = Vec::new();
    if wanted.sections.data {
        let streams: Vec<&Stream> =
            manifest.streams.iter().filter(|stream| is_wanted(wanted, stream)).collect();
        let positions = model.positions();
        let total: u64 =
            streams.iter().filter_map(|s| archive.root().stream(s.id)).map(|e| e.totals.plain_bytes).sum();
        for stream in streams {
            let entry = archive.stream(stream)?;
            let split = means.split
                && stream.content == Content::Table
                && entry.totals.plain_bytes >= UNIT_BYTES
                && entry.totals.plain_bytes >= total / SPLIT_SHARE;
            let units = cut(archive.all_chunks(stream.id), &entry.totals, split);
            let through = stream.object.and_then(|relation| through(&model, &positions, relation));
            let (stream, after) = (stream.clone(), Vec::new());
            loads.push(LoadPlan { stream, totals: entry.totals, units, through, after });
        }
        if let Some(target) = existing.filter(|_| !wanted.sections.pre_data) {
            key_order::arrange(target, &mut loads).await?;
        }
    }
    let sectioned = keep_sections(wanted, &mut model);
    let plan = make_plan(wanted, means, &model, &sectioned, &loads)?;
    let platform = Platform::default();
    Ok(Prepared {
        origin: manifest.origin(archive.source().display()),
        manifest,
        model,
        sequences,
        loads,
        plan,
        sectioned,
        platform,
        unmatched,
        besides,
        publications,
        rate,
    })
}

/// Takes out what is not wanted of each object.
fn forget(wanted: &Wanted, model: &mut Model) {
    if wanted.no_acl {
        let grants = |entry: &Entry| matches!(entry.object, Object::DefaultAcl(_) | Object::SystemAcl(_));
        model.entries.retain(|entry| !grants(entry));
    }
    if wanted.no_tablespaces {
        model.database.tablespace = None;
        model.entries.iter_mut().for_each(|entry| entry.object.forget_tablespace());
    }
}

/// Which entries another restore creates, in whole or in part.
#[derive(Debug, Default)]
pub(super) struct Sectioned {
    /// They are there already.
    pub(super) there: BTreeSet<ObjectId>,
    /// Their detachable parts come with the section after the rows, they themselves with the one before.
    pub(super) halved: BTreeSet<ObjectId>,
}

/// Keeps the entries of the wanted sections, and those that they build upon.
fn keep_sections(wanted: &Wanted, model: &mut Model) -> Sectioned {
    let sections = wanted.sections;
    if sections.pre_data && sections.post_data {
        return Sectioned::default();
    }
    if !sections.defines() {
        model.entries.clear();
        return Sectioned::default();
    }
    let items: Vec<Item> = model.entries.iter().map(|entry| item(entry, true, None, REST)).collect();
    let Late { items: late, parts } = late(&items);
    let ids = |pick: &dyn Fn(usize) -> bool| -> BTreeSet<ObjectId> {
        let entries = model.entries.iter().enumerate().filter(|(position, _)| pick(*position));
        entries.map(|(_, entry)| entry.head.id).collect()
    };
    let halved = ids(&|position| parts.contains(&position));
    if !sections.pre_data {
        return Sectioned { there: ids(&|position| !late.contains(&position)), halved };
    }
    let mut position = 0;
    model.entries.retain(|_| {
        position += 1;
        !late.contains(&(position - 1))
    });
    Sectioned { there: BTreeSet::new(), halved }
}

fn empty_model(manifest: &Manifest) -> Model {
    Model {
        format: FORMAT,
        server: manifest.server.version,
        database: DatabaseInfo {
            name: manifest.database.clone(),
            encoding: manifest.server.encoding.clone(),
            connection_limit: -1,
            ..DatabaseInfo::default()
        },
        entries: Vec::new(),
        warnings: Vec::new(),
    }
}

/// The topmost table above a partition by which rows may come to lie in other partitions than before.
fn through(model: &Model, positions: &HashMap<ObjectId, usize>, relation: ObjectId) -> Option<String> {
    let table = |id: ObjectId| {
        let entry = model.entries.get(*positions.get(&id)?)?;
        match &entry.object {
            Object::Table(table) => Some((&entry.head, table)),
            _ => None,
        }
    };
    let (mut found, mut at) = (None, relation);
    // Deeper than any server allows a tree to be: a circle in a damaged archive must end too.
    for _ in 0..1_000 {
        let parent = model.entries.get(*positions.get(&at)?).and_then(|entry| entry.object.partition_of());
        let Some((head, above)) = parent.and_then(table) else { break };
        if above.may_move_rows() {
            found = Some(head.qualified());
        }
        at = head.id;
    }
    found
}

fn is_wanted(wanted: &Wanted, stream: &Stream) -> bool {
    match &stream.content {
        Content::Table | Content::ExtensionConfig { .. } => {
            wanted.selection.rows(&stream.schema, &stream.name)
        }
        Content::ForeignTable { server } => {
            wanted.selection.rows(&stream.schema, &stream.name) && wanted.selection.foreign_rows(server)
        }
        Content::LargeObjects | Content::LargeObjectData => !wanted.selection.is_narrowed(),
    }
}

/// Cuts a stream into units of about [`UNIT_BYTES`], or makes one unit of all. Chunks are taken as equally large: to know
/// better, the whole index would have to be read.
fn cut(all: ChunkRange, totals: &Totals, split: bool) -> Vec<ChunkRange> {
    if !split {
        return vec![all];
    }
    let units = totals.plain_bytes.div_ceil(UNIT_BYTES).max(1);
    let each = all.count.div_ceil(units).max(1);
    let mut ranges = Vec::new();
    let mut first = 0;
    while first < all.count {
        let count = each.min(all.count - first);
        ranges.push(ChunkRange { first, count, ..all });
        first += count;
    }
    ranges
}

/// The bytes of so many chunks of a stream, taken as equally large.
fn share(totals: &Totals, chunks: u64) -> u64 {
    let part = u128::from(totals.plain_bytes) * u128::from(chunks) / u128::from(totals.chunks.max(1));
    u64::try_from(part).unwrap_or(u64::MAX)
}

fn make_plan(
    wanted: &Wanted,
    means: Means,
    model: &Model,
    sectioned: &Sectioned,
    loads: &[LoadPlan],
) -> Result<RestorePlan> {
    let half = |entry: &Entry| {
        let half = if wanted.sections.pre_data { Half::First } else { Half::Second };
        sectioned.halved.contains(&entry.head.id).then_some(half)
    };
    let fill = wanted.sections.fills_views();
    let classes = classes(wanted, model);
    let entries = model.entries.iter().zip(classes);
    let items: Vec<Item> = entries.map(|(entry, class)| item(entry, fill, half(entry), class)).collect();
    let place: HashMap<u32, usize> =
        loads.iter().enumerate().map(|(at, load)| (load.stream.id, at)).collect();
    let loads: Vec<Load> = loads
        .iter()
        .map(|load| Load {
            relation: load.stream.object,
            units: load.units.iter().map(|unit| share(&load.totals, unit.count)).collect(),
            after: load.after.iter().filter_map(|stream| place.get(stream)).copied().collect(),
        })
        .collect();
    plan(&items, &loads, means.analyze).map_err(|cycle| {
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

/// The class of priority of each entry: a relation's own, or that of a partitioned table above it which comes before; of
/// what belongs to relations the last of theirs.
fn classes(wanted: &Wanted, model: &Model) -> Vec<u8> {
    let positions = model.positions();
    let relation = |id: &ObjectId| {
        let (mut class, mut next) = (REST, Some(*id));
        for _ in 0..64 {
            let entry = next.and_then(|id| positions.get(&id)).and_then(|at| model.entries.get(*at));
            let Some(Entry { head, object }) = entry else { break };
            let own = head.schema.as_deref().map(|schema| wanted.priorities.class(schema, &head.name));
            class = class.min(own.unwrap_or(REST));
            next = object.partition_of();
        }
        class
    };
    let of = |entry: &Entry| {
        let relations = entry.object.after_data_of();
        relations.iter().map(relation).max().unwrap_or_else(|| relation(&entry.head.id))
    };
    model.entries.iter().map(|entry| if wanted.priorities.is_empty() { REST } else { of(entry) }).collect()
}

fn item(entry: &Entry, fill: bool, half: Option<Half>, class: u8) -> Item {
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
        refresh: fill && object.is_filled(),
        half,
        class,
    }
}

/// Connects to a database that every server has, and that is not the target.
pub(super) async fn maintenance(target: &ConnectOptions) -> Result<Session> {
    let mut session = Err(Error::new(ErrorKind::Failed, "no maintenance database"));
    for name in ["postgres", "template1"].into_iter().filter(|name| *name != target.database) {
        session = Session::open(&target.with_database(name), SessionKind::Target).await.map_err(Error::from);
        if session.is_ok() {
            break;
        }
    }
    session
}

/// Creates the target, with the encoding and locale of the source.
pub(super) async fn create_database(options: &Options, prepared: &Prepared) -> Result<()> {
    let (name, model) = (&options.target.database, &prepared.model);
    let session =
        maintenance(&options.target).await.context(|| "connect to create the database".to_owned())?;
    let sql = model.database.create(name, session.version());
    match session.execute(&sql).await {
        // duplicate_database, unique_violation: the server ended what a run that was killed had asked for.
        Err(error) if options.resume && matches!(error.sqlstate(), Some("42P04" | "23505")) => {}
        created => created.context(|| format!("create the database {}", quote::printable(name)))?,
    }
    let whole = options.wanted.selection.is_everything() && !prepared.manifest.left_out.selection;
    let has_public = model.entries.iter().any(|entry| {
        matches!(entry.object, Object::Schema(_)) && entry.head.name == crate::catalog::kinds::schema::PUBLIC
    });
    if whole && options.wanted.sections.pre_data && !model.entries.is_empty() && !has_public {
        // Every new database has one; the source's was dropped.
        let session = Session::open(&options.target, SessionKind::Target).await?;
        session.execute("DROP SCHEMA IF EXISTS public").await?;
    }
    Ok(())
}

impl Prepared {
    /// Makes the plan of what is left of the model and the loads.
    pub(super) fn plan_again(&mut self, wanted: &Wanted, means: Means) -> Result<()> {
        self.plan = make_plan(wanted, means, &self.model, &self.sectioned, &self.loads)?;
        Ok(())
    }

    /// Bytes of COPY text to be loaded.
    pub(super) fn bytes(&self) -> u64 {
        self.all_loads().map(|load| load.totals.plain_bytes).sum()
    }

    /// Rows to be loaded.
    pub(super) fn rows(&self) -> u64 {
        self.all_loads().map(|load| load.totals.rows).sum()
    }

    /// The roles that the restored objects name.
    pub(super) fn roles(&self, options: &Options) -> BTreeSet<String> {
        let Wanted { no_owner, no_acl, .. } = options.wanted;
        let mut roles: BTreeSet<String> =
            self.created().flat_map(|entry| entry.roles(!no_owner, !no_acl)).collect();
        if options.create {
            roles.extend(self.model.database.roles(!no_owner, !no_acl).map(str::to_owned));
        }
        roles
    }

    /// The tablespaces that they name.
    pub(super) fn tablespaces(&self, options: &Options) -> BTreeSet<String> {
        let named = self.created().filter_map(|entry| entry.object.tablespace());
        named.chain(self.model.database.tablespace.clone().filter(|_| options.create)).collect()
    }

    /// The entries that are created.
    pub(super) fn created(&self) -> impl Iterator<Item = &Entry> {
        self.model.entries.iter().filter(|entry| !self.sectioned.there.contains(&entry.head.id))
    }

    fn all_loads(&self) -> impl Iterator<Item = &LoadPlan> {
        self.loads.iter().chain(self.platform.loads.iter().map(|load| &load.plan))
    }
}
