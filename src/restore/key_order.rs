//! Rows into tables that have their foreign keys already: referenced tables before those that reference them.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::load_plan::LoadPlan;
use super::requirements;
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::Content;
use crate::opened::ChunkRange;
use crate::pg::Session;
use crate::pg::quote::printable;

/// The foreign keys of the database, those of partitions and to partitions too. One that is switched off holds nobody up.
const KEYS: &str = "SELECT k.conname AS name, n.nspname AS schema, c.relname AS table, \
    pn.nspname AS references_schema, p.relname AS references_table FROM pg_catalog.pg_constraint k \
    JOIN pg_catalog.pg_class c ON c.oid = k.conrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    JOIN pg_catalog.pg_class p ON p.oid = k.confrelid JOIN pg_catalog.pg_namespace pn ON pn.oid = p.relnamespace \
    WHERE k.contype = 'f' AND (NOT EXISTS (SELECT FROM pg_catalog.pg_trigger t WHERE t.tgconstraint = k.oid AND t.tgrelid = k.conrelid) \
      OR EXISTS (SELECT FROM pg_catalog.pg_trigger t WHERE t.tgconstraint = k.oid AND t.tgrelid = k.conrelid AND t.tgenabled <> 'D'))";

#[derive(Debug, Deserialize)]
struct Key {
    name: String,
    schema: String,
    table: String,
    references_schema: String,
    references_table: String,
}

/// Puts loads in an order in which all keys of the target hold, and lets each wait for those that it references. A table that
/// references itself is loaded by one statement, at whose end its keys are checked.
///
/// # Errors
/// [`ErrorKind::Refused`] when keys lead in a circle: then no order will do.
pub(super) async fn arrange(session: &Session, loads: &mut [LoadPlan]) -> Result<()> {
    let keys: Vec<Key> = session.query_json(KEYS).await?;
    let named: BTreeMap<(String, String), usize> = loads
        .iter()
        .enumerate()
        .filter(|(_, load)| load.stream.content == Content::Table)
        .map(|(at, load)| ((load.stream.schema.clone(), load.stream.name.clone()), at))
        .collect();
    let mut waits: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); loads.len()];
    let mut between = Vec::new();
    for key in keys {
        let from = named.get(&(key.schema, key.table)).copied();
        let to = named.get(&(key.references_schema, key.references_table)).copied();
        let (Some(from), Some(to)) = (from, to) else { continue };
        if from == to {
            if let Some(load) = loads.get_mut(from) {
                load.units = whole(&load.units);
            }
            continue;
        }
        if let Some(slot) = waits.get_mut(from) {
            slot.insert(to);
        }
        between.push((from, to, key.name));
    }
    if between.is_empty() {
        return Ok(());
    }
    let order = order(&waits).map_err(|circle| in_circle(loads, &between, &circle))?;
    let place: BTreeMap<usize, usize> = order.iter().enumerate().map(|(new, old)| (*old, new)).collect();
    for (load, waits) in loads.iter_mut().zip(&waits) {
        load.after = waits.iter().filter_map(|other| place.get(other)).copied().collect();
    }
    let mut at = 0..;
    loads.sort_by_cached_key(|_| {
        at.next().and_then(|old: usize| place.get(&old)).copied().unwrap_or(usize::MAX)
    });
    Ok(())
}

/// All chunks of the units, as one.
fn whole(units: &[ChunkRange]) -> Vec<ChunkRange> {
    let count = units.iter().map(|unit| unit.count).sum();
    units.first().map(|first| ChunkRange { count, ..*first }).into_iter().collect()
}

/// An order in which each comes after what it waits for, otherwise as they are; or those for which there is none.
fn order(waits: &[BTreeSet<usize>]) -> std::result::Result<Vec<usize>, BTreeSet<usize>> {
    let mut done = BTreeSet::new();
    let mut order = Vec::new();
    let mut open: BTreeSet<usize> = (0..waits.len()).collect();
    while !open.is_empty() {
        let ready: Vec<usize> = open
            .iter()
            .copied()
            .filter(|at| waits.get(*at).is_none_or(|waits| waits.is_subset(&done)))
            .collect();
        if ready.is_empty() {
            return Err(open);
        }
        for at in ready {
            open.remove(&at);
            done.insert(at);
            order.push(at);
        }
    }
    Ok(order)
}

fn in_circle(loads: &[LoadPlan], between: &[(usize, usize, String)], circle: &BTreeSet<usize>) -> Error {
    let name = |at: usize| loads.get(at).map(|load| load.stream.display()).unwrap_or_default();
    let keys: Vec<String> = between
        .iter()
        .filter(|(from, to, _)| circle.contains(from) && circle.contains(to))
        .map(|(from, _, key)| format!("{} of {}", printable(key), name(*from)))
        .collect();
    let message = format!(
        "foreign keys of the target lead in a circle, so that its tables cannot be filled one after the other: {}",
        requirements::listed(&keys)
    );
    Error::new(ErrorKind::Refused, message)
        .hint("restore with --section pre-data, data and post-data, in this order, or drop the keys first")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_comes_later_and_circles_have_no_order() {
        let set = |list: &[usize]| list.iter().copied().collect::<BTreeSet<usize>>();
        assert_eq!(order(&[set(&[2]), set(&[]), set(&[1])]), Ok(vec![1, 2, 0]));
        assert_eq!(order(&[set(&[1]), set(&[0]), set(&[])]), Err(set(&[0, 1])));
    }
}
