//! Mends what PostgreSQL's deparser writes and its own grammar refuses.
//!
//! `CYCLE … SET c TO 'Y' DEFAULT 'N'` comes back as `TO 'Y'::text DEFAULT 'N'::text`, but the grammar takes constants
//! only (`AexprConst` of `gram.y`), which have their type in front: `text 'Y'`.

/// The text with the constants of its `CYCLE` clauses in the form that the grammar takes.
///
/// Key words are told from names by their upper case: the deparser quotes every name that has any.
pub fn mend(text: &str) -> String {
    if !text.contains(" CYCLE ") {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    let mut state = State::Outside;
    let mut rest = text;
    while let Some(token) = first_token(rest) {
        rest = rest.get(token.len()..).unwrap_or_default();
        out.push_str(token);
        state = match (state, token) {
            (_, "CYCLE") => State::Columns,
            (State::Columns, "SET") => State::Mark,
            (State::Mark, "TO" | "DEFAULT") => {
                let (constant, after) = constant(rest);
                out.push_str(&constant);
                rest = after;
                State::Mark
            }
            (_, "USING") => State::Outside,
            (state, _) => state,
        };
    }
    out
}

/// Where in a `CYCLE` clause the text is.
#[derive(Clone, Copy)]
enum State {
    Outside,
    /// After `CYCLE`, in the list of columns.
    Columns,
    /// After `SET`, at the column of the mark and its two constants.
    Mark,
}

/// A constant at the start of the text, in the grammar's form, and what follows. `'Y'::text` becomes `text 'Y'`;
/// what is no string with a cast stays.
fn constant(text: &str) -> (String, &str) {
    let unchanged = (String::new(), text);
    let trimmed = text.trim_start();
    let Some(literal) = first_token(trimmed).filter(|token| token.ends_with('\'')) else {
        return unchanged;
    };
    let Some(cast) = trimmed.get(literal.len()..).and_then(|after| after.strip_prefix("::")) else {
        return unchanged;
    };
    let (mut length, mut rest) = (0, cast);
    while let Some(token) = first_token(rest).filter(|token| !matches!(*token, "DEFAULT" | "USING")) {
        length += token.len();
        rest = rest.get(token.len()..).unwrap_or_default();
    }
    let type_name = cast.get(..length).unwrap_or_default().trim_end();
    (format!(" {type_name} {literal} "), rest)
}

/// The first token: a string, a quoted name, a word, or one other character.
fn first_token(text: &str) -> Option<&str> {
    let first = text.chars().next()?;
    let length = match first {
        '\'' => quoted(text, '\'', false),
        '"' => quoted(text, '"', false),
        'E' if text.starts_with("E'") => 1 + quoted(text.get(1..).unwrap_or_default(), '\'', true),
        c if is_word(c) => text.find(|c| !is_word(c)).unwrap_or(text.len()),
        c => c.len_utf8(),
    };
    text.get(..length)
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}

/// The length of what starts with a quotation mark, to the one that ends it; doubled ones are part of it.
fn quoted(text: &str, mark: char, escapes: bool) -> usize {
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if escapes && c == '\\' || c == mark && chars.peek().is_some_and(|(_, next)| *next == mark) {
            chars.next();
        } else if c == mark {
            return at + 1;
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::mend;

    #[test]
    fn constants_of_cycle_clauses_have_their_type_in_front() {
        for (from, to) in [
            (
                "x) CYCLE id SET c TO 'Y'::text DEFAULT 'N'::text USING path\n SELECT",
                "x) CYCLE id SET c TO text 'Y' DEFAULT text 'N' USING path\n SELECT",
            ),
            (
                "x) CYCLE a, \"TO\" SET \"USING\" TO E'it''s\\\\'''::character varying(5) DEFAULT ''::\"char\" USING p",
                "x) CYCLE a, \"TO\" SET \"USING\" TO character varying(5) E'it''s\\\\''' DEFAULT \"char\" '' USING p",
            ),
            (
                "x) CYCLE a SET m TO 'x'::s.\"Mood DEFAULT\" DEFAULT 'y'::s.\"Mood DEFAULT\" USING p, 'é'::text",
                "x) CYCLE a SET m TO s.\"Mood DEFAULT\" 'x' DEFAULT s.\"Mood DEFAULT\" 'y' USING p, 'é'::text",
            ),
        ] {
            assert_eq!(mend(from), to);
            assert_eq!(mend(to), to, "mended text stays");
        }
    }

    #[test]
    fn other_text_stays() {
        for text in [
            "SELECT ' CYCLE a SET c TO ''Y''::text DEFAULT ''N''::text USING p' AS \" CYCLE b\"",
            "x) CYCLE id SET is_cycle USING path SELECT 'Y'::text",
            "x) CYCLE id SET n TO 1 DEFAULT 2 USING path",
            "SELECT 1",
            " CYCLE 'unclosed",
            " CYCLE E'unclosed\\",
        ] {
            assert_eq!(mend(text), text);
        }
    }
}
