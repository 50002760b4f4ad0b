//! Zone maps: the least and greatest value of a chunk's key and time columns, so that rows asked for by key or time
//! are found by reading a few chunks.
//!
//! Values are compared as COPY text under the type's own order. Where that order cannot be told from the text at a
//! glance (an infinite date, a year before Christ, an escaped character) the chunk has no zone for that column:
//! missing bounds only cost a read, wrong ones would lose rows.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

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
    fn orderly(self, value: &[u8]) -> bool {
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

/// Gathers the zone map of one chunk.
#[derive(Debug)]
pub struct ZoneTracker<'a> {
    columns: &'a [ZoneColumn],
    bounds: Vec<Bounds>,
}

#[derive(Debug, Default)]
struct Bounds {
    least: Vec<u8>,
    greatest: Vec<u8>,
    any: bool,
    lost: bool,
}

impl Bounds {
    fn add(&mut self, order: ZoneType, value: &[u8]) {
        if self.lost || value == b"\\N" {
            return;
        }
        if !order.orderly(value) {
            self.lost = true;
        } else if !self.any {
            self.any = true;
            self.least.extend_from_slice(value);
            self.greatest.extend_from_slice(value);
        } else if order.compare(value, &self.greatest) == Ordering::Greater {
            self.greatest.clear();
            self.greatest.extend_from_slice(value);
        } else if order.compare(value, &self.least) == Ordering::Less {
            self.least.clear();
            self.least.extend_from_slice(value);
        }
    }
}

impl Bounds {
    fn finish(self) -> Option<(String, String)> {
        if self.lost || !self.any {
            return None;
        }
        String::from_utf8(self.least).ok().zip(String::from_utf8(self.greatest).ok())
    }
}

impl<'a> ZoneTracker<'a> {
    /// A tracker of these columns, which must be sorted by position.
    pub fn new(columns: &'a [ZoneColumn]) -> Self {
        debug_assert!(columns.is_sorted_by_key(|column| column.position));
        Self { columns, bounds: columns.iter().map(|_| Bounds::default()).collect() }
    }

    /// Takes one row, without its newline.
    pub fn row(&mut self, row: &[u8]) {
        let mut rest = row;
        let mut at = 0u16;
        for (column, bounds) in self.columns.iter().zip(&mut self.bounds) {
            while at < column.position {
                let Some(tab) = memchr::memchr(b'\t', rest) else {
                    return;
                };
                rest = rest.get(tab + 1..).unwrap_or_default();
                at += 1;
            }
            let end = memchr::memchr(b'\t', rest).unwrap_or(rest.len());
            bounds.add(column.order, rest.get(..end).unwrap_or_default());
        }
    }

    /// The chunk's zone map.
    pub fn finish(self) -> ZoneMap {
        ZoneMap { bounds: self.bounds.into_iter().map(Bounds::finish).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn zone(order: ZoneType, values: &[&str]) -> Option<(String, String)> {
        let columns = [ZoneColumn { position: 1, order }];
        let mut tracker = ZoneTracker::new(&columns);
        for value in values {
            tracker.row(format!("first\t{value}\tlast").as_bytes());
        }
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
        fn every_integer_lies_between_the_bounds(values in proptest::collection::vec(any::<i64>(), 1..50)) {
            let texts: Vec<String> = values.iter().map(ToString::to_string).collect();
            let refs: Vec<&str> = texts.iter().map(String::as_str).collect();
            let (least, greatest) = zone(ZoneType::Integer, &refs).unwrap();
            prop_assert_eq!(least, values.iter().min().unwrap().to_string());
            prop_assert_eq!(greatest, values.iter().max().unwrap().to_string());
        }
    }
}
