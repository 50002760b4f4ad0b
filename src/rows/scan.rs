//! Reads the live table once, and of the archive the chunks that differ; brings the rows that may differ into staging
//! tables on the server.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use super::groups::{Groups, Outside, StreamChunk, Sums, key_value};
use super::subject::Subject;
use crate::archive::ChunkEntry;
use crate::budget::ByteBudget;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::event::{Event, SharedObserver};
use crate::fields::{Fields, Row};
use crate::limits::RESTORE_BUDGET_BYTES;
use crate::manifest::Stream;
use crate::opened::{OpenArchive, batches};
use crate::pg::Session;
use crate::pg::copy::{Block, LargeRows, RowHasher, rows};
use crate::pg::load::CopyIn;
use crate::pg::quote::{ident, literal, printable};
use crate::stop::Stop;

/// Bytes asked of the store at once.
const REQUEST_BYTES: u64 = 4 << 20;

/// Requests that are read, decrypted and decompressed at the same time.
const READ_AHEAD: usize = 3;

/// Rows of a group of chunks up to this size are kept in memory between adding them up and picking those that differ.
/// A larger group is read twice.
const KEEP_BYTES: u64 = 32 << 20;

/// Bytes of one message to the server.
const MESSAGE_BYTES: usize = 256 << 10;

/// More ranges of keys than this are not asked for one by one: the table is read as a whole.
const MAX_RANGES: usize = 64;

/// What all readings share.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    /// Reads the live table.
    pub(super) source: &'a Session,
    /// Has the staging tables.
    pub(super) writer: &'a Session,
    pub(super) archive: &'a OpenArchive,
    pub(super) hasher: RowHasher,
    pub(super) observer: &'a SharedObserver,
    pub(super) stop: &'a Stop,
    pub(super) large: LargeRows,
    pub(super) budget: ByteBudget,
}

impl<'a> Reader<'a> {
    pub(super) fn new(
        source: &'a Session,
        writer: &'a Session,
        archive: &'a OpenArchive,
        observer: &'a SharedObserver,
        stop: &'a Stop,
    ) -> Result<Self> {
        let hasher = RowHasher::new(archive.opener().content_hash_secret()?);
        let budget = ByteBudget::new(RESTORE_BUDGET_BYTES);
        Ok(Self { source, writer, archive, hasher, observer, stop, large: LargeRows::default(), budget })
    }

    /// All chunks of a subject.
    pub(super) async fn chunks(&self, subject: &Subject) -> Result<Vec<StreamChunk>> {
        self.chunks_that(subject, |_| true).await
    }

    /// The chunks of a subject that are wanted. The others are let go of, page by page of the index.
    pub(super) async fn chunks_that(
        &self,
        subject: &Subject,
        wanted: impl Fn(&StreamChunk) -> bool,
    ) -> Result<Vec<StreamChunk>> {
        let mut found = Vec::new();
        for stream in &subject.streams {
            let mut pages = std::pin::pin!(self.archive.chunk_pages(self.archive.all_chunks(stream.id)));
            while let Some(chunks) = pages.try_next().await? {
                let chunks = chunks.into_iter().map(|entry| StreamChunk { stream: stream.id, entry });
                found.extend(chunks.filter(&wanted));
            }
        }
        Ok(found)
    }

    /// Reads the live table and adds its rows up.
    pub(super) async fn add_up(&self, subject: &Subject, groups: &Arc<Groups>) -> Result<Sums> {
        let columns = subject.live_columns("");
        let sql = if subject.live.kind == 'p' {
            format!("COPY (SELECT {columns} FROM {}) TO STDOUT", subject.qualified())
        } else {
            format!("COPY {} ({columns}) TO STDOUT", subject.qualified())
        };
        let hasher = self.hasher.clone();
        let groups = Arc::clone(groups);
        let start = (Sums::new(&groups), Fields::default());
        let fold = move |(mut sums, mut fields): (Sums, Fields), block: &Block| {
            each_row(&mut fields, &block.bytes, |text, row| {
                sums.add(&groups, key_value(&groups, &block.bytes, row), hasher.row(text));
            });
            (sums, fields)
        };
        let (sums, _) =
            self.read(&sql, start, fold).await.context(|| format!("read {}", subject.display()))?;
        Ok(sums)
    }

    /// Runs a copy-out and folds its blocks on a thread for such work.
    async fn read<T: Send + 'static>(
        &self,
        sql: &str,
        start: T,
        fold: impl Fn(T, &Block) -> T + Clone + Send + 'static,
    ) -> Result<T> {
        let (mut blocks, done) = self.source.copy_out(sql, &self.large);
        let folded = async {
            let mut state = start;
            while let Some(block) = blocks.recv().await {
                self.stop.check()?;
                let bytes = u64::try_from(block.bytes.len()).unwrap_or(u64::MAX);
                self.observer.event(Event::Progress { bytes, rows: u64::from(block.rows) });
                let fold = fold.clone();
                let work = tokio::task::spawn_blocking(move || fold(state, &block)).await;
                state = work.map_err(|error| Error::with_source(ErrorKind::Failed, "look at rows", error))?;
            }
            Ok::<_, Error>(state)
        };
        let done = async { done.await.map_err(Error::from) };
        let (_, state) = tokio::try_join!(done, folded)?;
        Ok(state)
    }

    /// Stages the archive's rows that may differ from the live ones; leaves in `sums` only the buckets that differ.
    /// Gives the rows that were staged.
    pub(super) async fn stage_suspects(
        &self,
        subject: &Subject,
        groups: &Arc<Groups>,
        sums: Sums,
    ) -> Result<(Sums, u64)> {
        let differing = sums.to_read(groups, subject.is_exact());
        let mut sums = sums;
        for at in (0..groups.list.len()).filter(|at| differing.binary_search(at).is_err()) {
            sums.forget(groups, at);
        }
        let mut stage = Stage::open(self.writer, &subject.stage(), &subject.staged_columns("")).await?;
        for at in differing {
            self.stop.check()?;
            let staged = self.stage_group(subject, groups, at, sums, &mut stage).await;
            sums = staged.map_err(|error| unfit(subject, error))?;
        }
        let count = stage.finish().await.map_err(|error| unfit(subject, error))?;
        Ok((sums, count))
    }

    async fn stage_group(
        &self,
        subject: &Subject,
        groups: &Arc<Groups>,
        at: usize,
        sums: Sums,
        stage: &mut Stage,
    ) -> Result<Sums> {
        let Some(group) = groups.list.get(at) else { return Ok(sums) };
        let keep = group.plain_bytes() <= KEEP_BYTES;
        let mut kept: Vec<Bytes> = Vec::new();
        let mut state = Some(sums);
        for (stream, chunks) in by_stream(subject, &group.chunks) {
            let shape = Shape::new(subject, stream);
            let mut texts = Box::pin(self.texts(stream.id, chunks));
            while let Some(text) = texts.next().await {
                let text = text?;
                let Some(mut sums) = state.take() else { break };
                let (hasher, groups, shape) = (self.hasher.clone(), Arc::clone(groups), shape.clone());
                let work = move || {
                    let text = shape.apply(text);
                    rows::rows(&text).for_each(|row| sums.subtract(&groups, at, hasher.row(row)));
                    (sums, text)
                };
                let (sums, text) = blocking(work).await?;
                state = Some(sums);
                kept.extend(keep.then_some(text));
            }
        }
        let Some(sums) = state else { return Err(Error::new(ErrorKind::Failed, "the sums were lost")) };
        let sums = Arc::new(sums);
        if keep {
            for text in kept {
                self.stage_text(groups, at, &sums, text, stage).await?;
            }
        } else {
            for (stream, chunks) in by_stream(subject, &group.chunks) {
                let shape = Shape::new(subject, stream);
                let mut texts = Box::pin(self.texts(stream.id, chunks));
                while let Some(text) = texts.next().await {
                    self.stage_text(groups, at, &sums, shape.apply(text?), stage).await?;
                }
            }
        }
        Arc::try_unwrap(sums).map_err(|_| Error::new(ErrorKind::Failed, "the sums are still in use"))
    }

    /// Stages the suspect rows of a text.
    async fn stage_text(
        &self,
        groups: &Arc<Groups>,
        at: usize,
        sums: &Arc<Sums>,
        text: Bytes,
        stage: &mut Stage,
    ) -> Result<()> {
        let (hasher, groups, sums) = (self.hasher.clone(), Arc::clone(groups), Arc::clone(sums));
        let (out, count) = blocking(move || {
            let (mut out, mut count) = (BytesMut::new(), 0);
            for row in rows::rows(&text).filter(|row| sums.is_suspect(&groups, at, hasher.row(row))) {
                out.extend_from_slice(row);
                out.extend_from_slice(b"\n");
                count += 1;
            }
            (out.freeze(), count)
        })
        .await?;
        stage.send(out, count).await
    }

    /// Stages all rows of some chunks.
    pub(super) async fn stage_chunks(&self, subject: &Subject, chunks: &[StreamChunk]) -> Result<u64> {
        let filled = self.fill(subject, &subject.stage(), &subject.staged_columns(""), chunks).await;
        filled.map_err(|error| unfit(subject, error))
    }

    /// Copies all rows of some chunks into a table.
    pub(super) async fn fill(
        &self,
        subject: &Subject,
        table: &str,
        columns: &str,
        chunks: &[StreamChunk],
    ) -> Result<u64> {
        let mut stage = Stage::open(self.writer, table, columns).await?;
        for (stream, chunks) in by_stream(subject, chunks) {
            let shape = Shape::new(subject, stream);
            let mut texts = Box::pin(self.texts(stream.id, chunks));
            while let Some(text) = texts.next().await {
                self.stop.check()?;
                let text = shape.apply(text?);
                let count = memchr::memchr_iter(b'\n', &text).count();
                stage.send(text, u64::try_from(count).unwrap_or(u64::MAX)).await?;
            }
        }
        stage.finish().await
    }

    /// Stages the live rows that may differ, out of the ranges of keys that they can be in.
    pub(super) async fn stage_live(
        &self,
        subject: &Subject,
        groups: &Arc<Groups>,
        sums: Sums,
    ) -> Result<u64> {
        let condition = suspect_ranges(subject, groups, &sums);
        let columns = subject.live_columns("");
        let from = subject.from();
        let filter = condition.map(|condition| format!(" WHERE {condition}")).unwrap_or_default();
        let sql = format!("COPY (SELECT {columns} FROM {from}{filter}) TO STDOUT");
        let mut stage = Stage::open(self.writer, &subject.live_stage(), &subject.staged_columns("")).await?;
        let (mut blocks, done) = self.source.copy_out(&sql, &self.large);
        let staged = async {
            let mut state = Some((sums, Fields::default()));
            while let Some(block) = blocks.recv().await {
                self.stop.check()?;
                let Some((mut sums, mut fields)) = state.take() else { break };
                let (hasher, groups) = (self.hasher.clone(), Arc::clone(groups));
                let (sums, fields, out, count) = blocking(move || {
                    let (mut out, mut count) = (BytesMut::new(), 0);
                    each_row(&mut fields, &block.bytes, |text, row| {
                        if sums.is_suspect_row(
                            &groups,
                            key_value(&groups, &block.bytes, row),
                            hasher.row(text),
                        ) {
                            out.extend_from_slice(text);
                            out.extend_from_slice(b"\n");
                            count += 1;
                        }
                    });
                    (sums, fields, out.freeze(), count)
                })
                .await?;
                stage.send(out, count).await?;
                state = Some((sums, fields));
            }
            stage.finish().await
        };
        let done = async { done.await.context(|| format!("read {}", subject.display())) };
        let (_, count) = tokio::try_join!(done, staged)?;
        Ok(count)
    }

    /// The texts of chunks, decrypted and decompressed ahead.
    fn texts(&self, stream: u32, chunks: Vec<ChunkEntry>) -> impl futures_util::Stream<Item = Result<Bytes>> {
        stream::iter(batches(chunks, REQUEST_BYTES))
            .map(move |batch| async move {
                let plain = usize::try_from(batch.plain_bytes()).unwrap_or(usize::MAX);
                let permit = self.budget.acquire(plain).await;
                let bytes = self.archive.source().read(batch.range.clone()).await?;
                Ok::<_, Error>((self.archive.open_batch(stream, batch, bytes).await?, permit))
            })
            .buffered(READ_AHEAD)
            .flat_map(|opened| {
                let texts: Vec<Result<Bytes>> = match opened {
                    Ok((texts, _permit)) => texts.into_iter().map(|(text, _)| Ok(text)).collect(),
                    Err(error) => vec![Err(error)],
                };
                stream::iter(texts)
            })
    }
}

/// The chunks of each stream, in file order.
fn by_stream<'s>(subject: &'s Subject, chunks: &[StreamChunk]) -> Vec<(&'s Stream, Vec<ChunkEntry>)> {
    let of = |stream: &Stream| {
        let own = chunks.iter().filter(|chunk| chunk.stream == stream.id);
        let mut list: Vec<ChunkEntry> = own.map(|chunk| chunk.entry.clone()).collect();
        list.sort_by_key(|entry| entry.offset);
        list
    };
    subject.streams.iter().map(|stream| (stream, of(stream))).filter(|(_, list)| !list.is_empty()).collect()
}

/// Runs work on a thread for such.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::with_source(ErrorKind::Failed, "look at rows", error))
}

/// Calls `take` with each row's text, without its newline, and its values.
fn each_row(fields: &mut Fields, text: &[u8], mut take: impl FnMut(&[u8], Row<'_>)) {
    if fields.find(text) {
        for row in fields.each_row() {
            take(text.get(row.start()..row.end()).unwrap_or_default(), row);
        }
        return;
    }
    // Beyond what the finder takes at once: a single row, usually.
    let mut start = 0;
    for row in rows::rows(text) {
        let end = start + row.len() + 1;
        if let Some(alone) = text.get(start..end)
            && fields.find(alone)
            && let Some(values) = fields.each_row().next()
        {
            take(row, values);
        }
        start = end;
    }
}

/// A condition for the key ranges that suspect rows can be in; `None` when all of the table is to be read.
fn suspect_ranges(subject: &Subject, groups: &Groups, sums: &Sums) -> Option<String> {
    let key = groups.key?;
    let column = ident(subject.columns.get(key.column)?);
    let Outside { before, between, after } = sums.outside;
    if between > 0 {
        return None;
    }
    let mut ranges: Vec<(String, String)> = Vec::new();
    for group in
        groups.list.iter().enumerate().filter(|(at, _)| sums.has_suspects(groups, *at)).map(|(_, g)| g)
    {
        ranges.push(group.bounds.clone()?);
    }
    if ranges.len() > MAX_RANGES {
        return None;
    }
    let mut parts: Vec<String> = ranges
        .iter()
        .map(|(least, greatest)| format!("{column} BETWEEN {} AND {}", literal(least), literal(greatest)))
        .collect();
    let edge = |group: Option<&super::groups::Group>| group.and_then(|group| group.bounds.clone());
    if before > 0 {
        parts.push(format!("{column} < {}", literal(&edge(groups.list.first())?.0)));
    }
    if after > 0 {
        parts.push(format!("{column} > {}", literal(&edge(groups.list.last())?.1)));
    }
    Some(if parts.is_empty() { "false".to_owned() } else { parts.join(" OR ") })
}

/// What the server has against values of the archive, with the names of the live table instead of the staging table's: its
/// columns may have become narrower since, or of another type.
fn unfit(subject: &Subject, error: Error) -> Error {
    // data_exception, check_violation
    if !error.sqlstate().is_some_and(|state| state.starts_with("22") || state == "23514") {
        return error;
    }
    let stage = subject.stage();
    let (_, bare) = stage.split_once('.').unwrap_or_default();
    let mut said = error.to_string().replace(bare, &subject.display());
    for name in &subject.columns {
        said = said
            .replace(&format!("column {}:", subject.staged(name)), &format!("column {}:", printable(name)));
    }
    let message = format!("values of the archive do not fit into {} as it is now: {said}", subject.display());
    Error::new(ErrorKind::Refused, message)
        .hint("its columns were altered since; --as NAME restores the table as it was beside the live one")
}

/// How a stream's rows become rows of the compared columns.
#[derive(Debug, Clone)]
struct Shape(Option<Vec<usize>>);

impl Shape {
    fn new(subject: &Subject, stream: &Stream) -> Self {
        if subject.is_direct(stream) {
            return Self(None);
        }
        let place = |name: &String| stream.columns.iter().position(|other| other == name);
        Self(Some(subject.columns.iter().filter_map(place).collect()))
    }

    fn apply(&self, text: Bytes) -> Bytes {
        let Some(places) = &self.0 else { return text };
        let mut out = BytesMut::with_capacity(text.len());
        for row in rows::rows(&text) {
            let values: Vec<&[u8]> = rows::columns(row).collect();
            for (at, place) in places.iter().enumerate() {
                if at > 0 {
                    out.extend_from_slice(b"\t");
                }
                out.extend_from_slice(values.get(*place).copied().unwrap_or_default());
            }
            out.extend_from_slice(b"\n");
        }
        out.freeze()
    }
}

/// An open `COPY` into a staging table.
struct Stage {
    copy: CopyIn,
    rows: u64,
    waiting: BytesMut,
}

impl Stage {
    async fn open(session: &Session, table: &str, columns: &str) -> Result<Self> {
        let copy = session.copy_in(&format!("COPY {table} ({columns}) FROM STDIN")).await?;
        Ok(Self { copy, rows: 0, waiting: BytesMut::new() })
    }

    async fn send(&mut self, mut text: Bytes, rows: u64) -> Result<()> {
        self.rows += rows;
        if text.len() < MESSAGE_BYTES {
            self.waiting.extend_from_slice(&text);
            if self.waiting.len() >= MESSAGE_BYTES {
                self.copy.send(self.waiting.split().freeze()).await?;
            }
            return Ok(());
        }
        self.copy.send(self.waiting.split().freeze()).await?;
        while !text.is_empty() {
            self.copy.send(text.split_to(text.len().min(MESSAGE_BYTES))).await?;
        }
        Ok(())
    }

    async fn finish(mut self) -> Result<u64> {
        self.copy.send(self.waiting.split().freeze()).await?;
        let stored = self.copy.finish().await?;
        if stored == self.rows {
            return Ok(stored);
        }
        Err(Error::new(ErrorKind::Validation, format!("the server took {stored} rows of {}", self.rows)))
    }
}
