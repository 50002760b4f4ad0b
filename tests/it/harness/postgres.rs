//! Leashed PostgreSQL servers: one shared by all tests for each version, and private ones.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{LazyLock, Mutex};
use std::time::{Duration, Instant};

use super::{Leashed, as_ordinary_user, free_port, give_away, output};

/// The versions under test: `PGCASK_TEST_PG`, or all that are supported in full.
pub(crate) fn versions() -> Vec<u32> {
    let list = std::env::var("PGCASK_TEST_PG").unwrap_or_else(|_| "15,16,17,18".to_owned());
    list.split(',').map(|text| text.trim().parse().unwrap()).collect()
}

/// The newest version under test.
pub(crate) fn newest() -> u32 {
    versions().into_iter().max().unwrap()
}

/// A running server.
pub(crate) struct Server {
    leash: Option<Leashed>,
    bin: PathBuf,
    home: tempfile::TempDir,
    port: u16,
    settings: Vec<String>,
}

/// Settings of every server: durability is not what is tested.
const SETTINGS: [&str; 5] = [
    "fsync=off",
    "listen_addresses=127.0.0.1",
    "max_connections=200",
    "shared_buffers=256MB",
    "max_wal_size=4GB",
];

static SHARED: LazyLock<Mutex<HashMap<u32, &'static Server>>> = LazyLock::new(Mutex::default);
static DATABASES: AtomicU32 = AtomicU32::new(0);

impl Server {
    /// The server that all tests of a version share.
    pub(crate) fn shared(major: u32) -> &'static Self {
        let mut shared = SHARED.lock().unwrap();
        shared.entry(major).or_insert_with(|| Box::leak(Box::new(Self::private(major, &[]))))
    }

    /// A server of one's own.
    pub(crate) fn start(major: u32) -> Self {
        Self::private(major, &[])
    }

    /// A server of one's own, with settings (`name=value`).
    pub(crate) fn private(major: u32, settings: &[&str]) -> Self {
        let install = xtask::servers::postgres(major)
            .unwrap_or_else(|error| panic!("PostgreSQL {major}: {error}\nhint: run `cargo xtask servers`"));
        let home = tempfile::Builder::new().prefix("pgcask-").tempdir_in("/tmp").unwrap();
        give_away(home.path());
        let data = home.path().join("data");
        let mut initdb = Command::new(install.join("bin/initdb"));
        initdb
            .args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "-D"])
            .arg(&data);
        as_ordinary_user(&mut initdb);
        output(initdb.current_dir(home.path()));
        let settings = SETTINGS.iter().chain(settings).map(|setting| (*setting).to_owned()).collect();
        let mut server = Self { leash: None, bin: install.join("bin"), home, port: free_port(), settings };
        server.launch();
        server
    }

    /// Starts (again).
    pub(crate) fn launch(&mut self) {
        let home = self.home.path();
        let mut args = vec!["-D".to_owned(), path(&home.join("data")), "-k".to_owned(), path(home)];
        args.extend(["-p".to_owned(), self.port.to_string()]);
        for setting in &self.settings {
            args.extend(["-c".to_owned(), setting.clone()]);
        }
        self.leash = Some(Leashed::start(&self.bin.join("postgres"), &args, &home.join("log"), true, "INT"));
        let began = Instant::now();
        while !self.answers() {
            assert!(began.elapsed() < Duration::from_mins(1), "the server does not start:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn answers(&self) -> bool {
        let mut psql = self.psql("postgres");
        psql.args(["-c", "SELECT 1"]).output().is_ok_and(|output| output.status.success())
    }

    /// The connection URL of a database.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// The port on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The directory of the Unix socket.
    pub(crate) fn socket_dir(&self) -> &Path {
        self.home.path()
    }

    /// What the server wrote.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.home.path().join("log")).unwrap_or_default()
    }

    /// Process id of the postmaster.
    pub(crate) fn pid(&self) -> u32 {
        let file = std::fs::read_to_string(self.home.path().join("data/postmaster.pid")).unwrap();
        file.lines().next().unwrap().parse().unwrap()
    }

    /// Kills the server at once, as a crash would.
    pub(crate) fn kill9(&self) {
        output(Command::new("kill").args(["-9", &self.pid().to_string()]));
    }

    /// A new, empty database.
    pub(crate) fn create_db(&self) -> String {
        let name = format!("t{}", DATABASES.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name}"));
        name
    }

    /// A name that no database has.
    #[expect(clippy::unused_self, reason = "the name is one for this server's databases")]
    pub(crate) fn fresh_name(&self) -> String {
        format!("t{}", DATABASES.fetch_add(1, Ordering::Relaxed))
    }

    fn psql(&self, database: &str) -> Command {
        let clients = xtask::servers::clients().unwrap_or_else(|error| panic!("clients: {error}"));
        let mut psql = Command::new(clients.join("bin/psql"));
        psql.args([
            "-X",
            "-q",
            "-v",
            "ON_ERROR_STOP=1",
            "-A",
            "-t",
            "-F",
            "\u{1}",
            "-d",
            &self.url(database),
        ]);
        psql.env_clear();
        psql
    }

    /// Runs a script, which must succeed.
    pub(crate) fn sql(&self, database: &str, script: &str) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), script).unwrap();
        self.script(database, file.path());
    }

    /// Runs a script file, which must succeed.
    pub(crate) fn script(&self, database: &str, file: &Path) {
        output(self.psql(database).arg("-f").arg(file));
    }

    /// The rows of a query, as text; null is the empty text.
    pub(crate) fn rows(&self, database: &str, query: &str) -> Vec<Vec<String>> {
        let text = output(self.psql(database).args(["-c", query]));
        text.lines().map(|line| line.split('\u{1}').map(str::to_owned).collect()).collect()
    }

    /// The first value of a query.
    pub(crate) fn value(&self, database: &str, query: &str) -> String {
        self.rows(database, query).into_iter().flatten().next().unwrap_or_default()
    }
}

fn path(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}
