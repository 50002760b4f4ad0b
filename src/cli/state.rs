//! Where this machine remembers runs and drills, and who and where we are.

use std::path::PathBuf;

use crate::drill::{State, Who};
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
