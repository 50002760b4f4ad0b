//! Private PostgreSQL servers: a copied template, a socket in a short folder, a leash.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::leash::{Leash, Spec};
use crate::package::{self, Package};
use crate::user::RunAs;
use crate::{Context, Result, install, user};

/// A start may include crash recovery on a machine that has other things to do.
const START_TIMEOUT: Duration = Duration::from_secs(90);
/// After a kill, the old server's last processes may hold its memory for a moment.
const RETRY_TIMEOUT: Duration = Duration::from_secs(15);
/// Without TCP the port is only part of the socket's name.
const SOCKET_PORT: u16 = 5432;

/// Which server program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Build {
    /// The pinned minor of a major version, with ICU and TLS.
    Major(u32),
    /// The server that belongs to the client tools: 18.6, without ICU and TLS.
    Tools,
    /// What the operating system has installed under `/usr/lib/postgresql`.
    System(u32),
}

impl Build {
    /// Installs it if need be and returns the folder of its programs.
    pub fn bin(self) -> Result<PathBuf> {
        match self {
            Self::Major(major) => {
                let known = package::server(major);
                install::ensure(known.ok_or_else(|| format!("PostgreSQL {major} is not among the servers"))?)
            }
            Self::Tools => install::ensure(&package::TOOLS),
            Self::System(major) => {
                let bin = PathBuf::from(format!("/usr/lib/postgresql/{major}/bin"));
                let found = bin.join("postgres").exists();
                found.then_some(bin).ok_or_else(|| format!("PostgreSQL {major} is not installed").into())
            }
        }
    }

    fn label(self) -> String {
        let version = |package: &Package| format!("{}-{}", package.label, package.version());
        match self {
            Self::Major(major) => package::server(major).map_or_else(|| major.to_string(), version),
            Self::Tools => version(&package::TOOLS),
            Self::System(major) => format!("system-{major}"),
        }
    }
}

/// How a server is to be.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// `postgresql.conf` settings on top of the harness's own.
    pub settings: Vec<(String, String)>,
    /// Also listen on a free port of 127.0.0.1.
    pub tcp: bool,
    /// Further arguments of `initdb`, after `--encoding=UTF8 --locale=C`.
    pub initdb: Vec<String>,
    /// Keep the data in this folder and use what is there; otherwise it is temporary.
    pub keep_in: Option<PathBuf>,
    /// Keep fsync on, as benchmarks need it.
    pub durable: bool,
}

impl Options {
    /// Adds a setting.
    #[must_use]
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// A running server, gone when this is dropped or the process ends.
#[derive(Debug)]
pub struct Postgres {
    bin: PathBuf,
    dir: PathBuf,
    port: AtomicU16,
    options: Options,
    user: Option<RunAs>,
    leash: Mutex<Option<Leash>>,
}

impl Postgres {
    /// Creates and starts a server.
    pub fn start(build: Build, options: Options) -> Result<Self> {
        let bin = build.bin()?;
        let user = RunAs::detect()?;
        let (dir, data) = match &options.keep_in {
            Some(kept) => (temporary_folder(user)?, kept.clone()),
            None => temporary_folder(user).map(|dir| (dir.clone(), dir.join("data")))?,
        };
        let port = if options.tcp { free_port()? } else { SOCKET_PORT };
        let port = AtomicU16::new(port);
        let server = Self { bin, dir, port, options, user, leash: Mutex::new(None) };
        if !data.join("PG_VERSION").exists() {
            let template = template(build, &server.bin, &server.options.initdb, user)?;
            let mut copy = Command::new("cp");
            install::run(copy.args(["-a", "--reflink=auto"]).arg(&template).arg(&data))?;
        }
        server.launch()?;
        Ok(server)
    }

    /// A streaming standby of this server, as `pg_basebackup` makes one.
    pub fn standby(&self, settings: &[(&str, &str)]) -> Result<Self> {
        let dir = temporary_folder(self.user)?;
        let mut copy = self.client("pg_basebackup", "postgres")?;
        copy.arg("-D").arg(dir.join("data"));
        copy.args(["--no-sync", "--checkpoint=fast", "--wal-method=stream"]);
        if let Some(user) = self.user {
            user.apply(&mut copy);
        }
        install::run(copy.current_dir("/"))?;
        // Not by pg_basebackup, which writes options that older servers do not know.
        std::fs::write(dir.join("data/standby.signal"), "")?;
        let primary = format!("host={} port={} user=postgres", self.dir.display(), self.port());
        let port = AtomicU16::new(if self.options.tcp { free_port()? } else { SOCKET_PORT });
        let options = Options { keep_in: None, ..self.options.clone() };
        let options = options.set("primary_conninfo", &primary);
        let options = settings.iter().fold(options, |all, (name, value)| all.set(name, value));
        let (bin, user) = (self.bin.clone(), self.user);
        let standby = Self { bin, dir, port, options, user, leash: Mutex::new(None) };
        standby.launch()?;
        Ok(standby)
    }

    /// The folder with the data.
    pub fn data(&self) -> PathBuf {
        self.options.keep_in.clone().unwrap_or_else(|| self.dir.join("data"))
    }

    /// The folder with the server's socket.
    pub fn socket_dir(&self) -> &Path {
        &self.dir
    }

    /// The port: part of the socket's name, and on 127.0.0.1 where TCP was asked for.
    pub fn port(&self) -> u16 {
        self.port.load(Ordering::Relaxed)
    }

    /// The folder of the server's programs.
    pub fn bin(&self) -> &Path {
        &self.bin
    }

    /// A URL for the superuser over the unix socket.
    pub fn url(&self, db: &str) -> String {
        let host = self.dir.display().to_string().replace('/', "%2F");
        format!("postgres://postgres@/{db}?host={host}&port={}", self.port())
    }

    /// A URL for the superuser over TCP, for servers started with it.
    pub fn tcp_url(&self, db: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{db}", self.port())
    }

    /// Process id of the postmaster, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.leash().as_ref().map(Leash::pid)
    }

    /// The server's log.
    pub fn log(&self) -> String {
        std::fs::read(self.log_path())
            .map_or_else(|_| String::new(), |bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// A command of the client tools (`psql`, `pg_dump`…) that connects to a database of this server.
    pub fn client(&self, program: &str, db: &str) -> Result<Command> {
        let mut command = Command::new(install::ensure(&package::TOOLS)?.join(program));
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("PGHOST", &self.dir).env("PGPORT", self.port().to_string());
        command.env("PGUSER", "postgres").env("PGDATABASE", db).env("LC_ALL", "C.UTF-8");
        command.env("PGAPPNAME", "pgcask-harness").stdin(Stdio::null());
        Ok(command)
    }

    /// Runs SQL by `psql`: unaligned rows without headers, columns parted by `|`. The first error ends it.
    pub fn sql(&self, db: &str, sql: &str) -> Result<String> {
        self.sql_parted(db, sql, "|")
    }

    /// Runs SQL as [`Postgres::sql`] does, with another mark between columns.
    pub fn sql_parted(&self, db: &str, sql: &str, mark: &str) -> Result<String> {
        let mut psql = self.client("psql", db)?;
        psql.args(["-F", mark]);
        psql.args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-f", "-"]);
        psql.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = psql.spawn().context(|| "start psql".to_owned())?;
        let mut stdin = child.stdin.take().ok_or("psql has no stdin")?;
        let text = sql.to_owned();
        // From a thread of its own, so that long scripts with long answers don't block one another. A psql that
        // stops at an error closes the pipe early: its message says more than ours.
        let writer = std::thread::spawn(move || std::io::Write::write_all(&mut stdin, text.as_bytes()));
        let output = child.wait_with_output().context(|| "run psql".to_owned())?;
        let _written = writer.join();
        if output.status.success() {
            let out = String::from_utf8(output.stdout).context(|| "read psql's answer".to_owned())?;
            return Ok(out.trim_end_matches('\n').to_owned());
        }
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned().into())
    }

    /// Stops the server in the orderly, fast way; its data stays for [`Postgres::launch`].
    pub fn stop(&self) -> Result<()> {
        self.end("INT")
    }

    /// Kills the postmaster as a crash would.
    pub fn kill9(&self) -> Result<()> {
        self.end("KILL")
    }

    /// Stops and starts.
    pub fn restart(&self) -> Result<()> {
        self.stop()?;
        self.launch()
    }

    /// Starts a stopped or killed server on the data it had.
    ///
    /// Two refusals pass: the memory of a killed server, which its last children still hold, and a port that somebody
    /// took since it was seen free; the latter is replaced.
    pub fn launch(&self) -> Result<()> {
        let deadline = Instant::now() + RETRY_TIMEOUT;
        loop {
            let before = self.log().len();
            let Err(error) = self.try_start() else {
                return Ok(());
            };
            let log = self.log();
            let new = log.get(before..).unwrap_or_default();
            let (memory, port) = (new.contains("is still in use"), new.contains("could not bind"));
            if Instant::now() > deadline || !(memory || port) {
                return Err(error);
            }
            if port && self.options.tcp {
                self.port.store(free_port()?, Ordering::Relaxed);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn try_start(&self) -> Result<()> {
        let mut command = vec![self.bin.join("postgres").display().to_string()];
        command.extend(["-D".to_owned(), self.data().display().to_string()]);
        for (name, value) in self.all_settings() {
            command.extend(["-c".to_owned(), format!("{name}={value}")]);
        }
        let kept = self.options.keep_in.is_some();
        let leash = Leash::start(&Spec {
            command: &command,
            log: &self.log_path(),
            // Nobody will read temporary data again: no need for a last checkpoint.
            last_signal: if kept { "INT" } else { "QUIT" },
            remove: std::slice::from_ref(&self.dir),
            user: self.user,
        })?;
        let deadline = Instant::now() + START_TIMEOUT;
        while !self.is_ready(leash.pid()) {
            if !leash.is_running() || Instant::now() > deadline {
                let log = leash.log();
                leash.stop("KILL")?;
                return Err(format!("the server did not start; its log:\n{log}").into());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        *self.leash() = Some(leash);
        Ok(())
    }

    /// What `pg_ctl` looks at as well: line 1 of `postmaster.pid` is the process, line 8 its state.
    fn is_ready(&self, pid: u32) -> bool {
        let file = std::fs::read_to_string(self.data().join("postmaster.pid")).unwrap_or_default();
        let mut lines = file.lines();
        lines.next() == Some(&pid.to_string())
            && lines.nth(6).is_some_and(|state| matches!(state.trim(), "ready" | "standby"))
    }

    fn all_settings(&self) -> Vec<(String, String)> {
        let own = [
            ("listen_addresses", if self.options.tcp { "127.0.0.1" } else { "" }),
            ("port", &self.port().to_string()),
            ("unix_socket_directories", &self.dir.display().to_string()),
            ("fsync", if self.options.durable { "on" } else { "off" }),
            ("timezone", "UTC"),
            ("log_timezone", "UTC"),
            ("log_line_prefix", "%m [%p] %a "),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        own.into_iter().chain(self.options.settings.iter().cloned()).collect()
    }

    fn end(&self, signal: &str) -> Result<()> {
        let leash = self.leash().take();
        leash.ok_or("the server is not running")?.stop(signal)
    }

    fn log_path(&self) -> PathBuf {
        self.dir.join("log")
    }

    fn leash(&self) -> MutexGuard<'_, Option<Leash>> {
        self.leash.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.leash().take());
        // The leash has removed it, unless the server was stopped before.
        let _removed = std::fs::remove_dir_all(&self.dir);
    }
}

/// A port nobody listens on. Another process could take it before our server does; it would then fail to start.
pub fn free_port() -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context(|| "find a free port".to_owned())?;
    Ok(listener.local_addr()?.port())
}

/// A folder whose path is short enough for a socket in it (107 bytes on Linux), owned by the server's user.
pub fn temporary_folder(user: Option<RunAs>) -> Result<PathBuf> {
    let base = Some(std::env::temp_dir()).filter(|dir| dir.as_os_str().len() <= 60);
    let base = base.unwrap_or_else(|| PathBuf::from("/tmp"));
    let dir = tempfile::Builder::new().prefix("pgcask-").tempdir_in(&base)?.keep();
    if let Some(user) = user {
        user.own(&dir)?;
    }
    Ok(dir)
}

/// The outcome of `initdb`, made once per build, user and arguments, and copied for each server.
fn template(build: Build, bin: &Path, arguments: &[String], user: Option<RunAs>) -> Result<PathBuf> {
    let root = install::root()?.join("templates");
    install::create_shared(&root)?;
    let uid = user.map_or_else(user::effective_uid, |user| Ok(user.uid()))?;
    let mut hasher = DefaultHasher::new();
    arguments.hash(&mut hasher);
    let name = format!("{}-{uid}-{:016x}", build.label(), hasher.finish());
    let template = root.join(&name);
    if template.is_dir() {
        return Ok(template);
    }
    let lock = install::lock(&root, &name)?;
    if !template.is_dir() {
        let fresh = tempfile::Builder::new().prefix(".initdb-").tempdir_in(&root)?;
        let mut initdb = Command::new(bin.join("initdb"));
        initdb.arg("-D").arg(fresh.path()).args(["--username=postgres", "--auth=trust", "--no-sync"]);
        initdb.args(["--encoding=UTF8", "--locale=C"]).args(arguments);
        initdb.env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C").current_dir("/");
        if let Some(user) = user {
            user.own(fresh.path())?;
            user.apply(&mut initdb);
        }
        install::run(&mut initdb)?;
        std::fs::rename(fresh.path(), &template).context(|| format!("rename to {}", template.display()))?;
    }
    lock.unlock()?;
    Ok(template)
}
