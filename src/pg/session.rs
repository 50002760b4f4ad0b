//! A session with one database: opened, checked and set up so that what it reads and writes means the same anywhere.

use std::pin::pin;
use std::sync::Arc;

use futures_util::TryStreamExt as _;
use futures_util::future::join_all;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio_postgres::{Client, SimpleQueryMessage};

use super::cancel::Canceller;
use super::connect::{self, Link, Traffic};
use super::copy::tap::TapHandle;
use super::error::{PgError, ServerError, presentable};
use super::link::LinkState;
use super::load::CopyIn;
use super::options::ConnectOptions;
use super::pooler;
use super::row::Row;
use super::settings::{self, SessionKind};
use super::version::ServerVersion;

/// Rows of text, `None` for NULL.
pub type TextRows = Vec<Vec<Option<String>>>;

/// What a server says of itself. Names that tell it are qualified, for `search_path` is not pinned yet.
const IDENTITY: &str = "SELECT pg_catalog.json_build_object(\
    'version', pg_catalog.current_setting('server_version_num')::pg_catalog.int4, \
    'version_text', pg_catalog.current_setting('server_version'), \
    'encoding', pg_catalog.current_setting('server_encoding'), \
    'is_standby', pg_catalog.pg_is_in_recovery(), \
    'backend_pid', pg_catalog.pg_backend_pid(), \
    'block_size', pg_catalog.current_setting('block_size')::pg_catalog.int4, \
    'max_locks_per_transaction', pg_catalog.current_setting('max_locks_per_transaction')::pg_catalog.int4, \
    'database', pg_catalog.current_database(), \
    'user', current_user, \
    'is_superuser', pg_catalog.current_setting('is_superuser') OPERATOR(pg_catalog.=) 'on', \
    'may_read_control', pg_catalog.has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE'))";

/// What a server says of itself when a session is opened.
#[derive(Debug, Clone, Deserialize)]
pub struct ServerInfo {
    /// The version.
    pub version: ServerVersion,
    /// The version in words, with the packager's addition: `15.18 (Debian 15.18-0+deb12u1)`.
    pub version_text: String,
    /// The database's encoding, such as `UTF8`. In `SQL_ASCII` text may be of any encoding or none.
    pub encoding: String,
    /// Whether the server is in recovery.
    pub is_standby: bool,
    /// The process that serves the session.
    pub backend_pid: u32,
    /// Bytes of a page.
    pub block_size: u32,
    /// `max_locks_per_transaction`.
    pub max_locks_per_transaction: u32,
    /// The database.
    pub database: String,
    /// The role.
    pub user: String,
    /// Whether the role is a superuser.
    pub is_superuser: bool,
    /// The cluster's identifier, where it may be read.
    #[serde(default)]
    pub system_identifier: Option<String>,
    /// Whether a session pooler stands between.
    #[serde(default)]
    pub is_pooled: bool,
    may_read_control: bool,
}

/// A session. Dropping it ends the connection, and rolls back what was open.
#[derive(Debug)]
pub struct Session {
    client: Client,
    tap: TapHandle,
    state: Arc<LinkState>,
    canceller: Canceller,
    info: ServerInfo,
    peer: String,
}

impl Session {
    /// Connects, refuses what cannot work (old servers, transaction poolers), and makes and verifies the settings.
    ///
    /// # Errors
    /// Those of connecting, and [`PgError::TooOld`], [`PgError::Pooler`], [`PgError::Setting`].
    pub async fn open(options: &ConnectOptions, kind: SessionKind) -> Result<Self, PgError> {
        Self::open_with(options, kind, &[]).await
    }

    /// As [`open`](Self::open), with settings besides, for instance `maintenance_work_mem`. They are passed over where
    /// the server does not know them.
    ///
    /// # Errors
    /// As for `open`.
    pub async fn open_with(
        options: &ConnectOptions,
        kind: SessionKind,
        extra: &[(String, String)],
    ) -> Result<Self, PgError> {
        let traffic = match kind {
            SessionKind::Source => Traffic::MostlyIn,
            SessionKind::Target => Traffic::Both,
        };
        let Link { client, tap, state, peer } = Box::pin(connect::connect(options, traffic)).await?;
        let canceller = Canceller::new(options, &peer, &client).await;
        let mut info = identify(&client).await?;
        if !info.version.at_least(ServerVersion::OLDEST) {
            return Err(PgError::TooOld { found: info.version_text, oldest: ServerVersion::OLDEST });
        }
        let announced = canceller.announced_pid();
        info.is_pooled =
            pooler::refuse_shared_backends(options, &client, &peer.label, announced, info.backend_pid)
                .await?;
        let mut session = Self { client, tap, state, canceller, info, peer: peer.label };
        let wanted =
            settings::wanted(kind, &session.info.encoding, options.application_name.as_deref(), extra);
        session.apply(&wanted).await?;
        session.info.system_identifier = session.read_system_identifier().await?;
        Ok(session)
    }

    async fn apply(&self, wanted: &[(String, String)]) -> Result<(), PgError> {
        // Before all else, so that no operator of ours is looked up where a user may have put another.
        self.execute("SELECT pg_catalog.set_config('search_path', '', false)").await?;
        self.execute(&settings::apply_sql(wanted)).await?;
        for row in self.query_text(&settings::verify_sql(wanted)).await? {
            let [Some(name), Some(value), Some(found)] = row.as_slice() else {
                continue;
            };
            if !settings::agrees(name, value, found) {
                let (name, wanted, found) = (name.clone(), value.clone(), found.clone());
                return Err(PgError::Setting { name, wanted, found });
            }
        }
        Ok(())
    }

    async fn read_system_identifier(&self) -> Result<Option<String>, PgError> {
        if !self.info.may_read_control {
            return Ok(None);
        }
        self.query_one_text("SELECT system_identifier::pg_catalog.text FROM pg_catalog.pg_control_system()")
            .await
    }

    /// Runs statements by the simple protocol, separated by semicolons, in one implicit transaction unless they say
    /// otherwise. Rows are thrown away.
    ///
    /// # Errors
    /// [`PgError::Server`] with the server's report, [`PgError::Lost`] if the connection is gone.
    pub async fn execute(&self, sql: &str) -> Result<(), PgError> {
        self.client.batch_execute(sql).await.map_err(|error| self.judge(&error, sql))
    }

    /// Runs statements one after the other, without waiting for an answer before the next is sent. What follows a failed
    /// one is run all the same: inside a transaction it fails, too.
    ///
    /// # Errors
    /// As for [`execute`](Self::execute): that of the first statement that failed, with its position.
    pub async fn execute_each(&self, statements: &[String]) -> Result<(), (usize, PgError)> {
        let sent = statements.iter().map(|sql| self.client.batch_execute(sql));
        for (at, answer) in join_all(sent).await.into_iter().enumerate() {
            let sql = statements.get(at).map_or("", String::as_str);
            answer.map_err(|error| (at, self.judge(&error, sql)))?;
        }
        Ok(())
    }

    /// Runs a query and returns its rows as text.
    ///
    /// # Errors
    /// As for [`execute`](Self::execute), and [`PgError::Answer`] if a value is not UTF-8.
    pub async fn query_text(&self, sql: &str) -> Result<TextRows, PgError> {
        let mut rows = Vec::new();
        self.each_row(sql, |row| {
            rows.push(row.all()?);
            Ok(())
        })
        .await?;
        Ok(rows)
    }

    /// Runs a query and returns the first column of its first row; `None` for NULL or no row.
    ///
    /// # Errors
    /// As for [`query_text`](Self::query_text).
    pub async fn query_one_text(&self, sql: &str) -> Result<Option<String>, PgError> {
        Ok(self.query_text(sql).await?.into_iter().next().and_then(|row| row.into_iter().next()).flatten())
    }

    /// Runs a query and returns its rows as values of `T`, by way of JSON: a field per column. The query must be one
    /// SELECT, without a semicolon.
    ///
    /// # Errors
    /// As for [`query_text`](Self::query_text), and [`PgError::Answer`] if a row does not fit `T`.
    pub async fn query_json<T: DeserializeOwned>(&self, sql: &str) -> Result<Vec<T>, PgError> {
        let mut rows = Vec::new();
        self.each_json(sql, |text| {
            rows.push(
                serde_json::from_str(text).map_err(|error| format!("row {}: {error}", rows.len() + 1))?,
            );
            Ok(())
        })
        .await?;
        Ok(rows)
    }

    /// As [`query_json`](Self::query_json), but gives each row's JSON text to `take`, whose error ends it.
    ///
    /// # Errors
    /// As for [`query_text`](Self::query_text), and [`PgError::Answer`] with what `take` said.
    pub async fn each_json(
        &self,
        sql: &str,
        take: impl FnMut(&str) -> Result<(), String>,
    ) -> Result<(), PgError> {
        // The alias is one that no column has: a column of that name would be taken for the row.
        let wrapped =
            format!("SELECT pg_catalog.to_json(pgcask_row)::pg_catalog.text FROM ({sql}\n) AS pgcask_row");
        self.each_text(&wrapped, take).await
    }

    /// Runs a query and gives the first column of each row to `take`, empty for NULL.
    ///
    /// # Errors
    /// As for [`each_json`](Self::each_json).
    pub async fn each_text(
        &self,
        sql: &str,
        mut take: impl FnMut(&str) -> Result<(), String>,
    ) -> Result<(), PgError> {
        self.each_row(sql, |row| take(row.get(0)?.unwrap_or_default())).await
    }

    /// Runs a query and gives each row's fields to `take`, whose error ends it. Rows are streamed, so that only the results of
    /// `take` add up.
    ///
    /// # Errors
    /// As for [`each_json`](Self::each_json).
    pub async fn each_row(
        &self,
        sql: &str,
        mut take: impl FnMut(&Row<'_>) -> Result<(), String>,
    ) -> Result<(), PgError> {
        let judge = |error: tokio_postgres::Error| self.judge(&error, sql);
        let mut stream = pin!(self.client.simple_query_raw(sql).await.map_err(judge)?);
        while let Some(message) = stream.try_next().await.map_err(judge)? {
            if let SimpleQueryMessage::Row(row) = message {
                take(&Row(&row)).map_err(|reason| PgError::Answer { statement: presentable(sql), reason })?;
            }
        }
        Ok(())
    }

    /// Starts a `COPY … FROM STDIN`.
    ///
    /// # Errors
    /// As for [`execute`](Self::execute).
    pub async fn copy_in(&self, sql: &str) -> Result<CopyIn, PgError> {
        let sink = self.client.copy_in(sql).await.map_err(|error| self.judge(&error, sql))?;
        Ok(CopyIn::new(sink, sql, Arc::clone(&self.state)))
    }

    /// What the server said of itself.
    pub fn info(&self) -> &ServerInfo {
        &self.info
    }

    /// The server's version.
    pub fn version(&self) -> ServerVersion {
        self.info.version
    }

    /// The process that serves the session.
    pub fn backend_pid(&self) -> u32 {
        self.info.backend_pid
    }

    /// The address, for messages.
    pub fn peer(&self) -> &str {
        &self.peer
    }

    /// Whether the connection has ended.
    pub fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// The means to cancel what the session is doing, to be taken along to another task.
    pub fn canceller(&self) -> Canceller {
        self.canceller.clone()
    }

    /// Asks the server to cancel what the session is doing.
    ///
    /// # Errors
    /// As for [`Canceller::cancel`].
    pub async fn cancel(&self) -> Result<(), PgError> {
        self.canceller.cancel().await
    }

    /// The server's warnings since the last call, at most a hundred.
    pub fn take_warnings(&self) -> Vec<ServerError> {
        self.state.take_warnings()
    }

    /// Where bulk data can be taken from.
    pub fn tap(&self) -> &TapHandle {
        &self.tap
    }

    /// The driver's client.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    pub(super) fn judge(&self, error: &tokio_postgres::Error, sql: &str) -> PgError {
        let error = self.state.explain(PgError::from_driver(error, sql));
        if self.info.is_standby { error.on_standby() } else { error }
    }
}

/// How often the server is asked who it is before its time limit is taken for an answer.
const IDENTITY_TRIES: usize = 20;

async fn identify(client: &Client) -> Result<ServerInfo, PgError> {
    let mut answer = client.simple_query(IDENTITY).await;
    // The database's or the role's statement_timeout is in force until our settings are made, and a busy server may need
    // longer than a very short one.
    for _ in 1..IDENTITY_TRIES {
        let cancelled = answer.as_ref().err().and_then(tokio_postgres::Error::code);
        if cancelled != Some(&tokio_postgres::error::SqlState::QUERY_CANCELED) {
            break;
        }
        answer = client.simple_query(IDENTITY).await;
    }
    let answer = answer.map_err(|error| PgError::from_driver(&error, IDENTITY))?;
    let text = answer.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    serde_json::from_str(text.unwrap_or_default()).map_err(|error| {
        let reason = format!("the server does not identify itself as PostgreSQL: {error}");
        PgError::Answer { statement: IDENTITY.to_owned(), reason }
    })
}
