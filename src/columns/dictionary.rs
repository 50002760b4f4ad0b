//! A column of few values: each value once, then a byte for each row.

use super::head::Head;
use super::{Effort, Laid, take, value};
use crate::fields::{Fields, Span, padded};

use pulp::{Arch, Simd, WithSimd};

/// A byte can tell so many values apart.
const MAX_VALUES: usize = 256;

/// Places in the table of what was seen; a power of two, well above [`MAX_VALUES`].
const SLOTS: usize = 512;

/// Appends the values in the order in which they came, then the rows' codes. None when there are too many values, or when
/// both together would be longer than the text.
pub(super) fn encode(
    text: &[u8],
    fields: &Fields,
    column: usize,
    laid: &mut Laid,
    effort: Effort,
) -> Option<Head> {
    let mut seen = Seen::default();
    let codes = &mut laid.codes;
    let text_bytes = Arch::new().dispatch(Look { text, fields, column, seen: &mut seen, codes })?;
    let value_bytes: usize = seen.values.iter().map(|(start, end)| end + 1 - start).sum();
    if value_bytes + laid.codes.len() > text_bytes {
        return None;
    }
    for span in &seen.values {
        laid.bytes.extend_from_slice(value(text, *span));
        laid.bytes.push(b'\n');
    }
    laid.cut(Effort::Search);
    laid.bytes.extend_from_slice(&laid.codes);
    laid.cut(effort);
    Some(Head::Dictionary { values: seen.values.len() })
}

/// Finds each row's code. Gives the bytes of the text; None when there are too many values.
struct Look<'a> {
    text: &'a [u8],
    fields: &'a Fields,
    column: usize,
    seen: &'a mut Seen,
    codes: &'a mut Vec<u8>,
}

impl WithSimd for Look<'_> {
    type Output = Option<usize>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Option<usize> {
        let Self { text, fields, column, seen, codes } = self;
        codes.resize(fields.rows(), 0);
        let mut text_bytes = 0usize;
        for (span, code) in fields.column(column).zip(codes.iter_mut()) {
            text_bytes = text_bytes.wrapping_add(span.1.wrapping_sub(span.0).wrapping_add(1));
            *code = seen.code(text, span)?;
        }
        Some(text_bytes)
    }
}

/// The values seen so far and, by their hash, their codes.
#[derive(Debug)]
struct Seen {
    values: Vec<Span>,
    slots: [Slot; SLOTS],
}

/// What is known at a place of the table: a value's key, and one more than its code; 0 is an empty place.
#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    key: Key,
    code: u32,
}

impl Default for Seen {
    fn default() -> Self {
        Self { values: Vec::new(), slots: [Slot::default(); SLOTS] }
    }
}

impl Seen {
    /// The code of the value at this place; a new one for a new value, unless there are too many.
    #[inline(always)]
    fn code(&mut self, text: &[u8], span: Span) -> Option<u8> {
        let key = Key::of(text, span);
        let mut at = key.slot();
        loop {
            let slot = self.slots.get_mut(at % SLOTS)?;
            let Some(code) = slot.code.checked_sub(1) else {
                let code = u8::try_from(self.values.len()).ok()?;
                self.values.push(span);
                *slot = Slot { key, code: u32::from(code) + 1 };
                return Some(code);
            };
            if slot.key == key && (key.is_whole() || self.is_value(code, text, span)) {
                return u8::try_from(code).ok();
            }
            at = at.wrapping_add(1);
        }
    }

    /// Whether the long value at this place is the one of that code.
    fn is_value(&self, code: u32, text: &[u8], span: Span) -> bool {
        let known = usize::try_from(code).ok().and_then(|code| self.values.get(code));
        known.is_some_and(|known| value(text, *known) == value(text, span))
    }
}

/// A value's length, and eight bytes from either end: all of it, if it is short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Key {
    length: u32,
    front: u64,
    back: u64,
}

impl Key {
    #[inline(always)]
    fn of(text: &[u8], (start, end): Span) -> Self {
        let long = end.wrapping_sub(start);
        let length = u32::try_from(long).unwrap_or(u32::MAX);
        let eight = |from: usize| u64::from_le_bytes(padded(text.get(from..).unwrap_or_default()));
        let front = eight(start);
        if length < 8 {
            let unused = u64::MAX.wrapping_shl(length.wrapping_mul(8));
            return Self { length, front: front & !unused, back: 0 };
        }
        Self { length, front, back: eight(end.wrapping_sub(8)) }
    }

    /// Whether it tells all of the value.
    const fn is_whole(&self) -> bool {
        self.length <= 16
    }

    /// Where it is looked for first. The columns that this is for have few values, so a poor spread costs little, and a
    /// column with many is soon given up.
    #[inline(always)]
    fn slot(&self) -> usize {
        const ODD: u64 = 0x9E37_79B9_7F4A_7C15;
        let mixed = (self.front ^ self.back.rotate_left(29) ^ u64::from(self.length)).wrapping_mul(ODD);
        usize::try_from(mixed >> 54).unwrap_or_default()
    }
}

/// The values, each with its newline, and each row's code, which may be beyond them.
pub(super) fn decode<'a>(
    values: usize,
    lanes: &mut &'a [u8],
    rows: usize,
) -> Option<(Vec<&'a [u8]>, &'a [u8])> {
    if values > MAX_VALUES {
        return None;
    }
    let mut texts = Vec::with_capacity(values);
    for _ in 0..values {
        let end = memchr::memchr(b'\n', lanes)?;
        texts.push(take(lanes, end + 1)?);
    }
    Some((texts, take(lanes, rows)?))
}
