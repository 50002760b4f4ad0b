//! The header: what the archive is, and for whom it is sealed.
//!
//! ```text
//! 0    8  magic 89 'C' 'A' 'S' 'K' 0D 0A 1A
//! 8    2  format version          10  2  flags (bit 0: encrypted)
//! 12   4  length of the whole header, with its CRC
//! 16  16  archive id, random
//! 32   8  time of creation, microseconds since 1970-01-01 UTC, signed
//! 40   2  number of stanzas       42  2  zero
//! 44   …  the stanzas
//! …   32  key commitment
//! …   32  HMAC-SHA256 over everything before
//! …    4  CRC-32 over everything before
//! ```
//! The first 16 bytes and the final CRC are the same in every version, so that damage is told from novelty.

use super::added::AddedKeys;
use super::codec::{Encode as _, Malformed, Reader, to_usize};
use super::error::{Damage, Error, Place};
use super::stanza::{self, STANZA_FIXED_BYTES};
use super::version;
use crate::limits::{MAX_HEADER_BYTES, MAX_STANZAS};
use crate::seal::SealError;
use crate::seal::data_key::{DataKey, Keys, MAC_BYTES, Purpose};
use crate::seal::recipient::{Fingerprint, Identity, Recipient, WrapKind, WrappedKey, wrap_clear};

/// The first bytes of every archive: not ASCII, and damaged by any transfer that changes line ends.
pub const MAGIC: [u8; 8] = *b"\x89CASK\r\n\x1a";

/// The bytes that tell the header's length.
pub const HEADER_START_BYTES: usize = 16;

const FIXED_BYTES: usize = 44;
const COMMITMENT_BYTES: usize = 32;
const CRC_BYTES: usize = 4;
const LEAST_BYTES: usize = FIXED_BYTES + COMMITMENT_BYTES + MAC_BYTES + CRC_BYTES;
const ENCRYPTED: u16 = 1;

/// An archive's identity: 16 random bytes, shown as hex.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ArchiveId(pub [u8; 16]);

impl ArchiveId {
    /// A fresh one.
    ///
    /// # Errors
    /// [`SealError::Random`].
    pub fn generate() -> Result<Self, SealError> {
        let mut id = [0; 16];
        getrandom::fill(&mut id)?;
        Ok(Self(id))
    }
}

impl std::fmt::Display for ArchiveId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A decoded header. Its CRC is right; whether it is authentic, [`Header::unlock`] tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The archive's identity.
    pub id: ArchiveId,
    /// Whether frames are encrypted.
    pub encrypted: bool,
    /// Microseconds since 1970-01-01 UTC.
    pub created_micros: i64,
    /// The wrapped keys, unknown kinds among them.
    pub stanzas: Vec<WrappedKey>,
    commitment: [u8; COMMITMENT_BYTES],
    bytes: Vec<u8>,
}

impl Header {
    /// Makes the header of a new archive and its keys. No recipients means: not encrypted.
    ///
    /// # Errors
    /// [`Error::Limit`] for too many recipients, [`Error::Seal`] when a key cannot be wrapped.
    pub fn create(
        id: ArchiveId,
        created_micros: i64,
        recipients: &[Recipient],
    ) -> Result<(Self, Keys), Error> {
        if recipients.len() > MAX_STANZAS {
            return Err(Error::limit("recipients", recipients.len(), MAX_STANZAS));
        }
        let data_key = DataKey::generate()?;
        let mut stanzas = Vec::with_capacity(recipients.len().max(1));
        for recipient in recipients {
            stanzas.push(recipient.wrap(&data_key, &id.0)?);
        }
        let encrypted = !stanzas.is_empty();
        if !encrypted {
            stanzas.push(wrap_clear(&data_key));
        }
        let keys = Keys::derive(data_key, &id.0)?;
        let mut header = Self {
            id,
            encrypted,
            created_micros,
            stanzas,
            commitment: *keys.commitment(),
            bytes: Vec::new(),
        };
        header.bytes = header.assemble(&keys)?;
        Ok((header, keys))
    }

    fn assemble(&self, keys: &Keys) -> Result<Vec<u8>, Error> {
        let length =
            LEAST_BYTES + self.stanzas.iter().map(|s| STANZA_FIXED_BYTES + s.body.len()).sum::<usize>();
        if length > MAX_HEADER_BYTES {
            return Err(Error::limit("bytes of the header", length, MAX_HEADER_BYTES));
        }
        let mut out = Vec::with_capacity(length);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&version::WRITTEN.to_le_bytes());
        out.extend_from_slice(&(if self.encrypted { ENCRYPTED } else { 0 }).to_le_bytes());
        super::codec::put_len(&mut out, length);
        out.extend_from_slice(&self.id.0);
        out.extend_from_slice(&self.created_micros.to_le_bytes());
        out.extend_from_slice(&u16::try_from(self.stanzas.len()).unwrap_or(u16::MAX).to_le_bytes());
        out.extend_from_slice(&[0; 2]);
        for stanza in &self.stanzas {
            stanza.encode(&mut out);
        }
        out.extend_from_slice(&self.commitment);
        let mac = keys.mac(Purpose::Header, &out)?;
        out.extend_from_slice(&mac);
        out.extend_from_slice(&crc32fast::hash(&out).to_le_bytes());
        Ok(out)
    }

    /// The header's bytes, as they stand at the front and near the end.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The whole header's length, from its first [`HEADER_START_BYTES`].
    ///
    /// # Errors
    /// [`Error::NotAnArchive`] without the magic; [`Error::Damaged`] for a length that cannot be.
    pub fn length(start: &[u8; HEADER_START_BYTES], place: Place) -> Result<usize, Error> {
        if !start.starts_with(&MAGIC) {
            return Err(Error::NotAnArchive);
        }
        let [.., a, b, c, d] = *start;
        let length = to_usize(u64::from(u32::from_le_bytes([a, b, c, d])));
        if (LEAST_BYTES..=MAX_HEADER_BYTES).contains(&length) {
            Ok(length)
        } else {
            Err(Error::damaged(place, Malformed { at: 12, what: "the header's length is out of bounds" }))
        }
    }

    /// Decodes a header of exactly these bytes; `place` is for the errors.
    ///
    /// # Errors
    /// [`Error::NotAnArchive`], [`Error::Damaged`], [`Error::Version`].
    pub fn decode(bytes: &[u8], place: Place) -> Result<Self, Error> {
        let start = bytes.first_chunk().ok_or_else(|| Error::damaged(place, Damage::Truncated))?;
        let length = Self::length(start, place)?;
        let (content, crc) = bytes
            .split_last_chunk::<CRC_BYTES>()
            .filter(|_| bytes.len() == length)
            .ok_or_else(|| Error::damaged(place, Damage::Truncated))?;
        if crc32fast::hash(content) != u32::from_le_bytes(*crc) {
            return Err(Error::damaged(place, Damage::Checksum));
        }
        let mut reader = Reader::new(content);
        let malformed = |problem: Malformed| Error::damaged(place, problem);
        reader.take(MAGIC.len()).map_err(malformed)?;
        version::check(reader.u16().map_err(malformed)?)?;
        Self::decode_fields(reader, bytes).map_err(malformed)
    }

    fn decode_fields(mut reader: Reader<'_>, bytes: &[u8]) -> Result<Self, Malformed> {
        let flags = reader.u16()?;
        if flags & !ENCRYPTED != 0 {
            return Err(reader.error("unknown flags"));
        }
        let encrypted = flags & ENCRYPTED != 0;
        reader.take(4)?;
        let id = ArchiveId(reader.array()?);
        let created_micros = reader.i64()?;
        let stanzas = stanza::decode_all(&mut reader, |stanza| {
            ((stanza.kind == WrapKind::Clear) == encrypted)
                .then_some("a wrapped key contradicts the encryption flag")
        })?;
        let commitment = reader.array()?;
        reader.take(MAC_BYTES)?;
        reader.finish()?;
        Ok(Self { id, encrypted, created_micros, stanzas, commitment, bytes: bytes.to_vec() })
    }

    /// Finds the key among the stanzas, checks that it is this archive's, and that the header is authentic.
    ///
    /// An archive that is not encrypted opens with any identities, or none; who insists on encryption looks at
    /// [`Header::encrypted`].
    ///
    /// # Errors
    /// [`Error::NoMatchingIdentity`], [`Error::WrongKey`], [`Error::NotAuthentic`] when the key is right and the
    /// header was changed, [`Error::Damaged`] when what is wrapped for an identity was, [`Error::Seal`] when an identity
    /// could not be asked.
    pub fn unlock(&self, identities: &[Identity]) -> Result<Keys, Error> {
        let mut failure = Failure::default();
        for stanza in &self.stanzas {
            if let Some(keys) = self.try_stanza(stanza, identities, &mut failure)? {
                return Ok(keys);
            }
        }
        Err(failure.into_error(self.recipients()))
    }

    /// As [`Header::unlock`], by the keys that were added beside the archive.
    ///
    /// # Errors
    /// As [`Header::unlock`]. An object that the archive's key does not authenticate counts as damaged.
    pub fn unlock_added(&self, identities: &[Identity], added: &[AddedKeys]) -> Result<Keys, Error> {
        let mut failure = Failure::default();
        for object in added {
            for stanza in &object.stanzas {
                let Some(keys) = self.try_stanza(stanza, identities, &mut failure)? else { continue };
                object.authenticate(self, &keys)?;
                return Ok(keys);
            }
        }
        let more = added.iter().flat_map(|object| &object.stanzas).map(|stanza| stanza.fingerprint);
        Err(failure.into_error(self.recipients().into_iter().chain(more).collect()))
    }

    fn try_stanza(
        &self,
        stanza: &WrappedKey,
        identities: &[Identity],
        failure: &mut Failure,
    ) -> Result<Option<Keys>, Error> {
        if stanza.kind == WrapKind::Clear {
            if let Some(keys) = self.try_key(DataKey::from_bytes(&stanza.body)?)? {
                return Ok(Some(keys));
            }
            failure.wrong_key = true;
        }
        for identity in identities {
            match identity.unwrap_key(stanza, &self.id.0) {
                Ok(Some(key)) => match self.try_key(key)? {
                    Some(keys) => return Ok(Some(keys)),
                    None => failure.wrong_key = true,
                },
                Ok(None) => {
                    failure.wrong_key |=
                        stanza.kind == WrapKind::Passphrase && matches!(identity, Identity::Passphrase(_));
                }
                Err(SealError::BadStanza(what)) => failure.damaged = Some(what),
                Err(SealError::KdfParameters) => {
                    failure.damaged = Some("the parameters of its passphrase derivation are out of bounds");
                }
                Err(error) => failure.seal = Some(error),
            }
        }
        Ok(None)
    }

    /// Opens the archive with a key that was unwrapped elsewhere (from an object beside the archive).
    ///
    /// # Errors
    /// [`Error::WrongKey`], [`Error::NotAuthentic`].
    pub fn unlock_with(&self, key: DataKey) -> Result<Keys, Error> {
        self.try_key(key)?.ok_or(Error::WrongKey)
    }

    fn try_key(&self, key: DataKey) -> Result<Option<Keys>, Error> {
        let keys = Keys::derive(key, &self.id.0)?;
        if keys.commitment() != &self.commitment {
            return Ok(None);
        }
        self.authenticate(&keys, Place::Header)?;
        Ok(Some(keys))
    }

    /// Checks the header's MAC.
    ///
    /// # Errors
    /// [`Error::NotAuthentic`].
    pub(super) fn authenticate(&self, keys: &Keys, place: Place) -> Result<(), Error> {
        let not_authentic = || Error::NotAuthentic { place };
        let (content, _) = self.bytes.split_last_chunk::<CRC_BYTES>().ok_or_else(not_authentic)?;
        let (content, mac) = content.split_last_chunk::<MAC_BYTES>().ok_or_else(not_authentic)?;
        keys.verify_mac(Purpose::Header, content, mac).map_err(|_| not_authentic())
    }

    /// For whom the archive is sealed; empty when it is not encrypted.
    pub fn recipients(&self) -> Vec<Fingerprint> {
        self.stanzas.iter().filter(|s| s.kind != WrapKind::Clear).map(|s| s.fingerprint).collect()
    }
}

#[derive(Default)]
struct Failure {
    wrong_key: bool,
    /// An identity was the right one, and what is wrapped for it is not what a writer made.
    damaged: Option<&'static str>,
    /// An identity could not be asked.
    seal: Option<SealError>,
}

impl Failure {
    fn into_error(self, sealed_for: Vec<Fingerprint>) -> Error {
        match self {
            Self { damaged: Some(what), .. } => Error::damaged(Place::Header, Damage::WrappedKey(what)),
            Self { wrong_key: true, .. } => Error::WrongKey,
            Self { seal: Some(error), .. } => Error::Seal(error),
            Self { .. } => Error::NoMatchingIdentity { sealed_for },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A later version may wrap the key in ways that this one does not know.
    #[test]
    fn unknown_kinds_of_stanza_are_kept_and_skipped() {
        let data_key = DataKey::generate().unwrap();
        let (secret, public) = crate::seal::recipient::generate_identity();
        let id = ArchiveId([7; 16]);
        let known = Recipient::parse(&public).unwrap().wrap(&data_key, &id.0).unwrap();
        let (kind, fingerprint) = (WrapKind::Unknown(999), Fingerprint([1; 8]));
        let unknown = WrappedKey { kind, fingerprint, body: b"later".to_vec() };
        let keys = Keys::derive(data_key, &id.0).unwrap();
        let stanzas = vec![unknown.clone(), known];
        let commitment = *keys.commitment();
        let mut header =
            Header { id, encrypted: true, created_micros: -5, stanzas, commitment, bytes: Vec::new() };
        header.bytes = header.assemble(&keys).unwrap();
        let read = Header::decode(header.as_bytes(), Place::Header).unwrap();
        assert_eq!(read, header);
        assert_eq!((read.stanzas.first(), read.created_micros), (Some(&unknown), -5));
        assert!(read.unlock(&Identity::parse_file(&secret).unwrap()).is_ok());
    }

    #[test]
    fn a_newer_version_is_told_from_damage() {
        let (header, _) = Header::create(ArchiveId([1; 16]), 0, &[]).unwrap();
        let mut bytes = header.as_bytes().to_vec();
        bytes[8] = 2;
        let damaged = Header::decode(&bytes, Place::Header).unwrap_err();
        assert!(matches!(damaged, Error::Damaged { damage: Damage::Checksum, .. }));
        let end = bytes.len() - CRC_BYTES;
        let crc = crc32fast::hash(&bytes[..end]);
        bytes[end..].copy_from_slice(&crc.to_le_bytes());
        assert!(matches!(Header::decode(&bytes, Place::Header), Err(Error::Version { found: 2, newest: 1 })));
    }

    #[test]
    fn too_many_recipients_are_refused() {
        let (_, public) = crate::seal::recipient::generate_identity();
        let recipients = vec![Recipient::parse(&public).unwrap(); MAX_STANZAS + 1];
        assert!(matches!(Header::create(ArchiveId([1; 16]), 0, &recipients), Err(Error::Limit { .. })));
        assert!(Header::create(ArchiveId([1; 16]), 0, &recipients[1..]).is_ok());
    }
}
