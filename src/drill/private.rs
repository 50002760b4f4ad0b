//! A PostgreSQL server of the drill's own: made in a temporary folder from installed programs, reached by a socket in that
//! folder alone, and gone with it. What a drill that was killed left is removed by the next.

use std::fs::DirBuilder;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::process::{Child, Command};

use super::programs::Programs;
use crate::error::{Error, ErrorKind, Result};
use crate::pg::{ConnectOptions, PgError, Session, SessionKind};
use crate::stop::Stop;
use crate::store::naming::new_id;

/// What the folders of private servers begin with.
const PREFIX: &str = "pgcask-drill-";

/// The file that says which process a folder belongs to.
const OWNER: &str = "owner";

/// Who the server belongs to.
const USER: &str = "postgres";

/// The port: a part of the socket's name.
const PORT: u16 = 5432;

/// How long the server may take to start.
const START: Duration = Duration::from_mins(1);

/// How long it may take to end.
const END: Duration = Duration::from_secs(20);

/// How a private server is made.
#[derive(Debug, Clone)]
pub struct PrivateOptions {
    /// The folder that the server's own folder is made in.
    pub folder: PathBuf,
    /// The account that the server runs as when we are root.
    pub account: Option<String>,
    /// Settings besides the drill's, as in `postgresql.conf`.
    pub settings: Vec<(String, String)>,
}

/// A running private server.
#[derive(Debug)]
pub(super) struct Private {
    folder: PathBuf,
    child: Option<Child>,
    /// How it is reached.
    pub options: ConnectOptions,
}

/// The account that runs the server: an ordinary one, since PostgreSQL refuses to run as root.
#[derive(Debug, Clone, Copy)]
struct Account {
    uid: u32,
    gid: u32,
}

impl Private {
    /// Makes and starts a server.
    ///
    /// # Errors
    /// When the programs cannot be run, or the server does not start; its log's last lines are in the error.
    pub(super) async fn start(programs: &Programs, options: &PrivateOptions, stop: &Stop) -> Result<Self> {
        let account = account(options.account.as_deref())?;
        let folder = make_folder(&options.folder, account)?;
        let connect = connect_options(&folder)?;
        let mut server = Self { folder, child: None, options: connect };
        match server.launch(programs, options, account, stop).await {
            Ok(()) => Ok(server),
            Err(error) => {
                let error = server.explain(error);
                server.remove().await?;
                Err(error)
            }
        }
    }

    async fn launch(
        &mut self,
        programs: &Programs,
        options: &PrivateOptions,
        account: Option<Account>,
        stop: &Stop,
    ) -> Result<()> {
        let data = self.folder.join("data");
        let mut initdb = command(&programs.bin.join("initdb"), account, &self.folder)?;
        initdb.arg("--pgdata").arg(&data);
        initdb.args(["--username", USER, "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]);
        let made = initdb.kill_on_drop(true).status();
        let made = stop.or(async { made.await.map_err(|error| cannot_run("initdb", error)) }).await?;
        if !made.success() {
            return Err(Error::new(ErrorKind::Failed, format!("initdb failed: {made}")));
        }
        let mut postgres = command(&programs.bin.join("postgres"), account, &self.folder)?;
        postgres.arg("-D").arg(&data).arg("-k").arg(&self.folder);
        for (name, value) in settings(options) {
            postgres.arg("-c").arg(format!("{name}={value}"));
        }
        // Ctrl-C is for us: a group of its own keeps the terminal's signal from the server.
        let child = postgres.process_group(0).spawn().map_err(|error| cannot_run("postgres", error))?;
        self.child = Some(child);
        self.wait_until_up(stop).await
    }

    async fn wait_until_up(&mut self, stop: &Stop) -> Result<()> {
        let began = Instant::now();
        loop {
            stop.check()?;
            let Err(error) = Session::open(&self.options, SessionKind::Target).await else { return Ok(()) };
            let ended = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten());
            if let Some(status) = ended {
                return Err(Error::new(ErrorKind::Failed, format!("the server ended at once: {status}")));
            }
            if began.elapsed() > START {
                return Err(Error::from(error).context("start the private server"));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// An error with the last lines of the server's log.
    fn explain(&self, error: Error) -> Error {
        let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        // The reason, if the server gives one; else whatever it said last.
        let is_reason = |line: &&str| ["FATAL:", "PANIC:", "error:"].iter().any(|word| line.contains(word));
        let reason = lines.iter().copied().find(is_reason).map(str::to_owned);
        let last = || lines.get(lines.len().saturating_sub(5)..).unwrap_or_default().join(" | ");
        let last = reason.unwrap_or_else(last);
        if last.is_empty() { error } else { error.hint(format!("the server says: {last}")) }
    }

    /// Waits until the server ends by itself, and says why.
    pub(super) async fn ended(&mut self) -> Error {
        let status = match &mut self.child {
            Some(child) => {
                child.wait().await.map_or_else(|error| error.to_string(), |status| status.to_string())
            }
            None => "it was not started".to_owned(),
        };
        let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        let last = log.lines().rev().find(|line| line.contains("PANIC:") || line.contains("FATAL:"));
        let why = last.map_or_else(String::new, |line| format!(": {line}"));
        Error::new(ErrorKind::Server, format!("the private server ended ({status}){why}"))
    }

    /// Ends the server and removes all of it.
    ///
    /// # Errors
    /// When something is left.
    pub(super) async fn remove(mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            if let Some(pid) = child.id() {
                signal(pid, rustix::process::Signal::QUIT);
            }
            if tokio::time::timeout(END, child.wait()).await.is_err() {
                child
                    .kill()
                    .await
                    .map_err(|error| Error::with_source(ErrorKind::Failed, "end the server", error))?;
            }
        }
        let folder = std::mem::take(&mut self.folder);
        remove_folder(&folder)
    }
}

impl Drop for Private {
    /// For whoever could not wait for [`Private::remove`].
    fn drop(&mut self) {
        if let Some(pid) = self.child.as_ref().and_then(Child::id) {
            signal(pid, rustix::process::Signal::QUIT);
            std::thread::sleep(Duration::from_millis(200));
        }
        if !self.folder.as_os_str().is_empty() {
            // Nobody is left to be told; the next drill finds what stays.
            drop(remove_folder(&self.folder));
        }
    }
}

/// The folders in a folder that drills of ours left which were killed.
pub fn abandoned(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(std::result::Result::ok);
    let ours = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX));
    let is_left = |entry: &std::fs::DirEntry| {
        let path = entry.path();
        // A link, or a folder without an owner's name, is not ours to remove.
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let Some(owner) = std::fs::read_to_string(path.join(OWNER)).ok().filter(|_| is_folder) else {
            return false;
        };
        // Written by us, so that nobody else can have a folder of theirs taken for one of ours.
        let by_us = std::fs::metadata(path.join(OWNER)).is_ok_and(|file| file.uid() == own_uid());
        by_us && owner.trim() != identity_of(owner.split_whitespace().next().unwrap_or_default())
    };
    ours.filter(is_left).map(|entry| entry.path()).collect()
}

/// Removes what drills that were killed left in a folder; gives how many.
pub(super) fn remove_leftovers(folder: &Path) -> usize {
    let mut removed = 0;
    for path in abandoned(folder) {
        if let Some(pid) = postmaster_of(&path.join("data")) {
            signal(pid, rustix::process::Signal::QUIT);
            let began = Instant::now();
            while Path::new(&format!("/proc/{pid}")).exists() && began.elapsed() < END {
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        removed += usize::from(remove_folder(&path).is_ok());
    }
    removed
}

/// The process that serves a data folder, if it still does: the number may belong to another process by now.
fn postmaster_of(data: &Path) -> Option<u32> {
    let text = std::fs::read_to_string(data.join("postmaster.pid")).ok()?;
    let pid: u32 = text.lines().next()?.trim().parse().ok()?;
    let works_in = std::fs::read_link(format!("/proc/{pid}/cwd")).ok()?;
    (works_in == data.canonicalize().ok()?).then_some(pid)
}

/// A process by its number and the moment of its start, so that a number that is used again is another one.
fn identity_of(pid: &str) -> String {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The second field, the name, may hold blanks; the start is the 20th after it (proc(5)).
    let started = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(19));
    format!("{pid} {}", started.unwrap_or("gone"))
}

fn signal(pid: u32, signal: rustix::process::Signal) {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    if let Some(pid) = pid {
        // It may have ended by itself.
        let _gone = rustix::process::kill_process(pid, signal);
    }
}

fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// The account to run as; `None` is our own.
fn account(name: Option<&str>) -> Result<Option<Account>> {
    if own_uid() != 0 {
        return match name {
            None => Ok(None),
            Some(name) => Err(Error::new(
                ErrorKind::Usage,
                format!("only root can run the server as {name:?}; it runs as whoever runs the drill"),
            )),
        };
    }
    let known = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let find = |wanted: &str| {
        known.lines().map(|line| line.split(':').collect::<Vec<_>>()).find_map(|fields| {
            let [name, _, uid, gid, ..] = fields.as_slice() else { return None };
            (*name == wanted).then_some(Account { uid: uid.parse().ok()?, gid: gid.parse().ok()? })
        })
    };
    let found = match name {
        Some(name) => find(name),
        None => find("postgres").or_else(|| find("nobody")),
    };
    found.filter(|account| account.uid != 0).map(Some).ok_or_else(|| {
        let named = name.map_or_else(String::new, |name| format!(" {name:?}"));
        let message =
            format!("PostgreSQL does not run as root, and there is no ordinary account{named} to run it as");
        Error::new(ErrorKind::Usage, message)
            .hint("name one with --run-as, or run the drill as an ordinary user")
    })
}

/// Makes the server's folder, which nobody else can look into.
fn make_folder(parent: &Path, account: Option<Account>) -> Result<PathBuf> {
    // The server works in another folder than we do.
    let parent = std::path::absolute(parent).map_err(|error| {
        Error::with_source(ErrorKind::Failed, format!("find the folder {}", parent.display()), error)
    })?;
    let folder = parent.join(format!("{PREFIX}{}", new_id()?));
    let doing = || format!("make the folder {}", folder.display());
    let failed = |error| Error::with_source(ErrorKind::Failed, doing(), error);
    std::fs::create_dir_all(&parent).map_err(failed)?;
    DirBuilder::new().mode(0o700).create(&folder).map_err(failed)?;
    std::fs::write(folder.join(OWNER), identity_of(&std::process::id().to_string())).map_err(failed)?;
    if let Some(Account { uid, gid }) = account {
        std::os::unix::fs::chown(&folder, Some(uid), Some(gid)).map_err(failed)?;
    }
    Ok(folder)
}

fn remove_folder(folder: &Path) -> Result<()> {
    let mut last = Ok(());
    // Its last children may still write.
    for _ in 0..40 {
        last = match std::fs::remove_dir_all(folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => return Ok(()),
        };
        std::thread::sleep(Duration::from_millis(50));
    }
    last.map_err(|error| Error::with_source(ErrorKind::Failed, format!("remove {}", folder.display()), error))
}

/// A program of the server's, as its account, with its output in the log.
fn command(program: &Path, account: Option<Account>, folder: &Path) -> Result<Command> {
    let log = folder.join("log");
    let open = || std::fs::OpenOptions::new().create(true).append(true).open(&log);
    let failed = |error| Error::with_source(ErrorKind::Failed, "open the log of the private server", error);
    let (out, err) = (open().map_err(failed)?, open().map_err(failed)?);
    let mut command = Command::new(program);
    command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::from(out)).stderr(Stdio::from(err));
    // Neither PG* variables of ours nor a locale that is not installed may change what is made.
    command.env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C").env("TZ", "UTC");
    if let Some(Account { uid, gid }) = account {
        command.uid(uid).gid(gid);
    }
    Ok(command)
}

fn cannot_run(program: &str, error: std::io::Error) -> Error {
    Error::with_source(ErrorKind::Failed, format!("run {program}"), error)
}

fn connect_options(folder: &Path) -> Result<ConnectOptions> {
    let quoted = folder.display().to_string().replace('\\', "\\\\").replace('\'', "\\'");
    let text = format!("host='{quoted}' port={PORT} user={USER} dbname=postgres");
    Ok(ConnectOptions::parse(&text).map_err(PgError::from)?)
}

/// What a server is set to that is to be filled fast, and as durable as one in production: the time must mean something.
fn settings(options: &PrivateOptions) -> Vec<(String, String)> {
    let memory_kib = memory_kib().unwrap_or(1 << 20);
    let own = [
        ("listen_addresses", String::new()),
        ("port", PORT.to_string()),
        ("unix_socket_permissions", "0700".to_owned()),
        ("shared_buffers", format!("{}kB", (memory_kib / 4).clamp(128 << 10, 4 << 20))),
        ("maintenance_work_mem", format!("{}kB", (memory_kib / 16).clamp(64 << 10, 1 << 20))),
        ("max_wal_size", "8GB".to_owned()),
        ("checkpoint_timeout", "15min".to_owned()),
        ("autovacuum", "off".to_owned()),
        ("jit", "off".to_owned()),
    ];
    let own = own.into_iter().map(|(name, value)| (name.to_owned(), value));
    own.chain(options.settings.iter().cloned()).collect()
}

/// The machine's memory that can be had (`MemAvailable` of proc(5)).
fn memory_kib() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().trim_end_matches("kB").trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_dead_drill_of_ours_left_is_abandoned() {
        let parent = tempfile::tempdir().unwrap();
        let folder = |name: &str, owner: Option<String>| {
            let folder = parent.path().join(name);
            std::fs::create_dir(&folder).unwrap();
            if let Some(owner) = owner {
                std::fs::write(folder.join(OWNER), owner).unwrap();
            }
            folder
        };
        let alive = identity_of(&std::process::id().to_string());
        let dead = folder("pgcask-drill-dead", Some("4194999 123".to_owned()));
        // The number is taken by another process by now.
        let reused = folder("pgcask-drill-reused", Some(format!("{} 1", std::process::id())));
        folder("pgcask-drill-alive", Some(alive));
        folder("pgcask-drill-of-nobody", None);
        folder("another", Some("4194999 123".to_owned()));
        std::os::unix::fs::symlink(&dead, parent.path().join("pgcask-drill-link")).unwrap();
        let mut found = abandoned(parent.path());
        found.sort();
        assert_eq!(found, [dead, reused]);
    }
}
