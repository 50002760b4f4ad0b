//! Dates and timestamps as numbers, in the form that the session settings give them: `DateStyle=ISO`, `TimeZone=UTC`
//! (PostgreSQL manual, "Date/Time Output"). Years to 9999; all else stays text.
//!
//! A date's number is `(year × 16 + month) × 32 + day`: in order, and found without a calendar. A timestamp's is the date's times the
//! microseconds of a day, plus those since midnight.

use super::digits::{eight, more, two};

/// A type of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Time {
    /// `2024-02-29`.
    Date,
    /// `2024-02-29 12:34:56.789`.
    Timestamp,
    /// The same with `+00` behind it.
    TimestampUtc,
}

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

impl Time {
    pub(super) const ALL: [Self; 3] = [Self::Date, Self::Timestamp, Self::TimestampUtc];

    /// The number for this text, if [`Time::push`] gives exactly this text back.
    #[inline]
    pub(super) fn parse(self, value: &[u8]) -> Option<i64> {
        let (date, rest) = value.split_first_chunk::<10>()?;
        let date = parse_date(date)?;
        let time = match self {
            Self::Date => return rest.is_empty().then_some(date),
            Self::Timestamp => rest,
            Self::TimestampUtc => rest.strip_suffix(b"+00")?,
        };
        let (clock, fraction) = time.split_first_chunk::<9>()?;
        Some(date * DAY + parse_clock(clock)? + parse_fraction(fraction)?)
    }

    /// Appends the text. None for a number that no text of this type has.
    #[inline]
    pub(super) fn push(self, number: i64, out: &mut Vec<u8>) -> Option<()> {
        if self == Self::Date {
            return push_date(number, out);
        }
        push_date(number.div_euclid(DAY), out)?;
        let micros = number.rem_euclid(DAY);
        let seconds = micros / SECOND;
        let [h1, h2] = two(seconds / 3600);
        let [m1, m2] = two(seconds / 60 % 60);
        let [s1, s2] = two(seconds % 60);
        out.extend_from_slice(&[b' ', h1, h2, b':', m1, m2, b':', s1, s2]);
        let fraction = micros % SECOND;
        if fraction != 0 {
            let [f1, f2] = two(fraction / 10_000);
            let [f3, f4] = two(fraction / 100 % 100);
            let [f5, f6] = two(fraction % 100);
            let digits = [b'.', f1, f2, f3, f4, f5, f6];
            let zeros = digits.iter().rev().take_while(|digit| **digit == b'0').count();
            out.extend_from_slice(digits.get(..digits.len() - zeros).unwrap_or_default());
        }
        if self == Self::TimestampUtc {
            out.extend_from_slice(b"+00");
        }
        Some(())
    }
}

#[inline]
fn parse_date(text: &[u8; 10]) -> Option<i64> {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = *text else { return None };
    let digits = i64::try_from(eight(u64::from_le_bytes([y1, y2, y3, y4, m1, m2, d1, d2]))?).ok()?;
    let (year, month, day) = (digits / 10_000, digits / 100 % 100, digits % 100);
    (month < 16 && day < 32).then_some((year * 16 + month) * 32 + day)
}

#[inline]
fn push_date(date: i64, out: &mut Vec<u8>) -> Option<()> {
    let (year, month, day) = (date >> 9, date >> 5 & 15, date & 31);
    if !(0..=9999).contains(&year) {
        return None;
    }
    let ([y1, y2], [y3, y4]) = (two(year / 100), two(year % 100));
    let ([m1, m2], [d1, d2]) = (two(month), two(day));
    out.extend_from_slice(&[y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2]);
    Some(())
}

#[inline]
fn parse_clock(text: &[u8; 9]) -> Option<i64> {
    let [b' ', h1, h2, b':', m1, m2, b':', s1, s2] = *text else { return None };
    let digits = i64::try_from(eight(u64::from_le_bytes([b'0', b'0', h1, h2, m1, m2, s1, s2]))?).ok()?;
    let (hour, minute, second) = (digits / 10_000, digits / 100 % 100, digits % 100);
    (hour < 24 && minute < 60 && second < 60).then_some((hour * 3600 + minute * 60 + second) * SECOND)
}

/// A point and up to six digits, the last of which is not 0; or nothing.
#[inline]
fn parse_fraction(text: &[u8]) -> Option<i64> {
    match text {
        [] => Some(0),
        [b'.', fraction @ ..] if (1..=6).contains(&fraction.len()) && !fraction.ends_with(b"0") => {
            let missing = u32::try_from(6 - fraction.len()).ok()?;
            Some(more(fraction, 0)? * 10i64.pow(missing))
        }
        _ => None,
    }
}
