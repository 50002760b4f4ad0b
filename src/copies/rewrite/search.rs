//! Which rows of an archive go: those that the ledger names, and what foreign keys say of the rows that reference them, as a
//! server would decide it. Only chunks are read that can hold such rows.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::sieve::{KeySet, Sieve, Sieves, folded};
use super::tables::{ForeignKey, Rule, Tables};
use super::{Found, FoundEntry};
use crate::archive::ChunkEntry;
use crate::erasure::{Changed, Entry, Erasures, Rows};
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::Stream;
use crate::opened::OpenArchive;
use crate::pg::copy::rows::{columns, rows};
use crate::pg::quote::printable;
use crate::stop::Stop;

/// Bytes of keys of rows that go, by which rows are looked for that reference them.
const MAX_KEY_BYTES: usize = 64 << 20;

/// Folded values of a key.
type Key = Vec<Vec<u8>>;

/// What is known of one foreign key.
#[derive(Default)]
struct Referenced {
    /// Keys of rows that go.
    known: HashSet<Key>,
    /// Those of them that were not looked for yet.
    fresh: HashSet<Key>,
}

/// See the module.
pub(super) struct Search<'a> {
    archive: &'a OpenArchive,
    tables: &'a Tables<'a>,
    stop: &'a Stop,
    streams: HashMap<u32, &'a Stream>,
    sieves: BTreeMap<u32, Sieve>,
    referenced: Vec<Referenced>,
    key_bytes: usize,
    found: Found,
}

impl<'a> Search<'a> {
    pub(super) fn new(archive: &'a OpenArchive, tables: &'a Tables<'a>, stop: &'a Stop) -> Self {
        Self {
            archive,
            tables,
            stop,
            streams: HashMap::new(),
            sieves: BTreeMap::new(),
            referenced: tables.keys.iter().map(|_| Referenced::default()).collect(),
            key_bytes: 0,
            found: Found::default(),
        }
    }

    /// Finds the rows.
    ///
    /// # Errors
    /// [`ErrorKind::Refused`] when rows would be left that reference one that goes, when an entry names what the table does not
    /// have, and where equal values cannot be told; those of the archive.
    pub(super) async fn run(mut self, erasures: &Erasures) -> Result<Found> {
        erasures.check()?;
        self.found.entries = erasures.entries.iter().map(FoundEntry::of).collect();
        let mut open = self.named(erasures)?;
        let mut direct = true;
        while !open.is_empty() {
            for (stream, sets) in open {
                self.take_out(stream, sets, direct).await?;
            }
            direct = false;
            open = self.along()?;
        }
        self.references().await?;
        self.found.sieves = Sieves::new(self.sieves);
        Ok(self.found)
    }

    /// The rows that the ledger names, by stream.
    fn named(&mut self, erasures: &Erasures) -> Result<BTreeMap<u32, Vec<KeySet>>> {
        let mut sets: BTreeMap<u32, Vec<KeySet>> = BTreeMap::new();
        for (place, entry) in erasures.entries.iter().enumerate() {
            let Some(table) = self.tables.find(&entry.table) else {
                let name = entry.table.display();
                self.found.entries.get_mut(place).into_iter().for_each(|entry| entry.known = false);
                if !self.found.not_there.contains(&name) {
                    self.found.not_there.push(name);
                }
                continue;
            };
            for stream in self.tables.streams(&self.tables.below(table, true)) {
                let set = self.key_set(stream, place, entry, erasures).map_err(|error| {
                    error.context(format!("find the rows of the erasure entry {}", entry.id))
                })?;
                self.streams.insert(stream.id, stream);
                sets.entry(stream.id).or_default().push(set);
            }
        }
        Ok(sets)
    }

    fn key_set(&self, stream: &Stream, place: usize, entry: &Entry, erasures: &Erasures) -> Result<KeySet> {
        let columns = self.tables.key_columns(stream, &entry.columns)?;
        match (&entry.rows, &erasures.key) {
            (Rows::Hashes { values, .. }, Some(key)) => {
                let values = values.iter().map(|hash| (hash.clone(), vec![place])).collect();
                let (table, names) = (entry.table.clone(), entry.columns.clone());
                Ok(KeySet::of_hashes(columns, key.clone(), table, names, values))
            }
            (Rows::Hashes { .. }, None) => {
                Err(Error::new(ErrorKind::Key, "no key for hashed entries is given"))
            }
            (Rows::Keys(rows), _) => {
                let mut keys = Vec::with_capacity(rows.len());
                for row in rows {
                    let read = row.iter().zip(&columns).map(|(value, (_, form))| form.read(value));
                    let key: Option<Key> = read.collect();
                    let key = key.ok_or_else(|| {
                        let message = format!("a value is not in the form in which {} is written", stream.display());
                        Error::new(ErrorKind::Refused, message).hint(
                            "record the rows anew with --live, which takes down what the server writes, and withdraw the entry",
                        )
                    })?;
                    keys.push((key, Some(place)));
                }
                Ok(KeySet::of_keys(columns, &stream.zones, &keys))
            }
        }
    }

    /// Takes rows out of a stream, and keeps the keys by which others can reference them.
    async fn take_out(&mut self, stream: u32, sets: Vec<KeySet>, direct: bool) -> Result<()> {
        let Some(info) = self.streams.get(&stream).copied() else { return Ok(()) };
        let mut incoming = Vec::new();
        for (place, key) in self.tables.keys.iter().enumerate() {
            if info.object.is_some_and(|table| self.tables.below(key.references, false).contains(&table)) {
                incoming.push((place, self.tables.key_columns(info, &key.other)));
            }
        }
        let (mut counts, mut taken) = (vec![0_u64; self.found.entries.len()], 0_u64);
        let mut keys: Vec<(usize, Key)> = Vec::new();
        let mut refused = None;
        let sieve = self.sieves.entry(stream).or_default();
        let wanted = |chunk: &ChunkEntry| sets.iter().any(|set| set.admits(chunk));
        let mut take = |text: &[u8]| {
            self.stop.check()?;
            for row in rows(text) {
                let row: Vec<&[u8]> = columns(row).collect();
                let hits: Vec<&[usize]> = sets.iter().filter_map(|set| set.find(&row)).collect();
                if hits.is_empty() || sieve.removes(&row) {
                    continue;
                }
                taken += 1;
                for place in hits.into_iter().flatten() {
                    counts.get_mut(*place).into_iter().for_each(|count| *count += 1);
                }
                for (place, columns) in &incoming {
                    match columns {
                        Ok(columns) => keys.extend(folded(&row, columns).map(|key| (*place, key))),
                        Err(error) => refused = Some(error.to_string()),
                    }
                }
            }
            Ok(())
        };
        self.archive.each_text_of(self.archive.all_chunks(stream), &wanted, &mut take).await?;
        if let Some(refused) = refused {
            return Err(Error::new(ErrorKind::Refused, refused));
        }
        for (place, key) in keys {
            self.keep(place, key)?;
        }
        let sieve = self.sieves.entry(stream).or_default();
        sieve.zones.clone_from(&info.zones);
        if taken > 0 {
            sieve.remove.extend(sets);
            let list = if direct { &mut self.found.tables } else { &mut self.found.along };
            add(list, info, taken);
        }
        for (entry, count) in self.found.entries.iter_mut().zip(counts) {
            entry.rows += count;
        }
        Ok(())
    }

    fn keep(&mut self, place: usize, key: Key) -> Result<()> {
        let Some(referenced) = self.referenced.get_mut(place) else { return Ok(()) };
        if referenced.known.contains(&key) {
            return Ok(());
        }
        let bytes: usize = key.iter().map(Vec::len).sum();
        if referenced.fresh.insert(key) {
            self.key_bytes += bytes + 64;
        }
        if self.key_bytes > MAX_KEY_BYTES {
            return Err(Error::new(
                ErrorKind::Refused,
                "more rows would go by foreign keys than can be held in memory",
            ));
        }
        Ok(())
    }

    /// The rows that go along by `ON DELETE CASCADE`, by stream.
    fn along(&mut self) -> Result<BTreeMap<u32, Vec<KeySet>>> {
        let mut sets: BTreeMap<u32, Vec<KeySet>> = BTreeMap::new();
        for (key, referenced) in self.tables.keys.iter().zip(&mut self.referenced) {
            let fresh = std::mem::take(&mut referenced.fresh);
            if fresh.is_empty() {
                continue;
            }
            if key.rule == Rule::Cascade {
                for stream in self.tables.streams(&self.tables.below(key.table, false)) {
                    self.streams.insert(stream.id, stream);
                    sets.entry(stream.id).or_default().push(referencing(self.tables, stream, key, &fresh)?);
                }
            }
            referenced.known.extend(fresh);
        }
        Ok(sets)
    }

    /// Rows that stay and reference one that goes: they lose the reference, or stand in the way.
    async fn references(&mut self) -> Result<()> {
        let mut stuck = Vec::new();
        for (key, referenced) in self.tables.keys.iter().zip(&self.referenced) {
            if referenced.known.is_empty() || key.rule == Rule::Cascade {
                continue;
            }
            for stream in self.tables.streams(&self.tables.below(key.table, false)) {
                let set = referencing(self.tables, stream, key, &referenced.known)?;
                let sieve = self.sieves.entry(stream.id).or_default();
                let mut count = 0_u64;
                let mut take = |text: &[u8]| {
                    self.stop.check()?;
                    for row in rows(text) {
                        let row: Vec<&[u8]> = columns(row).collect();
                        if set.find(&row).is_some() && !sieve.removes(&row) {
                            count += 1;
                        }
                    }
                    Ok(())
                };
                let wanted = |chunk: &ChunkEntry| set.admits(chunk);
                self.archive.each_text_of(self.archive.all_chunks(stream.id), &wanted, &mut take).await?;
                if count == 0 {
                    continue;
                }
                match nulled(self.tables, stream, key) {
                    Some(columns) => {
                        let sieve = self.sieves.entry(stream.id).or_default();
                        sieve.zones.clone_from(&stream.zones);
                        sieve.nulls.push((set, columns));
                        add(&mut self.found.emptied, stream, count);
                    }
                    None => stuck.push(printable(&format!(
                        "{count} rows of {} ({}, {})",
                        stream.display(),
                        key.own.join(", "),
                        key.name
                    ))),
                }
            }
        }
        if stuck.is_empty() {
            return Ok(());
        }
        let message =
            format!("rows that the erasure ledger names are still referenced: {}", stuck.join("; "));
        Err(Error::new(ErrorKind::Refused, message)
            .hint("record the rows that reference them as well (`pgcask erase record`), then run this again")
            .hint("a foreign key ON DELETE CASCADE or SET NULL takes them along; what SET DEFAULT gives, only a server can tell"))
    }
}

fn referencing(
    tables: &Tables<'_>,
    stream: &Stream,
    key: &ForeignKey,
    known: &HashSet<Key>,
) -> Result<KeySet> {
    let keys: Vec<(Key, Option<usize>)> = known.iter().map(|key| (key.clone(), None)).collect();
    let columns = tables
        .key_columns(stream, &key.own)
        .map_err(|error| error.context(format!("follow the foreign key {}", printable(&key.name))))?;
    Ok(KeySet::of_keys(columns, &stream.zones, &keys))
}

/// The places of columns that become null; `None` where that is not what the key says, or a column cannot be null.
fn nulled(tables: &Tables<'_>, stream: &Stream, key: &ForeignKey) -> Option<Vec<usize>> {
    let Rule::SetNull(names) = &key.rule else { return None };
    let names = if names.is_empty() { &key.own } else { names };
    let place = |name: &String| {
        tables.column(stream, name).filter(|column| !column.not_null)?;
        stream.columns.iter().position(|column| column == name)
    };
    names.iter().map(place).collect()
}

fn add(list: &mut Vec<Changed>, stream: &Stream, rows: u64) {
    let table = stream.display();
    match list.iter_mut().find(|changed| changed.table == table) {
        Some(changed) => changed.rows += rows,
        None => list.push(Changed { table, rows }),
    }
}
