//! What failed backups left behind: found and named, and removed only when it is old and nothing depends on it.

use jiff::Timestamp;
use serde::Serialize;

use super::{Options, Outcome};
use crate::error::Result;
use crate::operate::retention::Candidate;
use crate::store::list::{Listing, Orphan};
use crate::store::naming;
use crate::store::unfinished::Unfinished;
use crate::store::{Store, StoreError};

/// What a leftover is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LeftoverKind {
    /// An archive without the sidecar that would make it a backup.
    Archive,
    /// A sidecar, checksum or note without its archive.
    Sidecar,
    /// A temporary file of a backup that was killed.
    TemporaryFile,
    /// An upload that was neither completed nor aborted.
    Upload,
}

/// Something left behind.
#[derive(Debug, Clone, Serialize)]
pub struct Leftover {
    /// Path or URL.
    pub place: String,
    /// What it is.
    pub kind: LeftoverKind,
    /// Its length, where it is known.
    pub bytes: Option<u64>,
    /// When it was written, by the store's clock.
    pub written: Timestamp,
    /// Whether it goes.
    pub remove: bool,
    /// Why it goes, or stays.
    pub reason: String,
    /// What was done.
    #[serde(flatten)]
    pub outcome: Option<Outcome>,
    #[serde(skip)]
    pub(super) what: What,
}

/// How it is removed.
#[derive(Debug, Clone)]
pub(super) enum What {
    Object(Orphan),
    Unfinished(Unfinished),
}

pub(super) async fn find(
    store: &Store,
    listing: &Listing,
    candidates: &[Candidate],
    options: &Options,
    now: Timestamp,
) -> Result<Vec<Leftover>> {
    let unfinished = match store.unfinished().await {
        // Who may not ask for them does without.
        Err(StoreError::PermissionDenied { .. }) => Vec::new(),
        other => other?,
    };
    let age = |written: Timestamp| now.duration_since(written) >= options.leftover_age;
    let mut found: Vec<Leftover> = listing
        .orphans
        .iter()
        .map(|orphan| {
            let archive = orphan.lacks == ".json";
            let spare = if orphan.held {
                Some("held")
            } else if archive && !superseded(orphan, candidates) {
                Some("no newer good backup of its database is there")
            } else {
                None
            };
            let reason = spare.map_or_else(|| verdict(age(orphan.written)), str::to_owned);
            Leftover {
                place: store.display(&orphan.key),
                kind: if archive { LeftoverKind::Archive } else { LeftoverKind::Sidecar },
                bytes: Some(orphan.bytes),
                written: orphan.written,
                remove: spare.is_none() && age(orphan.written),
                reason,
                outcome: None,
                what: What::Object(orphan.clone()),
            }
        })
        .collect();
    let ours = |one: &Unfinished| {
        let prefix = options.database.as_deref().map(|name| format!("{}/", naming::escape(name)));
        prefix.is_none_or(|prefix| one.key.starts_with(&prefix))
    };
    found.extend(unfinished.into_iter().filter(ours).map(|one| {
        let upload = !one.upload.is_empty();
        Leftover {
            place: store.display(&one.key),
            kind: if upload { LeftoverKind::Upload } else { LeftoverKind::TemporaryFile },
            bytes: None,
            written: one.written,
            remove: age(one.written),
            reason: verdict(age(one.written)),
            outcome: None,
            what: What::Unfinished(one),
        }
    }));
    Ok(found)
}

fn verdict(old: bool) -> String {
    (if old { "old enough" } else { "not old enough" }).to_owned()
}

/// Whether its database has a newer backup that is understood: then nobody needs an archive without a sidecar.
fn superseded(orphan: &Orphan, candidates: &[Candidate]) -> bool {
    let Some(facts) = naming::parse(&orphan.key) else { return false };
    candidates.iter().any(|one| {
        let whole = one.sidecar.as_ref().is_ok_and(|sidecar| !sidecar.partial);
        one.facts.database == facts.database && one.facts.taken > facts.taken && whole
    })
}
