//! Rows picked out of COPY text by their keys, and chunks passed over that cannot hold any of them.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::form::Form;
use crate::archive::ChunkEntry;
use crate::erasure::{HashKey, Table};
use crate::pg::copy::rows::{columns, rows, value};
use crate::pg::copy::{ZoneColumn, ZoneMap, ZoneType};

/// A column of a key: its place in the COPY text, and how its values are compared.
pub(super) type KeyColumn = (usize, Form);

/// Places of entries that name a row.
type Places = Vec<usize>;

/// Keys of rows of one table.
#[derive(Debug)]
pub(super) struct KeySet {
    columns: Vec<KeyColumn>,
    wanted: Wanted,
    /// For columns with zones: the place of the zone, its order, all values in that order.
    zones: Vec<(usize, ZoneType, Vec<Vec<u8>>)>,
}

/// The keys themselves, each with the entries of the ledger that name it.
#[derive(Debug)]
enum Wanted {
    Keys(HashMap<Vec<u8>, Places>),
    Hashes { key: HashKey, table: Table, names: Vec<String>, values: HashMap<String, Places> },
}

/// Values as one key: each with its length in front.
pub(super) fn joined<'a>(values: impl IntoIterator<Item = Cow<'a, [u8]>>) -> Vec<u8> {
    let mut all = Vec::new();
    for value in values {
        all.extend_from_slice(&u64::try_from(value.len()).unwrap_or(u64::MAX).to_le_bytes());
        all.extend_from_slice(&value);
    }
    all
}

/// The folded values of a row's columns; `None` when one is null, which equals nothing.
pub(super) fn folded(row: &[&[u8]], columns: &[KeyColumn]) -> Option<Vec<Vec<u8>>> {
    let fold = |(at, form): &KeyColumn| Some(form.fold(&value(row.get(*at)?)?).into_owned());
    columns.iter().map(fold).collect()
}

impl KeySet {
    /// Of folded values, each with the entry that names it.
    pub(super) fn of_keys(
        columns: Vec<KeyColumn>,
        zones: &[ZoneColumn],
        keys: &[(Vec<Vec<u8>>, Option<usize>)],
    ) -> Self {
        let mut wanted: HashMap<Vec<u8>, Places> = HashMap::with_capacity(keys.len());
        for (values, entry) in keys {
            let key = joined(values.iter().map(|value| Cow::Borrowed(value.as_slice())));
            wanted.entry(key).or_default().extend(entry);
        }
        let mut ordered = Vec::new();
        for (place, (at, _)) in columns.iter().enumerate().filter(|(_, (_, form))| form.is_zoned()) {
            let zone = zones.iter().enumerate().find(|(_, zone)| usize::from(zone.position) == *at);
            let Some((zone, ZoneColumn { order, .. })) = zone else { continue };
            let values = keys.iter().filter_map(|(values, _)| values.get(place).cloned());
            let mut values: Vec<Vec<u8>> = values.collect();
            if values.iter().all(|value| order.is_orderly(value)) {
                values.sort_by(|a, b| order.compare(a, b));
                ordered.push((zone, *order, values));
            }
        }
        Self { columns, wanted: Wanted::Keys(wanted), zones: ordered }
    }

    /// Of hashes: every row has to be looked at.
    pub(super) fn of_hashes(
        columns: Vec<KeyColumn>,
        key: HashKey,
        table: Table,
        names: Vec<String>,
        values: HashMap<String, Places>,
    ) -> Self {
        Self { columns, wanted: Wanted::Hashes { key, table, names, values }, zones: Vec::new() }
    }

    /// Whether a chunk can hold one of the rows. Where nothing is known of it, it can.
    pub(super) fn admits(&self, chunk: &ChunkEntry) -> bool {
        let bounds = ZoneMap::decode(&chunk.zone_map).bounds;
        self.zones.iter().all(|(zone, order, values)| {
            let Some(Some((least, greatest))) = bounds.get(*zone) else { return true };
            let below = |value: &Vec<u8>| order.compare(value, least.as_bytes()) == Ordering::Less;
            let first = values.get(values.partition_point(below));
            first.is_some_and(|value| order.compare(value, greatest.as_bytes()) != Ordering::Greater)
        })
    }

    /// The entries that name a row, given by its columns; `None` when it is none of these rows.
    pub(super) fn find(&self, row: &[&[u8]]) -> Option<&[usize]> {
        let found = match &self.wanted {
            Wanted::Keys(keys) => {
                let values = folded(row, &self.columns)?;
                keys.get(&joined(values.into_iter().map(Cow::Owned)))
            }
            Wanted::Hashes { key, table, names, values } => {
                let text = |(at, form): &KeyColumn| {
                    let raw = value(row.get(*at)?)?;
                    String::from_utf8(form.cast(&raw).into_owned()).ok()
                };
                let own: Option<Vec<String>> = self.columns.iter().map(text).collect();
                values.get(&key.hash(table, names, &own?))
            }
        };
        found.map(Vec::as_slice)
    }
}

/// What is taken out of one table's rows, and what is changed in them.
#[derive(Debug, Default)]
pub struct Sieve {
    /// Rows that go.
    pub(super) remove: Vec<KeySet>,
    /// Rows in which some columns become null.
    pub(super) nulls: Vec<(KeySet, Vec<usize>)>,
    pub(super) zones: Vec<ZoneColumn>,
}

/// A text that went through a sieve.
#[derive(Debug, Default)]
pub(crate) struct Sifted {
    /// The rows that stay.
    pub(crate) text: Vec<u8>,
    /// How many did not.
    pub(crate) out: u32,
    /// How many bytes the text lost.
    pub(crate) bytes_out: u64,
    /// Whether the text is another one.
    pub(crate) changed: bool,
}

impl Sieve {
    /// Whether a chunk can hold a row that goes or changes.
    pub(crate) fn admits(&self, chunk: &ChunkEntry) -> bool {
        self.remove.iter().chain(self.nulls.iter().map(|(keys, _)| keys)).any(|keys| keys.admits(chunk))
    }

    /// Whether a row goes.
    pub(super) fn removes(&self, row: &[&[u8]]) -> bool {
        self.remove.iter().any(|keys| keys.find(row).is_some())
    }

    /// The columns with zone maps.
    pub(crate) fn zones(&self) -> &[ZoneColumn] {
        &self.zones
    }

    /// Takes rows out of a text.
    pub(crate) fn apply(&self, text: &[u8]) -> Sifted {
        let mut sifted = Sifted { text: Vec::with_capacity(text.len()), ..Sifted::default() };
        for row in rows(text) {
            let mut values: Vec<&[u8]> = columns(row).collect();
            if self.removes(&values) {
                (sifted.out, sifted.changed) = (sifted.out + 1, true);
                continue;
            }
            let emptied = self.nulls.iter().filter(|(keys, _)| keys.find(&values).is_some());
            let emptied: Vec<usize> = emptied.flat_map(|(_, columns)| columns.iter().copied()).collect();
            for at in emptied {
                if let Some(value) = values.get_mut(at) {
                    (*value, sifted.changed) = (b"\\N", true);
                }
            }
            for (at, value) in values.iter().enumerate() {
                if at > 0 {
                    sifted.text.push(b'\t');
                }
                sifted.text.extend_from_slice(value);
            }
            sifted.text.push(b'\n');
        }
        let lost = text.len().saturating_sub(sifted.text.len());
        sifted.bytes_out = u64::try_from(lost).unwrap_or(u64::MAX);
        sifted
    }
}

/// The sieves of an archive's tables, by the numbers of their streams.
#[derive(Debug, Default)]
pub struct Sieves(BTreeMap<u32, Arc<Sieve>>);

impl Sieves {
    pub(super) fn new(all: BTreeMap<u32, Sieve>) -> Self {
        Self(all.into_iter().map(|(stream, sieve)| (stream, Arc::new(sieve))).collect())
    }

    /// That of a stream.
    pub(crate) fn of(&self, stream: u32) -> Option<Arc<Sieve>> {
        self.0.get(&stream).map(Arc::clone)
    }

    pub(super) fn each(&self) -> impl Iterator<Item = (u32, &Sieve)> {
        self.0.iter().map(|(stream, sieve)| (*stream, sieve.as_ref()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(zones: &[Option<(&str, &str)>]) -> ChunkEntry {
        let bounds =
            zones.iter().map(|zone| zone.map(|(a, b)| (a.to_owned(), b.to_owned()))).collect::<Vec<_>>();
        let hash = crate::archive::ContentHash(0);
        let zone_map = ZoneMap { bounds }.encode();
        ChunkEntry { number: 0, sequence: 0, offset: 0, length: 0, plain_bytes: 0, rows: 0, hash, zone_map }
    }

    fn ids(values: &[&str]) -> KeySet {
        let zones = [ZoneColumn { position: 1, order: ZoneType::Integer }];
        let keys: Vec<_> =
            values.iter().enumerate().map(|(at, id)| (vec![id.as_bytes().to_vec()], Some(at))).collect();
        KeySet::of_keys(vec![(1, Form::Integer)], &zones, &keys)
    }

    #[test]
    fn rows_go_and_change_and_the_rest_stays_byte_for_byte() {
        let zones = vec![ZoneColumn { position: 1, order: ZoneType::Integer }];
        let sieve = Sieve { remove: vec![ids(&["2"])], nulls: vec![(ids(&["3"]), vec![0])], zones };
        let sifted = sieve.apply(b"a\\tb\t1\nb\t2\nc\t3\n\\N\t\\N\n");
        assert_eq!(sifted.text, b"a\\tb\t1\n\\N\t3\n\\N\t\\N\n");
        assert_eq!((sifted.out, sifted.bytes_out, sifted.changed), (1, 3, true));
    }

    #[test]
    fn chunks_that_cannot_hold_a_key_are_passed_over() {
        let keys = ids(&["10", "200", "-5"]);
        for (zone, admitted) in [
            (Some(("1", "9")), false),
            (Some(("1", "10")), true),
            (Some(("11", "199")), false),
            (Some(("150", "1000")), true),
            (Some(("-7", "-6")), false),
            (None, true),
        ] {
            assert_eq!(keys.admits(&entry(&[zone])), admitted, "{zone:?}");
        }
        assert!(keys.admits(&entry(&[])), "nothing is known");
    }

    #[test]
    fn two_keys_never_become_one() {
        let key = |values: &[&str]| joined(values.iter().map(|value| Cow::Borrowed(value.as_bytes())));
        assert_ne!(key(&["a", "bc"]), key(&["ab", "c"]));
    }
}
