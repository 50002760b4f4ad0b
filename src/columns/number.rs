//! A column of numbers, or of what can be counted as numbers: the bytes of equal weight lie together, in lanes.

use super::digits::Slot;
use super::head::Head;
use super::time::Time;
use super::{Effort, Laid, NULL, digits, take, value};
use crate::fields::{Fields, Span};

use pulp::{Arch, Simd, WithSimd};

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
            Self::Decimal { scale } => parse_decimal(text, span, scale),
            Self::Time(time) => time.parse(value(text, span)),
        }
    }

    /// Writes the number's text; gives its length. None for a number that has none.
    #[inline(always)]
    pub(super) fn write(self, number: i64, slot: &mut Slot) -> Option<usize> {
        match self {
            Self::Decimal { scale } => digits::write(number, u32::from(scale), slot)
                .or_else(|| write_long(number, usize::from(scale), slot)),
            Self::Time(time) => time.write(number, slot),
        }
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
    let numbers = &mut laid.numbers;
    let (text_bytes, least) = Arch::new().dispatch(Read { kind, text, fields, column, numbers })?;
    let base = if delta { numbers.values.first().copied().unwrap_or_default() } else { least };
    let most = Arch::new().dispatch(Measure { delta, base, numbers });
    let lanes = (u64::BITS - most.leading_zeros()).div_ceil(8);
    let rows = numbers.values.len();
    let nulls = !numbers.nulls.is_empty();
    if (usize::try_from(lanes).ok()? + usize::from(nulls)) * rows > text_bytes {
        return None;
    }
    laid.bytes.extend_from_slice(&numbers.nulls);
    laid.cut(effort);
    for lane in 0..lanes {
        let offsets = &laid.numbers.offsets;
        Arch::new().dispatch(Cut { lane, offsets, out: &mut laid.bytes });
        laid.cut(effort);
    }
    Some(Head::Number(NumberHead { kind, differences: delta, nulls, lanes: u8::try_from(lanes).ok()?, base }))
}

/// Reads a column's numbers; a null repeats the number before it. Gives the bytes of the text, and the least number.
struct Read<'a> {
    kind: Kind,
    text: &'a [u8],
    fields: &'a Fields,
    column: usize,
    numbers: &'a mut Numbers,
}

impl WithSimd for Read<'_> {
    type Output = Option<(usize, i64)>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Self::Output {
        let (kind, text) = (self.kind, self.text);
        // A loop for each kind, so that none asks at every value which it is.
        match kind {
            Kind::Decimal { scale: 0 } => self.all(
                #[inline(always)]
                |span| digits::short(text, span, None),
            ),
            Kind::Decimal { scale } => {
                let point = digits::Point::before(scale);
                self.all(
                    #[inline(always)]
                    |span| digits::short(text, span, Some(point?)),
                )
            }
            Kind::Time(Time::Date) => self.all(
                #[inline(always)]
                |span| Time::Date.parse(value(text, span)),
            ),
            Kind::Time(time) => self.all(
                #[inline(always)]
                |span| time.parse(value(text, span)),
            ),
        }
    }
}

impl Read<'_> {
    /// Reads each value by `quickly`, or as it must be where that gives nothing.
    #[inline(always)]
    fn all(self, quickly: impl Fn(Span) -> Option<i64>) -> Option<(usize, i64)> {
        let Self { kind, text, fields, column, numbers: Numbers { values, nulls, .. } } = self;
        nulls.clear();
        values.resize(fields.rows(), 0);
        let (mut text_bytes, mut last, mut least) = (0usize, 0, i64::MAX);
        for (row, (span, slot)) in fields.column(column).zip(values.iter_mut()).enumerate() {
            text_bytes = text_bytes.wrapping_add(span.1.wrapping_sub(span.0).wrapping_add(1));
            last = match quickly(span) {
                Some(number) => number,
                None => exceptional(kind, text, span, row, last, nulls)?,
            };
            *slot = last;
            least = least.min(last);
        }
        if !nulls.is_empty() {
            nulls.resize(fields.rows(), 0);
        }
        Some((text_bytes, least))
    }
}

/// The number of any value; for a null, which is noted, that of the row before. None for what is not of the kind.
#[inline(never)]
fn exceptional(
    kind: Kind,
    text: &[u8],
    span: Span,
    row: usize,
    last: i64,
    nulls: &mut Vec<u8>,
) -> Option<i64> {
    if value(text, span) == NULL {
        nulls.resize(row, 0);
        nulls.push(1);
        return Some(last);
    }
    kind.parse(text, span)
}

/// Finds what the lanes hold of each number. Gives all bits that are in use.
struct Measure<'a> {
    delta: bool,
    base: i64,
    numbers: &'a mut Numbers,
}

impl WithSimd for Measure<'_> {
    type Output = u64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> u64 {
        let Self { delta, base, numbers: Numbers { values, offsets, .. } } = self;
        offsets.resize(values.len(), 0);
        let mut bits = 0;
        if delta {
            let mut before = base;
            for (offset, number) in offsets.iter_mut().zip(values) {
                *offset = fold(number.wrapping_sub(std::mem::replace(&mut before, *number)));
                bits |= *offset;
            }
        } else {
            for (offset, number) in offsets.iter_mut().zip(values) {
                *offset = number.wrapping_sub(base).cast_unsigned();
                bits |= *offset;
            }
        }
        bits
    }
}

/// Appends one byte of each number.
struct Cut<'a> {
    lane: u32,
    offsets: &'a [u64],
    out: &'a mut Vec<u8>,
}

impl WithSimd for Cut<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { lane, offsets, out } = self;
        let shift = lane.wrapping_mul(8);
        let start = out.len();
        out.resize(start.wrapping_add(offsets.len()), 0);
        for (byte, offset) in out.iter_mut().skip(start).zip(offsets) {
            let [low, ..] = offset.wrapping_shr(shift).to_le_bytes();
            *byte = low;
        }
    }
}

/// `0, -1, 1, -2, 2 …` as `0, 1, 2, 3, 4 …`.
const fn fold(difference: i64) -> u64 {
    ((difference << 1) ^ (difference >> 63)).cast_unsigned()
}

const fn unfold(folded: u64) -> i64 {
    (folded >> 1).cast_signed() ^ -(folded & 1).cast_signed()
}

/// Each row's number, and a 1 for each null if there are any.
pub(super) fn decode<'a>(
    head: &NumberHead,
    lanes: &mut &'a [u8],
    rows: usize,
) -> Option<(Vec<i64>, &'a [u8])> {
    let nulls = if head.nulls { take(lanes, rows)? } else { &[] };
    let lanes = take(lanes, rows.checked_mul(usize::from(head.lanes))?)?;
    Some((Arch::new().dispatch(Join { head, lanes, rows }), nulls))
}

/// Puts the numbers' bytes together.
struct Join<'a> {
    head: &'a NumberHead,
    lanes: &'a [u8],
    rows: usize,
}

impl WithSimd for Join<'_> {
    type Output = Vec<i64>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Vec<i64> {
        let Self { head: NumberHead { differences, base, .. }, lanes, rows } = self;
        let mut numbers = vec![0i64; rows];
        let mut shift = 0u32;
        for lane in lanes.chunks_exact(rows.max(1)) {
            for (number, byte) in numbers.iter_mut().zip(lane) {
                *number |= u64::from(*byte).wrapping_shl(shift).cast_signed();
            }
            shift = shift.wrapping_add(8);
        }
        let mut last = *base;
        for number in &mut numbers {
            if *differences {
                last = last.wrapping_add(unfold(number.cast_unsigned()));
                *number = last;
            } else {
                *number = base.wrapping_add(*number);
            }
        }
        numbers
    }
}

/// Reads what PostgreSQL writes for a whole number or, with a scale, for a `numeric(p, scale)`.
#[inline]
fn parse_decimal(text: &[u8], (start, end): Span, scale: u8) -> Option<i64> {
    let negative = text.get(start) == Some(&b'-');
    let start = start + usize::from(negative);
    let length = end.checked_sub(start)?;
    let whole = if scale == 0 { length } else { length.checked_sub(usize::from(scale) + 1)? };
    if whole == 0 || length > MAX_DIGITS || whole > 1 && text.get(start) == Some(&b'0') {
        return None;
    }
    let quickly = match (scale, digits::Point::before(scale)) {
        (0, _) => digits::short(text, (start, end), None),
        (_, None) => None,
        (_, point) => digits::short(text, (start, end), point),
    };
    let number = match quickly {
        Some(number) => number,
        None => more_slowly(text.get(start..end)?, whole)?,
    };
    if negative && number == 0 {
        return None;
    }
    Some(if negative { -number } else { number })
}

/// Its digits, the point left out.
fn more_slowly(value: &[u8], whole: usize) -> Option<i64> {
    let (whole, rest) = value.split_at_checked(whole)?;
    let fraction = match rest.split_first() {
        None => rest,
        Some((b'.', fraction)) => fraction,
        Some(_) => return None,
    };
    digits::more(fraction, digits::more(whole, 0)?)
}

/// Writes a decimal number of any length.
#[inline(never)]
fn write_long(number: i64, scale: usize, slot: &mut Slot) -> Option<usize> {
    let sign = if number < 0 { "-" } else { "" };
    let digits = format!("{:0width$}", number.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at_checked(digits.len().checked_sub(scale)?)?;
    let point = if scale == 0 { "" } else { "." };
    let text = [sign, whole, point, fraction].concat();
    slot.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
    Some(text.len())
}
