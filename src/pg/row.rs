//! The fields of a row that a query gave, as text.

use std::fmt::Display;
use std::str::FromStr;

use tokio_postgres::SimpleQueryRow;

/// The fields of one row, by their position.
#[derive(Debug)]
pub struct Row<'a>(pub(super) &'a SimpleQueryRow);

impl Row<'_> {
    /// The field's text, `None` for NULL.
    ///
    /// # Errors
    /// When there is no such field, or its text is not UTF-8.
    pub fn get(&self, at: usize) -> Result<Option<&str>, String> {
        self.0.try_get(at).map_err(|error| super::error::chain(&error))
    }

    /// The texts of all fields.
    ///
    /// # Errors
    /// As for [`get`](Self::get).
    pub fn all(&self) -> Result<Vec<Option<String>>, String> {
        (0..self.0.len()).map(|at| Ok(self.get(at)?.map(str::to_owned))).collect()
    }

    /// The text of a field that is not NULL.
    ///
    /// # Errors
    /// As for [`get`](Self::get), and when it is.
    pub fn text(&self, at: usize) -> Result<&str, String> {
        self.get(at)?.ok_or_else(|| format!("field {at} is null"))
    }

    /// The value that the text of a field says which is not NULL: a number.
    ///
    /// # Errors
    /// As for [`text`](Self::text), and when it says none.
    pub fn parsed<T: FromStr<Err: Display>>(&self, at: usize) -> Result<T, String> {
        let text = self.text(at)?;
        text.parse().map_err(|error| format!("field {at}, {text:?}: {error}"))
    }

    /// A field of type `"char"` that is not NULL; 0 for none.
    ///
    /// # Errors
    /// As for [`text`](Self::text).
    pub fn letter(&self, at: usize) -> Result<u8, String> {
        Ok(self.text(at)?.bytes().next().unwrap_or_default())
    }

    /// A field of type `boolean`; false for NULL.
    ///
    /// # Errors
    /// As for [`get`](Self::get).
    pub fn flag(&self, at: usize) -> Result<bool, String> {
        Ok(self.get(at)? == Some("t"))
    }

    /// The numbers of a field that is an array or a vector (`{1,2}`, `1 2`) without NULLs; none for NULL.
    ///
    /// # Errors
    /// As for [`get`](Self::get), and when it holds anything else.
    pub fn numbers<T: FromStr<Err: Display>>(&self, at: usize) -> Result<Vec<T>, String> {
        let text = self.get(at)?.unwrap_or_default();
        let numbers = text.trim_matches(['{', '}']).split([',', ' ']).filter(|number| !number.is_empty());
        numbers
            .map(|number| number.parse().map_err(|error| format!("field {at}, {text:?}: {error}")))
            .collect()
    }
}
