//! A column of numbers, or of what can be counted as numbers: the bytes of equal weight lie together, in lanes.

use super::head::Head;
use super::time::Time;
use super::{Effort, Laid, NULL, digits, take, value};
use crate::fields::{Fields, Span};

/// More digits than these may not fit 64 bits.
const MAX_DIGITS: usize = 18;

/// What the numbers count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A decimal number with so many digits after the point, and no point when they are none.
    Decimal { scale: u8 },
    /// A date or a timestamp, by the number that `time.rs` gives it.
    Time(Time),
}

impl Kind {
    /// The kind that this value is of.
    pub(super) fn of(value: &[u8]) -> Option<Self> {
        let scale = value.iter().rev().position(|byte| *byte == b'.').unwrap_or(0);
        let decimal = u8::try_from(scale).ok().map(|scale| Self::Decimal { scale });
        let times = Time::ALL.map(Self::Time).map(Some);
        [decimal]
            .into_iter()
            .chain(times)
            .flatten()
            .find(|kind| kind.parse(value, (0, value.len())).is_some())
    }

    pub(super) const fn code(self) -> (u8, u8) {
        match self {
            Self::Decimal { scale } => (0, scale),
            Self::Time(Time::Date) => (1, 0),
            Self::Time(Time::Timestamp) => (2, 0),
            Self::Time(Time::TimestampUtc) => (3, 0),
        }
    }

    pub(super) fn from_code(kind: u8, scale: u8) -> Option<Self> {
        let kind = if kind == 0 {
            Self::Decimal { scale }
        } else {
            Self::Time(*Time::ALL.get(usize::from(kind) - 1)?)
        };
        (kind.code() == (kind.code().0, scale) && usize::from(scale) < MAX_DIGITS).then_some(kind)
    }

    /// The number that this text stands for, if [`Kind::push`] would give exactly this text back.
    #[inline]
    fn parse(self, text: &[u8], span: Span) -> Option<i64> {
        match self {
            Self::Decimal { scale } => parse_decimal(text, span, usize::from(scale)),
            Self::Time(time) => time.parse(value(text, span)),
        }
    }

    /// Appends the number's text. None for a number that has none.
    #[inline]
    fn push(self, number: i64, out: &mut Vec<u8>) -> Option<()> {
        match self {
            Self::Decimal { scale } => push_decimal(number, usize::from(scale), out),
            Self::Time(time) => return time.push(number, out),
        }
        Some(())
    }
}

/// What is told of a column of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NumberHead {
    pub(super) kind: Kind,
    /// The lanes hold differences from the row before, `0, -1, 1, -2, 2 …` as `0, 1, 2, 3, 4 …`.
    pub(super) differences: bool,
    /// A lane before the others has a 1 for each null.
    pub(super) nulls: bool,
    pub(super) lanes: u8,
    pub(super) base: i64,
}

/// Memory for a column's numbers.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    values: Vec<i64>,
    nulls: Vec<u8>,
    offsets: Vec<u64>,
}

/// Appends the lanes. None when a value is of another kind, or when the lanes would be longer than the text.
pub(super) fn encode(
    kind: Kind,
    delta: bool,
    text: &[u8],
    fields: &Fields,
    column: usize,
    laid: &mut Laid,
    effort: Effort,
) -> Option<Head> {
    let Laid { bytes, numbers: Numbers { values: numbers, nulls, offsets }, .. } = laid;
    let text_bytes = read(kind, text, fields, column, numbers, nulls)?;
    let base = if delta { numbers.first() } else { numbers.iter().min() };
    let base = base.copied().unwrap_or_default();
    offsets.clear();
    if delta {
        let before = [base].into_iter().chain(numbers.iter().copied());
        offsets.extend(numbers.iter().zip(before).map(|(number, before)| fold(number.wrapping_sub(before))));
    } else {
        offsets.extend(numbers.iter().map(|number| number.wrapping_sub(base).cast_unsigned()));
    }
    let most = offsets.iter().fold(0, |all, offset| all | offset);
    let lanes = (u64::BITS - most.leading_zeros()).div_ceil(8);
    let columns = usize::try_from(lanes).ok()? + usize::from(!nulls.is_empty());
    if columns * numbers.len() > text_bytes {
        return None;
    }
    let head = NumberHead {
        kind,
        differences: delta,
        nulls: !nulls.is_empty(),
        lanes: u8::try_from(lanes).ok()?,
        base,
    };
    bytes.extend_from_slice(nulls);
    laid.cut(effort);
    for lane in 0..lanes {
        laid.bytes.extend(laid.numbers.offsets.iter().map(|offset| {
            let [low, ..] = (offset >> (8 * lane)).to_le_bytes();
            low
        }));
        laid.cut(effort);
    }
    Some(Head::Number(head))
}

/// Reads a column's numbers; a null repeats the number before it. Gives the bytes of the text.
fn read(
    kind: Kind,
    text: &[u8],
    fields: &Fields,
    column: usize,
    numbers: &mut Vec<i64>,
    nulls: &mut Vec<u8>,
) -> Option<usize> {
    numbers.clear();
    nulls.clear();
    let mut text_bytes = 0;
    let mut last = 0;
    for span in fields.column(column) {
        text_bytes += span.1 + 1 - span.0;
        if let Some(number) = kind.parse(text, span) {
            last = number;
        } else if value(text, span) == NULL {
            nulls.resize(numbers.len(), 0);
            nulls.push(1);
        } else {
            return None;
        }
        numbers.push(last);
    }
    if !nulls.is_empty() {
        nulls.resize(numbers.len(), 0);
    }
    Some(text_bytes)
}

/// `0, -1, 1, -2, 2 …` as `0, 1, 2, 3, 4 …`.
const fn fold(difference: i64) -> u64 {
    ((difference << 1) ^ (difference >> 63)).cast_unsigned()
}

const fn unfold(folded: u64) -> i64 {
    (folded >> 1).cast_signed() ^ -(folded & 1).cast_signed()
}

/// Writes each row's value.
pub(super) fn decode(
    head: &NumberHead,
    lanes: &mut &[u8],
    rows: usize,
    limit: usize,
    out: &mut Vec<u8>,
) -> Option<()> {
    let nulls = if head.nulls { take(lanes, rows)? } else { &[] };
    let mut offsets = vec![0u64; rows];
    for lane in 0..u32::from(head.lanes) {
        for (offset, byte) in offsets.iter_mut().zip(take(lanes, rows)?) {
            *offset |= u64::from(*byte) << (8 * lane);
        }
    }
    let mut number = head.base;
    for (row, offset) in offsets.into_iter().enumerate() {
        number = if head.differences {
            number.wrapping_add(unfold(offset))
        } else {
            head.base.wrapping_add(offset.cast_signed())
        };
        match nulls.get(row) {
            Some(1) => out.extend_from_slice(NULL),
            _ => head.kind.push(number, out)?,
        }
        out.push(b'\n');
        if out.len() > limit {
            return None;
        }
    }
    Some(())
}

/// Reads what PostgreSQL writes for a whole number or, with a scale, for a `numeric(p, scale)`.
#[inline]
fn parse_decimal(text: &[u8], (start, end): Span, scale: usize) -> Option<i64> {
    let negative = text.get(start) == Some(&b'-');
    let start = start + usize::from(negative);
    let length = end.checked_sub(start)?;
    let whole = if scale == 0 { length } else { length.checked_sub(scale + 1)? };
    if whole == 0 || length > MAX_DIGITS || whole > 1 && text.get(start) == Some(&b'0') {
        return None;
    }
    let number = match digits::sixteen(text, (start, end), scale) {
        Some(number) if length <= 16 => i64::try_from(number).ok()?,
        _ => slowly(text.get(start..end)?, whole)?,
    };
    if negative && number == 0 {
        return None;
    }
    Some(if negative { -number } else { number })
}

/// The same digit by digit, for what is long, at the text's beginning, or no number.
#[cold]
fn slowly(value: &[u8], whole: usize) -> Option<i64> {
    let (whole, rest) = value.split_at_checked(whole)?;
    let fraction = match rest.split_first() {
        None => rest,
        Some((b'.', fraction)) => fraction,
        Some(_) => return None,
    };
    digits::more(fraction, digits::more(whole, 0)?)
}

/// The inverse.
#[inline]
fn push_decimal(number: i64, scale: usize, out: &mut Vec<u8>) {
    if number < 0 {
        out.push(b'-');
    }
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(number.unsigned_abs()).as_bytes();
    if scale == 0 {
        out.extend_from_slice(digits);
        return;
    }
    let zeros = (scale + 1).saturating_sub(digits.len());
    let whole = digits.len().saturating_sub(scale);
    let (whole, fraction) = digits.split_at_checked(whole).unwrap_or_default();
    if whole.is_empty() {
        out.push(b'0');
    }
    out.extend_from_slice(whole);
    out.push(b'.');
    out.resize(out.len() + zeros.saturating_sub(1), b'0');
    out.extend_from_slice(fraction);
}
