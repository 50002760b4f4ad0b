//! Runs a program: a few bytes in, a few bytes out, and an end to waiting.

use std::io::{Read, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use zeroize::Zeroizing;

/// No answer is longer: a keyring's worth of public keys.
const MAX_OUTPUT: u64 = 4 << 20;

/// Of what a program complains, so much is kept.
const MAX_COMPLAINT: u64 = 64 << 10;

/// What a program did.
pub(super) struct Ended {
    pub(super) status: ExitStatus,
    pub(super) stdout: Zeroizing<Vec<u8>>,
    pub(super) stderr: String,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum ChildError {
    #[error("it cannot be started: {0}")]
    Start(std::io::Error),
    #[error("it did not answer within {} s", .0.as_secs())]
    Timeout(Duration),
    #[error("its end is not known: {0}")]
    Wait(std::io::Error),
}

/// Runs `command` with `input` on its standard input. With a limit it is a process group of its own, which is killed as a
/// whole when the time is over; without, it shares our terminal and our signals.
pub(super) fn run(command: &mut Command, input: &[u8], limit: Option<Duration>) -> Result<Ended, ChildError> {
    if limit.is_some() {
        command.process_group(0);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(ChildError::Start)?;
    if let Some(mut stdin) = child.stdin.take() {
        // Less than a pipe holds, so this does not block. A program that ends without reading says why by its status.
        drop(stdin.write_all(input));
    }
    let stdout = child.stdout.take().map(|stdout| drain(stdout, MAX_OUTPUT));
    let stderr = child.stderr.take().map(|stderr| drain(stderr, MAX_COMPLAINT));
    let deadline = limit.map(|limit| std::time::Instant::now() + limit);
    let mut collect = |from: Option<Receiver<Zeroizing<Vec<u8>>>>| {
        let Some(receiver) = from else { return Ok(Zeroizing::default()) };
        let got = match deadline {
            Some(deadline) => {
                let left = deadline.saturating_duration_since(std::time::Instant::now());
                receiver.recv_timeout(left).map_err(|_| ())
            }
            None => receiver.recv().map_err(|_| ()),
        };
        got.map_err(|()| kill(&mut child, limit))
    };
    let (stdout, stderr) = (collect(stdout)?, collect(stderr)?);
    let status = child.wait().map_err(ChildError::Wait)?;
    Ok(Ended { status, stdout, stderr: String::from_utf8_lossy(&stderr).into_owned() })
}

fn drain(from: impl Read + Send + 'static, most: u64) -> Receiver<Zeroizing<Vec<u8>>> {
    let (sender, receiver) = sync_channel(1);
    std::thread::spawn(move || {
        let mut bytes = Zeroizing::new(Vec::with_capacity(8 << 10));
        // What was read before an error is the answer: the program's status tells the rest.
        drop(from.take(most).read_to_end(&mut bytes));
        drop(sender.send(bytes));
    });
    receiver
}

fn kill(child: &mut Child, limit: Option<Duration>) -> ChildError {
    let group = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
    // The whole group: a shell's children hold the pipes open. Whoever is gone already needs no signal.
    let _gone = group.map(|group| rustix::process::kill_process_group(group, rustix::process::Signal::KILL));
    drop(child.kill());
    drop(child.wait());
    ChildError::Timeout(limit.unwrap_or_default())
}

/// What a program complained, fit to be shown: its last lines, in one, without control characters and without `secrets`.
pub(super) fn complaint(stderr: &str, secrets: &[&str]) -> String {
    let mut text = stderr.to_owned();
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        text = text.replace(secret, "(secret)");
    }
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let last = lines.get(lines.len().saturating_sub(3)..).unwrap_or_default().join("; ");
    let shown: String = last.chars().map(|c| if c.is_control() { '?' } else { c }).take(400).collect();
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, input: &[u8], limit: Option<Duration>) -> Result<Ended, ChildError> {
        run(Command::new("sh").args(["-c", script]), input, limit)
    }

    #[test]
    fn bytes_go_in_and_come_out() {
        let limit = Some(Duration::from_secs(20));
        let ended = sh("cat; echo oops >&2; exit 3", b"secret", limit).unwrap();
        assert_eq!((ended.stdout.as_slice(), ended.stderr.as_str()), (&b"secret"[..], "oops\n"));
        assert_eq!(ended.status.code(), Some(3));
        assert_eq!(complaint("a\nb s3cret\n\nc\x1b\nd\n", &["s3cret", ""]), "b (secret); c?; d");
        assert!(matches!(run(&mut Command::new("/no/such/program"), b"", None), Err(ChildError::Start(_))));
    }

    #[test]
    fn who_does_not_answer_is_ended_with_its_children() {
        let began = std::time::Instant::now();
        let late = sh("sleep 60 | sleep 60", b"", Some(Duration::from_millis(200)));
        assert!(matches!(late, Err(ChildError::Timeout(_))));
        assert!(began.elapsed() < Duration::from_secs(30));
    }
}
