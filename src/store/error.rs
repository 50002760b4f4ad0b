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
    #[error("{place}: permission denied")]
    PermissionDenied {
        /// Path or URL.
        place: String,
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
                Self::PermissionDenied { place }
            }
            other if is_denied(other) => Self::PermissionDenied { place },
            other => Self::Unreachable { place, reason: chain(other) },
        }
    }
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
