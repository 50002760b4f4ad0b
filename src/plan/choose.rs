//! Which objects of a model a selection means.

use std::collections::{BTreeSet, HashMap};

use super::select::Selection;
use crate::catalog::ident::ObjectId;
use crate::catalog::model::{Entry, Model};
use crate::catalog::registry::Object;

/// Keeps the relations that the selection means, what they need, and what belongs to them (indexes, constraints,
/// triggers) as far as all that it needs is kept: a foreign key to a table that is left out goes with it.
///
/// `present` are identities that are there without being restored: what needs those too is kept. Gives the identities
/// of the entries that are kept only because others need them.
pub fn choose(model: &mut Model, selection: &Selection, present: &BTreeSet<ObjectId>) -> BTreeSet<ObjectId> {
    if selection.is_everything() {
        return BTreeSet::new();
    }
    let positions = model.positions();
    let is_relation =
        |kind: &str| matches!(kind, "table" | "view" | "materialized view" | "sequence" | "foreign table");
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
    let chosen = keep.clone();
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
    let needed: BTreeSet<usize> = keep.difference(&chosen).copied().collect();
    let needed_ids =
        needed.iter().filter_map(|at| model.entries.get(*at)).map(|entry| entry.head.id).collect();
    // What belongs to the kept ones, if all that it needs is kept.
    let has = |keep: &BTreeSet<usize>, id: &ObjectId| {
        present.contains(id) || positions.get(id).is_none_or(|position| keep.contains(position))
    };
    for (position, Entry { head, object }) in model.entries.iter().enumerate() {
        let belongs = !object.after_data_of().is_empty()
            || matches!(object.kind(), "sequence owner" | "identity sequence");
        let all = object.after_data_of().iter().chain(&head.depends).all(|id| has(&keep, id));
        // At least one of its relations is restored, and it is not there already.
        let kept = |id: &ObjectId| positions.get(id).is_some_and(|position| keep.contains(position));
        let touches = object.after_data_of().iter().chain(&head.depends).any(kept);
        if belongs && all && touches && !present.contains(&head.id) {
            keep.insert(position);
        }
    }
    let mut position = 0;
    model.entries.retain(|_| {
        position += 1;
        keep.contains(&(position - 1))
    });
    needed_ids
}
