//! What the configuration watches: its stores, what is demanded of each database, the keys that backups are sealed for.
//! Metrics, the report, `status` and `check` look at the same.

use std::collections::BTreeMap;

use clap::Args;
use jiff::{Span, Timestamp};

use super::args::{RPO, RTO, seconds, span_ahead};
use super::configured::{Given, all_recipients, own_targets, targets};
use super::keys::key_facts;
use super::state::state;
use crate::config::{Config, Origin, Settings, Sourced};
use crate::drill::{HealthOptions, Targets};
use crate::error::{Error, ErrorKind, Result};
use crate::estate::{Watched, Wish};
use crate::store::Location;

/// Which stores, and what is demanded of their databases.
#[derive(Debug, Clone, Default, Args)]
pub struct WatchArgs {
    /// A store: a directory, or `s3://bucket/prefix`, `gs://…`, `az://…`; may be repeated [default: all that are configured
    /// for databases, and those of their copies]
    #[arg(long = "store", value_name = "STORE", env = "PGCASK_STORE")]
    pub stores: Vec<String>,
    /// How old the newest backup of a database may be [default: 24h]
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    pub rpo: Option<f64>,
    /// How long a recovery may take [default: 1h]
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    pub rto: Option<f64>,
    /// How long a drill counts [default: 3mo]
    #[arg(long, value_name = "SPAN", value_parser = span_ahead)]
    pub drill_every: Option<Span>,
    /// The stores, with the databases that must have backups there
    #[arg(skip)]
    pub watched: BTreeMap<String, Place>,
    /// What is demanded where a database has nothing of its own
    #[arg(skip)]
    pub general: Option<Targets>,
    /// What the configuration demands of single databases
    #[arg(skip)]
    pub own: BTreeMap<String, Targets>,
    /// For whom the configuration seals
    #[arg(skip)]
    pub recipients: Vec<String>,
    /// The only database that is meant, by the name that its backups bear
    #[arg(skip)]
    pub only: Option<String>,
}

/// A configured store.
#[derive(Debug, Clone, Default)]
pub struct Place {
    name: String,
    databases: Vec<String>,
    /// Those of which copies are there.
    copies: Vec<String>,
}

/// A store of a database, and the word that the configuration has for it.
struct StoreOf {
    place: String,
    named: String,
    /// It has copies of the backups in another.
    copy: bool,
}

impl WatchArgs {
    /// Takes over what is configured. Stores that are given are the only ones then.
    pub(super) fn watch(&mut self, config: &Config) -> Result<()> {
        let given = Given { rpo: self.rpo, rto: self.rto, drill_every: self.drill_every };
        self.general = Some(targets(config.settings(None)?, given));
        self.own = own_targets(config, given)?;
        self.recipients = all_recipients(config)?;
        let mut all: BTreeMap<String, Place> = BTreeMap::new();
        let mut add = |place: String, named: &str, database: Option<String>, copy: bool| {
            let name = if config.store_names().contains(&named) { named.to_owned() } else { place.clone() };
            let slot = all.entry(place).or_default();
            slot.name = name;
            if copy {
                slot.copies.extend(database.clone());
            }
            slot.databases.extend(database);
        };
        for name in config.databases() {
            let database = config.database_name(name);
            for StoreOf { place, named, copy } in places(&config.settings(Some(name))?, config) {
                add(place, &named, Some(database.clone()), copy);
            }
        }
        for StoreOf { place, named, copy } in places(&config.settings(None)?, config) {
            add(place, &named, None, copy);
        }
        if !self.stores.is_empty() {
            let wanted: Vec<(String, String)> =
                self.stores.iter().map(|store| (config.store(store), store.clone())).collect();
            for (place, named) in &wanted {
                add(place.clone(), named, None, false);
            }
            all.retain(|place, _| wanted.iter().any(|(one, _)| one == place));
        }
        self.watched = all;
        Ok(())
    }

    /// Leaves one database, by its configured name or its own, with the stores that it has.
    pub(super) fn of_database(&mut self, name: &str, config: &Config) -> Result<()> {
        let known = config.databases().contains(&name);
        let database = if known { config.database_name(name) } else { name.to_owned() };
        if self.stores.is_empty() {
            let own = places(&config.settings(known.then_some(name))?, config);
            self.watched.retain(|place, _| own.iter().any(|one| one.place == *place));
        }
        for place in self.watched.values_mut() {
            place.databases = vec![database.clone()];
        }
        self.only = Some(database);
        Ok(())
    }

    /// What is to be gathered; `sidecars` of so many of the newest backups of each kind.
    pub(super) fn wish(
        &self,
        sidecars: usize,
        runs_since: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Wish> {
        let mut stores = Vec::new();
        for (place, Place { name, databases, copies }) in &self.watched {
            let location = Location::parse(place)?;
            stores.push(Watched {
                name: name.clone(),
                location,
                databases: databases.clone(),
                copies: copies.clone(),
            });
        }
        if stores.is_empty() {
            let hint = "give --store, or set store in pgcask.toml (`pgcask init` writes one)";
            return Err(Error::new(ErrorKind::Usage, "no store is named").hint(hint));
        }
        let usual = || Targets { rpo_seconds: RPO, rto_seconds: RTO, drill_every: Span::new().months(3) };
        let health = HealthOptions {
            targets: self.general.unwrap_or_else(usual),
            own: self.own.clone(),
            database: self.only.clone(),
            expected: Vec::new(),
            keys: key_facts(&self.recipients, now),
        };
        let cache = state().map(|state| state.sidecars());
        Ok(Wish { stores, health, sidecars, runs_since, cache })
    }
}

/// The stores of a database: its own and those of its copies.
fn places(settings: &Settings, config: &Config) -> Vec<StoreOf> {
    let meant = |text: &str, origin: &Origin, copy: bool| {
        let in_file = matches!(origin, Origin::File { .. });
        let place = if in_file { config.store_of_file(text) } else { config.store(text) };
        StoreOf { place, named: text.to_owned(), copy }
    };
    let own = settings.store.iter().map(|Sourced { value, origin }| meant(value, origin, false));
    let copies = settings
        .copy_to
        .iter()
        .flat_map(|Sourced { value, origin }| value.iter().map(move |text| meant(text, origin, true)));
    own.chain(copies).collect()
}
