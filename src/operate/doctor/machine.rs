//! This machine: memory, processors, room where backups go.

use super::{Finding, Level};
use crate::store::Location;
use crate::store::room::{self, Room};

/// What a backup or a restore takes at most, whatever the size of the database, but for rows of many MiB.
const MEMORY: u64 = 256 << 20;

/// Looks at this machine, and at the file system of a store that is a directory; `newest` is the length of the newest backup in it.
pub fn machine(store: Option<&Location>, jobs: usize, newest: Option<u64>) -> Vec<Finding> {
    let mut found = Vec::new();
    if let Some(free) = available_memory() {
        let said = format!("{} MiB can be had", free >> 20);
        found.push(if free >= MEMORY {
            Finding::ok("memory", said)
        } else {
            Finding::new(
                "memory",
                Level::Warning,
                said,
                "a backup or a restore takes up to 256 MiB, and three times the largest row",
            )
            .remedy("free some, or give fewer --jobs")
        });
    }
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let said = format!("{processors} processors, {jobs} jobs");
    found.push(if jobs > processors.saturating_mul(4) {
        Finding::new(
            "processors",
            Level::Notice,
            said,
            "compressing and sealing is this machine's work: more jobs make it no faster",
        )
        .remedy("give fewer --jobs")
    } else {
        Finding::ok("processors", said)
    });
    found.extend(store.and_then(|store| room::of(store).ok().flatten()).map(|room| disk(room, newest)));
    found
}

/// Judged by what the next backup will take; by the part of the disk where there is none yet.
fn disk(room: Room, newest: Option<u64>) -> Finding {
    let said = format!("{} MiB of {} MiB are free where the store is", room.free >> 20, room.all >> 20);
    let next = newest.unwrap_or(0);
    let level = if room.free < next {
        Level::Critical
    } else if room.free < next.saturating_mul(2) || room.free < room.all / 20 {
        Level::Warning
    } else {
        return Finding::ok("disk", said);
    };
    let said = newest
        .map_or_else(|| said.clone(), |newest| format!("{said}; the newest backup has {} MiB", newest >> 20));
    Finding::new("disk", level, said, "a backup that does not fit fails")
        .remedy("pgcask prune --apply, or a larger disk")
}

/// `MemAvailable` of proc(5).
fn available_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_full_when_the_next_backup_does_not_fit() {
        let level = |free, newest| disk(Room { free, all: 1000 }, newest).level;
        assert_eq!((level(900, Some(100)), level(900, None)), (Level::Ok, Level::Ok));
        assert_eq!((level(150, Some(100)), level(20, None)), (Level::Warning, Level::Warning));
        assert_eq!(level(99, Some(100)), Level::Critical);
    }
}
