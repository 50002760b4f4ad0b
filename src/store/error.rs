//! What can go wrong with a store, kept apart by what can be done about it.

/// An error of a store, with the place. Credentials are in none of them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// It does not exist.
    #[error("{place} does not exist")]
    NotFound {
        /// Path or URL.
        place: String,
    },
    /// It exists already, and nothing is ever overwritten.
    #[error("{place} exists already")]
    AlreadyExists {
        /// Path or URL.
        place: String,
    },
    /// The store does not let us.
    #[error("{place}: permission denied{}", in_brackets(code))]
    PermissionDenied {
        /// Path or URL.
        place: String,
        /// The store's word for the reason (`SignatureDoesNotMatch`); empty where it gives none.
        code: String,
    },
    /// The store refuses what was signed at another time than its own.
    #[error("{place}: the store refuses requests that were signed at another time than its own ({code})")]
    Clock {
        /// Path or URL.
        place: String,
        /// The store's word for it.
        code: String,
    },
    /// It lies in a storage class that is not read at once.
    #[error("{place} is in a storage class that cannot be read at once (InvalidObjectState)")]
    Archived {
        /// Path or URL.
        place: String,
    },
    /// It has more parts than a store takes.
    #[error(
        "{place}: the archive is too long for parts of this size: {bytes} bytes, and 10,000 parts are sent"
    )]
    TooLong {
        /// Path or URL.
        place: String,
        /// Bytes that were given so far.
        bytes: u64,
    },
    /// No space is left.
    #[error("{place}: no space is left")]
    Full {
        /// Path or URL.
        place: String,
    },
    /// The location is not one.
    #[error("{text:?} is no place for archives: {why}")]
    Invalid {
        /// As given.
        text: String,
        /// What is wrong.
        why: String,
    },
    /// No backup in the store is the one that is wanted.
    #[error("there is no {wanted} in {place}")]
    NoBackup {
        /// Path or URL of the store.
        place: String,
        /// What was asked for.
        wanted: String,
    },
    /// Several backups in the store could be meant.
    #[error("which {wanted} is meant? there are {} and {}", .both[0], .both[1])]
    Ambiguous {
        /// What was asked for.
        wanted: String,
        /// Two that fit.
        both: [String; 2],
    },
    /// The object is not as long as it should be.
    #[error("{place} has {found} bytes instead of {expected}")]
    Length {
        /// Path or URL.
        place: String,
        /// What is there.
        found: u64,
        /// What should be there.
        expected: u64,
    },
    /// The store does not answer, or answers with a failure.
    #[error("{place}: {reason}")]
    Unreachable {
        /// Path or URL.
        place: String,
        /// What it says.
        reason: String,
    },
}

impl StoreError {
    pub(super) fn refused(place: String, code: String) -> Self {
        if CLOCK_CODES.contains(&code.as_str()) {
            Self::Clock { place, code }
        } else if FULL_CODES.contains(&code.as_str()) {
            Self::Full { place }
        } else if code == "InvalidObjectState" {
            Self::Archived { place }
        } else {
            Self::PermissionDenied { place, code }
        }
    }

    /// Sorts an error of the store's client.
    pub(crate) fn from_client(place: &str, error: &object_store::Error) -> Self {
        use object_store::Error;
        let place = place.to_owned();
        if is_full(error) {
            return Self::Full { place };
        }
        match error {
            Error::NotFound { .. } => Self::NotFound { place },
            Error::AlreadyExists { .. } | Error::Precondition { .. } => Self::AlreadyExists { place },
            Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => {
                Self::refused(place, code(error))
            }
            other if code(other) == "AccessDenied" || has_status_of_refusal(other) => {
                Self::refused(place, code(error))
            }
            other if FULL_CODES.contains(&code(other).as_str()) => Self::Full { place },
            other if is_denied(other) => Self::PermissionDenied { place, code: String::new() },
            other if CLOCK_CODES.contains(&code(other).as_str()) => Self::Clock { place, code: code(other) },
            other => Self::Unreachable { place, reason: without_credentials(told(&chain(other))) },
        }
    }
}

/// What stores say of a request whose date is not theirs: S3, and compatible ones for signed URLs.
const CLOCK_CODES: [&str; 2] = ["RequestTimeTooSkewed", "RequestExpired"];

/// What stores say when a quota or the whole of them is used up: MinIO, Ceph, `SeaweedFS` and others.
const FULL_CODES: [&str; 5] = [
    "XMinioStorageFull",
    "XMinioAdminBucketQuotaExceeded",
    "QuotaExceeded",
    "StorageQuotaExceeded",
    "InsufficientStorage",
];

/// The code of the XML document with which S3 and Azure explain an error. The rest of it may quote the request.
fn code(error: &object_store::Error) -> String {
    let text = chain(error);
    // The second form is the client's own, for one of several objects that were to be deleted in one request.
    let code = code_of(&text);
    if code.is_empty() { between(&text, "(code: ", ")") } else { code }
}

/// Where the client asks an instance for its credentials when it was given none (Amazon EC2 User Guide, "Use IMDS").
const INSTANCE_TOKEN: &str = "/latest/api/token";

/// Says what a failure to ask the instance means.
fn without_credentials(reason: String) -> String {
    if reason.contains(INSTANCE_TOKEN) {
        return format!(
            "no credentials were given (AWS_ACCESS_KEY_ID and the like, or the keys of the store in pgcask.toml), and the \
             machine has none of its own: {reason}"
        );
    }
    reason
}

/// An error's text, and of the document that the store explains it with only code and message: the rest of it may quote the
/// request, with all that was signed and the token of temporary credentials.
fn told(text: &str) -> String {
    let Some((client, document)) = text.split_once('<') else { return text.to_owned() };
    let document = format!("<{document}");
    let message = document.split_once("<Message>").and_then(|(_, rest)| rest.split_once("</Message>"));
    let message = message.map(|(message, _)| message.split_whitespace().collect::<Vec<_>>().join(" "));
    let short = message.filter(|message| message.len() <= 300 && !message.contains('<'));
    let parts =
        [client.trim_end_matches([' ', ':']).to_owned(), code_of(&document), short.unwrap_or_default()];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": ")
}

/// The code in an S3 server's XML document on an error; empty where there is none.
pub(super) fn code_of(text: &str) -> String {
    between(text, "<Code>", "</Code>")
}

fn between(text: &str, start: &str, end: &str) -> String {
    let code = text.split_once(start).and_then(|(_, rest)| rest.split_once(end)).map(|(code, _)| code);
    let word = |code: &&str| code.len() <= 64 && code.chars().all(|letter| letter.is_ascii_alphanumeric());
    code.filter(word).unwrap_or_default().to_owned()
}

fn in_brackets(code: &str) -> String {
    if code.is_empty() { String::new() } else { format!(" ({code})") }
}

fn io_kind(error: &(dyn std::error::Error + 'static)) -> Option<std::io::ErrorKind> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            return Some(io.kind());
        }
        next = error.source();
    }
    None
}

fn is_full(error: &object_store::Error) -> bool {
    use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(io_kind(error), Some(StorageFull | QuotaExceeded | FileTooLarge))
}

/// The client knows a refusal as such but for listings and deletions of several, where only its words tell.
fn has_status_of_refusal(error: &object_store::Error) -> bool {
    let text = chain(error);
    ["status code: 401", "status code: 403"].iter().any(|status| text.contains(status))
}

fn is_denied(error: &object_store::Error) -> bool {
    use std::io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
    matches!(io_kind(error), Some(PermissionDenied | ReadOnlyFilesystem))
}

/// The error and its causes in one line, each said once.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_stores_document_only_code_and_message_are_told() {
        let text = "Error performing PUT http://h/b/k - Server returned non-2xx status code: 400 Bad Request: \
            <?xml version=\"1.0\"?><Error><Code>ExpiredToken</Code><Message>The token\n is expired.</Message>\
            <CanonicalRequest>x-amz-security-token:abc</CanonicalRequest><Token-0>abc</Token-0></Error>";
        assert_eq!(
            told(text),
            "Error performing PUT http://h/b/k - Server returned non-2xx status code: 400 Bad Request: ExpiredToken: \
             The token is expired."
        );
        assert_eq!(told("connection refused"), "connection refused");
        assert_eq!(told("502 Bad Gateway: <html><body>secret</body></html>"), "502 Bad Gateway");
    }
}
