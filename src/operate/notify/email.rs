//! E-mail, by SMTP.

use std::time::Duration;

use lettre::message::Mailbox;
use lettre::message::header::ContentType;
use lettre::transport::smtp::authentication::Credentials;
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};

use super::Notice;
use crate::operate::http::WAITS;
use crate::pg::Secret;

/// Limit of one command of the dialogue.
const TIMEOUT: Duration = Duration::from_secs(15);

/// How the connection is secured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tls {
    /// From the first byte (port 465).
    Implicit,
    /// By STARTTLS, which must succeed (port 587).
    StartTls,
    /// Not at all (port 25): for a server on the same host.
    None,
}

/// A mail server, and who gets the mail.
#[derive(Debug)]
pub struct Email {
    /// The server.
    pub host: String,
    /// Its port; `None` is the usual one.
    pub port: Option<u16>,
    /// How the connection is secured.
    pub tls: Tls,
    /// User and password.
    pub login: Option<(String, Secret)>,
    /// Who writes.
    pub from: String,
    /// Who gets it.
    pub to: Vec<String>,
}

impl Email {
    pub(super) async fn send(&self, notice: &Notice) -> Result<(), String> {
        let message = self.message(notice)?;
        let transport = self.transport()?;
        let mut waits = WAITS.iter();
        loop {
            let Err(error) = transport.send(message.clone()).await else { return Ok(()) };
            // What the server refuses for good, it refuses again.
            match waits.next() {
                Some(wait) if !error.is_permanent() => tokio::time::sleep(*wait).await,
                _ => return Err(format!("{}: {}", self.host, reason(&error))),
            }
        }
    }

    fn message(&self, notice: &Notice) -> Result<Message, String> {
        let mailbox = |text: &str| text.parse::<Mailbox>().map_err(|error| format!("{text}: {error}"));
        let mut builder = Message::builder().from(mailbox(&self.from)?).subject(notice.headline());
        for to in &self.to {
            builder = builder.to(mailbox(to)?);
        }
        builder.header(ContentType::TEXT_PLAIN).body(notice.text()).map_err(|error| error.to_string())
    }

    fn transport(&self) -> Result<AsyncSmtpTransport<Tokio1Executor>, String> {
        let builder = match self.tls {
            Tls::Implicit => AsyncSmtpTransport::<Tokio1Executor>::relay(&self.host),
            Tls::StartTls => AsyncSmtpTransport::<Tokio1Executor>::starttls_relay(&self.host),
            Tls::None => Ok(AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&self.host)),
        };
        let mut builder = builder.map_err(|error| reason(&error))?.timeout(Some(TIMEOUT));
        if let Some(port) = self.port {
            builder = builder.port(port);
        }
        if let Some((user, password)) = &self.login {
            builder = builder.credentials(Credentials::new(user.clone(), password.expose().to_owned()));
        }
        Ok(builder.build())
    }
}

fn reason(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
