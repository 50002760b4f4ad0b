//! What can go wrong below the archive. No variant carries a secret.

/// An error of compression, encryption or key wrapping.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// The operating system's random source failed.
    #[error("the system's random source failed: {0}")]
    Random(getrandom::Error),
    /// The compression level is not one that zstd has.
    #[error("compression level {0} is not between -7 and 22")]
    Level(i32),
    /// zstd refused.
    #[error("zstd: {0}")]
    Zstd(&'static str),
    /// Decompression gave another length than the one that was declared.
    #[error("the declared plain length is {declared} bytes, and the data gives another")]
    PlainLength {
        /// The declared length in bytes.
        declared: usize,
    },
    /// A length is over its limit.
    #[error("{what}: {found} bytes exceed the limit of {limit}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Its size in bytes.
        found: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The authentication tag does not match: the bytes were changed, moved, or sealed by another key.
    #[error("not authentic")]
    NotAuthentic,
    /// Parameters of the passphrase derivation are out of bounds.
    #[error("the parameters of the passphrase derivation are out of bounds")]
    KdfParameters,
    /// A recipient could not be read.
    #[error("not a recipient: {0}")]
    BadRecipient(String),
    /// A line of an identity file could not be read. The line itself is never shown: it may be a secret.
    #[error("not an identity: line {line}: {why}")]
    BadIdentity {
        /// The line's number, from 1.
        line: usize,
        /// What is wrong.
        why: &'static str,
    },
    /// An identity file cannot be used.
    #[error("not an identity: {0}")]
    BadIdentityFile(String),
    /// A protected identity needs a passphrase, and there is nobody to ask.
    #[error("{0} is protected by a passphrase, and none is given")]
    NeedsPassphrase(String),
    /// A program that keeps a key failed.
    #[error("{who}: {why}")]
    Keeper {
        /// The program.
        who: String,
        /// What it said.
        why: String,
    },
    /// A passphrase is empty or over-long.
    #[error("a passphrase must have 1 to 4096 bytes")]
    BadPassphrase,
    /// A wrapped key is malformed.
    #[error("a wrapped key is malformed: {0}")]
    BadStanza(&'static str),
    /// The cipher refused to encrypt.
    #[error("the cipher refused to encrypt")]
    Cipher,
}

impl From<getrandom::Error> for SealError {
    fn from(error: getrandom::Error) -> Self {
        Self::Random(error)
    }
}
