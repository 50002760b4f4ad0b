//! What only S3 can be asked for, and its client has no call for: unfinished uploads, versioning, Object Lock. Each is one
//! request to a URL that the client signs (Signature Version 4).

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::Timestamp;
use md5::{Digest as _, Md5};
use object_store::aws::AmazonS3;
use object_store::client::{ClientOptions, HttpClient, HttpConnector as _, HttpRequest};
use object_store::path::Path;
use object_store::signer::{HeaderValue, Method, SignedUrlOptions, Signer as _};
use serde::{Deserialize, Serialize};

use super::again::again;
use super::error::code_of;
use super::patience::Patient;
use super::{Store, StoreError};

/// How long a signature is good for: as long as one request may take.
const VALID: Duration = Duration::from_mins(5);

/// What one bucket can be asked for.
#[derive(Debug)]
pub(super) struct Api {
    bucket: AmazonS3,
    http: HttpClient,
}

/// How a bucket keeps what was written. `None`: it cannot, or may not, be asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Protection {
    /// What is deleted or overwritten stays as an older version.
    pub versioned: Option<bool>,
    /// Versions can be locked against deletion.
    pub object_lock: Option<bool>,
}

/// How strictly a version is locked until its date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LockMode {
    /// Who has a special permission may shorten it.
    Governance,
    /// Nobody may shorten it.
    Compliance,
}

impl LockMode {
    fn word(self) -> &'static str {
        match self {
            Self::Governance => "GOVERNANCE",
            Self::Compliance => "COMPLIANCE",
        }
    }
}

/// `ListMultipartUploadsResult`, as far as it is needed.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Uploads {
    #[serde(default)]
    is_truncated: bool,
    next_key_marker: Option<String>,
    next_upload_id_marker: Option<String>,
    #[serde(default)]
    upload: Vec<UploadEntry>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct UploadEntry {
    key: String,
    upload_id: String,
    initiated: Timestamp,
}

/// Any answer of one `Status`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Status {
    status: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct LockConfiguration {
    object_lock_enabled: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Retention {
    mode: Option<String>,
    retain_until_date: Option<Timestamp>,
}

impl Api {
    pub(super) fn new(bucket: AmazonS3) -> object_store::Result<Self> {
        // Whether the connection may be a plain one was decided for the bucket's own client, which makes the URLs.
        let options = ClientOptions::new().with_allow_http(true);
        Ok(Self { bucket, http: Patient::from_env().connect(&options)? })
    }

    /// Sends a request about a path (an empty one is the bucket's) and gives the answer's text.
    async fn ask(
        &self,
        method: Method,
        path: &Path,
        query: &[(&str, &str)],
        body: Option<&str>,
        place: &str,
    ) -> Result<String, StoreError> {
        again(|| self.ask_once(&method, path, query, body, place)).await
    }

    async fn ask_once(
        &self,
        method: &Method,
        path: &Path,
        query: &[(&str, &str)],
        body: Option<&str>,
        place: &str,
    ) -> Result<String, StoreError> {
        let unreachable = |reason: String| StoreError::Unreachable { place: place.to_owned(), reason };
        let options = SignedUrlOptions::default().with_query(query.iter().copied());
        let signed = self.bucket.signed_url_opts(method.clone(), path, VALID, &options).await;
        let url = signed.map_err(|error| StoreError::from_client(place, &error))?;
        let mut request = HttpRequest::new(body.unwrap_or_default().to_owned().into());
        method.clone_into(request.method_mut());
        *request.uri_mut() =
            url.as_str().parse().map_err(|_| unreachable("its URL cannot be asked for".to_owned()))?;
        if let Some(body) = body {
            // S3 takes no lock without the digest of what it says.
            let digest = BASE64.encode(Md5::digest(body.as_bytes()));
            let digest = HeaderValue::try_from(digest).map_err(|error| unreachable(error.to_string()))?;
            request.headers_mut().insert("content-md5", digest);
            request.headers_mut().insert("content-type", HeaderValue::from_static("application/xml"));
        }
        // The words of the error itself may hold the signed URL: only its innermost cause is told.
        let lost = |error: object_store::client::HttpError| unreachable(innermost(&error));
        let answer = self.http.execute(request).await.map_err(lost)?;
        let status = answer.status().as_u16();
        let text = answer.into_body().bytes().await.map_err(lost)?;
        let text = String::from_utf8_lossy(&text).into_owned();
        match status {
            200..=299 => Ok(text),
            404 => Err(StoreError::NotFound { place: place.to_owned() }),
            401 | 403 => Err(StoreError::refused(place.to_owned(), code_of(&text))),
            _ => Err(unreachable(
                format!("the store answered {status} {}", code_of(&text)).trim_end().to_owned(),
            )),
        }
    }

    /// All unfinished uploads whose keys begin with a prefix: path, the store's name for it, when it was begun.
    pub(super) async fn uploads(
        &self,
        prefix: &Path,
        place: &str,
    ) -> Result<Vec<(Path, String, Timestamp)>, StoreError> {
        let (mut found, mut after) = (Vec::new(), (String::new(), String::new()));
        loop {
            let mut query = vec![("uploads", "")];
            if !prefix.as_ref().is_empty() {
                query.push(("prefix", prefix.as_ref()));
            }
            if !after.0.is_empty() {
                query.extend([("key-marker", after.0.as_str()), ("upload-id-marker", after.1.as_str())]);
            }
            let text = self.ask(Method::GET, &Path::default(), &query, None, place).await?;
            let page: Uploads = parse(&text, place)?;
            let entries = page
                .upload
                .into_iter()
                .filter_map(|entry| Some((Path::parse(&entry.key).ok()?, entry.upload_id, entry.initiated)));
            found.extend(entries);
            let next =
                (page.next_key_marker.unwrap_or_default(), page.next_upload_id_marker.unwrap_or_default());
            if !page.is_truncated || next.0.is_empty() || next == after {
                return Ok(found);
            }
            after = next;
        }
    }

    pub(super) async fn abort(&self, path: &Path, upload: &str, place: &str) -> Result<(), StoreError> {
        match self.ask(Method::DELETE, path, &[("uploadId", upload)], None, place).await {
            // Finished or aborted by somebody else meanwhile.
            Ok(_) | Err(StoreError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn protection(&self, place: &str) -> Result<Protection, StoreError> {
        let bucket = Path::default();
        let versioned = match self.ask(Method::GET, &bucket, &[("versioning", "")], None, place).await {
            Ok(text) => Some(parse::<Status>(&text, place)?.status.as_deref() == Some("Enabled")),
            Err(error) => unknown(error)?,
        };
        let object_lock = match self.ask(Method::GET, &bucket, &[("object-lock", "")], None, place).await {
            Ok(text) => {
                let lock: LockConfiguration = parse(&text, place)?;
                Some(lock.object_lock_enabled.as_deref() == Some("Enabled"))
            }
            Err(StoreError::NotFound { .. }) => Some(false),
            Err(error) => unknown(error)?,
        };
        Ok(Protection { versioned, object_lock })
    }
}

/// Who may not ask does not know; neither does who asks a server that has no such thing.
fn unknown(error: StoreError) -> Result<Option<bool>, StoreError> {
    match error {
        StoreError::PermissionDenied { .. } | StoreError::NotFound { .. } => Ok(None),
        StoreError::Unreachable { reason, .. } if reason.contains("501") || reason.contains("400") => {
            Ok(None)
        }
        other => Err(other),
    }
}

impl Store {
    /// Whether the bucket keeps older versions, and whether they can be locked. Directories do neither.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn protection(&self) -> Result<Protection, StoreError> {
        match &self.s3 {
            Some(s3) => s3.protection(&self.display("")).await,
            None if self.directory.is_some() => {
                Ok(Protection { versioned: Some(false), object_lock: Some(false) })
            }
            None => Ok(Protection::default()),
        }
    }

    /// Sets or ends the store's own legal hold on an object, and reads it back: a store that says yes and does nothing is
    /// an error.
    ///
    /// # Errors
    /// Those of the store, also for one that has no such thing.
    pub async fn set_legal_hold(&self, key: &str, on: bool) -> Result<(), StoreError> {
        let (s3, place) = (self.lockable(key)?, self.display(key));
        let word = if on { "ON" } else { "OFF" };
        let body = format!(
            r#"<LegalHold xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Status>{word}</Status></LegalHold>"#
        );
        let (path, query) = (self.path(key), [("legal-hold", "")]);
        s3.ask(Method::PUT, &path, &query, Some(&body), &place).await?;
        if self.legal_hold(key).await? == on {
            return Ok(());
        }
        let reason = format!("the store took the legal hold {word} and does not show it");
        Err(StoreError::Unreachable { place, reason })
    }

    /// Whether the store itself holds an object.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn legal_hold(&self, key: &str) -> Result<bool, StoreError> {
        let (s3, place) = (self.lockable(key)?, self.display(key));
        match s3.ask(Method::GET, &self.path(key), &[("legal-hold", "")], None, &place).await {
            Ok(text) => Ok(parse::<Status>(&text, &place)?.status.as_deref() == Some("ON")),
            Err(StoreError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Locks an object until a date, and reads that back.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn set_retention(&self, key: &str, mode: LockMode, until: Timestamp) -> Result<(), StoreError> {
        let (s3, place) = (self.lockable(key)?, self.display(key));
        // Whole seconds, the later one: a lock must not end before its date.
        let later = i64::from(until.subsec_nanosecond() > 0);
        let until = Timestamp::from_second(until.as_second().saturating_add(later)).unwrap_or(until);
        let body = format!(
            r#"<Retention xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Mode>{}</Mode><RetainUntilDate>{until}</RetainUntilDate></Retention>"#,
            mode.word()
        );
        let (path, query) = (self.path(key), [("retention", "")]);
        s3.ask(Method::PUT, &path, &query, Some(&body), &place).await?;
        let text = s3.ask(Method::GET, &path, &query, None, &place).await?;
        let found: Retention = parse(&text, &place)?;
        if found.retain_until_date.is_some_and(|date| date >= until) {
            return Ok(());
        }
        Err(StoreError::Unreachable {
            place,
            reason: "the store took the retention date and does not show it".to_owned(),
        })
    }

    /// Until when an object is locked, and how strictly; `None` when it is not.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn retention(&self, key: &str) -> Result<Option<(LockMode, Timestamp)>, StoreError> {
        let (s3, place) = (self.lockable(key)?, self.display(key));
        let text = match s3.ask(Method::GET, &self.path(key), &[("retention", "")], None, &place).await {
            Err(StoreError::NotFound { .. }) => return Ok(None),
            answer => answer?,
        };
        let Retention { mode, retain_until_date } = parse(&text, &place)?;
        let mode = match mode.as_deref() {
            Some("COMPLIANCE") => LockMode::Compliance,
            _ => LockMode::Governance,
        };
        Ok(retain_until_date.map(|until| (mode, until)))
    }

    fn lockable(&self, key: &str) -> Result<&Api, StoreError> {
        self.s3.as_deref().ok_or_else(|| StoreError::Unreachable {
            place: self.display(key),
            reason: "this kind of store has no locks of its own".to_owned(),
        })
    }
}

fn parse<T: for<'de> Deserialize<'de>>(text: &str, place: &str) -> Result<T, StoreError> {
    quick_xml::de::from_str(text).map_err(|error| StoreError::Unreachable {
        place: place.to_owned(),
        reason: format!("its answer cannot be read: {error}"),
    })
}

fn innermost(error: &dyn std::error::Error) -> String {
    let mut deepest = error.to_string();
    let mut next = error.source();
    if next.is_some() {
        while let Some(cause) = next {
            deepest = cause.to_string();
            next = cause.source();
        }
        return deepest;
    }
    "the request was lost".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_s3_are_read() {
        let text = r#"<?xml version="1.0"?><ListMultipartUploadsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
            <Bucket>b</Bucket><IsTruncated>true</IsTruncated><NextKeyMarker>k</NextKeyMarker>
            <Upload><Initiated>2026-11-25T01:13:06Z</Initiated><Key>up.cask</Key><UploadId>7e</UploadId></Upload>
            <Upload><Initiated>2026-11-25T01:13:07.000Z</Initiated><Key>p</Key><UploadId>8</UploadId></Upload>
            </ListMultipartUploadsResult>"#;
        let read: Uploads = parse(text, "x").unwrap();
        assert!(read.is_truncated && read.upload.len() == 2 && read.upload[0].upload_id == "7e");
        let empty: Uploads = parse("<ListMultipartUploadsResult></ListMultipartUploadsResult>", "x").unwrap();
        assert!(!empty.is_truncated && empty.upload.is_empty());
        assert_eq!(parse::<Status>("<VersioningConfiguration/>", "x").unwrap().status, None);
        assert!(parse::<Status>("<html>", "s3://b/").unwrap_err().to_string().starts_with("s3://b/: "));
    }
}
