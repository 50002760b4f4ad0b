//! The index while it grows: entries of written chunks wait here until a page is full or too many wait.
//!
//! Memory is bounded by the number of streams and by two limits on what waits, never by the number of chunks.

use std::collections::BTreeMap;

use super::chunk::{ContentHash, Totals};
use super::codec::{Encode as _, to_u64};
use super::error::Error;
use super::index::{ChunkEntry, put_page_start, put_run_start};
use super::root::{PAGE_BYTES, PAGE_REF_BYTES, PageRef, ROOT_FIXED_BYTES, STREAM_FIXED_BYTES, StreamEntry};
use crate::limits::{
    MAX_PENDING_ENTRIES, MAX_PENDING_INDEX_BYTES, MAX_ROOT_BYTES, MAX_STREAM_NAME_BYTES, MAX_STREAMS,
    PAGE_ENTRIES, SECTION_PART_BYTES,
};

/// A stream is given a page of its own when so many bytes of it wait, even if its entries are few and large.
const OWN_PAGE_BYTES: usize = SECTION_PART_BYTES;

/// A page ready to be sealed.
#[derive(Debug, Default)]
pub(super) struct PageDraft {
    pub(super) bytes: Vec<u8>,
    pub(super) entries: u32,
}

#[derive(Debug)]
struct Stream {
    entry: StreamEntry,
    waiting: Vec<u8>,
    waiting_entries: usize,
}

#[derive(Debug)]
pub(super) struct Pending {
    streams: BTreeMap<u32, Stream>,
    waiting_entries: usize,
    waiting_bytes: usize,
    pages: usize,
    root_bytes: usize,
}

impl Pending {
    pub(super) const fn new() -> Self {
        Self {
            streams: BTreeMap::new(),
            waiting_entries: 0,
            waiting_bytes: 0,
            pages: 0,
            root_bytes: ROOT_FIXED_BYTES,
        }
    }

    pub(super) fn declare(&mut self, stream: u32, name: &[u8]) -> Result<(), Error> {
        if name.len() > MAX_STREAM_NAME_BYTES {
            return Err(Error::limit("bytes of a stream's name", name.len(), MAX_STREAM_NAME_BYTES));
        }
        if self.streams.len() >= MAX_STREAMS {
            return Err(Error::limit("streams", self.streams.len() + 1, MAX_STREAMS));
        }
        self.grow_root(STREAM_FIXED_BYTES + name.len())?;
        let entry = StreamEntry { stream, name: name.to_vec(), totals: Totals::default(), pages: Vec::new() };
        let stream = Stream { entry, waiting: Vec::new(), waiting_entries: 0 };
        if self.streams.insert(stream.entry.stream, stream).is_some() {
            return Err(Error::Misuse("a stream is declared twice"));
        }
        Ok(())
    }

    /// Counts bytes that the root will need, so that a root over its limit is refused early and not after hours.
    pub(super) fn grow_root(&mut self, bytes: usize) -> Result<(), Error> {
        self.root_bytes += bytes;
        if self.root_bytes > MAX_ROOT_BYTES {
            return Err(Error::limit("bytes of the root index", self.root_bytes, MAX_ROOT_BYTES));
        }
        Ok(())
    }

    /// Takes the entry of a written chunk, and gives the pages that this makes due.
    pub(super) fn add(&mut self, stream: u32, entry: &ChunkEntry) -> Result<Vec<PageDraft>, Error> {
        let place = self.streams.get_mut(&stream).ok_or(Error::Misuse("a chunk of an undeclared stream"))?;
        let totals = &mut place.entry.totals;
        *totals += Totals {
            chunks: 1,
            rows: u64::from(entry.rows),
            plain_bytes: u64::from(entry.plain_bytes),
            sealed_bytes: u64::from(entry.length),
            hash: entry.hash,
        };
        let before = place.waiting.len();
        entry.encode(&mut place.waiting);
        place.waiting_entries += 1;
        self.waiting_entries += 1;
        self.waiting_bytes += place.waiting.len() - before;
        let mut drafts = Vec::new();
        if place.waiting_entries >= PAGE_ENTRIES || place.waiting.len() >= OWN_PAGE_BYTES {
            self.draft(&[stream], &mut drafts)?;
        } else if self.waiting_entries > MAX_PENDING_ENTRIES || self.waiting_bytes > MAX_PENDING_INDEX_BYTES {
            self.overflow(&mut drafts)?;
        }
        Ok(drafts)
    }

    /// Writes out the streams with the most waiting bytes, until half of what may wait is free.
    fn overflow(&mut self, drafts: &mut Vec<PageDraft>) -> Result<(), Error> {
        let mut order: Vec<(usize, usize, u32)> = self
            .streams
            .iter()
            .filter(|(_, stream)| stream.waiting_entries > 0)
            .map(|(id, stream)| (stream.waiting.len(), stream.waiting_entries, *id))
            .collect();
        order.sort_unstable_by(|a, b| b.cmp(a));
        let (mut bytes, mut entries) = (self.waiting_bytes, self.waiting_entries);
        let mut chosen = Vec::new();
        for (stream_bytes, stream_entries, id) in order {
            if bytes <= MAX_PENDING_INDEX_BYTES / 2 && entries <= MAX_PENDING_ENTRIES / 2 {
                break;
            }
            bytes -= stream_bytes;
            entries -= stream_entries;
            chosen.push(id);
        }
        self.draft(&chosen, drafts)
    }

    /// Gives the pages of all that still waits.
    pub(super) fn drain(&mut self) -> Result<Vec<PageDraft>, Error> {
        let waiting: Vec<u32> =
            self.streams.iter().filter(|(_, stream)| stream.waiting_entries > 0).map(|(id, _)| *id).collect();
        let mut drafts = Vec::new();
        self.draft(&waiting, &mut drafts)?;
        Ok(drafts)
    }

    /// Packs what waits of these streams into pages, a stream's entries never divided.
    fn draft(&mut self, chosen: &[u32], drafts: &mut Vec<PageDraft>) -> Result<(), Error> {
        let (mut body, mut runs, mut entries) = (Vec::new(), 0, 0);
        for id in chosen {
            let Some(stream) = self.streams.get_mut(id) else {
                continue;
            };
            if entries + stream.waiting_entries > PAGE_ENTRIES {
                drafts.push(page(runs, entries, &body));
                (runs, entries) = (0, 0);
                body.clear();
                self.pages += 1;
                self.root_bytes += PAGE_BYTES;
            }
            let count = std::mem::take(&mut stream.waiting_entries);
            let waiting = std::mem::take(&mut stream.waiting);
            put_run_start(&mut body, *id, count);
            body.extend_from_slice(&waiting);
            stream.entry.pages.push(PageRef { page: narrow(self.pages), entries: narrow(count) });
            runs += 1;
            entries += count;
            self.root_bytes += PAGE_REF_BYTES;
            self.waiting_entries -= count;
            self.waiting_bytes -= waiting.len();
        }
        if runs > 0 {
            drafts.push(page(runs, entries, &body));
            self.pages += 1;
            self.root_bytes += PAGE_BYTES;
        }
        self.grow_root(0)
    }

    /// The sums over all streams.
    pub(super) fn totals(&self) -> Totals {
        let mut totals = Totals { hash: ContentHash::default(), ..Totals::default() };
        self.streams.values().for_each(|stream| totals += stream.entry.totals);
        totals
    }

    /// The streams as the root lists them, ascending.
    pub(super) fn into_streams(self) -> Vec<StreamEntry> {
        self.streams.into_values().map(|stream| stream.entry).collect()
    }
}

fn page(runs: usize, entries: usize, body: &[u8]) -> PageDraft {
    let mut bytes = Vec::with_capacity(body.len() + 8);
    put_page_start(&mut bytes, runs);
    bytes.extend_from_slice(body);
    PageDraft { bytes, entries: narrow(entries) }
}

/// A number that the limits keep far below 2^32.
fn narrow(number: usize) -> u32 {
    debug_assert!(to_u64(number) < u64::from(u32::MAX));
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::codec::Decode as _;
    use crate::archive::index::Page;
    use crate::limits::{MAX_PAGE_BYTES, MAX_ZONE_MAP_BYTES};

    fn entry(number: u32, zone: usize) -> ChunkEntry {
        ChunkEntry {
            number,
            sequence: 0,
            offset: 0,
            length: 40,
            plain_bytes: 10,
            rows: 1,
            hash: ContentHash(u128::MAX),
            zone_map: vec![0; zone],
        }
    }

    #[test]
    fn a_large_stream_gets_pages_of_its_own_and_small_ones_share() {
        let mut pending = Pending::new();
        (0..500).for_each(|id| pending.declare(id, b"t").unwrap());
        let mut drafts = Vec::new();
        for number in 0..2500 {
            drafts.extend(pending.add(7, &entry(number, 0)).unwrap());
        }
        (0..500).for_each(|id| drafts.extend(pending.add(id, &entry(9999, 0)).unwrap()));
        assert_eq!(drafts.len(), 2);
        drafts.extend(pending.drain().unwrap());
        assert_eq!(drafts.iter().map(|d| d.entries).collect::<Vec<_>>(), [1024, 1024, 952]);
        assert!(drafts.iter().all(|draft| Page::from_bytes(&draft.bytes).is_ok()));
        assert_eq!((pending.totals().chunks, pending.waiting_bytes, pending.waiting_entries), (3000, 0, 0));
        let streams = pending.into_streams();
        assert_eq!(
            streams[7].pages.iter().map(|at| (at.page, at.entries)).collect::<Vec<_>>(),
            [(0, 1024), (1, 1024), (2, 453)]
        );
        assert_eq!(streams[8].pages, [PageRef { page: 2, entries: 1 }]);
        assert_eq!(streams[7].totals.hash, ContentHash(0_u128.wrapping_sub(2501)));
    }

    #[test]
    fn what_waits_is_bounded_in_entries_and_in_bytes() {
        for (zone, streams, rounds) in [(0, 70_000, 3), (MAX_ZONE_MAP_BYTES, 300, 40)] {
            let mut pending = Pending::new();
            (0..streams).for_each(|id| pending.declare(id, b"").unwrap());
            let mut written = 0;
            for round in 0..rounds {
                for id in 0..streams {
                    for draft in pending.add(id, &entry(round, zone)).unwrap() {
                        assert!(draft.bytes.len() <= MAX_PAGE_BYTES);
                        written += Page::from_bytes(&draft.bytes).unwrap().runs.len();
                    }
                    assert!(pending.waiting_entries <= MAX_PENDING_ENTRIES);
                    assert!(pending.waiting_bytes <= MAX_PENDING_INDEX_BYTES);
                }
            }
            assert!(written > 0);
        }
    }

    #[test]
    fn undeclared_and_doubled_streams_are_refused() {
        let mut pending = Pending::new();
        pending.declare(1, b"a").unwrap();
        assert!(pending.declare(1, b"b").is_err());
        assert!(pending.declare(2, &[0; MAX_STREAM_NAME_BYTES + 1]).is_err());
        assert!(pending.add(2, &entry(0, 0)).is_err());
    }
}
