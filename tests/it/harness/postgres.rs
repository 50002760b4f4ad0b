//! PostgreSQL servers for tests.
//!
//! ```ignore
//! for major in postgres::versions() {
//!     let db = Server::shared(major).create_db();
//!     db.sql("CREATE TABLE t (id int PRIMARY KEY)");
//!     assert_eq!(db.sql("SELECT count(*) FROM t"), "0");
//! }
//! ```
//!
//! `shared` is one server per version and test process, for tests that are content with a database of their own.
//! `private` costs a quarter of a second and is for tests that need roles, settings, crashes or a log.
//! Servers that are missing are installed; one that cannot be installed fails the test.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use xtask::postgres::Postgres;
pub(crate) use xtask::postgres::{Build, Options};

/// The versions tests run on unless `PGCASK_TEST_PG` says otherwise.
const DEFAULT_VERSIONS: &str = "15,16,17,18";
/// How much of a server's log is shown when a test fails.
const LOG_LINES: usize = 60;

/// The major versions under test: `PGCASK_TEST_PG=13,18`, or the default list.
pub(crate) fn versions() -> Vec<u32> {
    let list = std::env::var("PGCASK_TEST_PG").unwrap_or_else(|_| DEFAULT_VERSIONS.to_owned());
    let parse = |word: &str| {
        word.trim()
            .parse()
            .unwrap_or_else(|_| panic!("PGCASK_TEST_PG={list}: no version"))
    };
    list.split(',')
        .filter(|word| !word.trim().is_empty())
        .map(parse)
        .collect()
}

/// The newest version under test: for tests that one version is enough for.
pub(crate) fn newest() -> u32 {
    versions()
        .into_iter()
        .max()
        .expect("PGCASK_TEST_PG names no version")
}

/// Runs a test on each version under test, on the shared servers. A failure names the version.
pub(crate) fn on_each_version(test: impl Fn(&'static Server)) {
    for major in versions() {
        eprintln!("on PostgreSQL {major}:");
        test(Server::shared(major));
    }
}

/// A running server; gone with the value, or with the test process.
#[derive(Debug)]
pub(crate) struct Server {
    postgres: Postgres,
}

impl Server {
    /// The server of this version that all tests of the process share. Roles, settings and other things that a
    /// server has only once belong to a private one.
    pub(crate) fn shared(major: u32) -> &'static Self {
        static SERVERS: Mutex<BTreeMap<u32, &'static OnceLock<Server>>> = Mutex::new(BTreeMap::new());
        let cell = {
            let mut servers = SERVERS.lock().unwrap_or_else(PoisonError::into_inner);
            *servers.entry(major).or_insert_with(|| Box::leak(Box::default()))
        };
        cell.get_or_init(|| {
            let options = Options::default().set("max_connections", "200");
            Self::with(Build::Major(major), options)
        })
    }

    /// A server of one's own, with settings: `&[("wal_level", "logical")]`.
    pub(crate) fn private(major: u32, settings: &[(&str, &str)]) -> Self {
        let options = settings
            .iter()
            .fold(Options::default(), |all, (name, value)| all.set(name, value));
        Self::with(Build::Major(major), options)
    }

    /// A server of one's own with all choices: TCP, arguments of `initdb`, another build.
    pub(crate) fn with(build: Build, options: Options) -> Self {
        match Postgres::start(build, options) {
            Ok(postgres) => Self { postgres },
            Err(error) => panic!("{build:?}: {error}\nhint: `cargo xtask servers` installs what tests need"),
        }
    }

    /// A new, empty database, dropped with the value.
    pub(crate) fn create_db(&self) -> Db<'_> {
        self.create_db_with("TEMPLATE template0")
    }

    /// A new database with options of `CREATE DATABASE`.
    pub(crate) fn create_db_with(&self, options: &str) -> Db<'_> {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let name = format!("t{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let log_start = self.log().len();
        self.sql("postgres", &format!("CREATE DATABASE {name} {options}"));
        Db {
            server: self,
            name,
            log_start,
        }
    }

    /// A URL of a database, over the unix socket, as superuser.
    pub(crate) fn url(&self, db: &str) -> String {
        self.postgres.url(db)
    }

    /// A URL over TCP; only for servers started with `Options { tcp: true, .. }`.
    pub(crate) fn tcp_url(&self, db: &str) -> String {
        self.postgres.tcp_url(db)
    }

    /// The folder with the socket.
    pub(crate) fn socket_dir(&self) -> &Path {
        self.postgres.socket_dir()
    }

    /// The port: part of the socket's name, and the TCP port where there is one.
    pub(crate) fn port(&self) -> u16 {
        self.postgres.port()
    }

    /// The data folder.
    pub(crate) fn data(&self) -> std::path::PathBuf {
        self.postgres.data()
    }

    /// Runs SQL, fails the test if it fails, and returns the rows: one a line, columns parted by `|`.
    #[track_caller]
    pub(crate) fn sql(&self, db: &str, sql: &str) -> String {
        self.try_sql(db, sql)
            .unwrap_or_else(|error| panic!("{error}\nin: {}", shorten(sql)))
    }

    /// Runs SQL; the error is psql's message.
    pub(crate) fn try_sql(&self, db: &str, sql: &str) -> Result<String, String> {
        self.postgres.sql(db, sql).map_err(|error| error.to_string())
    }

    /// A program of the client tools 18.6 (`pg_dump`, `pg_restore`, `pgbench`…), set to connect to a database.
    pub(crate) fn client(&self, program: &str, db: &str) -> Command {
        self.postgres
            .client(program, db)
            .unwrap_or_else(|error| panic!("{error}"))
    }

    /// A session for tests that need more than SQL in and text out.
    pub(crate) async fn connect(&self, db: &str) -> tokio_postgres::Client {
        let connected = tokio_postgres::connect(&self.url(db), tokio_postgres::NoTls).await;
        let (client, connection) = connected.unwrap_or_else(|error| panic!("connect to {db}: {error}"));
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                eprintln!("session of the test: {error}");
            }
        });
        client
    }

    /// The server's log since its first start.
    pub(crate) fn log(&self) -> String {
        self.postgres.log()
    }

    /// Process id of the postmaster.
    pub(crate) fn pid(&self) -> u32 {
        self.postgres.pid().expect("the server was stopped")
    }

    /// Ends the postmaster as a crash would; its children follow.
    pub(crate) fn kill9(&self) {
        self.postgres.kill9().expect("kill the server");
    }

    /// Fast shutdown. The data stays: `start_again` brings the server back.
    pub(crate) fn stop(&self) {
        self.postgres.stop().expect("stop the server");
    }

    /// Starts a server that was stopped or killed.
    pub(crate) fn start_again(&self) {
        self.postgres.start_again().expect("start the server again");
    }

    /// Fast shutdown and start.
    pub(crate) fn restart(&self) {
        self.postgres.restart().expect("restart the server");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            show_log(&self.log());
        }
    }
}

/// A database of a test, dropped with the value; while the test panics, the server's log since is shown.
#[derive(Debug)]
pub(crate) struct Db<'a> {
    server: &'a Server,
    name: String,
    log_start: usize,
}

impl Db<'_> {
    /// Its name on the server.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Its server.
    pub(crate) fn server(&self) -> &Server {
        self.server
    }

    /// Its URL.
    pub(crate) fn url(&self) -> String {
        self.server.url(&self.name)
    }

    /// Runs SQL in it: see [`Server::sql`].
    #[track_caller]
    pub(crate) fn sql(&self, sql: &str) -> String {
        self.server.sql(&self.name, sql)
    }

    /// A session in it.
    pub(crate) async fn connect(&self) -> tokio_postgres::Client {
        self.server.connect(&self.name).await
    }
}

impl Drop for Db<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            show_log(self.server.log().get(self.log_start..).unwrap_or_default());
        }
        // A server that the test stopped takes the database with it.
        if self.server.postgres.pid().is_some() {
            let drop = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
            if let Err(error) = self.server.try_sql("postgres", &drop) {
                eprintln!("{error}");
            }
        }
    }
}

fn show_log(log: &str) {
    let lines: Vec<_> = log.lines().collect();
    let shown = lines
        .iter()
        .skip(lines.len().saturating_sub(LOG_LINES))
        .map(Deref::deref);
    eprintln!("server log:\n{}", shown.collect::<Vec<_>>().join("\n"));
}

fn shorten(sql: &str) -> String {
    sql.chars().take(2000).collect()
}

#[test]
fn a_shared_server_of_each_version_gives_each_test_its_database() {
    on_each_version(|server| {
        let (one, other) = (server.create_db(), server.create_db());
        one.sql("CREATE TABLE t AS SELECT 42 AS answer");
        assert_eq!(one.sql("SELECT answer FROM t"), "42");
        let error = other
            .server()
            .try_sql(other.name(), "SELECT answer FROM t")
            .unwrap_err();
        assert!(error.contains("relation \"t\" does not exist"), "{error}");
        let name = one.name().to_owned();
        drop(one);
        assert_eq!(
            server.sql(
                "postgres",
                &format!("SELECT count(*) FROM pg_database WHERE datname='{name}'")
            ),
            "0"
        );
    });
}

#[test]
fn a_private_server_keeps_committed_rows_through_stop_and_crash() {
    let server = Server::private(newest(), &[("wal_level", "logical")]);
    let db = server.create_db();
    assert_eq!(db.sql("SHOW wal_level"), "logical");
    db.sql("CREATE TABLE t (id int); INSERT INTO t VALUES (1)");
    server.restart();
    db.sql("INSERT INTO t VALUES (2)");
    let before = server.pid();
    server.kill9();
    assert!(server.try_sql("postgres", "SELECT 1").is_err());
    server.start_again();
    assert_ne!(server.pid(), before);
    assert_eq!(
        db.sql("SELECT string_agg(id::text, ',' ORDER BY id) FROM t"),
        "1,2"
    );
    assert!(
        server
            .log()
            .contains("database system was not properly shut down")
    );
}

#[tokio::test]
async fn a_server_answers_by_tcp_where_asked() {
    let options = Options {
        tcp: true,
        ..Options::default()
    };
    let server = Server::with(Build::Tools, options);
    let db = server.create_db();
    let by_socket = db.connect().await;
    let row = by_socket
        .query_one("SELECT current_setting('listen_addresses')", &[])
        .await
        .unwrap();
    assert_eq!(row.get::<_, String>(0), "127.0.0.1");
    let url = server.tcp_url(db.name());
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls)
        .await
        .unwrap();
    let session = tokio::spawn(connection);
    let row = client.query_one("SELECT inet_server_port()", &[]).await.unwrap();
    assert_eq!(row.get::<_, i32>(0), i32::from(server.port()));
    drop(client);
    session.await.unwrap().unwrap();
}

#[test]
fn the_end_of_the_server_leaves_nothing_behind() {
    let server = Server::private(newest(), &[]);
    let (pid, dir) = (server.pid(), server.socket_dir().to_owned());
    assert!(Path::new(&format!("/proc/{pid}")).exists() && server.data().starts_with(&dir));
    drop(server);
    assert!(
        !Path::new(&format!("/proc/{pid}")).exists(),
        "the postmaster still runs"
    );
    assert!(!dir.exists(), "{} is still there", dir.display());
}
