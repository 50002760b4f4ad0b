//! Memory that travels with the bytes: whoever fills a buffer first takes permits for it, and the permits are given
//! back when the buffer is dropped, wherever that happens.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Granularity of the budget. A semaphore counts at most `u32::MAX` permits an acquisition, so bytes would not do.
const UNIT: usize = 1024;

/// A bound on the bytes in flight, shared by all that produce them.
#[derive(Debug, Clone)]
pub struct ByteBudget {
    semaphore: Arc<Semaphore>,
    units: u32,
    pace: Option<Arc<Pace>>,
}

/// Bytes in time.
#[derive(Debug)]
struct Pace {
    per_second: u64,
    /// When all that was let through is paid for.
    paid: Mutex<Instant>,
}

impl Pace {
    /// Waits until these bytes may pass: the first ones at once.
    async fn wait(&self, bytes: usize) {
        let until = {
            let mut paid = self.paid.lock().unwrap_or_else(PoisonError::into_inner);
            let start = (*paid).max(Instant::now());
            let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
            let rate = u32::try_from(self.per_second).unwrap_or(u32::MAX).max(1);
            *paid = start + Duration::from_secs_f64(f64::from(bytes) / f64::from(rate));
            start
        };
        tokio::time::sleep_until(until.into()).await;
    }
}

/// A share of a [`ByteBudget`], given back on drop.
#[derive(Debug)]
pub struct Permit(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

impl ByteBudget {
    /// A budget of `bytes`, rounded up to whole KiB.
    pub fn new(bytes: usize) -> Self {
        let units = u32::try_from(bytes.div_ceil(UNIT).max(1)).unwrap_or(u32::MAX);
        let semaphore = Arc::new(Semaphore::new(usize::try_from(units).unwrap_or(usize::MAX)));
        Self { semaphore, units, pace: None }
    }

    /// The same, that lets so many bytes through in a second at most.
    #[must_use]
    pub fn at_rate(self, per_second: Option<u64>) -> Self {
        let pace = |per_second| Arc::new(Pace { per_second, paid: Mutex::new(Instant::now()) });
        Self { pace: per_second.map(pace), ..self }
    }

    /// Waits until `bytes` are free and takes them.
    ///
    /// A request larger than the whole budget takes all of it, alone: one huge row must pass, not deadlock.
    ///
    /// # Panics
    /// Never: the semaphore is not closed while a budget lives.
    pub async fn acquire(&self, bytes: usize) -> Permit {
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX).clamp(1, self.units);
        #[expect(clippy::expect_used, reason = "the semaphore is never closed")]
        let permit = Arc::clone(&self.semaphore).acquire_many_owned(units).await.expect("an open semaphore");
        if let Some(pace) = &self.pace {
            pace.wait(bytes).await;
        }
        Permit(permit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_request_larger_than_the_budget_takes_all_of_it() {
        let budget = ByteBudget::new(4096);
        let huge = budget.acquire(usize::MAX).await;
        assert_eq!(budget.semaphore.available_permits(), 0);
        drop(huge);
        assert_eq!(budget.semaphore.available_permits(), 4);
    }
}
