//! Reads what there is to know: one listing of each store, the sidecars of the newest backups, the marks of drills.

use std::collections::BTreeMap;
use std::path::PathBuf;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use serde::Serialize;

use super::overview::forgive_copies;
use super::runs::RunFacts;
use crate::drill::evidence::{Mark, marks};
use crate::drill::{
    Basis, DatabaseHealth, ForecastFacts, Health, HealthOptions, KeyFacts, Problem, Run, Targets,
    by_database, ending, judge, usual_bytes,
};
use crate::error::{Error, Result};
use crate::operate::hold::{self, Hold};
use crate::store::cache::SidecarCache;
use crate::store::list::{Backup, Filter, list};
use crate::store::naming::Kind;
use crate::store::notes;
use crate::store::sidecar::Metadata;
use crate::store::{Location, Store, StoreError, room};

/// Sidecars read at the same time.
const READS: usize = 32;

/// So many of the newest marks of a database's drills are read: with a drill each day, those of more than a year.
const MARKED: usize = 500;

/// A store that is looked at.
#[derive(Debug, Clone)]
pub struct Watched {
    /// As people call it: the name in the configuration, else its place.
    pub name: String,
    /// Where it is.
    pub location: Location,
    /// Databases that must have backups there.
    pub databases: Vec<String>,
    /// Those of which it has the copies of backups in another store.
    pub copies: Vec<String>,
}

/// What is to be gathered.
#[derive(Debug, Clone)]
pub struct Wish {
    /// The stores.
    pub stores: Vec<Watched>,
    /// What is demanded; of the databases of one store, [`Watched`] says which must be there.
    pub health: HealthOptions,
    /// Of so many of the newest backups of each database and kind the sidecars are read.
    pub sidecars: usize,
    /// Since when runs are looked for in the audit logs of the stores; none: they are not looked for.
    pub runs_since: Option<Timestamp>,
    /// The folder of the sidecars that were read before; none: nothing is kept.
    pub cache: Option<PathBuf>,
}

/// All that is known.
#[derive(Debug, Clone, Serialize)]
pub struct Estate {
    /// When it was gathered.
    pub at: Timestamp,
    /// Since when runs were looked for.
    pub since: Timestamp,
    /// The stores.
    pub stores: Vec<StoreState>,
    /// The keys that backups are sealed for.
    pub keys: Vec<KeyFacts>,
    /// What is wrong with them.
    pub key_problems: Vec<Problem>,
}

impl Estate {
    /// What was run, in all stores.
    pub fn runs(&self) -> impl Iterator<Item = &RunFacts> {
        self.stores.iter().flat_map(|store| &store.runs)
    }
}

/// One store.
#[derive(Debug, Clone, Serialize)]
pub struct StoreState {
    /// As people call it.
    pub store: String,
    /// Why it cannot be looked at; then the rest is empty.
    pub unreachable: Option<String>,
    /// How it is.
    pub health: Option<Health>,
    /// Its databases, by name.
    pub databases: Vec<DatabaseState>,
    /// What was run, by its audit log, the oldest first.
    pub runs: Vec<RunFacts>,
    /// Who holds which backup, and why.
    pub holds: Vec<Hold>,
}

/// One database in one store.
#[derive(Debug, Clone, Serialize)]
pub struct DatabaseState {
    /// Its name.
    pub database: String,
    /// What is demanded.
    #[serde(skip)]
    pub targets: Targets,
    /// How it is.
    #[serde(skip)]
    pub health: DatabaseHealth,
    /// Its backups, the newest first.
    pub backups: Vec<BackupState>,
    /// Which length is usual for the newest backup of each kind.
    pub usual_bytes: BTreeMap<Kind, u64>,
    /// Its drills, the oldest first.
    pub drills: Vec<Mark>,
    /// How long a restore of the newest backup would take.
    pub forecast: Option<ForecastFacts>,
}

/// One backup.
#[derive(Debug, Clone, Serialize)]
pub struct BackupState {
    /// Path or URL.
    pub archive: String,
    /// Its id.
    pub id: String,
    /// Its kind.
    pub kind: Kind,
    /// When it was taken.
    pub taken_at: Timestamp,
    /// Length of the archive.
    pub bytes: u64,
    /// Somebody holds it.
    pub held: bool,
    /// When it was marked for removal.
    pub marked_at: Option<Timestamp>,
    /// What its sidecar says; none for those that were not read.
    pub metadata: Option<Metadata>,
}

impl DatabaseState {
    /// The newest backup that is not a safety backup.
    pub fn newest(&self) -> Option<&BackupState> {
        self.backups.iter().find(|backup| backup.kind != Kind::PreRestore)
    }

    /// The newest backup of each kind.
    pub fn newest_of_kinds(&self) -> impl Iterator<Item = &BackupState> {
        Kind::ALL.into_iter().filter_map(|kind| self.backups.iter().find(|backup| backup.kind == kind))
    }
}

/// Looks at all stores at the same time. One that does not answer is told as that, and keeps nothing else from being told.
pub async fn gather(wish: &Wish, runs: &[Run], now: Timestamp) -> Estate {
    let looks = wish.stores.iter().map(|watched| async move {
        match look(watched, wish, runs, now).await {
            Ok(state) => state,
            Err(error) => StoreState {
                store: watched.name.clone(),
                unreachable: Some(error.in_one_line()),
                health: None,
                databases: Vec::new(),
                runs: Vec::new(),
                holds: Vec::new(),
            },
        }
    });
    let mut stores = futures_util::future::join_all(looks).await;
    let mut all = Vec::new();
    for StoreState { store, health, databases, .. } in &mut stores {
        let judged = health.iter_mut().flat_map(|health| &mut health.databases);
        let shown = databases.iter_mut().map(|one| &mut one.health);
        all.extend(judged.chain(shown).map(|health| (store.as_str(), health)));
    }
    forgive_copies(&wish.stores, all);
    let keys = wish.health.keys.clone();
    let key_problems = keys.iter().filter_map(|key| ending(key, now)).collect();
    Estate { at: now, since: wish.runs_since.unwrap_or(now), stores, keys, key_problems }
}

async fn look(watched: &Watched, wish: &Wish, runs: &[Run], now: Timestamp) -> Result<StoreState> {
    let store = watched.location.open_existing()?;
    let filter = Filter { database: wish.health.database.clone(), ..Filter::default() };
    let listing = list(&store, &filter).await?;
    // Keys are told once, and not for each store.
    let options =
        HealthOptions { expected: watched.databases.clone(), keys: Vec::new(), ..wish.health.clone() };
    let room = room::of(&watched.location).map_err(Error::from)?;
    let health = judge(&store, &listing, room, &options, runs, now).await?;
    let cache = SidecarCache::open(wish.cache.as_deref(), &store);
    let sidecars = Sidecars { store: &store, cache: &cache, of_each: wish.sidecars };
    let mut databases = Vec::new();
    for (name, backups) in by_database(&listing, &watched.databases) {
        let Some(health) = health.databases.iter().find(|one| one.database == name) else { continue };
        databases.push(database(sidecars, &backups, health, options.of(name)).await?);
    }
    // What cannot be kept is read again the next time.
    drop(cache.save(&listing.backups, wish.health.database.is_none()));
    let runs = match wish.runs_since {
        Some(since) => super::runs::runs(&store, since).await?,
        None => Vec::new(),
    };
    // What a hold says is an object of its own: it is read for people only.
    let wanted = wish.runs_since.is_some() && listing.backups.iter().any(Backup::is_held);
    let holds = if wanted { hold::holds_of(&store, &listing.backups, false).await? } else { Vec::new() };
    Ok(StoreState {
        store: watched.name.clone(),
        unreachable: None,
        health: Some(health),
        databases,
        runs,
        holds,
    })
}

/// Where sidecars are read, and of how many of the newest backups of each kind.
#[derive(Clone, Copy)]
struct Sidecars<'a> {
    store: &'a Store,
    cache: &'a SidecarCache,
    of_each: usize,
}

async fn database(
    sidecars: Sidecars<'_>,
    backups: &[&Backup],
    health: &DatabaseHealth,
    targets: Targets,
) -> Result<DatabaseState> {
    let mut of_kind: BTreeMap<Kind, usize> = BTreeMap::new();
    let wanted = backups.iter().map(|backup| {
        let seen = of_kind.entry(backup.facts.kind).or_default();
        *seen += 1;
        (*backup, *seen <= sidecars.of_each)
    });
    let wanted: Vec<(&Backup, bool)> = wanted.collect();
    let states: Vec<BackupState> =
        stream::iter(wanted.into_iter().map(|(backup, read)| state(sidecars, backup, read)))
            .buffered(READS)
            .try_collect()
            .await?;
    let newest = |kind: Kind| backups.iter().copied().find(|backup| backup.facts.kind == kind);
    let usual = |kind| Some((kind, usual_bytes(newest(kind)?, backups)?));
    let drills = marks(sidecars.store, backups, MARKED).await?;
    let mut database = DatabaseState {
        database: health.database.clone(),
        targets,
        health: health.clone(),
        backups: states,
        usual_bytes: Kind::ALL.into_iter().filter_map(usual).collect(),
        drills,
        forecast: None,
    };
    let plain = database.newest().and_then(|newest| newest.metadata.as_ref()).map(|facts| facts.plain_bytes);
    let basis = || Basis::of_drills(&database.drills, &database.database).unwrap_or_else(Basis::rough);
    database.forecast = plain.map(|plain| basis().by_size(plain));
    Ok(database)
}

async fn state(
    sidecars: Sidecars<'_>,
    backup: &Backup,
    read: bool,
) -> std::result::Result<BackupState, StoreError> {
    let metadata = if read {
        match sidecars.cache.read(sidecars.store, backup).await {
            Ok(metadata) => metadata,
            // Removed since it was listed.
            Err(StoreError::NotFound { .. }) => None,
            Err(error) => return Err(error),
        }
    } else {
        None
    };
    Ok(BackupState {
        archive: sidecars.store.display(&backup.key),
        id: backup.facts.id.clone(),
        kind: backup.facts.kind,
        taken_at: backup.facts.taken,
        bytes: backup.bytes,
        held: backup.is_held(),
        marked_at: notes::mark(&backup.notes).map(|(time, _)| time),
        metadata,
    })
}
