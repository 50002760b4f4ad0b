//! Who may read: the data key is wrapped once for each recipient, and any one of them can unwrap it.

pub mod age_file;
mod certificate;
pub mod keeper;
pub mod openpgp;
pub mod passphrase;
pub mod prompt;

use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::SealError;
use super::data_key::DataKey;
use crate::clock::Clock;
use crate::limits::{MAX_IDENTITY_FILE_BYTES, MAX_STANZA_BYTES};
pub use age_file::{AgeIdentity, AgeRecipient, generate_identity};
pub use keeper::{Unwraps, Wraps};
pub use openpgp::{Certificate, SecretKey, looks_like_openpgp};
pub use passphrase::{KdfCost, Passphrase};
pub use prompt::{Nobody, Prompt, SharedPrompt};

/// How a data key is wrapped. The numbers stand in archives: they are never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WrapKind {
    /// Not wrapped at all: the archive is not encrypted.
    Clear,
    /// AES-256-GCM under Argon2id of a passphrase.
    Passphrase,
    /// An age file (age-encryption.org/v1) whose content is the data key.
    Age,
    /// An OpenPGP message (RFC 9580) whose content is the data key.
    OpenPgp,
    /// What a command made of the data key; only the same command, or its service, undoes it.
    Command,
    /// A kind that this version does not know. It is kept and skipped.
    Unknown(u16),
}

impl WrapKind {
    /// The number in the archive.
    pub const fn code(self) -> u16 {
        match self {
            Self::Clear => 0,
            Self::Passphrase => 1,
            Self::Age => 2,
            Self::OpenPgp => 3,
            Self::Command => 4,
            Self::Unknown(code) => code,
        }
    }

    /// The kind with this number.
    pub const fn from_code(code: u16) -> Self {
        match code {
            0 => Self::Clear,
            1 => Self::Passphrase,
            2 => Self::Age,
            3 => Self::OpenPgp,
            4 => Self::Command,
            code => Self::Unknown(code),
        }
    }
}

impl std::fmt::Display for WrapKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Clear => f.write_str("clear"),
            Self::Passphrase => f.write_str("passphrase"),
            Self::Age => f.write_str("age"),
            Self::OpenPgp => f.write_str("openpgp"),
            Self::Command => f.write_str("command"),
            Self::Unknown(code) => write!(f, "unknown-{code}"),
        }
    }
}

/// Eight bytes that tell recipients apart: of an age recipient the first of SHA-256 of its text, of a passphrase the
/// first of SHA-256 of its random salt, of an OpenPGP key its key ID, of what a command made the first of its SHA-256. Shown
/// as hex.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint(pub [u8; 8]);

impl Fingerprint {
    fn of(bytes: &[u8]) -> Self {
        let digest: [u8; 32] = Sha256::digest(bytes).into();
        Self(*digest.first_chunk().unwrap_or(&[0; 8]))
    }
}

impl std::fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A data key wrapped for one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrappedKey {
    /// How.
    pub kind: WrapKind,
    /// For whom.
    pub fingerprint: Fingerprint,
    /// What the kind needs to unwrap it.
    pub body: Vec<u8>,
}

/// One who may read an archive; it can be sealed for, not opened with.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Recipient {
    /// Whoever knows the passphrase.
    Passphrase(Passphrase, KdfCost),
    /// The holder of an age identity, an SSH key, or what an age plugin stands for.
    Age(AgeRecipient),
    /// The holder of an OpenPGP key.
    OpenPgp(Arc<Certificate>),
    /// Whoever may ask a program to unwrap.
    Keeper(Arc<dyn Wraps>),
}

impl Recipient {
    /// Whoever knows the passphrase, at the default cost.
    pub const fn passphrase(passphrase: Passphrase) -> Self {
        Self::Passphrase(passphrase, KdfCost::DEFAULT)
    }

    /// A recipient in one line: `age1…`, an SSH public key, or what [`Recipient::public_text`] gave.
    ///
    /// # Errors
    /// [`SealError::BadRecipient`].
    pub fn parse(text: &str) -> Result<Self, SealError> {
        match Certificate::from_text(text.trim(), Clock::System.now()) {
            Some(certificate) => certificate.map(Arc::new).map(Self::OpenPgp),
            None => age_file::parse_recipient(text).map(Self::Age),
        }
    }

    /// The public text of a recipient that has one: what the sealed metadata keeps, so that a later archive can be
    /// sealed for the same.
    pub fn public_text(&self) -> Option<String> {
        match self {
            Self::Passphrase(..) | Self::Keeper(_) => None,
            Self::Age(recipient) => Some(recipient.to_string()),
            Self::OpenPgp(certificate) => certificate.public_text(),
        }
    }

    /// What stands in archives for this recipient, where it does not depend on the archive.
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        match self {
            Self::Passphrase(..) | Self::Keeper(_) => None,
            Self::Age(recipient) => Some(recipient.fingerprint()),
            Self::OpenPgp(certificate) => Some(certificate.key_id()),
        }
    }

    /// Who it is, for people; none of a passphrase.
    pub fn describe(&self) -> Option<String> {
        match self {
            Self::Passphrase(..) | Self::Keeper(_) => None,
            Self::Age(recipient) => Some(recipient.to_string()),
            Self::OpenPgp(certificate) => Some(certificate.to_string()),
        }
    }

    /// When nothing can be sealed for it any more; `None` for what does not expire.
    pub fn expires_at(&self) -> Option<jiff::Timestamp> {
        match self {
            Self::OpenPgp(certificate) => certificate.expires_at(),
            Self::Passphrase(..) | Self::Age(_) | Self::Keeper(_) => None,
        }
    }

    /// Wraps a data key for this recipient.
    ///
    /// # Errors
    /// [`SealError::Random`], [`SealError::KdfParameters`], [`SealError::BadRecipient`], [`SealError::Keeper`].
    pub fn wrap(&self, key: &DataKey, archive_id: &[u8; 16]) -> Result<WrappedKey, SealError> {
        let wrapped = match self {
            Self::Passphrase(passphrase, cost) => passphrase::wrap(passphrase, *cost, key, archive_id),
            Self::Age(recipient) => recipient.wrap(key),
            Self::OpenPgp(certificate) => certificate.wrap(key),
            Self::Keeper(keeper) => keeper::wrap(keeper.as_ref(), key, archive_id),
        }?;
        let found = wrapped.body.len();
        if found > MAX_STANZA_BYTES {
            let (found, limit) = (to_u64(found), to_u64(MAX_STANZA_BYTES));
            return Err(SealError::TooLarge { what: "a wrapped key", found, limit });
        }
        Ok(wrapped)
    }
}

fn to_u64(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// One that can open archives sealed for it.
#[derive(Debug)]
#[non_exhaustive]
pub enum Identity {
    /// A passphrase.
    Passphrase(Passphrase),
    /// An age identity, an SSH key, or an age plugin.
    Age(AgeIdentity),
    /// An OpenPGP secret key.
    OpenPgp(Box<SecretKey>),
    /// A program that keeps keys.
    Keeper(Arc<dyn Unwraps>),
}

impl Identity {
    /// All identities of a file: of age, one a line with `#` for comments; an SSH private key; OpenPGP secret keys. Protected
    /// ones ask `prompt` for their passphrase.
    ///
    /// # Errors
    /// [`SealError::BadIdentity`] naming the line, never showing it; [`SealError::BadIdentityFile`].
    pub fn read(bytes: &[u8], prompt: &SharedPrompt) -> Result<Vec<Self>, SealError> {
        if bytes.len() > MAX_IDENTITY_FILE_BYTES {
            return Err(SealError::BadIdentity { line: 1, why: "the file is too large" });
        }
        if looks_like_openpgp(bytes) {
            let keys = SecretKey::read(bytes, prompt)?;
            return Ok(keys.into_iter().map(Box::new).map(Self::OpenPgp).collect());
        }
        let text = std::str::from_utf8(bytes)
            .map_err(|_| SealError::BadIdentity { line: 1, why: "the file is no text" })?;
        if text.trim_start().starts_with("-----BEGIN ") {
            return age_file::parse_ssh(text, prompt).map(|identity| vec![identity]);
        }
        age_file::parse_identities(text, prompt)
    }

    /// As [`Identity::read`], with nobody to ask.
    ///
    /// # Errors
    /// As [`Identity::read`].
    pub fn parse_file(text: &str) -> Result<Vec<Self>, SealError> {
        let nobody: SharedPrompt = Arc::new(Nobody);
        Self::read(text.as_bytes(), &nobody)
    }

    /// The data key, or `None` when it is not wrapped for this identity (for a passphrase also: when it is wrong).
    ///
    /// # Errors
    /// [`SealError::BadStanza`] and [`SealError::KdfParameters`] for a wrapped key that no writer makes for this identity;
    /// [`SealError::Keeper`] when a program that keeps the key could not be asked.
    pub fn unwrap_key(&self, wrapped: &WrappedKey, id: &[u8; 16]) -> Result<Option<DataKey>, SealError> {
        match (self, wrapped.kind) {
            (Self::Passphrase(passphrase), WrapKind::Passphrase) => {
                passphrase::unwrap_key(passphrase, &wrapped.body, id)
            }
            (Self::Age(identity), WrapKind::Age) => identity.unwrap_key(wrapped),
            (Self::OpenPgp(key), WrapKind::OpenPgp) => key.unwrap_key(&wrapped.body),
            (Self::Keeper(keeper), kind) if keeper.kind() == kind => {
                keeper::unwrap_key(keeper.as_ref(), &wrapped.body, id)
            }
            _ => Ok(None),
        }
    }
}

/// The data key of an archive that is not encrypted, stored as it is.
pub fn wrap_clear(key: &DataKey) -> WrappedKey {
    WrappedKey { kind: WrapKind::Clear, fingerprint: Fingerprint([0; 8]), body: key.expose().to_vec() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_recipient_unwraps_and_nobody_else() {
        let (key, id) = (DataKey::generate().unwrap(), [3; 16]);
        let (secret, public) = generate_identity();
        let (other, _) = generate_identity();
        let cheap = KdfCost { memory_kib: 64, passes: 1, lanes: 1 };
        let phrase = || Passphrase::new("correct horse").unwrap();
        let wraps = [
            Recipient::Passphrase(phrase(), cheap).wrap(&key, &id).unwrap(),
            Recipient::parse(&public).unwrap().wrap(&key, &id).unwrap(),
            WrappedKey { kind: WrapKind::Unknown(77), fingerprint: Fingerprint([1; 8]), body: vec![1, 2] },
        ];
        let file = format!("# created: today\r\n\n{}\n{}\n", &*other, &*secret);
        let identities = Identity::parse_file(&file).unwrap();
        let opened = |identity: &Identity| -> Vec<bool> {
            wraps
                .iter()
                .map(|w| identity.unwrap_key(w, &id).unwrap().is_some_and(|k| k.expose() == key.expose()))
                .collect()
        };
        assert_eq!(opened(&identities[0]), [false, false, false]);
        assert_eq!(opened(&identities[1]), [false, true, false]);
        assert_eq!(opened(&Identity::Passphrase(phrase())), [true, false, false]);
        assert_eq!(opened(&Identity::Passphrase(Passphrase::new("wrong").unwrap())), [false; 3]);
        let moved = Identity::Passphrase(phrase()).unwrap_key(&wraps[0], &[4; 16]).unwrap();
        assert!(moved.is_none(), "a wrap of another archive does not open");
    }

    #[test]
    fn a_flipped_wrap_never_gives_a_key() {
        let (key, id) = (DataKey::generate().unwrap(), [3; 16]);
        let (secret, public) = generate_identity();
        let wrapped = Recipient::parse(&public).unwrap().wrap(&key, &id).unwrap();
        let identity = Identity::parse_file(&secret).unwrap().remove(0);
        for bit in 0..wrapped.body.len() * 8 {
            let mut bad = wrapped.clone();
            bad.body[bit / 8] ^= 1 << (bit % 8);
            let got = identity.unwrap_key(&bad, &id);
            assert!(!matches!(got, Ok(Some(_))), "bit {bit}");
        }
    }

    #[test]
    fn kinds_round_trip_and_unknown_ones_stay() {
        for code in [0, 1, 2, 3, 4, 900] {
            assert_eq!(WrapKind::from_code(code).code(), code);
        }
        assert_eq!(Fingerprint([0xAB, 0, 1, 2, 3, 4, 5, 6]).to_string(), "ab00010203040506");
    }
}
