//! Which rows of the live table to compare with which chunks of the archive.
//!
//! A chunk's zone map says which keys its rows have, and its content hash what they are. So the live rows are read
//! once, hashed as at backup, and added up under the chunks that hold their keys: where sum and count agree, every row
//! is equal and the chunk need not be read. Chunks whose keys overlap are added up together. Below that, each group is
//! parted into buckets by the rows' hashes: of a chunk that differs only the rows in buckets that differ are looked
//! at. The memory of all this is bounded, whatever the table's size: a larger table has coarser buckets.

use std::cmp::Ordering;

use crate::archive::ChunkEntry;
use crate::fields::Row;
use crate::pg::copy::{ContentHash, ZoneMap, ZoneType};

/// Buckets of all groups together, 8 bytes each.
const MAX_BUCKETS: usize = 4 << 20;

/// Rows that share a bucket, as long as there are buckets enough.
const ROWS_IN_BUCKET: u64 = 8;

/// A chunk and the stream it is of.
#[derive(Debug, Clone)]
pub(super) struct StreamChunk {
    pub(super) stream: u32,
    pub(super) entry: ChunkEntry,
}

/// Chunks that are compared together.
#[derive(Debug)]
pub(super) struct Group {
    /// Least and greatest value of the zone's column; `None` where the one group takes all rows.
    pub(super) bounds: Option<(String, String)>,
    pub(super) chunks: Vec<StreamChunk>,
    /// What the archive says of their rows.
    pub(super) expected: ContentHash,
    /// Its buckets: where they begin and how many, a power of two.
    buckets: (usize, usize),
}

impl Group {
    fn bucket(&self, hash: u128) -> usize {
        // The low half is summed up; the high half chooses, so that the one says nothing of the other.
        let high = usize::try_from((hash >> 64) & u128::from(u32::MAX)).unwrap_or(0);
        self.buckets.0 + (high & (self.buckets.1 - 1))
    }

    /// Bytes of COPY text of its chunks.
    pub(super) fn plain_bytes(&self) -> u64 {
        self.chunks.iter().map(|chunk| u64::from(chunk.entry.plain_bytes)).sum()
    }
}

/// A column by whose zones chunks are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ZoneKey {
    /// Position among the archive's zone columns.
    pub(super) zone: usize,
    /// Position in the compared rows.
    pub(super) column: usize,
    pub(super) order: ZoneType,
}

/// All groups, in the order of their bounds.
#[derive(Debug)]
pub(super) struct Groups {
    pub(super) list: Vec<Group>,
    pub(super) key: Option<ZoneKey>,
    total_buckets: usize,
}

impl Groups {
    /// Groups chunks by the zones of a column. Without one, or where a chunk has no zone, all are one group.
    pub(super) fn new(mut chunks: Vec<StreamChunk>, key: Option<ZoneKey>) -> Self {
        let zoned = key.and_then(|key| {
            let zone = |chunk: &StreamChunk| {
                ZoneMap::decode(&chunk.entry.zone_map).bounds.into_iter().nth(key.zone).flatten()
            };
            let zones: Option<Vec<_>> = chunks.iter().map(zone).collect();
            Some((key, zones?))
        });
        // They are known now; of a large table they are most of what its chunks take of memory.
        for chunk in &mut chunks {
            chunk.entry.zone_map = Vec::new();
        }
        let (list, key) = match zoned {
            Some((key, zones)) => (merge(chunks.into_iter().zip(zones).collect(), key.order), Some(key)),
            None => (vec![group(None, chunks)], None),
        };
        let mut groups = Self { list, key, total_buckets: 0 };
        groups.part();
        groups
    }

    /// Gives each group its buckets.
    fn part(&mut self) {
        let share = (MAX_BUCKETS / self.list.len().max(1)).max(1);
        let share = if share.is_power_of_two() { share } else { share.next_power_of_two() / 2 };
        let mut next = 0;
        for group in &mut self.list {
            let wanted = usize::try_from(group.expected.rows / ROWS_IN_BUCKET).unwrap_or(usize::MAX);
            let count = wanted.clamp(1, share).next_power_of_two().min(share);
            group.buckets = (next, count);
            next += count;
        }
        self.total_buckets = next;
    }

    /// The group that holds rows with this value of the key column. `hint` is where the last row was.
    fn locate(&self, order: ZoneType, value: &[u8], hint: usize) -> Option<usize> {
        if !order.is_orderly(value) {
            return None;
        }
        let place = |group: &Group| match &group.bounds {
            Some((least, greatest)) => {
                if order.compare(greatest.as_bytes(), value) == Ordering::Less {
                    Ordering::Less
                } else if order.compare(least.as_bytes(), value) == Ordering::Greater {
                    Ordering::Greater
                } else {
                    Ordering::Equal
                }
            }
            None => Ordering::Equal,
        };
        if self.list.get(hint).is_some_and(|group| place(group) == Ordering::Equal) {
            return Some(hint);
        }
        self.list.binary_search_by(place).ok()
    }
}

fn group(bounds: Option<(String, String)>, chunks: Vec<StreamChunk>) -> Group {
    let mut expected = ContentHash::default();
    for chunk in &chunks {
        expected += ContentHash { rows: u64::from(chunk.entry.rows), sum: chunk.entry.hash.0 };
    }
    Group { bounds, chunks, expected, buckets: (0, 1) }
}

type Zoned = (StreamChunk, (String, String));

/// Puts chunks whose zones overlap together.
fn merge(mut chunks: Vec<Zoned>, order: ZoneType) -> Vec<Group> {
    chunks.sort_by(|(_, a), (_, b)| order.compare(a.0.as_bytes(), b.0.as_bytes()));
    let mut groups: Vec<((String, String), Vec<StreamChunk>)> = Vec::new();
    for (chunk, (least, greatest)) in chunks {
        match groups.last_mut() {
            Some((bounds, list))
                if order.compare(least.as_bytes(), bounds.1.as_bytes()) != Ordering::Greater =>
            {
                if order.compare(greatest.as_bytes(), bounds.1.as_bytes()) == Ordering::Greater {
                    bounds.1 = greatest;
                }
                list.push(chunk);
            }
            _ => groups.push(((least, greatest), vec![chunk])),
        }
    }
    groups.into_iter().map(|(bounds, chunks)| group(Some(bounds), chunks)).collect()
}

/// What rows add up to, by group and bucket.
#[derive(Debug)]
pub(super) struct Sums {
    groups: Vec<ContentHash>,
    buckets: Vec<u64>,
    /// Rows before all groups, between them, after them: there the archive has none.
    pub(super) outside: Outside,
    hint: usize,
}

/// Rows with keys that no group has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Outside {
    pub(super) before: u64,
    pub(super) between: u64,
    pub(super) after: u64,
}

impl Sums {
    pub(super) fn new(groups: &Groups) -> Self {
        Self {
            groups: vec![ContentHash::default(); groups.list.len()],
            buckets: vec![0; groups.total_buckets],
            outside: Outside::default(),
            hint: 0,
        }
    }

    /// Adds a row; `value` is that of the groups' key column, if they have one.
    pub(super) fn add(&mut self, groups: &Groups, value: &[u8], hash: u128) {
        let at = match groups.key {
            Some(key) => groups.locate(key.order, value, self.hint),
            None => Some(0),
        };
        match at {
            Some(at) => self.add_to(groups, at, hash),
            None => self.add_outside(groups, value),
        }
    }

    /// Adds a row to a group.
    pub(super) fn add_to(&mut self, groups: &Groups, at: usize, hash: u128) {
        self.hint = at;
        let (Some(group), Some(sum)) = (groups.list.get(at), self.groups.get_mut(at)) else { return };
        *sum += ContentHash { rows: 1, sum: hash };
        if let Some(bucket) = self.buckets.get_mut(group.bucket(hash)) {
            *bucket = bucket.wrapping_add(low(hash));
        }
    }

    fn add_outside(&mut self, groups: &Groups, value: &[u8]) {
        let Some(key) = groups.key else { return };
        let bounds = |group: Option<&Group>| group.and_then(|group| group.bounds.clone());
        let first = bounds(groups.list.first()).map(|(least, _)| least);
        let last = bounds(groups.list.last()).map(|(_, greatest)| greatest);
        let beyond = |bound: Option<String>, side: Ordering| {
            bound.is_some_and(|bound| {
                key.order.is_orderly(value) && key.order.compare(value, bound.as_bytes()) == side
            })
        };
        if beyond(first, Ordering::Less) {
            self.outside.before += 1;
        } else if beyond(last, Ordering::Greater) {
            self.outside.after += 1;
        } else {
            self.outside.between += 1;
        }
    }

    /// All rows that were added.
    pub(super) fn rows(&self) -> u64 {
        let Outside { before, between, after } = self.outside;
        self.groups.iter().map(|group| group.rows).sum::<u64>() + before + between + after
    }

    /// The groups whose rows are not those of the archive.
    pub(super) fn differing(&self, groups: &Groups) -> Vec<usize> {
        let pairs = groups.list.iter().zip(&self.groups).enumerate();
        pairs.filter(|(_, (group, found))| group.expected != **found).map(|(at, _)| at).collect()
    }

    /// The groups whose chunks must be read. Where the archive's hashes are not those of the compared rows, all.
    pub(super) fn to_read(&self, groups: &Groups, exact: bool) -> Vec<usize> {
        if exact { self.differing(groups) } else { (0..groups.list.len()).collect() }
    }

    /// How many chunks those groups have.
    pub(super) fn chunks_to_read(&self, groups: &Groups, exact: bool) -> u64 {
        let chunks = self.to_read(groups, exact).into_iter().filter_map(|at| groups.list.get(at));
        u64::try_from(chunks.map(|group| group.chunks.len()).sum::<usize>()).unwrap_or(u64::MAX)
    }

    /// Takes the archive's rows of a group away again, so that only buckets that differ are not zero.
    pub(super) fn subtract(&mut self, groups: &Groups, at: usize, hash: u128) {
        let Some(group) = groups.list.get(at) else { return };
        if let Some(bucket) = self.buckets.get_mut(group.bucket(hash)) {
            *bucket = bucket.wrapping_sub(low(hash));
        }
    }

    /// Empties the buckets of a group that does not differ.
    pub(super) fn forget(&mut self, groups: &Groups, at: usize) {
        let Some(group) = groups.list.get(at) else { return };
        let (start, count) = group.buckets;
        self.buckets.iter_mut().skip(start).take(count).for_each(|bucket| *bucket = 0);
    }

    /// Whether a row of a group is in a bucket that differs, once the archive's rows are subtracted.
    pub(super) fn is_suspect(&self, groups: &Groups, at: usize, hash: u128) -> bool {
        let bucket = groups.list.get(at).and_then(|group| self.buckets.get(group.bucket(hash)));
        bucket.is_some_and(|bucket| *bucket != 0)
    }

    /// Whether any bucket of a group differs.
    pub(super) fn has_suspects(&self, groups: &Groups, at: usize) -> bool {
        let (start, count) = groups.list.get(at).map_or((0, 0), |group| group.buckets);
        self.buckets.iter().skip(start).take(count).any(|bucket| *bucket != 0)
    }

    /// The same for a live row, whose group is not known; a row outside of all groups is suspect.
    pub(super) fn is_suspect_row(&mut self, groups: &Groups, value: &[u8], hash: u128) -> bool {
        let at = match groups.key {
            Some(key) => groups.locate(key.order, value, self.hint),
            None => Some(0),
        };
        self.hint = at.unwrap_or(self.hint);
        at.is_none_or(|at| self.is_suspect(groups, at, hash))
    }
}

fn low(hash: u128) -> u64 {
    u64::try_from(hash & u128::from(u64::MAX)).unwrap_or(0)
}

/// The value of the groups' key column in a row; empty without one.
pub(super) fn key_value<'a>(groups: &Groups, text: &'a [u8], row: Row<'_>) -> &'a [u8] {
    let span = groups.key.and_then(|key| row.value(key.column));
    span.and_then(|(start, end)| text.get(start..end)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::ContentHash as Sum;
    use crate::pg::copy::RowHasher;

    fn hash(row: u64) -> u128 {
        let mut secret = [0u8; 192];
        for (at, byte) in (0u8..=191).zip(&mut secret) {
            *byte = at.wrapping_mul(89).wrapping_add(7);
        }
        RowHasher::new(secret).row(row.to_string().as_bytes())
    }

    /// A chunk of the rows with these keys.
    fn chunk(number: u32, keys: std::ops::Range<u64>) -> StreamChunk {
        let zone = ZoneMap { bounds: vec![Some((keys.start.to_string(), (keys.end - 1).to_string()))] };
        let sum = keys.clone().fold(0u128, |sum, key| sum.wrapping_add(hash(key)));
        let entry = ChunkEntry {
            number,
            sequence: u64::from(number),
            offset: 0,
            length: 1,
            plain_bytes: 10,
            rows: u32::try_from(keys.end - keys.start).unwrap(),
            hash: Sum(sum),
            zone_map: zone.encode(),
        };
        StreamChunk { stream: 1, entry }
    }

    const KEY: Option<ZoneKey> = Some(ZoneKey { zone: 0, column: 0, order: ZoneType::Integer });

    fn scan(groups: &Groups, keys: impl Iterator<Item = u64>) -> Sums {
        let mut sums = Sums::new(groups);
        keys.for_each(|key| sums.add(groups, key.to_string().as_bytes(), hash(key)));
        sums
    }

    #[test]
    fn chunks_are_told_apart_by_their_keys_and_overlapping_ones_are_not() {
        let groups = Groups::new(
            vec![chunk(1, 300..400), chunk(0, 0..100), chunk(2, 90..200), chunk(3, 199..210)],
            KEY,
        );
        let bounds: Vec<_> = groups.list.iter().map(|group| group.bounds.clone().unwrap()).collect();
        assert_eq!(bounds, [("0".into(), "209".into()), ("300".into(), "399".into())]);
        assert_eq!(groups.list[0].chunks.len(), 3);
    }

    #[test]
    fn equal_rows_leave_nothing_to_read() {
        let groups = Groups::new(
            (0..50).map(|n| chunk(n, u64::from(n) * 100..u64::from(n) * 100 + 100)).collect(),
            KEY,
        );
        let sums = scan(&groups, (0..5000).rev());
        assert!(sums.differing(&groups).is_empty());
        assert_eq!((sums.rows(), sums.outside), (5000, Outside::default()));
    }

    #[test]
    fn a_lost_row_marks_its_chunk_and_few_rows_of_it() {
        let groups = Groups::new(vec![chunk(0, 0..1000), chunk(1, 1000..2000), chunk(2, 3000..4000)], KEY);
        let live = (0..2000).filter(|key| *key != 1234).chain([2500, 5000, 5001]).chain(3000..4000);
        let mut sums = scan(&groups, live);
        assert_eq!(sums.outside, Outside { before: 0, between: 1, after: 2 });
        assert_eq!(sums.differing(&groups), [1]);
        (1000..2000).for_each(|key| sums.subtract(&groups, 1, hash(key)));
        let suspects: Vec<u64> = (1000..2000).filter(|key| sums.is_suspect(&groups, 1, hash(*key))).collect();
        assert!(suspects.contains(&1234) && suspects.len() < 50, "{suspects:?}");
    }

    #[test]
    fn without_zones_one_group_takes_all() {
        let mut bare = chunk(0, 0..1000);
        bare.entry.zone_map.clear();
        let groups = Groups::new(vec![bare, chunk(1, 1000..2000)], KEY);
        assert_eq!((groups.list.len(), groups.key), (1, None));
        assert!(scan(&groups, 0..2000).differing(&groups).is_empty());
        assert_eq!(scan(&groups, 0..1999).differing(&groups), [0]);
    }

    #[test]
    fn a_table_of_any_size_has_a_bounded_number_of_buckets() {
        let huge = |n: u32| StreamChunk {
            stream: 1,
            entry: ChunkEntry { rows: u32::MAX, ..chunk(n, u64::from(n) * 10..u64::from(n) * 10 + 9).entry },
        };
        for count in [1, 3, 1000] {
            let groups = Groups::new((0..count).map(huge).collect(), KEY);
            assert!(groups.total_buckets <= MAX_BUCKETS, "{count}");
        }
    }
}
