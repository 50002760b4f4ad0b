//! Which keys of an OpenPGP certificate may be encrypted to (RFC 9580, sections 5.2.1, 5.2.3.10, 5.2.3.29 and 10.1).
//!
//! Only what the certificate's own primary key has signed counts. What decides is the newest signature that is valid now:
//! a binding says what a subkey is for and until when, a revocation ends it.

use jiff::Timestamp;
use pgp::composed::{SignedPublicKey, SignedPublicSubKey};
use pgp::packet::{PublicKey, PublicSubkey, Signature, SignatureType};
use pgp::types::{KeyDetails, KeyVersion, SignedUser, Tag};

/// A key of a certificate that may be encrypted to.
#[derive(Debug, Clone)]
pub(super) enum EncryptTo {
    /// The primary key itself.
    Primary(Box<PublicKey>),
    /// One of the subkeys.
    Subkey(Box<PublicSubkey>),
}

/// The keys of a certificate that may be encrypted to, and until when there is one.
#[derive(Debug, Clone)]
pub(super) struct Usable {
    pub(super) keys: Vec<EncryptTo>,
    /// From this moment on nothing can be sealed for it any more; none where it does not expire.
    pub(super) until: Option<Timestamp>,
}

/// What a subkey is good for.
enum Purpose {
    Other,
    /// Encryption, until this moment.
    Encryption(Option<Timestamp>),
}

/// All keys of a certificate that are valid now and made for encryption.
///
/// # Errors
/// In words, why there is none: the certificate is revoked or has expired, or its encryption keys are or have.
pub(super) fn encryption_keys(cert: &SignedPublicKey, now: Timestamp) -> Result<Usable, String> {
    if matches!(cert.primary_key.version(), KeyVersion::V2 | KeyVersion::V3) {
        return Err("its version is older than 4 and no longer safe".to_owned());
    }
    refuse_revoked(cert)?;
    let own = newest(self_signatures(cert, now))
        .ok_or("it has no signature of its own that is valid now and made with a hash that is safe")?;
    let end = end_of(&cert.primary_key, own);
    if let Some(end) = end.filter(|end| *end <= now) {
        return Err(format!("it expired on {}", day(end)));
    }
    let mut keys = Vec::new();
    let mut ends = Vec::new();
    let mut reasons = Vec::new();
    if is_for_encryption(own) {
        keys.push(EncryptTo::Primary(Box::new(cert.primary_key.clone())));
        ends.push(end);
    }
    for subkey in &cert.public_subkeys {
        match check(cert, subkey, now) {
            Ok(Purpose::Encryption(until)) => {
                keys.push(EncryptTo::Subkey(Box::new(subkey.key.clone())));
                ends.push(until);
            }
            Ok(Purpose::Other) => {}
            Err(reason) => reasons.push(format!("subkey {:X} {reason}", subkey.fingerprint())),
        }
    }
    if keys.is_empty() {
        reasons.insert(0, "it has no valid key for encryption".to_owned());
        return Err(reasons.join("; "));
    }
    // The last of its keys for encryption, and none outlives the certificate.
    let last = if ends.contains(&None) { None } else { ends.into_iter().flatten().max() };
    let until = match (end, last) {
        (Some(end), Some(last)) => Some(end.min(last)),
        (end, last) => end.or(last),
    };
    Ok(Usable { keys, until })
}

/// A revocation by the key itself ends it, whatever the reason. One by a designated revoker cannot be checked without the
/// revoker's key; it counts where the certificate does name a revoker: sealing for a key that may be stolen is the worse error.
fn refuse_revoked(cert: &SignedPublicKey) -> Result<(), String> {
    let revocations = &cert.details.revocation_signatures;
    if let Some(by_itself) =
        revocations.iter().find(|signature| signature.verify_key(&cert.primary_key).is_ok())
    {
        return Err(format!("it was revoked{}", since(by_itself)));
    }
    let users = cert.details.users.iter().flat_map(|user| &user.signatures);
    let named = cert.details.direct_signatures.iter().chain(users).any(|own| own.revocation_key().is_some());
    if named && !revocations.is_empty() {
        return Err("it has a revocation by another key, which it allows to revoke it".to_owned());
    }
    Ok(())
}

/// The signatures by which the primary key speaks of itself: directly, or over names that are not revoked.
fn self_signatures(cert: &SignedPublicKey, now: Timestamp) -> impl Iterator<Item = &Signature> {
    let primary = &cert.primary_key;
    let direct = cert.details.direct_signatures.iter().filter(move |signature| {
        signature.typ() == Some(SignatureType::Key)
            && in_force(signature, now)
            && signature.verify_key(primary).is_ok()
    });
    let of_users = cert.details.users.iter().filter_map(move |user| {
        newest(user.signatures.iter().filter(|signature| is_of(signature, user, primary, now)))
            .filter(|signature| signature.typ() != Some(SignatureType::CertRevocation))
    });
    direct.chain(of_users)
}

fn is_of(signature: &Signature, user: &SignedUser, primary: &PublicKey, now: Timestamp) -> bool {
    in_force(signature, now) && signature.verify_certification(primary, Tag::UserId, &user.id).is_ok()
}

/// Whether a subkey may be encrypted to; an error tells why one that is made for it may not.
fn check(cert: &SignedPublicKey, subkey: &SignedPublicSubKey, now: Timestamp) -> Result<Purpose, String> {
    let valid = |signature: &&Signature| {
        in_force(signature, now) && signature.verify_subkey_binding(&cert.primary_key, &subkey.key).is_ok()
    };
    let of_type = |wanted| {
        subkey.signatures.iter().filter(move |signature| signature.typ() == Some(wanted)).filter(valid)
    };
    let Some(binding) = newest(of_type(SignatureType::SubkeyBinding)) else {
        return Ok(Purpose::Other);
    };
    if !is_for_encryption(binding) {
        return Ok(Purpose::Other);
    }
    if let Some(revocation) = newest(of_type(SignatureType::SubkeyRevocation)) {
        return Err(format!("was revoked{}", since(revocation)));
    }
    if seconds(subkey.created_at()) > now.as_second() {
        return Err("is of a time that is yet to come".to_owned());
    }
    match end_of(&subkey.key, binding) {
        Some(end) if end <= now => Err(format!("expired on {}", day(end))),
        until => Ok(Purpose::Encryption(until)),
    }
}

fn is_for_encryption(signature: &Signature) -> bool {
    let flags = signature.key_flags();
    flags.encrypt_storage() || flags.encrypt_comms()
}

/// Made at or before this moment, and not expired itself.
fn in_force(signature: &Signature, now: Timestamp) -> bool {
    let Some(made) = signature.created() else { return false };
    let lasts =
        signature.signature_expiration_time().map(|span| i64::from(span.as_secs())).filter(|span| *span > 0);
    let made = seconds(made);
    made <= now.as_second() && lasts.is_none_or(|span| made.saturating_add(span) > now.as_second())
}

fn newest<'a>(signatures: impl Iterator<Item = &'a Signature>) -> Option<&'a Signature> {
    signatures.max_by_key(|signature| signature.created().map(seconds))
}

/// Until when a key is valid: so many seconds after it was made.
fn end_of(key: &impl KeyDetails, signature: &Signature) -> Option<Timestamp> {
    let span =
        signature.key_expiration_time().map(|span| i64::from(span.as_secs())).filter(|span| *span > 0)?;
    Timestamp::from_second(seconds(key.created_at()).saturating_add(span)).ok()
}

fn since(signature: &Signature) -> String {
    let made = signature.created().and_then(|made| Timestamp::from_second(seconds(made)).ok());
    made.map_or_else(String::new, |made| format!(" on {}", day(made)))
}

fn seconds(moment: pgp::types::Timestamp) -> i64 {
    i64::from(moment.as_secs())
}

fn day(moment: Timestamp) -> String {
    moment.strftime("%Y-%m-%d").to_string()
}
