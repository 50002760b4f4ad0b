//! How long a store that cannot be reached is tried. The client's own retries go on for minutes, which is right for a store
//! that answers "slow down" and wrong for one that is not there.

use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
    ReqwestConnector,
};
use object_store::{BackoffConfig, ClientOptions, RetryConfig};

/// Seconds for which a store that cannot be reached is tried, unless this variable says otherwise.
const VARIABLE: &str = "PGCASK_STORE_TIMEOUT";
const DEFAULT: Duration = Duration::from_secs(30);

/// A request that times out within this time did so while connecting (the client's limits are 5 and 30 seconds).
const CONNECTING: Duration = Duration::from_secs(10);

/// The status of a store without room (RFC 4918, section 11.5).
const INSUFFICIENT_STORAGE: u16 = 507;

/// Connects clients that give up on a store which has not been reachable for a while.
#[derive(Debug)]
pub(super) struct Patient {
    limit: Duration,
}

impl Patient {
    /// With the patience that the environment asks for.
    pub(super) fn from_env() -> Self {
        Self { limit: limit() }
    }
}

fn limit() -> Duration {
    let seconds = std::env::var(VARIABLE).ok().and_then(|text| text.trim().parse().ok());
    seconds.map_or(DEFAULT, Duration::from_secs)
}

/// A store that answers gets so many times the patience of one that does not.
const ANSWERS: u32 = 6;

/// Retries of requests that the store answered with "slow down" or a failure of its own, and of broken connections. The
/// waits are short enough for the limit of [`Patient`] to mean what it says.
pub(super) fn retries() -> RetryConfig {
    let backoff = BackoffConfig { max_backoff: Duration::from_secs(8), ..BackoffConfig::default() };
    RetryConfig { backoff, max_retries: 40, retry_timeout: limit().saturating_mul(ANSWERS) }
}

impl HttpConnector for Patient {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let inner = ReqwestConnector::default().connect(options)?;
        Ok(HttpClient::new(Service { inner, limit: self.limit, down_since: Mutex::new(None) }))
    }
}

#[derive(Debug)]
struct Service {
    inner: HttpClient,
    limit: Duration,
    /// When the first of the attempts began none of which reached the store.
    down_since: Mutex<Option<Instant>>,
}

impl Service {
    async fn request(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let began = Instant::now();
        let result = self.inner.execute(request).await;
        let mut down_since = self.down_since.lock().unwrap_or_else(PoisonError::into_inner);
        let error = match result {
            Ok(answer) => {
                *down_since = None;
                if answer.status().as_u16() == INSUFFICIENT_STORAGE {
                    // The client would try for minutes; what is full stays full.
                    let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
                    return Err(HttpError::new(HttpErrorKind::Unknown, full));
                }
                return Ok(answer);
            }
            Err(error) => error,
        };
        let unreachable = match error.kind() {
            HttpErrorKind::Connect => true,
            HttpErrorKind::Timeout => began.elapsed() < CONNECTING,
            _ => false,
        };
        let since = *down_since.get_or_insert(began);
        if unreachable && since.elapsed() >= self.limit {
            // A kind that is not retried.
            return Err(HttpError::new(HttpErrorKind::Unknown, error));
        }
        if !unreachable {
            *down_since = None;
        }
        Err(error)
    }
}

impl HttpService for Service {
    fn call<'a, 'call>(
        &'a self,
        request: HttpRequest,
    ) -> Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'call>>
    where
        'a: 'call,
        Self: 'call,
    {
        Box::pin(self.request(request))
    }
}
