//! INSERT statements. `OVERRIDING SYSTEM VALUE` keeps the values of identity columns; for other tables it means nothing.

use super::values;
use crate::pg::quote;

/// One row.
pub(super) fn row(out: &mut Vec<u8>, table: &str, columns: &[String], row: &[u8]) {
    if columns.is_empty() {
        out.extend_from_slice(format!("INSERT INTO {table} DEFAULT VALUES;\n").as_bytes());
        return;
    }
    let names = quote::ident_list(columns.iter().map(String::as_str));
    out.extend_from_slice(
        format!("INSERT INTO {table} ({names}) OVERRIDING SYSTEM VALUE VALUES (").as_bytes(),
    );
    for (position, (_, value)) in values(columns, row).enumerate() {
        if position > 0 {
            out.extend_from_slice(b", ");
        }
        match value {
            Some(value) => out.extend_from_slice(quote::literal(&String::from_utf8_lossy(&value)).as_bytes()),
            None => out.extend_from_slice(b"NULL"),
        }
    }
    out.extend_from_slice(b");\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_literals_whatever_they_hold() {
        let columns = ["a", "b"].map(str::to_owned);
        let mut out = Vec::new();
        row(&mut out, "\"s\".\"t\"", &columns, b"it's\t\\\\x41");
        let expected =
            "INSERT INTO \"s\".\"t\" (\"a\", \"b\") OVERRIDING SYSTEM VALUE VALUES ('it''s', E'\\\\x41');\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
