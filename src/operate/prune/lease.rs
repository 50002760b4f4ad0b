//! One prune at a time. Taking the lease also shows two things before anything is touched: that the store lets us delete, and
//! that its clock and ours agree.

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::clock::Clock;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::operate::Actor;
use crate::operate::retention::CLOCK_TOLERANCE;
use crate::store::{Store, StoreError, naming, objects};

/// Where it lies.
const KEY: &str = ".pgcask/prune.json";

/// A lease of this age is one that was left behind.
const LONGEST: SignedDuration = SignedDuration::from_hours(1);

#[derive(Serialize)]
struct Lease<'a> {
    format: u32,
    by: &'a Actor,
    at: Timestamp,
    /// Tells two of the same moment apart: what has the very same bytes counts as one's own.
    id: String,
}

/// Takes the lease.
pub(super) async fn take(store: &Store, actor: &Actor, clock: Clock, trust_clock: bool) -> Result<()> {
    let nothing = || "take the lease of the prune; nothing was marked or removed".to_owned();
    put(store, actor, clock).await.context(nothing)?;
    let written = objects::stat(store, KEY).await.context(nothing)?.written;
    // Removing it shows that the store lets us delete, before anything else is removed.
    objects::remove(store, KEY).await.context(nothing)?;
    let differ = clock.now().duration_since(written);
    if differ.abs() > CLOCK_TOLERANCE && !trust_clock {
        let message = format!(
            "the clock of this machine and that of the store differ by {} minutes; nothing was marked or removed",
            differ.abs().as_mins()
        );
        return Err(Error::new(ErrorKind::Refused, message).hint("set the clocks right, for instance by NTP"));
    }
    put(store, actor, clock).await.context(nothing)
}

/// Gives the lease back.
pub(super) async fn release(store: &Store) -> Result<()> {
    objects::remove(store, KEY).await.context(|| "give back the lease of the prune".to_owned())
}

async fn put(store: &Store, actor: &Actor, clock: Clock) -> Result<()> {
    let lease = Lease { format: 1, by: actor, at: clock.now(), id: naming::new_id()? };
    let text = serde_json::to_vec(&lease)
        .map_err(|error| Error::with_source(ErrorKind::Failed, "write the lease of the prune", error))?;
    let text = Bytes::from(text);
    match objects::put_new(store, KEY, text.clone()).await {
        Err(StoreError::AlreadyExists { .. }) => {}
        other => return Ok(other?),
    }
    let since = match objects::stat(store, KEY).await {
        Ok(found) => found.written,
        Err(StoreError::NotFound { .. }) => Timestamp::MIN,
        Err(error) => return Err(error.into()),
    };
    if clock.now().duration_since(since) > LONGEST {
        objects::remove(store, KEY).await?;
        match objects::put_new(store, KEY, text).await {
            Err(StoreError::AlreadyExists { .. }) => {}
            other => return Ok(other?),
        }
    }
    Err(Error::new(ErrorKind::Refused, format!("another prune is at work in this store since {since}"))
        .hint("if it was killed, its lease is passed over after an hour"))
}
