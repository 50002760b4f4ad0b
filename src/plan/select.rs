//! Which objects are meant: patterns as in psql (PostgreSQL manual, psql, "Patterns").
//!
//! `*` is any text, `?` any character, a dot parts schema and name, letters outside double quotes are folded to
//! lower case, inside them all is literal. Other characters keep their meaning as a regular expression; `$` is
//! literal, as names may hold it.

use regex::Regex;

/// A pattern that is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// More parts than a name has.
    #[error("the pattern {0:?} has too many dotted parts")]
    TooManyParts(String),
    /// A quote that is not closed.
    #[error("the pattern {0:?} has an unclosed double quote")]
    UnclosedQuote(String),
    /// The regular expression is not one.
    #[error("the pattern {pattern:?} is not valid: {message}")]
    Invalid {
        /// The pattern as given.
        pattern: String,
        /// What the parser says.
        message: String,
    },
}

/// One pattern of `--table` or `--schema`.
#[derive(Debug, Clone)]
pub struct Pattern {
    /// The text as given, for messages.
    pub text: String,
    schema: Option<Regex>,
    name: Regex,
}

impl Pattern {
    /// A pattern for objects in schemas: `orders`, `sales.*`, `"Sales"."Orders"`.
    ///
    /// # Errors
    /// When it is not a pattern.
    pub fn table(text: &str) -> Result<Self, PatternError> {
        let mut parts = parts(text)?;
        let name = parts.pop().unwrap_or_default();
        let schema = parts.pop();
        if !parts.is_empty() {
            return Err(PatternError::TooManyParts(text.to_owned()));
        }
        let schema = schema.map(|schema| compile(text, &schema)).transpose()?;
        Ok(Self { text: text.to_owned(), schema, name: compile(text, &name)? })
    }

    /// Reads a name, not a pattern: `orders`, `sales.orders`, `"Sales"."Orders"`; gives schema and name.
    pub fn plain_name(text: &str) -> Option<(Option<String>, String)> {
        let mut parts = vec![String::new()];
        let (mut quoted, mut chars) = (false, text.chars().peekable());
        while let Some(c) = chars.next() {
            match c {
                '"' if quoted && chars.next_if_eq(&'"').is_some() => parts.last_mut()?.push('"'),
                '"' => quoted = !quoted,
                c if quoted => parts.last_mut()?.push(c),
                '.' => parts.push(String::new()),
                c if c.is_alphanumeric() || matches!(c, '_' | '$') => {
                    parts.last_mut()?.extend(c.to_lowercase());
                }
                _ => return None,
            }
        }
        let name = parts.pop().filter(|name| !name.is_empty())?;
        let schema = parts.pop();
        let sound = !quoted && parts.is_empty() && schema.as_ref().is_none_or(|schema| !schema.is_empty());
        sound.then_some((schema, name))
    }

    /// A pattern for schemas, or other names of one part: `sales`, `s*`.
    ///
    /// # Errors
    /// When it is not a pattern.
    pub fn schema(text: &str) -> Result<Self, PatternError> {
        let mut parts = parts(text)?;
        let name = parts.pop().unwrap_or_default();
        if !parts.is_empty() {
            return Err(PatternError::TooManyParts(text.to_owned()));
        }
        Ok(Self { text: text.to_owned(), schema: None, name: compile(text, &name)? })
    }

    /// Whether an object of this schema and name is meant. Without a schema part the pattern means any schema.
    pub fn matches(&self, schema: &str, name: &str) -> bool {
        self.schema.as_ref().is_none_or(|pattern| pattern.is_match(schema)) && self.name.is_match(name)
    }

    /// Whether a schema pattern means this schema.
    pub fn matches_schema(&self, schema: &str) -> bool {
        self.name.is_match(schema)
    }
}

/// What an operation is to touch. Exclusion wins over inclusion; nothing included means everything.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Tables to include (`--table`).
    pub tables: Vec<Pattern>,
    /// Schemas to include (`--schema`).
    pub schemas: Vec<Pattern>,
    /// Tables to leave out (`--exclude-table`).
    pub exclude_tables: Vec<Pattern>,
    /// Schemas to leave out (`--exclude-schema`).
    pub exclude_schemas: Vec<Pattern>,
    /// Tables whose rows are left out (`--exclude-table-data`).
    pub exclude_data: Vec<Pattern>,
    /// Foreign servers whose tables' rows are taken (`--include-foreign-data`); those of others never are.
    pub foreign_data: Vec<Pattern>,
}

impl Selection {
    /// Whether everything is meant.
    pub fn is_everything(&self) -> bool {
        self.tables.is_empty()
            && self.schemas.is_empty()
            && self.exclude_tables.is_empty()
            && self.exclude_schemas.is_empty()
    }

    /// The patterns that exclude tables or schemas.
    pub fn excluded(&self) -> impl Iterator<Item = &str> {
        self.exclude_tables.iter().chain(&self.exclude_schemas).map(|pattern| pattern.text.as_str())
    }

    /// How many patterns include something.
    pub fn included(&self) -> usize {
        self.tables.len() + self.schemas.len()
    }

    /// Whether only some tables or schemas are meant, so that what belongs to none of them is left out.
    pub fn is_narrowed(&self) -> bool {
        !self.tables.is_empty() || !self.schemas.is_empty()
    }

    /// Whether the relation is meant.
    pub fn relation(&self, schema: &str, name: &str) -> bool {
        if self.exclude_tables.iter().any(|pattern| pattern.matches(schema, name))
            || self.exclude_schemas.iter().any(|pattern| pattern.matches_schema(schema))
        {
            return false;
        }
        if !self.is_narrowed() {
            return true;
        }
        self.tables.iter().any(|pattern| pattern.matches(schema, name))
            || self.schemas.iter().any(|pattern| pattern.matches_schema(schema))
    }

    /// Whether an object other than a relation, in this schema, is meant: with `--table` alone none is.
    pub fn in_schema(&self, schema: &str) -> bool {
        if self.exclude_schemas.iter().any(|pattern| pattern.matches_schema(schema)) {
            return false;
        }
        !self.is_narrowed() || self.schemas.iter().any(|pattern| pattern.matches_schema(schema))
    }

    /// Whether the relation's rows are meant.
    pub fn rows(&self, schema: &str, name: &str) -> bool {
        self.relation(schema, name) && !self.exclude_data.iter().any(|pattern| pattern.matches(schema, name))
    }

    /// Whether the rows of tables of this foreign server are meant.
    pub fn foreign_rows(&self, server: &str) -> bool {
        self.foreign_data.iter().any(|pattern| pattern.name.is_match(server))
    }

    /// The included patterns that mean none of these relations: a typing error, most likely.
    pub fn unmatched<'a>(&'a self, relations: &[(String, String)]) -> Vec<&'a str> {
        let table =
            |pattern: &&Pattern| !relations.iter().any(|(schema, name)| pattern.matches(schema, name));
        let schema = |pattern: &&Pattern| !relations.iter().any(|(schema, _)| pattern.matches_schema(schema));
        let tables = self.tables.iter().filter(table);
        tables.chain(self.schemas.iter().filter(schema)).map(|pattern| pattern.text.as_str()).collect()
    }
}

/// The dotted parts of a pattern, each as a regular expression.
fn parts(text: &str) -> Result<Vec<String>, PatternError> {
    let mut parts = vec![String::new()];
    let mut quoted = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let mut put = |text: &str| {
            if let Some(part) = parts.last_mut() {
                part.push_str(text);
            }
        };
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                put("\"");
            }
            '"' => quoted = !quoted,
            c if quoted => put(&regex::escape(&c.to_string())),
            '.' => parts.push(String::new()),
            '*' => put(".*"),
            '?' => put("."),
            '$' => put("\\$"),
            c => put(&c.to_lowercase().to_string()),
        }
    }
    if quoted { Err(PatternError::UnclosedQuote(text.to_owned())) } else { Ok(parts) }
}

fn compile(text: &str, part: &str) -> Result<Regex, PatternError> {
    Regex::new(&format!("(?s)^(?:{part})$"))
        .map_err(|error| PatternError::Invalid { pattern: text.to_owned(), message: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(pattern: &str, schema: &str, name: &str) -> bool {
        Pattern::table(pattern).unwrap().matches(schema, name)
    }

    #[test]
    fn patterns_mean_what_psql_means() {
        assert!(table("orders", "public", "orders"));
        assert!(table("ORDERS", "public", "orders"), "folded to lower case");
        assert!(!table("\"ORDERS\"", "public", "orders"), "but not in quotes");
        assert!(table("sales.*", "sales", "anything"));
        assert!(!table("sales.*", "sales2", "anything"));
        assert!(table("ord?rs", "x", "orders"));
        assert!(table("\"a.b\".\"c\"\"d\"", "a.b", "c\"d"));
        assert!(table("\"*\"", "x", "*") && !table("\"*\"", "x", "y"));
        assert!(table("part_[0-9]+", "x", "part_12") && !table("part_[0-9]+", "x", "part_x"));
        assert!(table("a$b", "x", "a$b"));
        assert!(table("a|b", "x", "b") && !table("a|b", "x", "bc"), "alternatives are anchored as a whole");
        assert!(table("*", "x", "two\nlines"));
    }

    #[test]
    fn a_name_is_no_pattern() {
        let name = |text| Pattern::plain_name(text);
        assert_eq!(name("Orders"), Some((None, "orders".to_owned())));
        assert_eq!(name("s.\"A \"\"b.c\""), Some((Some("s".to_owned()), "A \"b.c".to_owned())));
        for text in ["", "a*", "a.b.c", "\"a", ".a", "a.", "a b"] {
            assert_eq!(name(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        assert!(matches!(Pattern::table("a.b.c"), Err(PatternError::TooManyParts(_))));
        assert!(matches!(Pattern::table("\"a"), Err(PatternError::UnclosedQuote(_))));
        assert!(matches!(Pattern::table("a("), Err(PatternError::Invalid { .. })));
    }

    #[test]
    fn exclusion_wins() {
        let selection = Selection {
            schemas: vec![Pattern::schema("sales").unwrap()],
            exclude_tables: vec![Pattern::table("sales.log*").unwrap()],
            exclude_data: vec![Pattern::table("big").unwrap()],
            ..Selection::default()
        };
        assert!(selection.relation("sales", "orders"));
        assert!(!selection.relation("sales", "log_2024"));
        assert!(!selection.relation("other", "orders"));
        assert!(!selection.rows("sales", "big") && selection.relation("sales", "big"));
        assert_eq!(selection.unmatched(&[("other".to_owned(), "x".to_owned())]), ["sales"]);
    }
}
