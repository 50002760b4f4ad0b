//! Whether others on the way can read along, or pass for the server.

use super::{Finding, Level, Subject};
use crate::error::Result;
use crate::pg::options::{Host, RootCerts, SslMode};

const CHECK: &str = "tls";

pub(super) async fn check(of: &Subject<'_>) -> Result<Vec<Finding>> {
    let local = of.options.hosts.iter().all(|endpoint| match &endpoint.host {
        Host::Unix(_) => true,
        Host::Tcp { name, address } => {
            address.is_some_and(|address| address.is_loopback())
                || matches!(name.as_str(), "localhost" | "127.0.0.1" | "::1")
        }
    });
    let sql =
        "SELECT s.version FROM pg_catalog.pg_stat_ssl s WHERE s.pid = pg_catalog.pg_backend_pid() AND s.ssl";
    let version = of.session.query_one_text(sql).await?;
    let tls = &of.options.tls;
    let verified = tls.mode >= SslMode::VerifyCa
        || (tls.mode == SslMode::Require
            && matches!(&tls.roots, RootCerts::File { path, .. } if path.is_file()));
    Ok(vec![match version {
        None if local => Finding::ok(CHECK, "not encrypted, and does not leave this machine"),
        None => Finding::new(
            CHECK,
            Level::Warning,
            "the connection is not encrypted",
            "whoever is on the way reads all rows, and perhaps the password",
        )
        .remedy("switch ssl on at the server, and give sslmode=verify-full"),
        Some(version) if verified => {
            Finding::ok(CHECK, format!("{version}, the server's certificate is verified"))
        }
        Some(version) => Finding::new(
            CHECK,
            if local { Level::Notice } else { Level::Warning },
            format!("{version}, but nobody verifies that it is the right server"),
            "who can redirect the connection can pass for the server, and read along",
        )
        .remedy("give sslmode=verify-full sslrootcert=FILE (or sslrootcert=system)"),
    }])
}
