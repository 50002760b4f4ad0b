//! What a connection needs, resolved as libpq resolves it: connection string, then service file, then environment,
//! then defaults (manual, sections 32.1.2, 32.15 to 32.17).

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::error::OptionsError;
pub use super::hosts::{Endpoint, Host};
use super::params::{EnvLookup, Params};
use super::pgpass::PgPass;
use super::quote;
use super::secret::Secret;
pub use super::tls_options::{RootCerts, SslMode, TlsFile, TlsOptions};
use super::{hosts, service, tls_options, uri};

/// Whether SCRAM is bound to the TLS channel (manual, section 54.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelBinding {
    /// Not used.
    Disable,
    /// Used where the server offers it.
    Prefer,
    /// A connection without it fails.
    Require,
}

/// Which of several servers will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetSessionAttrs {
    /// The first that answers.
    Any,
    /// One whose sessions can write.
    ReadWrite,
    /// One whose sessions cannot write.
    ReadOnly,
    /// One that is not in recovery.
    Primary,
    /// One that is in recovery.
    Standby,
    /// A standby if there is one, otherwise any.
    PreferStandby,
}

/// The settings of TCP connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TcpOptions {
    /// Whether keepalives are sent.
    pub keepalives: bool,
    /// Idle time before the first; `None` is the system's default.
    pub idle: Option<Duration>,
    /// Time between two.
    pub interval: Option<Duration>,
    /// How many may be lost.
    pub count: Option<u32>,
    /// How long sent data may stay unacknowledged.
    pub user_timeout: Option<Duration>,
}

/// All that it takes to connect.
#[derive(Debug, Clone)]
pub struct ConnectOptions {
    /// The servers, in the order in which they are tried.
    pub hosts: Vec<Endpoint>,
    /// Whether hosts and addresses are tried in random order.
    pub load_balance: bool,
    /// The user.
    pub user: String,
    /// The database.
    pub database: String,
    /// The time for one address, from the first packet to the end of authentication; `None` waits for ever.
    pub connect_timeout: Option<Duration>,
    /// `options`: settings sent when the session starts.
    pub options: Option<String>,
    /// The name under which sessions show in `pg_stat_activity`, if one is asked for.
    pub application_name: Option<String>,
    /// Which servers will do.
    pub target: TargetSessionAttrs,
    /// Channel binding.
    pub channel_binding: ChannelBinding,
    /// TCP.
    pub tcp: TcpOptions,
    /// TLS.
    pub tls: TlsOptions,
    /// What the operator should know, such as a password file that is not used.
    pub warnings: Vec<String>,
    password: Option<Secret>,
    passfile: Arc<PgPass>,
}

impl ConnectOptions {
    /// Reads a URL, keyword/value pairs or the name of a database. Neither the environment nor a file is consulted.
    ///
    /// # Errors
    /// [`OptionsError`] names the parameter at fault.
    pub fn parse(text: &str) -> Result<Self, OptionsError> {
        Self::resolve(Some(text), &EnvLookup::fixed(&[], None, EnvLookup::system().user()))
    }

    /// Resolves as psql does: `text`, then the service file, then the environment, then the defaults.
    ///
    /// # Errors
    /// [`OptionsError`] names the parameter, the service or the file at fault.
    pub fn resolve(text: Option<&str>, env: &EnvLookup) -> Result<Self, OptionsError> {
        let mut params = uri::parse(text.unwrap_or_default())?;
        let environment = Params::from_env(env)?;
        let value = |name| params.given(name).or_else(|| environment.given(name)).map(str::to_owned);
        if let Some(name) = value("service") {
            let file = value("servicefile");
            params.fill_from(service::load(&name, file.as_deref(), env)?);
        }
        params.fill_from(environment);
        Self::from_params(&params, env)
    }

    fn from_params(params: &Params, env: &EnvLookup) -> Result<Self, OptionsError> {
        let user = params.given("user").or_else(|| env.user()).ok_or(OptionsError::NoUser)?.to_owned();
        let database = params.given("dbname").unwrap_or(&user).to_owned();
        let passfile = params.given("passfile").map(PathBuf::from).or_else(|| env.in_home(".pgpass"));
        let password = params.given("password").map(Secret::new);
        let (passfile, warning) = match passfile {
            Some(path) if password.is_none() => PgPass::load(&path),
            _ => (PgPass::default(), None),
        };
        if params.given("min_protocol_version").is_some_and(|version| version != "3.0") {
            let why = "version 3.0 of the protocol is spoken";
            return Err(OptionsError::Unsupported { name: "min_protocol_version".to_owned(), why });
        }
        Ok(Self {
            hosts: hosts::resolve(params)?,
            load_balance: choice(
                params,
                "load_balance_hosts",
                "disable or random",
                &[("disable", false), ("random", true)],
            )?
            .unwrap_or(false),
            user,
            database,
            connect_timeout: integer(params, "connect_timeout")?.and_then(seconds),
            options: params.given("options").map(str::to_owned),
            application_name: params.given("application_name").map(str::to_owned),
            target: target(params)?,
            channel_binding: channel_binding(params)?,
            tcp: tcp(params)?,
            tls: tls_options::resolve(params, env)?,
            warnings: warning.into_iter().collect(),
            password,
            passfile: Arc::new(passfile),
        })
    }

    /// The same server and user, another database.
    #[must_use]
    pub fn with_database(&self, name: &str) -> Self {
        Self { database: name.to_owned(), ..self.clone() }
    }

    /// The same with this password, for instance one that was asked for at the terminal.
    #[must_use]
    pub fn with_password(&self, password: Secret) -> Self {
        Self { password: Some(password), ..self.clone() }
    }

    /// The password for one of the hosts: the given one, or that of the password file.
    pub fn password_for(&self, endpoint: &Endpoint) -> Option<Secret> {
        if self.password.is_some() {
            return self.password.clone();
        }
        let host = match &endpoint.host {
            Host::Tcp { name, .. } => name.clone(),
            Host::Unix(dir) if hosts::SOCKET_DIRS.iter().any(|default| dir.as_os_str() == *default) => {
                "localhost".to_owned()
            }
            Host::Unix(dir) => dir.display().to_string(),
        };
        self.passfile.find(&host, endpoint.port, &self.database, &self.user)
    }

    /// `user@host:port,…/database`, for messages. It has no password and no control characters.
    pub fn display(&self) -> String {
        let mut text = format!("{}@", self.user);
        for (at, endpoint) in self.hosts.iter().enumerate() {
            let comma = if at > 0 { "," } else { "" };
            text.push_str(comma);
            text.push_str(&endpoint.to_string());
        }
        text.push('/');
        text.push_str(&self.database);
        quote::printable(&text)
    }
}

/// One connection string out of a URL, keyword string or database name, and parameters that add to it or replace what it says.
///
/// # Errors
/// [`OptionsError`] names the parameter at fault.
pub fn conninfo(text: Option<&str>, parts: Vec<(&str, String)>) -> Result<String, OptionsError> {
    let mut params = uri::parse(text.unwrap_or_default())?;
    for (name, value) in parts {
        params.set(name, value)?;
    }
    Ok(params.to_text())
}

pub(super) fn invalid(name: &'static str, value: &str, expected: &'static str) -> OptionsError {
    OptionsError::Invalid { name, value: value.to_owned(), expected }
}

/// One of several words.
pub(super) fn choice<T: Copy>(
    params: &Params,
    name: &'static str,
    expected: &'static str,
    values: &[(&str, T)],
) -> Result<Option<T>, OptionsError> {
    let Some(value) = params.given(name) else {
        return Ok(None);
    };
    let found = values.iter().find(|(word, _)| *word == value).map(|(_, meaning)| *meaning);
    found.map(Some).ok_or_else(|| invalid(name, value, expected))
}

fn integer(params: &Params, name: &'static str) -> Result<Option<i32>, OptionsError> {
    let Some(value) = params.given(name) else {
        return Ok(None);
    };
    value.trim().parse().map(Some).map_err(|_| invalid(name, value, "an integer"))
}

/// Zero and less mean the default: no limit.
fn seconds(value: i32) -> Option<Duration> {
    u64::try_from(value).ok().filter(|value| *value > 0).map(Duration::from_secs)
}

fn target(params: &Params) -> Result<TargetSessionAttrs, OptionsError> {
    use TargetSessionAttrs as T;
    let values = [
        ("any", T::Any),
        ("read-write", T::ReadWrite),
        ("read-only", T::ReadOnly),
        ("primary", T::Primary),
        ("standby", T::Standby),
        ("prefer-standby", T::PreferStandby),
    ];
    let expected = "any, read-write, read-only, primary, standby or prefer-standby";
    Ok(choice(params, "target_session_attrs", expected, &values)?.unwrap_or(T::Any))
}

fn channel_binding(params: &Params) -> Result<ChannelBinding, OptionsError> {
    use ChannelBinding as C;
    let values = [("disable", C::Disable), ("prefer", C::Prefer), ("require", C::Require)];
    Ok(choice(params, "channel_binding", "disable, prefer or require", &values)?.unwrap_or(C::Prefer))
}

fn tcp(params: &Params) -> Result<TcpOptions, OptionsError> {
    let count = integer(params, "keepalives_count")?.and_then(|count| u32::try_from(count).ok());
    let timeout = integer(params, "tcp_user_timeout")?.and_then(|millis| u64::try_from(millis).ok());
    Ok(TcpOptions {
        keepalives: integer(params, "keepalives")?.unwrap_or(1) != 0,
        idle: integer(params, "keepalives_idle")?.and_then(seconds),
        interval: integer(params, "keepalives_interval")?.and_then(seconds),
        count: count.filter(|count| *count > 0),
        user_timeout: timeout.filter(|millis| *millis > 0).map(Duration::from_millis),
    })
}

#[cfg(test)]
#[path = "options_test.rs"]
mod tests;
