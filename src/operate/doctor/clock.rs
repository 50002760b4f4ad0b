//! Clocks: this machine's against the server's and the store's. Expiry, retention and the age of backups go by them.

use jiff::{SignedDuration, Timestamp};

use super::{Finding, Level, Subject};
use crate::error::Result;

/// What nobody notices.
const LITTLE: SignedDuration = SignedDuration::from_secs(10);

/// What stores refuse requests for, and prune refuses to work with.
const MUCH: SignedDuration = SignedDuration::from_mins(5);

pub(super) async fn of_server(of: &Subject<'_>) -> Result<Vec<Finding>> {
    let sql =
        "SELECT (EXTRACT(epoch FROM pg_catalog.clock_timestamp()) * 1000)::pg_catalog.int8::pg_catalog.text";
    let before = of.clock.now();
    let answer = of.session.query_one_text(sql).await?;
    let after = of.clock.now();
    let there =
        answer.and_then(|text| text.parse().ok()).and_then(|millis| Timestamp::from_millisecond(millis).ok());
    Ok(there.map(|there| judge("clock", "the server's", (before, after), there)).into_iter().collect())
}

/// Whether a clock agrees with ours, which it was read between two moments of.
pub(super) fn judge(
    check: &'static str,
    whose: &str,
    (before, after): (Timestamp, Timestamp),
    there: Timestamp,
) -> Finding {
    let early = before.duration_since(there);
    let late = there.duration_since(after);
    let differ = early.max(late).max(SignedDuration::ZERO);
    let seconds = differ.as_secs();
    if differ <= LITTLE {
        return Finding::ok(check, format!("this machine's clock and {whose} agree"));
    }
    let level = if differ > MUCH { Level::Critical } else { Level::Warning };
    let which = if early > late { "behind" } else { "ahead" };
    Finding::new(
        check,
        level,
        format!("{whose} clock is {seconds} s {which} of this machine's"),
        "expiry, retention and the age of backups go by clocks; stores refuse requests that are some minutes off",
    )
    .remedy("set the clocks right, for instance: timedatectl set-ntp true")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_that_differ_are_told_by_how_much() {
        let at = |second: i64| Timestamp::from_second(second).unwrap();
        let level = |there| judge("clock", "the server's", (at(100), at(102)), at(there)).level;
        assert_eq!((level(101), level(95)), (Level::Ok, Level::Ok));
        assert_eq!((level(70), level(200)), (Level::Warning, Level::Warning));
        assert_eq!((level(-900), level(1000)), (Level::Critical, Level::Critical));
    }
}
