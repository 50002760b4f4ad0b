//! A Pushgateway, for hosts that nobody scrapes.

use super::metrics::CONTENT_TYPE;
use crate::operate::http::{self, Request};
use crate::pg::Secret;

/// Puts the metrics of this host into a Pushgateway, in the place of those it put before: the group is `job="pgcask"` and the
/// instance. `url`: the gateway's, which may hold credentials.
///
/// # Errors
/// In words, without the URL.
pub async fn push(url: &Secret, instance: &str, text: &str) -> Result<(), String> {
    let base = url.expose().trim_end_matches('/');
    let url = format!("{base}/metrics/job/pgcask/{}", group("instance", instance));
    http::send(&Request::put(url, CONTENT_TYPE, text)).await
}

/// A label of the group as a part of the path. A value that a path cannot hold is given in base64, as the Pushgateway's
/// documentation describes ("URL" in its README).
fn group(name: &str, value: &str) -> String {
    use base64::Engine as _;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
    if !value.is_empty() && value.chars().all(plain) {
        return format!("{name}/{value}");
    }
    let coded = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(value);
    // An empty value cannot be told by an empty part of a path: one `=` stands for it.
    format!("{name}@base64/{}", if coded.is_empty() { "=" } else { &coded })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_path_cannot_hold_is_in_base64() {
        assert_eq!(group("instance", "db-1.example:9100"), "instance/db-1.example:9100");
        assert_eq!(group("instance", "/var/tmp"), "instance@base64/L3Zhci90bXA");
        assert_eq!(group("instance", ""), "instance@base64/=");
    }
}
