//! From columns back to rows: each row's values are written one after another, each from what is known of its column.

use super::head::{HEAD_BYTES_PER_COLUMN, Head};
use super::number::{self, Kind};
use super::{NULL, dictionary, take};
use crate::fields::Ends;

use pulp::{Arch, Simd, WithSimd};

/// What is copied at once; beyond the limit there is room for it.
const STEP: usize = 64;

/// The values of one column.
enum Column<'a> {
    Text { text: &'a [u8], start: usize, ends: Ends },
    Dictionary { values: Vec<&'a [u8]>, codes: &'a [u8] },
    Number { kind: Kind, numbers: Vec<i64>, nulls: &'a [u8] },
}

/// Writes `rows` rows as COPY text. False for bytes that [`super::lay_out`] does not write, and when the text would be
/// longer than `limit`.
pub fn bring_back(laid: &[u8], columns: usize, rows: usize, limit: usize, out: &mut Vec<u8>) -> bool {
    // A value takes a byte at least: memory is bounded by what the text may take.
    if columns.checked_mul(rows).is_none_or(|values| values > limit) {
        out.clear();
        return false;
    }
    let columns = read(laid, columns, rows);
    // Not cleared: all of it is written over.
    out.resize(limit.saturating_add(STEP), 0);
    let length = columns.and_then(|columns| Arch::new().dispatch(Write { columns, rows, limit, out }));
    out.truncate(length.unwrap_or(0));
    length.is_some()
}

/// Reads what there is of each column.
fn read(laid: &[u8], columns: usize, rows: usize) -> Option<Vec<Column<'_>>> {
    let (heads, body) = laid.split_at_checked(columns.checked_mul(HEAD_BYTES_PER_COLUMN)?)?;
    let heads: Option<Vec<Head>> = heads.chunks_exact(HEAD_BYTES_PER_COLUMN).map(Head::decode).collect();
    let heads = heads?;
    let joined = heads.iter().map(Head::joined_bytes).try_fold(0usize, usize::checked_add)?;
    let (mut joined, mut lanes) = body.split_at_checked(joined)?;
    let columns: Option<Vec<Column<'_>>> = heads
        .iter()
        .map(|head| match head {
            Head::Text { bytes, apart } => {
                let text = take(if *apart { &mut lanes } else { &mut joined }, *bytes)?;
                Some(Column::Text { text, start: 0, ends: Ends::of_lines(text, rows)? })
            }
            Head::Dictionary { values } => {
                let (values, codes) = dictionary::decode(*values, &mut lanes, rows)?;
                Some(Column::Dictionary { values, codes })
            }
            Head::Number(head) => {
                let (numbers, nulls) = number::decode(head, &mut lanes, rows)?;
                Some(Column::Number { kind: head.kind, numbers, nulls })
            }
        })
        .collect();
    columns.filter(|_| joined.is_empty() && lanes.is_empty())
}

/// Writes all rows; gives the text's length.
struct Write<'a> {
    columns: Vec<Column<'a>>,
    rows: usize,
    limit: usize,
    out: &'a mut [u8],
}

impl WithSimd for Write<'_> {
    type Output = Option<usize>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Option<usize> {
        let Self { mut columns, rows, limit, out } = self;
        let mut at = 0usize;
        for row in 0..rows {
            for column in &mut columns {
                at = at.wrapping_add(column.write(row, out.get_mut(at..)?)?);
                *out.get_mut(at)? = b'\t';
                at = at.wrapping_add(1);
                if at > limit {
                    return None;
                }
            }
            *out.get_mut(at.wrapping_sub(1))? = b'\n';
        }
        Some(at)
    }
}

impl Column<'_> {
    /// Writes a row's value; gives its length.
    #[inline(always)]
    fn write(&mut self, row: usize, room: &mut [u8]) -> Option<usize> {
        match self {
            Self::Text { text, start, ends } => {
                let end = ends.get(row)?;
                let value = std::mem::replace(start, end + 1);
                copy(text.get(value..)?, end.checked_sub(value)?, room)
            }
            Self::Dictionary { values, codes } => {
                let value = values.get(usize::from(*codes.get(row)?))?;
                copy(value, value.len().checked_sub(1)?, room)
            }
            Self::Number { nulls, .. } if nulls.get(row) == Some(&1) => copy(NULL, NULL.len(), room),
            Self::Number { kind, numbers, .. } => kind.write(*numbers.get(row)?, room.first_chunk_mut()?),
        }
    }
}

/// Copies so many bytes; gives their number. Short values are copied in one piece, what follows them included: it is
/// overwritten next.
#[inline(always)]
fn copy(from: &[u8], length: usize, room: &mut [u8]) -> Option<usize> {
    match (from.first_chunk::<STEP>(), room.first_chunk_mut::<STEP>()) {
        (Some(from), Some(room)) if length <= STEP => *room = *from,
        _ => room.get_mut(..length)?.copy_from_slice(from.get(..length)?),
    }
    Some(length)
}
