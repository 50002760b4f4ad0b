//! What is put beside an archive after its backup: write-once objects, such as the record of a drill. The sidecars of the
//! backup itself never change.

use bytes::Bytes;
use jiff::Timestamp;

use super::objects::MAX_BYTES;
use super::{Location, Store, StoreError, naming, objects};

/// An archive's place: the store that it lies in, and its key there.
#[derive(Debug, Clone)]
pub struct Place {
    /// The store.
    pub store: Store,
    /// The key.
    pub key: String,
}

impl Place {
    /// Finds store and key from the archive's path or URL.
    ///
    /// # Errors
    /// When the folder is not there, or the URL is of no store.
    pub fn of(archive: &str) -> Result<Self, StoreError> {
        let base = naming::store_of(archive);
        let store = Location::parse(&base)?.open_existing()?;
        let key = archive.strip_prefix(&base).unwrap_or(archive).trim_start_matches('/');
        Ok(Self { store, key: key.to_owned() })
    }
}

/// The end of the name of a drill's record.
pub fn drill_name(at: Timestamp) -> String {
    format!("drill-{}.json", at.strftime("%Y%m%dT%H%M%SZ"))
}

/// The end of the name of what a drill leaves to read: its record (`json`), log (`log`) or page (`html`).
pub fn evidence_name(at: Timestamp, form: &str) -> String {
    format!("evidence-{}.{form}", at.strftime("%Y%m%dT%H%M%SZ"))
}

/// When the drill was that left this end of a name; `None` for something else.
pub fn drill_time(end: &str) -> Option<Timestamp> {
    let text = end.strip_prefix("drill-")?.strip_suffix(".json")?;
    text.parse().ok()
}

/// Puts a small object beside an archive. It must not exist.
///
/// # Errors
/// [`StoreError::AlreadyExists`], and those of the store.
pub async fn put(store: &Store, key: &str, end: &str, bytes: Vec<u8>) -> Result<(), StoreError> {
    objects::put_new(store, &format!("{key}.{end}"), Bytes::from(bytes)).await
}

/// Reads a small object beside an archive.
///
/// # Errors
/// [`StoreError::NotFound`], [`StoreError::Length`] for one that is too large to be ours, and those of the store.
pub async fn read(store: &Store, key: &str, end: &str) -> Result<Bytes, StoreError> {
    let key = format!("{key}.{end}");
    let too_large =
        || StoreError::Length { place: store.display(&key), found: MAX_BYTES + 1, expected: MAX_BYTES };
    objects::read(store, &key).await?.ok_or_else(too_large)
}

/// As [`read`], by the archive's path or URL; `None` when there is none, or when the store does not let us see whether there is.
///
/// # Errors
/// As [`read`].
pub async fn find(archive: &str, end: &str) -> Result<Option<Bytes>, StoreError> {
    let Place { store, key } = Place::of(archive)?;
    match read(&store, &key, end).await {
        Ok(bytes) => Ok(Some(bytes)),
        Err(StoreError::NotFound { .. } | StoreError::PermissionDenied { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The ends of the names of all that lies beside an archive, sidecars too.
///
/// # Errors
/// Those of the store.
pub async fn ends(place: &Place) -> Result<Vec<String>, StoreError> {
    let beside = objects::beside(&place.store, &place.key).await?;
    let end = |object: &objects::Object| {
        object.key.strip_prefix(place.key.as_str())?.strip_prefix('.').map(str::to_owned)
    };
    Ok(beside.iter().filter_map(end).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_drill_is_in_its_name() {
        let at: Timestamp = "2026-11-25T01:02:03Z".parse().unwrap();
        assert_eq!(drill_name(at), "drill-20261125T010203Z.json");
        assert_eq!(drill_time("drill-20261125T010203Z.json"), Some(at));
        assert_eq!(drill_time("hold-1.json"), None);
    }
}
