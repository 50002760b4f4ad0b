//! The copy under a new key: every frame is opened and sealed anew, for other recipients. Whoever could open the original
//! cannot open the copy, unless they are among them.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use serde_json::{Value, json};

use super::original::Original;
use super::{Copied, OF_THE_CONTENT};
use crate::archive::{
    ChunkEntry, ChunkFacts, ChunkHead, ContentHash, Opener, Packing, SealedFrame, Sealer, SectionTag,
    Summary, Writer,
};
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Event, SharedObserver};
use crate::fields::Fields;
use crate::limits::MAX_COLUMNAR_BYTES;
use crate::manifest;
use crate::opened::{Batch, OpenArchive, batches};
use crate::pg::copy::RowHasher;
use crate::seal::compress::Level;
use crate::seal::recipient::Recipient;
use crate::stop::Stop;
use crate::store::publish::{Sidecars, commit};
use crate::store::put::Upload;
use crate::store::sidecar::{hex, sha256_line};
use crate::store::{Store, naming};

/// Bytes of the file, and of COPY text, that one task takes.
const BATCH_BYTES: u64 = 4 << 20;

/// Batches under way: each holds one row of the largest size at worst.
const AHEAD: usize = 2;

/// How an archive is to be sealed anew.
#[derive(Debug, Clone)]
pub struct Rekey {
    /// For whom; nobody is refused.
    pub recipients: Vec<Recipient>,
    /// How hard to compress.
    pub level: Level,
}

/// Seals an opened archive anew, into a store, under a new id.
///
/// # Errors
/// When a frame is damaged, when what comes out has not as many rows as what went in, and those of the stores.
pub async fn rekey(
    options: &Rekey,
    archive: &OpenArchive,
    to: &Store,
    observer: &SharedObserver,
    stop: &Stop,
) -> Result<Copied> {
    let began = Instant::now();
    if options.recipients.is_empty() {
        return Err(Error::new(
            ErrorKind::Usage,
            "no recipient is named for whom the archive is to be sealed",
        ));
    }
    let from = archive.source().display();
    let original = Original::open(&from).await?;
    let beside = original.beside(&OF_THE_CONTENT).await?;
    let id = naming::new_id()?;
    let key = original.key.replace(&format!("-{}.cask", original.metadata.id), &format!("-{id}.cask"));
    if key == original.key {
        return Err(Error::new(ErrorKind::Damaged, format!("{from}.json has another id than its name")));
    }
    observer.event(Event::Phase { name: "sealing anew" });
    let mut upload = Upload::begin(to, &key).await?;
    let work = Work { options, archive, id: &id, observer };
    let sealed = tokio::select! {
        biased;
        () = stop.requested() => Err(stop.error()),
        result = work.seal(&mut upload) => result,
    };
    let summary = match sealed {
        Ok(summary) => summary,
        Err(error) => {
            drop(upload.abort().await);
            return Err(error);
        }
    };
    upload.finish().await?;
    let file = key.rsplit('/').next().unwrap_or(&key);
    let json = metadata(&original, options, &summary, &id, file)?;
    let sha256 = hex(&summary.sha256);
    let checksum = Bytes::from(sha256_line(&sha256, file));
    commit(to, &key, &Sidecars { checksum, beside: &beside, json }).await?;
    Ok(Copied {
        from,
        archive: to.display(&key),
        id,
        bytes: summary.bytes,
        sha256,
        already: false,
        resumed: false,
        beside: beside.into_iter().map(|(end, _)| end).collect(),
        rekeyed: true,
        seconds: began.elapsed().as_secs_f64(),
    })
}

/// The original's `.json` with what is different now.
fn metadata(original: &Original, options: &Rekey, made: &Summary, id: &str, file: &str) -> Result<Bytes> {
    let failed = |error| Error::with_source(ErrorKind::Failed, "write the metadata", error);
    let mut value: Value = serde_json::from_slice(&original.json).map_err(failed)?;
    let keys: Vec<String> = made.recipients.iter().map(ToString::to_string).collect();
    let changes = json!({
        "id": id, "archive": file, "bytes": made.bytes, "sha256": hex(&made.sha256), "encrypted": true, "keys": keys,
        "level": options.level.get(), "tool": concat!("pgcask ", env!("CARGO_PKG_VERSION")),
        "rekeyed_from": original.metadata.id,
    });
    if let (Some(all), Value::Object(changes)) = (value.as_object_mut(), changes) {
        all.extend(changes);
    }
    serde_json::to_vec_pretty(&value).map(Bytes::from).map_err(failed)
}

struct Work<'a> {
    options: &'a Rekey,
    archive: &'a OpenArchive,
    id: &'a str,
    observer: &'a SharedObserver,
}

impl Work<'_> {
    async fn seal(&self, upload: &mut Upload) -> Result<Summary> {
        let root = self.archive.root();
        let options = crate::archive::Options {
            created_micros: self.archive.created_micros(),
            level: self.options.level,
            recipients: self.options.recipients.clone(),
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
        for entry in &root.streams {
            self.stream(entry.stream, &mut writer, upload).await?;
        }
        for section in root.sections.iter().filter(|section| section.tag == last) {
            self.section(section.tag, section.version, &mut writer, upload).await?;
        }
        let finished = writer.finish()?;
        write(upload, finished.bytes).await?;
        self.compare(&finished.summary)?;
        Ok(finished.summary)
    }

    /// A section as it is; the manifest with the new id and recipients.
    async fn section(
        &self,
        tag: SectionTag,
        version: u16,
        writer: &mut Writer,
        upload: &mut Upload,
    ) -> Result<()> {
        let bytes = self.archive.section(tag.0).await?.unwrap_or_default();
        let bytes = if tag.0 == manifest::MANIFEST_TAG { self.manifest(&bytes)? } else { bytes };
        write(upload, writer.section(tag, version, &bytes)?).await
    }

    /// Members that we do not know stay as they are.
    fn manifest(&self, bytes: &[u8]) -> Result<Vec<u8>> {
        let failed = |error| Error::with_source(ErrorKind::Damaged, "read the manifest", error);
        let mut value: Value = serde_json::from_slice(bytes).map_err(failed)?;
        let public: Vec<String> = self.options.recipients.iter().filter_map(Recipient::public_text).collect();
        if let (Some(all), Value::Object(changes)) =
            (value.as_object_mut(), json!({"id": self.id, "recipients": public}))
        {
            all.extend(changes);
        }
        serde_json::to_vec(&value).map_err(failed)
    }

    async fn stream(&self, stream: u32, writer: &mut Writer, upload: &mut Upload) -> Result<()> {
        let hasher = RowHasher::new(writer.content_hash_secret()?);
        let sealer = writer.sealer();
        let packing = Arc::new(Packing::default());
        let mut pages = std::pin::pin!(self.archive.chunk_pages(self.archive.all_chunks(stream)));
        while let Some(chunks) = pages.try_next().await? {
            let tasks = stream::iter(batches(chunks, BATCH_BYTES)).map(|batch| {
                let (hasher, sealer, packing) = (hasher.clone(), sealer.clone(), Arc::clone(&packing));
                async move {
                    let bytes = self.archive.source().read(batch.range.clone()).await?;
                    let opener = self.archive.opener().clone();
                    let work = tokio::task::spawn_blocking(move || {
                        anew(&opener, &hasher, &sealer, &packing, stream, &batch, &bytes)
                    });
                    work.await
                        .map_err(|error| Error::with_source(ErrorKind::Failed, "seal a chunk", error))?
                }
            });
            let mut tasks = std::pin::pin!(tasks.buffered(AHEAD));
            while let Some((frames, bytes, rows)) = tasks.try_next().await? {
                for frame in frames {
                    write(upload, writer.push(frame)?).await?;
                }
                self.observer.event(Event::Progress { bytes, rows });
            }
        }
        Ok(())
    }

    /// As many rows and bytes came out as went in.
    fn compare(&self, made: &Summary) -> Result<()> {
        let streams = &self.archive.root().streams;
        let rows: u64 = streams.iter().map(|entry| entry.totals.rows).sum();
        let bytes: u64 = streams.iter().map(|entry| entry.totals.plain_bytes).sum();
        if (made.totals.rows, made.totals.plain_bytes) == (rows, bytes) {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Failed, format!("{rows} rows were read and {} sealed", made.totals.rows)))
    }
}

/// Frames sealed anew, and how many bytes of text and rows they hold.
type Anew = (Vec<SealedFrame>, u64, u64);

/// Opens the chunks of a batch, hashes their rows under the new key, and seals them. Zone maps hold values, and stay.
fn anew(
    opener: &Opener,
    hasher: &RowHasher,
    sealer: &Sealer,
    packing: &Packing,
    stream: u32,
    batch: &Batch,
    bytes: &Bytes,
) -> Result<Anew> {
    let (mut open, mut seal, mut fields) =
        (crate::archive::OpenScratch::new()?, sealer.scratch()?, Fields::default());
    let mut frames = Vec::with_capacity(batch.chunks.len());
    let (mut total, mut rows) = (0, 0);
    for chunk in &batch.chunks {
        let sealed = batch.slice(bytes, chunk).unwrap_or_default();
        let text = opener.open_chunk(&sealed, stream, chunk, &mut open)?.text;
        let hash = hasher.block(text);
        if hash.rows != u64::from(chunk.rows) {
            let message = format!(
                "chunk {} of stream {stream} has {} rows, not {}",
                chunk.number, hash.rows, chunk.rows
            );
            return Err(Error::new(ErrorKind::Damaged, message));
        }
        if text.len() > MAX_COLUMNAR_BYTES || !fields.find(text) {
            fields.forget();
        }
        let layout = packing.layout(&fields);
        let frame =
            sealer.seal_chunk(head(stream, chunk), text, layout, facts(hash.sum, chunk), &mut seal)?;
        packing.learn(layout, &frame);
        total += u64::from(chunk.plain_bytes);
        rows += u64::from(chunk.rows);
        frames.push(frame);
    }
    Ok((frames, total, rows))
}

fn head(stream: u32, chunk: &ChunkEntry) -> ChunkHead {
    ChunkHead { stream, number: chunk.number, rows: chunk.rows }
}

fn facts(sum: u128, chunk: &ChunkEntry) -> ChunkFacts {
    ChunkFacts { hash: ContentHash(sum), zone_map: chunk.zone_map.clone() }
}

async fn write(upload: &mut Upload, pieces: Vec<Bytes>) -> Result<()> {
    for piece in pieces {
        upload.write(piece).await?;
    }
    Ok(())
}
