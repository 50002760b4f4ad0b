//! Which archive is meant: by its place, or by what a listing tells of it.

use jiff::Timestamp;

use super::list::{self, Backup, Filter};
use super::naming::Kind;
use super::{Store, StoreError, sidecar};

/// How an archive is named on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// A path or URL of the archive itself.
    Place(String),
    /// One of the backups in a store.
    Backup {
        /// Of this database; without it, the store must hold those of one only.
        database: Option<String>,
        /// Which of them.
        which: Which,
    },
}

/// Which of the backups in a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// The newest, or the newest of a kind.
    Latest(Option<Kind>),
    /// The one whose id begins so.
    Id(String),
}

/// The least of an id that is taken for one.
const LEAST_OF_ID: usize = 4;

impl Reference {
    /// Reads a reference: `latest` (which no safety backup ever is), `latest:weekly`, `shop/latest`, an id or its beginning, `shop/ID`; anything else, and
    /// whatever exists as a file, is a place.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for a kind that there is not.
    pub fn parse(text: &str) -> Result<Self, StoreError> {
        let place = || Ok(Self::Place(text.to_owned()));
        if text.contains("://") || std::path::Path::new(text).exists() {
            return place();
        }
        let (database, last) = match text.rsplit_once('/') {
            Some((database, last)) => (Some(database.to_owned()), last),
            None => (None, text),
        };
        let which = if let Some(kind) = last.strip_prefix("latest:") {
            Which::Latest(Some(kind.parse()?))
        } else if last == "latest" {
            Which::Latest(None)
        } else if last.len() >= LEAST_OF_ID && last.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            Which::Id(last.to_owned())
        } else {
            return place();
        };
        Ok(Self::Backup { database, which })
    }
}

/// Finds a backup in a store.
///
/// # Errors
/// [`StoreError::NoBackup`], [`StoreError::Ambiguous`], and those of the store.
pub async fn find_backup(
    store: &Store,
    database: Option<&str>,
    which: &Which,
    before: Option<Timestamp>,
) -> Result<Backup, StoreError> {
    let kind = if let Which::Latest(kind) = which { *kind } else { None };
    let filter = Filter { database: database.map(str::to_owned), kind, since: None, before };
    let mut backups = list::list(store, &filter).await?.backups;
    if matches!(which, Which::Latest(_)) {
        // Another has its place, without rows that were erased.
        backups.retain(|backup| backup.superseded_by.is_none());
    }
    if *which == Which::Latest(None) {
        // What was taken of a database just before it was replaced is what somebody wanted to get away from. It is the
        // newest only because of that, and must be asked for by its kind.
        backups.retain(|backup| backup.facts.kind != Kind::PreRestore);
        complete_first(store, &mut backups).await?;
    }
    if let Which::Id(start) = which {
        backups.retain(|backup| backup.facts.id.starts_with(start.as_str()));
    }
    let Some(newest) = backups.first() else {
        return Err(StoreError::NoBackup {
            place: store.display(""),
            wanted: wanted(database, which, before),
        });
    };
    let differs = |other: &&Backup| match which {
        Which::Latest(_) => other.facts.database != newest.facts.database,
        Which::Id(_) => other.facts.id != newest.facts.id,
    };
    if let Some(other) = backups.iter().find(differs) {
        let both = [newest, other].map(|backup| format!("{}/{}", backup.facts.database, backup.facts.id));
        return Err(StoreError::Ambiguous { wanted: wanted(database, which, before), both });
    }
    Ok(newest.clone())
}

/// Passes over the newest ones that are without the rows of personal tables, if an older one of the same database has them.
async fn complete_first(store: &Store, backups: &mut Vec<Backup>) -> Result<(), StoreError> {
    let Some(newest) = backups.first().map(|newest| newest.facts.database.clone()) else { return Ok(()) };
    for at in 0..backups.len() {
        let Some(backup) = backups.get(at).filter(|backup| backup.facts.database == newest) else { break };
        let metadata = match sidecar::read(store, &backup.key).await {
            // Who may not read it, or cannot any more, takes it by its name.
            Err(StoreError::NotFound { .. } | StoreError::PermissionDenied { .. }) => None,
            other => other?,
        };
        if metadata.is_none_or(|metadata| metadata.without_personal == 0) {
            backups.drain(..at);
            break;
        }
    }
    Ok(())
}

/// What was asked for, in words.
fn wanted(database: Option<&str>, which: &Which, before: Option<Timestamp>) -> String {
    let mut text = match which {
        Which::Latest(None) => "backup".to_owned(),
        Which::Latest(Some(kind)) => format!("{kind} backup"),
        Which::Id(start) => format!("backup {start}"),
    };
    if let Some(database) = database {
        text.push_str(&format!(" of {database}"));
    }
    if let Some(before) = before {
        text.push_str(&format!(" before {before}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_and_places() {
        let backup = |database: Option<&str>, which| {
            Ok(Reference::Backup { database: database.map(str::to_owned), which })
        };
        for (text, read) in [
            ("latest", backup(None, Which::Latest(None))),
            ("latest:pre-deploy", backup(None, Which::Latest(Some(Kind::PreDeploy)))),
            ("my-app/latest", backup(Some("my-app"), Which::Latest(None))),
            ("6k2x", backup(None, Which::Id("6k2x".to_owned()))),
            ("shop/6k2x8m41qvtz", backup(Some("shop"), Which::Id("6k2x8m41qvtz".to_owned()))),
        ] {
            assert_eq!(Reference::parse(text), read);
        }
        for place in ["s3://b/shop/latest", "/backups/shop.cask", "shop.cask", "Cargo.toml", "src", "6k2"] {
            assert_eq!(Reference::parse(place), Ok(Reference::Place(place.to_owned())));
        }
        assert!(Reference::parse("latest:hourly").is_err());
    }
}
