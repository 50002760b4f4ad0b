//! Named databases: how they are reached.

use super::file::Value;
use super::{Config, ConfigError, supabase};
use crate::pg::ConnectOptions;
use crate::pg::options::conninfo;

/// Keys of a database that are parameters of libpq, by the same name.
const PARTS: &[&str] = &[
    "host",
    "port",
    "dbname",
    "user",
    "passfile",
    "service",
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "connect_timeout",
    "options",
    "target_session_attrs",
];
/// Those that are paths.
const PATHS: &[&str] = &["passfile", "sslcert", "sslkey"];
/// Variables that say which database is meant.
const SAID_BY_ENVIRONMENT: &[&str] = &["PGSERVICE", "PGHOST", "PGHOSTADDR", "PGDATABASE"];

/// What a command line's `DBURL` means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meant {
    /// The configured database, if it is one.
    pub name: Option<String>,
    /// The connection string; `None` leaves all to the environment.
    pub conninfo: Option<String>,
}

impl Config {
    /// What `DBURL` means: a configured name, else what psql would take. Without one: `PGCASK_DATABASE`; what `PGHOST` and its
    /// kind say; `NEXT_PUBLIC_SUPABASE_URL` with `SUPABASE_DB_PASSWORD`; `default_database`, or the only one configured.
    ///
    /// # Errors
    /// [`ConfigError::Value`] when a password cannot be had, or a part of the connection has no meaning.
    pub fn database(&self, given: Option<&str>) -> Result<Meant, ConfigError> {
        let names = self.databases();
        if let Some(text) = given {
            if names.contains(&text) {
                return self.named(text);
            }
            return Ok(Meant { name: None, conninfo: Some(text.to_owned()) });
        }
        let variable = |name| super::env::given(&self.env, name);
        if let Some(name) = variable("PGCASK_DATABASE") {
            if names.contains(&name.as_str()) {
                return self.named(&name);
            }
            let why = format!("there is no [databases.{name}] in the configuration");
            return Err(ConfigError::Value { key: "PGCASK_DATABASE".to_owned(), why });
        }
        if SAID_BY_ENVIRONMENT.iter().any(|name| variable(name).is_some()) {
            return Ok(Meant { name: None, conninfo: None });
        }
        if let (Some(url), Some(password)) =
            (variable("NEXT_PUBLIC_SUPABASE_URL"), variable("SUPABASE_DB_PASSWORD"))
        {
            let parts = supabase::direct(&url)
                .map_err(|why| ConfigError::Value { key: "NEXT_PUBLIC_SUPABASE_URL".to_owned(), why })?;
            return Ok(Meant { name: None, conninfo: Some(join(None, parts, Some(password))?) });
        }
        match self.default_database() {
            Some(name) => self.named(&name),
            None => Ok(Meant { name: None, conninfo: None }),
        }
    }

    /// The database that the file means where none is named.
    pub fn default_database(&self) -> Option<String> {
        let said = self.entry(&["default_database"]).and_then(|entry| entry.value.text());
        let names = self.databases();
        said.map(str::to_owned).or_else(|| match names.as_slice() {
            [only] => Some((*only).to_owned()),
            _ => None,
        })
    }

    /// The database's own name at its server, which its backups bear.
    pub fn database_name(&self, name: &str) -> String {
        let text = |key: &str| self.entry(&["databases", name, key]).and_then(|entry| entry.value.text());
        let of_url =
            || text("url").and_then(|url| ConnectOptions::parse(url).ok()).map(|options| options.database);
        let said = text("dbname").map(str::to_owned).or_else(of_url);
        said.unwrap_or_else(|| if text("supabase_url").is_some() { "postgres" } else { name }.to_owned())
    }

    /// A configured database, with its password.
    fn named(&self, name: &str) -> Result<Meant, ConfigError> {
        let entry = |key: &str| self.entry(&["databases", name, key]).map(|entry| &entry.value);
        let mut parts = Vec::new();
        if let Some(url) = entry("supabase_url").and_then(Value::text) {
            let key = format!("databases.{name}.supabase_url");
            parts = supabase::direct(url).map_err(|why| ConfigError::Value { key, why })?;
        }
        for part in PARTS {
            let text = match entry(part) {
                Some(Value::Text(text)) if PATHS.contains(part) => self.path(text).display().to_string(),
                Some(Value::Text(text)) => text.clone(),
                Some(Value::Whole(number)) => number.to_string(),
                _ => continue,
            };
            parts.retain(|(known, _)| known != part);
            parts.push((part, text));
        }
        let password = match entry("password") {
            Some(Value::Secret(source)) => {
                Some(self.take(&format!("databases.{name}.password"), source)?.expose().to_owned())
            }
            _ => None,
        };
        let url = entry("url").and_then(Value::text);
        // As psql takes a bare word for a database: so is the table's name where nothing says another.
        if url.is_none() && !parts.iter().any(|(part, _)| matches!(*part, "dbname" | "service")) {
            parts.push(("dbname", name.to_owned()));
        }
        Ok(Meant { name: Some(name.to_owned()), conninfo: Some(join(url, parts, password)?) })
    }
}

fn join(
    url: Option<&str>,
    mut parts: Vec<(&'static str, String)>,
    password: Option<String>,
) -> Result<String, ConfigError> {
    parts.extend(password.map(|password| ("password", password)));
    conninfo(url, parts).map_err(|error| ConfigError::Value { key: "url".to_owned(), why: error.to_string() })
}
