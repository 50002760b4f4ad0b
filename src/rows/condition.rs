//! Conditions on rows: all of them are evaluated by the server; the simple ones also say which chunks can hold such rows.

use std::cmp::Ordering;

use super::groups::{StreamChunk, ZoneKey};
use crate::error::{Error, ErrorKind, Result};
use crate::pg::copy::ZoneMap;
use crate::plan::select::Pattern;

/// A condition on the rows of a table.
#[derive(Debug, Clone)]
pub struct Condition {
    /// Which table.
    pub table: Pattern,
    /// The condition, in SQL.
    pub sql: String,
}

impl Condition {
    /// Reads `TABLE: condition`.
    ///
    /// # Errors
    /// When it has another form.
    pub fn parse(text: &str) -> Result<Self> {
        let usage = |message: String| {
            Error::new(ErrorKind::Usage, message)
                .hint("as in --where \"sales.orders: placed >= '2026-01-01'\"")
        };
        let (table, sql) = table_and_rest(text).ok_or_else(|| usage(format!("{text:?} names no table")))?;
        if sql.is_empty() {
            return Err(usage(format!("{text:?} has no condition")));
        }
        let table = Pattern::table(table)
            .map_err(|error| Error::with_source(ErrorKind::Usage, "read the table of a condition", error))?;
        Ok(Self { table, sql: sql.to_owned() })
    }
}

/// Parts `TABLE: rest` at the first colon that is not within quotes.
pub(super) fn table_and_rest(text: &str) -> Option<(&str, &str)> {
    let mut quoted = false;
    let colon = text.char_indices().find(|(_, c)| {
        quoted ^= *c == '"';
        *c == ':' && !quoted
    });
    let (table, rest) = text.split_at_checked(colon?.0)?;
    Some((table.trim(), rest.strip_prefix(':').unwrap_or(rest).trim()))
}

/// What a simple condition says of one column; null is none of its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bound {
    pub(super) column: String,
    pub(super) values: Values,
}

/// Values that a column can have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Values {
    /// Between these, both included or not.
    Range(Option<String>, Option<String>),
    /// One of these.
    Any(Vec<String>),
}

impl Bound {
    /// The literals.
    pub(super) fn literals(&self) -> Vec<&String> {
        match &self.values {
            Values::Range(least, greatest) => least.iter().chain(greatest).collect(),
            Values::Any(list) => list.iter().collect(),
        }
    }

    /// The same with other literals, in the same order.
    pub(super) fn with_literals(&self, literals: Vec<String>) -> Self {
        let mut literals = literals.into_iter();
        let values = match &self.values {
            Values::Range(least, greatest) => {
                let least = least.as_ref().and_then(|_| literals.next());
                Values::Range(least, greatest.as_ref().and_then(|_| literals.next()))
            }
            Values::Any(_) => Values::Any(literals.collect()),
        };
        Self { column: self.column.clone(), values }
    }

    /// Whether a chunk can hold such rows. Where nothing is known of it, it can.
    pub(super) fn admits(&self, key: ZoneKey, chunk: &StreamChunk) -> bool {
        let zone = ZoneMap::decode(&chunk.entry.zone_map).bounds.into_iter().nth(key.zone).flatten();
        let Some((least, greatest)) = zone else { return true };
        let within = |from: Option<&String>, to: Option<&String>| {
            let beyond =
                |a: &str, b: &str| key.order.compare(a.as_bytes(), b.as_bytes()) == Ordering::Greater;
            !from.is_some_and(|from| beyond(from, &greatest)) && !to.is_some_and(|to| beyond(&least, to))
        };
        match &self.values {
            Values::Range(from, to) => within(from.as_ref(), to.as_ref()),
            Values::Any(list) => list.iter().any(|value| within(Some(value), Some(value))),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    Name(String),
    Literal(String),
    Symbol(String),
}

/// Reads a condition that is comparisons of columns with literals, joined by AND. Anything else is `None`: more than
/// what is understood here is left to the server alone.
pub(super) fn simple(sql: &str) -> Option<Vec<Bound>> {
    let tokens = tokens(sql)?;
    let mut rest = tokens.as_slice();
    let mut bounds = Vec::new();
    loop {
        let (bound, after) = comparison(rest)?;
        bounds.push(bound);
        match after.split_first() {
            None => return Some(bounds),
            Some((Token::Word(word), after)) if word == "and" => rest = after,
            Some(_) => return None,
        }
    }
}

fn comparison(tokens: &[Token]) -> Option<(Bound, &[Token])> {
    let (first, rest) = tokens.split_first()?;
    let column = match first {
        Token::Word(name) | Token::Name(name) => name.clone(),
        Token::Literal(_) | Token::Symbol(_) => return None,
    };
    let (operator, rest) = rest.split_first()?;
    let one = |rest: &'_ [Token]| match rest.first() {
        Some(Token::Literal(value)) => Some(value.clone()),
        _ => None,
    };
    let values = match operator {
        Token::Symbol(symbol) => {
            let value = one(rest)?;
            match symbol.as_str() {
                "=" => Values::Any(vec![value]),
                "<" | "<=" => Values::Range(None, Some(value)),
                ">" | ">=" => Values::Range(Some(value), None),
                _ => return None,
            }
        }
        Token::Word(word) if word == "between" => {
            let least = one(rest)?;
            let rest = rest.get(1..)?;
            let greatest = match rest {
                [Token::Word(and), Token::Literal(value), ..] if and == "and" => value.clone(),
                _ => return None,
            };
            let bound = Bound { column, values: Values::Range(Some(least), Some(greatest)) };
            return Some((bound, rest.get(2..)?));
        }
        Token::Word(word) if word == "in" => {
            let (list, rest) = list(rest)?;
            return Some((Bound { column, values: Values::Any(list) }, rest));
        }
        Token::Word(_) | Token::Name(_) | Token::Literal(_) => return None,
    };
    Some((Bound { column, values }, rest.get(1..)?))
}

/// `(literal, literal…)`.
fn list(tokens: &[Token]) -> Option<(Vec<String>, &[Token])> {
    let is =
        |token: Option<&Token>, symbol: &str| matches!(token, Some(Token::Symbol(found)) if found == symbol);
    if !is(tokens.first(), "(") {
        return None;
    }
    let mut rest = tokens.get(1..)?;
    let mut list = Vec::new();
    loop {
        let Some((Token::Literal(value), after)) = rest.split_first() else { return None };
        list.push(value.clone());
        rest = after.get(1..)?;
        if is(after.first(), ")") {
            return Some((list, rest));
        }
        if !is(after.first(), ",") {
            return None;
        }
    }
}

/// Words, names in double quotes, literals in single quotes or of digits, and symbols. Comments, escapes, casts, dollar
/// quotes and the like are not known: then there are no tokens.
fn tokens(sql: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut chars = sql.chars().peekable();
    while let Some(c) = chars.next() {
        let mut take = |first: char, more: &dyn Fn(char) -> bool| {
            let mut word = String::from(first);
            while let Some(next) = chars.next_if(|next| more(*next)) {
                word.push(next);
            }
            word
        };
        let token = match c {
            c if c.is_whitespace() => continue,
            'a'..='z' | 'A'..='Z' | '_' => {
                let word = take(c, &|c| c.is_ascii_alphanumeric() || c == '_' || c == '$');
                Token::Word(word.to_lowercase())
            }
            '0'..='9' | '-' => {
                let number = take(c, &|c| c.is_ascii_digit());
                if number == "-" {
                    return None;
                }
                Token::Literal(number)
            }
            '"' | '\'' => {
                let text: String = take(c, &|next| next != c && next != '\\').chars().skip(1).collect();
                // A doubled quote goes on, which is not understood here; nor is a text without end.
                if chars.next() != Some(c) || chars.peek() == Some(&c) {
                    return None;
                }
                if c == '"' { Token::Name(text) } else { Token::Literal(text) }
            }
            '<' | '>' | '=' => Token::Symbol(take(c, &|c| matches!(c, '<' | '>' | '=' | '!' | '~' | '@'))),
            '(' | ')' | ',' => Token::Symbol(c.to_string()),
            _ => return None,
        };
        // What stands at once after a literal or word must part it: 1.5, 5x and E'…' are not understood.
        let touches = chars
            .peek()
            .is_some_and(|next| next.is_ascii_alphanumeric() || matches!(next, '.' | '\'' | '"' | ':' | '_'));
        if touches && !matches!(token, Token::Symbol(_)) {
            return None;
        }
        tokens.push(token);
    }
    Some(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(column: &str, least: Option<&str>, greatest: Option<&str>) -> Bound {
        let text = |value: Option<&str>| value.map(str::to_owned);
        Bound { column: column.to_owned(), values: Values::Range(text(least), text(greatest)) }
    }

    fn any(column: &str, list: &[&str]) -> Bound {
        let list = list.iter().map(|value| (*value).to_owned()).collect();
        Bound { column: column.to_owned(), values: Values::Any(list) }
    }

    #[test]
    fn comparisons_with_literals_are_understood() {
        for (sql, expected) in [
            ("id = 5", vec![any("id", &["5"])]),
            ("ID=-5", vec![any("id", &["-5"])]),
            ("id in (1,2, 3)", vec![any("id", &["1", "2", "3"])]),
            ("id BETWEEN 1 AND 9", vec![range("id", Some("1"), Some("9"))]),
            (
                "placed >= '2026-01-01' AND placed < '2026-02-01'",
                vec![range("placed", Some("2026-01-01"), None), range("placed", None, Some("2026-02-01"))],
            ),
            ("\"The Key\" = 'a b'", vec![any("The Key", &["a b"])]),
        ] {
            assert_eq!(simple(sql), Some(expected), "{sql}");
        }
    }

    #[test]
    fn anything_else_is_left_to_the_server() {
        for sql in [
            "id = 5 OR id = 6",
            "NOT id = 5",
            "id = other",
            "id <> 5",
            "id + 1 = 5",
            "lower(name) = 'x'",
            "id = 1.5",
            "id = 5::int",
            "name = 'it''s'",
            "name = E'x'",
            "name = 'a\\b'",
            "id = 5 -- and",
            "id IN (SELECT 1)",
            "id IN ()",
            "(id = 5)",
            "id = - 5",
            "id",
            "",
            "id =",
            "o.id = 5",
            "id BETWEEN 1 AND x",
            "id = $1",
            "id = 'x",
            "name LIKE 'x'",
            "id <=> 5",
            "id =5x",
        ] {
            assert_eq!(simple(sql), None, "{sql}");
        }
    }

    #[test]
    fn a_condition_names_its_table_before_the_first_colon() {
        let read = |text: &str| Condition::parse(text).map(|condition| (condition.table.text, condition.sql));
        assert_eq!(read("sales.orders: id = 5::int").unwrap(), ("sales.orders".into(), "id = 5::int".into()));
        assert_eq!(read("\"a:b\" : x").unwrap(), ("\"a:b\"".into(), "x".into()));
        assert!(read("id = 5").is_err() && read("orders:").is_err());
    }
}
