//! Forms of values in `pgcask.toml`.

/// The form of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A text.
    Text,
    /// A file or folder; relative to the folder of the configuration file, `~/` is the home directory.
    Path,
    /// Several of them.
    Paths,
    /// A list of texts.
    List,
    /// A whole number within bounds.
    Whole(i64, i64),
    /// `true` or `false`.
    Flag,
    /// A span of time: `90d`, `1y 6mo`.
    Span,
    /// A number of bytes: `20M`, `1G`.
    Bytes,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Several of these words.
    Words(&'static [&'static str]),
    /// A secret: a text, if nobody else may read the file, or `{ env = … }`, `{ file = … }`, `{ command = … }`.
    Secret,
    /// A secret that is never written into the file: `{ env = … }`, `{ file = … }` or `{ command = … }`.
    Reference,
    /// The URL of a database: a secret if it has a password.
    DatabaseUrl,
}

impl Form {
    /// The form in words.
    pub fn describe(self) -> String {
        match self {
            Self::Text => "text".to_owned(),
            Self::Path => "path".to_owned(),
            Self::Paths => "list of paths".to_owned(),
            Self::List => "list of texts".to_owned(),
            Self::Whole(least, most) if most == i64::from(u32::MAX) => format!("number from {least}"),
            Self::Whole(least, most) => format!("number from {least} to {most}"),
            Self::Flag => "true or false".to_owned(),
            Self::Span => "span of time, as \"90d\" or \"1y 6mo\"".to_owned(),
            Self::Bytes => "bytes, as \"20M\" or \"1G\"".to_owned(),
            Self::Choice(words) => words.join(", "),
            Self::Words(words) => format!("list of {}", words.join(", ")),
            Self::Secret => "secret".to_owned(),
            Self::Reference => "secret, by reference only".to_owned(),
            Self::DatabaseUrl => "URL".to_owned(),
        }
    }
}
