//! Finds out beforehand what would make a backup or a restore fail, or worse: each check is a file of its own.

mod access;
mod activity;
mod clock;
mod collation;
mod connections;
mod leftovers;
mod locks;
mod logging;
mod machine;
mod standby;
mod store_leftovers;
mod store_protection;
mod store_rights;
mod tables;
mod tls;
mod version;
mod wraparound;

use jiff::SignedDuration;
use serde::Serialize;

pub use machine::machine;

use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::pg::quote::printable;
use crate::pg::{ConnectOptions, PgError, Session, SessionKind};
use crate::store::{Location, Store};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// Good to know.
    Notice,
    /// It will hurt some day.
    Warning,
    /// Backups or restores do not work, or not as they should.
    Critical,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The check.
    pub check: &'static str,
    /// How bad it is.
    pub level: Level,
    /// What was found.
    pub found: String,
    /// Why it matters; nothing where all is well.
    pub why: Option<String>,
    /// What to do about it, if anything: a command, where one does it.
    pub remedy: Option<String>,
}

impl Finding {
    /// All is well.
    pub fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self { check, level: Level::Ok, found: printable(&found.into()), why: None, remedy: None }
    }

    /// Something to know, or to do.
    pub fn new(check: &'static str, level: Level, found: impl Into<String>, why: impl Into<String>) -> Self {
        Self { level, why: Some(why.into()), ..Self::ok(check, found) }
    }

    /// Adds what to do.
    #[must_use]
    pub fn remedy(self, remedy: impl Into<String>) -> Self {
        Self { remedy: Some(printable(&remedy.into())), ..self }
    }

    /// Of an error.
    pub fn of_error(check: &'static str, level: Level, error: &Error, why: &str) -> Self {
        let mut text = error.to_string();
        let mut cause = std::error::Error::source(error);
        while let Some(inner) = cause {
            text.push_str(&format!(": {inner}"));
            cause = inner.source();
        }
        let found = Self::new(check, level, text, why);
        if !error.hints().is_empty() {
            return found.remedy(error.hints().join("; "));
        }
        found.remedy(match error.kind() {
            ErrorKind::Server => "try `psql` with the same URL: it must reach that database, by that name",
            ErrorKind::Store => {
                "see that the store is there and lets us: docs/stores.md has the rights that are needed"
            }
            _ => "docs/troubleshooting.md has what to do by message and exit code",
        })
    }
}

/// What the checks of a server look at.
struct Subject<'a> {
    session: &'a Session,
    options: &'a ConnectOptions,
    jobs: usize,
    long: SignedDuration,
    clock: Clock,
}

/// What is asked of a server.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// The database.
    pub database: ConnectOptions,
    /// Connections that backups and restores use.
    pub jobs: usize,
    /// Transactions that are open for longer are told.
    pub long: SignedDuration,
}

/// Looks at a database and its server. Nothing is changed.
pub async fn server(options: &ServerOptions, clock: Clock) -> Vec<Finding> {
    let session = match Session::open(&options.database, SessionKind::Source).await {
        Ok(session) => session,
        Err(error) => return vec![not_open(error)],
    };
    let info = session.info();
    let mut found = vec![Finding::ok(
        "connection",
        format!("{} as {}, PostgreSQL {}", options.database.display(), info.user, info.version_text),
    )];
    if info.is_pooled {
        let why = "sessions are lent out: a restore with many connections may have to wait for some";
        found.push(
            Finding::new("pooler", Level::Notice, "a pooler in session mode stands between", why)
                .remedy("fewer --jobs than its pool has connections, or the server's own address"),
        );
    }
    let ServerOptions { database, jobs, long } = options;
    let of = Subject { session: &session, options: database, jobs: *jobs, long: *long, clock };
    take(&mut found, "tls", tls::check(&of).await);
    take(&mut found, "server version", version::check(&of));
    take(&mut found, "privileges", access::check(&of).await);
    take(&mut found, "standby", standby::check(&of).await);
    take(&mut found, "transactions", activity::check(&of).await);
    take(&mut found, "tables", tables::check(&of).await);
    take(&mut found, "locks", locks::check(&of).await);
    take(&mut found, "connections", connections::check(&of).await);
    take(&mut found, "logging", logging::check(&of).await);
    take(&mut found, "collations", collation::check(&of).await);
    take(&mut found, "wraparound", wraparound::check(&of).await);
    take(&mut found, "clock", clock::of_server(&of).await);
    take(&mut found, "leftovers", leftovers::check(&of).await);
    found
}

/// Looks at a store. An object of its own is put and removed again.
pub async fn store(place: &Location, clock: Clock) -> Vec<Finding> {
    let opened: Result<Store> = place.open_existing().map_err(Error::from);
    let store = match opened {
        Ok(store) => store,
        Err(error) => {
            let why = "without the store there is no backup, and no restore";
            return vec![Finding::of_error("store", Level::Critical, &error, why)];
        }
    };
    let mut found = store_rights::check(&store, clock).await;
    take(&mut found, "store protection", store_protection::check(&store).await);
    take(&mut found, "store leftovers", store_leftovers::check(&store).await);
    found
}

/// A check that could not be made is told, and ends no other.
fn take(found: &mut Vec<Finding>, check: &'static str, result: Result<Vec<Finding>>) {
    match result {
        Ok(more) => found.extend(more),
        Err(error) => {
            let why = "it could not be checked";
            found.push(Finding::of_error(check, Level::Warning, &error, why));
        }
    }
}

fn not_open(error: PgError) -> Finding {
    let check = match &error {
        PgError::Pooler { .. } => "pooler",
        PgError::Tls { .. } => "tls",
        PgError::TooOld { .. } => "server version",
        _ => "connection",
    };
    let why = match &error {
        PgError::Pooler { .. } => {
            "a snapshot belongs to one server session: through a pooler in transaction mode a backup would mix moments"
        }
        _ => "without a connection there is no backup, and no restore",
    };
    Finding::of_error(check, Level::Critical, &error.into(), why)
}

/// Names in a message, at most some of them.
fn some(names: &[String]) -> String {
    const SHOWN: usize = 8;
    let shown: Vec<&str> = names.iter().take(SHOWN).map(String::as_str).collect();
    let more = names.len().saturating_sub(SHOWN);
    if more > 0 { format!("{} and {more} more", shown.join(", ")) } else { shown.join(", ") }
}
