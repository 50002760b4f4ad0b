//! Where a drill restores into: a private server, or a new database of a named one. It is gone afterwards.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::private::{Private, PrivateOptions, remove_leftovers};
use super::programs::Programs;
use crate::error::{Context as _, Result};
use crate::pg::quote::{ident, literal};
use crate::pg::{ConnectOptions, Session, SessionKind};
use crate::restore::TRIAL;
use crate::stop::Stop;
use crate::store::naming::new_id;

/// Settings that a restore's speed depends on.
const SETTINGS: [&str; 9] = [
    "shared_buffers",
    "maintenance_work_mem",
    "max_wal_size",
    "checkpoint_timeout",
    "wal_level",
    "fsync",
    "full_page_writes",
    "synchronous_commit",
    "max_parallel_maintenance_workers",
];

/// Where to restore into.
#[derive(Debug, Clone)]
pub enum Whereto {
    /// A server of the drill's own.
    Private {
        /// The folder of its programs; without it, the usual places are looked into.
        bin: Option<PathBuf>,
        /// The search path.
        path: Vec<PathBuf>,
        /// How it is made.
        options: PrivateOptions,
    },
    /// A new database of this server.
    Server(Box<ConnectOptions>),
}

/// The server of a drill, as its record tells it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ServerFacts {
    /// `private` or `named`.
    pub kind: String,
    /// Its version.
    pub version: String,
    /// Where: the folder of its programs, or user, host and port.
    pub place: String,
    /// Settings that the speed depends on.
    pub settings: Vec<(String, String)>,
}

/// A server that is ready, and the name of a database that is not there yet.
#[derive(Debug)]
pub(super) struct Target {
    /// The database to be made.
    pub database: ConnectOptions,
    /// The server.
    pub facts: ServerFacts,
    /// What drills that were killed had left, and was removed.
    pub leftovers: usize,
    server: Server,
}

#[derive(Debug)]
enum Server {
    Private(Box<Private>),
    /// Its session says in its name that the drill lives.
    Named {
        options: Box<ConnectOptions>,
        keeper: Box<Session>,
    },
}

impl Target {
    /// Starts the private server, or connects to the named one; removes what earlier drills left.
    ///
    /// # Errors
    /// When there is no server.
    pub(super) async fn open(whereto: &Whereto, major: u32, now: Timestamp, stop: &Stop) -> Result<Self> {
        let name =
            format!("{TRIAL}{}_{}", now.strftime("%Y%m%dT%H%M%S").to_string().to_lowercase(), new_id()?);
        match whereto {
            Whereto::Private { bin, path, options } => {
                let leftovers = remove_leftovers(&options.folder);
                let programs = Programs::find(major, bin.as_deref(), path)?;
                let server = Private::start(&programs, options, stop).await?;
                let facts = facts("private", programs.bin.display().to_string(), &server.options).await;
                let database = server.options.with_database(&name);
                let (facts, server) = match facts {
                    Ok(facts) => (facts, Server::Private(Box::new(server))),
                    Err(error) => {
                        server.remove().await?;
                        return Err(error);
                    }
                };
                Ok(Self { database, facts, leftovers, server })
            }
            Whereto::Server(options) => {
                let mut own = (**options).clone();
                own.application_name = Some(name.clone());
                let keeper = Session::open(&own, SessionKind::Target).await?;
                let leftovers = drop_leftovers(&keeper).await?;
                let facts = facts("named", options.with_database("").display(), options).await?;
                let database = options.with_database(&name);
                let server = Server::Named { options: options.clone(), keeper: Box::new(keeper) };
                Ok(Self { database, facts, leftovers, server })
            }
        }
    }

    /// Whether the server is the drill's own.
    pub(super) fn is_private(&self) -> bool {
        matches!(self.server, Server::Private(_))
    }

    /// Waits until a private server ends by itself; a named one is the business of others.
    pub(super) async fn ended(&mut self) -> crate::error::Error {
        match &mut self.server {
            Server::Private(server) => server.ended().await,
            Server::Named { .. } => std::future::pending().await,
        }
    }

    /// Removes the database, or the whole private server.
    ///
    /// # Errors
    /// When something is left.
    pub(super) async fn remove(self) -> Result<()> {
        match self.server {
            Server::Private(server) => server.remove().await,
            Server::Named { options, keeper } => {
                let name = &self.database.database;
                let sql = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", ident(name));
                // The session may be gone with a server that restarted.
                if keeper.execute(&sql).await.is_ok() {
                    return Ok(());
                }
                let session = Session::open(&options, SessionKind::Target).await?;
                session.execute(&sql).await.context(|| format!("remove the database {name}"))
            }
        }
    }
}

/// Drops the databases of drills whose session is gone; gives how many.
async fn drop_leftovers(session: &Session) -> Result<usize> {
    let sql = format!(
        "SELECT d.datname FROM pg_catalog.pg_database d WHERE pg_catalog.starts_with(d.datname::pg_catalog.text, {}) \
         AND d.datdba = (SELECT r.oid FROM pg_catalog.pg_roles r WHERE r.rolname = current_user) \
         AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_activity a WHERE a.application_name = d.datname::pg_catalog.text)",
        literal(TRIAL)
    );
    let mut dropped = 0;
    for name in session.query_text(&sql).await?.into_iter().flatten().flatten() {
        let sql = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", ident(&name));
        session.execute(&sql).await.context(|| format!("remove {name}, which an earlier drill left"))?;
        dropped += 1;
    }
    Ok(dropped)
}

async fn facts(kind: &str, place: String, options: &ConnectOptions) -> Result<ServerFacts> {
    let session = Session::open(options, SessionKind::Target).await?;
    let sql = format!(
        "SELECT s.name, pg_catalog.current_setting(s.name) FROM pg_catalog.pg_settings s WHERE s.name IN ({}) ORDER BY 1",
        SETTINGS.map(literal).join(", ")
    );
    let rows = session.query_text(&sql).await?;
    let setting = |row: Vec<Option<String>>| match <[Option<String>; 2]>::try_from(row) {
        Ok([Some(name), Some(value)]) => Some((name, value)),
        _ => None,
    };
    Ok(ServerFacts {
        kind: kind.to_owned(),
        version: session.version().to_string(),
        place,
        settings: rows.into_iter().filter_map(setting).collect(),
    })
}
