//! Where this machine remembers runs and drills, and who and where we are.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use super::Context;
use crate::clock::Clock;
use crate::drill::{Run, State, Who};
use crate::error::Result;
use crate::exit::Exit;
use crate::pg::EnvLookup;

/// The state in `$XDG_STATE_HOME/pgcask`, by default `~/.local/state/pgcask` (XDG base directory specification).
pub(super) fn state() -> Option<State> {
    let env = EnvLookup::system();
    let given = env.var("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || env.var("HOME").map(|home| PathBuf::from(home).join(".local/state"));
    given.or_else(home).map(|folder| State::new(folder.join("pgcask")))
}

/// The account and the machine.
pub(super) fn this_machine() -> Who {
    let unknown = || "unknown".to_owned();
    Who {
        operator: whoami::username().unwrap_or_else(|_| unknown()),
        host: whoami::hostname().unwrap_or_else(|_| unknown()),
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
