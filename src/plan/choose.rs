//! Which objects of a model a selection means.

use std::collections::{BTreeSet, HashMap};

use super::select::Selection;
use crate::catalog::ident::ObjectId;
use crate::catalog::model::{Entry, Model};
use crate::catalog::registry::Object;

/// What a selection means besides what it names.
#[derive(Debug, Default)]
pub struct Chosen {
    /// Entries that are kept only because others need them.
    pub needed: BTreeSet<ObjectId>,
    /// What belongs to relations that are kept, and is not kept itself: it needs others that are left out.
    pub left_out: Vec<Entry>,
}

/// Keeps the relations that the selection means, what they need, and what belongs to them (indexes, constraints,
/// triggers) as far as all that it needs is kept: a foreign key to a table that is left out goes with it.
///
/// `present` are identities that are there without being restored: what needs those too is kept.
pub fn choose(model: &mut Model, selection: &Selection, present: &BTreeSet<ObjectId>) -> Chosen {
    if selection.is_everything() {
        return Chosen::default();
    }
    let positions = model.positions();
    let mut keep: BTreeSet<usize> = BTreeSet::new();
    for (position, Entry { head, object }) in model.entries.iter().enumerate() {
        let wanted = match (&head.schema, is_relation(object.kind())) {
            (Some(schema), true) => selection.relation(schema, &head.name),
            (Some(schema), false) => object.after_data_of().is_empty() && selection.in_schema(schema),
            (None, _) => {
                !selection.is_narrowed() && (object.kind() != "schema" || selection.in_schema(&head.name))
            }
        };
        if wanted {
            keep.insert(position);
        }
    }
    let named = keep.clone();
    let mut rules_of: HashMap<ObjectId, Vec<usize>> = HashMap::new();
    for (position, entry) in model.entries.iter().enumerate() {
        if let Object::DomainConstraint(constraint) = &entry.object {
            rules_of.entry(constraint.domain_id).or_default().push(position);
        }
    }
    // What the kept ones need. A domain without its constraints would take values that it must not have.
    let mut open: Vec<usize> = keep.iter().copied().collect();
    while let Some(position) = open.pop() {
        let Some(entry) = model.entries.get(position) else {
            continue;
        };
        let needs = entry.head.depends.iter().chain(&entry.head.detached_depends);
        let needs = needs
            .filter_map(|id| positions.get(id))
            .chain(rules_of.get(&entry.head.id).into_iter().flatten());
        for needed in needs {
            if keep.insert(*needed) {
                open.push(*needed);
            }
        }
    }
    let mut needed: BTreeSet<usize> = keep.difference(&named).copied().collect();
    // What belongs to the kept ones, at least one of its relations being restored, and is not there already. Once more
    // when something was added: a partition's index waits for the one that it is part of.
    let mut open: BTreeSet<usize> = (0..model.entries.len()).collect();
    let mut before = None;
    while before != Some(keep.len()) {
        before = Some(keep.len());
        open.retain(|position| !belongings(model, &positions, *position, present, &mut keep, &mut needed));
    }
    let kept_relation = |id: &ObjectId| positions.get(id).is_some_and(|position| keep.contains(position));
    let is_owned = |entry: &Entry| entry.object.after_data_of().first().is_some_and(kept_relation);
    let (mut chosen, mut kept) = (Chosen::default(), Vec::new());
    for (position, entry) in std::mem::take(&mut model.entries).into_iter().enumerate() {
        if keep.contains(&position) {
            chosen.needed.extend(needed.contains(&position).then_some(entry.head.id));
            kept.push(entry);
        } else if open.contains(&position) && is_owned(&entry) {
            chosen.left_out.push(entry);
        }
    }
    model.entries = kept;
    chosen
}

/// Keeps an entry if it belongs to what is kept, and what it brings along. Gives whether it needs no second look.
fn belongings(
    model: &Model,
    positions: &HashMap<ObjectId, usize>,
    position: usize,
    present: &BTreeSet<ObjectId>,
    keep: &mut BTreeSet<usize>,
    needed: &mut BTreeSet<usize>,
) -> bool {
    let Some(Entry { head, object }) = model.entries.get(position) else { return true };
    let relations = object.after_data_of();
    let belongs = !relations.is_empty() || matches!(object.kind(), "sequence owner" | "identity sequence");
    if !belongs || present.contains(&head.id) {
        return true;
    }
    let kept = |id: &ObjectId| positions.get(id).is_some_and(|position| keep.contains(position));
    if !relations.iter().chain(&head.depends).any(kept) {
        return false;
    }
    let is_there = |id: &ObjectId| present.contains(id) || kept(id);
    let Some(along) = along(model, positions, position, &is_there) else { return false };
    needed.extend(along.iter().copied().filter(|other| !keep.contains(other)));
    keep.extend(along);
    keep.insert(position);
    true
}

/// What an entry that belongs to a relation brings along: a trigger its function, an index its operator class. Nothing
/// when that includes another relation, or what belongs to one, that is not there: a foreign key goes with the table that
/// it leads to.
fn along(
    model: &Model,
    positions: &HashMap<ObjectId, usize>,
    position: usize,
    is_there: &dyn Fn(&ObjectId) -> bool,
) -> Option<BTreeSet<usize>> {
    let mut found = BTreeSet::new();
    let mut open = vec![position];
    while let Some(next) = open.pop() {
        let Some(Entry { head, object }) = model.entries.get(next) else { continue };
        let relations = object.after_data_of();
        for id in relations.iter().chain(&head.depends).chain(&head.detached_depends) {
            let Some(other) = positions.get(id).copied().filter(|other| *other != position && !is_there(id))
            else {
                continue;
            };
            let entry = model.entries.get(other)?;
            if is_relation(entry.object.kind()) || !entry.object.after_data_of().is_empty() {
                return None;
            }
            if found.insert(other) {
                open.push(other);
            }
        }
    }
    Some(found)
}

/// Whether a kind of object is a relation, as `--table` names them.
pub fn is_relation(kind: &str) -> bool {
    matches!(kind, "table" | "view" | "materialized view" | "sequence" | "foreign table")
}
