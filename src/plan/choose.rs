//! Which objects of a model a selection means.

use std::collections::HashSet;

use super::select::Selection;
use crate::catalog::ident::ObjectId;
use crate::catalog::model::{Entry, Model};

/// Keeps the relations that the selection means, what they need, and what belongs to them (indexes, constraints,
/// triggers) as far as all that it needs is kept: a foreign key to a table that is left out goes with it.
pub fn choose(model: &mut Model, selection: &Selection) {
    if selection.is_everything() {
        return;
    }
    let positions = model.positions();
    let is_relation =
        |kind: &str| matches!(kind, "table" | "view" | "materialized view" | "sequence" | "foreign table");
    let mut keep: HashSet<usize> = HashSet::new();
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
    // What the kept ones need.
    let mut open: Vec<usize> = keep.iter().copied().collect();
    while let Some(position) = open.pop() {
        let Some(entry) = model.entries.get(position) else {
            continue;
        };
        for id in entry.head.depends.iter().chain(&entry.head.detached_depends) {
            if let Some(needed) = positions.get(id).copied().filter(|needed| keep.insert(*needed)) {
                open.push(needed);
            }
        }
    }
    // What belongs to the kept ones, if all that it needs is kept.
    let has = |keep: &HashSet<usize>, id: &ObjectId| {
        positions.get(id).is_none_or(|position| keep.contains(position))
    };
    for (position, Entry { head, object }) in model.entries.iter().enumerate() {
        let belongs = !object.after_data_of().is_empty() || object.kind() == "sequence owner";
        let all = object.after_data_of().iter().chain(&head.depends).all(|id| has(&keep, id));
        if belongs && all {
            keep.insert(position);
        }
    }
    let mut position = 0;
    model.entries.retain(|_| {
        position += 1;
        keep.contains(&(position - 1))
    });
}
