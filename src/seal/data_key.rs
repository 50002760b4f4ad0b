//! The random key of one archive, and the keys derived from it (HKDF-SHA256, RFC 5869).

use hkdf::Hkdf;
use hkdf::hmac::{Hmac, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::SealError;
use super::aead::{FrameCipher, KEY_BYTES};
use super::nonce::PREFIX_BYTES;

/// Length of an HMAC-SHA256 in bytes.
pub const MAC_BYTES: usize = 32;

/// The secret that opens one archive: 32 random bytes, wiped from memory when dropped, never printed.
#[derive(Clone)]
pub struct DataKey(Zeroizing<[u8; KEY_BYTES]>);

impl std::fmt::Debug for DataKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DataKey(secret)")
    }
}

impl DataKey {
    /// A fresh one.
    ///
    /// # Errors
    /// [`SealError::Random`].
    pub fn generate() -> Result<Self, SealError> {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        getrandom::fill(key.as_mut_slice())?;
        Ok(Self(key))
    }

    /// The key with these bytes.
    ///
    /// # Errors
    /// [`SealError::BadStanza`] when they are not 32.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SealError> {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        if bytes.len() != KEY_BYTES {
            return Err(SealError::BadStanza("a data key has 32 bytes"));
        }
        key.copy_from_slice(bytes);
        Ok(Self(key))
    }

    /// The secret itself, for wrapping it.
    pub(super) fn expose(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }
}

/// What a derived key is for. Each has its own label, so that no two are ever equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Encrypts frames.
    Frame,
    /// The fixed part of each frame's nonce.
    FrameNonce,
    /// Keys the content hash of rows, so that equal rows of two archives cannot be told.
    ContentHash,
    /// Stands in the header and tells whether a key is the right one.
    Commitment,
    /// Authenticates the header.
    Header,
    /// Authenticates the footer.
    Footer,
    /// Authenticates objects that stand beside the archive, such as later-added recipients.
    Beside,
}

impl Purpose {
    /// The HKDF info string.
    pub const fn label(self) -> &'static [u8] {
        match self {
            Self::Frame => b"pgcask/v1/frame",
            Self::FrameNonce => b"pgcask/v1/frame-nonce",
            Self::ContentHash => b"pgcask/v1/content-hash",
            Self::Commitment => b"pgcask/v1/commitment",
            Self::Header => b"pgcask/v1/header",
            Self::Footer => b"pgcask/v1/footer",
            Self::Beside => b"pgcask/v1/beside",
        }
    }
}

/// All that is derived from a data key for one archive.
#[derive(Clone)]
pub struct Keys {
    data_key: DataKey,
    archive_id: [u8; 16],
    content_hash: Zeroizing<[u8; KEY_BYTES]>,
    commitment: [u8; KEY_BYTES],
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys(secret)")
    }
}

impl Keys {
    /// Derives the keys; the archive's id is the salt.
    ///
    /// # Errors
    /// [`SealError::Cipher`] never happens: all lengths are fixed.
    pub fn derive(data_key: DataKey, archive_id: &[u8; 16]) -> Result<Self, SealError> {
        let hkdf = extract(&data_key, archive_id);
        let content_hash = Zeroizing::new(expand(&hkdf, Purpose::ContentHash)?);
        let commitment = expand(&hkdf, Purpose::Commitment)?;
        Ok(Self { data_key, archive_id: *archive_id, content_hash, commitment })
    }

    /// The cipher of the archive's frames.
    ///
    /// # Errors
    /// As [`Keys::derive`].
    pub fn frame_cipher(&self) -> Result<FrameCipher, SealError> {
        let hkdf = extract(&self.data_key, &self.archive_id);
        let key = Zeroizing::new(expand::<KEY_BYTES>(&hkdf, Purpose::Frame)?);
        FrameCipher::new(&key, expand::<PREFIX_BYTES>(&hkdf, Purpose::FrameNonce)?)
    }

    /// The key of the rows' content hash, 32 bytes.
    pub fn content_hash_key(&self) -> &[u8; KEY_BYTES] {
        &self.content_hash
    }

    /// The secret of the rows' content hash: the key expanded to as many bytes as the hash function takes.
    ///
    /// # Errors
    /// As [`Keys::derive`].
    pub fn content_hash_secret<const N: usize>(&self) -> Result<[u8; N], SealError> {
        let mut secret = [0; N];
        let hkdf = Hkdf::<Sha256>::from_prk(self.content_hash.as_slice()).map_err(|_| SealError::Cipher)?;
        hkdf.expand(b"pgcask/v1/content-hash-secret", &mut secret).map_err(|_| SealError::Cipher)?;
        Ok(secret)
    }

    /// The public value that commits the archive to this key.
    pub const fn commitment(&self) -> &[u8; KEY_BYTES] {
        &self.commitment
    }

    /// The data key, to wrap it for further recipients.
    pub const fn data_key(&self) -> &DataKey {
        &self.data_key
    }

    /// HMAC-SHA256 (RFC 2104) of `message` under the key derived for `purpose`.
    ///
    /// # Errors
    /// As [`Keys::derive`].
    pub fn mac(&self, purpose: Purpose, message: &[u8]) -> Result<[u8; MAC_BYTES], SealError> {
        Ok(self.keyed(purpose, message)?.finalize().into_bytes().into())
    }

    /// Compares a MAC in constant time.
    ///
    /// # Errors
    /// [`SealError::NotAuthentic`] when it is another.
    pub fn verify_mac(&self, purpose: Purpose, message: &[u8], mac: &[u8]) -> Result<(), SealError> {
        self.keyed(purpose, message)?.verify_slice(mac).map_err(|_| SealError::NotAuthentic)
    }

    fn keyed(&self, purpose: Purpose, message: &[u8]) -> Result<Hmac<Sha256>, SealError> {
        let hkdf = extract(&self.data_key, &self.archive_id);
        let key = Zeroizing::new(expand::<KEY_BYTES>(&hkdf, purpose)?);
        let mut mac = Hmac::<Sha256>::new_from_slice(key.as_slice()).map_err(|_| SealError::Cipher)?;
        mac.update(message);
        Ok(mac)
    }
}

/// The extraction is repeated for each use rather than kept: its state has no destructor that wipes it.
fn extract(data_key: &DataKey, archive_id: &[u8; 16]) -> Hkdf<Sha256> {
    Hkdf::new(Some(archive_id), data_key.expose())
}

fn expand<const N: usize>(hkdf: &Hkdf<Sha256>, purpose: Purpose) -> Result<[u8; N], SealError> {
    let mut out = [0; N];
    hkdf.expand(purpose.label(), &mut out).map_err(|_| SealError::Cipher)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_differ_by_purpose_archive_and_data_key() {
        let keys =
            |byte: u8, id: u8| Keys::derive(DataKey::from_bytes(&[byte; 32]).unwrap(), &[id; 16]).unwrap();
        let base = keys(1, 1);
        assert_ne!(base.content_hash_key(), base.commitment());
        assert_ne!(base.commitment(), keys(2, 1).commitment());
        assert_ne!(base.commitment(), keys(1, 2).commitment());
        let mac = base.mac(Purpose::Header, b"m").unwrap();
        assert!(base.verify_mac(Purpose::Header, b"m", &mac).is_ok());
        assert!(base.verify_mac(Purpose::Footer, b"m", &mac).is_err());
        assert!(base.verify_mac(Purpose::Header, b"n", &mac).is_err());
    }

    #[test]
    fn nothing_secret_is_printed() {
        let keys = Keys::derive(DataKey::from_bytes(&[0xAB; 32]).unwrap(), &[1; 16]).unwrap();
        assert_eq!(format!("{keys:?} {:?}", keys.data_key()), "Keys(secret) DataKey(secret)");
    }
}
