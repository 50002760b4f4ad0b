//! Keys that were added to a finished archive: `<archive>.keys-<n>`, written once beside it. The archive itself is not touched.
//!
//! ```text
//! 0    8  magic 89 'C' 'A' 'S' 'K' 'K' 0D 0A
//! 8    2  version (1)             10  2  zero
//! 12   4  length of the whole, with its CRC
//! 16  16  id of the archive
//! 32   8  when they were added, microseconds since 1970-01-01 UTC, signed
//! 40   2  number of stanzas       42  2  zero
//! 44   …  the stanzas, as in a header
//! …   32  HMAC-SHA256 under the *beside* key over everything before
//! …    4  CRC-32 over everything before
//! ```
//! Only who has the data key can make one that counts.

use super::codec::{Encode as _, Malformed, Reader};
use super::error::{Damage, Error, Place};
use super::header::{ArchiveId, Header};
use super::stanza;
use crate::limits::{MAX_HEADER_BYTES, MAX_STANZAS};
use crate::seal::data_key::{Keys, MAC_BYTES, Purpose};
use crate::seal::recipient::{Recipient, WrapKind, WrappedKey};

const MAGIC: [u8; 8] = *b"\x89CASKK\r\n";
const VERSION: u16 = 1;
const CRC_BYTES: usize = 4;

/// One such object, decoded. Its CRC is right; whether it is authentic, [`AddedKeys::authenticate`] tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddedKeys {
    /// The archive.
    pub id: ArchiveId,
    /// The object's number n.
    pub number: u32,
    /// When, in microseconds since 1970-01-01 UTC.
    pub added_micros: i64,
    /// The wrapped keys.
    pub stanzas: Vec<WrappedKey>,
    bytes: Vec<u8>,
}

impl AddedKeys {
    /// Wraps the data key of an encrypted archive for more recipients.
    ///
    /// # Errors
    /// [`Error::Limit`] for none or too many, [`Error::Misuse`] for an archive that is not encrypted, [`Error::Seal`] when the
    /// key cannot be wrapped.
    pub fn create(
        header: &Header,
        keys: &Keys,
        added_micros: i64,
        recipients: &[Recipient],
    ) -> Result<Self, Error> {
        if !header.encrypted {
            return Err(Error::Misuse("an archive that is not encrypted has no key to wrap"));
        }
        if recipients.is_empty() || recipients.len() > MAX_STANZAS {
            return Err(Error::limit("recipients", recipients.len(), MAX_STANZAS));
        }
        let stanzas = recipients.iter().map(|recipient| recipient.wrap(keys.data_key(), &header.id.0));
        let stanzas = stanzas.collect::<Result<Vec<_>, _>>()?;
        let mut body = Vec::new();
        for stanza in &stanzas {
            stanza.encode(&mut body);
        }
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&[0; 2]);
        super::codec::put_len(&mut bytes, 44 + body.len() + MAC_BYTES + CRC_BYTES);
        bytes.extend_from_slice(&header.id.0);
        bytes.extend_from_slice(&added_micros.to_le_bytes());
        bytes.extend_from_slice(&u16::try_from(stanzas.len()).unwrap_or(u16::MAX).to_le_bytes());
        bytes.extend_from_slice(&[0; 2]);
        bytes.append(&mut body);
        let mac = keys.mac(Purpose::Beside, &bytes)?;
        bytes.extend_from_slice(&mac);
        let crc = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        Ok(Self { id: header.id, number: 0, added_micros, stanzas, bytes })
    }

    /// The object's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Decodes object number `number`.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::Version`].
    pub fn decode(bytes: &[u8], number: u32) -> Result<Self, Error> {
        let place = Place::AddedKeys(number);
        let damaged = |damage: Damage| Error::damaged(place, damage);
        let malformed = |problem: Malformed| Error::damaged(place, problem);
        if bytes.len() > MAX_HEADER_BYTES || !bytes.starts_with(&MAGIC) {
            return Err(damaged(Damage::NotFound));
        }
        let (content, crc) =
            bytes.split_last_chunk::<CRC_BYTES>().ok_or_else(|| damaged(Damage::Truncated))?;
        if crc32fast::hash(content) != u32::from_le_bytes(*crc) {
            return Err(damaged(Damage::Checksum));
        }
        let mut reader = Reader::new(content);
        reader.take(MAGIC.len()).map_err(malformed)?;
        match reader.u16().map_err(malformed)? {
            VERSION => Self::decode_fields(reader, bytes, number).map_err(malformed),
            found => Err(Error::Version { found, newest: VERSION }),
        }
    }

    fn decode_fields(mut reader: Reader<'_>, bytes: &[u8], number: u32) -> Result<Self, Malformed> {
        reader.zeros::<2>()?;
        if u32::try_from(bytes.len()) != Ok(reader.u32()?) {
            return Err(reader.error("it has another length than it says"));
        }
        let id = ArchiveId(reader.array()?);
        let added_micros = reader.i64()?;
        let stanzas = stanza::decode_all(&mut reader, |stanza| {
            (stanza.kind == WrapKind::Clear).then_some("a key that is not wrapped")
        })?;
        reader.take(MAC_BYTES)?;
        reader.finish()?;
        Ok(Self { id, number, added_micros, stanzas, bytes: bytes.to_vec() })
    }

    /// Whether somebody made it who had the archive's data key.
    ///
    /// # Errors
    /// [`Error::NotAuthentic`] naming it; [`Error::Damaged`] when it belongs to another archive.
    pub fn authenticate(&self, header: &Header, keys: &Keys) -> Result<(), Error> {
        let place = Place::AddedKeys(self.number);
        if self.id != header.id {
            return Err(Error::damaged(place, Damage::Foreign));
        }
        let not_authentic = || Error::NotAuthentic { place };
        let (content, _) = self.bytes.split_last_chunk::<CRC_BYTES>().ok_or_else(not_authentic)?;
        let (content, mac) = content.split_last_chunk::<MAC_BYTES>().ok_or_else(not_authentic)?;
        keys.verify_mac(Purpose::Beside, content, mac).map_err(|_| not_authentic())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::recipient::{Identity, generate_identity};

    #[test]
    fn any_flipped_bit_is_noticed_and_other_archives_are_told() {
        let (first, second) = (generate_identity(), generate_identity());
        let recipient = |public: &str| [Recipient::parse(public).unwrap()];
        let create = |id| Header::create(ArchiveId([id; 16]), 0, &recipient(&first.1)).unwrap();
        let (header, keys) = create(1);
        let made = AddedKeys::create(&header, &keys, -7, &recipient(&second.1)).unwrap();
        let read = AddedKeys::decode(made.as_bytes(), 3).unwrap();
        assert_eq!((read.added_micros, read.stanzas.len(), read.number), (-7, 1, 3));
        read.authenticate(&header, &keys).unwrap();
        let identities = Identity::parse_file(&second.0).unwrap();
        assert!(header.unlock(&identities).is_err());
        assert!(header.unlock_added(&identities, std::slice::from_ref(&read)).is_ok());
        for bit in 0..made.as_bytes().len() * 8 {
            let mut bad = made.as_bytes().to_vec();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(AddedKeys::decode(&bad, 3).is_err(), "bit {bit}");
            // With a checksum that fits, the seal does not.
            let end = bad.len() - CRC_BYTES;
            let crc = crc32fast::hash(&bad[..end]);
            bad[end..].copy_from_slice(&crc.to_le_bytes());
            let fails = AddedKeys::decode(&bad, 3).and_then(|bad| bad.authenticate(&header, &keys)).is_err();
            assert!(fails || bit / 8 >= end, "bit {bit}");
        }
        let (other, other_keys) = create(2);
        assert!(matches!(read.authenticate(&other, &other_keys), Err(Error::Damaged { .. })));
        assert!(matches!(read.authenticate(&header, &other_keys), Err(Error::NotAuthentic { .. })));
        let (clear, clear_keys) = Header::create(ArchiveId([1; 16]), 0, &[]).unwrap();
        assert!(AddedKeys::create(&clear, &clear_keys, 0, &recipient(&second.1)).is_err());
    }
}
