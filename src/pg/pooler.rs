//! Finding a pooler that lends one server session to many clients: snapshots vanish there, and settings leak to others.

use std::time::Duration;

use tokio_postgres::{Client, SimpleQueryMessage};

use super::connect;
use super::error::PgError;
use super::options::ConnectOptions;

/// How long a second session may wait for a backend. In session mode with all backends lent out it waits for ever.
const SECOND_SESSION: Duration = Duration::from_secs(10);

/// Refuses a transaction pooler. Called before anything is set, so that nothing leaks into its shared sessions.
///
/// `announced` is the process named when the session began. A server names its backend; if the backend is another,
/// something stands between. Whether that gives each client a backend of its own shows when a second client holds a
/// transaction open: it must not get, or take away, the first one's backend.
///
/// # Errors
/// [`PgError::Pooler`] if backends are shared.
pub(crate) async fn refuse_shared_backends(
    options: &ConnectOptions,
    client: &Client,
    peer: &str,
    announced: u32,
    backend: u32,
) -> Result<bool, PgError> {
    let shared = |evidence| PgError::Pooler { peer: peer.to_owned(), evidence };
    if backend_pid(client).await? != backend {
        return Err(shared("the backend changes between statements"));
    }
    if announced == backend {
        return Ok(false);
    }
    let probe = async {
        let second = connect::connect(options, connect::Traffic::Both).await?;
        second
            .client
            .batch_execute("BEGIN READ ONLY")
            .await
            .map_err(|e| PgError::from_driver(&e, "BEGIN"))?;
        let other = backend_pid(&second.client).await?;
        Ok::<_, PgError>((second, other))
    };
    match tokio::time::timeout(SECOND_SESSION, Box::pin(probe)).await {
        // Statement mode refuses transactions altogether.
        Ok(Err(PgError::Server(report) | PgError::Refused { report, .. }))
            if report.message.contains("pooling") =>
        {
            Err(shared("transactions are refused"))
        }
        Ok(Err(error)) => Err(error),
        Ok(Ok((_, other))) if other == backend => Err(shared("two clients are given the same backend")),
        Ok(Ok((_second, _))) if backend_pid(client).await? != backend => {
            Err(shared("the backend changes while another client works"))
        }
        Ok(Ok(_)) | Err(_) => Ok(true),
    }
}

async fn backend_pid(client: &Client) -> Result<u32, PgError> {
    let sql = "SELECT pg_catalog.pg_backend_pid()";
    let answer = client.simple_query(sql).await.map_err(|error| PgError::from_driver(&error, sql))?;
    let pid = answer.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0)?.parse().ok(),
        _ => None,
    });
    pid.ok_or_else(|| PgError::Answer { statement: sql.to_owned(), reason: "no row".to_owned() })
}
