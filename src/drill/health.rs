//! The health of a store's databases: is there a good backup that is young enough, was it ever restored, is its size as
//! usual, is there room for the next, and can it still be sealed for those who are to read it?

use std::collections::BTreeMap;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use jiff::{Span, Timestamp};
use serde::Serialize;

use super::evidence::{Mark, marks};
use super::quick::is_ahead;
use super::record::{TestType, due};
use super::state::Run;
use super::text;
use crate::error::Result;
use crate::store::Store;
use crate::store::list::{Backup, Listing};
use crate::store::naming::Kind;
use crate::store::room::Room;

/// So many of the newest marks of drills are looked at. Those of samples stand among those of the whole; with a drill of
/// samples each day these are of more than a quarter.
const MARKED: usize = 120;

/// Earlier backups that say which size is usual.
const HISTORY: usize = 10;
const LEAST_HISTORY: usize = 2;
const SIZE_BAND: (f64, f64) = (0.5, 2.0);

/// With room for fewer backups than this in a store's file system there is a warning.
const SCARCE: u64 = 10;

/// So many days before a key expires there is a warning.
const KEY_DAYS: i64 = 30;

/// Databases looked at at the same time.
const READS: usize = 16;

/// What is demanded of a database.
#[derive(Debug, Clone, Copy)]
pub struct Targets {
    /// How old the newest backup may be, in seconds.
    pub rpo_seconds: f64,
    /// How long a recovery may take, in seconds.
    pub rto_seconds: f64,
    /// How long a drill counts.
    pub drill_every: Span,
}

/// A key that backups are sealed for, and for how long yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyFacts {
    /// Who it is.
    pub key: String,
    /// When nothing can be sealed for it any more; none where it does not expire.
    pub expires_at: Option<Timestamp>,
    /// Why nothing can be sealed for it.
    pub problem: Option<String>,
}

/// What is demanded.
#[derive(Debug, Clone)]
pub struct HealthOptions {
    /// Of each database.
    pub targets: Targets,
    /// Of those that have their own, by the name that their backups bear.
    pub own: BTreeMap<String, Targets>,
    /// Only this database.
    pub database: Option<String>,
    /// Databases that must have backups.
    pub expected: Vec<String>,
    /// The keys that backups are sealed for.
    pub keys: Vec<KeyFacts>,
}

impl HealthOptions {
    /// What is demanded of a database.
    pub fn of(&self, database: &str) -> Targets {
        self.own.get(database).copied().unwrap_or(self.targets)
    }
}

/// How bad it is; the order is that of monitoring plug-ins' exit codes, but `Unknown`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Nothing to do.
    Ok,
    /// To be looked at.
    Warning,
    /// To be mended now.
    Critical,
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// How bad it is.
    pub level: Level,
    /// What kind of thing: `backup`, `clock`, `drill`, `size`, `run`, `room`, `key`, `store`.
    pub about: &'static str,
    /// A sentence.
    pub message: String,
}

/// One database.
#[derive(Debug, Clone, Serialize)]
pub struct DatabaseHealth {
    /// Its name.
    pub database: String,
    /// The worst of its problems.
    pub level: Level,
    /// When the newest backup was taken; safety backups do not count.
    pub newest_at: Option<Timestamp>,
    /// Its age.
    pub age_seconds: Option<f64>,
    /// Its id.
    pub newest_id: Option<String>,
    /// Its kind.
    pub newest_kind: Option<Kind>,
    /// Its length.
    pub newest_bytes: Option<u64>,
    /// How many backups there are.
    pub backups: u64,
    /// Bytes of all of them.
    pub bytes: u64,
    /// When the last full drill was.
    pub drilled_at: Option<Timestamp>,
    /// Whether it passed.
    pub drill_passed: Option<bool>,
    /// The recovery time that it measured.
    pub drill_seconds: Option<f64>,
    /// When the next is due.
    pub drill_due: Option<Timestamp>,
    /// What is not as it should be.
    pub problems: Vec<Problem>,
}

/// A store.
#[derive(Debug, Clone, Serialize)]
pub struct Health {
    /// Path or URL.
    pub store: String,
    /// The worst of all.
    pub level: Level,
    /// Its databases, by name.
    pub databases: Vec<DatabaseHealth>,
    /// Leftovers of backups that failed.
    pub orphans: u64,
    /// Free and all bytes of the file system, where it is one.
    pub room: Option<Room>,
    /// The keys that backups are sealed for.
    pub keys: Vec<KeyFacts>,
    /// What is not as it should be with the store, or with a key.
    pub problems: Vec<Problem>,
}

/// The backups of each database, the newest first. `expected` are there even without one.
pub fn by_database<'a>(
    listing: &'a Listing,
    expected: impl IntoIterator<Item = &'a String>,
) -> BTreeMap<&'a str, Vec<&'a Backup>> {
    let mut found: BTreeMap<&str, Vec<&Backup>> = BTreeMap::new();
    for backup in &listing.backups {
        found.entry(&backup.facts.database).or_default().push(backup);
    }
    for database in expected {
        found.entry(database).or_default();
    }
    found
}

/// Judges a store by its listing.
///
/// # Errors
/// When a mark of a drill cannot be read.
pub async fn judge(
    store: &Store,
    listing: &Listing,
    room: Option<Room>,
    options: &HealthOptions,
    runs: &[Run],
    now: Timestamp,
) -> Result<Health> {
    let looks = by_database(listing, options.expected.iter().chain(&options.database))
        .into_iter()
        .map(|(database, backups)| look(store, database, backups, options, runs, now));
    let databases: Vec<DatabaseHealth> = stream::iter(looks).buffered(READS).try_collect().await?;
    let mut problems: Vec<Problem> = options.keys.iter().filter_map(|key| ending(key, now)).collect();
    if databases.is_empty() {
        problems.push(problem(Level::Critical, "backup", "there is no backup in the store".to_owned()));
    }
    let next: u64 = databases.iter().filter_map(|database| database.newest_bytes).max().unwrap_or_default();
    problems.extend(room.and_then(|room| tight(room, next)));
    let levels =
        databases.iter().map(|database| database.level).chain(problems.iter().map(|problem| problem.level));
    Ok(Health {
        store: store.display(""),
        level: levels.max().unwrap_or(Level::Ok),
        databases,
        orphans: u64::try_from(listing.orphans.len()).unwrap_or(u64::MAX),
        room,
        keys: options.keys.clone(),
        problems,
    })
}

fn problem(level: Level, about: &'static str, message: String) -> Problem {
    Problem { level, about, message }
}

/// A key that nothing can be sealed for, or soon not any more.
pub fn ending(key: &KeyFacts, now: Timestamp) -> Option<Problem> {
    let name = &key.key;
    if let Some(why) = &key.problem {
        return Some(problem(Level::Critical, "key", format!("nothing can be sealed for {name}: {why}")));
    }
    let end = key.expires_at.filter(|end| end.duration_since(now).as_hours() < KEY_DAYS * 24)?;
    let day = end.strftime("%Y-%m-%d");
    Some(problem(
        Level::Warning,
        "key",
        format!("{name} expires on {day}, and no backup can be sealed for it from then on"),
    ))
}

/// Whether there is room for the next backup, as large as the largest of the newest.
fn tight(room: Room, next: u64) -> Option<Problem> {
    let (free, all) = (text::bytes(room.free), text::bytes(room.all));
    let message = format!(
        "{free} of {all} are free in the store, and the next backup takes about {}",
        text::bytes(next)
    );
    if room.free < next {
        return Some(problem(Level::Critical, "room", message));
    }
    let scarce = room.free < next.saturating_mul(SCARCE);
    scarce.then(|| problem(Level::Warning, "room", message))
}

async fn look(
    store: &Store,
    database: &str,
    backups: Vec<&Backup>,
    options: &HealthOptions,
    runs: &[Run],
    now: Timestamp,
) -> Result<DatabaseHealth> {
    let mut problems = Vec::new();
    let targets = options.of(database);
    let of_plan = || backups.iter().copied().filter(|backup| backup.facts.kind != Kind::PreRestore);
    // One from the future would be young for ever, whatever became of those that are due.
    let newest = of_plan().find(|backup| !is_ahead(backup.facts.taken, now));
    problems.extend(from_the_future(of_plan().find(|backup| is_ahead(backup.facts.taken, now))));
    let age_seconds = newest.map(|backup| now.duration_since(backup.facts.taken).as_secs_f64().max(0.0));
    match age_seconds {
        None => problems.push(problem(Level::Critical, "backup", "there is no backup".to_owned())),
        Some(age) if age > targets.rpo_seconds => {
            let (age, rpo) = (text::seconds(age), text::seconds(targets.rpo_seconds));
            problems.push(problem(
                Level::Critical,
                "backup",
                format!("the newest backup is {age} old, and may be {rpo}"),
            ));
        }
        Some(_) => {}
    }
    problems.extend(newest.and_then(|newest| unusual(newest, &backups)));
    problems.extend(failed_run(database, newest, runs));
    let mut marks = marks(store, &backups, MARKED).await?;
    marks.retain(|mark| !is_ahead(mark.entry.at, now));
    let mark = marks.iter().rfind(|mark| mark.entry.kind == TestType::Full);
    let due_at = mark.map(|mark| due(mark.entry.at, targets.drill_every));
    problems.extend(drill_problem(mark, due_at, now));
    problems.extend(sample_problem(&marks, mark));
    Ok(DatabaseHealth {
        level: problems.iter().map(|problem| problem.level).max().unwrap_or(Level::Ok),
        newest_at: newest.map(|backup| backup.facts.taken),
        age_seconds,
        newest_id: newest.map(|backup| backup.facts.id.clone()),
        newest_kind: newest.map(|backup| backup.facts.kind),
        newest_bytes: newest.map(|backup| backup.bytes),
        backups: u64::try_from(backups.len()).unwrap_or(u64::MAX),
        bytes: backups.iter().map(|backup| backup.bytes).sum(),
        drilled_at: mark.map(|mark| mark.entry.at),
        drill_passed: mark.map(|mark| mark.entry.is_passed()),
        drill_seconds: mark.and_then(|mark| mark.entry.rto_measured_seconds),
        drill_due: due_at,
        database: database.to_owned(),
        problems,
    })
}

/// The median length of the last earlier backups of the same kind; none while there are too few to tell.
pub fn usual_bytes(newest: &Backup, backups: &[&Backup]) -> Option<u64> {
    let earlier = backups
        .iter()
        .filter(|other| other.facts.kind == newest.facts.kind && other.facts.taken < newest.facts.taken);
    let mut sizes: Vec<u64> = earlier.take(HISTORY).map(|backup| backup.bytes).collect();
    sizes.sort_unstable();
    sizes.get(sizes.len() / 2).copied().filter(|_| sizes.len() >= LEAST_HISTORY)
}

/// A size far from that of earlier backups of the same kind.
fn unusual(newest: &Backup, backups: &[&Backup]) -> Option<Problem> {
    let median = usual_bytes(newest, backups)?;
    let share = text::float(newest.bytes) / text::float(median).max(1.0);
    (!(SIZE_BAND.0..=SIZE_BAND.1).contains(&share)).then(|| {
        let (found, usual) = (text::bytes(newest.bytes), text::bytes(median));
        problem(Level::Warning, "size", format!("the newest backup has {found}, and {usual} are usual"))
    })
}

/// A backup on this machine that failed, and none that came after it.
fn failed_run(database: &str, newest: Option<&Backup>, runs: &[Run]) -> Option<Problem> {
    let of_it = |run: &&Run| run.command == "backup" && run.database.as_deref() == Some(database);
    let last = runs.iter().rev().find(of_it).filter(|run| run.exit_code != 0)?;
    if newest.is_some_and(|newest| newest.facts.taken > last.at) {
        return None;
    }
    let why = last.error.as_deref().unwrap_or("see its log");
    let at = last.at.strftime("%Y-%m-%d %H:%M UTC");
    Some(problem(Level::Warning, "run", format!("the last backup, at {at}, failed: {why}")))
}

/// A backup whose time is yet to come.
fn from_the_future(backup: Option<&Backup>) -> Option<Problem> {
    let Backup { facts, .. } = backup?;
    let message = format!(
        "the backup {} bears the time {}, which is yet to come on this machine: a clock is wrong, and it is not counted",
        facts.id, facts.taken
    );
    Some(problem(Level::Warning, "clock", message))
}

/// The newest drill of some tables, where it failed and no drill of the whole came after it.
fn sample_problem(marks: &[Mark], full: Option<&Mark>) -> Option<Problem> {
    let last = marks.iter().rfind(|mark| mark.entry.kind == TestType::Tables)?;
    let newer = full.is_none_or(|full| full.entry.at < last.entry.at);
    let failed = newer && !last.entry.is_passed();
    failed.then(|| failed_drill("the last drill of some tables", last))
}

fn failed_drill(which: &str, mark: &Mark) -> Problem {
    let (day, issues) = (mark.entry.at.strftime("%Y-%m-%d"), mark.entry.issues.join("; "));
    problem(Level::Critical, "drill", format!("{which}, on {day}, failed: {issues}"))
}

fn drill_problem(mark: Option<&Mark>, due_at: Option<Timestamp>, now: Timestamp) -> Option<Problem> {
    let Some(mark) = mark else {
        return Some(problem(
            Level::Warning,
            "drill",
            "it was never restored on trial: `pgcask drill` does that".to_owned(),
        ));
    };
    if !mark.entry.is_passed() {
        return Some(failed_drill("the last drill", mark));
    }
    let day = mark.entry.at.strftime("%Y-%m-%d");
    let overdue = due_at.is_some_and(|due| due < now);
    overdue.then(|| {
        problem(Level::Warning, "drill", format!("the last drill was on {day}: the next is overdue"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_scarce_before_it_is_gone() {
        let level = |free, all, next| tight(Room { free, all }, next).map(|problem| problem.level);
        assert_eq!([level(1000, 5000, 100), level(0, 5000, 0)], [None, None]);
        assert_eq!(level(999, 5000, 100), Some(Level::Warning));
        assert_eq!(level(99, 5000, 100), Some(Level::Critical));
    }

    #[test]
    fn a_key_is_told_of_a_month_before_its_end() {
        let now: Timestamp = "2026-11-25T00:00:00Z".parse().unwrap();
        let level = |expires_at: Option<&str>, problem: Option<&str>| {
            let expires_at = expires_at.map(|end| end.parse().unwrap());
            let key = KeyFacts { key: "ops".to_owned(), expires_at, problem: problem.map(str::to_owned) };
            ending(&key, now).map(|problem| problem.level)
        };
        assert_eq!([level(None, None), level(Some("2026-12-26T00:00:00Z"), None)], [None, None]);
        assert_eq!(level(Some("2026-12-24T00:00:00Z"), None), Some(Level::Warning));
        assert_eq!(level(None, Some("it expired on 2026-11-24")), Some(Level::Critical));
    }
}
