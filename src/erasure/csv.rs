//! Keys of many rows as comma-separated values (RFC 4180): the first line names the columns.

use crate::error::{Error, ErrorKind, Result};

/// Columns, and the rows' values.
pub type Listed = (Vec<String>, Vec<Vec<String>>);

/// Reads them.
///
/// # Errors
/// [`ErrorKind::Usage`] for text of another form, with the number of the row.
pub fn keys(text: &str) -> Result<Listed> {
    let wrong =
        |row: usize, what: &str| Error::new(ErrorKind::Usage, format!("row {row} of the keys: {what}"));
    let mut rows = split(text).ok_or_else(|| wrong(0, "a quote is not closed"))?.into_iter();
    let columns = rows.next().filter(|row| row.iter().all(|name| !name.is_empty()));
    let columns = columns.ok_or_else(|| wrong(1, "it does not name the columns"))?;
    let rows: Vec<Vec<String>> = rows.collect();
    if let Some(at) = rows.iter().position(|row| row.len() != columns.len()) {
        return Err(wrong(at + 2, &format!("it has not {} values, as there are columns", columns.len())));
    }
    Ok((columns, rows))
}

/// Lines and fields; empty lines are none. `None` when a quote is not closed.
fn split(text: &str) -> Option<Vec<Vec<String>>> {
    let (mut rows, mut row, mut field) = (Vec::new(), Vec::new(), String::new());
    let (mut quoted, mut any) = (false, false);
    let mut chars = text.strip_prefix('\u{feff}').unwrap_or(text).chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.next_if_eq(&'"').is_some() => field.push('"'),
            '"' => (quoted, any) = (!quoted, true),
            ',' if !quoted => {
                row.push(std::mem::take(&mut field));
                any = true;
            }
            '\r' if !quoted && chars.peek() == Some(&'\n') => {}
            '\n' if !quoted => {
                if any || !field.is_empty() {
                    row.push(std::mem::take(&mut field));
                    rows.push(std::mem::take(&mut row));
                }
                any = false;
            }
            other => field.push(other),
        }
    }
    if any || !field.is_empty() {
        row.push(field);
        rows.push(row);
    }
    (!quoted).then_some(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_with_quotes_and_line_ends_of_all_kinds() {
        let (columns, rows) = keys("tenant,id\r\n7,\"a,\"\"b\"\"\"\n\n8,\"two\nlines\"").unwrap();
        assert_eq!(columns, ["tenant", "id"]);
        assert_eq!(rows, [["7", "a,\"b\""], ["8", "two\nlines"]]);
    }

    #[test]
    fn what_is_no_list_of_keys_is_refused() {
        for text in ["", "id,\n1,2", "id\n\"1", "a,b\n1"] {
            assert!(keys(text).is_err(), "{text:?}");
        }
    }
}
