//! Real servers and the real binary.

pub(crate) mod cli;
pub(crate) mod oracle;
pub(crate) mod postgres;
pub(crate) mod s3;

use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A server under a leash: a tiny shell that waits for the end of its standard input, which is ours, and then
/// interrupts its own child. However the test process ends, the server ends with it.
pub(crate) struct Leashed {
    child: Child,
}

impl Leashed {
    /// Starts `program` under a leash, its output into `log`.
    pub(crate) fn start(program: &Path, args: &[String], log: &Path, as_user: bool, signal: &str) -> Self {
        let script = format!(
            "\"$@\" </dev/null & p=$!; echo $p; while read -r _; do :; done; kill -{signal} $p; wait $p"
        );
        let log = std::fs::File::create(log).unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", &script, "leash"]).arg(program).args(args);
        command
            .stdin(Stdio::piped())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        if as_user {
            as_ordinary_user(&mut command);
        }
        Self {
            child: command.spawn().unwrap(),
        }
    }

    /// Lets go of the leash and waits for the end.
    pub(crate) fn stop(&mut self) {
        drop(self.child.stdin.take());
        self.child.wait().unwrap();
    }
}

impl Drop for Leashed {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The ordinary user that servers run as when the tests run as root: PostgreSQL refuses root.
const NOBODY: u32 = 65534;

/// Whether we are root.
pub(crate) fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}

/// Makes a command run as an ordinary user, if we are root.
pub(crate) fn as_ordinary_user(command: &mut Command) {
    use std::os::unix::process::CommandExt as _;
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
}

/// Gives a folder to the ordinary user.
pub(crate) fn give_away(folder: &Path) {
    if is_root() {
        std::os::unix::fs::chown(folder, Some(NOBODY), Some(NOBODY)).unwrap();
    }
}

/// A TCP port that is free just now.
pub(crate) fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// Runs a command that must succeed, and gives its standard output.
pub(crate) fn output(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{command:?}\n{out}\n{err}");
    out.into_owned()
}
