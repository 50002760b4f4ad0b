//! One entry of the ledger: rows of one table, by the values of some columns.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::actor::Actor;
use crate::error::{Error, ErrorKind, Result};
use crate::pg::quote::{printable, qualified, unquoted};

/// Rows that one entry names, at most: an entry is one small object in the store.
pub const MAX_ROWS: usize = 4_000;

/// Bytes of one value, at most. A longer one is no key.
const MAX_VALUE: usize = 1_024;

/// The form that this version writes.
pub(super) const FORMAT: u32 = 1;

/// A table, by its names as the catalog has them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Table {
    /// The schema.
    pub schema: String,
    /// The table.
    pub name: String,
}

impl Table {
    /// For people.
    pub fn display(&self) -> String {
        printable(&unquoted(&self.quoted()))
    }

    /// Quoted, for SQL.
    pub fn quoted(&self) -> String {
        qualified(Some(&self.schema), &self.name)
    }
}

/// Which rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rows {
    /// By the values of the columns, as the server writes them.
    Keys(Vec<Vec<String>>),
    /// By HMAC-SHA-256 of those values.
    Hashes {
        /// Fingerprint of the key of the hashes.
        key: String,
        /// The hashes, hexadecimal.
        values: Vec<String>,
    },
}

impl Rows {
    /// Whether they are hashed.
    pub const fn is_hashed(&self) -> bool {
        matches!(self, Self::Hashes { .. })
    }
}

/// An entry: written once, never changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Version of this form.
    pub format: u32,
    /// Its id.
    pub id: String,
    /// When it was recorded.
    pub at: Timestamp,
    /// Who recorded it.
    pub by: Actor,
    /// For whom, where that is somebody else.
    #[serde(default)]
    pub person: Option<String>,
    /// Why.
    pub reason: String,
    /// A reference to the request.
    #[serde(default)]
    pub request: Option<String>,
    /// The database.
    pub database: String,
    /// The table.
    pub table: Table,
    /// The columns by which rows are told apart.
    pub columns: Vec<String>,
    /// The rows.
    pub rows: Rows,
    /// When the live database was asked and did not have the rows any more.
    #[serde(default)]
    pub absent_at: Option<Timestamp>,
}

/// An entry that no longer holds, for instance because the key belongs to another row now: written once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withdrawal {
    /// Version of this form.
    pub format: u32,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub by: Actor,
    /// Why.
    pub reason: String,
}

impl Entry {
    /// How many rows it names.
    pub fn len(&self) -> u64 {
        let count = match &self.rows {
            Rows::Keys(keys) => keys.len(),
            Rows::Hashes { values, .. } => values.len(),
        };
        u64::try_from(count).unwrap_or(u64::MAX)
    }

    /// Whether it names none. No entry that was read does.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Fails unless the entry means something: what cannot be understood must not be passed over.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`], for one that is just being made; who reads one says what it means there.
    pub fn check(&self) -> Result<()> {
        let wrong = |what: String| Err(Error::new(ErrorKind::Usage, what));
        if self.format > FORMAT {
            return wrong(format!("it has the form {}: a newer pgcask reads it", self.format));
        }
        let distinct: BTreeSet<&String> = self.columns.iter().collect();
        if self.columns.is_empty() || distinct.len() != self.columns.len() {
            return wrong("it names no columns, or one of them twice".to_owned());
        }
        if self.is_empty() {
            return wrong("it names no rows".to_owned());
        }
        match &self.rows {
            Rows::Keys(keys) if keys.iter().any(|key| key.len() != self.columns.len()) => {
                wrong("a row has not as many values as there are columns".to_owned())
            }
            Rows::Keys(keys) if keys.iter().flatten().any(|value| value.len() > MAX_VALUE) => {
                wrong(format!("a value is longer than {MAX_VALUE} bytes: that is no key"))
            }
            Rows::Keys(keys) if keys.iter().flatten().any(|value| value.contains('\0')) => {
                wrong("a value has a NUL, which no text of PostgreSQL has".to_owned())
            }
            Rows::Hashes { values, .. } if !values.iter().all(|hash| is_hash(hash)) => {
                wrong("a hash is none".to_owned())
            }
            _ => Ok(()),
        }
    }
}

fn is_hash(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(columns: &[&str], rows: Rows) -> Entry {
        Entry {
            format: FORMAT,
            id: "6k2x8m41qvtz".to_owned(),
            at: Timestamp::UNIX_EPOCH,
            by: Actor { person: "p".to_owned(), host: "h".to_owned() },
            person: None,
            reason: "asked".to_owned(),
            request: None,
            database: "shop".to_owned(),
            table: Table { schema: "public".to_owned(), name: "users".to_owned() },
            columns: columns.iter().map(|name| (*name).to_owned()).collect(),
            rows,
            absent_at: None,
        }
    }

    #[test]
    fn an_entry_that_means_nothing_is_refused() {
        let key = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>();
        assert!(entry(&["id"], Rows::Keys(vec![key(&["42"])])).check().is_ok());
        let hash = |text: &str| Rows::Hashes { key: "k".to_owned(), values: vec![text.to_owned()] };
        assert!(entry(&["id"], hash(&"ab".repeat(32))).check().is_ok());
        for wrong in [
            entry(&[], Rows::Keys(vec![key(&[])])),
            entry(&["id", "id"], Rows::Keys(vec![key(&["1", "2"])])),
            entry(&["id"], Rows::Keys(Vec::new())),
            entry(&["id"], Rows::Keys(vec![key(&["1", "2"])])),
            entry(&["id"], Rows::Keys(vec![key(&["a\0"])])),
            entry(&["id"], hash("xy")),
            Entry { format: FORMAT + 1, ..entry(&["id"], Rows::Keys(vec![key(&["42"])])) },
        ] {
            assert!(wrong.check().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn an_entry_is_read_as_it_is_written() {
        let made = entry(&["id"], Rows::Keys(vec![vec!["42".to_owned()]]));
        let text = serde_json::to_string(&made).unwrap();
        assert!(text.contains(r#""rows":{"keys":[["42"]]}"#), "{text}");
        assert_eq!(serde_json::from_str::<Entry>(&text).unwrap(), made);
    }
}
