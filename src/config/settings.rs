//! What is configured for one database, typed, each value with its origin.

use std::path::PathBuf;

use super::file::Value;
use super::keys::{self, Form, Key};
use super::retention::Retention;
use super::{Config, ConfigError, Origin, Sourced, env};

/// A setting that may not be made.
type Set<T> = Option<Sourced<T>>;

/// What is configured for a database: its own keys, else `[defaults]`, and the environment before both.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Store: a name, a folder or a URL.
    pub store: Set<String>,
    /// Kind of a backup.
    pub kind: Set<String>,
    /// How long backups are kept.
    pub keep_for: Set<jiff::Span>,
    /// For whom backups are sealed.
    pub recipients: Set<Vec<String>>,
    /// Passphrase file.
    pub passphrase_file: Set<PathBuf>,
    /// Passphrase command.
    pub passphrase_command: Set<String>,
    /// Command in front of a KMS.
    pub key_command: Set<String>,
    /// File of the key of hashed erasures.
    pub erasure_key_file: Set<PathBuf>,
    /// Stores that backups are copied to.
    pub copy_to: Set<Vec<String>>,
    /// Whether backups are encrypted.
    pub encrypt: Set<bool>,
    /// Identity files.
    pub identities: Set<Vec<PathBuf>>,
    /// Connections.
    pub jobs: Set<usize>,
    /// Level of zstd.
    pub level: Set<i32>,
    /// Seconds to wait for a lock.
    pub lock_timeout: Set<u64>,
    /// Patterns.
    pub tables: Set<Vec<String>>,
    /// Patterns.
    pub schemas: Set<Vec<String>>,
    /// Patterns.
    pub exclude_tables: Set<Vec<String>>,
    /// Patterns.
    pub exclude_schemas: Set<Vec<String>>,
    /// Patterns.
    pub exclude_table_data: Set<Vec<String>>,
    /// Patterns.
    pub personal: Set<Vec<String>>,
    /// Kinds of backup.
    pub without_personal: Set<Vec<String>>,
    /// Managed service.
    pub profile: Set<String>,
    /// Whether hashes of passwords are taken along.
    pub role_passwords: Set<bool>,
    /// Memory for index builds.
    pub maintenance_work_mem: Set<String>,
    /// How long a recovery may take.
    pub rto: Set<jiff::Span>,
    /// How old the newest backup may be.
    pub rpo: Set<jiff::Span>,
    /// How long a drill counts.
    pub drill_every: Set<jiff::Span>,
    /// Folder for what tests and drills leave.
    pub evidence: Set<PathBuf>,
    /// Whether a drill's evidence is put beside its archive.
    pub upload_evidence: Set<bool>,
    /// Bytes a second.
    pub max_rate: Set<u64>,
    /// `P0=pattern,…`, as `--priority` takes them.
    pub priorities: Vec<String>,
    /// How long backups are kept, by kind and by number.
    pub retention: Retention,
    /// Patterns of tables that must have rows.
    pub critical: Vec<String>,
    /// Queries that must give true.
    pub assertions: Vec<String>,
}

impl Config {
    /// What is configured for a database, or, without one, for all.
    ///
    /// # Errors
    /// [`ConfigError::Value`] for a variable of the environment that has no meaning.
    pub fn settings(&self, database: Option<&str>) -> Result<Settings, ConfigError> {
        let of = Lookup { config: self, database };
        Ok(Settings {
            store: of.text("store")?,
            kind: of.text("kind")?,
            keep_for: of.span("keep_for")?,
            recipients: of.recipients()?,
            passphrase_file: of.path("passphrase_file")?,
            passphrase_command: of.text("passphrase_command")?,
            key_command: of.text("key_command")?,
            erasure_key_file: of.path("erasure_key_file")?,
            copy_to: of.list("copy_to")?,
            encrypt: of.flag("encrypt")?,
            identities: of.paths("identities")?,
            jobs: of.whole("jobs")?,
            level: of.whole("level")?,
            lock_timeout: of.whole("lock_timeout")?,
            tables: of.list("tables")?,
            schemas: of.list("schemas")?,
            exclude_tables: of.list("exclude_tables")?,
            exclude_schemas: of.list("exclude_schemas")?,
            exclude_table_data: of.list("exclude_table_data")?,
            personal: of.list("personal")?,
            without_personal: of.list("without_personal")?,
            profile: of.text("profile")?,
            role_passwords: of.flag("role_passwords")?,
            maintenance_work_mem: of.text("maintenance_work_mem")?,
            rto: of.span("rto")?,
            rpo: of.span("rpo")?,
            drill_every: of.span("drill_every")?,
            evidence: of.path("evidence")?,
            upload_evidence: of.flag("upload_evidence")?,
            max_rate: of.text("max_rate")?.and_then(|text| {
                let bytes = super::file::bytes(&text.value)?;
                Some(text.map(|_| bytes))
            }),
            priorities: of.priorities(),
            retention: of.retention(),
            critical: of.table_of_lists("validate", "critical"),
            assertions: of.table_of_lists("validate", "assertions"),
        })
    }
}

/// Looks up the values of one database.
pub(super) struct Lookup<'a> {
    pub(super) config: &'a Config,
    pub(super) database: Option<&'a str>,
}

impl Lookup<'_> {
    fn span(&self, name: &str) -> Result<Set<jiff::Span>, ConfigError> {
        Ok(self.text(name)?.and_then(|text| {
            let span = text.value.parse().ok()?;
            Some(text.map(|_| span))
        }))
    }

    /// The value of a key: the environment's, the database's own, that of `[defaults]`.
    pub(super) fn value(&self, name: &str) -> Result<Set<Value>, ConfigError> {
        if let Some(key) = keys::find("defaults", name)
            && let Some((variable, text)) = env::of_key(&self.config.env, name)
        {
            let value = from_variable(key, variable, &text)?;
            return Ok(Some(Sourced { value, origin: self.config.origin_of_variable(variable) }));
        }
        let own = self.database.and_then(|database| self.config.entry(&["databases", database, name]));
        let entry = own.or_else(|| self.config.entry(&["defaults", name]));
        Ok(entry.map(|entry| Sourced { value: entry.value.clone(), origin: self.config.origin(entry) }))
    }

    fn text(&self, name: &str) -> Result<Set<String>, ConfigError> {
        self.read(name, |value| value.text().map(str::to_owned))
    }

    fn flag(&self, name: &str) -> Result<Set<bool>, ConfigError> {
        self.read(name, |value| if let Value::Flag(flag) = value { Some(*flag) } else { None })
    }

    fn whole<T: TryFrom<i64>>(&self, name: &str) -> Result<Set<T>, ConfigError> {
        self.read(
            name,
            |value| if let Value::Whole(number) = value { T::try_from(*number).ok() } else { None },
        )
    }

    fn list(&self, name: &str) -> Result<Set<Vec<String>>, ConfigError> {
        self.read(name, |value| if let Value::List(list) = value { Some(list.clone()) } else { None })
    }

    fn path(&self, name: &str) -> Result<Set<PathBuf>, ConfigError> {
        Ok(self.text(name)?.map(|text| self.placed(text)))
    }

    fn paths(&self, name: &str) -> Result<Set<Vec<PathBuf>>, ConfigError> {
        let placed = |list: Sourced<Vec<String>>| {
            let origin = list.origin;
            let place = |text| self.placed(Sourced { value: text, origin: origin.clone() }).value;
            let value = list.value.into_iter().map(place).collect();
            Sourced { value, origin }
        };
        Ok(self.list(name)?.map(placed))
    }

    /// A path of the file is relative to the file, one of the environment to the working directory.
    fn placed(&self, text: Sourced<String>) -> Sourced<PathBuf> {
        let in_file = matches!(text.origin, Origin::File { .. });
        text.map(|text| if in_file { self.config.path(&text) } else { PathBuf::from(text) })
    }

    /// Public keys, or files of them: what looks like a path of the file is one.
    fn recipients(&self) -> Result<Set<Vec<String>>, ConfigError> {
        let list = self.list("recipients")?;
        Ok(list.map(|list| {
            let in_file = matches!(list.origin, Origin::File { .. });
            let placed = |text: String| {
                let path = self.config.path(&text);
                let is_path = text.contains('/') || path.is_file();
                if in_file && is_path && !text.starts_with("openpgp:") && !text.contains(' ') {
                    path.display().to_string()
                } else {
                    text
                }
            };
            list.map(|texts| texts.into_iter().map(placed).collect())
        }))
    }

    fn read<T>(&self, name: &str, into: impl Fn(&Value) -> Option<T>) -> Result<Set<T>, ConfigError> {
        let found = self.value(name)?;
        Ok(found.and_then(|found| Some(Sourced { value: into(&found.value)?, origin: found.origin })))
    }

    /// The lists of a table that a database may have of its own.
    fn table_of_lists(&self, table: &str, name: &str) -> Vec<String> {
        match self.in_table(table, name) {
            Some(Value::List(list)) => list.clone(),
            _ => Vec::new(),
        }
    }

    /// A value of a table that a database may have of its own.
    pub(super) fn in_table(&self, table: &str, name: &str) -> Option<&Value> {
        let entry = match self.database {
            Some(database) if self.has_own(database, table) => {
                self.config.entry(&["databases", database, table, name])
            }
            _ => self.config.entry(&[table, name]),
        };
        entry.map(|entry| &entry.value)
    }

    fn has_own(&self, database: &str, table: &str) -> bool {
        let start = ["databases", database, table];
        let below =
            |path: &[String]| path.len() > 3 && path.iter().zip(start).all(|(part, word)| part == word);
        self.config.entries.iter().any(|entry| below(&entry.path))
    }

    fn priorities(&self) -> Vec<String> {
        let classes = (0..10).map(|class| format!("P{class}"));
        let with_patterns = classes.map(|class| (self.table_of_lists("priorities", &class), class));
        with_patterns
            .filter(|(patterns, _)| !patterns.is_empty())
            .map(|(patterns, class)| format!("{class}={}", patterns.join(",")))
            .collect()
    }
}

/// The value of a variable, of the form that its key has.
fn from_variable(key: &Key, variable: &str, text: &str) -> Result<Value, ConfigError> {
    let wrong = |why: String| ConfigError::Value { key: variable.to_owned(), why };
    Ok(match key.form {
        Form::List | Form::Words(_) => {
            Value::List(text.split(',').map(|part| part.trim().to_owned()).collect())
        }
        Form::Paths => Value::List(text.split(':').map(str::to_owned).collect()),
        Form::Whole(least, most) => {
            let number = text.trim().parse().ok().filter(|number| (least..=most).contains(number));
            Value::Whole(number.ok_or_else(|| wrong(format!("a {} is expected", key.form.describe())))?)
        }
        Form::Flag => match text {
            "true" | "1" | "on" | "yes" => Value::Flag(true),
            "false" | "0" | "off" | "no" => Value::Flag(false),
            _ => return Err(wrong("true or false is expected".to_owned())),
        },
        _ if variable == "BACKUP_S3_BUCKET" && !text.contains("://") => {
            Value::Text(format!("s3://{}", text.trim_matches('/')))
        }
        _ => Value::Text(text.to_owned()),
    })
}
