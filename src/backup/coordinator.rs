//! The coordinator: opens the snapshot, takes the locks, reads the catalog, makes the units, and closes the archive.

use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Instant;

use bytes::Bytes;
use futures_util::future::try_join_all;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

use super::access::{self, Access};
use super::definitions;
use super::pipeline::{copy_all, send};
use super::relations::{self, Relation};
use super::{Options, Parts, Shared, Unit};
use crate::archive::{self, Packing, SectionTag, Writer};
use crate::catalog::model::Model;
use crate::catalog::{encode, fingerprint, forms, large_object, not_utf8, reader};
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::event::{Event, SharedObserver};
use crate::manifest::{self, Closing, Content, LeftOut, Manifest, ServerFacts, SnapshotFacts, Stream};
use crate::pg::copy::{LargeRows, RowHasher};
use crate::pg::quote::printable;
use crate::pg::snapshot::{Snapshot, parallel_snapshot_is_safe};
use crate::pg::{Session, SessionKind};
use crate::plan::units::{PageRange, split};
use crate::seal::recipient::Recipient;
use crate::stop::Stop;

/// What the pipeline made.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) archive: archive::Summary,
    pub(super) manifest: Manifest,
    pub(super) objects: u64,
    pub(super) seconds: f64,
}

/// Who the backup is, for the manifest.
#[derive(Debug, Clone)]
pub(super) struct Name {
    pub(super) id: String,
    pub(super) kind: String,
    /// Microseconds since 1970.
    pub(super) created_micros: i64,
}

/// Reads the database and gives the archive's bytes, in order, to `output`.
pub(super) async fn make(
    options: &Options,
    name: &Name,
    output: mpsc::Sender<Bytes>,
    observer: &SharedObserver,
    stop: &Stop,
) -> Result<Made> {
    let began = Instant::now();
    // Deriving a key from a passphrase takes as long as reading a catalog: both at once.
    let writer = new_writer(options, name);
    let session = open_source(options).await?;
    let jobs = usable_jobs(options, &session, observer);
    observer.event(Event::Phase { name: "taking a snapshot" });
    let snapshot = Snapshot::export(&session, options.serializable_deferrable).await?;
    not_utf8::refuse(&session).await?;
    // Far from the server, connecting takes a while, and so does waiting for locks: both at once.
    let ((relations, access), sessions) =
        tokio::try_join!(choose(options, &session, observer, stop), open_workers(options, &snapshot, jobs))?;
    let readers: Vec<&Session> = std::iter::once(&session).chain(&sessions).take(jobs).collect();
    let model = definitions::read(options, &readers, observer).await?;
    let globals = definitions::globals(options, &session, observer).await?;
    let (streams, units) = plan_units(options, &session, &relations).await?;
    let manifest = manifest_of(options, name, &session, &snapshot, &relations, &access, streams.clone());

    let mut writer =
        writer.await.map_err(|error| Error::with_source(ErrorKind::Failed, "begin the archive", error))??;
    for stream in &streams {
        writer.declare(stream.id, stream.display().as_bytes())?;
    }
    let definitions = (options.parts != Parts::Rows).then_some(&model);
    for piece in sections(&mut writer, &manifest, definitions, globals.as_ref())? {
        send(&output, piece).await?;
    }
    let objects = u64::try_from(model.entries.len()).unwrap_or(u64::MAX);
    // Of many tables it takes a while to give it back: beside the rows, which want the memory.
    drop(std::thread::spawn(move || drop(model)));
    let shared = Arc::new(Shared {
        sealer: writer.sealer(),
        hasher: RowHasher::new(writer.content_hash_secret()?),
        large: LargeRows::default(),
        observer: Arc::clone(observer),
        chunks: streams.iter().map(|_| AtomicU32::new(0)).collect(),
        packings: streams.iter().map(|_| Packing::default()).collect(),
        streams,
        open: Mutex::new(units),
        refused: Mutex::new(Vec::new()),
    });
    let bytes = shared.open.lock().await.iter().map(|unit| unit.bytes).sum();
    observer.event(Event::Total { bytes, rows: 0 });
    observer.event(Event::Phase { name: "copying rows" });
    let copying = Instant::now();
    let (mut writer, session) =
        copy_all(&shared, &snapshot, sessions, session, writer, output.clone(), stop).await?;
    observer.event(Event::Phase { name: "closing the archive" });
    let seconds = copying.elapsed().as_secs_f64();
    let closing =
        Closing { seconds: Some(seconds), ..close(options, &session, &snapshot, &access, observer).await? };
    send(&output, section(&mut writer, manifest::CLOSING_TAG, &json(&closing)?)?).await?;
    session.execute("COMMIT").await?;
    let finished = writer.finish()?;
    send(&output, finished.bytes).await?;
    Ok(Made { archive: finished.summary, manifest, objects, seconds: began.elapsed().as_secs_f64() })
}

/// The sections that stand before the rows.
fn sections(
    writer: &mut Writer,
    manifest: &Manifest,
    definitions: Option<&Model>,
    globals: Option<&Zeroizing<Vec<u8>>>,
) -> Result<Vec<Vec<Bytes>>> {
    let mut all = vec![section(writer, manifest::MANIFEST_TAG, &json(manifest)?)?];
    if let Some(model) = definitions {
        all.push(section(writer, manifest::CATALOG_TAG, &encode::encode(model)?)?);
    }
    if let Some(globals) = globals {
        all.push(section(writer, manifest::GLOBALS_TAG, globals)?);
    }
    Ok(all)
}

/// Chooses the tables, makes sure that all of them may be read, and locks them.
async fn choose(
    options: &Options,
    session: &Session,
    observer: &SharedObserver,
    stop: &Stop,
) -> Result<(Vec<Relation>, Access)> {
    let source = || format!("read {}", options.source.display());
    let mut relations = relations::chosen(options, session, observer).await.context(source)?;
    stop.check()?;
    let access = access::check(options, session, &mut relations, observer).await?;
    relations::lock(options, session, &mut relations, observer).await?;
    Ok((relations, access))
}

/// Begins the archive, on a thread for such work.
fn new_writer(options: &Options, name: &Name) -> JoinHandle<std::result::Result<Writer, archive::Error>> {
    let options = archive::Options {
        created_micros: name.created_micros,
        level: options.level,
        recipients: options.recipients.clone(),
    };
    tokio::task::spawn_blocking(move || Writer::new(&options))
}

/// One connection where several would read wrong data or damage the server.
fn usable_jobs(options: &Options, session: &Session, observer: &SharedObserver) -> usize {
    let info = session.info();
    if options.jobs > 1 && !parallel_snapshot_is_safe(info.version, info.is_standby) {
        let message = format!(
            "this standby is of version {}, whose shared snapshots can be wrong: one connection is used",
            info.version
        );
        observer.event(Event::Warning { message });
        return 1;
    }
    options.jobs.max(1)
}

/// Opens a session that reads rows. Foreign tables are closed to it unless their rows are asked for.
async fn open_source(options: &Options) -> Result<Session> {
    let session = Session::open(&options.source, SessionKind::Source).await?;
    if !options.selection.foreign_data.is_empty() {
        let open = "SELECT pg_catalog.set_config('restrict_nonsystem_relation_kind', 'view', false) \
                    WHERE pg_catalog.current_setting('restrict_nonsystem_relation_kind', true) IS NOT NULL";
        session.execute(open).await?;
    }
    Ok(session)
}

async fn open_workers(options: &Options, snapshot: &Snapshot, jobs: usize) -> Result<Vec<Session>> {
    if snapshot.id.is_none() {
        return Ok(Vec::new());
    }
    // Without rows there is nothing to do for them but to help the coordinator with the catalog.
    let count = if options.parts == Parts::Definitions { jobs.saturating_sub(1) } else { jobs };
    let open = async || {
        let session = open_source(options).await?;
        snapshot.adopt(&session).await?;
        Ok(session)
    };
    try_join_all((0..count).map(|_| open())).await
}

/// The streams, and the units that fill them, the largest last: they are taken from the end.
async fn plan_units(
    options: &Options,
    session: &Session,
    relations: &[Relation],
) -> Result<(Vec<Stream>, Vec<Unit>)> {
    let (mut streams, mut units) = (Vec::new(), Vec::new());
    if options.parts == Parts::Definitions {
        return Ok((streams, units));
    }
    let ranges = session.version().at_least(14);
    let with_rows = |r: &&Relation| r.has_rows() && options.selection.rows(&r.schema, &r.name);
    let standby = session.info().is_standby;
    for relation in
        relations.iter().filter(with_rows).filter(|r| !(r.unlogged && (standby || !options.unlogged_rows)))
    {
        let id = stream_id(streams.len())?;
        let stream = Stream {
            id,
            content: relation.content(),
            object: Some(relation.id()),
            schema: relation.schema.clone(),
            name: relation.name.clone(),
            columns: relation.columns.iter().map(|column| column.name.clone()).collect(),
            zones: relation.zones(),
        };
        let parts = split(relation.size(), relation.is_splittable(ranges));
        let bytes = relation.size().total() / u64::try_from(parts.len()).unwrap_or(1).max(1);
        for part in parts {
            units.push(Unit {
                stream: id,
                sql: copy_sql(relation, &stream, part),
                lock: Some(relations::target(relation)),
                bytes,
            });
        }
        streams.push(stream);
    }
    if !options.selection.is_narrowed() {
        large_object_units(session, &mut streams, &mut units).await?;
    }
    units.sort_by_key(|unit| unit.bytes);
    Ok((streams, units))
}

fn stream_id(count: usize) -> Result<u32> {
    u32::try_from(count).map_err(|_| Error::new(ErrorKind::Failed, "too many tables for one archive"))
}

/// The `COPY` of a unit. `ONLY`: the rows of inheritance children are streams of their own.
fn copy_sql(relation: &Relation, stream: &Stream, part: PageRange) -> String {
    let name = relation.qualified();
    let condition = match &stream.content {
        Content::ExtensionConfig { condition, .. } if !condition.is_empty() => format!(" {condition}"),
        _ => part.condition().map_or_else(String::new, |condition| format!(" WHERE {condition}")),
    };
    if condition.is_empty() && !relation.is_foreign() {
        return format!("COPY {name}{} TO STDOUT", stream.column_list());
    }
    let columns = stream.columns.iter().map(String::as_str);
    format!("COPY (SELECT {} FROM ONLY {name}{condition}) TO STDOUT", crate::pg::quote::ident_list(columns))
}

async fn large_object_units(
    session: &Session,
    streams: &mut Vec<Stream>,
    units: &mut Vec<Unit>,
) -> Result<()> {
    #[derive(serde::Deserialize)]
    struct Count {
        count: u64,
        readable: bool,
    }
    let counts: Vec<Count> = session.query_json(large_object::COUNT).await?;
    let Some(Count { count: 1.., readable }) = counts.first() else {
        return Ok(());
    };
    let parts = [
        (
            Content::LargeObjects,
            "metadata",
            &large_object::METADATA_COLUMNS[..],
            large_object::metadata_query(),
        ),
        (
            Content::LargeObjectData,
            "content",
            &large_object::CONTENT_COLUMNS[..],
            large_object::content_query(*readable),
        ),
    ];
    for (content, name, columns, query) in parts {
        let id = stream_id(streams.len())?;
        streams.push(Stream {
            id,
            content,
            object: None,
            schema: "large objects".to_owned(),
            name: name.to_owned(),
            columns: columns.iter().map(|column| (*column).to_owned()).collect(),
            zones: Vec::new(),
        });
        units.push(Unit { stream: id, sql: format!("COPY ({query}) TO STDOUT"), lock: None, bytes: 0 });
    }
    Ok(())
}

fn manifest_of(
    options: &Options,
    name: &Name,
    session: &Session,
    snapshot: &Snapshot,
    relations: &[Relation],
    access: &Access,
    streams: Vec<Stream>,
) -> Manifest {
    let info = session.info();
    let excluded = options.selection.exclude_data.iter().map(|pattern| pattern.text.clone());
    let unlogged =
        relations.iter().filter(|relation| relation.unlogged && (info.is_standby || !options.unlogged_rows));
    let unlogged = unlogged.filter(|relation| relation.has_rows()).map(Relation::qualified);
    Manifest {
        format: manifest::FORMAT,
        tool: format!("pgcask {}", env!("CARGO_PKG_VERSION")),
        id: name.id.clone(),
        kind: name.kind.clone(),
        database: info.database.clone(),
        server: ServerFacts {
            version: info.version,
            encoding: info.encoding.clone(),
            system_identifier: info.system_identifier.clone(),
            standby: info.is_standby,
        },
        snapshot: SnapshotFacts {
            taken_at: snapshot.taken_at,
            transactions: snapshot.transactions.clone(),
            lsn: Some(snapshot.lsn.clone()),
            timeline: snapshot.timeline,
        },
        left_out: LeftOut {
            selection: !options.selection.is_everything(),
            rows: options.parts == Parts::Definitions,
            definitions: options.parts == Parts::Rows,
            rows_of: excluded.chain(unlogged).collect(),
            personal: relations::personal(options, relations).map(Relation::qualified).collect(),
            excluded: options.selection.excluded().map(str::to_owned).collect(),
            platform_rows: access.platform_rows.clone(),
        },
        profile: access.profile,
        recipients: options.recipients.iter().filter_map(Recipient::public_text).collect(),
        rewritten: None,
        streams,
    }
}

/// What can only be read at the end.
async fn close(
    options: &Options,
    session: &Session,
    snapshot: &Snapshot,
    access: &Access,
    observer: &SharedObserver,
) -> Result<Closing> {
    // Where sequences stand is content, as rows are.
    let sequences = async {
        match options.parts {
            Parts::Definitions => Ok(Vec::new()),
            Parts::All | Parts::Rows => {
                reader::read_sequence_values(session, &access.skipped_sequences).await
            }
        }
    };
    let now = Session::open(&options.source, SessionKind::Source);
    let (sequences, now) = tokio::try_join!(sequences, now)?;
    let catalog_changed = !snapshot.is_current(&now).await? && {
        let (before, after) = tokio::try_join!(fingerprint::read(session), fingerprint::read(&now))?;
        before != after
    };
    if catalog_changed {
        let message = "the schema was changed while it was backed up: definitions may be of two moments";
        observer.event(Event::Warning { message: message.to_owned() });
    }
    if options.parts != Parts::Definitions {
        let (before, after) = tokio::try_join!(forms::read(session), forms::read(&now))?;
        let changed = before.changed(&after);
        if !changed.is_empty() {
            let message = format!(
                "the type {} was altered while rows were read: some may be written in its old form, some in its new",
                printable(&changed.join(", "))
            );
            return Err(Error::new(ErrorKind::Failed, message).hint("back up again"));
        }
    }
    Ok(Closing { sequences, seconds: None, catalog_changed })
}

fn section(writer: &mut Writer, tag: [u8; 4], bytes: &[u8]) -> Result<Vec<Bytes>> {
    Ok(writer.section(SectionTag(tag), 1, bytes)?)
}

fn json(value: &impl serde::Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| Error::with_source(ErrorKind::Failed, "write a section", error))
}
