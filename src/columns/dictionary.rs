//! A column of few values: each value once, then a byte for each row.

use super::head::Head;
use super::{Effort, Laid, take, value};
use crate::fields::{Fields, Span, padded};

/// A byte can tell so many values apart.
const MAX_VALUES: usize = 256;

/// Places in the table of what was seen; a power of two, well above [`MAX_VALUES`].
const SLOTS: usize = 1024;

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
    laid.codes.clear();
    let mut text_bytes = 0;
    for span in fields.column(column) {
        text_bytes += span.1 + 1 - span.0;
        laid.codes.push(seen.code(text, span)?);
    }
    let value_bytes: usize = seen.values.iter().map(|(_, (start, end))| end + 1 - start).sum();
    if value_bytes + laid.codes.len() > text_bytes {
        return None;
    }
    for (_, span) in &seen.values {
        laid.bytes.extend_from_slice(value(text, *span));
        laid.bytes.push(b'\n');
    }
    laid.cut(Effort::Search);
    laid.bytes.extend_from_slice(&laid.codes);
    laid.cut(effort);
    Some(Head::Dictionary { values: seen.values.len() })
}

/// The values seen so far and, by their hash, their codes.
#[derive(Debug)]
struct Seen {
    values: Vec<(Key, Span)>,
    slots: [u16; SLOTS],
}

impl Default for Seen {
    fn default() -> Self {
        Self { values: Vec::new(), slots: [0; SLOTS] }
    }
}

impl Seen {
    /// The code of the value at this place; a new one for a new value, unless there are too many.
    #[inline]
    fn code(&mut self, text: &[u8], span: Span) -> Option<u8> {
        let key = Key::of(text, span);
        let mut at = key.slot();
        loop {
            let slot = self.slots.get_mut(at % SLOTS)?;
            let Some(code) = slot.checked_sub(1) else {
                let code = u8::try_from(self.values.len()).ok()?;
                self.values.push((key, span));
                *slot = u16::from(code) + 1;
                return Some(code);
            };
            let (known, place) = *self.values.get(usize::from(code))?;
            if known == key && (key.length <= KEY_BYTES || value(text, place) == value(text, span)) {
                return u8::try_from(code).ok();
            }
            at += 1;
        }
    }
}

/// Bytes that a key holds.
const KEY_BYTES: usize = 32;

/// A value's length, and sixteen bytes from either end: all of it, if it is short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Key {
    length: usize,
    front: u64,
    back: u64,
    middle: [u64; 2],
}

impl Key {
    #[inline]
    fn of(text: &[u8], (start, end): Span) -> Self {
        let length = end - start;
        let eight = |from: usize| u64::from_le_bytes(padded(text.get(from..).unwrap_or_default()));
        if length < 8 {
            let front = eight(start) & !(u64::MAX << (8 * length));
            return Self { length, front, back: 0, middle: [0; 2] };
        }
        let middle = if length <= 16 { [0; 2] } else { [eight(start + 8), eight(end - 16)] };
        Self { length, front: eight(start), back: eight(end - 8), middle }
    }

    /// Where it is looked for first. The columns that this is for have few values, so a poor spread costs little, and a
    /// column with many is soon given up.
    #[inline]
    fn slot(&self) -> usize {
        const ODD: u64 = 0x9E37_79B9_7F4A_7C15;
        let length = u64::try_from(self.length).unwrap_or_default();
        let mixed = (self.front ^ self.back.rotate_left(29) ^ length).wrapping_mul(ODD);
        usize::try_from(mixed >> 54).unwrap_or_default()
    }
}

/// Writes each row's value.
pub(super) fn decode(
    values: usize,
    lanes: &mut &[u8],
    rows: usize,
    limit: usize,
    out: &mut Vec<u8>,
) -> Option<()> {
    if values > MAX_VALUES {
        return None;
    }
    let mut texts = Vec::with_capacity(values);
    for _ in 0..values {
        let end = memchr::memchr(b'\n', lanes)?;
        texts.push(take(lanes, end + 1)?);
    }
    for code in take(lanes, rows)? {
        out.extend_from_slice(texts.get(usize::from(*code))?);
        if out.len() > limit {
            return None;
        }
    }
    Some(())
}
