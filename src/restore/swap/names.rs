//! Names of the databases beside a live one. They alone say what each is, so that nothing else must survive a crash.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use sha2::{Digest as _, Sha256};

use crate::store::sidecar::hex;

/// Longest name of a database, in bytes (`NAMEDATALEN - 1`).
const MAX_NAME: usize = 63;

const STAGING: &str = "_restore_";
const BEFORE: &str = "_before_";

/// Length of a backup's id.
const ID_LENGTH: usize = 12;

/// Form of the time in names: `20261124T031500Z`.
const TIME_FORM: &str = "%Y%m%dT%H%M%SZ";
const TIME_LENGTH: usize = 16;

/// What a database beside a live one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beside {
    /// It is being filled from an archive, to take the live one's place.
    Staging,
    /// It was the live one until then.
    Before(Timestamp),
}

/// The database that is filled from a backup to take the place of `live`.
pub(super) fn staging(live: &str, id: &str) -> String {
    format!("{}{STAGING}{id}", stem(live, STAGING, id.len()))
}

/// What `live` is called from this moment on.
pub(super) fn before(live: &str, moment: Timestamp) -> String {
    format!("{}{BEFORE}{}", stem(live, BEFORE, TIME_LENGTH), moment.strftime(TIME_FORM))
}

/// What `live` is called from this moment on, or from the first later one whose name nobody has.
pub(super) fn free_before(live: &str, mut moment: Timestamp, taken: &BTreeSet<String>) -> String {
    loop {
        let name = before(live, moment);
        if !taken.contains(&name) {
            return name;
        }
        moment += SignedDuration::from_secs(1);
    }
}

/// What a database is by its name, and the beginning of the live one's name.
pub(super) fn beside(name: &str) -> Option<(&str, Beside)> {
    if let Some((stem, time)) = name.rsplit_once(BEFORE)
        && time.len() == TIME_LENGTH
        && let Ok(moment) = jiff::civil::DateTime::strptime(TIME_FORM, time)
        && let Ok(moment) = moment.to_zoned(jiff::tz::TimeZone::UTC)
    {
        return Some((stem, Beside::Before(moment.timestamp())));
    }
    let (stem, id) = name.rsplit_once(STAGING)?;
    let is_id =
        id.len() == ID_LENGTH && id.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase());
    is_id.then_some((stem, Beside::Staging))
}

/// What a database is, if it stands beside this live one.
pub(super) fn beside_of(live: &str, name: &str) -> Option<Beside> {
    let (found, what) = beside(name)?;
    let (word, tail) = match what {
        Beside::Staging => (STAGING, ID_LENGTH),
        Beside::Before(_) => (BEFORE, TIME_LENGTH),
    };
    (found == stem(live, word, tail)).then_some(what)
}

/// The live name, cut so that word and tail have room. A cut one ends in a hash of the whole, so that two databases
/// never share it.
fn stem(live: &str, word: &str, tail: usize) -> String {
    let room = MAX_NAME.saturating_sub(word.len() + tail);
    if live.len() <= room {
        return live.to_owned();
    }
    let hash = hex(Sha256::digest(live.as_bytes()).get(..4).unwrap_or_default());
    let mut cut = room.saturating_sub(hash.len() + 1);
    while !live.is_char_boundary(cut) {
        cut -= 1;
    }
    format!("{}~{hash}", live.get(..cut).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_they_are_and_fit() {
        let moment: Timestamp = "2026-11-24T03:15:00Z".parse().unwrap();
        for live in [
            "shop",
            "Shop \"x\"",
            &"é".repeat(31),
            &"x".repeat(63),
            "a_before_20250101T000000Z",
            "a_restore_0123456789ab",
        ] {
            let (kept, filled) = (before(live, moment), staging(live, "6k2x8m41qvtz"));
            assert!(kept.len() <= MAX_NAME && filled.len() <= MAX_NAME, "{kept} {filled}");
            assert_eq!(beside_of(live, &kept), Some(Beside::Before(moment)));
            assert_eq!(beside_of(live, &filled), Some(Beside::Staging));
            assert_eq!(beside_of("other", &kept), None);
        }
        assert_eq!(before("shop", moment), "shop_before_20261124T031500Z");
        assert_ne!(before(&"x".repeat(63), moment), before(&"x".repeat(62), moment));
        for no in [
            "shop",
            "shop_before_lunch",
            "shop_before_20261324T031500Z",
            "shop_restore_x",
            "shop_restore_0123456789AB",
        ] {
            assert_eq!(beside(no), None, "{no}");
        }
    }
}
