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
use crate::plan::waits::in_order;

/// The foreign keys of the database, those of partitions and to partitions too. One that is switched off holds nobody up.
const KEYS: &str = "SELECT k.conname AS name, n.nspname AS schema, c.relname AS table, \
    pn.nspname AS references_schema, p.relname AS references_table FROM pg_catalog.pg_constraint k \
    JOIN pg_catalog.pg_class c ON c.oid = k.conrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    JOIN pg_catalog.pg_class p ON p.oid = k.confrelid JOIN pg_catalog.pg_namespace pn ON pn.oid = p.relnamespace \
    WHERE k.contype = 'f' AND coalesce((SELECT pg_catalog.bool_or(t.tgenabled <> 'D') FROM pg_catalog.pg_trigger t \
      WHERE t.tgconstraint = k.oid AND t.tgrelid = k.conrelid), true)";

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
    let (order, circle) = in_order(&waits);
    if !circle.is_empty() {
        return Err(in_circle(loads, &between, &circle));
    }
    let streams: Vec<u32> = loads.iter().map(|load| load.stream.id).collect();
    for (load, waits) in loads.iter_mut().zip(&waits) {
        load.after = waits.iter().filter_map(|other| streams.get(*other)).copied().collect();
    }
    let ordered = order.iter().filter_map(|at| streams.get(*at)).copied().enumerate();
    let place: BTreeMap<u32, usize> = ordered.map(|(place, stream)| (stream, place)).collect();
    loads.sort_by_key(|load| place.get(&load.stream.id).copied());
    Ok(())
}

/// All chunks of the units, as one.
fn whole(units: &[ChunkRange]) -> Vec<ChunkRange> {
    let count = units.iter().map(|unit| unit.count).sum();
    units.first().map(|first| ChunkRange { count, ..*first }).into_iter().collect()
}

fn in_circle(loads: &[LoadPlan], between: &[(usize, usize, String)], circle: &[usize]) -> Error {
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
