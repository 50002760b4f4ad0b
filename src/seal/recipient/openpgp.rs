//! OpenPGP recipients (RFC 9580): the wrapped key is a small OpenPGP message holding the data key.
//!
//! A whole message, as any OpenPGP program reads it: `gpg --decrypt` recovers a data key even without pgcask. It is
//! encrypted to every key of the certificate that is valid and made for encryption, so that of several smart cards any
//! one opens it. Encrypting, and decrypting with a secret key file, is done here in Rust; a key that only an agent or a card
//! holds is used by one who [`Unwraps`](super::Unwraps).

use std::fmt;
use std::io::{BufReader, Read as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::Timestamp;
use pgp::composed::{Esk, Message, MessageBuilder, PublicOrSecret, SignedPublicKey, SignedSecretKey};
use pgp::crypto::aead::{AeadAlgorithm, ChunkSize};
use pgp::crypto::sym::SymmetricKeyAlgorithm;
use pgp::packet::{Signature, SignatureType};
use pgp::ser::Serialize as _;
use pgp::types::{KeyDetails, KeyVersion, Password, S2kParams, SecretParams, StringToKey, Tag};
use rand_core::OsRng;
use zeroize::Zeroizing;

use super::certificate::{EncryptTo, Usable, encryption_keys};
use super::prompt::SharedPrompt;
use super::{Fingerprint, WrapKind, WrappedKey};
use crate::limits::{ARMOR_SEARCH_BYTES, MAX_IDENTITY_FILE_BYTES};
use crate::seal::SealError;
use crate::seal::aead::KEY_BYTES;
use crate::seal::data_key::DataKey;

/// Stands before the certificate where a recipient is one line of text.
const TEXT_PREFIX: &str = "openpgp:";

/// Somebody's OpenPGP public key, of which at least one key may be encrypted to.
#[derive(Clone)]
pub struct Certificate {
    cert: SignedPublicKey,
    keys: Vec<EncryptTo>,
    until: Option<Timestamp>,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({})", self.fingerprint())
    }
}

impl fmt::Display for Certificate {
    /// Fingerprint and first name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&name_of(&self.cert))
    }
}

impl Certificate {
    /// All public keys in a file or a keyring, armored or binary.
    ///
    /// # Errors
    /// [`SealError::BadRecipient`] for bytes that are no public keys, for secret ones, and, naming the key, for one that is
    /// revoked, has expired at `now`, or has no key for encryption.
    pub fn read(bytes: &[u8], now: Timestamp) -> Result<Vec<Self>, SealError> {
        Self::each(bytes, now)?.into_iter().collect()
    }

    /// As [`Certificate::read`], where it is no failure that some of the keys cannot be sealed for.
    ///
    /// # Errors
    /// [`SealError::BadRecipient`] for bytes that are no public keys.
    pub fn each(bytes: &[u8], now: Timestamp) -> Result<Vec<Result<Self, SealError>>, SealError> {
        let bad = |error: &dyn fmt::Display| SealError::BadRecipient(format!("no OpenPGP key: {error}"));
        if bytes.len() > MAX_IDENTITY_FILE_BYTES {
            return Err(bad(&"the file is too large"));
        }
        let (found, _) =
            PublicOrSecret::from_reader_many(BufReader::new(bytes)).map_err(|error| bad(&error))?;
        let mut certificates = Vec::new();
        for key in found {
            match key.map_err(|error| bad(&error))? {
                PublicOrSecret::Public(cert) => certificates.push(Self::new(cert, now)),
                PublicOrSecret::Secret(_) => {
                    let why = "this is a secret OpenPGP key, give its public form (gpg --export)";
                    return Err(SealError::BadRecipient(why.to_owned()));
                }
            }
        }
        if certificates.is_empty() { Err(bad(&"there is none in it")) } else { Ok(certificates) }
    }

    fn new(cert: SignedPublicKey, now: Timestamp) -> Result<Self, SealError> {
        let Usable { keys, until } = encryption_keys(&cert, now)
            .map_err(|why| SealError::BadRecipient(format!("the OpenPGP key {}: {why}", name_of(&cert))))?;
        Ok(Self { cert: reduced(cert), keys, until })
    }

    /// When nothing can be sealed for it any more; `None` where it does not expire.
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.until
    }

    /// The primary key's fingerprint, in capital hexadecimal digits.
    pub fn fingerprint(&self) -> String {
        format!("{:X}", self.cert.fingerprint())
    }

    /// The primary key's ID.
    pub(super) fn key_id(&self) -> Fingerprint {
        key_id(&self.cert.primary_key)
    }

    /// Whether the fingerprint, of whichever case, is one of the primary key or of a subkey.
    pub fn has_fingerprint(&self, wanted: &str) -> bool {
        let is = |key: &dyn KeyDetails| format!("{:X}", key.fingerprint()).eq_ignore_ascii_case(wanted);
        is(&self.cert.primary_key) || self.cert.public_subkeys.iter().any(|subkey| is(&subkey.key))
    }

    /// The certificate as one line of text.
    pub(super) fn public_text(&self) -> Option<String> {
        let bytes = self.cert.to_bytes().ok()?;
        Some(format!("{TEXT_PREFIX}{}", BASE64.encode(bytes)))
    }

    /// Reads what [`Certificate::public_text`] wrote; `None` for other texts.
    pub(super) fn from_text(text: &str, now: Timestamp) -> Option<Result<Self, SealError>> {
        let encoded = text.strip_prefix(TEXT_PREFIX)?;
        let bad = || SealError::BadRecipient("the OpenPGP key in the text cannot be read".to_owned());
        let read = || {
            let bytes = BASE64.decode(encoded).map_err(|_| bad())?;
            Self::read(&bytes, now)?.pop().ok_or_else(bad)
        };
        Some(read())
    }

    pub(super) fn wrap(&self, key: &DataKey) -> Result<WrappedKey, SealError> {
        let body = self.encrypt(key.expose()).map_err(|error| {
            SealError::BadRecipient(format!("the OpenPGP key {self}: it cannot be encrypted to: {error}"))
        })?;
        Ok(WrappedKey { kind: WrapKind::OpenPgp, fingerprint: self.key_id(), body })
    }

    /// Version 6 keys get the authenticated encryption of RFC 9580; to the others SEIPD version 1, which every program
    /// since 2003 reads.
    fn encrypt(&self, plain: &[u8; KEY_BYTES]) -> pgp::errors::Result<Vec<u8>> {
        let builder = MessageBuilder::from_bytes("", Zeroizing::new(plain.to_vec()).to_vec());
        if self.cert.version() == KeyVersion::V6 {
            let (cipher, mode) = (SymmetricKeyAlgorithm::AES256, AeadAlgorithm::Ocb);
            let mut builder = builder.seipd_v2(OsRng, cipher, mode, ChunkSize::default());
            for key in &self.keys {
                match key {
                    EncryptTo::Primary(key) => builder.encrypt_to_key(OsRng, key.as_ref())?,
                    EncryptTo::Subkey(key) => builder.encrypt_to_key(OsRng, key.as_ref())?,
                };
            }
            return builder.to_vec(OsRng);
        }
        let mut builder = builder.seipd_v1(OsRng, SymmetricKeyAlgorithm::AES256);
        for key in &self.keys {
            match key {
                EncryptTo::Primary(key) => builder.encrypt_to_key(OsRng, key.as_ref())?,
                EncryptTo::Subkey(key) => builder.encrypt_to_key(OsRng, key.as_ref())?,
            };
        }
        builder.to_vec(OsRng)
    }
}

/// An OpenPGP secret key from a file, unlocked or with the passphrase that unlocks it.
pub struct SecretKey {
    key: SignedSecretKey,
    passphrase: Password,
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey({:X})", self.key.fingerprint())
    }
}

impl SecretKey {
    /// All secret keys in a file, armored or binary. `prompt` is asked for the passphrase of one that is protected.
    ///
    /// # Errors
    /// [`SealError::BadIdentityFile`].
    pub(super) fn read(bytes: &[u8], prompt: &SharedPrompt) -> Result<Vec<Self>, SealError> {
        let bad =
            |error: &dyn fmt::Display| SealError::BadIdentityFile(format!("no OpenPGP secret key: {error}"));
        let (found, _) =
            PublicOrSecret::from_reader_many(BufReader::new(bytes)).map_err(|error| bad(&error))?;
        let mut keys = Vec::new();
        for key in found {
            match key.map_err(|error| bad(&error))? {
                PublicOrSecret::Secret(key) => keys.push(Self::unlock(key, prompt)?),
                PublicOrSecret::Public(_) => {
                    return Err(bad(&"this is the public key (gpg --export-secret-keys)"));
                }
            }
        }
        if keys.is_empty() { Err(bad(&"there is none in the file")) } else { Ok(keys) }
    }

    fn unlock(key: SignedSecretKey, prompt: &SharedPrompt) -> Result<Self, SealError> {
        let name = name_of(&key.to_public_key());
        let here: Vec<_> =
            key.secret_subkeys.iter().filter(|subkey| is_here(subkey.key.secret_params())).collect();
        let primary = is_here(key.primary_key.secret_params());
        if here.is_empty() && !primary {
            return Err(SealError::BadIdentityFile(format!(
                "the file of the OpenPGP key {name} holds no secret part (it may be on a smart card); leave the file \
                 out, and gpg is asked"
            )));
        }
        let protected = here.iter().any(|subkey| subkey.key.secret_params().is_encrypted())
            || (primary && key.primary_key.secret_params().is_encrypted());
        let mut passphrase = Password::empty();
        if protected {
            let given = prompt.secret(&format!("Passphrase of the OpenPGP key {name}"));
            let given = given.ok_or_else(|| SealError::NeedsPassphrase(format!("the OpenPGP key {name}")))?;
            passphrase = Password::from(given.as_str());
        }
        let opens = |result: pgp::errors::Result<pgp::errors::Result<()>>| matches!(result, Ok(Ok(())));
        let right = here.iter().all(|subkey| opens(subkey.key.unlock(&passphrase, |_, _| Ok(()))))
            && (!primary || opens(key.primary_key.unlock(&passphrase, |_, _| Ok(()))));
        if !right {
            return Err(SealError::BadIdentityFile(format!(
                "the passphrase of the OpenPGP key {name} is wrong, or its file is damaged"
            )));
        }
        Ok(Self { key, passphrase })
    }

    /// The data key; `None` when it is wrapped for other keys.
    pub(super) fn unwrap_key(&self, body: &[u8]) -> Result<Option<DataKey>, SealError> {
        let malformed = |_| SealError::BadStanza("it is no OpenPGP message that holds a data key");
        let message = Message::from_bytes(body).map_err(malformed)?;
        if !self.is_meant(&message) {
            return Ok(None);
        }
        let mut plain = Zeroizing::new(Vec::with_capacity(KEY_BYTES + 1));
        let decrypted = message.decrypt(&self.passphrase, &self.key).map_err(malformed)?;
        let read = decrypted.take(33).read_to_end(&mut plain);
        read.map_err(|_| SealError::BadStanza("it is no OpenPGP message that holds a data key"))?;
        DataKey::from_bytes(&plain).map(Some)
    }

    fn is_meant(&self, message: &Message<'_>) -> bool {
        let Message::Encrypted { esk, .. } = message else { return false };
        esk.iter().any(|esk| match esk {
            Esk::PublicKeyEncryptedSessionKey(esk) => {
                esk.match_identity(self.key.primary_key.public_key())
                    || self
                        .key
                        .secret_subkeys
                        .iter()
                        .any(|subkey| esk.match_identity(subkey.key.public_key()))
            }
            Esk::SymKeyEncryptedSessionKey(_) => false,
        })
    }
}

/// Whether the file holds the secret: of a key that is kept offline, or on a card, `GnuPG` exports a stub (S2K 101).
fn is_here(params: &SecretParams) -> bool {
    match params {
        SecretParams::Plain(_) => true,
        SecretParams::Encrypted(encrypted) => {
            let (S2kParams::Aead { s2k, .. }
            | S2kParams::Cfb { s2k, .. }
            | S2kParams::MalleableCfb { s2k, .. }) = encrypted.string_to_key_params()
            else {
                return true;
            };
            !matches!(s2k, StringToKey::Private { .. })
        }
    }
}

/// Eight bytes by which OpenPGP programs call a key (RFC 9580, section 5.5.4).
fn key_id(key: &impl KeyDetails) -> Fingerprint {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(key.legacy_key_id().as_ref());
    Fingerprint(bytes)
}

/// Fingerprint and first name of a key, for messages.
fn name_of(cert: &SignedPublicKey) -> String {
    let names = cert.details.users.iter().map(|user| String::from_utf8_lossy(user.id.id()).into_owned());
    let name: String = names.take(1).flat_map(|name| name.chars().take(100).collect::<Vec<_>>()).collect();
    let name: String = name.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
    let fingerprint = format!("{:X}", cert.fingerprint());
    if name.is_empty() { fingerprint } else { format!("{fingerprint} ({name})") }
}

/// Without pictures and what others have signed: a certificate of many friends is megabytes.
fn reduced(mut cert: SignedPublicKey) -> SignedPublicKey {
    cert.details.user_attributes.clear();
    let primary = cert.primary_key.clone();
    for user in &mut cert.details.users {
        let id = user.id.clone();
        let own = |signature: &Signature| signature.verify_certification(&primary, Tag::UserId, &id).is_ok();
        user.signatures.retain(own);
    }
    cert.details.users.retain(|user| !user.signatures.is_empty());
    cert.details.direct_signatures.retain(|signature| {
        signature.typ() != Some(SignatureType::Key) || signature.verify_key(&primary).is_ok()
    });
    cert
}

/// Whether bytes look like OpenPGP: armor of it, or a binary packet's first byte (RFC 9580, section 4.2), which no text has.
pub fn looks_like_openpgp(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|first| first & 0x80 != 0 && *first != 0xEF)
        || bytes.windows(14).take(ARMOR_SEARCH_BYTES).any(|window| window == b"-----BEGIN PGP")
}
