//! The parameters of TLS (manual, sections 32.1.2 and 32.19).

use std::path::PathBuf;

use super::error::OptionsError;
use super::options::{choice, invalid};
use super::params::{EnvLookup, Params};

/// How much of TLS is demanded (manual, section 32.19.1). Not used on Unix sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SslMode {
    /// Never TLS.
    Disable,
    /// TLS only if the server refuses without it.
    Allow,
    /// TLS if the server has it, not verified.
    Prefer,
    /// TLS; the server's certificate is verified only if a root certificate file exists.
    Require,
    /// TLS, with a certificate of a trusted authority.
    VerifyCa,
    /// As `VerifyCa`, and the certificate is for the host that was asked for.
    VerifyFull,
}

/// Certificates that are trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootCerts {
    /// Those of the operating system.
    System,
    /// A file; `given` tells a file that was asked for from the default `~/.postgresql/root.crt`.
    File {
        /// The file.
        path: PathBuf,
        /// Whether a parameter names it.
        given: bool,
    },
    /// There is no home directory that could hold any.
    None,
}

/// A file that a parameter names, or libpq's default, which need not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFile {
    /// The file.
    pub path: PathBuf,
    /// Whether a parameter names it.
    pub given: bool,
}

/// The settings of TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsOptions {
    /// `sslmode`.
    pub mode: SslMode,
    /// `sslnegotiation=direct`: TLS from the first byte (servers from 17).
    pub direct: bool,
    /// `sslrootcert`.
    pub roots: RootCerts,
    /// `sslcert`.
    pub cert: Option<TlsFile>,
    /// `sslkey`.
    pub key: Option<TlsFile>,
    /// `sslcrl`.
    pub crl: Option<TlsFile>,
    /// `sslsni`: whether the host name is sent in clear.
    pub sni: bool,
    /// Whether TLS 1.2 is allowed.
    pub tls12: bool,
    /// Whether TLS 1.3 is allowed.
    pub tls13: bool,
}

pub(super) fn resolve(params: &Params, env: &EnvLookup) -> Result<TlsOptions, OptionsError> {
    let roots = match params.given("sslrootcert") {
        Some("system") => RootCerts::System,
        Some(path) => RootCerts::File { path: PathBuf::from(path), given: true },
        None => env
            .in_home(".postgresql/root.crt")
            .map_or(RootCerts::None, |path| RootCerts::File { path, given: false }),
    };
    let mode = mode(params, &roots)?;
    let direct = [("postgres", false), ("direct", true)];
    let direct = choice(params, "sslnegotiation", "postgres or direct", &direct)?.unwrap_or(false);
    if direct && mode < SslMode::Require {
        let given = params.given("sslmode").unwrap_or("prefer");
        return Err(invalid("sslmode", given, "require or stronger, as sslnegotiation=direct asks"));
    }
    let (tls12, tls13) = versions(params)?;
    let file = |name, default: &str| match params.given(name) {
        Some(path) => Some(TlsFile { path: PathBuf::from(path), given: true }),
        None => env.in_home(default).map(|path| TlsFile { path, given: false }),
    };
    Ok(TlsOptions {
        mode,
        direct,
        roots,
        cert: file("sslcert", ".postgresql/postgresql.crt"),
        key: file("sslkey", ".postgresql/postgresql.key"),
        crl: file("sslcrl", ".postgresql/root.crl"),
        sni: choice(params, "sslsni", "0 or 1", &[("0", false), ("1", true)])?.unwrap_or(true),
        tls12,
        tls13,
    })
}

impl std::fmt::Display for SslMode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Disable => "disable",
            Self::Allow => "allow",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        })
    }
}

fn mode(params: &Params, roots: &RootCerts) -> Result<SslMode, OptionsError> {
    use SslMode as M;
    let values = [
        ("disable", M::Disable),
        ("allow", M::Allow),
        ("prefer", M::Prefer),
        ("require", M::Require),
        ("verify-ca", M::VerifyCa),
        ("verify-full", M::VerifyFull),
    ];
    let system = *roots == RootCerts::System;
    let default = if system { M::VerifyFull } else { M::Prefer };
    let expected = "disable, allow, prefer, require, verify-ca or verify-full";
    let mode = choice(params, "sslmode", expected, &values)?.unwrap_or(default);
    if system && mode != M::VerifyFull {
        let given = params.given("sslmode").unwrap_or_default();
        return Err(invalid("sslmode", given, "verify-full, as sslrootcert=system asks"));
    }
    Ok(mode)
}

/// Whether TLS 1.2 and 1.3 are allowed. Older ones never are.
fn versions(params: &Params) -> Result<(bool, bool), OptionsError> {
    let least = [("TLSv1", false), ("TLSv1.1", false), ("TLSv1.2", false), ("TLSv1.3", true)];
    let most = [("TLSv1.2", false), ("TLSv1.3", true)];
    let least = choice(params, "ssl_min_protocol_version", "TLSv1 to TLSv1.3", &least)?;
    let most = choice(params, "ssl_max_protocol_version", "TLSv1.2 or TLSv1.3", &most)?;
    if (least, most) == (Some(true), Some(false)) {
        return Err(invalid("ssl_max_protocol_version", "TLSv1.2", "at least ssl_min_protocol_version"));
    }
    Ok((least != Some(true), most != Some(false)))
}
