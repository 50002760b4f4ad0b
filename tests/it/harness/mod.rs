//! What tests stand on: real servers on a leash, the real binary, and an independent judge of content.

pub(crate) mod browser;
pub(crate) mod cli;
pub(crate) mod gpg;
pub(crate) mod oracle;
pub(crate) mod place;
pub(crate) mod postgres;
pub(crate) mod proxy;
pub(crate) mod receivers;
pub(crate) mod rss;
pub(crate) mod s3;

use std::process::{Command, Stdio};

/// Runs a command that must succeed, and gives its standard output.
#[track_caller]
pub(crate) fn output(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}\n{out}\n{err}");
    out.into_owned()
}

/// Waits for a future, outside of a runtime.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}
