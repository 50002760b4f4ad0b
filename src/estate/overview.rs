//! How the databases of all watched stores are, at a glance: what `status` and `check` tell. One listing of each store and the
//! newest marks of drills, and nothing else, so that it can be asked each minute.

use jiff::Timestamp;
use serde::Serialize;

use super::gather::Watched;
use crate::drill::{DatabaseHealth, Health, HealthOptions, KeyFacts, Level, Problem, Run, ending, judge};
use crate::error::{Error, Result};
use crate::store::Location;
use crate::store::list::{Filter, list};
use crate::store::room::{self, Room};

/// How bad all of it is. A store that cannot be looked at may hide anything but what is known to be critical.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Overall {
    /// Nothing to do.
    Ok,
    /// To be looked at.
    Warning,
    /// A store cannot be looked at.
    Unknown,
    /// To be mended now.
    Critical,
}

impl From<Level> for Overall {
    fn from(level: Level) -> Self {
        match level {
            Level::Ok => Self::Ok,
            Level::Warning => Self::Warning,
            Level::Critical => Self::Critical,
        }
    }
}

/// All databases of all watched stores.
#[derive(Debug, Clone, Serialize)]
pub struct Overview {
    /// The worst of all.
    pub level: Overall,
    /// The databases, by store and name.
    pub databases: Vec<DatabaseView>,
    /// The stores.
    pub stores: Vec<StoreView>,
    /// The keys that backups are sealed for.
    pub keys: Vec<KeyFacts>,
    /// What is wrong with them.
    pub problems: Vec<Problem>,
}

/// A database in one store.
#[derive(Debug, Clone, Serialize)]
pub struct DatabaseView {
    /// The store, as people call it.
    pub store: String,
    /// How it is.
    #[serde(flatten)]
    pub health: DatabaseHealth,
}

/// A store.
#[derive(Debug, Clone, Serialize)]
pub struct StoreView {
    /// As people call it.
    pub store: String,
    /// Path or URL.
    pub place: String,
    /// Why it cannot be looked at; then nothing else is known of it.
    pub unreachable: Option<String>,
    /// Leftovers of backups that failed.
    pub orphans: u64,
    /// Free and all bytes of the file system, where it is one.
    pub room: Option<Room>,
    /// What is not as it should be with it.
    pub problems: Vec<Problem>,
}

/// Looks at all stores at the same time. One that does not answer is told as that, and keeps nothing else from being told.
/// `runs` are what this machine remembers.
///
/// # Errors
/// Why the first store does not answer, where none does.
pub async fn overview(
    stores: &[Watched],
    options: &HealthOptions,
    runs: &[Run],
    now: Timestamp,
) -> Result<Overview> {
    let looks = stores.iter().map(|watched| look(watched, options, runs, now));
    let found = futures_util::future::join_all(looks).await;
    let keys = options.keys.clone();
    let mut out = Overview {
        level: Overall::Ok,
        databases: Vec::new(),
        stores: Vec::new(),
        problems: keys.iter().filter_map(|key| ending(key, now)).collect(),
        keys,
    };
    let mut silent = Vec::new();
    for (watched, looked) in stores.iter().zip(found) {
        let store = watched.name.clone();
        match looked {
            Ok(Health { store: place, databases, orphans, room, problems, .. }) => {
                let named = |health| DatabaseView { store: store.clone(), health };
                out.databases.extend(databases.into_iter().map(named));
                out.stores.push(StoreView { store, place, unreachable: None, orphans, room, problems });
            }
            Err(error) => {
                let unreachable = Some(error.in_one_line());
                silent.push(error);
                let place = match &watched.location {
                    Location::Directory(directory) => directory.display().to_string(),
                    Location::Url(url) => url.to_string(),
                };
                let problems = Vec::new();
                out.stores.push(StoreView { store, place, unreachable, orphans: 0, room: None, problems });
            }
        }
    }
    if silent.len() == stores.len()
        && let Some(error) = silent.into_iter().next()
    {
        return Err(error);
    }
    let all = out.databases.iter_mut().map(|one| (one.store.as_str(), &mut one.health));
    forgive_copies(stores, all.collect());
    out.level = worst(&out);
    Ok(out)
}

/// A drill leaves its mark beside the archive that it restored, and not beside the copies of it: where the one is restored on
/// trial in good time, the others need not be.
pub(super) fn forgive_copies(stores: &[Watched], mut all: Vec<(&str, &mut DatabaseHealth)>) {
    let is_copy = |store: &str, health: &DatabaseHealth| {
        let of = stores.iter().find(|watched| watched.name == store);
        of.is_some_and(|watched| watched.copies.contains(&health.database))
    };
    let is_due = |problem: &Problem| problem.about == "drill" && problem.level == Level::Warning;
    let in_time = |(store, health): &&(&str, &mut DatabaseHealth)| {
        !is_copy(store, health) && !health.problems.iter().any(is_due)
    };
    let drilled: Vec<String> =
        all.iter().filter(in_time).map(|(_, health)| health.database.clone()).collect();
    for (store, health) in &mut all {
        if is_copy(store, health) && drilled.contains(&health.database) {
            health.problems.retain(|problem| !is_due(problem));
            health.level = health.problems.iter().map(|problem| problem.level).max().unwrap_or(Level::Ok);
        }
    }
}

fn worst(of: &Overview) -> Overall {
    let databases = of.databases.iter().map(|one| one.health.level);
    let problems = of.problems.iter().chain(of.stores.iter().flat_map(|store| &store.problems));
    let known = databases.chain(problems.map(|problem| problem.level)).max().unwrap_or(Level::Ok);
    let hidden = of.stores.iter().any(|store| store.unreachable.is_some());
    Overall::from(known).max(if hidden { Overall::Unknown } else { Overall::Ok })
}

async fn look(watched: &Watched, options: &HealthOptions, runs: &[Run], now: Timestamp) -> Result<Health> {
    let store = watched.location.open_existing()?;
    let filter = Filter { database: options.database.clone(), ..Filter::default() };
    let listing = list(&store, &filter).await?;
    let room = room::of(&watched.location).map_err(Error::from)?;
    // Keys are told once, and not for each store.
    let options = HealthOptions { expected: watched.databases.clone(), keys: Vec::new(), ..options.clone() };
    judge(&store, &listing, room, &options, runs, now).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_looked_at_is_worse_than_a_warning_and_hides_nothing_critical() {
        let order = [Level::Ok, Level::Warning].map(Overall::from);
        assert!(order.iter().all(|level| *level < Overall::Unknown));
        assert!(Overall::from(Level::Critical) > Overall::Unknown);
    }
}
