//! Names: kinds of backup, ids, and the key of an archive in its store.
//!
//! `<database>/<kind>/<YYYY-MM-DD>/<database>-<kind>-<YYYYMMDDThhmmssZ>-<id>.cask`, with `.sha256` and `.json` beside it.
//! The database's name is escaped and capped; its true name stands in the metadata.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::StoreError;
use super::sidecar::hex;

/// Longest escaped name in a key. File systems take 255 bytes for a whole file name.
const MAX_NAME: usize = 100;

/// The kind of a backup: sets retention and the place in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
            why: "kinds are daily, weekly, monthly, pre-deploy, manual".to_owned(),
        })
    }
}

/// A new backup's id: 60 random bits in 12 letters and digits that cannot be mistaken for one another.
///
/// # Errors
/// When the system has no randomness.
pub fn new_id() -> Result<String, StoreError> {
    const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    let mut bytes = [0u8; 12];
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
    let time = taken.strftime("%Y%m%dT%H%M%SZ");
    format!("{name}/{kind}/{day}/{name}-{kind}-{time}-{id}.cask")
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

/// A name that is safe in keys and file names: letters, digits and `_` stay, every other byte becomes `%XX`. One that
/// gets too long is cut and ends in a hash of the whole, so that two names never become one.
pub fn escape(name: &str) -> String {
    let mut out = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'_' {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    if out.len() > MAX_NAME {
        let hash = Sha256::digest(name.as_bytes());
        let tail = hex(hash.get(..8).unwrap_or_default());
        out.truncate(MAX_NAME - tail.len() - 1);
        out.push('~');
        out.push_str(&tail);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_their_place() {
        assert_eq!(escape("../etc"), "%2E%2E%2Fetc");
        assert_eq!(escape("shop_1"), "shop_1");
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
    fn kinds_are_read_as_they_are_written() {
        for kind in Kind::ALL {
            assert_eq!(kind.to_string().parse::<Kind>().unwrap(), kind);
        }
        assert!("hourly".parse::<Kind>().is_err());
        assert_eq!(new_id().unwrap().len(), 12);
    }
}
