//! What lies beside an archive besides its two sidecars: facts that came later, each an object of its own that is written
//! once. What a listing shows is in their names.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::naming;
use super::objects::Object;

/// An id of a backup.
type IdBytes = [u8; naming::ID_LENGTH];

/// How moments are written in names.
const TIME: &str = "%Y%m%dT%H%M%SZ";

/// What a note says, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NoteKind {
    /// `.hold-<n>.json`: somebody holds the backup.
    Hold(u32),
    /// `.release-<n>.json`: that hold is over.
    Release(u32),
    /// `.prune-<time>.json`: marked for removal, at this time.
    Mark(Timestamp),
    /// `.use-<time>.json`: somebody began to read a marked backup, at this time.
    Use(Timestamp),
    /// `.drill-<time>.json`: a restore was tried.
    Drill,
    /// `.evidence-<time>.json`, `.log`, `.html`: what that left to read.
    Evidence,
    /// `.keys-<n>`: the data key, wrapped for others.
    Keys,
    /// `.superseded-<id>.json`: the backup with this id takes its place, with rows erased.
    Superseded(IdBytes),
    /// `.searched-<time>.json`: it was searched for rows of the erasure ledger, and does not have them.
    Searched(Timestamp),
    /// Not known to this version.
    Unknown,
}

/// A note beside an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// What it says.
    pub kind: NoteKind,
    /// The object.
    pub object: Object,
}

impl NoteKind {
    /// Reads what stands after the archive's name.
    pub fn parse(suffix: &str) -> Self {
        Self::known(suffix).unwrap_or(Self::Unknown)
    }

    fn known(suffix: &str) -> Option<Self> {
        let (kind, rest) = suffix.strip_prefix('.')?.split_once('-')?;
        if kind == "keys" {
            return Some(Self::Keys);
        }
        if kind == "evidence" {
            let time = rest.rsplit_once('.').filter(|(_, form)| ["json", "log", "html"].contains(form))?.0;
            return moment(time).map(|_| Self::Evidence);
        }
        let value = rest.strip_suffix(".json")?;
        Some(match kind {
            "hold" => Self::Hold(number(value)?),
            "release" => Self::Release(number(value)?),
            "prune" => Self::Mark(moment(value)?),
            "use" => Self::Use(moment(value)?),
            "drill" => Self::Drill,
            "superseded" => Self::Superseded(id(value)?),
            "searched" => Self::Searched(moment(value)?),
            _ => return None,
        })
    }

    /// What stands after the archive's name; `None` for kinds that are named elsewhere.
    pub fn suffix(self) -> Option<String> {
        match self {
            Self::Hold(number) => Some(format!(".hold-{number}.json")),
            Self::Release(number) => Some(format!(".release-{number}.json")),
            Self::Mark(time) => Some(format!(".prune-{}.json", time.strftime(TIME))),
            Self::Use(time) => Some(format!(".use-{}.json", time.strftime(TIME))),
            Self::Searched(time) => Some(format!(".searched-{}.json", time.strftime(TIME))),
            Self::Superseded(id) => Some(format!(".superseded-{}.json", String::from_utf8_lossy(&id))),
            Self::Drill | Self::Evidence | Self::Keys | Self::Unknown => None,
        }
    }
}

fn id(text: &str) -> Option<IdBytes> {
    naming::is_id(text).then(|| text.as_bytes().try_into().ok()).flatten()
}

fn number(text: &str) -> Option<u32> {
    text.parse().ok().filter(|number: &u32| number.to_string() == text)
}

fn moment(text: &str) -> Option<Timestamp> {
    let civil = DateTime::strptime(TIME, text).ok()?;
    Some(civil.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

/// The notes among the objects that lie beside the archive at `key`.
pub fn of(key: &str, beside: &[Object]) -> Vec<Note> {
    let suffixes = beside.iter().filter_map(|object| Some((object.key.strip_prefix(key)?, object)));
    suffixes
        .filter(|(suffix, _)| !matches!(*suffix, "" | ".sha256" | ".json"))
        .map(|(suffix, object)| Note { kind: NoteKind::parse(suffix), object: object.clone() })
        .collect()
}

/// The holds that are not released. A hold whose object says nothing that can be read holds all the same.
pub fn holds(notes: &[Note]) -> Vec<u32> {
    let released = |number: u32| notes.iter().any(|note| note.kind == NoteKind::Release(number));
    let mut held: Vec<u32> = notes
        .iter()
        .filter_map(|note| if let NoteKind::Hold(number) = note.kind { Some(number) } else { None })
        .filter(|number| !released(*number))
        .collect();
    held.sort_unstable();
    held
}

/// The first mark for removal, if there is one.
pub fn mark(notes: &[Note]) -> Option<(Timestamp, &Note)> {
    let marks = notes
        .iter()
        .filter_map(|note| if let NoteKind::Mark(time) = note.kind { Some((time, note)) } else { None });
    marks.min_by_key(|(time, _)| *time)
}

/// The ids of backups that were made to take its place. Whether they are there, a listing tells.
pub fn superseding(notes: &[Note]) -> impl Iterator<Item = String> + '_ {
    notes.iter().filter_map(|note| match note.kind {
        NoteKind::Superseded(id) => Some(String::from_utf8_lossy(&id).into_owned()),
        _ => None,
    })
}

/// When somebody last began to read a marked backup.
pub fn used(notes: &[Note]) -> Option<Timestamp> {
    let uses = notes.iter().filter_map(|note| {
        if let NoteKind::Use(time) = note.kind { Some(time.max(note.object.written)) } else { None }
    });
    uses.max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written_and_others_are_not_known() {
        let time: Timestamp = "2026-11-23T03:04:05Z".parse().unwrap();
        let superseded = NoteKind::Superseded(*b"6k2x8m41qvtz");
        for kind in
            [NoteKind::Hold(1), NoteKind::Release(12), NoteKind::Mark(time), NoteKind::Use(time), superseded]
        {
            assert_eq!(NoteKind::parse(&kind.suffix().unwrap()), kind);
        }
        assert_eq!(NoteKind::parse(".prune-20261123T030405Z.json"), NoteKind::Mark(time));
        assert_eq!(NoteKind::parse(".keys-1"), NoteKind::Keys);
        assert_eq!(NoteKind::parse(".drill-20261123T030405Z.json"), NoteKind::Drill);
        for form in ["json", "log", "html"] {
            assert_eq!(NoteKind::parse(&format!(".evidence-20261123T030405Z.{form}")), NoteKind::Evidence);
        }
        for strange in [
            ".evidence-20261123T030405Z.exe",
            ".evidence-x.log",
            ".hold-01.json",
            ".hold-x.json",
            ".superseded-1.json",
            ".prune-now.json",
            ".wal-1.json",
            ".txt",
            "x",
            "",
        ] {
            assert_eq!(NoteKind::parse(strange), NoteKind::Unknown, "{strange}");
        }
    }

    #[test]
    fn a_hold_ends_with_its_own_release_and_no_other() {
        let note = |kind| Note {
            kind,
            object: Object { key: String::new(), bytes: 2, written: Timestamp::UNIX_EPOCH },
        };
        let all =
            [NoteKind::Hold(1), NoteKind::Hold(2), NoteKind::Release(1), NoteKind::Release(3)].map(note);
        assert_eq!(holds(&all), [2]);
    }
}
