//! What can go wrong in talking with a server, kept apart by what its reader can do about it.
//!
//! Passwords are in none of these: connection strings are never quoted, and literals of statements that mention one
//! are blanked.

use std::path::PathBuf;

pub use super::report::ServerError;
pub(crate) use super::report::presentable;

/// A connection string, service file or environment that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OptionsError {
    /// A parameter that libpq does not know either.
    #[error("unknown connection parameter \"{name}\"")]
    Unknown {
        /// The parameter as written.
        name: String,
    },
    /// A parameter of libpq that this program does not honour; ignoring it would weaken or change the connection.
    #[error("connection parameter \"{name}\" is not supported: {why}")]
    Unsupported {
        /// The parameter.
        name: String,
        /// What stands against it.
        why: &'static str,
    },
    /// A value outside of what the parameter takes.
    #[error("invalid value \"{value}\" for connection parameter \"{name}\": expected {expected}")]
    Invalid {
        /// The parameter.
        name: &'static str,
        /// The value as written; never of `password`.
        value: String,
        /// The values that are taken.
        expected: &'static str,
    },
    /// The connection string is not well formed. The string is not quoted, for it may hold a password.
    #[error("malformed connection string: {0}")]
    Syntax(&'static str),
    /// The service file has a bad line.
    #[error("{}:{line}: {reason}", path.display())]
    ServiceFile {
        /// The file.
        path: PathBuf,
        /// Line number, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// No service file defines the service.
    #[error("definition of service \"{name}\" not found")]
    NoService {
        /// The service.
        name: String,
    },
    /// A file that was asked for cannot be read.
    #[error("cannot read {}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Neither the parameters nor the operating system name a user.
    #[error("no user name given, and the operating system does not know one")]
    NoUser,
}

/// One address that was tried and did not serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Host and port, or the socket's path.
    pub peer: String,
    /// Why it did not serve.
    pub reason: String,
}

/// An error in talking with a server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PgError {
    /// The connection's parameters are wrong: a mistake of usage.
    #[error(transparent)]
    Options(#[from] OptionsError),
    /// No address of any host could be connected to, or met `target_session_attrs`.
    #[error("cannot reach a server: {}", list_attempts(attempts))]
    Unreachable {
        /// Each address with its reason, in the order tried.
        attempts: Vec<Attempt>,
    },
    /// The server does not let this user in, or could not prove itself while authenticating.
    #[error("authentication as \"{user}\" at {peer} failed: {reason}")]
    Authentication {
        /// The address.
        peer: String,
        /// The user.
        user: String,
        /// The server's report or the client's finding.
        reason: String,
    },
    /// The database does not exist.
    #[error("database \"{database}\" does not exist at {peer}")]
    NoSuchDatabase {
        /// The address.
        peer: String,
        /// The database.
        database: String,
    },
    /// The connection could not be secured as `sslmode` asks.
    #[error("TLS with {peer} failed: {reason}")]
    Tls {
        /// The address.
        peer: String,
        /// What failed.
        reason: String,
    },
    /// The server answered and declined for another reason: too many connections, starting up, no CONNECT privilege.
    #[error("{peer} refused the connection: {report}")]
    Refused {
        /// The address.
        peer: String,
        /// The server's report.
        report: Box<ServerError>,
    },
    /// Between us and the server stands a pooler that shares one server session among clients.
    #[error(
        "{peer} is a transaction pooler ({evidence}): a backup needs a session of its own; connect to the server \
         directly, or to a pooler in session mode"
    )]
    Pooler {
        /// The address.
        peer: String,
        /// How it showed.
        evidence: &'static str,
    },
    /// The server is older than what is supported.
    #[error("the server is version {found}, and {oldest} is the oldest supported")]
    TooOld {
        /// What the server says of itself.
        found: String,
        /// The oldest supported major version.
        oldest: u32,
    },
    /// A session setting did not take.
    #[error("the server keeps {name} at \"{found}\" though \"{wanted}\" was set")]
    Setting {
        /// The setting.
        name: String,
        /// The value set.
        wanted: String,
        /// The value found.
        found: String,
    },
    /// The server rejected a statement.
    #[error("{0}")]
    Server(Box<ServerError>),
    /// The connection to the server was lost while it was in use.
    #[error("the connection to the server was lost: {reason}")]
    Lost {
        /// The socket's error, or the server's last words.
        reason: String,
        /// The statement under way, shortened.
        statement: Option<String>,
    },
    /// The server answered with something other than what the statement asks for.
    #[error("unexpected answer to {statement:?}: {reason}")]
    Answer {
        /// The statement, shortened.
        statement: String,
        /// What is unexpected.
        reason: String,
    },
    /// Relations could not be locked in time.
    #[error("could not lock {}", list_blocked(blocked))]
    LockTimeout {
        /// Each relation with who stands in the way.
        blocked: Vec<BlockedRelation>,
    },
    /// A relation was dropped, replaced or changed its kind between the reading of the catalog and its lock.
    #[error("{relation} changed while the catalog was read: {what}")]
    Changed {
        /// The qualified, quoted name.
        relation: String,
        /// What is different.
        what: String,
    },
    /// Names or texts of definitions are not UTF-8.
    #[error("names or texts of the database are not UTF-8: {what}")]
    NotUtf8 {
        /// The objects, with bytes beyond ASCII escaped.
        what: String,
    },
    /// The server has no room for another lock: its table of locks is full.
    #[error("the server's table of locks is full: {0}")]
    LocksFull(Box<ServerError>),
    /// On a standby: what the primary did had to be replayed, and stood against what we were reading.
    #[error("the standby stopped us, to replay what the primary did meanwhile: {report}")]
    RecoveryConflict {
        /// The server's words.
        report: String,
    },
    /// The snapshot cannot be had or used, for the reason given.
    #[error("{0}")]
    Snapshot(&'static str),
}

/// A relation whose lock could not be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockedRelation {
    /// The qualified, quoted name.
    pub relation: String,
    /// Who holds or awaits a conflicting lock, as far as visible: backend pid, user, state and query.
    pub blockers: Vec<String>,
}

impl PgError {
    /// Sorts an error of the driver that came while `statement` ran.
    pub(crate) fn from_driver(error: &tokio_postgres::Error, statement: &str) -> Self {
        if let Some(report) = error.as_db_error() {
            let server = ServerError::new(report, Some(statement));
            return if ends_the_session(&server) || is_of_a_crash(report) {
                let reason = format!("{} (SQLSTATE {})", server.message, server.code);
                Self::Lost { reason, statement: server.statement }
            } else if locks_are_full(&server) {
                Self::LocksFull(Box::new(server))
            } else {
                Self::Server(Box::new(server))
            };
        }
        let reason = chain(error);
        let io = std::error::Error::source(error).is_some_and(<dyn std::error::Error>::is::<std::io::Error>);
        if error.is_closed() || (io && reason.starts_with("error communicating")) {
            Self::Lost { reason, statement: Some(presentable(statement)) }
        } else {
            Self::Answer { statement: presentable(statement), reason }
        }
    }

    /// The same error, told as what it means on a standby: there, nothing but recovery makes a reader fail so.
    pub(crate) fn on_standby(self) -> Self {
        match self {
            Self::Server(report) if report.code == CONFLICT => {
                Self::RecoveryConflict { report: report.to_string() }
            }
            Self::Lost { reason, .. } if reason.contains(&format!("(SQLSTATE {CONFLICT})")) => {
                Self::RecoveryConflict { report: reason }
            }
            other => other,
        }
    }

    /// The SQLSTATE, for an error that the server reported on a statement.
    pub fn sqlstate(&self) -> Option<&str> {
        match self {
            Self::Server(report) | Self::LocksFull(report) | Self::Refused { report, .. } => {
                Some(&report.code)
            }
            _ => None,
        }
    }

    /// Whether the server is gone or was never there: trying again later may help.
    pub fn is_lost(&self) -> bool {
        matches!(self, Self::Lost { .. } | Self::Unreachable { .. })
    }
}

/// `serialization_failure`, which a standby reports when recovery cancels a query (`postgres.c`).
const CONFLICT: &str = "40001";

/// A report after which there is no session: the administrator or a crash ended it (class 57P0x), or it is FATAL.
fn ends_the_session(report: &ServerError) -> bool {
    matches!(report.code.as_str(), "57P01" | "57P02" | "57P03" | "57P05" | "25P03" | "25P04")
        || matches!(report.severity.as_str(), "FATAL" | "PANIC")
}

/// A parallel worker that is gone without a word, or never came: most likely another process of the server crashed, and the
/// session is the next to go. The message is translated; the file that it comes from (`parallel.c`) is not.
fn is_of_a_crash(report: &tokio_postgres::error::DbError) -> bool {
    report.code().code() == "55000" && report.file().is_some_and(|file| file.ends_with("parallel.c"))
}

/// `out_of_memory`, where the server means its table of locks (`lock.c`): the setting's name is not translated.
fn locks_are_full(report: &ServerError) -> bool {
    report.code == "53200"
        && report.hint.as_deref().is_some_and(|hint| hint.contains("max_locks_per_transaction"))
}

/// An error and its causes as one sentence.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}

fn list_attempts(attempts: &[Attempt]) -> String {
    let list: Vec<String> = attempts.iter().map(|a| format!("{}: {}", a.peer, a.reason)).collect();
    list.join("; ")
}

fn list_blocked(blocked: &[BlockedRelation]) -> String {
    let list: Vec<String> = blocked
        .iter()
        .map(|b| {
            if b.blockers.is_empty() {
                b.relation.clone()
            } else {
                format!("{} (in the way: {})", b.relation, b.blockers.join(", "))
            }
        })
        .collect();
    list.join("; ")
}
