//! What is written into the audit log of a run: gathered while a command works, written when it is over.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::args::actor;
use super::printer::Printer;
use crate::clock::Clock;
use crate::error::Result;
use crate::exit::Exit;
use crate::operate::audit::{Entry, Journal, append};
use crate::pg::EnvLookup;
use crate::store::beside::Place;
use crate::store::sidecar::AuditHead;
use crate::store::{Store, naming};

/// Facts of a run for the audit log. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Record(Arc<Mutex<Facts>>);

#[derive(Debug, Default)]
struct Facts {
    store: Option<Store>,
    archive: Option<String>,
    digest: Option<String>,
    details: BTreeMap<String, String>,
    nothing: bool,
}

/// Where entries go, by `PGCASK_AUDIT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Off,
    Local,
    Store,
}

impl Record {
    fn with(&self, change: impl FnOnce(&mut Facts)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// The store that the run is about.
    pub(super) fn store(&self, store: &Store) {
        self.with(|facts| facts.store = Some(store.clone()));
    }

    /// The archive that the run is about, and its store where it lies in one.
    pub(super) fn archive(&self, place: &str) {
        let found = Place::of(place).ok().filter(|place| naming::parse(&place.key).is_some());
        self.with(|facts| {
            facts.archive = Some(place.to_owned());
            if let Some(found) = found {
                facts.store.get_or_insert(found.store);
            }
        });
    }

    /// SHA-256 of that archive.
    pub(super) fn digest(&self, sha256: &str) {
        self.with(|facts| facts.digest = Some(sha256.to_owned()));
    }

    /// What else is worth knowing. Never a secret, never a row.
    pub(super) fn detail(&self, name: &str, value: &dyn std::fmt::Display) {
        self.with(|facts| drop(facts.details.insert(name.to_owned(), value.to_string())));
    }

    /// The run changes nothing and shows no rows: there is nothing to be written down.
    pub(super) fn nothing(&self) {
        self.with(|facts| facts.nothing = true);
    }

    /// Writes the entry of a run that is over. What cannot be written is told, and changes nothing else.
    pub(super) async fn write(
        &self,
        operation: &str,
        outcome: &Result<Exit>,
        began: Instant,
        printer: Printer,
    ) {
        let exit = outcome.as_ref().map_or_else(|error| Exit::from(error.kind()), |exit| *exit);
        let facts = self.0.lock().map(|mut facts| std::mem::take(&mut *facts)).unwrap_or_default();
        // A slip of the keyboard is no operation.
        if facts.nothing || exit == Exit::Usage || level() == Level::Off {
            return;
        }
        let Some(state) = state_directory() else {
            return printer.warning("no audit entry was written: there is neither HOME nor XDG_STATE_HOME");
        };
        let Facts { store, archive, digest, details, .. } = facts;
        let entry = Entry {
            format: 1,
            chain: String::new(),
            number: 0,
            previous: String::new(),
            at: Clock::System.now(),
            seconds: (began.elapsed().as_secs_f64() * 1000.0).round() / 1000.0,
            by: actor(),
            operation: operation.to_owned(),
            result: word(exit).to_owned(),
            exit_code: exit as u8,
            store: store.as_ref().map(|store| store.display("")),
            archive,
            digest,
            details,
            tool: concat!("pgcask ", env!("CARGO_PKG_VERSION")).to_owned(),
        };
        // A store that has just failed is not tried again: the next entry takes this one along.
        let reachable = store.filter(|_| exit != Exit::Store && level() == Level::Store);
        let written = append(&state, entry, reachable.as_ref()).await;
        if let Some(why) = written.not_local {
            printer.warning(&format!("no audit entry was written: {why}"));
        }
        if let Some(why) = written.not_stored {
            printer.warning(&format!("the audit entry is on this host, and not yet in the store: {why}"));
        }
    }
}

/// The head of this host's chain for a store, to be named in a sidecar.
pub(super) fn head(store: &Store) -> Option<AuditHead> {
    if level() != Level::Store {
        return None;
    }
    Journal::of(&state_directory()?, &store.display("")).head()
}

/// Where this host keeps what it must remember, by the rules of the XDG.
pub(super) fn state_directory() -> Option<PathBuf> {
    let env = EnvLookup::system();
    let given = env.var("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let home =
        || std::env::home_dir().filter(|home| home.is_absolute()).map(|home| home.join(".local/state"));
    Some(given.or_else(home)?.join("pgcask"))
}

fn level() -> Level {
    match EnvLookup::system().var("PGCASK_AUDIT").as_deref() {
        Some("off") => Level::Off,
        Some("local") => Level::Local,
        _ => Level::Store,
    }
}

fn word(exit: Exit) -> &'static str {
    match exit {
        Exit::Good => "done",
        Exit::Failed => "failed",
        Exit::Usage => "usage",
        Exit::Damaged => "damaged",
        Exit::Key => "key",
        Exit::Validation => "validation",
        Exit::Stale => "stale",
        Exit::Server => "server",
        Exit::Store => "store",
        Exit::Refused => "refused",
        Exit::Interrupted => "interrupted",
        Exit::Terminated => "terminated",
    }
}
