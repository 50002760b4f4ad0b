//! Where this machine remembers runs and drills, and who and where we are.

use std::sync::{Arc, Mutex, PoisonError};

use super::record::state_directory;
use super::{Command, Context};
use crate::clock::Clock;
use crate::config::Config;
use crate::drill::{Run, State, Who};
use crate::error::Result;
use crate::exit::Exit;
use crate::pg::ConnectOptions;
use crate::store::naming;

/// The state, where there is a folder for it.
pub(super) fn state() -> Option<State> {
    state_directory().map(State::new)
}

/// The account and the machine.
pub(super) fn this_machine() -> Who {
    let unknown = || "unknown".to_owned();
    Who {
        operator: whoami::username().unwrap_or_else(|_| unknown()),
        host: whoami::hostname().unwrap_or_else(|_| unknown()),
    }
}

/// The database that an archive's name tells of: `shop/latest`, or its place in a store.
pub(super) fn of_archive(archive: &str) -> Option<String> {
    let store = naming::store_of(archive);
    let key = archive.strip_prefix(&store).unwrap_or(archive).trim_start_matches('/');
    let in_store = naming::parse(key).map(|facts| facts.database);
    // Of a file elsewhere nothing is known by its name.
    let named = || archive.split_once('/').filter(|(name, rest)| !name.is_empty() && !rest.contains('/'));
    in_store.or_else(|| named().map(|(name, _)| name.to_owned()))
}

/// The database that a run is about, by the name that its backups bear, as far as the command line tells it: a run that fails
/// before it knows more is of it, too.
pub(super) fn subject(command: &Command, config: &Config) -> Option<String> {
    let own = |name: &str| {
        if config.databases().contains(&name) {
            return Some(config.database_name(name));
        }
        ConnectOptions::parse(name).ok().map(|options| options.database)
    };
    let usual = || config.default_database().map(|name| config.database_name(&name));
    match command {
        Command::Backup(args) => match &args.source {
            Some(name) => own(name),
            None => config.env().var("PGDATABASE").filter(|name| !name.is_empty()).or_else(usual),
        },
        Command::Test(args) => of_archive(&args.archive).and_then(|name| own(&name)).or_else(usual),
        Command::Drill(args) => of_archive(&args.archive).and_then(|name| own(&name)).or_else(usual),
        _ => None,
    }
}

/// What a run is about, as it becomes known.
#[derive(Debug, Clone, Default)]
pub struct About(Arc<Mutex<Subject>>);

#[derive(Debug, Clone, Default)]
struct Subject {
    database: Option<String>,
    archive: Option<String>,
    bytes: Option<u64>,
}

impl About {
    /// The database.
    pub(super) fn database(&self, name: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).database = Some(name.to_owned());
    }

    /// The archive, and its length where it is known.
    pub(super) fn archive(&self, place: &str, bytes: Option<u64>) {
        let mut subject = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (subject.archive, subject.bytes) = (Some(place.to_owned()), bytes);
    }
}

impl Context {
    /// Remembers a run. That it cannot be is a detail: what was done is done.
    pub(super) fn remember(&self, command: &str, result: &Result<Exit>, seconds: f64) {
        let Some(state) = state() else { return };
        let Subject { database, archive, bytes } =
            self.about.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let exit = result.as_ref().map_or_else(|error| Exit::from(error.kind()), |exit| *exit);
        let run = Run {
            at: Clock::System.now(),
            command: command.to_owned(),
            // A field-less enum with `repr(u8)`: the cast is its value.
            exit_code: exit as u8,
            seconds,
            database,
            archive,
            bytes,
            error: result.as_ref().err().map(ToString::to_string),
        };
        if let Err(error) = state.add_run(&run) {
            self.printer.detail(&format!("the run is not remembered: {error}"));
        }
    }
}
