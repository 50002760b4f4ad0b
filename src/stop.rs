//! How an operation is asked to stop: by a signal, or because a part of it failed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio_util::sync::CancellationToken;

use crate::error::{Error, ErrorKind};

/// Shared by all parts of an operation; the first reason to stop wins.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    token: CancellationToken,
    reason: Arc<AtomicU8>,
}

const SIGINT: u8 = 2;
const SIGTERM: u8 = 15;

impl Stop {
    /// Asks to stop, because of Ctrl-C.
    pub fn interrupt(&self) {
        self.request(SIGINT);
    }

    /// Asks to stop, because of SIGTERM.
    pub fn terminate(&self) {
        self.request(SIGTERM);
    }

    /// A part of the operation that stops with it, and can be stopped alone.
    #[must_use]
    pub fn part(&self) -> Self {
        Self { token: self.token.child_token(), reason: Arc::clone(&self.reason) }
    }

    /// Stops this part: another of its tasks failed, and has the error.
    pub fn fail(&self) {
        self.token.cancel();
    }

    /// Whether to stop.
    pub fn is_requested(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Waits until a stop is asked for.
    pub async fn requested(&self) {
        self.token.cancelled().await;
    }

    /// Runs work until it ends or a stop is asked for; then what it holds is dropped: connections close, and servers roll
    /// back what was open.
    ///
    /// # Errors
    /// Those of the work, and [`Stop::error`].
    pub async fn or<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        tokio::select! {
            biased;
            result = work => result,
            () = self.requested() => Err(self.error()),
        }
    }

    /// The error that ends a stopped operation.
    pub fn error(&self) -> Error {
        match self.reason.load(Ordering::Acquire) {
            SIGINT => Error::new(ErrorKind::Interrupted, "stopped by Ctrl-C"),
            SIGTERM => Error::new(ErrorKind::Terminated, "stopped by SIGTERM"),
            _ => Error::new(ErrorKind::Failed, "stopped"),
        }
    }

    /// Whether a signal, and not a failure, asked for it.
    pub fn by_signal(&self) -> bool {
        self.reason.load(Ordering::Acquire) != 0
    }

    /// Fails when a stop was asked for.
    ///
    /// # Errors
    /// [`Stop::error`].
    pub fn check(&self) -> Result<(), Error> {
        if self.is_requested() { Err(self.error()) } else { Ok(()) }
    }

    fn request(&self, reason: u8) {
        let _first = self.reason.compare_exchange(0, reason, Ordering::AcqRel, Ordering::Acquire);
        self.token.cancel();
    }
}
