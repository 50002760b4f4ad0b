//! Decimal digits, eight at a time in one word: what a loop does digit by digit costs three times as much.

use crate::fields::Span;

/// Eight times `0`.
pub(super) const ZEROS: u64 = 0x3030_3030_3030_3030;

/// The number that eight digits stand for, the first in the lowest byte. None where a byte is no digit.
#[inline(always)]
pub(super) fn eight(word: u64) -> Option<u64> {
    // Neighbours join: digits to pairs, pairs to fours, fours to eight.
    let fours = (pairs(word)?.wrapping_mul(100 << 16 | 1) >> 16) & 0x0000_FFFF_0000_FFFF;
    Some(fours.wrapping_mul(10_000 << 32 | 1) >> 32)
}

/// The four numbers that eight digits stand for two by two, the first in the lowest sixteen bits.
#[inline(always)]
pub(super) fn pairs(word: u64) -> Option<u64> {
    const HIGH: u64 = 0xF0F0_F0F0_F0F0_F0F0;
    let wrong = (word ^ ZEROS) | (word.wrapping_add(0x0606_0606_0606_0606) ^ ZEROS);
    let digits = word & !HIGH;
    (wrong & HIGH == 0).then_some((digits.wrapping_mul(10 << 8 | 1) >> 8) & 0x00FF_00FF_00FF_00FF)
}

/// The digits of a number below 10^8, the first in the lowest byte: the inverse of [`eight`], but for the `0` in each.
#[inline(always)]
pub(super) const fn parts(number: u64) -> u64 {
    // What eight joins parts again. A division by a constant is a product and a shift: the constants are exact for
    // four digits and for two.
    let fours = ((number % 10_000) << 32) | (number / 10_000);
    let hundreds = (fours.wrapping_mul(10_486) >> 20) & 0x0000_007F_0000_007F;
    let pairs = fours.wrapping_sub(hundreds.wrapping_mul(100)) << 16 | hundreds;
    let tens = (pairs.wrapping_mul(103) >> 10) & 0x000F_000F_000F_000F;
    pairs.wrapping_sub(tens.wrapping_mul(10)) << 8 | tens
}

/// Where a number's point is, counted from its end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Point {
    scale: usize,
    /// Where the digits after it are, in the word of the number's last eight bytes.
    fraction: u64,
    /// Where it is itself.
    place: u64,
}

impl Point {
    /// The point before so many digits, if they and it lie in the last eight bytes.
    pub(super) fn before(scale: u8) -> Option<Self> {
        let fraction = u64::MAX.checked_shl(64u32.checked_sub(8 * u32::from(scale))?)?;
        let place = fraction >> 8 & !fraction;
        (place != 0).then_some(Self { scale: usize::from(scale), fraction, place })
    }

    /// Takes it out; what stands before it moves up.
    #[inline(always)]
    fn take_out(self, low: u64, high: u64) -> Option<(u64, u64)> {
        if low & self.place != self.place & 0x2E2E_2E2E_2E2E_2E2E {
            return None;
        }
        let whole = low & !(self.fraction | self.place);
        Some((low & self.fraction | whole << 8 | high >> 56, high << 8 | ZEROS & 0xFF))
    }
}

/// A number that PostgreSQL would write so: up to sixteen digits and a point. None for all else, also for what is negative,
/// and for what is too near the text's beginning.
#[inline(always)]
pub(super) fn short(text: &[u8], (start, end): Span, point: Option<Point>) -> Option<i64> {
    let length = end.wrapping_sub(start);
    let bytes: &[u8; 16] = text.get(end.checked_sub(16)?..end)?.first_chunk()?;
    let first = *text.get(start)?;
    let whole = point.map_or(length, |point| length.wrapping_sub(point.scale).wrapping_sub(1));
    if whole.wrapping_sub(1) >= 16 || length > 16 || first == b'0' && whole > 1 {
        return None;
    }
    let (high, low) = bytes.split_at(8);
    let word = |bytes: &[u8]| bytes.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
    let (high, low) = (word(high)?, word(low)?);
    // What lies before the number is taken for zeros.
    let kept = |word: u64, length: usize| {
        let kept = u64::MAX.wrapping_shl(64u32.wrapping_sub(to_u32(length).wrapping_mul(8)));
        word & kept | ZEROS & !kept
    };
    if length <= 8 {
        let low = kept(low, length);
        let low = match point {
            None => low,
            Some(point) => point.take_out(low, ZEROS)?.0,
        };
        return Some(eight(low)?.cast_signed());
    }
    let high = kept(high, length.wrapping_sub(8));
    let (low, high) = match point {
        None => (low, high),
        Some(point) => point.take_out(low, high)?,
    };
    Some(eight(high)?.wrapping_mul(100_000_000).wrapping_add(eight(low)?).cast_signed())
}

/// Room for a number's or a time's text.
pub(super) type Slot = [u8; 32];

/// Writes a number with so many digits after the point; gives its length. None for more than 15 digits.
#[inline(always)]
pub(super) fn write(number: i64, scale: u32, slot: &mut Slot) -> Option<usize> {
    const EIGHT_DIGITS: u64 = 100_000_000;
    const FIFTEEN_DIGITS: u64 = 1_000_000_000_000_000;
    let number_abs = number.unsigned_abs();
    if number_abs >= FIFTEEN_DIGITS || scale > 13 {
        return None;
    }
    let high = if number_abs < EIGHT_DIGITS { 0 } else { parts(number_abs / EIGHT_DIGITS) };
    let digits = u128::from(parts(number_abs % EIGHT_DIGITS)) << 64 | u128::from(high);
    // One digit at least stands before the point.
    let zeros = (digits.trailing_zeros() / 8).min(15 - scale);
    let text = digits | u128::from(ZEROS) << 64 | u128::from(ZEROS);
    let (text, unused) = if scale == 0 {
        (text, zeros)
    } else {
        // What stands before the point moves down to make room for it.
        let fraction = u128::MAX.wrapping_shl(128 - 8 * scale);
        let point = u128::from(b'.').wrapping_shl(120 - 8 * scale);
        (text & fraction | (text & !fraction) >> 8 | point, zeros.wrapping_sub(1))
    };
    let text = text.wrapping_shr(unused.wrapping_mul(8)).to_le_bytes();
    let length = 16usize.wrapping_sub(to_usize(unused));
    if number < 0 {
        slot[0] = b'-';
        slot[1..17].copy_from_slice(&text);
        Some(length.wrapping_add(1))
    } else {
        slot[..16].copy_from_slice(&text);
        Some(length)
    }
}

fn to_usize(small: u32) -> usize {
    usize::try_from(small).unwrap_or_default()
}

/// A length that is small.
fn to_u32(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// Digits behind those of `before`. None for anything else.
#[inline]
pub(super) fn more(text: &[u8], before: i64) -> Option<i64> {
    let mut number = before;
    for byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number = number * 10 + i64::from(digit);
    }
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn short_numbers_are_read_and_all_else_is_not() {
        for (text, scale, number) in [
            ("0", 0, Some(0)),
            ("12345678", 0, Some(12_345_678)),
            ("123456789", 0, Some(123_456_789)),
            ("1234567890123456", 0, Some(1_234_567_890_123_456)),
            ("12345678901234567", 0, None),
            ("1.5", 1, Some(15)),
            ("0.05", 2, Some(5)),
            ("12345.67", 2, Some(1_234_567)),
            ("123456.78", 2, Some(12_345_678)),
            ("1234567.89", 2, Some(123_456_789)),
            ("12345678901234.5", 1, Some(123_456_789_012_345)),
            ("123456789012345.6", 1, None),
            ("0.123456", 6, Some(123_456)),
            ("", 0, None),
            ("-1", 0, None),
            ("01", 0, None),
            ("00.5", 1, None),
            (".5", 1, None),
            ("12a", 0, None),
            ("1:", 0, None),
            ("1/", 0, None),
            ("1,5", 1, None),
            ("15", 1, None),
            ("1.2.3", 1, None),
            ("12345678x0123456", 0, None),
        ] {
            let line = format!("something before\t{text}");
            let span = (line.len() - text.len(), line.len());
            let point = if scale == 0 { None } else { Point::before(scale) };
            assert_eq!(point.is_some(), scale > 0);
            assert_eq!(short(line.as_bytes(), span, point), number, "{text}");
        }
        assert_eq!(short(b"7", (0, 1), None), None);
        assert!(Point::before(0).is_none() && Point::before(8).is_none() && Point::before(200).is_none());
        assert!(Point::before(7).is_some());
    }

    #[test]
    fn numbers_are_written_as_they_are_read() {
        for (number, scale, text) in [
            (0, 0, "0"),
            (7, 0, "7"),
            (-7, 0, "-7"),
            (99_999_999, 0, "99999999"),
            (100_000_000, 0, "100000000"),
            (999_999_999_999_999, 0, "999999999999999"),
            (0, 2, "0.00"),
            (5, 2, "0.05"),
            (-105, 2, "-1.05"),
            (12_345_678_901, 2, "123456789.01"),
            (999_999_999_999_999, 13, "99.9999999999999"),
            (1, 13, "0.0000000000001"),
        ] {
            let mut slot = [0; 32];
            let length = write(number, scale, &mut slot).unwrap();
            assert_eq!(std::str::from_utf8(&slot[..length]), Ok(text));
        }
        let mut slot = [0; 32];
        for (number, scale) in [(1_000_000_000_000_000, 0), (i64::MIN, 0), (i64::MAX, 2), (1, 14), (1, 200)] {
            assert_eq!(write(number, scale, &mut slot), None);
        }
    }

    proptest! {
        #[test]
        fn parts_join_again(number in 0u64..100_000_000) {
            prop_assert_eq!(eight(parts(number) | ZEROS), Some(number));
            let text = format!("{number:08}");
            prop_assert_eq!(&(parts(number) | ZEROS).to_le_bytes()[..], text.as_bytes());
        }
    }
}
