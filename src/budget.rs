//! Memory that travels with the bytes: whoever fills a buffer first takes permits for it, and the permits are given
//! back when the buffer is dropped, wherever that happens.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Granularity of the budget. A semaphore counts at most `u32::MAX` permits an acquisition, so bytes would not do.
const UNIT: usize = 1024;

/// A bound on the bytes in flight, shared by all that produce them.
#[derive(Debug, Clone)]
pub struct ByteBudget {
    semaphore: Arc<Semaphore>,
    units: u32,
}

/// A share of a [`ByteBudget`], given back on drop.
#[derive(Debug)]
pub struct Permit(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

impl ByteBudget {
    /// A budget of `bytes`, rounded up to whole KiB.
    pub fn new(bytes: usize) -> Self {
        let units = u32::try_from(bytes.div_ceil(UNIT).max(1)).unwrap_or(u32::MAX);
        let semaphore = Arc::new(Semaphore::new(usize::try_from(units).unwrap_or(usize::MAX)));
        Self { semaphore, units }
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
