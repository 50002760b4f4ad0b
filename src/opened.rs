//! An archive opened for reading: header, keys, index, sections and chunks, over whatever store it lies in.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use tokio::sync::OnceCell;

use crate::archive::{
    self, AddedKeys, Archive, ChunkEntry, FrameRef, Located, Locator, OpenScratch, Opener, Page, Report,
    Root, SectionTag, StreamEntry, Verifier,
};
use crate::catalog::encode;
use crate::catalog::globals::Globals;
use crate::catalog::model::Model;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::event::{Event, SharedObserver};
use crate::limits::MAX_ADDED_KEYS;
use crate::manifest::{self, Closing, Manifest, Stream};
use crate::seal::data_key::Keys;
use crate::seal::recipient::Identity;
use crate::stop::Stop;
use crate::store::beside;
use crate::store::get::Source;

/// Gaps between frames that are cheaper to read than to ask again.
const COALESCE_GAP: u64 = 64 << 10;

/// Bytes asked of the store at once by whoever reads rows one request after the other.
const TEXT_REQUEST_BYTES: u64 = 4 << 20;

/// Pages of the index that are kept after use: small tables share pages, and the units of a large one follow each other.
const PAGES_KEPT: usize = 4;

/// A run of a stream's chunks, in the order of the file. Which chunks these are is read when they are needed: the index
/// of a large archive must not lie in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkRange {
    /// The stream.
    pub stream: u32,
    /// How many of its chunks come before.
    pub first: u64,
    /// How many chunks these are.
    pub count: u64,
}

/// The pages of the index that were used last, by their sequence numbers.
type Pages = Arc<Mutex<VecDeque<(u64, Arc<Page>)>>>;

/// An archive that was found and not yet unlocked.
#[derive(Debug)]
pub struct Found {
    source: Source,
    located: Located,
    /// Read when they are needed.
    added: OnceCell<Vec<std::result::Result<AddedKeys, archive::Error>>>,
}

/// The end of the name of an object with added keys.
pub fn added_end(number: u32) -> String {
    format!("keys-{number}")
}

/// An archive whose rows and definitions can be read.
#[derive(Debug, Clone)]
pub struct OpenArchive {
    source: Source,
    opener: Opener,
    root: Arc<Root>,
    encrypted: bool,
    created_micros: i64,
    pages: Pages,
}

impl Found {
    /// Reads the end of the archive and its header: a few requests.
    ///
    /// # Errors
    /// When the store does not answer, or this is no archive, or a damaged one.
    pub async fn locate(source: Source) -> Result<Self> {
        let mut locator = Locator::new(source.size());
        while let Some(range) = locator.wants() {
            let bytes = source.read(range).await?;
            locator.feed(&bytes).context(|| format!("open {}", source.display()))?;
        }
        let located = locator.finish().context(|| format!("open {}", source.display()))?;
        Ok(Self { source, located, added: OnceCell::new() })
    }

    /// What can be read without a key.
    pub fn located(&self) -> &Located {
        &self.located
    }

    /// Path or URL, for people.
    pub fn place(&self) -> String {
        self.source.display()
    }

    /// The archive's keys, by one of the identities: as the archive itself has them wrapped, or as they were wrapped for others
    /// later, beside it.
    ///
    /// # Errors
    /// When no identity fits, or what would fit is damaged.
    pub async fn keys(&self, identities: &[Identity]) -> Result<Keys> {
        let doing = || format!("open {}", self.source.display());
        let header = &self.located.header;
        let refused = match header.unlock(identities) {
            Ok(keys) => return Ok(keys),
            Err(error) => error,
        };
        if !header.encrypted {
            return Err(refused).context(doing);
        }
        let (mut added, mut damaged) = (Vec::new(), None);
        for object in self.added().await? {
            match object {
                Ok(object) => added.push(object.clone()),
                Err(error) => damaged = Some(error),
            }
        }
        match header.unlock_added(identities, &added) {
            Ok(keys) => Ok(keys),
            // What the archive itself says of a key is nearer to the cause than what others say.
            Err(_) if !matches!(refused, archive::Error::NoMatchingIdentity { .. }) => {
                Err(refused).context(doing)
            }
            Err(archive::Error::NoMatchingIdentity { .. }) if damaged.is_some() => {
                Err(Error::new(ErrorKind::Damaged, damaged.map(ToString::to_string).unwrap_or_default()))
                    .context(doing)
            }
            Err(error) => Err(error).context(doing),
        }
    }

    /// The objects with added keys beside the archive, by their numbers; an error in place of one that is damaged.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn added(&self) -> Result<&[std::result::Result<AddedKeys, archive::Error>]> {
        let read = || async {
            let mut all = Vec::new();
            for number in 1..=MAX_ADDED_KEYS {
                let Some(bytes) = beside::find(&self.source.display(), &added_end(number)).await? else {
                    break;
                };
                all.push(AddedKeys::decode(&bytes, number));
            }
            Ok::<_, Error>(all)
        };
        Ok(self.added.get_or_try_init(read).await?)
    }

    /// Opens the archive with the first identity that fits.
    ///
    /// # Errors
    /// As [`Found::keys`] and [`Found::open`].
    pub async fn unlock(self, identities: &[Identity]) -> Result<OpenArchive> {
        let keys = self.keys(identities).await?;
        self.open(keys)
    }

    /// Opens the archive with its keys.
    ///
    /// # Errors
    /// When footer or index are damaged.
    pub fn open(self, keys: Keys) -> Result<OpenArchive> {
        let Self { source, located, .. } = self;
        let (encrypted, created_micros) = (located.header.encrypted, located.header.created_micros);
        let Archive { opener, root, .. } =
            located.open(keys).context(|| format!("open {}", source.display()))?;
        let pages = Pages::default();
        Ok(OpenArchive { source, opener, root: Arc::new(root), encrypted, created_micros, pages })
    }
}

impl OpenArchive {
    /// The index.
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// What opens frames.
    pub fn opener(&self) -> &Opener {
        &self.opener
    }

    /// Whether it is sealed for somebody.
    pub fn is_encrypted(&self) -> bool {
        self.encrypted
    }

    /// When the backup began, in microseconds since 1970-01-01 UTC.
    pub fn created_micros(&self) -> i64 {
        self.created_micros
    }

    /// Where the archive lies.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// What the archive says about itself.
    ///
    /// # Errors
    /// When the section is missing, damaged, or not understood.
    pub async fn manifest(&self) -> Result<Manifest> {
        self.json(manifest::MANIFEST_TAG).await
    }

    /// What was known only at the end of the backup.
    ///
    /// # Errors
    /// As [`OpenArchive::manifest`].
    pub async fn closing(&self) -> Result<Closing> {
        self.json(manifest::CLOSING_TAG).await
    }

    /// The definitions; `None` in an archive of rows alone.
    ///
    /// # Errors
    /// As [`OpenArchive::manifest`].
    pub async fn model(&self) -> Result<Option<Model>> {
        match self.section(manifest::CATALOG_TAG).await? {
            Some(bytes) => encode::decode(&bytes).map(Some).map_err(damaged),
            None => Ok(None),
        }
    }

    /// Roles, tablespaces and what else the whole server has; `None` in an archive without them.
    ///
    /// # Errors
    /// As [`OpenArchive::manifest`].
    pub async fn globals(&self) -> Result<Option<Globals>> {
        match self.section(manifest::GLOBALS_TAG).await? {
            Some(bytes) => Globals::decode(&bytes).map(Some).map_err(damaged),
            None => Ok(None),
        }
    }

    /// All chunks of a stream, in file order: its pages of the index are read.
    ///
    /// # Errors
    /// When the store does not answer or a page is damaged.
    pub async fn chunks(&self, stream: u32) -> Result<Vec<ChunkEntry>> {
        let pages = self.chunk_pages(self.all_chunks(stream)).try_collect::<Vec<_>>().await?;
        Ok(pages.concat())
    }

    /// All chunks of a stream.
    pub fn all_chunks(&self, stream: u32) -> ChunkRange {
        let count = self.root.stream(stream).map_or(0, |entry| entry.totals.chunks);
        ChunkRange { stream, first: 0, count }
    }

    /// The entries of chunks, a page of the index at a time, in file order. The stream's errors are those of the store,
    /// and that a page is damaged.
    pub fn chunk_pages(
        &self,
        range: ChunkRange,
    ) -> impl futures_util::Stream<Item = Result<Vec<ChunkEntry>>> + Send + '_ {
        let ChunkRange { stream, first, count } = range;
        let end = first.saturating_add(count);
        let entry = self.root.stream(stream);
        let mut before = 0;
        let mut parts = Vec::new();
        for (frame, entries) in entry.into_iter().flat_map(|entry| self.root.pages_of(entry)) {
            let after = before + u64::from(entries);
            let (from, to) = (first.max(before), end.min(after));
            if from < to {
                parts.push((frame, index(from - before)..index(to - before)));
            }
            before = after;
        }
        stream::iter(parts).then(move |(frame, part)| async move {
            let page = self.page(&frame).await?;
            let entries = page.entries_of(stream).get(part);
            let mut entries =
                entries.ok_or_else(|| damaged("a page of the index lacks entries".to_owned()))?.to_vec();
            entries.sort_by_key(|chunk| chunk.offset);
            Ok(entries)
        })
    }

    /// How many rows are in some chunks.
    ///
    /// # Errors
    /// Those of [`OpenArchive::chunks`].
    pub async fn rows_of(&self, range: ChunkRange) -> Result<u64> {
        let mut pages = std::pin::pin!(self.chunk_pages(range));
        let mut rows = 0;
        while let Some(chunks) = pages.try_next().await? {
            rows += chunks.iter().map(|chunk| u64::from(chunk.rows)).sum::<u64>();
        }
        Ok(rows)
    }

    async fn page(&self, frame: &FrameRef) -> Result<Arc<Page>> {
        let kept = |pages: &VecDeque<(u64, Arc<Page>)>| {
            pages.iter().find(|(sequence, _)| *sequence == frame.sequence).map(|(_, page)| Arc::clone(page))
        };
        if let Some(page) = kept(&self.pages.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(page);
        }
        let bytes = self.source.read(frame.range()).await?;
        let page = Arc::new(self.opener.open_page(&bytes, frame, &mut OpenScratch::new()?)?);
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        if pages.len() >= PAGES_KEPT {
            pages.pop_front();
        }
        pages.push_back((frame.sequence, Arc::clone(&page)));
        Ok(page)
    }

    /// Reads chunks one request after the other, and gives their rows, as COPY text, to `take`.
    ///
    /// # Errors
    /// When the store does not answer, a chunk is damaged, or `take` fails.
    pub async fn each_text(
        &self,
        range: ChunkRange,
        take: &mut (dyn FnMut(&[u8]) -> Result<()> + Send),
    ) -> Result<()> {
        self.each_text_of(range, &|_| true, take).await
    }

    /// As [`each_text`](Self::each_text), of the chunks that are wanted. The others are not read.
    ///
    /// # Errors
    /// As for `each_text`.
    pub async fn each_text_of(
        &self,
        range: ChunkRange,
        wanted: &(dyn Fn(&ChunkEntry) -> bool + Send + Sync),
        take: &mut (dyn FnMut(&[u8]) -> Result<()> + Send),
    ) -> Result<()> {
        let mut pages = std::pin::pin!(self.chunk_pages(range));
        while let Some(mut chunks) = pages.try_next().await? {
            chunks.retain(wanted);
            for batch in batches(chunks, TEXT_REQUEST_BYTES) {
                let bytes = self.source.read(batch.range.clone()).await?;
                for (text, _) in self.open_batch(range.stream, batch, bytes).await? {
                    take(&text)?;
                }
            }
        }
        Ok(())
    }

    /// A stream's entry in the index.
    ///
    /// # Errors
    /// When the index does not have it.
    pub fn stream(&self, stream: &Stream) -> Result<&StreamEntry> {
        self.root
            .stream(stream.id)
            .ok_or_else(|| damaged(format!("{} is not in the index", stream.display())))
    }

    /// Decrypts and decompresses the chunks of a batch on a thread for such work; gives each chunk's text and rows.
    ///
    /// # Errors
    /// When a chunk is damaged or not authentic; the error names it.
    pub async fn open_batch(&self, stream: u32, batch: Batch, bytes: Bytes) -> Result<Vec<(Bytes, u64)>> {
        let opener = self.opener.clone();
        let name = self.source.display();
        let work = tokio::task::spawn_blocking(move || {
            let mut scratch = OpenScratch::new()?;
            let mut texts = Vec::with_capacity(batch.chunks.len());
            for chunk in &batch.chunks {
                let sealed = batch.slice(&bytes, chunk).unwrap_or_default();
                let text = opener.open_chunk_owned(&sealed, stream, chunk, &mut scratch);
                let text = text.context(|| format!("read {name}"))?;
                texts.push((Bytes::from(text), u64::from(chunk.rows)));
            }
            Ok(texts)
        });
        work.await.map_err(|error| Error::with_source(ErrorKind::Failed, "open a chunk", error))?
    }

    async fn json<T: serde::de::DeserializeOwned>(&self, tag: [u8; 4]) -> Result<T> {
        let name = String::from_utf8_lossy(&tag).into_owned();
        let bytes =
            self.section(tag).await?.ok_or_else(|| damaged(format!("the section {name} is missing")))?;
        serde_json::from_slice(&bytes).map_err(|error| damaged(format!("the section {name}: {error}")))
    }

    /// The bytes of a section; `None` when there is none.
    ///
    /// # Errors
    /// When the store does not answer, or a part is damaged.
    pub async fn section(&self, tag: [u8; 4]) -> Result<Option<Vec<u8>>> {
        let Some(section) = self.root.section(SectionTag(tag)) else {
            return Ok(None);
        };
        let mut scratch = OpenScratch::new()?;
        let mut all = Vec::new();
        for (part, frame) in (0..).zip(&section.parts) {
            let bytes = self.source.read(frame.range()).await?;
            all.extend_from_slice(self.opener.open_part(&bytes, section, part, &mut scratch)?);
        }
        Ok(Some(all))
    }
}

/// Feeds a whole archive to a verifier.
///
/// # Errors
/// When the store does not answer or a stop is asked for. What is wrong with the archive is told in the report.
pub async fn scan(
    source: &Source,
    mut verifier: Verifier,
    observer: &SharedObserver,
    stop: &Stop,
) -> Result<Report> {
    const STEP: u64 = 4 << 20;
    observer.event(Event::Total { bytes: source.size(), rows: 0 });
    let mut at = 0;
    while at < source.size() {
        stop.check()?;
        let end = source.size().min(at + STEP);
        let bytes = source.read(at..end).await?;
        verifier = tokio::task::spawn_blocking(move || {
            verifier.feed(&bytes);
            verifier
        })
        .await
        .map_err(|error| Error::with_source(ErrorKind::Failed, "verify", error))?;
        observer.event(Event::Progress { bytes: end - at, rows: 0 });
        at = end;
    }
    Ok(verifier.finish())
}

/// Chunks that lie together, to be read by one request.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The bytes of the file.
    pub range: Range<u64>,
    /// The chunks in it.
    pub chunks: Vec<ChunkEntry>,
}

/// Groups chunks, given in file order, into requests of at most `bytes`, in the file and decompressed: what compresses
/// well must not take more memory.
pub fn batches(chunks: Vec<ChunkEntry>, bytes: u64) -> Vec<Batch> {
    let mut batches: Vec<Batch> = Vec::new();
    for chunk in chunks {
        let range = chunk.frame().range();
        match batches.last_mut() {
            Some(last)
                if range.start <= last.range.end + COALESCE_GAP
                    && range.end - last.range.start <= bytes
                    && last.plain_bytes() + u64::from(chunk.plain_bytes) <= bytes =>
            {
                last.range.end = last.range.end.max(range.end);
                last.chunks.push(chunk);
            }
            _ => batches.push(Batch { range, chunks: vec![chunk] }),
        }
    }
    batches
}

impl Batch {
    /// Bytes of its chunks' text.
    pub fn plain_bytes(&self) -> u64 {
        self.chunks.iter().map(|chunk| u64::from(chunk.plain_bytes)).sum()
    }

    /// The bytes of one of its chunks, out of the bytes of the batch.
    pub fn slice(&self, bytes: &Bytes, chunk: &ChunkEntry) -> Option<Bytes> {
        let range = chunk.frame().range();
        let from = usize::try_from(range.start.checked_sub(self.range.start)?).ok()?;
        let to = usize::try_from(range.end.checked_sub(self.range.start)?).ok()?;
        (to <= bytes.len() && from <= to).then(|| bytes.slice(from..to))
    }
}

/// A place in a page: pages have at most some thousand entries.
fn index(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn damaged(what: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Damaged, what.to_string())
}
