//! The only place that reads the wall clock, so that tests can fix it.

use jiff::Timestamp;

/// Tells the time of day: the system's, or one fixed by a test.
#[derive(Debug, Clone, Copy, Default)]
pub enum Clock {
    /// The system's clock.
    #[default]
    System,
    /// Always this moment.
    Fixed(Timestamp),
}

impl Clock {
    /// The present moment, UTC.
    #[expect(clippy::disallowed_methods, reason = "this is the one caller that the ban leaves")]
    pub fn now(self) -> Timestamp {
        match self {
            Self::System => Timestamp::now(),
            Self::Fixed(moment) => moment,
        }
    }
}
