//! What a selection means in an archive: patterns that mean nothing, what is needed besides, how long it may take.

use std::collections::{BTreeSet, HashSet};

use super::options::Wanted;
use super::prepare::Prepared;
use super::{dependents, there};
use crate::catalog::ident::ObjectId;
use crate::catalog::kinds::schema::PUBLIC;
use crate::catalog::model::{Entry, Model};
use crate::catalog::registry::Object;
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::{Closing, Manifest};
use crate::opened::OpenArchive;
use crate::pg::{Session, quote};
use crate::plan::choose::{Chosen, choose, is_relation};
use crate::plan::priority::name_of;

/// The patterns that mean no relation of the archive.
pub(super) fn unmatched(
    wanted: &Wanted,
    stop_after: Option<u8>,
    model: &Model,
    manifest: &Manifest,
) -> Result<Vec<String>> {
    let entries =
        model.entries.iter().filter_map(|entry| Some((entry.head.schema.clone()?, entry.head.name.clone())));
    let names: Vec<(String, String)> = entries.chain(streams(manifest)).collect();
    let mut unmatched: Vec<String> =
        wanted.selection.unmatched(&names).into_iter().map(str::to_owned).collect();
    let none_is_there = unmatched.len() >= wanted.selection.included();
    if !unmatched.is_empty() && (wanted.strict_names || none_is_there) {
        return Err(nothing_matches(&unmatched));
    }
    unmatched.extend(unmatched_classes(wanted, stop_after, model, manifest)?);
    Ok(unmatched)
}

/// The patterns of priorities that mean no relation of the archive. To stop after a class in which nothing is would be to end
/// with nothing restored, and to say that what matters most is back.
fn unmatched_classes(
    wanted: &Wanted,
    stop_after: Option<u8>,
    model: &Model,
    manifest: &Manifest,
) -> Result<Vec<String>> {
    let Wanted { priorities, strict_names, .. } = wanted;
    if priorities.is_empty() {
        return Ok(Vec::new());
    }
    let relation = |entry: &&Entry| is_relation(entry.object.kind());
    let entries = model.entries.iter().filter(relation);
    let entries = entries.filter_map(|entry| Some((entry.head.schema.clone()?, entry.head.name.clone())));
    let names: Vec<(String, String)> = entries.chain(streams(manifest)).collect();
    let unmatched = priorities.unmatched(&names);
    let told = |(class, pattern): &(u8, &str)| format!("{pattern} (of {})", name_of(*class));
    if let Some(empty) = stop_after.and_then(|last| priorities.empty_up_to(last, &names)) {
        let its: Vec<String> = unmatched.iter().filter(|(class, _)| *class == empty).map(told).collect();
        return Err(nothing_matches(&its));
    }
    let unmatched: Vec<String> = unmatched.iter().map(told).collect();
    if *strict_names && !unmatched.is_empty() {
        return Err(nothing_matches(&unmatched));
    }
    Ok(unmatched)
}

fn streams(manifest: &Manifest) -> impl Iterator<Item = (String, String)> {
    manifest.streams.iter().map(|stream| (stream.schema.clone(), stream.name.clone()))
}

fn nothing_matches(patterns: &[String]) -> Error {
    let message = format!("nothing in the archive matches {}", quote::printable(&patterns.join(", ")));
    Error::new(ErrorKind::Usage, message).hint(
        "patterns are those of psql, folded to lower case; `pgcask show ARCHIVE --toc` lists what is there",
    )
}

/// Bytes of COPY text a second, as they were read when the backup was made; nothing of an archive that does not tell.
#[expect(clippy::cast_precision_loss, reason = "a figure to look at")]
pub(super) fn rate(archive: &OpenArchive, manifest: &Manifest, closing: &Closing) -> Option<f64> {
    let entries = manifest.streams.iter().filter_map(|stream| archive.root().stream(stream.id));
    let bytes = entries.map(|entry| entry.totals.plain_bytes).sum::<u64>() as f64;
    closing.seconds.map(|seconds| bytes / seconds.max(0.001))
}

/// How long so many bytes take at this rate.
#[expect(clippy::cast_precision_loss, reason = "a figure to look at")]
pub(super) fn seconds_at(rate: f64, bytes: u64) -> f64 {
    bytes as f64 / rate.max(1.0)
}

/// What a selection means besides what it names.
#[derive(Debug, Default)]
pub(super) struct Besides {
    /// Entries that are only there because others need them.
    pub(super) needed: BTreeSet<ObjectId>,
    /// Those of them that the target has already.
    has: BTreeSet<ObjectId>,
    /// What belongs to the chosen tables and does not come with them, for people.
    pub(super) left_out: Vec<String>,
    /// What uses the chosen tables, is not chosen, and that the target lacks.
    pub(super) gone_too: Vec<String>,
}

/// Keeps the entries that are wanted.
pub(super) async fn select(
    wanted: &Wanted,
    model: &mut Model,
    existing: Option<&Session>,
) -> Result<Besides> {
    if wanted.selection.is_everything() {
        return Ok(Besides::default());
    }
    let existing = existing.filter(|_| wanted.sections.defines());
    let users = match existing {
        Some(_) if wanted.sections.pre_data && wanted.selection.is_narrowed() => dependents::users(model),
        _ => Vec::new(),
    };
    let present = match existing {
        Some(session) => present(session, model).await?,
        None => BTreeSet::new(),
    };
    let Chosen { needed, left_out } = choose(model, &wanted.selection, &present);
    let mut besides = Besides { needed, ..Besides::default() };
    if wanted.sections.post_data {
        besides.left_out = left_out.iter().map(told).collect();
    }
    if let Some(session) = existing {
        besides.gone_too = dependents::lost(users, model, &besides.needed, session).await?;
    }
    if !wanted.dependencies {
        model.entries.retain(|entry| !besides.needed.contains(&entry.head.id));
        besides.needed.clear();
    }
    if let Some(session) = existing {
        besides.has = there::of(session, model, &besides.needed).await?;
    }
    Ok(besides)
}

/// The relations of the model that the target has already, by name, and what is said of those alone.
async fn present(session: &Session, model: &Model) -> Result<BTreeSet<ObjectId>> {
    let sql = "SELECT n.nspname, c.relname FROM pg_catalog.pg_class c \
               JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f')";
    let names: HashSet<(String, String)> = session
        .query_text(sql)
        .await?
        .into_iter()
        .filter_map(|row| match row.as_slice() {
            [Some(schema), Some(name)] => Some((schema.clone(), name.clone())),
            _ => None,
        })
        .collect();
    let mut found = BTreeSet::new();
    for Entry { head, object } in &model.entries {
        let schema = head.schema.clone().unwrap_or_default();
        if object.after_data_of().is_empty() && names.contains(&(schema, head.name.clone())) {
            found.extend(head.ids());
        }
    }
    for Entry { head, object } in &model.entries {
        let relations = object.after_data_of();
        if !relations.is_empty() && relations.iter().all(|id| found.contains(id)) {
            found.extend(head.ids());
        }
    }
    Ok(found)
}

/// An object in a message.
fn told(entry: &Entry) -> String {
    quote::unquoted(&quote::printable(&entry.object.identity(&entry.head)))
}

impl Prepared {
    /// What is created only because what was chosen needs it, and the target lacks it.
    pub(super) fn needed_names(&self) -> Vec<String> {
        let Besides { needed, has, .. } = &self.besides;
        let needed =
            self.created().filter(|Entry { head, .. }| needed.contains(&head.id) && !has.contains(&head.id));
        // Every database has it.
        let public = |entry: &&Entry| matches!(entry.object, Object::Schema(_)) && entry.head.name == PUBLIC;
        let needed = needed.filter(|entry| !public(entry));
        needed.map(|entry| quote::printable(&entry.object.identity(&entry.head))).collect()
    }
}
