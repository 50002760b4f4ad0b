//! The documented exit codes (`docs/reference/exit-codes.md`). A script should treat an unknown code as a failure.

use crate::error::ErrorKind;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// All is well.
    Good = 0,
    /// It failed, and no other code says more.
    Failed = 1,
    /// The command line or the configuration is wrong.
    Usage = 2,
    /// The archive is damaged or not authentic.
    Damaged = 3,
    /// The key is missing or wrong.
    Key = 4,
    /// A validation or a drill failed: what is there is not what should be there.
    Validation = 5,
    /// Health: the newest good backup is too old.
    Stale = 6,
    /// The server cannot be reached, or was lost on the way.
    Server = 7,
    /// The store cannot be reached, or is full.
    Store = 8,
    /// Refused for safety: not confirmed, held, or the target is not empty.
    Refused = 9,
    /// Stopped by SIGINT.
    Interrupted = 130,
    /// Stopped by SIGTERM.
    Terminated = 143,
}

impl Exit {
    /// `pgcask check` alone: WARNING, as monitoring plug-ins say it.
    pub const MONITOR_WARNING: Self = Self::Failed;
    /// `pgcask check` alone: CRITICAL.
    pub const MONITOR_CRITICAL: Self = Self::Usage;
    /// `pgcask check` alone: UNKNOWN.
    pub const MONITOR_UNKNOWN: Self = Self::Damaged;
}

impl From<ErrorKind> for Exit {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::Failed => Self::Failed,
            ErrorKind::Usage => Self::Usage,
            ErrorKind::Damaged => Self::Damaged,
            ErrorKind::Key => Self::Key,
            ErrorKind::Validation => Self::Validation,
            ErrorKind::Server => Self::Server,
            ErrorKind::Store => Self::Store,
            ErrorKind::Refused => Self::Refused,
            ErrorKind::Interrupted => Self::Interrupted,
            ErrorKind::Terminated => Self::Terminated,
        }
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        // A field-less enum with `repr(u8)`: the cast is its value.
        Self::from(exit as u8)
    }
}
