//! Proves that what is in the tables is what was backed up: every row is read back and hashed as at backup, and the
//! sums are compared. Rows of a partitioned table may lie in another partition than before (hash partitions of types
//! whose hash differs between servers): then the sums of the whole must agree.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use super::steps::Steps;
use crate::catalog::ident::ObjectId;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::event::Event;
use crate::manifest::{Content, Stream};
use crate::pg::Session;
use crate::pg::copy::{ContentHash, LargeRows, RowHasher};
use crate::plan::units::{PageRange, RelationSize, split};
use crate::stop::Stop;

/// What reading one table back gave.
#[derive(Debug, Clone)]
pub(super) struct TableProof {
    /// The table, for people.
    pub(super) name: String,
    /// Rows that were backed up.
    pub(super) expected: u64,
    /// Rows that are there.
    pub(super) found: u64,
    /// Whether they are the same ones.
    pub(super) equal: bool,
    /// They are not, but those of the whole partitioned table are.
    pub(super) moved: bool,
}

/// Reads all loaded tables back and compares.
///
/// # Errors
/// When a table cannot be read. That one differs is told in the result.
pub(super) async fn prove(steps: &Arc<Steps>, sessions: &[Session], stop: &Stop) -> Result<Vec<TableProof>> {
    let hasher = RowHasher::new(steps.archive.opener().content_hash_secret()?);
    let units = units(steps, sessions.first()).await?;
    let queue = std::sync::Mutex::new(units);
    let large = LargeRows::default();
    let work = sessions.iter().enumerate().map(|(worker, session)| {
        let (queue, hasher, large) = (&queue, &hasher, &large);
        async move {
            let mut found: HashMap<usize, ContentHash> = HashMap::new();
            loop {
                stop.check()?;
                let next = queue.lock().unwrap_or_else(std::sync::PoisonError::into_inner).pop();
                let Some(unit) = next else {
                    return Ok::<_, Error>(found);
                };
                let began = Instant::now();
                *found.entry(unit.load).or_default() += read(session, &unit.sql, hasher, large).await?;
                let object = steps.loads.get(unit.load).map(|load| load.stream.display()).unwrap_or_default();
                let seconds = began.elapsed().as_secs_f64();
                let step = Event::Step { work: "prove", object, worker, seconds, cost: unit.bytes };
                steps.observer().event(step);
            }
        }
    });
    let parts: Vec<HashMap<usize, ContentHash>> =
        stream::iter(work).buffer_unordered(sessions.len().max(1)).try_collect().await?;
    let mut found: HashMap<usize, ContentHash> = HashMap::new();
    for (load, hash) in parts.into_iter().flatten() {
        *found.entry(load).or_default() += hash;
    }
    Ok(compare(steps, &found))
}

/// Reads rows and hashes them on a thread for such work.
async fn read(session: &Session, sql: &str, hasher: &RowHasher, large: &LargeRows) -> Result<ContentHash> {
    let (mut blocks, done) = session.copy_out(sql, large);
    let hash = async {
        let mut sum = ContentHash::default();
        while let Some(block) = blocks.recv().await {
            let hasher = hasher.clone();
            let part = tokio::task::spawn_blocking(move || hasher.block(&block.bytes)).await;
            sum += part.map_err(|error| Error::with_source(ErrorKind::Failed, "hash rows", error))?;
        }
        Ok::<_, Error>(sum)
    };
    let (told, sum) = tokio::join!(done, hash);
    told.context(|| "read back what was restored".to_owned())?;
    sum
}

/// A range of a table to be read back.
struct Unit {
    load: usize,
    sql: String,
    /// Bytes of COPY text.
    bytes: u64,
}

async fn units(steps: &Steps, session: Option<&Session>) -> Result<Vec<Unit>> {
    let Some(session) = session else {
        return Ok(Vec::new());
    };
    let ranges = session.version().at_least(14);
    let block_bytes = u64::from(session.info().block_size);
    let mut units = Vec::new();
    for (load, plan) in steps.loads.iter().enumerate() {
        let stream = &plan.stream;
        if !is_proven(stream) || steps.failures.has_load(load) {
            continue;
        }
        let bytes = plan.totals.plain_bytes;
        let mut parts = vec![PageRange::ALL];
        if ranges && bytes >= crate::limits::UNIT_BYTES && steps.is_heap(stream) {
            let name = crate::pg::quote::literal(&stream.qualified());
            let sql = format!("SELECT pg_catalog.pg_relation_size({name}::pg_catalog.regclass)");
            let size = session.query_one_text(&sql).await?.and_then(|text| text.parse().ok()).unwrap_or(0);
            parts = split(RelationSize { heap_bytes: size, toast_bytes: 0, block_bytes }, true);
        }
        let each = bytes / u64::try_from(parts.len().max(1)).unwrap_or(1);
        let unit = |part| (bytes, Unit { load, sql: copy_sql(stream, part), bytes: each });
        units.extend(parts.into_iter().map(unit));
    }
    units.sort_by_key(|(bytes, _)| *bytes);
    Ok(units.into_iter().map(|(_, unit)| unit).collect())
}

/// Rows that can be read back alone: not those of large objects, nor of configuration tables, in which the extension
/// has rows of its own.
fn is_proven(stream: &Stream) -> bool {
    stream.content == Content::Table
}

fn copy_sql(stream: &Stream, part: PageRange) -> String {
    let name = stream.qualified();
    match part.condition() {
        None => format!("COPY {name}{} TO STDOUT", stream.column_list()),
        Some(condition) => {
            let columns = crate::pg::quote::ident_list(stream.columns.iter().map(String::as_str));
            format!("COPY (SELECT {columns} FROM ONLY {name} WHERE {condition}) TO STDOUT")
        }
    }
}

fn compare(steps: &Steps, found: &HashMap<usize, ContentHash>) -> Vec<TableProof> {
    // By the topmost table: expected and found of all its partitions, and which of the proofs are of them.
    let mut whole: BTreeMap<ObjectId, (ContentHash, ContentHash, Vec<usize>)> = BTreeMap::new();
    let mut proofs = Vec::new();
    let proven = |load: usize, stream: &Stream| is_proven(stream) && !steps.failures.has_load(load);
    for (load, plan) in steps.loads.iter().enumerate().filter(|(load, plan)| proven(*load, &plan.stream)) {
        let expected = ContentHash { rows: plan.totals.rows, sum: plan.totals.hash.0 };
        let found = found.get(&load).copied().unwrap_or_default();
        let top = steps.topmost(plan.stream.object.unwrap_or_else(|| ObjectId::new(0, plan.stream.id)));
        let (all_expected, all_found, members) = whole.entry(top).or_default();
        *all_expected += expected;
        *all_found += found;
        members.push(proofs.len());
        proofs.push(TableProof {
            name: plan.stream.display(),
            expected: expected.rows,
            found: found.rows,
            equal: expected == found,
            moved: false,
        });
    }
    for (expected, found, members) in whole.into_values() {
        for member in members {
            if let Some(proof) = proofs.get_mut(member) {
                proof.moved = !proof.equal && expected == found;
            }
        }
    }
    proofs
}
