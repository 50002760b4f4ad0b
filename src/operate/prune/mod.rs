//! Removes backups whose time has come, in two steps with a grace period between them, and what failed ones left behind.
//!
//! ```text
//! list ─▶ sidecars ─▶ decide (pure) ─▶ plan ─▶ [lease: clock, right to delete, one at a time] ─▶ mark … grace … remove
//! ```

mod apply;
mod gather;
mod lease;
mod leftovers;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

pub use apply::apply;
pub use leftovers::{Leftover, LeftoverKind};

use super::Actor;
use super::retention::{CLOCK_TOLERANCE, Candidate, Policy, Reason, Verdict, decide};
use crate::error::{Error, ErrorKind, Result};
use crate::store::list::{Backup, Filter, list};
use crate::store::naming::Kind;
use crate::store::{Store, StoreError, notes};

/// How long a mark waits unless something else is asked for. A backup or a restore takes less.
pub const DEFAULT_GRACE: SignedDuration = SignedDuration::from_hours(24);

/// How old a leftover must be to be removed unless something else is asked for. No backup takes so long.
pub const DEFAULT_LEFTOVER_AGE: SignedDuration = SignedDuration::from_hours(7 * 24);

/// A store to which nothing was added for so long is not pruned without being told: either backups have stopped, or the clock
/// jumped.
const LONGEST_SILENCE: SignedDuration = SignedDuration::from_hours(40 * 24);

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Options {
    /// Only backups of this database.
    pub database: Option<String>,
    /// Keys of archives to be removed whatever the policy says.
    pub named: Vec<String>,
    /// How long backups are kept.
    pub policy: Policy,
    /// How long those of single databases are kept instead.
    pub policies: BTreeMap<String, Policy>,
    /// How long a mark waits before the backup is removed.
    pub grace: SignedDuration,
    /// How old a leftover must be.
    pub leftover_age: SignedDuration,
    /// The clock is right, and it is known that no backups were made for long.
    pub trust_clock: bool,
    /// Who asks.
    pub actor: Actor,
}

/// What becomes of a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// It stays.
    Keep,
    /// It stays, and its mark goes.
    Unmark,
    /// It is marked; after the grace period it can be removed.
    Mark,
    /// It is marked, and the grace period is not over.
    Wait,
    /// It goes.
    Remove,
}

/// What was done about one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "outcome", content = "why")]
pub enum Outcome {
    /// As planned.
    Done,
    /// It was left alone, for a reason that came up meanwhile.
    Spared(String),
    /// It could not be done.
    Failed(String),
    /// Its turn did not come.
    NotDone,
}

/// One backup of a plan.
#[derive(Debug, Clone, Serialize)]
pub struct Planned {
    /// Path or URL.
    pub archive: String,
    /// Its id.
    pub id: String,
    /// Its database.
    pub database: String,
    /// Its kind.
    pub kind: Kind,
    /// When it began.
    pub taken_at: Timestamp,
    /// Length of the archive.
    pub bytes: u64,
    /// What becomes of it.
    pub step: Step,
    /// Why it stays, or goes.
    pub reasons: Vec<String>,
    /// From when on it can be removed.
    pub removable_at: Option<Timestamp>,
    /// What was done; nothing in a dry run, or where there is nothing to do.
    #[serde(flatten)]
    pub outcome: Option<Outcome>,
    #[serde(skip)]
    backup: Backup,
}

/// What is to be done to a store, and why.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    /// When it was made.
    pub at: Timestamp,
    /// Whether it was carried out.
    pub applied: bool,
    /// Why nothing may be done, if so.
    pub blocked: Option<String>,
    /// What should be known besides.
    pub warnings: Vec<String>,
    /// The backups, newest first.
    pub backups: Vec<Planned>,
    /// What failed backups left behind.
    pub leftovers: Vec<Leftover>,
}

impl Plan {
    /// Whether there is anything to do.
    pub fn has_work(&self) -> bool {
        self.backups.iter().any(|one| !matches!(one.step, Step::Keep | Step::Wait))
            || self.leftovers.iter().any(|one| one.remove)
    }

    /// How many backups this becomes of, and their bytes.
    pub fn count(&self, step: Step) -> (u64, u64) {
        let all = self.backups.iter().filter(|one| one.step == step);
        all.fold((0, 0), |(count, bytes), one| (count + 1, bytes + one.bytes))
    }
}

/// Says what a prune would do; touches nothing.
///
/// # Errors
/// Those of the store; [`ErrorKind::Refused`] when a backup is asked for by name that is protected.
pub async fn plan(store: &Store, options: &Options, now: Timestamp) -> Result<Plan> {
    let filter = Filter { database: options.database.clone(), ..Filter::default() };
    let listing = list(store, &filter).await?;
    let candidates = gather::candidates(store, &listing.backups, &options.named).await?;
    for key in &options.named {
        if !listing.backups.iter().any(|backup| backup.key == *key) {
            let wanted = format!("backup {key}");
            return Err(StoreError::NoBackup { place: store.display(""), wanted }.into());
        }
    }
    // Who reads a marked backup has at least a day, however short the grace period is.
    let reading = options.grace.max(DEFAULT_GRACE);
    let verdicts = verdicts(&candidates, options, now, reading);
    refuse_named(store, &listing.backups, &candidates, &verdicts)?;
    let leftovers = leftovers::find(store, &listing, &candidates, options, now).await?;
    let mut plan = Plan {
        at: now,
        applied: false,
        blocked: None,
        warnings: warnings(&candidates, now),
        backups: Vec::with_capacity(listing.backups.len()),
        leftovers,
    };
    for (backup, verdict) in listing.backups.into_iter().zip(verdicts) {
        plan.backups.push(planned(store, backup, &verdict, options, now));
    }
    if !options.trust_clock && plan.has_work() {
        plan.blocked = silence(&candidates, now);
    }
    Ok(plan)
}

/// What becomes of each, by the policy of its database.
fn verdicts(
    candidates: &[Candidate],
    options: &Options,
    now: Timestamp,
    reading: SignedDuration,
) -> Vec<Verdict> {
    if options.policies.is_empty() {
        return decide(candidates, &options.policy, now, reading);
    }
    let mut of_databases: BTreeMap<&str, Vec<Candidate>> = BTreeMap::new();
    for one in candidates {
        of_databases.entry(&one.facts.database).or_default().push(one.clone());
    }
    let decided = of_databases.into_iter().map(|(name, own)| {
        let policy = options.policies.get(name).unwrap_or(&options.policy);
        (name, decide(&own, policy, now, reading).into_iter())
    });
    let mut decided: BTreeMap<&str, _> = decided.collect();
    // A database's verdicts come in the order of its candidates.
    candidates.iter().filter_map(|one| decided.get_mut(one.facts.database.as_str())?.next()).collect()
}

fn planned(store: &Store, backup: Backup, verdict: &Verdict, options: &Options, now: Timestamp) -> Planned {
    // The mark's name was given by the clock of who made it, its time by the store: the later one counts.
    let marked = notes::mark(&backup.notes).map(|(time, note)| time.max(note.object.written));
    let ripe = |since: Timestamp| since.checked_add(options.grace).unwrap_or(Timestamp::MAX);
    let (step, removable_at) = match (verdict.keep, marked) {
        (true, None) => (Step::Keep, None),
        (true, Some(_)) => (Step::Unmark, None),
        (false, None) if options.grace.is_zero() => (Step::Remove, None),
        (false, None) => (Step::Mark, Some(ripe(now))),
        (false, Some(since)) if ripe(since) <= now => (Step::Remove, None),
        (false, Some(since)) => (Step::Wait, Some(ripe(since))),
    };
    Planned {
        archive: store.display(&backup.key),
        id: backup.facts.id.clone(),
        database: backup.facts.database.clone(),
        kind: backup.facts.kind,
        taken_at: backup.facts.taken,
        bytes: backup.bytes,
        step,
        reasons: verdict.reasons.iter().map(ToString::to_string).collect(),
        removable_at,
        outcome: None,
        backup,
    }
}

/// A request to remove what is protected is refused as a whole.
fn refuse_named(
    store: &Store,
    backups: &[Backup],
    candidates: &[Candidate],
    verdicts: &[Verdict],
) -> Result<()> {
    let all = backups.iter().zip(candidates).zip(verdicts);
    let mut refused = all.filter(|((_, candidate), verdict)| candidate.named && verdict.keep);
    let Some(((backup, _), verdict)) = refused.next() else { return Ok(()) };
    let why: Vec<String> = verdict.reasons.iter().map(ToString::to_string).collect();
    let message = format!("{} is not removed: {}", store.display(&backup.key), why.join(", "));
    let error = Error::new(ErrorKind::Refused, message);
    Err(if verdict.reasons.contains(&Reason::Held) {
        error.hint("`pgcask hold list` says who holds it and why, `pgcask hold release` ends that")
    } else {
        error
    })
}

fn warnings(candidates: &[Candidate], now: Timestamp) -> Vec<String> {
    let future = candidates.iter().filter(|one| {
        let finished = one.sidecar.as_ref().map_or(one.facts.taken, |sidecar| sidecar.finished);
        one.facts.taken.max(finished).duration_since(now) > CLOCK_TOLERANCE
    });
    let strange = candidates.iter().filter(|one| one.sidecar.is_err()).count();
    let mut all = Vec::new();
    let future = future.count();
    if future > 0 {
        all.push(format!("{future} backups come from the future and stay: this machine's clock is slow, or that of who made them was fast"));
    }
    if strange > 0 {
        all.push(format!("{strange} backups are not understood and stay"));
    }
    all
}

fn silence(candidates: &[Candidate], now: Timestamp) -> Option<String> {
    let newest = candidates.iter().map(|one| one.facts.taken).max()?;
    let since = now.duration_since(newest);
    (since > LONGEST_SILENCE).then(|| {
        format!(
            "the newest backup is {} days old: either backups have stopped, and then the old ones are all there is, or the clock of this machine is wrong",
            since.as_hours() / 24
        )
    })
}
