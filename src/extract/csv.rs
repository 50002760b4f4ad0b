//! Comma-separated values (RFC 4180), as `COPY … CSV HEADER` writes them: null is nothing, an empty text is `""`.

use super::values;

/// The header line.
pub(super) fn header(columns: &[String]) -> Vec<u8> {
    let mut out = Vec::new();
    for (position, name) in columns.iter().enumerate() {
        if position > 0 {
            out.push(b',');
        }
        field(&mut out, name.as_bytes());
    }
    out.push(b'\n');
    out
}

/// One row.
pub(super) fn row(out: &mut Vec<u8>, columns: &[String], row: &[u8]) {
    for (position, (_, value)) in values(columns, row).enumerate() {
        if position > 0 {
            out.push(b',');
        }
        if let Some(value) = value {
            field(out, &value);
        }
    }
    out.push(b'\n');
}

fn field(out: &mut Vec<u8>, value: &[u8]) {
    let plain = !value.is_empty() && !value.iter().any(|byte| matches!(byte, b',' | b'"' | b'\n' | b'\r'));
    // `\.` alone would end the data for readers that take it for COPY's end mark.
    if plain && value != b"\\." {
        out.extend_from_slice(value);
        return;
    }
    out.push(b'"');
    for &byte in value {
        if byte == b'"' {
            out.push(b'"');
        }
        out.push(byte);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_empty_quotes_and_newlines() {
        let columns = ["a", "b", "c", "d,e"].map(str::to_owned);
        let mut out = header(&columns);
        row(&mut out, &columns, b"\\N\t\tsay \"hi\"\\n\tx,y");
        assert_eq!(String::from_utf8(out).unwrap(), "a,b,c,\"d,e\"\n,\"\",\"say \"\"hi\"\"\n\",\"x,y\"\n");
    }
}
