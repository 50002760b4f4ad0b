//! JSON lines: one object a row. Values are strings, so that no number loses digits; null is null. Bytes that are not
//! UTF-8 (a `SQL_ASCII` database) are replaced by U+FFFD.

use super::values;

/// One row.
pub(super) fn row(out: &mut Vec<u8>, columns: &[String], row: &[u8]) {
    out.push(b'{');
    for (position, (name, value)) in values(columns, row).enumerate() {
        if position > 0 {
            out.push(b',');
        }
        string(out, name);
        out.push(b':');
        match value {
            Some(value) => string(out, &String::from_utf8_lossy(&value)),
            None => out.extend_from_slice(b"null"),
        }
    }
    out.extend_from_slice(b"}\n");
}

fn string(out: &mut Vec<u8>, text: &str) {
    // A string always has a JSON form, and a vector takes every byte.
    if let Ok(json) = serde_json::to_vec(text) {
        out.extend_from_slice(&json);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_an_object() {
        let columns = ["id", "na\"me"].map(str::to_owned);
        let mut out = Vec::new();
        row(&mut out, &columns, b"9007199254740993\t\\N");
        assert_eq!(String::from_utf8(out).unwrap(), "{\"id\":\"9007199254740993\",\"na\\\"me\":null}\n");
    }
}
