//! Rows and columns of COPY text (PostgreSQL manual, `COPY`, "Text Format"): every newline byte ends a row, every tab
//! byte ends a column, since inside values both are written as escapes.

use std::borrow::Cow;

/// The rows of a block, each without its newline. A last row without one is given too.
pub fn rows(block: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = block;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = memchr::memchr(b'\n', rest);
        let (row, after) = rest.split_at(end.unwrap_or(rest.len()));
        rest = after.get(1..).unwrap_or_default();
        Some(row)
    })
}

/// The columns of a row, as they stand in the text. A row of no columns is one empty column in the text format:
/// the caller knows how many columns there are.
pub fn columns(row: &[u8]) -> impl Iterator<Item = &[u8]> {
    row.split(|byte| *byte == b'\t')
}

/// A column's value: `None` is null, all else with its escapes undone.
pub fn value(raw: &[u8]) -> Option<Cow<'_, [u8]>> {
    if raw == b"\\N" {
        return None;
    }
    let Some(first) = memchr::memchr(b'\\', raw) else {
        return Some(Cow::Borrowed(raw));
    };
    let (plain, mut rest) = raw.split_at(first);
    let mut out = Vec::with_capacity(raw.len());
    out.extend_from_slice(plain);
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte == b'\\' {
            rest = escape(rest, &mut out);
        } else {
            out.push(byte);
        }
    }
    Some(Cow::Owned(out))
}

/// Undoes the escape that follows a backslash; gives what follows it.
fn escape<'a>(rest: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
    let Some((&byte, after)) = rest.split_first() else {
        out.push(b'\\');
        return rest;
    };
    let (plain, rest) = match byte {
        b'b' => (8, after),
        b'f' => (12, after),
        b'n' => (b'\n', after),
        b'r' => (b'\r', after),
        b't' => (b'\t', after),
        b'v' => (11, after),
        b'0'..=b'7' => number(rest, 8, 3),
        b'x' if after.first().is_some_and(u8::is_ascii_hexdigit) => number(after, 16, 2),
        other => (other, after),
    };
    out.push(plain);
    rest
}

/// A byte written in at most `digits` digits of the base.
fn number(text: &[u8], base: u32, digits: usize) -> (u8, &[u8]) {
    let mut value: u32 = 0;
    let mut used = 0;
    for byte in text.iter().take(digits) {
        let Some(digit) = char::from(*byte).to_digit(base) else {
            break;
        };
        value = value * base + digit;
        used += 1;
    }
    (u8::try_from(value & 0xff).unwrap_or_default(), text.get(used..).unwrap_or_default())
}

/// Appends a value as COPY text, with the escapes that the server itself writes.
pub fn push_value(out: &mut Vec<u8>, value: Option<&[u8]>) {
    let Some(value) = value else {
        out.extend_from_slice(b"\\N");
        return;
    };
    for &byte in value {
        match byte {
            8 => out.extend_from_slice(b"\\b"),
            12 => out.extend_from_slice(b"\\f"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            11 => out.extend_from_slice(b"\\v"),
            b'\\' => out.extend_from_slice(b"\\\\"),
            other => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn null_and_the_text_backslash_n_differ() {
        assert_eq!(value(b"\\N"), None);
        assert_eq!(value(b"\\\\N").unwrap().as_ref(), b"\\N");
        assert_eq!(value(b"").unwrap().as_ref(), b"");
    }

    #[test]
    fn escapes_of_the_manual() {
        assert_eq!(value(b"a\\tb\\nc\\\\d").unwrap().as_ref(), b"a\tb\nc\\d");
        assert_eq!(value(b"\\101\\x42\\x4g\\q").unwrap().as_ref(), b"AB\x04gq");
    }

    #[test]
    fn empty_rows_are_rows() {
        assert_eq!(rows(b"\n\n").count(), 2);
        assert_eq!(rows(b"").count(), 0);
        assert_eq!(rows(b"a\nb").collect::<Vec<_>>(), [b"a", b"b"]);
    }

    proptest! {
        #[test]
        fn any_value_survives(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut text = Vec::new();
            push_value(&mut text, Some(&bytes));
            prop_assert!(!text.contains(&b'\n') && !text.contains(&b'\t'));
            prop_assert_eq!(value(&text).unwrap().into_owned(), bytes);
        }

        #[test]
        fn any_text_is_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            for row in rows(&bytes) {
                for column in columns(row) {
                    drop(value(column));
                }
            }
        }
    }
}
