//! Trying an operation once more, beside the client's own retries of single requests: an answer that breaks off in its middle
//! is final for the client, and so is a connection that is cut while something is written.

use std::time::{Duration, Instant};

use super::StoreError;

/// Attempts of one operation.
pub(super) const ATTEMPTS: u32 = 4;

/// Whoever failed for longer was tried again by the client already, as long as it makes sense.
pub(super) const LONG: Duration = Duration::from_secs(20);

/// The wait after an attempt.
pub(super) fn pause(attempt: u32) -> Duration {
    Duration::from_millis(50 << attempt.min(8))
}

/// Does what can be done any number of times, until the store answers.
///
/// # Errors
/// Those of the last attempt.
pub(super) async fn again<T, F>(mut operation: impl FnMut() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let mut attempt = 1;
    loop {
        let began = Instant::now();
        match operation().await {
            Err(StoreError::Unreachable { .. } | StoreError::Length { .. })
                if attempt < ATTEMPTS && began.elapsed() < LONG =>
            {
                tokio::time::sleep(pause(attempt)).await;
                attempt += 1;
            }
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost() -> StoreError {
        StoreError::Unreachable { place: "s3://b/x".to_owned(), reason: "connection reset".to_owned() }
    }

    #[tokio::test]
    async fn what_is_lost_is_tried_again_and_what_is_refused_is_not() {
        let mut calls = 0;
        let done = again(|| {
            calls += 1;
            let result = if calls < ATTEMPTS { Err(lost()) } else { Ok(calls) };
            async { result }
        });
        assert_eq!(done.await, Ok(ATTEMPTS));
        let mut calls = 0;
        let given_up: Result<(), _> = again(|| {
            calls += 1;
            async { Err(lost()) }
        })
        .await;
        assert_eq!((given_up, calls), (Err(lost()), ATTEMPTS));
        let mut calls = 0;
        let refused = StoreError::PermissionDenied { place: String::new(), code: String::new() };
        let result: Result<(), _> = again(|| {
            calls += 1;
            let refused = refused.clone();
            async { Err(refused) }
        })
        .await;
        assert_eq!((result, calls), (Err(refused), 1));
    }
}
