//! The connection parameters that libpq knows (manual, section 32.1.2), and where their values come from.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use super::error::OptionsError;

/// What this program does with a parameter of libpq.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    /// It is honoured.
    Honoured,
    /// It is taken and has no effect, for it cannot weaken the connection.
    Ignored,
    /// It is refused, with the reason.
    Refused(&'static str),
}

const GSS: &str = "GSSAPI is not built in";

/// Keyword, environment variable (manual, section 32.15), what becomes of it.
const PARAMETERS: &[(&str, &str, Use)] = &[
    ("service", "PGSERVICE", Use::Honoured),
    ("servicefile", "PGSERVICEFILE", Use::Honoured),
    ("host", "PGHOST", Use::Honoured),
    ("hostaddr", "PGHOSTADDR", Use::Honoured),
    ("port", "PGPORT", Use::Honoured),
    ("dbname", "PGDATABASE", Use::Honoured),
    ("user", "PGUSER", Use::Honoured),
    ("password", "PGPASSWORD", Use::Honoured),
    ("passfile", "PGPASSFILE", Use::Honoured),
    ("connect_timeout", "PGCONNECT_TIMEOUT", Use::Honoured),
    ("options", "PGOPTIONS", Use::Honoured),
    ("application_name", "PGAPPNAME", Use::Honoured),
    ("fallback_application_name", "", Use::Honoured),
    ("sslmode", "PGSSLMODE", Use::Honoured),
    ("sslnegotiation", "PGSSLNEGOTIATION", Use::Honoured),
    ("sslrootcert", "PGSSLROOTCERT", Use::Honoured),
    ("sslcert", "PGSSLCERT", Use::Honoured),
    ("sslkey", "PGSSLKEY", Use::Honoured),
    ("sslcrl", "PGSSLCRL", Use::Honoured),
    ("sslsni", "PGSSLSNI", Use::Honoured),
    ("channel_binding", "PGCHANNELBINDING", Use::Honoured),
    ("target_session_attrs", "PGTARGETSESSIONATTRS", Use::Honoured),
    ("load_balance_hosts", "PGLOADBALANCEHOSTS", Use::Honoured),
    ("keepalives", "", Use::Honoured),
    ("keepalives_idle", "", Use::Honoured),
    ("keepalives_interval", "", Use::Honoured),
    ("keepalives_count", "", Use::Honoured),
    ("tcp_user_timeout", "", Use::Honoured),
    ("gssencmode", "PGGSSENCMODE", Use::Honoured),
    ("client_encoding", "", Use::Ignored),
    ("sslcompression", "PGSSLCOMPRESSION", Use::Ignored),
    ("krbsrvname", "PGKRBSRVNAME", Use::Ignored),
    ("gsslib", "PGGSSLIB", Use::Ignored),
    ("gssdelegation", "PGGSSDELEGATION", Use::Ignored),
    ("sslkeylogfile", "", Use::Refused("traffic keys are never written out")),
    (
        "sslpassword",
        "",
        Use::Refused("encrypted client keys are not read; store the key without a passphrase"),
    ),
    ("sslcrldir", "PGSSLCRLDIR", Use::Refused("use sslcrl with one file")),
    (
        "sslcertmode",
        "PGSSLCERTMODE",
        Use::Refused("a client certificate is sent when the server asks and one exists"),
    ),
    ("ssl_min_protocol_version", "PGSSLMINPROTOCOLVERSION", Use::Honoured),
    ("ssl_max_protocol_version", "PGSSLMAXPROTOCOLVERSION", Use::Honoured),
    ("min_protocol_version", "PGMINPROTOCOLVERSION", Use::Honoured),
    ("max_protocol_version", "PGMAXPROTOCOLVERSION", Use::Ignored),
    ("require_auth", "PGREQUIREAUTH", Use::Refused("use channel_binding=require or sslmode=verify-full")),
    ("requirepeer", "PGREQUIREPEER", Use::Refused("the owner of a socket is not checked")),
    ("requiressl", "PGREQUIRESSL", Use::Refused("use sslmode=require")),
    ("replication", "", Use::Refused("a backup uses ordinary sessions")),
    ("scram_client_key", "", Use::Refused("pass-through of SCRAM keys is not built in")),
    ("scram_server_key", "", Use::Refused("pass-through of SCRAM keys is not built in")),
    ("oauth_issuer", "", Use::Refused("OAuth is not built in")),
    ("oauth_client_id", "", Use::Refused("OAuth is not built in")),
    ("oauth_client_secret", "", Use::Refused("OAuth is not built in")),
    ("oauth_scope", "", Use::Refused("OAuth is not built in")),
    ("authtype", "", Use::Ignored),
    ("tty", "", Use::Ignored),
];

/// Values of refused parameters that ask for nothing.
const NEUTRAL: &[(&str, &str)] = &[
    ("sslcertmode", "allow"),
    ("requiressl", "0"),
    ("replication", "false"),
    ("replication", "off"),
    ("replication", "no"),
    ("replication", "0"),
];

/// Values by keyword. `Debug` does not show them, for one may be a password.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Params(BTreeMap<&'static str, String>);

impl Params {
    /// Sets a value; a later one replaces an earlier one, as in libpq.
    pub(crate) fn set(&mut self, name: &str, value: String) -> Result<(), OptionsError> {
        let Some((keyword, _, used)) = PARAMETERS.iter().find(|(keyword, _, _)| *keyword == name) else {
            return Err(OptionsError::Unknown { name: name.to_owned() });
        };
        if let Use::Refused(why) = used
            && !value.is_empty()
            && !NEUTRAL.contains(&(name, value.as_str()))
        {
            return Err(OptionsError::Unsupported { name: name.to_owned(), why });
        }
        if *keyword == "gssencmode" && !matches!(value.as_str(), "" | "disable" | "prefer") {
            return Err(OptionsError::Unsupported { name: name.to_owned(), why: GSS });
        }
        self.0.insert(keyword, value);
        Ok(())
    }

    /// The value, if one is set; it may be empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The value, if one is set and not empty.
    pub(crate) fn given(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !value.is_empty())
    }

    /// Takes over what is not set here.
    pub(crate) fn fill_from(&mut self, other: Self) {
        for (name, value) in other.0 {
            self.0.entry(name).or_insert(value);
        }
    }

    /// As a keyword/value string (manual, section 32.1.1.1).
    pub(crate) fn to_text(&self) -> String {
        let quoted = |value: &str| value.replace('\\', "\\\\").replace('\'', "\\'");
        let pairs = self.0.iter().map(|(name, value)| format!("{name}='{}'", quoted(value)));
        pairs.collect::<Vec<_>>().join(" ")
    }

    /// What the environment says.
    pub(crate) fn from_env(env: &EnvLookup) -> Result<Self, OptionsError> {
        let mut params = Self::default();
        for (keyword, variable, _) in PARAMETERS.iter().filter(|(_, variable, _)| !variable.is_empty()) {
            if let Some(value) = env.var(variable) {
                params.set(keyword, value)?;
            }
        }
        Ok(params)
    }
}

impl fmt::Debug for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

type Lookup = dyn Fn(&str) -> Option<String> + Send + Sync;

/// The surroundings that libpq consults: environment variables, the home directory, the user's name. Injected, so
/// that tests need not change the process.
#[derive(Clone)]
pub struct EnvLookup {
    vars: Arc<Lookup>,
    home: Option<PathBuf>,
    user: Option<String>,
}

impl EnvLookup {
    /// The process's own surroundings. A variable that is not UTF-8 counts as unset.
    pub fn system() -> Self {
        let vars = |name: &str| std::env::var(name).ok();
        Self { vars: Arc::new(vars), home: std::env::home_dir(), user: whoami::username().ok() }
    }

    /// Surroundings made up of `vars`, a home directory and the name of the operating system's user.
    pub fn fixed(vars: &[(&str, &str)], home: Option<PathBuf>, user: Option<&str>) -> Self {
        let vars: BTreeMap<String, String> =
            vars.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self { vars: Arc::new(move |name| vars.get(name).cloned()), home, user: user.map(str::to_owned) }
    }

    /// The variable's value, if it is set.
    pub fn var(&self, name: &str) -> Option<String> {
        (self.vars)(name)
    }

    /// A file in the home directory, such as `.pgpass`.
    pub(crate) fn in_home(&self, path: &str) -> Option<PathBuf> {
        self.home.as_ref().map(|home| home.join(path))
    }

    /// The operating system's user.
    pub(crate) fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }
}

impl fmt::Debug for EnvLookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnvLookup")
            .field("home", &self.home)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}
