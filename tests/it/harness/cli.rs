//! Runs the real binary.

use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

/// What a run gave.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    /// The JSON object on the last line of the output.
    pub(crate) fn json(&self) -> serde_json::Value {
        let line = self.stdout.lines().last().unwrap_or_default();
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Fails unless the run ended with this code.
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}\n{}", self.stdout, self.stderr);
        self
    }
}

/// The binary, in a clean environment.
pub(crate) fn pgcask<I: AsRef<str>>(args: impl IntoIterator<Item = I>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pgcask"));
    command.env_clear().env("HOME", "/nonexistent").env("PATH", std::env::var("PATH").unwrap());
    // The host that a test process stands for; what it remembers of stores of the same name must not outlive them.
    let state = format!("{}/state-{}", env!("CARGO_TARGET_TMPDIR"), std::process::id());
    command.env("XDG_STATE_HOME", state);
    for arg in args {
        command.arg(arg.as_ref());
    }
    command.stdin(Stdio::null());
    command
}

/// Secrets that tests hand to the program: keys of stores, passphrases, passwords in URLs, tokens. Whatever begins so must be
/// in nothing that the program prints, in any test.
pub(crate) const PLANTED: [&str; 6] = [
    xtask::seaweed::SECRET_KEY,
    xtask::seaweed::WRITER_SECRET_KEY,
    "correct horse battery staple",
    "planted-secret",
    "planted-password",
    "planted-token",
];

fn without_secrets(output: Output) -> Run {
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let (stdout, stderr) = (text(output.stdout), text(output.stderr));
    for secret in PLANTED {
        assert!(
            !stdout.contains(secret) && !stderr.contains(secret),
            "{secret} was printed:\n{stdout}\n{stderr}"
        );
    }
    Run { code: output.status.code().unwrap_or(-1), stdout, stderr }
}

/// Runs a command to its end. No secret may be in its output.
pub(crate) fn run(command: &mut Command) -> Run {
    without_secrets(command.output().unwrap())
}

/// Runs the program at a terminal, a real one by `script` of util-linux, and types.
pub(crate) fn at_terminal(command: &Command, typed: &str) -> Run {
    let quoted = |text: &std::ffi::OsStr| format!("'{}'", text.to_str().unwrap().replace('\'', "'\\''"));
    let words = std::iter::once(command.get_program()).chain(command.get_args()).map(quoted);
    let line = words.collect::<Vec<_>>().join(" ");
    let mut script = Command::new("script");
    script
        .args(["-q", "-e", "-c", &line, "/dev/null"])
        .env_clear()
        .env("TERM", "dumb")
        .env("SHELL", "/bin/sh");
    for (name, value) in command.get_envs() {
        script.env(name, value.unwrap_or_default());
    }
    let mut child =
        script.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(typed.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    drop(stdin);
    without_secrets(output)
}

/// Starts a command, its output kept.
pub(crate) fn spawn(command: &mut Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits for a started command. No secret may be in its output.
pub(crate) fn wait(child: Child) -> Run {
    without_secrets(child.wait_with_output().unwrap())
}

/// Sends a signal, by name.
pub(crate) fn signal(child: &Child, name: &str) {
    super::output(Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]));
}

/// A folder with a passphrase in `pass`, and room for a store.
pub(crate) fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("pass"), "correct horse battery staple\n").unwrap();
    folder
}

/// `--passphrase-file` of a [`folder`].
pub(crate) fn pass(folder: &Path) -> String {
    format!("--passphrase-file={}", folder.join("pass").display())
}

/// Backs up a database into `folder/store`; gives the JSON result.
pub(crate) fn backup(folder: &Path, url: &str, more: &[&str]) -> serde_json::Value {
    let store = folder.join("store").display().to_string();
    let mut command = pgcask(["backup", url, "--to", &store, "--json", "--jobs", "2", &pass(folder)]);
    run(command.args(more)).expect(0).json()
}

/// Restores an archive; gives the run.
pub(crate) fn restore(folder: &Path, archive: &str, url: &str, more: &[&str]) -> Run {
    run(pgcask(["restore", archive, "--into", url, "--json", "--jobs", "2", &pass(folder)]).args(more))
}

#[test]
fn a_run_gives_its_code_and_its_words() {
    let version = run(&mut pgcask(["--version"])).expect(0);
    let expected = concat!("pgcask ", env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!((version.stdout.as_str(), version.stderr.as_str()), (expected, ""));
    let usage = run(&mut pgcask(["no-such-command"])).expect(2);
    assert!(usage.stdout.is_empty() && usage.stderr.contains("no-such-command"), "{usage:?}");
}

#[test]
fn a_started_run_is_stopped_by_a_signal() {
    // A server that takes the connection and never says a word.
    let mute = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("postgres://u@127.0.0.1:{}/d?sslmode=disable", mute.local_addr().unwrap().port());
    let folder = folder();
    let store = folder.path().join("store").display().to_string();
    let child = spawn(&mut pgcask(["backup", &url, "--to", &store, &pass(folder.path())]));
    let (_connection, _) = mute.accept().unwrap();
    signal(&child, "TERM");
    wait(child).expect(143);
}
