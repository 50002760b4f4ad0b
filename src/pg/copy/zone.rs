//! Zone maps: the least and greatest value of a chunk's key and time columns, so that rows asked for by key or time
//! are found by reading a few chunks.
//!
//! Values are compared as COPY text under the type's own order. Where that order cannot be told from the text at a
//! glance (an infinite date, a year before Christ, an escaped character) the chunk has no zone for that column:
//! missing bounds only cost a read, wrong ones would lose rows.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use crate::fields::{Row, padded};

/// Longest value kept as a bound, in bytes. A longer one leaves the column without a zone.
const MAX_VALUE: usize = 64;

/// How a column's values are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ZoneType {
    /// `int2`, `int4`, `int8`, `oid`: decimal digits, perhaps a minus.
    Integer,
    /// `date`, `timestamp`, `timestamptz` in ISO style under UTC.
    Time,
    /// `uuid`, or text under the "C" collation: the order of the bytes.
    Bytes,
}

/// A column that a zone map covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZoneColumn {
    /// Position in the COPY column list, from 0.
    pub position: u16,
    /// How its values are ordered.
    pub order: ZoneType,
}

/// The bounds of one column in one chunk; `None` where nothing is known.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ZoneMap {
    /// For each [`ZoneColumn`], in order: least and greatest value that is not null.
    pub bounds: Vec<Option<(String, String)>>,
}

impl ZoneMap {
    /// The map as the archive keeps it: JSON, an array of `null` or `[least, greatest]`; nothing when nothing is known.
    pub fn encode(&self) -> Vec<u8> {
        if self.bounds.iter().all(Option::is_none) {
            return Vec::new();
        }
        serde_json::to_vec(&self.bounds).unwrap_or_default()
    }

    /// Reads what [`ZoneMap::encode`] wrote; anything else means that nothing is known.
    pub fn decode(bytes: &[u8]) -> Self {
        Self { bounds: serde_json::from_slice(bytes).unwrap_or_default() }
    }
}

impl ZoneType {
    /// Whether the text is in the form whose order this type knows.
    pub fn is_orderly(self, value: &[u8]) -> bool {
        match self {
            Self::Integer => {
                let digits = value.strip_prefix(b"-").unwrap_or(value);
                !digits.is_empty() && digits.len() <= 20 && digits.iter().all(u8::is_ascii_digit)
            }
            // Four digits of a year, then a dash: neither infinity, nor year 10000; and "BC" would end the text.
            Self::Time => {
                value.get(4) == Some(&b'-')
                    && value.len() <= MAX_VALUE
                    && value.iter().take(4).all(u8::is_ascii_digit)
                    && value.last() != Some(&b'C')
            }
            Self::Bytes => value.len() <= MAX_VALUE && !value.contains(&b'\\') && value.is_ascii(),
        }
    }

    /// Compares two orderly values.
    pub fn compare(self, a: &[u8], b: &[u8]) -> Ordering {
        match self {
            Self::Integer => match (a.strip_prefix(b"-"), b.strip_prefix(b"-")) {
                (None, None) => a.len().cmp(&b.len()).then_with(|| a.cmp(b)),
                (Some(a), Some(b)) => b.len().cmp(&a.len()).then_with(|| b.cmp(a)),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
            },
            Self::Time | Self::Bytes => a.cmp(b),
        }
    }
}

/// The bounds of one column while a chunk passes. Almost every value lies between them, so that is found out first,
/// by comparing the first bytes as one number.
#[derive(Debug)]
struct Bounds<'a> {
    order: ZoneType,
    /// Least and greatest value so far.
    found: Option<(&'a [u8], &'a [u8])>,
    /// Their keys. Without values, or where one of them has no key, no value lies between.
    keys: (u128, u128),
    lost: bool,
}

/// Bytes that a key holds.
const KEY_BYTES: usize = 16;

/// Where no value lies between.
const NOTHING_BETWEEN: (u128, u128) = (u128::MAX, 0);

impl ZoneType {
    /// A number that orders values as far as their first bytes tell: of two values that both have one, the lesser has
    /// the lesser number, or the same. `rest` begins with the value and may go on after it.
    fn key(self, rest: &[u8], length: usize) -> Option<u128> {
        let first = u128::from_be_bytes(padded(rest));
        let unused = u32::try_from(8 * KEY_BYTES.saturating_sub(length)).ok()?;
        let text = first & u128::MAX.checked_shl(unused)?;
        match self {
            // The number of digits decides first.
            Self::Integer if length < KEY_BYTES && rest.first() != Some(&b'-') => {
                u128::try_from(length).ok().map(|length| length << 120 | text >> 8)
            }
            // Not infinity, nor year 10000, nor before Christ.
            Self::Time if rest.get(4) == Some(&b'-') && rest.get(length.wrapping_sub(1)) != Some(&b'C') => {
                Some(text)
            }
            // Escapes can be anywhere: such a value is looked at as a whole.
            Self::Integer | Self::Time | Self::Bytes => None,
        }
    }

    /// Whether a key is all that there is to know of a value.
    fn is_whole(self, length: usize) -> bool {
        match self {
            Self::Integer => true,
            Self::Time | Self::Bytes => length <= KEY_BYTES,
        }
    }
}

impl<'a> Bounds<'a> {
    /// Takes the value of this length at the beginning of `rest`.
    #[inline]
    fn add(&mut self, rest: &'a [u8], length: usize) {
        if let Some(key) = self.order.key(rest, length) {
            let (least, greatest) = self.keys;
            let whole = self.order.is_whole(length) && (key == least || key == greatest);
            if whole || (least < key && key < greatest) {
                return;
            }
        }
        self.widen(rest.get(..length).unwrap_or_default());
    }

    fn widen(&mut self, value: &'a [u8]) {
        if self.lost || value == b"\\N" {
            return;
        }
        if !self.order.is_orderly(value) {
            self.lost = true;
            self.keys = NOTHING_BETWEEN;
            return;
        }
        let (least, greatest) = self.found.unwrap_or((value, value));
        let least = if self.order.compare(value, least) == Ordering::Less { value } else { least };
        let greatest =
            if self.order.compare(value, greatest) == Ordering::Greater { value } else { greatest };
        self.found = Some((least, greatest));
        let keys = self.order.key(least, least.len()).zip(self.order.key(greatest, greatest.len()));
        self.keys = keys.unwrap_or(NOTHING_BETWEEN);
    }

    fn finish(self) -> Option<(String, String)> {
        let (least, greatest) = self.found.filter(|_| !self.lost)?;
        let text = |value: &[u8]| String::from_utf8(value.to_vec()).ok();
        text(least).zip(text(greatest))
    }
}

/// Gathers the zone map of one chunk.
#[derive(Debug)]
pub struct ZoneTracker<'a> {
    text: &'a [u8],
    columns: Vec<(usize, Bounds<'a>)>,
}

impl<'a> ZoneTracker<'a> {
    /// A tracker of these columns of a text.
    pub fn new(text: &'a [u8], columns: &[ZoneColumn]) -> Self {
        let bounds = |order| Bounds { order, found: None, keys: NOTHING_BETWEEN, lost: false };
        let columns = columns.iter().map(|column| (usize::from(column.position), bounds(column.order)));
        Self { text, columns: columns.collect() }
    }

    /// Takes one row.
    #[inline]
    pub fn row(&mut self, row: Row<'_>) {
        for (column, bounds) in &mut self.columns {
            if let Some((start, end)) = row.value(*column) {
                bounds.add(self.text.get(start..).unwrap_or_default(), end.saturating_sub(start));
            }
        }
    }

    /// The chunk's zone map.
    pub fn finish(self) -> ZoneMap {
        ZoneMap { bounds: self.columns.into_iter().map(|(_, bounds)| bounds.finish()).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fields::Fields;
    use proptest::prelude::*;

    fn zone(order: ZoneType, values: &[&str]) -> Option<(String, String)> {
        let columns = [ZoneColumn { position: 1, order }];
        let rows: Vec<String> = values.iter().map(|value| format!("first\t{value}\tlast\n")).collect();
        let text = rows.concat();
        let mut fields = Fields::default();
        assert!(fields.find(text.as_bytes()));
        let mut tracker = ZoneTracker::new(text.as_bytes(), &columns);
        fields.each_row().for_each(|row| tracker.row(row));
        tracker.finish().bounds.remove(0)
    }

    #[expect(clippy::unnecessary_wraps, reason = "it is compared with what is optional")]
    fn pair(a: &str, b: &str) -> Option<(String, String)> {
        Some((a.to_owned(), b.to_owned()))
    }

    #[test]
    fn integers_are_ordered_as_numbers() {
        assert_eq!(zone(ZoneType::Integer, &["9", "10", "-2", "-30"]), pair("-30", "10"));
    }

    #[test]
    fn nulls_do_not_count_and_alone_give_no_zone() {
        assert_eq!(zone(ZoneType::Integer, &["\\N", "5"]), pair("5", "5"));
        assert_eq!(zone(ZoneType::Integer, &["\\N"]), None);
    }

    #[test]
    fn fractions_follow_whole_seconds() {
        let values = ["2024-01-01 00:00:00.5+00", "2024-01-01 00:00:00+00", "2024-01-01 00:00:01+00"];
        assert_eq!(zone(ZoneType::Time, &values), pair(values[1], values[2]));
    }

    #[test]
    fn strange_times_leave_the_column_without_a_zone() {
        for strange in ["infinity", "-infinity", "0044-03-15 BC", "10000-01-01"] {
            assert_eq!(zone(ZoneType::Time, &["2024-01-01", strange]), None, "{strange}");
        }
    }

    proptest! {
        #[test]
        fn times_and_texts_lie_between_the_bounds(
            times in proptest::collection::vec("(19|20)[0-9]{2}-[01][0-9]-[0-3][0-9]( 1[0-9]:00:0[0-9](\\.[1-9]{1,6})?)?", 1..40),
            texts in proptest::collection::vec("[a-c]{0,20}", 1..40),
        ) {
            for (order, values) in [(ZoneType::Time, &times), (ZoneType::Bytes, &texts)] {
                let refs: Vec<&str> = values.iter().map(String::as_str).collect();
                let (least, greatest) = zone(order, &refs).unwrap();
                prop_assert_eq!(&least, values.iter().min().unwrap());
                prop_assert_eq!(&greatest, values.iter().max().unwrap());
            }
        }

        #[test]
        fn small_integers_lie_between_the_bounds(values in proptest::collection::vec(-120i64..1200, 1..50)) {
            let texts: Vec<String> = values.iter().map(ToString::to_string).collect();
            let refs: Vec<&str> = texts.iter().map(String::as_str).collect();
            let (least, greatest) = zone(ZoneType::Integer, &refs).unwrap();
            prop_assert_eq!(least, values.iter().min().unwrap().to_string());
            prop_assert_eq!(greatest, values.iter().max().unwrap().to_string());
        }

        #[test]
        fn every_integer_lies_between_the_bounds(values in proptest::collection::vec(any::<i64>(), 1..50)) {
            let texts: Vec<String> = values.iter().map(ToString::to_string).collect();
            let refs: Vec<&str> = texts.iter().map(String::as_str).collect();
            let (least, greatest) = zone(ZoneType::Integer, &refs).unwrap();
            prop_assert_eq!(least, values.iter().min().unwrap().to_string());
            prop_assert_eq!(greatest, values.iter().max().unwrap().to_string());
        }
    }
}
