//! An archive opened for reading: header, keys, index, sections and chunks, over whatever store it lies in.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::archive::{
    Archive, ChunkEntry, FrameRef, Located, Locator, OpenScratch, Opener, Root, SectionTag, StreamEntry,
};
use crate::catalog::encode;
use crate::catalog::model::Model;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::manifest::{self, Closing, Manifest, Stream};
use crate::seal::recipient::Identity;
use crate::store::get::Source;

/// Gaps between frames that are cheaper to read than to ask again.
const COALESCE_GAP: u64 = 64 << 10;

/// Bytes asked of the store at once by whoever reads rows one request after the other.
const TEXT_REQUEST_BYTES: u64 = 4 << 20;

/// An archive that was found and not yet unlocked.
#[derive(Debug)]
pub struct Found {
    source: Source,
    located: Located,
}

/// An archive whose rows and definitions can be read.
#[derive(Debug, Clone)]
pub struct OpenArchive {
    source: Source,
    opener: Opener,
    root: Arc<Root>,
    encrypted: bool,
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
        Ok(Self { source, located })
    }

    /// What can be read without a key.
    pub fn located(&self) -> &Located {
        &self.located
    }

    /// Unlocks the archive.
    ///
    /// # Errors
    /// When no identity fits, or the index is damaged.
    pub fn unlock(self, identities: &[Identity]) -> Result<OpenArchive> {
        let Self { source, located } = self;
        let encrypted = located.header.encrypted;
        let Archive { opener, root, .. } =
            located.unlock(identities).context(|| format!("open {}", source.display()))?;
        Ok(OpenArchive { source, opener, root: Arc::new(root), encrypted })
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

    /// All chunks of a stream, in file order: its pages of the index are read.
    ///
    /// # Errors
    /// When the store does not answer or a page is damaged.
    pub async fn chunks(&self, stream: u32) -> Result<Vec<ChunkEntry>> {
        let Some(entry) = self.root.stream(stream) else {
            return Ok(Vec::new());
        };
        let mut scratch = OpenScratch::new()?;
        let mut chunks = Vec::new();
        let pages: Vec<FrameRef> = self.root.pages_of(entry).map(|(frame, _)| frame).collect();
        for frame in pages {
            let bytes = self.source.read(frame.range()).await?;
            let page = self.opener.open_page(&bytes, &frame, &mut scratch)?;
            chunks.extend_from_slice(page.entries_of(stream));
        }
        chunks.sort_by_key(|chunk| chunk.offset);
        Ok(chunks)
    }

    /// Reads chunks of a stream one request after the other, and gives their rows, as COPY text, to `take`.
    ///
    /// # Errors
    /// When the store does not answer, a chunk is damaged, or `take` fails.
    pub async fn each_text(
        &self,
        stream: u32,
        chunks: Vec<ChunkEntry>,
        take: &mut (dyn FnMut(&[u8]) -> Result<()> + Send),
    ) -> Result<()> {
        for batch in batches(chunks, TEXT_REQUEST_BYTES) {
            let bytes = self.source.read(batch.range.clone()).await?;
            for (text, _) in self.open_batch(stream, batch, bytes).await? {
                take(&text)?;
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

    async fn section(&self, tag: [u8; 4]) -> Result<Option<Vec<u8>>> {
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

fn damaged(what: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Damaged, what.to_string())
}
