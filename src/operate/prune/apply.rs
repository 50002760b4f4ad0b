//! Carries a plan out. What is removed stops being a backup first: its `.json` goes before its archive.

use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::leftovers::{Leftover, What};
use super::{DEFAULT_GRACE, Options, Outcome, Plan, Planned, Step, lease};
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::operate::Actor;
use crate::stop::Stop;
use crate::store::notes::{self, Note, NoteKind};
use crate::store::objects::Object;
use crate::store::{Store, StoreError, naming, objects};

/// Backups worked on at the same time.
const AT_ONCE: usize = 8;

/// What a mark says.
#[derive(Serialize)]
struct Mark<'a> {
    format: u32,
    at: Timestamp,
    by: &'a Actor,
    reasons: &'a [String],
    removable_at: Option<Timestamp>,
}

/// Carries a plan out and writes into it what was done.
///
/// # Errors
/// [`ErrorKind::Refused`] for a blocked plan, another prune at work, or clocks that differ: nothing is touched then. The first
/// failure of the store otherwise; the plan says of each backup what was done.
pub async fn apply(
    store: &Store,
    plan: &mut Plan,
    options: &Options,
    clock: Clock,
    stop: &Stop,
) -> Result<()> {
    if let Some(why) = &plan.blocked {
        return Err(Error::new(ErrorKind::Refused, why.clone())
            .hint("if the clock is right and no backups are to come, say so with --trust-clock"));
    }
    plan.applied = true;
    if !plan.has_work() {
        return Ok(());
    }
    if let Err(error) = lease::take(store, &options.actor, clock, options.trust_clock).await {
        plan.applied = false;
        return Err(error);
    }
    let work = Work { store, options, clock, stop, given_up: AtomicBool::new(false) };
    let done = work.all(plan).await;
    let released = lease::release(store).await;
    done.and(released)
}

struct Work<'a> {
    store: &'a Store,
    options: &'a Options,
    clock: Clock,
    stop: &'a Stop,
    /// The store does not let us: the rest is not tried.
    given_up: AtomicBool,
}

impl Work<'_> {
    async fn all(&self, plan: &mut Plan) -> Result<()> {
        let mut first: Option<Error> = None;
        let mut note = |failure: Option<Error>| {
            if first.is_none() {
                first = failure;
            }
        };
        let steps: Vec<_> = stream::iter(plan.backups.iter_mut())
            .filter(|one| std::future::ready(!matches!(one.step, Step::Keep | Step::Wait)))
            .map(|one| self.backup(one))
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        steps.into_iter().for_each(&mut note);
        let rest: Vec<_> = stream::iter(plan.leftovers.iter_mut().filter(|one| one.remove))
            .map(|one| self.leftover(one))
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        rest.into_iter().for_each(&mut note);
        self.stop.check()?;
        first.map_or(Ok(()), Err)
    }

    fn over(&self) -> bool {
        self.stop.is_requested() || self.given_up.load(Ordering::Relaxed)
    }

    fn judge(&self, done: std::result::Result<Outcome, StoreError>) -> (Outcome, Option<Error>) {
        match done {
            Ok(outcome) => (outcome, None),
            Err(error) => {
                if matches!(error, StoreError::PermissionDenied { .. }) {
                    self.given_up.store(true, Ordering::Relaxed);
                }
                (Outcome::Failed(error.to_string()), Some(error.into()))
            }
        }
    }

    async fn backup(&self, one: &mut Planned) -> Option<Error> {
        if self.over() {
            one.outcome = Some(Outcome::NotDone);
            return None;
        }
        let done = match one.step {
            Step::Mark => self.mark(one).await,
            Step::Unmark => self.unmark(&one.backup.notes).await,
            Step::Remove => self.remove(one).await,
            Step::Keep | Step::Wait => return None,
        };
        let (outcome, failure) = self.judge(done);
        one.outcome = Some(outcome);
        failure
    }

    async fn leftover(&self, one: &mut Leftover) -> Option<Error> {
        if self.over() {
            one.outcome = Some(Outcome::NotDone);
            return None;
        }
        let done = match &one.what {
            What::Object(orphan) if orphan.lacks == ".json" => self.remove_archive(&orphan.key).await,
            What::Object(orphan) => objects::remove(self.store, &orphan.key).await.map(|()| Outcome::Done),
            What::Unfinished(unfinished) => self.store.abort(unfinished).await.map(|()| Outcome::Done),
        };
        let (outcome, failure) = self.judge(done);
        one.outcome = Some(outcome);
        failure
    }

    async fn mark(&self, one: &Planned) -> std::result::Result<Outcome, StoreError> {
        let now = self.clock.now();
        let mark = Mark {
            format: 1,
            at: now,
            by: &self.options.actor,
            reasons: &one.reasons,
            removable_at: now.checked_add(self.options.grace).ok(),
        };
        let text = serde_json::to_vec_pretty(&mark).unwrap_or_default();
        let suffix = NoteKind::Mark(now).suffix().unwrap_or_default();
        match objects::put_new(self.store, &format!("{}{suffix}", one.backup.key), Bytes::from(text)).await {
            // Marked by another prune within this second.
            Ok(()) | Err(StoreError::AlreadyExists { .. }) => Ok(Outcome::Done),
            Err(error) => Err(error),
        }
    }

    async fn unmark(&self, all: &[Note]) -> std::result::Result<Outcome, StoreError> {
        for note in all.iter().filter(|note| matches!(note.kind, NoteKind::Mark(_))) {
            objects::remove(self.store, &note.object.key).await?;
        }
        Ok(Outcome::Done)
    }

    /// Removes a backup. Who holds it or begins to read it meanwhile writes that down first and then looks whether the `.json`
    /// is still there; we remove the `.json` first and then look whether anybody wrote something down: one of the two sees
    /// the other.
    async fn remove(&self, one: &Planned) -> std::result::Result<Outcome, StoreError> {
        let key = one.backup.key.as_str();
        if let Some(why) = self.alone(one).await? {
            return Ok(Outcome::Spared(why));
        }
        let before = objects::beside(self.store, key).await?;
        if let Some(why) = self.spared(key, &before) {
            return Ok(Outcome::Spared(why));
        }
        let marked = notes::mark(&notes::of(key, &before)).is_some();
        if !marked && !self.options.grace.is_zero() {
            return Ok(Outcome::Spared("its mark was taken away".to_owned()));
        }
        let metadata = format!("{key}.json");
        let sidecar = match objects::read(self.store, &metadata).await {
            Ok(Some(bytes)) => Some(bytes),
            Ok(None) => return Ok(Outcome::Spared("its sidecar cannot be read".to_owned())),
            Err(StoreError::NotFound { .. }) => None,
            Err(error) => return Err(error),
        };
        objects::remove(self.store, &metadata).await?;
        let after = match objects::beside(self.store, key).await {
            Ok(after) => after,
            Err(error) => return Err(self.put_back(&metadata, sidecar, error).await),
        };
        if let Some(why) = self.spared(key, &after) {
            self.put_again(&metadata, sidecar).await?;
            return Ok(Outcome::Spared(why));
        }
        if let Err(error) = objects::remove(self.store, key).await {
            return Err(self.put_back(&metadata, sidecar, error).await);
        }
        self.remove_rest(key, &after).await
    }

    /// Why one goes no longer that was to go because another takes its place.
    async fn alone(&self, one: &Planned) -> std::result::Result<Option<String>, StoreError> {
        let Some(id) = &one.backup.superseded_by else { return Ok(None) };
        let other = naming::sibling(&one.backup.key, id).unwrap_or_default();
        for object in [format!("{other}.json"), other] {
            match objects::stat(self.store, &object).await {
                Ok(_) => {}
                Err(StoreError::NotFound { .. }) => {
                    return Ok(Some(format!("{id}, which takes its place, is gone")));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Removes an archive that is no backup.
    async fn remove_archive(&self, key: &str) -> std::result::Result<Outcome, StoreError> {
        let beside = objects::beside(self.store, key).await?;
        if beside.iter().any(|object| object.key == format!("{key}.json")) {
            return Ok(Outcome::Spared("it has become a backup".to_owned()));
        }
        if let Some(why) = self.spared(key, &beside) {
            return Ok(Outcome::Spared(why));
        }
        objects::remove(self.store, key).await?;
        self.remove_rest(key, &beside).await
    }

    async fn remove_rest(&self, key: &str, beside: &[Object]) -> std::result::Result<Outcome, StoreError> {
        for object in beside.iter().filter(|object| object.key != key) {
            objects::remove(self.store, &object.key).await?;
        }
        Ok(Outcome::Done)
    }

    fn spared(&self, key: &str, beside: &[Object]) -> Option<String> {
        let notes = notes::of(key, beside);
        if !notes::holds(&notes).is_empty() {
            return Some("held".to_owned());
        }
        let reading: SignedDuration = self.options.grace.max(DEFAULT_GRACE);
        let used = notes::used(&notes).filter(|used| self.clock.now().duration_since(*used) < reading);
        if let Some(since) = used {
            return Some(format!("being read since {since}"));
        }
        let unknown = notes.iter().find(|note| note.kind == NoteKind::Unknown)?;
        Some(format!("nothing is known of {}", unknown.object.key))
    }

    /// Makes it a backup again after a failure; gives the error to be told.
    async fn put_back(&self, key: &str, sidecar: Option<Bytes>, error: StoreError) -> StoreError {
        match self.put_again(key, sidecar).await {
            Ok(()) => error,
            Err(second) => StoreError::Unreachable {
                place: self.store.display(key),
                reason: format!(
                    "it was removed, the archive was not ({error}), and it could not be put back: {second}"
                ),
            },
        }
    }

    async fn put_again(&self, key: &str, sidecar: Option<Bytes>) -> std::result::Result<(), StoreError> {
        let Some(sidecar) = sidecar else { return Ok(()) };
        match objects::put_new(self.store, key, sidecar).await {
            Err(StoreError::AlreadyExists { .. }) => Ok(()),
            other => other,
        }
    }
}
