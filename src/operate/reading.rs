//! Who reads a backup that is marked for removal says so beside it, so that a prune leaves it alone meanwhile.

use bytes::Bytes;
use serde::Serialize;

use super::Actor;
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::store::beside::Place;
use crate::store::notes::NoteKind;
use crate::store::{StoreError, naming, objects};

#[derive(Serialize)]
struct Use<'a> {
    format: u32,
    by: &'a Actor,
}

/// Announces that an archive is being read, where it is marked. Gives what the reader should know, if anything.
///
/// # Errors
/// [`ErrorKind::Refused`] when the archive is being removed at this moment. A store that cannot be listed is no error: who may
/// read an archive need not be able to do more.
pub async fn announce(archive: &str, actor: &Actor, clock: Clock) -> Result<Option<String>> {
    let Some(place) = Place::of(archive).ok().filter(|place| naming::parse(&place.key).is_some()) else {
        return Ok(None);
    };
    let (store, key) = (place.store, place.key.as_str());
    let listed = |objects: Vec<objects::Object>| -> Vec<String> {
        objects.into_iter().filter_map(|object| object.key.strip_prefix(key).map(str::to_owned)).collect()
    };
    let Ok(beside) = objects::beside(&store, key).await.map(listed) else { return Ok(None) };
    if !beside.iter().any(|suffix| matches!(NoteKind::parse(suffix), NoteKind::Mark(_))) {
        return Ok(None);
    }
    let text = serde_json::to_vec(&Use { format: 1, by: actor }).unwrap_or_default();
    let suffix = NoteKind::Use(clock.now()).suffix().unwrap_or_default();
    match objects::put_new(&store, &format!("{key}{suffix}"), Bytes::from(text)).await {
        Ok(()) | Err(StoreError::AlreadyExists { .. }) => {}
        Err(error) => {
            return Ok(Some(format!(
                "this backup is marked for removal, and that it is being read cannot be written down ({error}): `pgcask hold add` keeps it"
            )));
        }
    }
    let still = objects::beside(&store, key).await.map(listed).unwrap_or_default();
    if still.iter().any(|suffix| suffix == ".json") {
        return Ok(Some("this backup is marked for removal; it stays while it is being read".to_owned()));
    }
    Err(Error::new(
        ErrorKind::Refused,
        format!("{archive} is being removed by `pgcask prune` at this moment"),
    )
    .hint("`pgcask list` shows what there is"))
}
