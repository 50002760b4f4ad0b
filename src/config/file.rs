//! Finding, reading and checking `pgcask.toml`.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, Problem, nearest};
use super::keys::{self, Form};
use super::secret::SecretSource;
use crate::pg::EnvLookup;

/// Most bytes of a file that is read as configuration: one given by mistake is not read whole.
const MAX_BYTES: u64 = 4 << 20;

/// A value of the file, of the form that its key asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    /// A text.
    Text(String),
    /// A number.
    Whole(i64),
    /// A truth.
    Flag(bool),
    /// Several texts.
    List(Vec<String>),
    /// A secret, or where it is.
    Secret(SecretSource),
}

impl Value {
    /// The text.
    pub(crate) fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }
}

/// One `key = value`.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// The tables it stands in, and its name.
    pub(crate) path: Vec<String>,
    pub(crate) value: Value,
    /// From 1.
    pub(crate) line: usize,
    /// From 1, in characters.
    pub(crate) column: usize,
}

/// The file that counts: the named one, or the first that there is.
pub(super) fn find(explicit: Option<&Path>, env: &EnvLookup) -> Result<Option<PathBuf>, ConfigError> {
    let named = explicit.map(Path::to_path_buf).or_else(|| given(env, "PGCASK_CONFIG").map(PathBuf::from));
    if let Some(file) = named {
        return match std::fs::metadata(&file) {
            Ok(_) => Ok(Some(file)),
            Err(source) => Err(ConfigError::Unreadable { file, source }),
        };
    }
    Ok(places(env).into_iter().find(|place| place.is_file()))
}

/// Where a file is looked for that nobody names, in this order.
pub(super) fn places(env: &EnvLookup) -> Vec<PathBuf> {
    let user = given(env, "XDG_CONFIG_HOME").map(PathBuf::from).or_else(|| env.in_home(".config"));
    let mut places = vec![PathBuf::from("pgcask.toml")];
    places.extend(user.map(|folder| folder.join("pgcask/pgcask.toml")));
    places.push(PathBuf::from("/etc/pgcask/pgcask.toml"));
    places
}

fn given(env: &EnvLookup, name: &str) -> Option<String> {
    env.var(name).filter(|value| !value.is_empty())
}

/// Reads and checks a file.
pub(super) fn read(file: &Path) -> Result<Vec<Entry>, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable { file: file.to_path_buf(), source };
    let facts = std::fs::metadata(file).map_err(unreadable)?;
    trusted(file, &facts)?;
    if facts.len() > MAX_BYTES {
        return Err(unreadable(std::io::Error::other("it is too large for a configuration")));
    }
    let text = std::fs::read_to_string(file).map_err(unreadable)?;
    let private = facts.mode().trailing_zeros() >= 6;
    parse(&text, private).map_err(|problems| ConfigError::Invalid { file: file.to_path_buf(), problems })
}

/// Refuses a file that another than its reader or root could have written: it can name commands to run.
pub(super) fn trusted(file: &Path, facts: &std::fs::Metadata) -> Result<(), ConfigError> {
    let wrong = |why: String| ConfigError::NotTrusted { file: file.to_path_buf(), why };
    let me = rustix::process::geteuid().as_raw();
    if facts.uid() != 0 && facts.uid() != me {
        return Err(wrong(format!(
            "it belongs to another user (uid {}), who could have it run commands",
            facts.uid()
        )));
    }
    if facts.mode() & 0o002 != 0 {
        return Err(wrong("everybody may write to it, and could have it run commands; chmod o-w".to_owned()));
    }
    Ok(())
}

/// The entries of a text. `private`: nobody else can read it, so that it may hold secrets.
pub(super) fn parse(text: &str, private: bool) -> Result<Vec<Entry>, Vec<Problem>> {
    let mut reading = Reading { text, private, entries: Vec::new(), problems: Vec::new() };
    match DeTable::parse(text) {
        Ok(table) => reading.table(table.get_ref(), &mut Vec::new()),
        Err(error) => {
            let at = error.span().map_or(0, |span| span.start);
            reading.problem(at, error.message().lines().next().unwrap_or("it is no TOML"));
        }
    }
    reading.problems.sort_by_key(|problem| (problem.line, problem.column));
    if reading.problems.is_empty() { Ok(reading.entries) } else { Err(reading.problems) }
}

struct Reading<'a> {
    text: &'a str,
    private: bool,
    entries: Vec<Entry>,
    problems: Vec<Problem>,
}

impl Reading<'_> {
    /// Line and column of a byte.
    fn place(&self, at: usize) -> (usize, usize) {
        let before = self.text.get(..at).unwrap_or_default();
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        (line, column)
    }

    fn problem(&mut self, at: usize, message: impl Into<String>) {
        let (line, column) = self.place(at);
        self.problems.push(Problem { line, column, message: message.into() });
    }

    fn table(&mut self, table: &DeTable<'_>, path: &mut Vec<String>) {
        for (key, value) in table {
            let (name, at) = (key.get_ref().to_string(), key.span().start);
            path.push(name.clone());
            match value.get_ref() {
                DeValue::Table(inner)
                    if keys::section_of(path).is_some() || keys::leads_to_sections(path) =>
                {
                    if path.len() == 2 && !is_name(&name) {
                        self.problem(
                            at,
                            format!("{name:?} is no name: letters, digits, '-', '_' and '.' are"),
                        );
                    }
                    self.table(inner, path);
                }
                _ => self.entry(path, at, value),
            }
            path.pop();
        }
    }

    fn entry(&mut self, path: &[String], at: usize, value: &Spanned<DeValue<'_>>) {
        let Some((name, above)) = path.split_last() else { return };
        let section = keys::section_of(above);
        let Some(key) = section.and_then(|section| keys::find(section, name)) else {
            return self.unknown(above, name, at);
        };
        match self.value(key.form, value.get_ref()) {
            Ok(read) => {
                let (line, column) = self.place(at);
                self.entries.push(Entry { path: path.to_vec(), value: read, line, column });
            }
            Err(why) => self.problem(value.span().start, format!("{name}: {why}")),
        }
    }

    fn unknown(&mut self, above: &[String], name: &str, at: usize) {
        let mut known: Vec<&str> = keys::children(above).filter(|word| *word != "*").collect();
        if let Some(section) = keys::section_of(above) {
            known.extend(keys::KEYS.iter().filter(|key| key.sections.contains(&section)).map(|key| key.name));
        }
        let place = if above.is_empty() {
            "at the top of the file".to_owned()
        } else {
            format!("in [{}]", above.join("."))
        };
        let meant = nearest(name, &known);
        let message = if known.is_empty() {
            format!("{name} {place} must be a table: [{}.{name}]", above.join("."))
        } else {
            format!("unknown key {name} {place}{meant}")
        };
        self.problem(at, message);
    }

    fn value(&self, form: Form, value: &DeValue<'_>) -> Result<Value, String> {
        let text = value.as_str();
        let a_text = || text.map(str::to_owned).ok_or_else(|| "a text is expected, in quotes".to_owned());
        match form {
            Form::Text | Form::Path => a_text().map(Value::Text),
            Form::DatabaseUrl => {
                let url = a_text()?;
                if !self.private && has_password(&url) {
                    return Err(NOT_PRIVATE.to_owned());
                }
                Ok(Value::Text(url))
            }
            Form::List | Form::Paths => list(value).map(Value::List),
            Form::Whole(least, most) => {
                let number = match value {
                    DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).ok(),
                    _ => None,
                };
                let within = number.filter(|number| (least..=most).contains(number));
                within.map(Value::Whole).ok_or_else(|| format!("a {} is expected", form.describe()))
            }
            Form::Flag => {
                value.as_bool().map(Value::Flag).ok_or_else(|| "true or false is expected".to_owned())
            }
            Form::Span => a_text().and_then(|text| {
                let good = text.parse::<jiff::Span>().is_ok_and(jiff::Span::is_positive);
                good.then_some(Value::Text(text))
                    .ok_or_else(|| "a span is written as \"90d\", \"7y\", \"1y 6mo\"".to_owned())
            }),
            Form::Bytes => a_text().and_then(|text| {
                bytes(&text)
                    .map(|_| Value::Text(text))
                    .ok_or_else(|| "bytes are written as \"20M\", \"1G\"".to_owned())
            }),
            Form::Choice(words) => {
                let word = a_text()?;
                if words.contains(&word.as_str()) {
                    return Ok(Value::Text(word));
                }
                Err(format!("{word:?} is none of {}{}", words.join(", "), nearest(&word, words)))
            }
            Form::Words(words) => {
                let list = list(value)?;
                match list.iter().find(|word| !words.contains(&word.as_str())) {
                    Some(word) => {
                        Err(format!("{word:?} is none of {}{}", words.join(", "), nearest(word, words)))
                    }
                    None => Ok(Value::List(list)),
                }
            }
            Form::Secret | Form::Reference => self.secret(form, value).map(Value::Secret),
        }
    }

    fn secret(&self, form: Form, value: &DeValue<'_>) -> Result<SecretSource, String> {
        if let Some(text) = value.as_str() {
            return match form {
                Form::Reference => {
                    Err(format!("a secret of a store is never written into the file; {REFERENCES}"))
                }
                _ if !self.private => Err(NOT_PRIVATE.to_owned()),
                _ => Ok(SecretSource::text(text)),
            };
        }
        let DeValue::Table(table) = value else { return Err(REFERENCES.to_owned()) };
        let mut pairs = table.iter();
        let (Some((key, value)), None) = (pairs.next(), pairs.next()) else {
            return Err(REFERENCES.to_owned());
        };
        let text = value.get_ref().as_str().ok_or_else(|| REFERENCES.to_owned())?.to_owned();
        match key.get_ref().as_ref() {
            "env" => Ok(SecretSource::Environment(text)),
            "file" => Ok(SecretSource::File(text)),
            "command" => Ok(SecretSource::Command(text)),
            _ => Err(REFERENCES.to_owned()),
        }
    }
}

const NOT_PRIVATE: &str = "a secret stands in a file that others can read: chmod 600, or take it from elsewhere, as \
                           password = { env = \"NAME\" }, { file = \"…\" } or { command = \"…\" }";
const REFERENCES: &str = "write { env = \"NAME\" }, { file = \"…\" } or { command = \"…\" }";

fn list(value: &DeValue<'_>) -> Result<Vec<String>, String> {
    let wrong = || "a list of texts is expected, as [\"one\", \"two\"]".to_owned();
    let DeValue::Array(array) = value else {
        return value.as_str().map(|text| vec![text.to_owned()]).ok_or_else(wrong);
    };
    array.iter().map(|item| item.get_ref().as_str().map(str::to_owned).ok_or_else(wrong)).collect()
}

/// Whether a connection string says a password.
fn has_password(url: &str) -> bool {
    match url.split_once("://") {
        Some((_, rest)) => {
            let credentials = rest.split(['@', '/']).next().unwrap_or_default();
            let ended = rest.strip_prefix(credentials).is_some_and(|after| after.starts_with('@'));
            (ended && credentials.contains(':')) || rest.contains("password=")
        }
        None => url.replace(' ', "").contains("password="),
    }
}

/// Names of databases and stores: they stand on command lines and in file names.
fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with('-')
        && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

/// A number of bytes with K, M or G behind it, in steps of 1,024.
pub(super) fn bytes(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let shift = match text.strip_prefix(digits)?.trim_end_matches("iB").trim_end_matches('B') {
        "" => 0,
        "K" | "k" => 10,
        "M" => 20,
        "G" => 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift).filter(|bytes| *bytes > 0)
}
