//! Decimal digits, eight at a time in one word: what a loop does digit by digit costs three times as much.

use crate::fields::Span;

/// Eight times `0`.
pub(super) const ZEROS: u64 = 0x3030_3030_3030_3030;

/// The eight bytes that end at `end`, the last in the highest place, `0` in place of all but the last `count`. None where
/// fewer than eight bytes lie before.
#[inline]
pub(super) fn word(text: &[u8], end: usize, count: usize) -> Option<u64> {
    let bytes = text.get(end.checked_sub(8)?..end)?.first_chunk()?;
    let word = u64::from_le_bytes(*bytes);
    let kept = u64::MAX.checked_shl(u32::try_from(64 - 8 * count.min(8)).ok()?).unwrap_or(0);
    Some(word & kept | ZEROS & !kept)
}

/// The number that eight digits stand for, the first in the lowest byte. None where a byte is no digit.
#[inline]
pub(super) const fn eight(word: u64) -> Option<u64> {
    const HIGH: u64 = 0xF0F0_F0F0_F0F0_F0F0;
    if word & HIGH != ZEROS || word.wrapping_add(0x0606_0606_0606_0606) & HIGH != ZEROS {
        return None;
    }
    let digits = word & !HIGH;
    // Neighbours join: digits to pairs, pairs to fours, fours to eight.
    let pairs = (digits.wrapping_mul(10 << 8 | 1) >> 8) & 0x00FF_00FF_00FF_00FF;
    let fours = (pairs.wrapping_mul(100 << 16 | 1) >> 16) & 0x0000_FFFF_0000_FFFF;
    Some(fours.wrapping_mul(10_000 << 32 | 1) >> 32)
}

/// Up to sixteen digits, of which the last `scale` follow a point. None where the place has anything else, or is too near
/// the text's beginning.
#[inline]
pub(super) fn sixteen(text: &[u8], (start, end): Span, scale: usize) -> Option<u64> {
    let length = end.checked_sub(start)?;
    let low = word(text, end, length)?;
    let high = if length > 8 { word(text, end - 8, length - 8)? } else { ZEROS };
    let (low, high) = if scale == 0 { (low, high) } else { without_point(low, high, scale)? };
    let high = if high == ZEROS { 0 } else { eight(high)? };
    Some(high * 100_000_000 + eight(low)?)
}

/// Takes out the point before the last `scale` digits; what stands before it moves up.
#[inline]
fn without_point(low: u64, high: u64, scale: usize) -> Option<(u64, u64)> {
    let fraction_bits = u32::try_from(8 * scale).ok().filter(|bits| *bits < 64)?;
    let fraction = u64::MAX << (64 - fraction_bits);
    let point = fraction >> 8 & !fraction;
    if low & point != point & 0x2E2E_2E2E_2E2E_2E2E {
        return None;
    }
    let whole = low & !(fraction | point);
    Some((low & fraction | whole << 8 | high >> 56, high << 8 | ZEROS & 0xFF))
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

/// Two digits of a number below 100.
#[inline]
pub(super) fn two(number: i64) -> [u8; 2] {
    let digit = |number: i64| b'0' + u8::try_from(number).unwrap_or_default();
    [digit(number / 10), digit(number % 10)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_agree_with_the_loop() {
        for (text, scale, number) in [
            ("0", 0, Some(0)),
            ("12345678", 0, Some(12_345_678)),
            ("123456789", 0, Some(123_456_789)),
            ("1234567890123456", 0, Some(1_234_567_890_123_456)),
            ("1.5", 1, Some(15)),
            ("1234567.89", 2, Some(123_456_789)),
            ("123456789012345.6", 1, None),
            ("12345678901234.5", 1, Some(123_456_789_012_345)),
            ("0.1234567", 7, Some(1_234_567)),
            ("0.12345678", 8, None),
            ("12a", 0, None),
            ("1:", 0, None),
            ("1/", 0, None),
            ("1,5", 1, None),
            ("15", 1, None),
        ] {
            let line = format!("before\t..{text}");
            let span = (line.len() - text.len(), line.len());
            let got = if text.len() > 16 { None } else { sixteen(line.as_bytes(), span, scale) };
            assert_eq!(got, number, "{text}");
        }
        assert_eq!(sixteen(b"7", (0, 1), 0), None);
    }
}
