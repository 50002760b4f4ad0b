//! Connecting: hosts, addresses, the rules of `sslmode`, and what the server's answer means.
//!
//! The order of trials is libpq's (manual, section 32.1.1.3): the next host is tried when an address cannot be
//! reached, the server is starting up, or it is not what `target_session_attrs` asks for; a rejected user or database
//! ends the search.

use std::future::poll_fn;
use std::sync::Arc;

use tokio_postgres::config::SslNegotiation;
use tokio_postgres::{AsyncMessage, Client, Connection};

use super::copy::tap::{Tap, TapHandle};
use super::error::{Attempt, PgError, ServerError, chain};
use super::link::LinkState;
use super::options::{ChannelBinding, ConnectOptions, Endpoint, Host, SslMode, TargetSessionAttrs};
use super::transport::{self, Address, Bound, Failure, Opened, Passthrough, Security, Transport};

/// A live connection, before any setting is made.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) client: Client,
    pub(crate) tap: TapHandle,
    pub(crate) state: Arc<LinkState>,
    pub(crate) peer: Peer,
}

/// Where a connection leads, and how another to the same place is made.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub(crate) address: Address,
    pub(crate) host: String,
    pub(crate) tls: bool,
    pub(crate) label: String,
}

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Traffic {
    /// Whatever comes.
    Both,
    /// Tables are copied out over it, nothing large goes in.
    MostlyIn,
}

/// What one address came to.
enum Outcome {
    /// Try the next one.
    Next(String),
    /// The search is over.
    Stop(Box<PgError>),
}

type Driver = Connection<Tap<Transport>, Bound<Tap<Transport>>>;

/// Connects to the first server that serves.
///
/// # Errors
/// [`PgError::Unreachable`] with every address that was tried; or at once what one server answered.
pub(crate) async fn connect(options: &ConnectOptions, traffic: Traffic) -> Result<Link, PgError> {
    let mut attempts = Vec::new();
    let passes: &[TargetSessionAttrs] = match options.target {
        TargetSessionAttrs::PreferStandby => &[TargetSessionAttrs::Standby, TargetSessionAttrs::Any],
        _ => std::slice::from_ref(&options.target),
    };
    for target in passes {
        let mut endpoints: Vec<&Endpoint> = options.hosts.iter().collect();
        shuffle(&mut endpoints, options.load_balance);
        for endpoint in endpoints {
            let mut addresses = match addresses(endpoint).await {
                Ok(addresses) => addresses,
                Err(reason) => {
                    attempts.push(Attempt { peer: endpoint.to_string(), reason });
                    continue;
                }
            };
            shuffle(&mut addresses, options.load_balance);
            for address in addresses {
                let peer = label(endpoint, &address);
                match try_address(options, endpoint, address, *target, traffic).await {
                    Ok(link) => return Ok(link),
                    Err(Outcome::Stop(error)) => return Err(*error),
                    Err(Outcome::Next(reason)) => attempts.push(Attempt { peer, reason }),
                }
            }
        }
    }
    Err(PgError::Unreachable { attempts })
}

fn shuffle<T>(list: &mut [T], wanted: bool) {
    for end in (1..list.len()).rev().filter(|_| wanted) {
        // Without randomness the order stays as given, which is allowed.
        let random = getrandom::u32().unwrap_or_default();
        let at = usize::try_from(random).unwrap_or_default() % (end + 1);
        list.swap(end, at);
    }
}

async fn addresses(endpoint: &Endpoint) -> Result<Vec<Address>, String> {
    match &endpoint.host {
        Host::Unix(dir) => {
            let file = format!(".s.PGSQL.{}", endpoint.port);
            // The abstract namespace: libpq writes '@' where the kernel has a zero byte.
            let path = match dir.to_str().and_then(|dir| dir.strip_prefix('@')) {
                Some(name) => format!("\0{name}/{file}").into(),
                None => dir.join(file),
            };
            Ok(vec![Address::Unix(path)])
        }
        Host::Tcp { address: Some(address), .. } => Ok(vec![Address::Tcp((*address, endpoint.port).into())]),
        Host::Tcp { name, .. } => {
            let found = tokio::net::lookup_host((name.as_str(), endpoint.port)).await;
            let found = found.map_err(|error| format!("cannot resolve the name: {error}"))?;
            let mut addresses = Vec::new();
            for address in found.map(Address::Tcp) {
                if !addresses.contains(&address) {
                    addresses.push(address);
                }
            }
            Ok(addresses)
        }
    }
}

/// An address as messages show it.
fn label(endpoint: &Endpoint, address: &Address) -> String {
    let text = match (address, &endpoint.host) {
        (Address::Tcp(socket), Host::Tcp { name, .. }) if *name != socket.ip().to_string() => {
            format!("{endpoint} ({})", socket.ip())
        }
        (Address::Unix(path), _) => path.display().to_string(),
        _ => endpoint.to_string(),
    };
    super::quote::printable(&text)
}

async fn try_address(
    options: &ConnectOptions,
    endpoint: &Endpoint,
    address: Address,
    target: TargetSessionAttrs,
    traffic: Traffic,
) -> Result<Link, Outcome> {
    let trial = Box::pin(async {
        let link = secure_and_log_in(options, endpoint, address, traffic).await?;
        meets(&link, target).await.map(|()| link)
    });
    match options.connect_timeout {
        None => trial.await,
        Some(limit) => match tokio::time::timeout(limit, trial).await {
            Ok(result) => result,
            Err(_) => Err(Outcome::Next(format!("no answer within {} s", limit.as_secs()))),
        },
    }
}

/// Goes through the ways that `sslmode` allows (manual, table 32.1).
async fn secure_and_log_in(
    options: &ConnectOptions,
    endpoint: &Endpoint,
    address: Address,
    traffic: Traffic,
) -> Result<Link, Outcome> {
    let ways: &[Security] = match (&address, options.tls.mode) {
        (Address::Unix(_), _) | (_, SslMode::Disable) => &[Security::Plain],
        (_, SslMode::Allow) => &[Security::Plain, Security::Tls],
        (_, SslMode::Prefer) => &[Security::TlsIfOffered, Security::Plain],
        (_, SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull) => &[Security::Tls],
    };
    let host = match &endpoint.host {
        Host::Tcp { name, .. } => name.clone(),
        Host::Unix(dir) => dir.display().to_string(),
    };
    let label = label(endpoint, &address);
    let mut first: Option<Outcome> = None;
    for way in ways {
        let peer = Peer { address: address.clone(), host: host.clone(), tls: false, label: label.clone() };
        let opened = match transport::open(&address, &host, *way, &options.tcp, &options.tls).await {
            Ok(opened) => opened,
            Err(Failure::Socket(reason)) => return Err(first.unwrap_or(Outcome::Next(reason))),
            Err(Failure::NoTls) => {
                let reason = format!("the server has no TLS, and sslmode={} asks for it", options.tls.mode);
                return Err(first.unwrap_or_else(|| stop(PgError::Tls { peer: label, reason })));
            }
            Err(Failure::Tls(reason)) => {
                let error = stop(PgError::Tls { peer: label.clone(), reason });
                first.get_or_insert(error);
                continue;
            }
        };
        let opened = match traffic {
            Traffic::Both => opened,
            Traffic::MostlyIn => opened.for_bulk_reads().map_err(|error| Outcome::Next(error.to_string()))?,
        };
        let secured = opened.is_tls();
        match log_in(options, endpoint, opened, Peer { tls: secured, ..peer }).await {
            Ok(link) => return Ok(link),
            // The other way may be the one that pg_hba.conf allows; if TLS was offered but declined, there is none.
            Err((outcome, true)) if secured || *way == Security::Plain => {
                first = Some(match first.take() {
                    Some(earlier) => join(earlier, outcome),
                    None => outcome,
                });
            }
            Err((outcome, _)) => return Err(outcome),
        }
    }
    Err(first.unwrap_or_else(|| Outcome::Next("no way to connect".to_owned())))
}

/// Two ways have failed. What the server said comes before the failure of a handshake, which is told along with it.
fn join(first: Outcome, second: Outcome) -> Outcome {
    let Outcome::Stop(error) = first else {
        return second;
    };
    match (*error, second) {
        (PgError::Tls { reason: tls, .. }, Outcome::Stop(error)) => match *error {
            PgError::Authentication { peer, user, reason } => {
                let reason = format!("{reason}; this was without TLS, which failed: {tls}");
                stop(PgError::Authentication { peer, user, reason })
            }
            other => stop(other),
        },
        (tls @ PgError::Tls { .. }, Outcome::Next(_)) => stop(tls),
        (earlier, _) => stop(earlier),
    }
}

fn stop(error: PgError) -> Outcome {
    Outcome::Stop(Box::new(error))
}

/// Starts the session. The flag of an error tells that the other way of `sslmode` may be tried.
async fn log_in(
    options: &ConnectOptions,
    endpoint: &Endpoint,
    opened: Opened,
    peer: Peer,
) -> Result<Link, (Outcome, bool)> {
    let mut config = tokio_postgres::Config::new();
    config.user(&options.user).dbname(&options.database);
    if let Some(password) = options.password_for(endpoint) {
        config.password(password.expose());
    }
    if let Some(settings) = &options.options {
        config.options(settings);
    }
    config.channel_binding(match options.channel_binding {
        ChannelBinding::Disable => tokio_postgres::config::ChannelBinding::Disable,
        ChannelBinding::Prefer => tokio_postgres::config::ChannelBinding::Prefer,
        ChannelBinding::Require => tokio_postgres::config::ChannelBinding::Require,
    });
    // "Direct" keeps the driver from asking for TLS: it was asked for, and done, already.
    config.ssl_negotiation(SslNegotiation::Direct).ssl_mode(if peer.tls {
        tokio_postgres::config::SslMode::Require
    } else {
        tokio_postgres::config::SslMode::Disable
    });
    let (stream, tap) = Tap::new(opened.transport);
    let through = Passthrough { end_point: opened.end_point };
    match Box::pin(config.connect_raw(stream, through)).await {
        Ok((client, connection)) => {
            let state = Arc::new(LinkState::default());
            // The task ends by itself when the client is dropped or the socket fails.
            drop(tokio::spawn(drive(connection, Arc::clone(&state))));
            Ok(Link { client, tap, state, peer })
        }
        Err(error) => Err(judge(options, peer.label, &error)),
    }
}

/// What an error while logging in means, and whether another way of `sslmode` may help.
fn judge(options: &ConnectOptions, peer: String, error: &tokio_postgres::Error) -> (Outcome, bool) {
    let refused =
        |reason| stop(PgError::Authentication { peer: peer.clone(), user: options.user.clone(), reason });
    let Some(report) = error.as_db_error() else {
        let reason = chain(error);
        return if reason.contains("password missing") {
            (refused("the server asks for a password, and none is given".to_owned()), false)
        } else if reason.starts_with("authentication error") {
            (refused(reason), false)
        } else {
            (Outcome::Next(reason), true)
        };
    };
    let server = ServerError::new(report, None);
    match server.code.as_str() {
        "28000" => (refused(server.to_string()), true),
        "28P01" => (refused(server.to_string()), false),
        "3D000" => (stop(PgError::NoSuchDatabase { peer, database: options.database.clone() }), false),
        "57P03" => (Outcome::Next(server.to_string()), false),
        _ => (stop(PgError::Refused { peer, report: Box::new(server) }), false),
    }
}

/// Moves the bytes of one connection until it ends, and keeps what it was told last.
async fn drive(mut connection: Driver, state: Arc<LinkState>) {
    loop {
        match poll_fn(|cx| connection.poll_message(cx)).await {
            Some(Ok(AsyncMessage::Notice(notice))) => state.notice(&notice),
            Some(Ok(_)) => {}
            Some(Err(error)) => {
                let reason = error
                    .as_db_error()
                    .map_or_else(|| chain(&error), |r| ServerError::new(r, None).to_string());
                state.end(reason);
                return;
            }
            None => return,
        }
    }
}

/// Whether the server is of the kind that is asked for (manual, `target_session_attrs`).
async fn meets(link: &Link, target: TargetSessionAttrs) -> Result<(), Outcome> {
    if target == TargetSessionAttrs::Any {
        return Ok(());
    }
    let sql = "SELECT pg_catalog.pg_is_in_recovery(), pg_catalog.current_setting('transaction_read_only')";
    let answer = link.client.simple_query(sql).await.map_err(|error| Outcome::Next(chain(&error)))?;
    let row = answer.iter().find_map(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => {
            Some((row.get(0) == Some("t"), row.get(1) == Some("on")))
        }
        _ => None,
    });
    let (standby, read_only) = row.unwrap_or_default();
    let (met, reason) = match target {
        TargetSessionAttrs::ReadWrite => (!standby && !read_only, "its sessions are read-only"),
        TargetSessionAttrs::ReadOnly => (standby || read_only, "its sessions are not read-only"),
        TargetSessionAttrs::Primary => (!standby, "it is in recovery"),
        TargetSessionAttrs::Standby | TargetSessionAttrs::PreferStandby => (standby, "it is not in recovery"),
        TargetSessionAttrs::Any => (true, ""),
    };
    if met { Ok(()) } else { Err(Outcome::Next(reason.to_owned())) }
}
