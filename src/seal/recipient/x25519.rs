//! age X25519 recipients (age-encryption.org/v1): the wrapped key is a small binary age file holding the data key.
//!
//! A whole age file, not only its stanza, so that whatever the `age` tool can open (hardware plugins, SSH keys) can
//! one day open this as well, and so that `age -d` recovers a data key even without pgcask.

use std::io::{Read as _, Write as _};

use age::secrecy::ExposeSecret as _;
use age::x25519;
use zeroize::Zeroizing;

use super::{Fingerprint, Identity, WrapKind, WrappedKey};
use crate::limits::MAX_IDENTITY_FILE_BYTES;
use crate::seal::SealError;
use crate::seal::aead::KEY_BYTES;
use crate::seal::data_key::DataKey;

/// A fresh pair: the secret text (`AGE-SECRET-KEY-1…`), wiped when dropped, and its public recipient (`age1…`).
pub fn generate_identity() -> (Zeroizing<String>, String) {
    let identity = x25519::Identity::generate();
    let secret = Zeroizing::new(identity.to_string().expose_secret().to_owned());
    (secret, identity.to_public().to_string())
}

pub(super) fn parse_recipient(text: &str) -> Result<x25519::Recipient, SealError> {
    let text = text.trim();
    if text.get(..15).is_some_and(|start| start.eq_ignore_ascii_case("AGE-SECRET-KEY-")) {
        return Err(SealError::BadRecipient(
            "this is a secret identity, give its public age1… form".to_owned(),
        ));
    }
    text.parse().map_err(|why: &'static str| SealError::BadRecipient(why.to_owned()))
}

pub(super) fn parse_identities(text: &str) -> Result<Vec<Identity>, SealError> {
    if text.len() > MAX_IDENTITY_FILE_BYTES {
        return Err(SealError::BadIdentity { line: 1, why: "the file is too large" });
    }
    let mut identities = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let why = |why| SealError::BadIdentity { line: at + 1, why };
        if line.starts_with("AGE-PLUGIN-") {
            return Err(why("identities of plugins are not supported"));
        }
        let identity: x25519::Identity =
            line.parse().map_err(|_| why("it is no AGE-SECRET-KEY-1… and no comment"))?;
        identities.push(Identity::Age(Box::new(identity)));
    }
    if identities.is_empty() {
        return Err(SealError::BadIdentity { line: 1, why: "the file holds no identity" });
    }
    Ok(identities)
}

pub(super) fn wrap(recipient: &x25519::Recipient, key: &DataKey) -> Result<WrappedKey, SealError> {
    let bad = |error: &dyn std::fmt::Display| SealError::BadRecipient(error.to_string());
    let encryptor = age::Encryptor::with_recipients(std::iter::once(recipient as &dyn age::Recipient))
        .map_err(|error| bad(&error))?;
    let mut body = Vec::with_capacity(256);
    let mut writer = encryptor.wrap_output(&mut body).map_err(|error| bad(&error))?;
    writer.write_all(key.expose()).map_err(|error| bad(&error))?;
    writer.finish().map_err(|error| bad(&error))?;
    let fingerprint = Fingerprint::of(recipient.to_string().as_bytes());
    Ok(WrappedKey { kind: WrapKind::Age, fingerprint, body })
}

pub(super) fn unwrap_key(
    identity: &(dyn age::Identity + Send + Sync),
    body: &[u8],
) -> Result<Option<DataKey>, SealError> {
    let malformed = || SealError::BadStanza("it is no age file that holds a data key");
    let decryptor = age::Decryptor::new_buffered(body).map_err(|_| malformed())?;
    let identity: &dyn age::Identity = identity;
    let reader = match decryptor.decrypt(std::iter::once(identity)) {
        Ok(reader) => reader,
        Err(age::DecryptError::NoMatchingKeys) => return Ok(None),
        Err(_) => return Err(malformed()),
    };
    let mut plain = Zeroizing::new(Vec::with_capacity(KEY_BYTES + 1));
    reader.take(33).read_to_end(&mut plain).map_err(|_| malformed())?;
    DataKey::from_bytes(&plain).map(Some).map_err(|_| malformed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_line_and_never_show_it() {
        let text = "# fine\nAGE-SECRET-KEY-1OOPS";
        let error = parse_identities(text).unwrap_err().to_string();
        assert!(error.contains("line 2") && !error.contains("OOPS"), "{error}");
        assert!(parse_identities("# nothing\n").is_err());
        let (secret, public) = generate_identity();
        assert!(parse_recipient(&secret).unwrap_err().to_string().contains("secret identity"));
        assert!(parse_recipient(&format!(" {public}\n")).is_ok());
    }
}
