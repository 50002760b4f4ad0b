//! Dates and timestamps as numbers, in the form that the session settings give them: `DateStyle=ISO`, `TimeZone=UTC`
//! (PostgreSQL manual, "Date/Time Output"). Years to 9999; all else stays text.
//!
//! A date's number is `(year × 16 + month) × 32 + day`: in order, and found without a calendar. A timestamp's is the date's times the
//! microseconds of a day, plus those since midnight.

use super::digits::{Slot, ZEROS, eight, more, pairs, parts};

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
    #[inline(always)]
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

    /// Writes the text; gives its length. None for a number that no text of this type has.
    #[inline(always)]
    pub(super) fn write(self, number: i64, slot: &mut Slot) -> Option<usize> {
        if self == Self::Date {
            write_date(number, slot)?;
            return Some(10);
        }
        write_date(number.div_euclid(DAY), slot)?;
        let micros = number.rem_euclid(DAY).cast_unsigned();
        let (seconds, fraction) = (micros / SECOND.cast_unsigned(), micros % SECOND.cast_unsigned());
        let clock = seconds / 3600 * 10_000 + seconds / 60 % 60 * 100 + seconds % 60;
        let [_, _, h1, h2, m1, m2, s1, s2] = (parts(clock) | ZEROS).to_le_bytes();
        slot[10..19].copy_from_slice(&[b' ', h1, h2, b':', m1, m2, b':', s1, s2]);
        let mut length = 19;
        if fraction != 0 {
            let digits = parts(fraction);
            let [_, _, f1, f2, f3, f4, f5, f6] = (digits | ZEROS).to_le_bytes();
            slot[19..26].copy_from_slice(&[b'.', f1, f2, f3, f4, f5, f6]);
            // Zeros at the end are not written.
            length = 26usize.wrapping_sub(usize::try_from(digits.leading_zeros() / 8).ok()?);
        }
        if self == Self::TimestampUtc {
            slot.get_mut(length..length.wrapping_add(3))?.copy_from_slice(b"+00");
            length = length.wrapping_add(3);
        }
        Some(length)
    }
}

#[inline(always)]
fn parse_date(text: &[u8; 10]) -> Option<i64> {
    /// The dashes of `2024-02-`.
    const DASHES: u64 = 0x2D00_002D_0000_0000;
    let front = u64::from_le_bytes(*text.first_chunk()?);
    let day = u64::from(u16::from_le_bytes(*text.last_chunk()?));
    if front & 0xFF00_00FF_0000_0000 != DASHES {
        return None;
    }
    let year_and_month = front & 0xFFFF_FFFF | front >> 8 & 0xFFFF_0000_0000;
    let pairs = pairs(year_and_month | day << 48)?;
    let pair = |nth: u32| pairs.wrapping_shr(16 * nth) & 0xFF;
    let (year, month, day) = (pair(0).wrapping_mul(100).wrapping_add(pair(1)), pair(2), pair(3));
    (month < 16 && day < 32).then_some((year << 9 | month << 5 | day).cast_signed())
}

#[inline(always)]
fn write_date(date: i64, slot: &mut Slot) -> Option<()> {
    let date = date.cast_unsigned();
    let (year, month, day) = (date >> 9, date >> 5 & 15, date & 31);
    if year > 9999 {
        return None;
    }
    let [y1, y2, y3, y4, m1, m2, d1, d2] = (parts(year * 10_000 + month * 100 + day) | ZEROS).to_le_bytes();
    slot[..10].copy_from_slice(&[y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2]);
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
