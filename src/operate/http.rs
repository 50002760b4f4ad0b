//! Requests with a time limit, and again after a while where that can help.

use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Method, StatusCode};

/// Limit of one attempt.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Waits between the attempts.
pub(crate) const WAITS: [Duration; 3] =
    [Duration::from_millis(500), Duration::from_secs(2), Duration::from_secs(8)];
/// Longest wait that a server can ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// A request. Its URL may be a secret, and is never part of a message: the host is.
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) url: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// Puts a text in the place of what is there.
    pub(crate) fn put(url: String, content_type: &str, text: &str) -> Self {
        let headers = vec![("content-type", content_type.to_owned())];
        Self { method: Method::PUT, url, headers, body: text.as_bytes().to_vec() }
    }

    /// Posts a value as JSON, with the value of the header `Authorization` if there is one.
    pub(crate) fn post_json(url: String, value: &serde_json::Value, authorization: Option<&str>) -> Self {
        let mut headers = vec![("content-type", "application/json".to_owned())];
        headers.extend(authorization.map(|value| ("authorization", value.to_owned())));
        Self { method: Method::POST, url, headers, body: value.to_string().into_bytes() }
    }
}

/// Most that is read of an answer.
const MAX_ANSWER: usize = 64 << 10;

enum Outcome {
    /// With what the server answered.
    Done(String),
    Final(String),
    Again(String, Option<Duration>),
}

/// Sends a request until it is taken: connections that fail, answers 429 and 5xx are tried again, others are final.
pub(crate) async fn send(request: &Request) -> Result<(), String> {
    ask(request).await.map(drop)
}

/// As [`send`]; gives what the server answered.
pub(crate) async fn ask(request: &Request) -> Result<String, String> {
    let url = reqwest::Url::parse(&request.url).map_err(|_| "its URL is none".to_owned())?;
    let host = url.host_str().unwrap_or_default().to_owned();
    let client = Client::builder()
        .timeout(TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("pgcask/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| format!("make a client: {error}"))?;
    let mut waits = WAITS.iter();
    loop {
        match attempt(&client, &url, request).await {
            Outcome::Done(answer) => return Ok(answer),
            Outcome::Final(why) => return Err(format!("{host}: {why}")),
            Outcome::Again(why, asked) => match waits.next() {
                Some(wait) => tokio::time::sleep(asked.unwrap_or(*wait).min(LONGEST_WAIT)).await,
                None => return Err(format!("{host}: {why}, {} times", WAITS.len() + 1)),
            },
        }
    }
}

async fn attempt(client: &Client, url: &reqwest::Url, request: &Request) -> Outcome {
    let mut headers = HeaderMap::new();
    for (name, value) in &request.headers {
        let Ok(value) = HeaderValue::from_str(value) else {
            return Outcome::Final(format!("the header {name} cannot be made"));
        };
        headers.insert(HeaderName::from_static(name), value);
    }
    let sent = client
        .request(request.method.clone(), url.clone())
        .headers(headers)
        .body(request.body.clone())
        .send();
    let mut response = match sent.await {
        Ok(response) => response,
        // Without the URL, which may be a secret.
        Err(error) => return Outcome::Again(reason(&error.without_url()), None),
    };
    let status = response.status();
    if status.is_success() {
        let mut answer = Vec::new();
        // It is taken, whatever becomes of the answer.
        while let Ok(Some(part)) = response.chunk().await {
            answer.extend_from_slice(&part);
            if answer.len() > MAX_ANSWER {
                break;
            }
        }
        return Outcome::Done(String::from_utf8_lossy(&answer).into_owned());
    }
    let asked = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let why = format!("it answered {status}");
    if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() {
        Outcome::Again(why, asked.map(Duration::from_secs))
    } else {
        Outcome::Final(why)
    }
}

fn reason(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
