//! The copy under a new key: every frame is opened and sealed anew, for other recipients. Whoever could open the original
//! cannot open the copy, unless they are among them.

use std::time::Instant;

use bytes::Bytes;
use serde_json::json;

use super::anew::{self, Anew};
use super::original::Original;
use super::{Copied, OF_THE_CONTENT};
use crate::archive::Summary;
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Event, SharedObserver};
use crate::opened::OpenArchive;
use crate::seal::compress::Level;
use crate::seal::recipient::Recipient;
use crate::stop::Stop;
use crate::store::publish::{Sidecars, commit};
use crate::store::sidecar::{hex, sha256_line};
use crate::store::{Store, naming};

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
    let sibling = |id: &str| naming::sibling(&original.key, id);
    let is_named_so = sibling(&original.metadata.id).as_ref() == Some(&original.key);
    let key = sibling(&id)
        .filter(|_| is_named_so)
        .ok_or_else(|| Error::new(ErrorKind::Damaged, format!("{from}.json has another id than its name")))?;
    observer.event(Event::Phase { name: "sealing anew" });
    let public: Vec<String> = options.recipients.iter().filter_map(Recipient::public_text).collect();
    let work = Anew {
        archive,
        recipients: &options.recipients,
        level: options.level,
        manifest: json!({"id": id, "recipients": public}),
        sieves: None,
        observer,
    };
    let summary = work.seal_into(to, &key, stop).await?.summary;
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
    let keys: Vec<String> = made.recipients.iter().map(ToString::to_string).collect();
    let changes = json!({
        "id": id, "archive": file, "bytes": made.bytes, "sha256": hex(&made.sha256), "encrypted": true, "keys": keys,
        "level": options.level.get(), "tool": concat!("pgcask ", env!("CARGO_PKG_VERSION")),
        "rekeyed_from": original.metadata.id,
    });
    Ok(Bytes::from(format!("{:#}", anew::changed(&original.json, changes)?)))
}
