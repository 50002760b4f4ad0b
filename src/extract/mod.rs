//! Rows of an archive in other forms, without a server: CSV, JSON lines, INSERT statements.

pub mod csv;
pub mod jsonl;
mod pick;
pub mod sql;

pub use pick::{Pick, PickError, Picks};

use crate::pg::copy::rows;

/// The form of extracted rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Comma-separated values with a header line (RFC 4180).
    Csv,
    /// One JSON object a line.
    Jsonl,
    /// INSERT statements.
    Sql,
    /// COPY text, as stored.
    Copy,
}

/// Turns blocks of COPY text into a form.
#[derive(Debug, Clone)]
pub struct Extractor {
    form: Form,
    /// The quoted, qualified name, for INSERT.
    table: String,
    columns: Vec<String>,
}

impl Extractor {
    /// An extractor of a relation's rows. `table` is its quoted, qualified name.
    pub fn new(form: Form, table: String, columns: Vec<String>) -> Self {
        Self { form, table, columns }
    }

    /// What stands before all rows.
    pub fn header(&self) -> Vec<u8> {
        match self.form {
            Form::Csv => csv::header(&self.columns),
            Form::Jsonl | Form::Sql | Form::Copy => Vec::new(),
        }
    }

    /// The rows of a block in this form.
    pub fn block(&self, block: &[u8]) -> Vec<u8> {
        if self.form == Form::Copy {
            return block.to_vec();
        }
        let mut out = Vec::with_capacity(block.len() * 2);
        for row in rows::rows(block) {
            match self.form {
                Form::Csv => csv::row(&mut out, &self.columns, row),
                Form::Jsonl => jsonl::row(&mut out, &self.columns, row),
                Form::Sql => sql::row(&mut out, &self.table, &self.columns, row),
                Form::Copy => {}
            }
        }
        out
    }
}

/// The values of a row; a row of no columns has none, though its text is one empty column.
fn values<'a>(
    columns: &'a [String],
    row: &'a [u8],
) -> impl Iterator<Item = (&'a String, Option<std::borrow::Cow<'a, [u8]>>)> {
    columns.iter().zip(rows::columns(row)).map(|(name, raw)| (name, rows::value(raw)))
}
