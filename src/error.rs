//! What a user of the library sees when something fails: a kind that tells what can be done about it, a message, the
//! cause, and hints. Each module below has its own typed error; here they become one.

use std::error::Error as StdError;
use std::fmt;

use crate::archive;
use crate::pg::PgError;
use crate::pg::error::ServerError;
use crate::seal::SealError;
use crate::store::StoreError;

/// What kind of failure it is, by what its reader should do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// Look at the message; no other kind fits.
    Failed,
    /// Correct the command line or the configuration.
    Usage,
    /// Take another archive, or salvage this one.
    Damaged,
    /// Give the right key.
    Key,
    /// Do not trust the result.
    Validation,
    /// Bring the server back, then try again.
    Server,
    /// Bring the store back or make room in it, then try again.
    Store,
    /// Say that you mean it.
    Refused,
    /// Nothing: it was stopped by Ctrl-C.
    Interrupted,
    /// Nothing: it was stopped by SIGTERM.
    Terminated,
}

/// A failure.
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
    hints: Vec<String>,
    sqlstate: Option<String>,
}

/// What the operations return.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// A failure without a cause below it. `message`: lower case, no full stop.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None, hints: Vec::new(), sqlstate: None }
    }

    /// What failed and all causes, in one line.
    pub fn in_one_line(&self) -> String {
        crate::pg::error::chain(self)
    }

    /// A failure with its cause.
    pub fn with_source(
        kind: ErrorKind,
        message: impl Into<String>,
        source: impl StdError + Send + Sync + 'static,
    ) -> Self {
        Self { source: Some(Box::new(source)), ..Self::new(kind, message) }
    }

    /// A failure to connect to the database that something is to be brought into. One that is not there is a mistake of who
    /// named it, and no server that was lost; `hint` says what to do then.
    pub(crate) fn of_target(error: PgError, hint: &str) -> Self {
        match error {
            PgError::NoSuchDatabase { .. } => Self::new(ErrorKind::Refused, error.to_string()).hint(hint),
            error => error.into(),
        }
    }

    /// The kind.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What to do about it, a sentence each.
    pub fn hints(&self) -> &[String] {
        &self.hints
    }

    /// The SQLSTATE, when a server reported it on a statement.
    pub fn sqlstate(&self) -> Option<&str> {
        self.sqlstate.as_deref()
    }

    /// Adds a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Says what was being done ("read the catalog of …"), in front of the message; keeps kind and hints.
    #[must_use]
    pub fn context(self, doing: impl Into<String>) -> Self {
        let Self { kind, hints, sqlstate, .. } = &self;
        let (kind, hints, sqlstate) = (*kind, hints.clone(), sqlstate.clone());
        Self { kind, message: doing.into(), source: Some(Box::new(Cause(self))), hints, sqlstate }
    }
}

/// An inner [`Error`] as a cause: its hints were taken over by the outer one.
#[derive(Debug)]
struct Cause(Error);

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl StdError for Cause {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.message)?;
        let mut cause = StdError::source(self);
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

impl From<PgError> for Error {
    fn from(error: PgError) -> Self {
        let (kind, hint) = match &error {
            PgError::Options(_) => (ErrorKind::Usage, None),
            // Direct hosts of projects have IPv6 addresses alone, unless one is paid for.
            PgError::Unreachable { .. } if error.to_string().contains(".supabase.co") => (
                ErrorKind::Server,
                Some(
                    "where the direct host of the project cannot be reached, take the URL of the session pooler (port 5432) from \
                     its dashboard",
                ),
            ),
            PgError::Unreachable { .. } => {
                (ErrorKind::Server, Some("is the server running, and are host and port right?"))
            }
            PgError::Authentication { .. } => (
                ErrorKind::Server,
                Some(
                    "give the password by PGPASSWORD or ~/.pgpass; pg_hba.conf says who may log in from where",
                ),
            ),
            PgError::Lost { .. } => {
                (ErrorKind::Server, Some("the server's log says why it ended the connection"))
            }
            PgError::NoSuchDatabase { .. }
            | PgError::Tls { .. }
            | PgError::Refused { .. }
            | PgError::Pooler { .. }
            | PgError::TooOld { .. } => (ErrorKind::Server, None),
            PgError::RecoveryConflict { .. } => (
                ErrorKind::Server,
                Some(
                    "set hot_standby_feedback = on, or raise max_standby_streaming_delay, on the standby; or back up the primary",
                ),
            ),
            PgError::NotUtf8 { .. } => (
                ErrorKind::Failed,
                Some(
                    "rename or rewrite them in ASCII or UTF-8; rows may hold any bytes, definitions may not",
                ),
            ),
            PgError::LocksFull(_) => (
                ErrorKind::Failed,
                Some(
                    "raise max_locks_per_transaction and restart the server, or take a part at a time with --schema",
                ),
            ),
            PgError::Server(report) => (ErrorKind::Failed, hint_for(report)),
            PgError::LockTimeout { .. } => (
                ErrorKind::Failed,
                Some("wait for what blocks it to end, exclude the table, or raise --lock-timeout"),
            ),
            PgError::Changed { .. } => {
                (ErrorKind::Failed, Some("somebody changes the schema just now; try again"))
            }
            _ => (ErrorKind::Failed, None),
        };
        // The message says all that the typed error knows: it is not kept as a cause to be said again.
        let made =
            Self { sqlstate: error.sqlstate().map(str::to_owned), ..Self::new(kind, error.to_string()) };
        match hint {
            Some(hint) => made.hint(hint),
            None => made,
        }
    }
}

/// What to do about a report of the server whose own words do not say it.
fn hint_for(report: &ServerError) -> Option<&'static str> {
    let copy = report.statement.as_deref().is_some_and(|sql| sql.starts_with("COPY "));
    if copy && report.code == "22P05" {
        return Some(
            "a value has bytes that no character of the other encoding stands for: correct it, or leave the rows of the table \
             out with --exclude-table-data",
        );
    }
    let too_long = report.code == "54000" || report.message.contains("invalid memory alloc request size");
    (copy && too_long).then_some(
        "PostgreSQL sends no value whose text is longer than 1 GiB, and a bytea takes two characters a byte: make it a \
         large object, or leave the rows of the table out with --exclude-table-data",
    )
}

impl From<archive::Error> for Error {
    fn from(error: archive::Error) -> Self {
        let (kind, hint) = match &error {
            archive::Error::NotAnArchive
            | archive::Error::Incomplete
            | archive::Error::Damaged { .. }
            | archive::Error::NotAuthentic { .. } => {
                (ErrorKind::Damaged, Some("take another archive; `pgcask verify` lists all that is damaged"))
            }
            archive::Error::NoMatchingIdentity { .. } => (
                ErrorKind::Key,
                Some("give --identity, --gpg, --passphrase-file or --key-command of one of those recipients"),
            ),
            archive::Error::Version { .. } => (ErrorKind::Failed, Some("a newer pgcask reads it")),
            archive::Error::Seal(SealError::NeedsPassphrase(_)) => {
                (ErrorKind::Key, Some("give --identity-passphrase-file, or PGCASK_IDENTITY_PASSPHRASE"))
            }
            archive::Error::WrongKey | archive::Error::Seal(_) => (ErrorKind::Key, None),
            _ => (ErrorKind::Failed, None),
        };
        let made = Self::new(kind, error.to_string());
        match hint {
            Some(hint) => made.hint(hint),
            None => made,
        }
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        let (kind, hint) = match &error {
            StoreError::Invalid { .. } => (ErrorKind::Usage, None),
            StoreError::NotFound { .. } | StoreError::AlreadyExists { .. } => (ErrorKind::Failed, None),
            StoreError::NoBackup { .. } => (ErrorKind::Failed, Some("`pgcask list` shows what there is")),
            StoreError::Ambiguous { .. } => (
                ErrorKind::Usage,
                Some(
                    "name the database, as in shop/latest, or more of the id; `pgcask list` shows what there is",
                ),
            ),
            StoreError::Length { .. } => (ErrorKind::Damaged, None),
            StoreError::Full { .. } => {
                (ErrorKind::Store, Some("make room, or choose another store with --to"))
            }
            StoreError::TooLong { .. } => {
                (ErrorKind::Store, Some("set a larger part_size for this store in pgcask.toml"))
            }
            StoreError::Archived { .. } => (
                ErrorKind::Store,
                Some(
                    "have the store bring it back first, as with `aws s3api restore-object`, which takes minutes to hours, \
                     or take a backup of another storage class",
                ),
            ),
            StoreError::PermissionDenied { .. } => {
                (ErrorKind::Store, Some("check the credentials and what they allow"))
            }
            StoreError::Clock { .. } => {
                (ErrorKind::Store, Some("set this machine's clock right, for instance by NTP"))
            }
            StoreError::Unreachable { .. } => (ErrorKind::Store, None),
        };
        let made = Self::new(kind, error.to_string());
        match hint {
            Some(hint) => made.hint(hint),
            None => made,
        }
    }
}

impl From<crate::catalog::encode::ModelError> for Error {
    fn from(error: crate::catalog::encode::ModelError) -> Self {
        Self::new(ErrorKind::Damaged, error.to_string())
    }
}

impl From<SealError> for Error {
    fn from(error: SealError) -> Self {
        let made = Self::new(ErrorKind::Key, error.to_string());
        match error {
            SealError::NeedsPassphrase(_) => {
                made.hint("give --identity-passphrase-file, or PGCASK_IDENTITY_PASSPHRASE")
            }
            _ => made,
        }
    }
}

/// Adds what was being done to a failure.
pub trait Context<T> {
    /// See [`Error::context`].
    fn context(self, doing: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<Error>> Context<T> for std::result::Result<T, E> {
    fn context(self, doing: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| error.into().context(doing()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn context_keeps_kind_hints_and_the_chain() {
        let error = Error::new(ErrorKind::Key, "no key fits").hint("give --identity").context("open x.cask");
        assert_eq!(error.kind(), ErrorKind::Key);
        assert_eq!(error.hints(), ["give --identity"]);
        assert_eq!(error.to_string(), "open x.cask");
        assert_eq!(error.source().unwrap().to_string(), "no key fits");
    }
}
