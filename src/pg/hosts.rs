//! Where the servers are: `host`, `hostaddr` and `port` (manual, section 32.1.2).

use std::net::IpAddr;
use std::path::PathBuf;

use super::error::OptionsError;
use super::options::invalid;
use super::params::Params;

/// The port when none is given.
const DEFAULT_PORT: u16 = 5432;

/// Where servers put their sockets: Debian's and Red Hat's directory, then that of PostgreSQL's own sources.
pub(super) const SOCKET_DIRS: [&str; 2] = ["/var/run/postgresql", "/tmp"];

/// Where one server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// A host name or address, and the address to use without asking the resolver.
    Tcp {
        /// The name, for the certificate and for messages.
        name: String,
        /// `hostaddr`.
        address: Option<IpAddr>,
    },
    /// The directory of a Unix socket; a name that starts with `@` is in the abstract namespace.
    Unix(PathBuf),
}

/// A host with its port; the port is also part of a Unix socket's file name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The host.
    pub host: Host,
    /// The port.
    pub port: u16,
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.host {
            Host::Tcp { name, .. } if name.contains(':') => write!(f, "[{name}]:{}", self.port),
            Host::Tcp { name, .. } => write!(f, "{name}:{}", self.port),
            Host::Unix(dir) => write!(f, "{}:{}", dir.display(), self.port),
        }
    }
}

/// The list of servers. A list of hosts or addresses takes one port for all, or one each.
pub(super) fn resolve(params: &Params) -> Result<Vec<Endpoint>, OptionsError> {
    let split = |name| params.given(name).map(|list| list.split(',').map(str::trim).collect::<Vec<_>>());
    let (names, addresses, ports) = (split("host"), split("hostaddr"), split("port").unwrap_or_default());
    let count = addresses.as_ref().or(names.as_ref()).map_or(1, Vec::len);
    if names.as_ref().is_some_and(|names| names.len() != count) {
        return Err(invalid("hostaddr", &count.to_string(), "as many addresses as host has names"));
    }
    if ports.len() > 1 && ports.len() != count {
        return Err(invalid("port", &ports.join(","), "one port, or one for each host"));
    }
    let mut endpoints = Vec::new();
    for at in 0..count {
        let port = port(ports.get(at).or_else(|| ports.first()).copied().unwrap_or_default())?;
        let item = |list: &Option<Vec<&str>>| {
            list.as_ref().and_then(|list| list.get(at)).copied().unwrap_or_default().to_owned()
        };
        let (name, address) = (item(&names), item(&addresses));
        let mut push = |host| endpoints.push(Endpoint { host, port });
        if !address.is_empty() {
            let parsed: IpAddr =
                address.parse().map_err(|_| invalid("hostaddr", &address, "an IPv4 or IPv6 address"))?;
            let name = if name.is_empty() { address } else { name };
            push(Host::Tcp { name, address: Some(parsed) });
        } else if name.is_empty() {
            for dir in SOCKET_DIRS {
                push(Host::Unix(PathBuf::from(dir)));
            }
        } else if name.starts_with(['/', '@']) {
            push(Host::Unix(PathBuf::from(name)));
        } else {
            push(Host::Tcp { name, address: None });
        }
    }
    Ok(endpoints)
}

fn port(text: &str) -> Result<u16, OptionsError> {
    if text.is_empty() {
        return Ok(DEFAULT_PORT);
    }
    let port = text.parse().ok().filter(|port| *port > 0);
    port.ok_or_else(|| invalid("port", text, "a number from 1 to 65535"))
}
