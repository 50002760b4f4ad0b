//! PostgreSQL servers for tests.
//!
//! ```ignore
//! on_each_version(|server| {
//!     let db = server.create_db();
//!     server.sql(&db, "CREATE TABLE t AS SELECT 42 AS answer");
//!     assert_eq!(server.value(&db, "SELECT answer FROM t"), "42");
//! });
//! ```
//!
//! `shared` is one server per version and test process, for tests that are content with a database of their own.
//! `private` costs a quarter of a second and is for tests that need roles, settings, crashes or a log.
//! Servers that are missing are installed; one that cannot be installed fails the test.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use xtask::postgres::Postgres;
pub(crate) use xtask::postgres::{Build, Options};

/// The versions tests run on unless `PGCASK_TEST_PG` says otherwise.
const DEFAULT_VERSIONS: &str = "13,14,15,16,17,18";
/// Older versions than this are tested with every kind of object, and with little else.
const OLDEST_IN_FULL: u32 = 15;
/// How much of a server's log is shown when a test fails.
const LOG_LINES: usize = 60;
/// Parts columns where values may hold anything readable.
const MARK: &str = "\u{1}";

static NEXT_DATABASE: AtomicU32 = AtomicU32::new(1);

/// The major versions that are tested in full: those of [`every_version`] but the oldest, if there are others.
pub(crate) fn versions() -> Vec<u32> {
    let all = every_version();
    let full: Vec<u32> = all.iter().copied().filter(|major| *major >= OLDEST_IN_FULL).collect();
    if full.is_empty() { all } else { full }
}

/// The major versions under test: `PGCASK_TEST_PG=13,18`, or the default list.
pub(crate) fn every_version() -> Vec<u32> {
    let list = std::env::var("PGCASK_TEST_PG").unwrap_or_else(|_| DEFAULT_VERSIONS.to_owned());
    let parse =
        |word: &str| word.trim().parse().unwrap_or_else(|_| panic!("PGCASK_TEST_PG={list}: no version"));
    list.split(',').filter(|word| !word.trim().is_empty()).map(parse).collect()
}

/// The newest version under test: for tests that one version is enough for.
pub(crate) fn newest() -> u32 {
    versions().into_iter().max().expect("PGCASK_TEST_PG names no version")
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
        cell.get_or_init(|| Self::start(major))
    }

    /// A server of one's own.
    pub(crate) fn start(major: u32) -> Self {
        Self::private(major, &[])
    }

    /// A server of one's own, with settings: `&["wal_level=logical"]`.
    pub(crate) fn private(major: u32, settings: &[&str]) -> Self {
        let all = settings.iter().fold(Options { tcp: true, ..Options::default() }, |all, setting| {
            let (name, value) = setting.split_once('=').expect("a setting is name=value");
            all.set(name, value)
        });
        Self::with(Build::Major(major), all.set("max_connections", "200").set("max_wal_size", "4GB"))
    }

    /// A server of one's own with all choices: arguments of `initdb`, another build, no TCP.
    pub(crate) fn with(build: Build, options: Options) -> Self {
        match Postgres::start(build, options) {
            Ok(postgres) => Self { postgres },
            Err(error) => panic!("{build:?}: {error}\nhint: `cargo xtask servers` installs what tests need"),
        }
    }

    /// A streaming standby of this server, with settings of its own.
    pub(crate) fn standby(&self, settings: &[(&str, &str)]) -> Self {
        Self { postgres: self.postgres.standby(settings).unwrap_or_else(|error| panic!("{error}")) }
    }

    /// Waits until this standby has replayed all that its primary has written.
    #[track_caller]
    pub(crate) fn catch_up(&self, primary: &Self) {
        // A record that is flushed by its commit, after all others.
        let lsn = primary.value("postgres", "SELECT pg_logical_emit_message(true, 'catch up', '')");
        let replayed = format!("SELECT pg_last_wal_replay_lsn() >= '{lsn}'");
        let deadline = std::time::Instant::now() + std::time::Duration::from_mins(1);
        while self.value("postgres", &replayed) != "t" {
            assert!(std::time::Instant::now() < deadline, "the standby does not catch up");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    /// A new, empty database, dropped with the value.
    pub(crate) fn create_db(&self) -> Db<'_> {
        self.create_db_with("TEMPLATE template0")
    }

    /// A new database with options of `CREATE DATABASE`.
    pub(crate) fn create_db_with(&self, options: &str) -> Db<'_> {
        let (name, log_start) = (self.fresh_name(), self.log().len());
        self.sql("postgres", &format!("CREATE DATABASE {name} {options}"));
        Db { server: self, name, log_start }
    }

    /// A name that no database has. Whoever creates one wraps it with [`Server::adopt`], so that it is dropped.
    #[expect(clippy::unused_self, reason = "the name is one for this server's databases")]
    pub(crate) fn fresh_name(&self) -> String {
        format!("t{}", NEXT_DATABASE.fetch_add(1, Ordering::Relaxed))
    }

    /// Takes care of a database that something else creates.
    pub(crate) fn adopt(&self, name: String) -> Db<'_> {
        Db { server: self, name, log_start: self.log().len() }
    }

    /// A URL of a database on 127.0.0.1, as superuser.
    pub(crate) fn url(&self, db: &str) -> String {
        self.postgres.tcp_url(db)
    }

    /// A URL of a database over the unix socket, as superuser.
    pub(crate) fn socket_url(&self, db: &str) -> String {
        self.postgres.url(db)
    }

    /// The folder with the socket.
    pub(crate) fn socket_dir(&self) -> &Path {
        self.postgres.socket_dir()
    }

    /// The port, on 127.0.0.1 and in the socket's name.
    pub(crate) fn port(&self) -> u16 {
        self.postgres.port()
    }

    /// The data folder.
    pub(crate) fn data(&self) -> PathBuf {
        self.postgres.data()
    }

    /// Runs SQL, fails the test if it fails, and returns the rows: one a line, columns parted by `|`.
    #[track_caller]
    pub(crate) fn sql(&self, db: &str, sql: &str) -> String {
        self.try_sql(db, sql).unwrap_or_else(|error| panic!("{error}\nin: {}", shorten(sql)))
    }

    /// Runs SQL; the error is psql's message.
    pub(crate) fn try_sql(&self, db: &str, sql: &str) -> Result<String, String> {
        self.postgres.sql(db, sql).map_err(|error| error.to_string())
    }

    /// Runs a script file, which must succeed.
    #[track_caller]
    pub(crate) fn script(&self, db: &str, file: &Path) {
        super::output(self.client("psql", db).args(["-Xq", "-v", "ON_ERROR_STOP=1", "-f"]).arg(file));
    }

    /// Builds the TPC-H tables in a database.
    #[track_caller]
    pub(crate) fn tpch(&self, db: &str, scale: f64) {
        xtask::tpch::build(&self.postgres, db, scale).unwrap_or_else(|error| panic!("{error}"));
    }

    /// The rows of a query, as text; null is the empty text.
    #[track_caller]
    pub(crate) fn rows(&self, db: &str, query: &str) -> Vec<Vec<String>> {
        let answer = self.postgres.sql_parted(db, query, MARK);
        let answer = answer.unwrap_or_else(|error| panic!("{error}\nin: {}", shorten(query)));
        answer.lines().map(|line| line.split(MARK).map(str::to_owned).collect()).collect()
    }

    /// The first value of a query.
    #[track_caller]
    pub(crate) fn value(&self, db: &str, query: &str) -> String {
        self.rows(db, query).into_iter().flatten().next().unwrap_or_default()
    }

    /// A program of the client tools 18.6 (`pg_dump`, `pg_restore`, `pgbench`…), set to connect to a database.
    pub(crate) fn client(&self, program: &str, db: &str) -> Command {
        self.postgres.client(program, db).unwrap_or_else(|error| panic!("{error}"))
    }

    /// A session for tests that need more than SQL in and text out.
    pub(crate) async fn connect(&self, db: &str) -> tokio_postgres::Client {
        let connected = tokio_postgres::connect(&self.socket_url(db), tokio_postgres::NoTls).await;
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

    /// Ends the postmaster as a crash would; its children follow. [`Server::launch`] brings it back.
    pub(crate) fn kill9(&self) {
        self.postgres.kill9().expect("kill the server");
    }

    /// Fast shutdown. The data stays: [`Server::launch`] brings the server back.
    pub(crate) fn stop(&self) {
        self.postgres.stop().expect("stop the server");
    }

    /// Starts a server that was stopped or killed.
    pub(crate) fn launch(&self) {
        self.postgres.launch().expect("start the server again");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            show_log(&self.log());
        }
    }
}

/// The name of a database, which is dropped with the value; while the test panics, the server's log since is shown.
#[derive(Debug)]
pub(crate) struct Db<'a> {
    server: &'a Server,
    name: String,
    log_start: usize,
}

impl Deref for Db<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for Db<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl Drop for Db<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            show_log(self.server.log().get(self.log_start..).unwrap_or_default());
        }
        // A server that the test stopped takes the database with it.
        if self.server.postgres.pid().is_some() {
            let drop = format!("DROP DATABASE IF EXISTS \"{}\" WITH (FORCE)", self.name);
            if let Err(error) = self.server.try_sql("postgres", &drop) {
                eprintln!("{error}");
            }
        }
    }
}

fn show_log(log: &str) {
    let lines: Vec<_> = log.lines().collect();
    let shown = lines.iter().skip(lines.len().saturating_sub(LOG_LINES)).map(Deref::deref);
    eprintln!("server log:\n{}", shown.collect::<Vec<_>>().join("\n"));
}

fn shorten(sql: &str) -> String {
    sql.chars().take(2000).collect()
}

#[test]
fn a_shared_server_of_each_version_gives_each_test_its_database() {
    on_each_version(|server| {
        let (one, other) = (server.create_db(), server.create_db());
        server.sql(&one, "CREATE TABLE t AS SELECT 42 AS answer, 'a|b' AS text");
        assert_eq!(server.rows(&one, "SELECT * FROM t"), [["42", "a|b"]]);
        let error = server.try_sql(&other, "SELECT answer FROM t").unwrap_err();
        assert!(error.contains("relation \"t\" does not exist"), "{error}");
        let name = one.to_string();
        drop(one);
        let left = format!("SELECT count(*) FROM pg_database WHERE datname = '{name}'");
        assert_eq!(server.value("postgres", &left), "0");
    });
}

#[test]
fn a_private_server_keeps_committed_rows_through_stop_and_crash() {
    let server = Server::private(newest(), &["wal_level=logical"]);
    let db = server.adopt(server.fresh_name());
    server.sql("postgres", &format!("CREATE DATABASE {db}"));
    assert_eq!(server.sql(&db, "SHOW wal_level"), "logical");
    server.sql(&db, "CREATE TABLE t (id int); INSERT INTO t VALUES (1)");
    server.stop();
    assert!(server.try_sql("postgres", "SELECT 1").is_err());
    server.launch();
    server.sql(&db, "INSERT INTO t VALUES (2)");
    let before = server.pid();
    server.kill9();
    server.launch();
    assert_ne!(server.pid(), before);
    assert_eq!(server.sql(&db, "SELECT string_agg(id::text, ',' ORDER BY id) FROM t"), "1,2");
    assert!(server.log().contains("database system was not properly shut down"));
}

#[tokio::test]
async fn a_server_answers_by_socket_and_by_tcp() {
    let server = Server::with(Build::Tools, Options { tcp: true, ..Options::default() });
    let db = server.create_db();
    let by_socket = server.connect(&db).await;
    let row = by_socket.query_one("SELECT inet_server_port() IS NULL, version()", &[]).await.unwrap();
    assert!(row.get::<_, bool>(0) && row.get::<_, &str>(1).starts_with("PostgreSQL 18.6"));
    let (client, connection) =
        tokio_postgres::connect(&server.url(&db), tokio_postgres::NoTls).await.unwrap();
    let session = tokio::spawn(connection);
    let row = client.query_one("SELECT inet_server_port()", &[]).await.unwrap();
    assert_eq!(row.get::<_, i32>(0), i32::from(server.port()));
    drop(client);
    session.await.unwrap().unwrap();
}

#[test]
fn the_end_of_the_server_leaves_nothing_behind() {
    let server = Server::start(newest());
    let (pid, dir) = (server.pid(), server.socket_dir().to_owned());
    assert!(Path::new(&format!("/proc/{pid}")).exists() && server.data().starts_with(&dir));
    drop(server);
    assert!(!Path::new(&format!("/proc/{pid}")).exists(), "the postmaster still runs");
    assert!(!dir.exists(), "{} is still there", dir.display());
}
