//! Names and values as SQL text. Everything that a catalog says is hostile input: it is only ever quoted.

/// A quoted identifier: always in double quotes, inner quotes doubled (PostgreSQL manual, section 4.1.1).
pub fn ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A qualified, quoted name; without a schema the bare name.
pub fn qualified(schema: Option<&str>, name: &str) -> String {
    match schema {
        Some(schema) => format!("{}.{}", ident(schema), ident(name)),
        None => ident(name),
    }
}

/// A string literal that means the same whatever `standard_conforming_strings` says (section 4.1.2): one with a
/// backslash is written in the `E''` form.
pub fn literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') { format!("E'{}'", quoted.replace('\\', "\\\\")) } else { format!("'{quoted}'") }
}

/// A comma-separated list of quoted identifiers.
pub fn ident_list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let mut list = String::new();
    for name in names {
        if !list.is_empty() {
            list.push_str(", ");
        }
        list.push_str(&ident(name));
    }
    list
}

/// Text that is safe in one line of a log or a message: control characters are escaped (a newline in an object's
/// name must not start a line of its own, CVE-2025-8715).
pub fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// A text with quoted names, without the quotes that plain names do not need: for people, never for SQL.
pub fn unquoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('"') {
        out.push_str(before);
        let plain = |name: &str| {
            name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
                && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        };
        match after.split_once('"') {
            Some((name, next)) if plain(name) && !next.starts_with('"') => {
                out.push_str(name);
                rest = next;
            }
            // The rest as it is: a name with quotes in it is not taken apart.
            _ => {
                out.push('"');
                out.push_str(after);
                return out;
            }
        }
    }
    out.push_str(rest);
    out
}

/// A text as one word of a shell's command line: for hints that are copied.
pub fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:@%+=,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", printable(text).replace('\'', "'\\''"))
}

/// A relation as a pattern of `--table`, as one word of a shell's command line.
pub fn shell_pattern(schema: &str, name: &str) -> String {
    shell_word(&unquoted(&qualified(Some(schema), name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_double_and_backslashes_survive() {
        assert_eq!(ident(r#"we"ird"#), r#""we""ird""#);
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal(r"a\b'"), r"E'a\\b'''");
        assert_eq!(printable("a\nDROP"), "a\\nDROP");
        assert_eq!(ident_list(["a", "b c"]), r#""a", "b c""#);
    }

    #[test]
    fn hints_can_be_copied() {
        assert_eq!([shell_pattern("sales", "orders"), shell_word("shop")], ["sales.orders", "shop"]);
        assert_eq!(shell_pattern("public", "Mixed Case"), "'public.\"Mixed Case\"'");
        assert_eq!([shell_word("it's"), shell_word("")], ["'it'\\''s'", "''"]);
    }

    #[test]
    fn plain_names_stand_without_quotes() {
        assert_eq!(unquoted("CONSTRAINT \"a_fkey\" ON \"public\".\"t\""), "CONSTRAINT a_fkey ON public.t");
        for kept in ["\"Mixed\".x", "\"a\"\"b\"", "x.\"1\""] {
            assert_eq!(unquoted(kept), kept);
        }
    }
}
