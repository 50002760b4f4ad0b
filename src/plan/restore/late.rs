//! What belongs to the section after the rows, as `pg_restore --section=post-data` means it.

use std::collections::{HashMap, HashSet};

use super::{Item, LAST};
use crate::catalog::ident::ObjectId;

/// What comes after rows, whether rows are restored or not.
#[derive(Debug, Default)]
pub struct Late {
    /// Items that wait for rows, that must not act on them, or that depend on such.
    pub items: HashSet<usize>,
    /// Items whose detached parts alone do.
    pub parts: HashSet<usize>,
}

/// A half of an item that is created in two restores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Half {
    /// All but its detachable parts.
    First,
    /// Its detachable parts.
    Second,
}

/// Tells what comes after rows. An item that can be created in halves is not late for the sake of its second one.
pub fn late(items: &[Item]) -> Late {
    let by_id: HashMap<ObjectId, usize> = items
        .iter()
        .enumerate()
        .flat_map(|(position, item)| item.ids.iter().map(move |id| (*id, position)))
        .collect();
    let waits =
        |item: &Item| !item.after_data_of.is_empty() || item.after_all_data || LAST.contains(&item.kind);
    let mut dependants: HashMap<usize, Vec<usize>> = HashMap::new();
    for (at, item) in items.iter().enumerate() {
        let parts = item.detached_depends.iter().filter(|_| !item.detachable);
        for need in item.depends.iter().chain(parts).filter_map(|id| by_id.get(id)) {
            dependants.entry(*need).or_default().push(at);
        }
    }
    let mut late: HashSet<usize> = HashSet::new();
    let mut open: Vec<usize> =
        items.iter().enumerate().filter(|(_, item)| waits(item)).map(|(at, _)| at).collect();
    while let Some(next) = open.pop() {
        if late.insert(next) {
            open.extend(dependants.get(&next).into_iter().flatten());
        }
    }
    let is_late = |id: &ObjectId| by_id.get(id).is_some_and(|need| late.contains(need));
    let halved =
        |(at, item): &(usize, &Item)| !late.contains(at) && item.detached_depends.iter().any(is_late);
    let parts = items.iter().enumerate().filter(halved).map(|(at, _)| at).collect();
    Late { items: late, parts }
}
