//! A webhook for anything else: the notice as JSON, signed, so that the receiver knows who wrote it and when.

use reqwest::Method;
use ring::hmac;

use super::Notice;
use crate::operate::http::{self, Request};
use crate::pg::Secret;
use crate::store::sidecar::hex;

/// A receiver.
#[derive(Debug)]
pub struct Webhook {
    /// Its URL.
    pub url: Secret,
    /// The secret that it shares with us, if it checks signatures.
    pub secret: Option<Secret>,
}

impl Webhook {
    pub(super) async fn send(&self, notice: &Notice) -> Result<(), String> {
        let body = serde_json::to_vec(notice).map_err(|error| error.to_string())?;
        let mut headers = vec![
            ("content-type", "application/json".to_owned()),
            ("x-pgcask-event", notice.event.to_string()),
        ];
        if let Some(secret) = &self.secret {
            headers.push(("x-pgcask-signature", signature(secret, notice.time.as_second(), &body)));
        }
        http::send(&Request { method: Method::POST, url: self.url.expose().to_owned(), headers, body }).await
    }
}

/// `t=<seconds>,v1=<HMAC-SHA256 of "<seconds>.<body>", hexadecimal>`: the time is signed too, so that an old message cannot be
/// sent again unnoticed.
fn signature(secret: &Secret, seconds: i64, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
    let mut context = hmac::Context::with_key(&key);
    context.update(format!("{seconds}.").as_bytes());
    context.update(body);
    format!("t={seconds},v1={}", hex(context.sign().as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_that_of_openssl() {
        // printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac key
        let expected = "t=1700000000,v1=a438e398bfafc57e4396bb7fc2304422f0f768e965d073ca313cb52e22e6ad03";
        let made = signature(&Secret::new("key"), 1_700_000_000, b"{\"a\":1}");
        assert_eq!(made, expected);
        assert_ne!(made, signature(&Secret::new("key"), 1_700_000_001, b"{\"a\":1}"));
        assert_ne!(made, signature(&Secret::new("other"), 1_700_000_000, b"{\"a\":1}"));
    }
}
