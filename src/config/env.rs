//! Every environment variable that is understood, in one list.

use std::path::PathBuf;

use super::Config;
use super::origin::Origin;
use crate::pg::EnvLookup;

/// A variable.
#[derive(Debug, Clone, Copy)]
pub struct Variable {
    /// Its name, or the beginning of names when it ends in `*`.
    pub name: &'static str,
    /// The key that it takes the place of, if it does.
    pub key: &'static str,
    /// What it means.
    pub about: &'static str,
}

const fn variable(name: &'static str, key: &'static str, about: &'static str) -> Variable {
    Variable { name, key, about }
}

/// All of them. Of two for one key the first wins.
pub const VARIABLES: &[Variable] = &[
    variable("PGCASK_CONFIG", "", "The configuration file."),
    variable("PGCASK_ENV_FILE", "", "The `.env` file, in place of `./.env`; empty: none."),
    variable(
        "PGCASK_DATABASE",
        "default_database",
        "The database that is meant where none is named: a configured one.",
    ),
    variable("PGCASK_STORE", "store", "The store: a configured one, a folder or a URL."),
    variable("BACKUP_S3_BUCKET", "store", "The store, as an S3 bucket: `name` or `name/prefix`."),
    variable(
        "PGCASK_COPY_TO",
        "copy_to",
        "Stores that each backup is copied to; several with commas between.",
    ),
    variable("PGCASK_RECIPIENT", "recipients", "For whom backups are sealed; several with commas between."),
    variable("BACKUP_GPG_RECIPIENT", "recipients", "For whom backups are sealed: an OpenPGP key."),
    variable(
        "PGCASK_IDENTITY",
        "identities",
        "Identity files that open archives; several with colons between.",
    ),
    variable("PGCASK_PASSPHRASE_FILE", "passphrase_file", "File whose first line is the passphrase."),
    variable("PGCASK_PASSPHRASE_COMMAND", "passphrase_command", "Shell command that prints the passphrase."),
    variable("PGCASK_ERASURE_KEY_FILE", "erasure_key_file", "File of the key of hashed erasures."),
    variable("PGCASK_PASSPHRASE", "", "The passphrase itself."),
    variable(
        "PGCASK_IDENTITY_PASSPHRASE_FILE",
        "",
        "File whose first line is the passphrase of a protected identity.",
    ),
    variable("PGCASK_IDENTITY_PASSPHRASE", "", "The passphrase of a protected identity itself."),
    variable(
        "PGCASK_KEY_COMMAND",
        "key_command",
        "Shell command that wraps and unwraps archives' keys, in front of a KMS.",
    ),
    variable(
        "PGCASK_STORE_TIMEOUT",
        "",
        "Seconds for which a store that cannot be reached is tried; 30 without it.",
    ),
    variable(
        "NEXT_PUBLIC_SUPABASE_URL",
        "",
        "With `SUPABASE_DB_PASSWORD`, and where no database is named: the direct host of this Supabase project.",
    ),
    variable("SUPABASE_DB_PASSWORD", "", "Password of its database."),
    variable(
        "PGCASK_AUDIT",
        "",
        "Where entries of the audit log go: `store`, `local` (this host alone) or `off`; `store` without it.",
    ),
    variable(
        "XDG_STATE_HOME",
        "",
        "Folder of what this host keeps of runs, drills and the audit log, in its `pgcask`; `~/.local/state` without it.",
    ),
    variable("NO_COLOR", "", "No colours."),
    variable("PG*", "", "libpq's variables (`PGHOST`, `PGUSER`, `PGPASSWORD` …), as in psql."),
    variable(
        "AWS_*",
        "",
        "Credentials, region and endpoint of S3 stores, as the platform's own tools take them.",
    ),
    variable("GOOGLE_*", "", "Those of Google stores."),
    variable("AZURE_*", "", "Those of Azure stores."),
];

/// Whether a variable is one of ours.
pub fn is_known(name: &str) -> bool {
    VARIABLES.iter().any(|variable| match variable.name.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == variable.name,
    })
}

/// The variable that says something about a key, and what it says.
pub(super) fn of_key(env: &EnvLookup, key: &str) -> Option<(&'static str, String)> {
    let mut candidates = VARIABLES.iter().filter(|variable| variable.key == key);
    candidates.find_map(|variable| Some((variable.name, given(env, variable.name)?)))
}

/// A variable that is set and not empty.
pub(super) fn given(env: &EnvLookup, name: &str) -> Option<String> {
    env.var(name).filter(|value| !value.is_empty())
}

impl Config {
    /// The origin of a variable's value: the environment, or a `.env` file.
    pub(super) fn origin_of_variable(&self, name: &str) -> Origin {
        match super::dotenv::adopted(&self.env) {
            Some((file, names)) if names.iter().any(|adopted| adopted == name) => {
                Origin::DotEnv { name: name.to_owned(), file: PathBuf::from(file) }
            }
            _ => Origin::Environment(name.to_owned()),
        }
    }
}
