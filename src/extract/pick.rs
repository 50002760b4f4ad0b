//! Rows by the values of their columns: zone maps say which chunks can hold them, and only those are read.

use std::cmp::Ordering;

use crate::archive::ChunkEntry;
use crate::pg::copy::{ZoneMap, ZoneType, rows};

/// Which values of a column are meant, as the archive writes them: times under UTC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pick {
    column: String,
    values: Values,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Values {
    /// Null.
    Null,
    /// This one.
    One(String),
    /// From the one to the other, both included where they are given.
    Range(Option<String>, Option<String>),
}

/// Why rows cannot be picked so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PickError {
    /// Not of the form.
    #[error("{0:?} is not COLUMN=VALUE, nor COLUMN=FROM..TO")]
    Syntax(String),
    /// The table has no such column.
    #[error("the table has no column {0:?}")]
    Column(String),
    /// The archive does not know how the values of the column are ordered.
    #[error(
        "the archive does not know the order of the values of {0:?}: only single values can be asked for"
    )]
    Order(String),
    /// The value is not one of the column's type.
    #[error("{value:?} is no value that {column:?} is ordered by")]
    Value {
        /// The column.
        column: String,
        /// The value.
        value: String,
    },
}

impl Pick {
    /// Reads `COLUMN=VALUE`, `COLUMN=FROM..TO`, where one of them may be left out, or `COLUMN=` for null.
    ///
    /// # Errors
    /// When it has another form.
    pub fn parse(text: &str) -> Result<Self, PickError> {
        let syntax = || PickError::Syntax(text.to_owned());
        let (column, values) =
            text.split_once('=').filter(|(column, _)| !column.is_empty()).ok_or_else(syntax)?;
        let some = |value: &str| Some(value.to_owned()).filter(|value| !value.is_empty());
        let values = match values.split_once("..") {
            Some((from, to)) => match (some(from), some(to)) {
                (None, None) => return Err(syntax()),
                (from, to) => Values::Range(from, to),
            },
            None => some(values).map_or(Values::Null, Values::One),
        };
        Ok(Self { column: column.to_owned(), values })
    }
}

/// Picks of one table's columns. A row is meant that all of them mean.
#[derive(Debug, Clone, Default)]
pub struct Picks(Vec<Placed>);

#[derive(Debug, Clone)]
struct Placed {
    /// Position among the columns.
    at: usize,
    /// Position among the zones, and how they are ordered.
    zone: Option<(usize, ZoneType)>,
    values: Values,
}

impl Picks {
    /// Finds the columns, and what is known of their order: for each zone the position of its column and the order.
    ///
    /// # Errors
    /// When a column is not there, or has no order that would be needed.
    pub fn place(picks: &[Pick], columns: &[String], zones: &[(usize, ZoneType)]) -> Result<Self, PickError> {
        let place = |pick: &Pick| {
            let column = || pick.column.clone();
            let at = columns.iter().position(|name| *name == pick.column);
            let at = at.ok_or_else(|| PickError::Column(column()))?;
            let zone = zones.iter().position(|(position, _)| *position == at);
            let zone = zone.and_then(|zone| zones.get(zone).map(|(_, order)| (zone, *order)));
            if let Values::Range(from, to) = &pick.values {
                let Some((_, order)) = zone else { return Err(PickError::Order(column())) };
                let odd = from.iter().chain(to).find(|value| !order.is_orderly(value.as_bytes()));
                if let Some(value) = odd {
                    return Err(PickError::Value { column: column(), value: value.clone() });
                }
            }
            Ok(Placed { at, zone, values: pick.values.clone() })
        };
        picks.iter().map(place).collect::<Result<_, _>>().map(Self)
    }

    /// Whether all rows are meant.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a chunk can hold rows that are meant. Where nothing is known of it, it can.
    pub fn admit(&self, chunk: &ChunkEntry) -> bool {
        let zones = ZoneMap::decode(&chunk.zone_map).bounds;
        self.0.iter().all(|placed| {
            let Some((zone, order)) = placed.zone else { return true };
            let Some(Some((least, greatest))) = zones.get(zone) else { return true };
            let within = |from: Option<&String>, to: Option<&String>| {
                from.is_none_or(|from| {
                    order.compare(from.as_bytes(), greatest.as_bytes()) != Ordering::Greater
                }) && to.is_none_or(|to| order.compare(to.as_bytes(), least.as_bytes()) != Ordering::Less)
            };
            match &placed.values {
                // Nulls have no part in the bounds.
                Values::Null => true,
                Values::One(value) => !order.is_orderly(value.as_bytes()) || within(Some(value), Some(value)),
                Values::Range(from, to) => within(from.as_ref(), to.as_ref()),
            }
        })
    }

    /// The rows of a block that are meant.
    pub fn pick(&self, block: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for row in rows::rows(block).filter(|row| self.means(row)) {
            out.extend_from_slice(row);
            out.push(b'\n');
        }
        out
    }

    fn means(&self, row: &[u8]) -> bool {
        self.0.iter().all(|placed| {
            let Some(raw) = rows::columns(row).nth(placed.at) else { return false };
            let value = rows::value(raw);
            match (&placed.values, value) {
                (Values::Null, value) => value.is_none(),
                (_, None) => false,
                (Values::One(wanted), Some(value)) => *value == *wanted.as_bytes(),
                (Values::Range(from, to), Some(value)) => {
                    let Some((_, order)) = placed.zone else { return false };
                    // Infinite dates, and those before Christ, are not between others that can be asked for.
                    order.is_orderly(&value)
                        && from
                            .as_ref()
                            .is_none_or(|from| order.compare(&value, from.as_bytes()) != Ordering::Less)
                        && to
                            .as_ref()
                            .is_none_or(|to| order.compare(&value, to.as_bytes()) != Ordering::Greater)
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picks(texts: &[&str]) -> Result<Picks, PickError> {
        let picks: Vec<Pick> = texts.iter().map(|text| Pick::parse(text)).collect::<Result<_, _>>()?;
        let columns = ["id", "name", "day"].map(str::to_owned);
        Picks::place(&picks, &columns, &[(0, ZoneType::Integer), (2, ZoneType::Time)])
    }

    #[test]
    fn rows_are_picked_by_values_and_ranges() {
        let block = b"9\ta=b\t2026-01-01\n10\t\\N\t\\N\n100\ta\\tb\tinfinity\n";
        for (texts, expected) in [
            (vec!["id=9..10"], "9 10"),
            (vec!["id=10.."], "10 100"),
            (vec!["id=..9"], "9"),
            (vec!["id=10"], "10"),
            (vec!["name=a=b"], "9"),
            (vec!["name=a\tb"], "100"),
            (vec!["name="], "10"),
            (vec!["day=2026-01-01..2026-01-02"], "9"),
            (vec!["id=9..100", "day=2026-01-01"], "9"),
            (vec!["id=7"], ""),
            (vec![], "9 10 100"),
        ] {
            let found = picks(&texts).unwrap().pick(block);
            let found: Vec<String> = rows::rows(&found)
                .map(|row| String::from_utf8_lossy(rows::columns(row).next().unwrap()).into_owned())
                .collect();
            assert_eq!(found.join(" "), expected, "{texts:?}");
        }
    }

    #[test]
    fn what_cannot_be_picked_is_told() {
        for text in ["id", "=5", "id=..", "none=1", "name=a..b", "id=x..y", "day=yesterday..2026-01-01"] {
            assert!(picks(&[text]).is_err(), "{text}");
        }
    }
}
