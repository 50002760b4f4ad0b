//! What the server reports of an error, in a form that is safe to show.

use std::fmt;

use tokio_postgres::error::DbError;

/// The longest piece of a statement that an error keeps, in bytes. More does not help a reader.
const STATEMENT_BYTES: usize = 4096;

/// An error report of the server (manual, section 55.8), with the statement that caused it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerError {
    /// `ERROR`, `FATAL` or `PANIC`; `WARNING` for a warning.
    pub severity: String,
    /// The five characters of the SQLSTATE (manual, appendix A).
    pub code: String,
    /// The primary message.
    pub message: String,
    /// DETAIL.
    pub detail: Option<String>,
    /// HINT.
    pub hint: Option<String>,
    /// CONTEXT: the stack of functions, or the line of COPY.
    pub context: Option<String>,
    /// The relation concerned, qualified but not quoted, when the server names it.
    pub relation: Option<String>,
    /// The constraint concerned, when the server names it.
    pub constraint: Option<String>,
    /// Position of the mistake in the statement, in characters from 1.
    pub position: Option<u32>,
    /// The statement, shortened and with secrets blanked; `None` while connecting.
    pub statement: Option<String>,
}

impl ServerError {
    /// Takes over a report of the driver.
    pub(crate) fn new(report: &DbError, statement: Option<&str>) -> Self {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let relation = report.table().map(|table| match report.schema() {
            Some(schema) => format!("{schema}.{table}"),
            None => table.to_owned(),
        });
        let position = match report.position() {
            Some(tokio_postgres::error::ErrorPosition::Original(at)) => Some(*at),
            _ => None,
        };
        Self {
            // Not the translated word, where the server sends both.
            severity: report
                .parsed_severity()
                .map_or_else(|| report.severity().to_owned(), |s| s.to_string()),
            code: report.code().code().to_owned(),
            message: report.message().to_owned(),
            detail: owned(report.detail()),
            hint: owned(report.hint()),
            context: owned(report.where_()),
            relation,
            constraint: owned(report.constraint()),
            position,
            statement: statement.map(presentable),
        }
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (SQLSTATE {})", self.message, self.code)?;
        for (label, text) in [
            ("DETAIL", &self.detail),
            ("HINT", &self.hint),
            ("CONTEXT", &self.context),
            ("STATEMENT", &self.statement),
        ] {
            if let Some(text) = text {
                write!(f, "\n{label}: {text}")?;
            }
        }
        Ok(())
    }
}

/// A statement as an error may show it: shortened, and without literals where one may be a password.
pub(crate) fn presentable(statement: &str) -> String {
    let lower = statement.to_ascii_lowercase();
    let secret = ["password", "connection", "secret", "options"].iter().any(|word| lower.contains(word));
    let mut text = String::new();
    let mut quoted = false;
    for c in statement.chars() {
        if text.len() >= STATEMENT_BYTES {
            text.push('…');
            break;
        }
        if c == '\'' && secret {
            quoted = !quoted;
            text.push_str(if quoted { "'***" } else { "'" });
        } else if !quoted {
            text.push(c);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_shown_without_their_passwords() {
        assert_eq!(
            presentable("ALTER ROLE a PASSWORD 'x''y' LOGIN"),
            "ALTER ROLE a PASSWORD '***''***' LOGIN"
        );
        assert_eq!(
            presentable("CREATE SUBSCRIPTION s CONNECTION 'password=x'"),
            "CREATE SUBSCRIPTION s CONNECTION '***'"
        );
        assert_eq!(presentable("SELECT 'a'"), "SELECT 'a'");
        assert!(presentable(&"x".repeat(9000)).len() < 4200);
    }
}
