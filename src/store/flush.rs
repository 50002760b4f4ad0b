//! Brings an archive's bytes to the disk while it grows. Without it they all wait for the `fsync` at the end: minutes in which
//! nothing else happens, after hours in which a server on the same machine fought with them for memory.

use std::fs::File;
use std::path::PathBuf;

use tokio::task::JoinHandle;

/// The file that an upload into a directory grows in, under its temporary name.
#[derive(Debug)]
pub(super) struct Flush {
    path: PathBuf,
    /// One at a time: a disk that cannot follow is asked less often.
    under_way: Option<JoinHandle<()>>,
}

impl Flush {
    /// For the file of an archive that lies at `path` when it is done.
    pub(super) fn of(path: PathBuf) -> Self {
        // The client's temporary name, as in `unfinished`. The archive's own is unique, so that no other is in the way.
        let mut path = path.into_os_string();
        path.push("#1");
        Self { path: path.into(), under_way: None }
    }

    /// Begins to flush what is written by now, unless it is being done already.
    pub(super) fn begin(&mut self) {
        if self.under_way.as_ref().is_some_and(|task| !task.is_finished()) {
            return;
        }
        let path = self.path.clone();
        // Failures are for the end to see: it flushes once more, by the descriptor that wrote, and waits. An error of the disk
        // is told to each descriptor that was open then (fsync(2)).
        self.under_way = Some(tokio::task::spawn_blocking(move || {
            drop(File::open(path).and_then(|file| file.sync_data()));
        }));
    }
}
