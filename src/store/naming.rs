//! Names: kinds of backup, ids, and the key of an archive in its store.
//!
//! `<database>/<kind>/<YYYY-MM-DD>/<database>-<kind>-<YYYYMMDDThhmmssZ>-<id>.cask`, with `.sha256` and `.json` beside it.
//! The database's name is escaped and capped; its true name stands in the metadata.

use std::fmt;
use std::str::FromStr;

use jiff::{Span, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::StoreError;
use super::sidecar::hex;

/// Longest escaped name in a key. File systems take 255 bytes for a whole file name.
const MAX_NAME: usize = 100;

/// Stands in front of the hash of a name that was cut: never the beginning of an escaped byte.
const CUT: &str = "==";

/// Letters and digits of an id.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Length of an id.
pub(super) const ID_LENGTH: usize = 12;

/// The kind of a backup: sets retention and the place in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Every day; the default.
    Daily,
    /// Every week.
    Weekly,
    /// Every month.
    Monthly,
    /// Before a deployment.
    PreDeploy,
    /// On request.
    Manual,
    /// Made automatically before a restore.
    PreRestore,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 6] =
        [Self::Daily, Self::Weekly, Self::Monthly, Self::PreDeploy, Self::Manual, Self::PreRestore];

    /// The name in keys and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Daily => "daily",
            Self::Weekly => "weekly",
            Self::Monthly => "monthly",
            Self::PreDeploy => "pre-deploy",
            Self::Manual => "manual",
            Self::PreRestore => "pre-restore",
        }
    }

    /// How long a backup of this kind is kept unless something else is asked for.
    pub fn keeps(self) -> Span {
        match self {
            Self::Daily | Self::Manual => Span::new().days(90),
            Self::Weekly => Span::new().years(1),
            Self::Monthly => Span::new().years(7),
            Self::PreDeploy => Span::new().days(30),
            Self::PreRestore => Span::new().days(14),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Kind {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, StoreError> {
        Self::ALL.into_iter().find(|kind| kind.name() == text).ok_or_else(|| StoreError::Invalid {
            text: text.to_owned(),
            why: "kinds are daily, weekly, monthly, pre-deploy, manual, pre-restore".to_owned(),
        })
    }
}

/// A new backup's id: 60 random bits in 12 letters and digits that cannot be mistaken for one another.
///
/// # Errors
/// When the system has no randomness.
pub fn new_id() -> Result<String, StoreError> {
    let mut bytes = [0u8; ID_LENGTH];
    getrandom::fill(&mut bytes).map_err(|error| StoreError::Unreachable {
        place: "the system's random source".to_owned(),
        reason: error.to_string(),
    })?;
    Ok(bytes.iter().filter_map(|byte| ALPHABET.get(usize::from(byte & 31)).map(|c| char::from(*c))).collect())
}

/// The key of an archive.
pub fn key(database: &str, kind: Kind, taken: Timestamp, id: &str) -> String {
    let name = escape(database);
    let day = taken.strftime("%Y-%m-%d");
    format!("{name}/{kind}/{day}/{}", file_name(&name, kind, taken, id))
}

/// The key of the same archive under another id; `None` for a key of another form.
pub fn sibling(key: &str, id: &str) -> Option<String> {
    let facts = parse(key)?;
    Some(format!("{}-{id}.cask", key.strip_suffix(&format!("-{}.cask", facts.id))?))
}

/// The key of an archive, by its file name alone; `None` for one that [`key`] did not make.
pub fn key_of(file: &str) -> Option<String> {
    let (rest, _) = file.strip_suffix(".cask")?.rsplit_once('-')?;
    let (rest, time) = rest.rsplit_once('-')?;
    let (year, month, day) = (time.get(..4)?, time.get(4..6)?, time.get(6..8)?);
    let named = |kind: &Kind| Some((rest.strip_suffix(kind.name())?.strip_suffix('-')?, *kind));
    let (name, kind) = Kind::ALL.iter().find_map(named)?;
    let key = format!("{name}/{kind}/{year}-{month}-{day}/{file}");
    let ours = |facts: &KeyFacts| name.contains(CUT) || escape(&facts.database) == name;
    parse(&key).filter(ours).map(|_| key)
}

/// The store that an archive lies in, by its path or URL: what stands before the key, if it has the form of [`key`],
/// otherwise its folder.
pub fn store_of(archive: &str) -> String {
    let mut parts = archive.rsplitn(5, '/');
    let (file, day, kind, name, store) =
        (parts.next(), parts.next(), parts.next(), parts.next(), parts.next());
    let is_key = file.zip(kind).zip(name).is_some_and(|((file, kind), name)| {
        kind.parse::<Kind>().is_ok() && file.starts_with(&format!("{name}-{kind}-"))
    });
    match (store, day) {
        (Some(store), Some(_)) if is_key && !store.is_empty() => store.to_owned(),
        (None, Some(_)) if is_key => ".".to_owned(),
        _ => archive
            .rsplit_once('/')
            .map_or(".", |(folder, _)| if folder.is_empty() { "/" } else { folder })
            .to_owned(),
    }
}

fn file_name(escaped: &str, kind: Kind, taken: Timestamp, id: &str) -> String {
    format!("{escaped}-{kind}-{}-{id}.cask", taken.strftime("%Y%m%dT%H%M%SZ"))
}

/// A name that is safe in keys, URLs and file names: letters, digits and `_` stay, `-` and `.` too but in front; every
/// other byte becomes `=XX` (a `%` would be taken for part of a URL). One that gets too long is cut and ends in `==` and
/// a hash of the whole, so that two names never become one.
pub fn escape(name: &str) -> String {
    let mut out = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'_' || (matches!(byte, b'-' | b'.') && !out.is_empty()) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("={byte:02X}"));
        }
    }
    if out.len() > MAX_NAME {
        let hash = Sha256::digest(name.as_bytes());
        let tail = hex(hash.get(..8).unwrap_or_default());
        out.truncate(MAX_NAME - tail.len() - CUT.len());
        out.push_str(CUT);
        out.push_str(&tail);
    }
    out
}

/// The name that [`escape`] made this of; a name that was cut stays as it is.
fn unescape(escaped: &str) -> Option<String> {
    if escaped.contains(CUT) {
        return Some(escaped.to_owned());
    }
    let mut parts = escaped.split('=');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

/// What the key of an archive says, without anything being read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFacts {
    /// The database's name; one that was cut is given as it stands in the key.
    pub database: String,
    /// The kind of backup.
    pub kind: Kind,
    /// When the backup began, to the second.
    pub taken: Timestamp,
    /// The backup's id.
    pub id: String,
}

/// Reads the key of an archive; `None` for one that [`key`] did not make.
pub fn parse(key: &str) -> Option<KeyFacts> {
    let mut parts = key.split('/');
    let (name, kind, day, file) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let rest = file.strip_suffix(".cask")?.strip_prefix(name)?.strip_prefix('-')?;
    let (time, id) = rest.strip_prefix(kind)?.strip_prefix('-')?.split_once('-')?;
    let taken = format!("{day}T{}", time.split_once('T')?.1);
    let facts = KeyFacts {
        database: unescape(name)?,
        kind: kind.parse().ok()?,
        taken: taken.parse().ok()?,
        id: id.to_owned(),
    };
    // What can be made again from its facts is ours.
    let again = file_name(name, facts.kind, facts.taken, id);
    (parts.next().is_none() && again == file && is_id(id)).then_some(facts)
}

/// Whether a text is an id.
pub fn is_id(id: &str) -> bool {
    id.len() == ID_LENGTH && id.bytes().all(|byte| ALPHABET.contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_their_place() {
        assert_eq!(escape("../etc"), "=2E.=2Fetc");
        assert_eq!(escape("shop_1"), "shop_1");
        assert_eq!(escape("my-app.v2"), "my-app.v2");
        assert_eq!(escape("-rf 100%"), "=2Drf=20100=25");
        assert_ne!(escape("a-b"), escape("a_b"));
        let long = "é".repeat(63);
        assert!(escape(&long).len() <= MAX_NAME);
        assert_ne!(escape(&long), escape(&format!("{long}x")));
    }

    #[test]
    fn a_key_has_everything_that_a_list_shows() {
        let taken: Timestamp = "2026-11-23T03:04:05Z".parse().unwrap();
        let made = key("shop", Kind::PreDeploy, taken, "0123456789ab");
        assert_eq!(made, "shop/pre-deploy/2026-11-23/shop-pre-deploy-20261123T030405Z-0123456789ab.cask");
        let other = key("shop", Kind::PreDeploy, taken, "0000000000zz");
        assert_eq!(sibling(&made, "0000000000zz"), Some(other));
    }

    #[test]
    fn the_store_is_found_from_the_archive() {
        let file = "shop/daily/2026-11-23/shop-daily-20261123T030405Z-0123456789ab.cask";
        for (archive, store) in [
            (format!("/backups/prod/{file}"), "/backups/prod"),
            (format!("backups/{file}"), "backups"),
            (file.to_owned(), "."),
            (format!("s3://bucket/prod/{file}"), "s3://bucket/prod"),
            (format!("s3://bucket/{file}"), "s3://bucket"),
            ("/tmp/copy.cask".to_owned(), "/tmp"),
            ("/a/b/c/d/copy.cask".to_owned(), "/a/b/c/d"),
            ("copy.cask".to_owned(), "."),
            ("/copy.cask".to_owned(), "/"),
        ] {
            assert_eq!(store_of(&archive), store, "{archive}");
        }
    }

    #[test]
    fn a_key_is_read_as_it_was_made_and_no_other() {
        let taken: Timestamp = "2026-11-23T03:04:05Z".parse().unwrap();
        for database in ["shop", "my-app", "a-daily", "-x", "é/\n%", "a=b==c"] {
            let made = key(database, Kind::PreDeploy, taken, "0123456789ab");
            let id = "0123456789ab".to_owned();
            let facts = KeyFacts { database: database.to_owned(), kind: Kind::PreDeploy, taken, id };
            assert_eq!(parse(&made), Some(facts), "{made}");
        }
        let long = "é".repeat(63);
        assert_eq!(parse(&key(&long, Kind::Daily, taken, "0123456789ab")).unwrap().database, escape(&long));
        let good = "shop/daily/2026-11-23/shop-daily-20261123T030405Z-0123456789ab.cask";
        assert!(parse(good).is_some());
        for (from, to) in [("2026-11-23/", "2026-11-24/"), ("/shop-", "/ship-"), ("-daily-", "-weekly-")] {
            assert_eq!(parse(&good.replacen(from, to, 1)), None);
        }
        for (from, to) in
            [(".cask", ".json"), ("89ab", "89aB"), ("89ab", "89"), ("T0304", "T2504"), ("shop/", "x/shop/")]
        {
            assert_eq!(parse(&good.replacen(from, to, 1)), None);
        }
    }

    #[test]
    fn kinds_are_read_as_they_are_written() {
        for kind in Kind::ALL {
            assert_eq!(kind.to_string().parse::<Kind>().unwrap(), kind);
        }
        for kind in Kind::ALL {
            let made = key("my-app é", kind, Timestamp::UNIX_EPOCH, "0123456789ab");
            assert_eq!(key_of(made.rsplit('/').next().unwrap()), Some(made.clone()));
        }
        for strange in [
            "",
            "x.cask",
            "..-daily-20261123T030405Z-0123456789ab.cask",
            "a/b-daily-20261123T030405Z-0123456789ab.cask",
        ] {
            assert_eq!(key_of(strange), None, "{strange}");
        }
        assert!("hourly".parse::<Kind>().is_err());
        assert_eq!(new_id().unwrap().len(), 12);
    }
}
