//! What a layout says of each column.
//!
//! ```text
//! 0  1  encoding (0 text, 1 text apart, 2 dictionary, 3 number)
//! 1  1  kind of number (0 decimal, 1 date, 2 timestamp, 3 timestamp at +00)
//! 2  1  digits after the point    3  1  flags (1 differences, 2 nulls)    4  1  lanes    5  3  zero
//! 8  8  text: its bytes; dictionary: its values; number: the least value, or with differences the first
//! ```

use super::number::NumberHead;

/// Length of one column's head in bytes.
pub const HEAD_BYTES_PER_COLUMN: usize = 16;

/// One column's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Head {
    /// Values, each ended by a newline; `apart` from the other text, among the lanes.
    Text { bytes: usize, apart: bool },
    /// So many values, each ended by a newline, then a byte for each row.
    Dictionary { values: usize },
    /// Numbers in lanes of bytes.
    Number(NumberHead),
}

impl Head {
    /// Bytes of it among the text that comes first.
    pub(super) const fn joined_bytes(&self) -> usize {
        match self {
            Self::Text { bytes, apart: false } => *bytes,
            _ => 0,
        }
    }

    pub(super) fn encode(self) -> [u8; HEAD_BYTES_PER_COLUMN] {
        let (front, number) = match self {
            Self::Text { bytes, apart } => ([u8::from(apart), 0, 0, 0, 0], to_number(bytes)),
            Self::Dictionary { values } => ([2, 0, 0, 0, 0], to_number(values)),
            Self::Number(NumberHead { kind, differences, nulls, lanes, base }) => {
                let (kind, scale) = kind.code();
                let flags = u8::from(differences) | u8::from(nulls) << 1;
                ([3, kind, scale, flags, lanes], base)
            }
        };
        let mut head = [0; HEAD_BYTES_PER_COLUMN];
        let bytes = front.into_iter().chain([0; 3]).chain(number.to_le_bytes());
        head.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
        head
    }

    /// The head in these bytes; none where they are no head.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let ([encoding, kind, scale, flags, lanes, 0, 0, 0], rest) = bytes.split_first_chunk::<8>()? else {
            return None;
        };
        let base = i64::from_le_bytes(*rest.first_chunk()?);
        match (*encoding, *kind, *scale, *flags, *lanes) {
            (apart @ (0 | 1), 0, 0, 0, 0) => {
                Some(Self::Text { bytes: usize::try_from(base).ok()?, apart: apart == 1 })
            }
            (2, 0, 0, 0, 0) => Some(Self::Dictionary { values: usize::try_from(base).ok()? }),
            (3, kind, scale, flags @ 0..=3, lanes @ 0..=8) => Some(Self::Number(NumberHead {
                kind: super::number::Kind::from_code(kind, scale)?,
                differences: flags & 1 != 0,
                nulls: flags & 2 != 0,
                lanes,
                base,
            })),
            _ => None,
        }
    }
}

fn to_number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
