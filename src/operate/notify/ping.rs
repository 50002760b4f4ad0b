//! A dead man's switch (healthchecks.io and its kind): it raises the alarm when nothing is heard, which is what no message of a
//! host that is down can do.

use reqwest::Method;

use super::{Event, Notice};
use crate::operate::http::{self, Request};
use crate::pg::Secret;

/// The URLs of one check.
#[derive(Debug)]
pub struct Ping {
    /// Called when a run succeeded.
    pub success: Secret,
    /// Called when it began.
    pub start: Option<Secret>,
    /// Called when it failed, with the reason as the body.
    pub fail: Option<Secret>,
}

impl Ping {
    pub(super) async fn send(&self, notice: &Notice) -> Result<(), String> {
        let url = match notice.event {
            Event::Success | Event::Recovery | Event::Test => Some(&self.success),
            Event::Start => self.start.as_ref(),
            Event::Failure | Event::Stale => self.fail.as_ref(),
        };
        let Some(url) = url else { return Ok(()) };
        let request = Request {
            method: Method::POST,
            url: url.expose().to_owned(),
            headers: vec![("content-type", "text/plain; charset=utf-8".to_owned())],
            body: notice.text().into_bytes(),
        };
        http::send(&request).await
    }
}
