//! The data sets, built once into a server whose folder is kept.

use std::path::PathBuf;

use xtask::postgres::{Build, Options, Postgres};
use xtask::tpch;
use xtask::{Result, install};

use crate::say;

/// `docs/benchmarks.md` says so to its readers.
const SETTINGS: &[(&str, &str)] = &[
    ("shared_buffers", "2GB"),
    ("work_mem", "64MB"),
    ("maintenance_work_mem", "1GB"),
    ("max_wal_size", "8GB"),
    ("checkpoint_timeout", "15min"),
    ("jit", "off"),
    // Only to keep runs apart.
    ("autovacuum", "off"),
    // So that the log shows how long foreign keys took.
    ("log_min_duration_statement", "20ms"),
];

/// The server with its data sets.
#[derive(Debug)]
pub(crate) struct Data {
    /// The server.
    pub(crate) server: Postgres,
}

impl Data {
    /// Starts the server and builds what it lacks of the named databases.
    pub(crate) fn prepare(scale: f64, databases: &[&str]) -> Result<Self> {
        let folder = folder(scale)?;
        let parent = folder.parent().map_or_else(PathBuf::new, PathBuf::from);
        install::create_shared(&parent)?;
        let options = Options { keep_in: Some(folder), durable: true, ..Options::default() };
        let options = SETTINGS.iter().fold(options, |all, (name, value)| all.set(name, value));
        let data = Self { server: Postgres::start(Build::Major(18), options)? };
        data.complete(databases, scale)?;
        Ok(data)
    }

    /// Builds those of the named databases that are not there.
    pub(crate) fn complete(&self, databases: &[&str], scale: f64) -> Result<()> {
        databases.iter().try_for_each(|db| self.build(db, scale))
    }

    /// A database counts as built when its comment says so, which is the last thing done.
    fn build(&self, db: &str, scale: f64) -> Result<()> {
        let state =
            format!("SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = '{db}'");
        if self.server.sql("postgres", &state)? == "complete" {
            return Ok(());
        }
        say(&format!("building {db} at scale {scale}"));
        self.server.sql("postgres", &format!("DROP DATABASE IF EXISTS {db}"))?;
        self.server.sql("postgres", &format!("CREATE DATABASE {db}"))?;
        match db {
            "tpch" => tpch::build(&self.server, db, scale)?,
            "tpch5" => tpch::build(&self.server, db, 5.0 * scale)?,
            "big" => tpch::build_big(&self.server, db, 2.0 * scale)?,
            "pgb" => self.pgbench(db, scale)?,
            _ => return Err(format!("no data set is called {db}").into()),
        }
        self.server.sql("postgres", &format!("COMMENT ON DATABASE {db} IS 'complete'; CHECKPOINT"))?;
        Ok(())
    }

    fn pgbench(&self, db: &str, scale: f64) -> Result<()> {
        let scale = format!("{:.0}", (50.0 * scale).max(1.0));
        install::run(self.server.client("pgbench", db)?.args(["-i", "-q", "--foreign-keys", "-s", &scale]))
    }

    /// Reads every table once, so that each contender finds it in memory.
    pub(crate) fn warm(&self, db: &str) -> Result<()> {
        let counts = "SELECT format('SELECT count(*) FROM %s;', oid::regclass) FROM pg_class \
            WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace";
        let counts = self.server.sql(db, counts)?;
        self.server.sql(db, &counts).map(drop)
    }

    /// The server's version, as it says it.
    pub(crate) fn version(&self) -> Result<String> {
        self.server.sql("postgres", "SHOW server_version")
    }

    /// Settings that differ from a server's defaults.
    pub(crate) fn settings() -> String {
        let all: Vec<_> = SETTINGS.iter().map(|(name, value)| format!("{name}={value}")).collect();
        all.join(", ")
    }
}

fn folder(scale: f64) -> Result<PathBuf> {
    Ok(install::root()?.join(format!("bench-18-sf{scale}")))
}
