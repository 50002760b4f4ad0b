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
    let mut late: HashSet<usize> =
        items.iter().enumerate().filter(|(_, item)| waits(item)).map(|(position, _)| position).collect();
    let any_late = |late: &HashSet<usize>, needs: &[ObjectId]| {
        needs.iter().filter_map(|id| by_id.get(id)).any(|need| late.contains(need))
    };
    loop {
        let needs_late = |item: &Item| {
            any_late(&late, &item.depends) || (!item.detachable && any_late(&late, &item.detached_depends))
        };
        let found = items.iter().enumerate().filter(|(at, item)| !late.contains(at) && needs_late(item));
        let more: Vec<usize> = found.map(|(at, _)| at).collect();
        if more.is_empty() {
            break;
        }
        late.extend(more);
    }
    let halved = |(at, item): &(usize, &Item)| !late.contains(at) && any_late(&late, &item.detached_depends);
    let parts = items.iter().enumerate().filter(halved).map(|(at, _)| at).collect();
    Late { items: late, parts }
}
