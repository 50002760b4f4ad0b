//! A child that dies with us.
//!
//! The server runs under a tiny `sh` that reads from a pipe this process holds. A line on the pipe is the name of a
//! signal to stop the server with; the end of the pipe, which comes however this process ends, stops it as well and
//! removes its folder. Nothing is ever stopped by name.

use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::user::RunAs;
use crate::{Context, Result};

/// Signals that come from a terminal are left to the end of the pipe: the holder of the pipe gets them too.
const SCRIPT: &str = r#"
    trap '' INT TERM HUP
    log=$1 last=$2 remove=$3; shift 3
    "$@" </dev/null >>"$log" 2>&1 & pid=$!
    echo "$pid"
    if read -r signal; then
        kill -"$signal" "$pid"; wait "$pid"
    else
        kill -"$last" "$pid"; wait "$pid"
        echo "$remove" | while IFS= read -r path; do rm -rf "$path"; done
    fi 2>/dev/null
"#;

/// What to run, and what becomes of it in the end.
#[derive(Debug)]
pub struct Spec<'a> {
    /// The program and its arguments.
    pub command: &'a [String],
    /// Where its stdout and stderr are appended.
    pub log: &'a Path,
    /// The signal that stops it when this process is gone.
    pub last_signal: &'static str,
    /// Folders and files that go with it.
    pub remove: &'a [PathBuf],
    /// Which user it runs as, if not this one.
    pub user: Option<RunAs>,
}

/// A running server and the pipe it hangs on.
#[derive(Debug)]
pub struct Leash {
    shell: Child,
    pid: u32,
    log: PathBuf,
}

impl Leash {
    /// Starts the command; returns at once, whether or not the server is ready.
    pub fn start(spec: &Spec<'_>) -> Result<Self> {
        let remove: Vec<_> = spec.remove.iter().map(|path| path.display().to_string()).collect();
        let remove = remove.join("\n");
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", SCRIPT, "leash"]).arg(spec.log).arg(spec.last_signal);
        shell.arg(remove).args(spec.command);
        shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).current_dir("/");
        if let Some(user) = spec.user {
            user.apply(&mut shell);
        }
        let mut shell = shell.spawn().context(|| "start /bin/sh".to_owned())?;
        let stdout = shell.stdout.take().ok_or("the shell has no stdout")?;
        let mut first_line = String::new();
        BufReader::new(stdout).read_line(&mut first_line)?;
        let pid = first_line.trim().parse().context(|| "read the server's process id".to_owned())?;
        Ok(Self { shell, pid, log: spec.log.to_path_buf() })
    }

    /// Process id of the server (not of the shell).
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether the server still runs: a process that ended and was not yet waited for does not.
    pub fn is_running(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        let state = stat.rsplit(") ").next().and_then(|rest| rest.chars().next());
        !matches!(state, None | Some('Z' | 'X'))
    }

    /// What the server wrote so far.
    pub fn log(&self) -> String {
        std::fs::read(&self.log)
            .map_or_else(|_| String::new(), |bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Sends a signal (`INT`, `KILL`…), waits for the end, and leaves the folder in place.
    pub fn stop(mut self, signal: &str) -> Result<()> {
        let mut pipe = self.shell.stdin.take().ok_or("the leash has no pipe")?;
        writeln!(pipe, "{signal}").context(|| "reach the leash".to_owned())?;
        self.shell.wait().context(|| "wait for the server's end".to_owned())?;
        Ok(())
    }
}

impl Drop for Leash {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        // The shell has its order; that it ended already is no error.
        let _status = self.shell.wait();
    }
}
