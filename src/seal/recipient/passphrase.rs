//! A passphrase as recipient: Argon2id (RFC 9106) gives a key that wraps the data key.
//!
//! ```text
//! 0   16  salt, random
//! 16   4  memory in KiB     20  4  passes     24  4  lanes        (little-endian)
//! 28  48  AES-256-GCM(key = Argon2id, nonce = 0, aad = label ‖ archive id, plain = data key) with its tag
//! ```
//! The nonce may be zero because the salt makes the key unique.

use argon2::{Algorithm, Argon2, Params, Version};
use zeroize::Zeroizing;

use super::{Fingerprint, WrapKind, WrappedKey};
use crate::limits::{MAX_KDF_LANES, MAX_KDF_MEMORY_KIB, MAX_KDF_PASSES, MAX_PASSPHRASE_BYTES};
use crate::seal::SealError;
use crate::seal::aead::{KEY_BYTES, TAG_BYTES, unwrap_once, wrap_once};
use crate::seal::data_key::DataKey;

const SALT_BYTES: usize = 16;
const LABEL: &[u8] = b"pgcask/v1/passphrase";
const BODY_BYTES: usize = SALT_BYTES + 12 + KEY_BYTES + TAG_BYTES;

/// A passphrase, wiped from memory when dropped, never printed.
#[derive(Clone)]
pub struct Passphrase(Zeroizing<String>);

impl std::fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Passphrase(secret)")
    }
}

impl Passphrase {
    /// Takes 1 to 4096 bytes, used as they are (no Unicode normalisation).
    ///
    /// # Errors
    /// [`SealError::BadPassphrase`].
    pub fn new(text: impl Into<String>) -> Result<Self, SealError> {
        let text = Zeroizing::new(text.into());
        if text.is_empty() || text.len() > MAX_PASSPHRASE_BYTES {
            return Err(SealError::BadPassphrase);
        }
        Ok(Self(text))
    }
}

/// What one guess at a passphrase costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KdfCost {
    /// Memory in KiB, at most 64 MiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub passes: u32,
    /// Independent lanes.
    pub lanes: u32,
}

impl KdfCost {
    /// 64 MiB, three passes, four lanes: the second recommended option of RFC 9106, section 4.
    pub const DEFAULT: Self = Self { memory_kib: MAX_KDF_MEMORY_KIB, passes: 3, lanes: 4 };

    fn derive(self, passphrase: &Passphrase, salt: &[u8]) -> Result<Zeroizing<[u8; KEY_BYTES]>, SealError> {
        if self.memory_kib > MAX_KDF_MEMORY_KIB || self.passes > MAX_KDF_PASSES || self.lanes > MAX_KDF_LANES
        {
            return Err(SealError::KdfParameters);
        }
        let params = Params::new(self.memory_kib, self.passes, self.lanes, Some(KEY_BYTES))
            .map_err(|_| SealError::KdfParameters)?;
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(passphrase.0.as_bytes(), salt, key.as_mut_slice())
            .map_err(|_| SealError::KdfParameters)?;
        Ok(key)
    }
}

pub(super) fn wrap(
    passphrase: &Passphrase,
    cost: KdfCost,
    key: &DataKey,
    archive_id: &[u8; 16],
) -> Result<WrappedKey, SealError> {
    let mut salt = [0; SALT_BYTES];
    getrandom::fill(&mut salt)?;
    let wrapping = cost.derive(passphrase, &salt)?;
    let mut body = Vec::with_capacity(BODY_BYTES);
    body.extend_from_slice(&salt);
    for number in [cost.memory_kib, cost.passes, cost.lanes] {
        body.extend_from_slice(&number.to_le_bytes());
    }
    body.extend(wrap_once(&wrapping, &associated(archive_id), key.expose())?);
    Ok(WrappedKey { kind: WrapKind::Passphrase, fingerprint: Fingerprint::of(&salt), body })
}

pub(super) fn unwrap_key(
    passphrase: &Passphrase,
    body: &[u8],
    archive_id: &[u8; 16],
) -> Result<Option<DataKey>, SealError> {
    let malformed = || SealError::BadStanza("a passphrase's wrap has 76 bytes");
    if body.len() != BODY_BYTES {
        return Err(malformed());
    }
    let (salt, rest) = body.split_first_chunk::<SALT_BYTES>().ok_or_else(malformed)?;
    let (memory, rest) = rest.split_first_chunk::<4>().ok_or_else(malformed)?;
    let (passes, rest) = rest.split_first_chunk::<4>().ok_or_else(malformed)?;
    let (lanes, wrapped) = rest.split_first_chunk::<4>().ok_or_else(malformed)?;
    let cost = KdfCost {
        memory_kib: u32::from_le_bytes(*memory),
        passes: u32::from_le_bytes(*passes),
        lanes: u32::from_le_bytes(*lanes),
    };
    let wrapping = cost.derive(passphrase, salt)?;
    let mut wrapped = Zeroizing::new(wrapped.to_vec());
    match unwrap_once(&wrapping, &associated(archive_id), &mut wrapped) {
        Ok(plain) => DataKey::from_bytes(plain).map(Some),
        Err(SealError::NotAuthentic) => Ok(None),
        Err(error) => Err(error),
    }
}

fn associated(archive_id: &[u8; 16]) -> Vec<u8> {
    [LABEL, archive_id].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_cost_is_refused_before_memory_is_taken() {
        let phrase = Passphrase::new("x").unwrap();
        for (at, value) in
            [(16, u32::MAX), (16, MAX_KDF_MEMORY_KIB + 1), (20, 17), (24, 17), (20, 0), (24, 0)]
        {
            let mut body = vec![0; BODY_BYTES];
            for (at, number) in [(16, 64_u32), (20, 1), (24, 1)] {
                body[at..at + 4].copy_from_slice(&number.to_le_bytes());
            }
            assert!(matches!(unwrap_key(&phrase, &body, &[0; 16]), Ok(None)));
            body[at..at + 4].copy_from_slice(&value.to_le_bytes());
            assert!(matches!(unwrap_key(&phrase, &body, &[0; 16]), Err(SealError::KdfParameters)));
        }
        assert!(unwrap_key(&phrase, &[0; 75], &[0; 16]).is_err());
        assert!(Passphrase::new("").is_err());
        assert_eq!(format!("{phrase:?}"), "Passphrase(secret)");
    }
}
