//! What failed backups left in the store.

use super::{Finding, Level, some};
use crate::error::Result;
use crate::store::list::{Filter, list};
use crate::store::{Store, StoreError};

const CHECK: &str = "store leftovers";

pub(super) async fn check(store: &Store) -> Result<Vec<Finding>> {
    let orphans: Vec<String> = list(store, &Filter::default())
        .await?
        .orphans
        .into_iter()
        .map(|orphan| store.display(&orphan.key))
        .collect();
    let uploads = match store.unfinished().await {
        Ok(found) => found.into_iter().map(|one| store.display(&one.key)).collect(),
        // Who may not ask for them does without.
        Err(StoreError::PermissionDenied { .. }) => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    let describe = |names: &[String], what: &str| {
        (!names.is_empty()).then(|| {
            let why = "they take space; a backup that is being made just now shows so, too";
            Finding::new(CHECK, Level::Notice, format!("{} {what}: {}", names.len(), some(names)), why)
                .remedy("pgcask prune --apply removes them when they are a week old")
        })
    };
    let found: Vec<Finding> = [
        describe(&orphans, "objects are part of no backup"),
        describe(&uploads, "uploads were not finished"),
    ]
    .into_iter()
    .flatten()
    .collect();
    Ok(if found.is_empty() { vec![Finding::ok(CHECK, "failed backups left nothing")] } else { found })
}
