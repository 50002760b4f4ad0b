//! Columns, in one pass over `pg_attribute`.

use std::cmp::Reverse;
use std::collections::HashMap;

use serde::Deserialize;

use crate::catalog::kinds::column::Column;
use crate::catalog::kinds::table::SystemColumnAcl;
use crate::pg::{PgError, Row, Session};

/// A column, with what its type is.
#[derive(Debug)]
pub struct Attribute {
    /// The column.
    pub column: Column,
    /// `atttypid`.
    pub type_oid: u32,
    /// `attcollation`.
    pub collation: u32,
    /// `attidentity`; none for most.
    pub identity: Option<String>,
}

/// What one relation has.
#[derive(Debug, Default)]
pub struct Own {
    /// Its columns, in the order of their numbers.
    pub columns: Vec<Attribute>,
    /// Privileges on columns that every table has, with their numbers, the least far from 0 first.
    pub system_acls: Vec<(i16, SystemColumnAcl)>,
}

/// The columns of all tables, by the tables' OIDs.
#[derive(Debug, Default)]
pub struct Attributes(HashMap<u32, Own>);

impl Attributes {
    /// Reads them.
    ///
    /// # Errors
    /// Those of the query.
    pub async fn read(session: &Session) -> Result<Self, PgError> {
        let mut all: HashMap<u32, Own> = HashMap::new();
        session
            .each_row(&Column::plain_query(session.version()), |row| {
                all.entry(row.parsed(0)?).or_default().push(row)
            })
            .await?;
        for own in all.values_mut() {
            own.columns.sort_by_key(|attribute| attribute.column.number);
            own.system_acls.sort_by_key(|(number, _)| Reverse(*number));
        }
        Ok(Self(all))
    }

    /// What a relation has.
    pub fn of(&self, relation: u32) -> Option<&Own> {
        self.0.get(&relation)
    }

    /// Takes what a relation has.
    pub fn take(&mut self, relation: u32) -> Own {
        self.0.remove(&relation).unwrap_or_default()
    }
}

fn json<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error| format!("{error} in {text}"))
}

impl Own {
    fn push(&mut self, row: &Row<'_>) -> Result<(), String> {
        let number = row.parsed(1)?;
        let unusual = row.get(10)?;
        if number < 0 {
            self.system_acls.push((number, json(unusual.unwrap_or_default())?));
            return Ok(());
        }
        let column = match unusual {
            Some(text) => json(text)?,
            None => Column::plain(number, row)?,
        };
        let identity = row.get(9)?.filter(|when| !when.is_empty()).map(str::to_owned);
        self.columns.push(Attribute {
            column,
            type_oid: row.parsed(2)?,
            collation: row.parsed(3)?,
            identity,
        });
        Ok(())
    }

    /// The column with this number.
    pub fn column(&self, number: i16) -> Option<&Attribute> {
        // Without dropped columns the place says the number.
        let place = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
        let there = place.and_then(|place| self.columns.get(place));
        there
            .filter(|attribute| attribute.column.number == number)
            .or_else(|| self.columns.iter().find(|attribute| attribute.column.number == number))
    }

    /// The names of columns; nothing if one of the numbers is no column's.
    pub fn names(&self, numbers: &[i16]) -> Option<Vec<&str>> {
        numbers.iter().map(|number| Some(self.column(*number)?.column.name.as_str())).collect()
    }
}
