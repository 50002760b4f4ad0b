//! age recipients (age-encryption.org/v1): the wrapped key is a small binary age file holding the data key.
//!
//! A whole age file, not only its stanza, so that whatever the `age` tool can open (hardware plugins, SSH keys) opens this as
//! well, and so that `age -d` recovers a data key even without pgcask.

use std::fmt;
use std::io::{Read as _, Write as _};

use age::secrecy::ExposeSecret as _;
use age::{plugin, ssh, x25519};
use zeroize::Zeroizing;

use super::prompt::{ForAge, SharedPrompt};
use super::{Fingerprint, Identity, WrapKind, WrappedKey};
use crate::seal::SealError;
use crate::seal::aead::KEY_BYTES;
use crate::seal::data_key::DataKey;

/// A fresh pair: the secret text (`AGE-SECRET-KEY-1…`), wiped when dropped, and its public recipient (`age1…`).
pub fn generate_identity() -> (Zeroizing<String>, String) {
    let identity = x25519::Identity::generate();
    let secret = Zeroizing::new(identity.to_string().expose_secret().to_owned());
    (secret, identity.to_public().to_string())
}

/// One of age's kinds of recipient.
#[derive(Clone)]
pub struct AgeRecipient {
    text: String,
    key: PublicKey,
}

#[derive(Clone)]
enum PublicKey {
    X25519(x25519::Recipient),
    Ssh(ssh::Recipient),
    Plugin(plugin::Recipient),
}

impl fmt::Debug for AgeRecipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AgeRecipient({})", self.text)
    }
}

impl fmt::Display for AgeRecipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

pub(super) fn parse_recipient(text: &str) -> Result<AgeRecipient, SealError> {
    let text = text.trim();
    let bad = |why: &str| SealError::BadRecipient(why.to_owned());
    let begins = |start: &str| text.get(..start.len()).is_some_and(|found| found.eq_ignore_ascii_case(start));
    if begins("AGE-SECRET-KEY-") || begins("AGE-PLUGIN-") {
        return Err(bad("this is a secret identity, give its public age1… form"));
    }
    if begins("ssh-") {
        // The comment is nobody's key: two lines that differ in it are one recipient.
        let text = text.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
        let key = text.parse().map_err(|why| bad(ssh_problem(&why)))?;
        return Ok(AgeRecipient { text, key: PublicKey::Ssh(key) });
    }
    if let Ok(recipient) = text.parse::<plugin::Recipient>() {
        return Ok(AgeRecipient { text: text.to_owned(), key: PublicKey::Plugin(recipient) });
    }
    let recipient: x25519::Recipient = text.parse().map_err(bad)?;
    Ok(AgeRecipient { text: recipient.to_string(), key: PublicKey::X25519(recipient) })
}

fn ssh_problem(why: &ssh::ParseRecipientKeyError) -> &'static str {
    match why {
        ssh::ParseRecipientKeyError::Invalid(why) => why,
        ssh::ParseRecipientKeyError::RsaModulusTooLarge => "the SSH key is of more than 4096 bits",
        ssh::ParseRecipientKeyError::RsaModulusTooSmall => "the SSH key is of less than 2048 bits",
        _ => "SSH keys that can be sealed for are ssh-ed25519 and ssh-rsa",
    }
}

impl AgeRecipient {
    pub(super) fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(self.text.as_bytes())
    }

    pub(super) fn wrap(&self, key: &DataKey) -> Result<WrappedKey, SealError> {
        let body = match &self.key {
            PublicKey::X25519(recipient) => seal(recipient, key),
            PublicKey::Ssh(recipient) => seal(recipient, key),
            PublicKey::Plugin(recipient) => {
                let name = recipient.plugin();
                let only = std::slice::from_ref(recipient);
                let plugin = plugin::RecipientPluginV1::new(name, only, &[], age::NoCallbacks);
                seal(&plugin.map_err(|error| SealError::BadRecipient(one_line(&error)))?, key)
            }
        };
        Ok(WrappedKey { kind: WrapKind::Age, fingerprint: self.fingerprint(), body: body? })
    }
}

fn seal(recipient: &dyn age::Recipient, key: &DataKey) -> Result<Vec<u8>, SealError> {
    let bad = |error: &dyn fmt::Display| SealError::BadRecipient(one_line(error));
    let encryptor =
        age::Encryptor::with_recipients(std::iter::once(recipient)).map_err(|error| bad(&error))?;
    let mut body = Vec::with_capacity(256);
    let mut writer = encryptor.wrap_output(&mut body).map_err(|error| bad(&error))?;
    writer.write_all(key.expose()).map_err(|error| bad(&error))?;
    writer.finish().map_err(|error| bad(&error))?;
    Ok(body)
}

/// One of age's kinds of identity, and for whom archives are sealed that it opens, where that can be told.
pub struct AgeIdentity {
    fingerprint: Option<Fingerprint>,
    identity: Box<dyn age::Identity + Send + Sync>,
}

impl fmt::Debug for AgeIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AgeIdentity(secret)")
    }
}

/// The identities of an age identity file: one a line, `#` begins a comment.
pub(super) fn parse_identities(text: &str, prompt: &SharedPrompt) -> Result<Vec<Identity>, SealError> {
    let mut identities = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let why = |why| SealError::BadIdentity { line: at + 1, why };
        if let Ok(identity) = line.parse::<plugin::Identity>() {
            let name = identity.plugin().to_owned();
            let plugin =
                plugin::IdentityPluginV1::new(&name, &[identity], ForAge(SharedPrompt::clone(prompt)));
            let plugin = plugin.map_err(|error| SealError::BadIdentityFile(one_line(&error)))?;
            identities.push(Identity::Age(AgeIdentity { fingerprint: None, identity: Box::new(plugin) }));
            continue;
        }
        let identity: x25519::Identity =
            line.parse().map_err(|_| why("it is no AGE-SECRET-KEY-1…, no AGE-PLUGIN-… and no comment"))?;
        let fingerprint = Some(Fingerprint::of(identity.to_public().to_string().as_bytes()));
        identities.push(Identity::Age(AgeIdentity { fingerprint, identity: Box::new(identity) }));
    }
    if identities.is_empty() {
        return Err(SealError::BadIdentity { line: 1, why: "the file holds no identity" });
    }
    Ok(identities)
}

/// An SSH private key, as `ssh-keygen` writes it; one that is protected is unlocked when it is needed.
pub(super) fn parse_ssh(text: &str, prompt: &SharedPrompt) -> Result<Identity, SealError> {
    let bad = |why: &str| SealError::BadIdentityFile(why.to_owned());
    let key = ssh::Identity::from_buffer(text.as_bytes(), None)
        .map_err(|_| bad("the SSH private key cannot be read"))?;
    let fingerprint =
        ssh::Recipient::try_from(key.clone()).ok().map(|public| public.to_string()).map(|text| {
            Fingerprint::of(text.split_whitespace().take(2).collect::<Vec<_>>().join(" ").as_bytes())
        });
    match &key {
        ssh::Identity::Unsupported(_) => {
            Err(bad("this kind of SSH private key cannot be used; ssh-ed25519 and ssh-rsa can"))
        }
        ssh::Identity::Encrypted(_) | ssh::Identity::Unencrypted(_) => {
            let identity: Box<dyn age::Identity + Send + Sync> =
                Box::new(key.with_callbacks(ForAge(SharedPrompt::clone(prompt))));
            Ok(Identity::Age(AgeIdentity { fingerprint, identity }))
        }
    }
}

impl AgeIdentity {
    /// The data key, or `None` when it is wrapped for somebody else.
    pub(super) fn unwrap_key(&self, wrapped: &WrappedKey) -> Result<Option<DataKey>, SealError> {
        let malformed = || SealError::BadStanza("it is no age file that holds a data key");
        let decryptor = age::Decryptor::new_buffered(wrapped.body.as_slice()).map_err(|_| malformed())?;
        let identity: &dyn age::Identity = self.identity.as_ref();
        let reader = match decryptor.decrypt(std::iter::once(identity)) {
            Ok(reader) => reader,
            Err(age::DecryptError::NoMatchingKeys) if self.fingerprint == Some(wrapped.fingerprint) => {
                return Err(SealError::BadStanza(
                    "it says that it is for this identity, which does not open it",
                ));
            }
            Err(age::DecryptError::NoMatchingKeys) => return Ok(None),
            Err(age::DecryptError::KeyDecryptionFailed) => {
                return Err(SealError::BadIdentityFile("the passphrase of the SSH key is wrong".to_owned()));
            }
            Err(error @ (age::DecryptError::Plugin(_) | age::DecryptError::PluginResolve(_))) => {
                return Err(SealError::BadIdentityFile(one_line(&error)));
            }
            Err(_) => return Err(malformed()),
        };
        let mut plain = Zeroizing::new(Vec::with_capacity(KEY_BYTES + 1));
        reader.take(33).read_to_end(&mut plain).map_err(|_| malformed())?;
        DataKey::from_bytes(&plain).map(Some).map_err(|_| malformed())
    }
}

/// age's messages may span lines.
fn one_line(error: &dyn fmt::Display) -> String {
    error.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::recipient::prompt::Nobody;

    #[test]
    fn errors_name_the_line_and_never_show_it() {
        let nobody: SharedPrompt = std::sync::Arc::new(Nobody);
        let text = "# fine\nAGE-SECRET-KEY-1OOPS";
        let error = parse_identities(text, &nobody).unwrap_err().to_string();
        assert!(error.contains("line 2") && !error.contains("OOPS"), "{error}");
        assert!(parse_identities("# nothing\n", &nobody).is_err());
        let (secret, public) = generate_identity();
        assert!(parse_recipient(&secret).unwrap_err().to_string().contains("secret identity"));
        assert!(parse_recipient(&format!(" {public}\n")).is_ok());
    }
}
