//! Cancelling what a session is doing, from anywhere.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::connect::Peer;
use super::error::PgError;
use super::options::ConnectOptions;
use super::transport::{self, Failure, Passthrough, Security};

/// How long a request may take to be delivered.
const DELIVERY: Duration = Duration::from_secs(10);

/// `CancelRequest` (manual, section 54.7): length, code, process, secret.
const REQUEST_BYTES: usize = 16;

/// Cancels the statement that one session runs. It works while the session is busy, from any task, over a connection
/// of its own that is secured as the session's is.
#[derive(Clone)]
pub struct Canceller {
    options: ConnectOptions,
    peer: Peer,
    request: [u8; REQUEST_BYTES],
}

impl std::fmt::Debug for Canceller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Canceller").field("peer", &self.peer.label).finish_non_exhaustive()
    }
}

impl Canceller {
    /// Takes the key of the client's session, which the driver tells only by writing the request itself.
    pub(crate) async fn new(options: &ConnectOptions, peer: &Peer, client: &tokio_postgres::Client) -> Self {
        let (near, mut far) = tokio::io::duplex(REQUEST_BYTES * 2);
        let mut request = [0; REQUEST_BYTES];
        let written = client.cancel_token().cancel_query_raw(near, Passthrough::default()).await;
        if written.is_err() || far.read_exact(&mut request).await.is_err() {
            request = [0; REQUEST_BYTES];
        }
        Self { options: options.clone(), peer: peer.clone(), request }
    }

    /// The process that the peer named when the session began: the server's backend, or whatever a pooler tells.
    pub(crate) fn announced_pid(&self) -> u32 {
        let [_, _, _, _, _, _, _, _, a, b, c, d, ..] = self.request;
        u32::from_be_bytes([a, b, c, d])
    }

    /// Asks the server to cancel. That it was asked does not mean that there was something to cancel.
    ///
    /// # Errors
    /// [`PgError::Lost`] or [`PgError::Tls`] when the request could not be delivered within ten seconds.
    pub async fn cancel(&self) -> Result<(), PgError> {
        match tokio::time::timeout(DELIVERY, Box::pin(self.deliver())).await {
            Ok(result) => result,
            Err(_) => Err(self.lost("the request to cancel was not delivered in time")),
        }
    }

    async fn deliver(&self) -> Result<(), PgError> {
        let security = if self.peer.tls { Security::Tls } else { Security::Plain };
        let options = &self.options;
        let opened =
            transport::open(&self.peer.address, &self.peer.host, security, &options.tcp, &options.tls).await;
        let mut stream = match opened {
            Ok(opened) => opened.transport,
            Err(Failure::Socket(reason)) => return Err(self.lost(&reason)),
            Err(Failure::NoTls) => return Err(self.insecure("the server has no TLS any more".to_owned())),
            Err(Failure::Tls(reason)) => return Err(self.insecure(reason)),
        };
        let lost = |error: std::io::Error| self.lost(&error.to_string());
        stream.write_all(&self.request).await.map_err(lost)?;
        stream.flush().await.map_err(lost)?;
        // The server closes when it has dealt with the request; how it closes does not matter.
        let mut nothing = [0];
        drop(stream.read(&mut nothing).await);
        Ok(())
    }

    fn lost(&self, reason: &str) -> PgError {
        PgError::Lost { reason: format!("{}: {reason}", self.peer.label), statement: None }
    }

    fn insecure(&self, reason: String) -> PgError {
        PgError::Tls { peer: self.peer.label.clone(), reason }
    }
}
