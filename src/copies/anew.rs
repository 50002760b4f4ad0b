//! Every frame of an archive opened and sealed anew under a new key, some rows left out on the way.
//!
//! The content hash is keyed by the archive's secret, so that each row passes through here. What is held in memory does not
//! grow with the archive.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use serde_json::Value;

use super::rewrite::{Sieve, Sieves};
use crate::archive::{
    ChunkEntry, ChunkFacts, ChunkHead, ContentHash, OpenScratch, Opener, Packing, SealScratch, SealedFrame,
    Sealer, SectionTag, Summary, Writer,
};
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Event, SharedObserver};
use crate::fields::Fields;
use crate::limits::MAX_COLUMNAR_BYTES;
use crate::manifest;
use crate::opened::{Batch, OpenArchive, batches};
use crate::pg::copy::{RowHasher, ZoneColumn, ZoneMap, ZoneTracker};
use crate::seal::compress::Level;
use crate::seal::data_key::Keys;
use crate::seal::recipient::Recipient;
use crate::stop::Stop;
use crate::store::Store;
use crate::store::put::Upload;

/// Bytes of the file, and of COPY text, that one task takes.
const BATCH_BYTES: u64 = 4 << 20;

/// Batches under way: each holds one row of the largest size at worst.
const AHEAD: usize = 2;

/// How an archive is sealed anew.
pub(super) struct Anew<'a> {
    pub(super) archive: &'a OpenArchive,
    /// For whom; nobody leaves it in the clear.
    pub(super) recipients: &'a [Recipient],
    pub(super) level: Level,
    /// Members of the manifest that are others now.
    pub(super) manifest: Value,
    /// Which rows are left out, or changed.
    pub(super) sieves: Option<&'a Sieves>,
    pub(super) observer: &'a SharedObserver,
}

/// An archive that was sealed anew.
pub(super) struct Sealed {
    pub(super) summary: Summary,
    pub(super) keys: Keys,
}

/// JSON with some members changed. Those that we do not know stay as they are.
pub(super) fn changed(json: &[u8], changes: Value) -> Result<Value> {
    let failed = |error| Error::with_source(ErrorKind::Damaged, "read the metadata", error);
    let mut value: Value = serde_json::from_slice(json).map_err(failed)?;
    if let (Some(all), Value::Object(changes)) = (value.as_object_mut(), changes) {
        all.extend(changes);
    }
    Ok(value)
}

impl Anew<'_> {
    /// Seals it into a store. Until its sidecars are there it is no backup.
    ///
    /// # Errors
    /// When a frame is damaged, when not all rows came through, and those of the store; nothing is left there then.
    pub(super) async fn seal_into(&self, to: &Store, key: &str, stop: &Stop) -> Result<Sealed> {
        let mut upload = Upload::begin(to, key).await?;
        let sealed = tokio::select! {
            biased;
            () = stop.requested() => Err(stop.error()),
            result = self.seal(&mut upload) => result,
        };
        match sealed {
            Ok(sealed) => {
                upload.finish().await?;
                Ok(sealed)
            }
            Err(error) => {
                drop(upload.abort().await);
                Err(error)
            }
        }
    }

    async fn seal(&self, upload: &mut Upload) -> Result<Sealed> {
        let root = self.archive.root();
        let options = crate::archive::Options {
            created_micros: self.archive.created_micros(),
            level: self.level,
            recipients: self.recipients.to_vec(),
        };
        // Deriving a key from a passphrase takes a moment of CPU time.
        let begun = tokio::task::spawn_blocking(move || Writer::new(&options)).await;
        let mut writer =
            begun.map_err(|error| Error::with_source(ErrorKind::Failed, "begin the archive", error))??;
        for entry in &root.streams {
            writer.declare(entry.stream, &entry.name)?;
        }
        let last = SectionTag(manifest::CLOSING_TAG);
        for section in root.sections.iter().filter(|section| section.tag != last) {
            self.section(section.tag, section.version, &mut writer, upload).await?;
        }
        let bytes = root.streams.iter().map(|entry| entry.totals.plain_bytes).sum();
        self.observer.event(Event::Total { bytes, rows: 0 });
        let mut taken = Taken::default();
        for entry in &root.streams {
            taken.add(self.stream(entry.stream, &mut writer, upload).await?);
        }
        for section in root.sections.iter().filter(|section| section.tag == last) {
            self.section(section.tag, section.version, &mut writer, upload).await?;
        }
        let keys = writer.keys().clone();
        let finished = writer.finish()?;
        write(upload, finished.bytes).await?;
        self.compare(&finished.summary, taken)?;
        Ok(Sealed { summary: finished.summary, keys })
    }

    /// A section as it is; the manifest with what is different.
    async fn section(
        &self,
        tag: SectionTag,
        version: u16,
        writer: &mut Writer,
        upload: &mut Upload,
    ) -> Result<()> {
        let bytes = self.archive.section(tag.0).await?.unwrap_or_default();
        let bytes = if tag.0 == manifest::MANIFEST_TAG {
            changed(&bytes, self.manifest.clone())?.to_string().into_bytes()
        } else {
            bytes
        };
        write(upload, writer.section(tag, version, &bytes)?).await
    }

    async fn stream(&self, stream: u32, writer: &mut Writer, upload: &mut Upload) -> Result<Taken> {
        let shared = Arc::new(Shared {
            stream,
            opener: self.archive.opener().clone(),
            hasher: RowHasher::new(writer.content_hash_secret()?),
            sealer: writer.sealer(),
            packing: Packing::default(),
            sieve: self.sieves.and_then(|sieves| sieves.of(stream)),
        });
        let mut all = Taken::default();
        let mut pages = std::pin::pin!(self.archive.chunk_pages(self.archive.all_chunks(stream)));
        while let Some(chunks) = pages.try_next().await? {
            let tasks = stream::iter(batches(chunks, BATCH_BYTES)).map(|batch| {
                let shared = Arc::clone(&shared);
                async move {
                    let bytes = self.archive.source().read(batch.range.clone()).await?;
                    let work = tokio::task::spawn_blocking(move || shared.batch(&batch, &bytes));
                    work.await
                        .map_err(|error| Error::with_source(ErrorKind::Failed, "seal a chunk", error))?
                }
            });
            let mut tasks = std::pin::pin!(tasks.buffered(AHEAD));
            while let Some(Resealed { frames, bytes, rows, taken }) = tasks.try_next().await? {
                for frame in frames {
                    write(upload, writer.push(frame)?).await?;
                }
                all.add(taken);
                self.observer.event(Event::Progress { bytes, rows });
            }
        }
        Ok(all)
    }

    /// As many rows and bytes came out as went in, but for those that were taken out.
    fn compare(&self, made: &Summary, taken: Taken) -> Result<()> {
        let streams = &self.archive.root().streams;
        let rows: u64 = streams.iter().map(|entry| entry.totals.rows).sum();
        let bytes: u64 = streams.iter().map(|entry| entry.totals.plain_bytes).sum();
        if (made.totals.rows + taken.rows, made.totals.plain_bytes + taken.bytes) == (rows, bytes) {
            return Ok(());
        }
        let (sealed, out) = (made.totals.rows, taken.rows);
        let message = format!("{rows} rows were read, {out} taken out and {sealed} sealed");
        Err(Error::new(ErrorKind::Failed, message))
    }
}

/// What was taken out.
#[derive(Debug, Clone, Copy, Default)]
struct Taken {
    rows: u64,
    bytes: u64,
}

impl Taken {
    fn add(&mut self, other: Self) {
        self.rows += other.rows;
        self.bytes += other.bytes;
    }
}

/// Frames sealed anew, how many bytes of text and rows were read for them, and what was taken out.
#[derive(Debug, Default)]
struct Resealed {
    frames: Vec<SealedFrame>,
    bytes: u64,
    rows: u64,
    taken: Taken,
}

/// What the tasks of one stream share.
struct Shared {
    stream: u32,
    opener: Opener,
    hasher: RowHasher,
    sealer: Sealer,
    packing: Packing,
    sieve: Option<Arc<Sieve>>,
}

/// What a task keeps between two chunks.
struct Scratch {
    open: OpenScratch,
    seal: SealScratch,
    fields: Fields,
}

impl Shared {
    /// Opens the chunks of a batch, hashes their rows under the new key, and seals them.
    fn batch(&self, batch: &Batch, bytes: &Bytes) -> Result<Resealed> {
        let (open, seal) = (OpenScratch::new()?, self.sealer.scratch()?);
        let mut scratch = Scratch { open, seal, fields: Fields::default() };
        let mut made = Resealed::default();
        for chunk in &batch.chunks {
            let sealed = batch.slice(bytes, chunk).unwrap_or_default();
            self.chunk(chunk, &sealed, &mut scratch, &mut made)?;
        }
        Ok(made)
    }

    fn chunk(
        &self,
        chunk: &ChunkEntry,
        sealed: &Bytes,
        scratch: &mut Scratch,
        made: &mut Resealed,
    ) -> Result<()> {
        let Scratch { open, seal, fields } = scratch;
        let text = self.opener.open_chunk(sealed, self.stream, chunk, open)?.text;
        made.bytes += u64::from(chunk.plain_bytes);
        made.rows += u64::from(chunk.rows);
        let sieve = self.sieve.as_ref().filter(|sieve| sieve.admits(chunk));
        let sifted = sieve.map(|sieve| sieve.apply(text));
        let (text, out) = sifted.as_ref().map_or((text, 0), |sifted| (sifted.text.as_slice(), sifted.out));
        let hash = self.hasher.block(text);
        if hash.rows + u64::from(out) != u64::from(chunk.rows) {
            let (number, stream, told) = (chunk.number, self.stream, chunk.rows);
            let message = format!("chunk {number} of stream {stream} has {} rows, not {told}", hash.rows);
            return Err(Error::new(ErrorKind::Damaged, message));
        }
        made.taken
            .add(Taken { rows: u64::from(out), bytes: sifted.as_ref().map_or(0, |sifted| sifted.bytes_out) });
        if hash.rows == 0 {
            return Ok(());
        }
        if text.len() > MAX_COLUMNAR_BYTES || !fields.find(text) {
            fields.forget();
        }
        let zone_map = match sieve.filter(|_| sifted.as_ref().is_some_and(|sifted| sifted.changed)) {
            Some(sieve) => zones(text, fields, sieve.zones()).encode(),
            // Zone maps hold values, and stay.
            None => chunk.zone_map.clone(),
        };
        let facts = ChunkFacts { hash: ContentHash(hash.sum), zone_map };
        let head = ChunkHead { stream: self.stream, number: chunk.number, rows: chunk.rows - out };
        let layout = self.packing.layout(fields);
        let frame = self.sealer.seal_chunk(head, text, layout, facts, seal)?;
        self.packing.learn(layout, &frame);
        made.frames.push(frame);
        Ok(())
    }
}

/// The zone map of a text; nothing is known where its values cannot be told apart.
fn zones(text: &[u8], fields: &Fields, columns: &[ZoneColumn]) -> ZoneMap {
    if fields.rows() == 0 {
        return ZoneMap::default();
    }
    let mut tracker = ZoneTracker::new(text, columns);
    fields.each_row().for_each(|row| tracker.row(row));
    tracker.finish()
}

async fn write(upload: &mut Upload, pieces: Vec<Bytes>) -> Result<()> {
    for piece in pieces {
        upload.write(piece).await?;
    }
    Ok(())
}
