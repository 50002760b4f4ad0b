//! One wrapped data key in the header.
//!
//! ```text
//! 0  2  kind          2  2  zero          4  4  length of the body
//! 8  8  fingerprint of the recipient
//! 16 …  body
//! ```

use super::codec::{Decode, Encode, Malformed, Reader, put_len};
use crate::limits::{MAX_STANZA_BYTES, MAX_STANZAS};
use crate::seal::recipient::{Fingerprint, WrapKind, WrappedKey};

/// The bytes of a stanza without its body.
pub(super) const STANZA_FIXED_BYTES: usize = 16;

impl Encode for WrappedKey {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.kind.code().to_le_bytes());
        out.extend_from_slice(&[0; 2]);
        put_len(out, self.body.len());
        out.extend_from_slice(&self.fingerprint.0);
        out.extend_from_slice(&self.body);
    }
}

impl Decode for WrappedKey {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let kind = WrapKind::from_code(reader.u16()?);
        reader.zeros::<2>()?;
        let length = super::codec::to_usize(u64::from(reader.u32()?));
        if length > MAX_STANZA_BYTES {
            return Err(reader.error("a wrapped key is too long"));
        }
        let fingerprint = Fingerprint(reader.array()?);
        let body = reader.take(length)?.to_vec();
        Ok(Self { kind, fingerprint, body })
    }
}

/// Their number, two bytes of zero, and all stanzas, none of which `wrong` has a complaint about.
pub(super) fn decode_all(
    reader: &mut Reader<'_>,
    wrong: impl Fn(&WrappedKey) -> Option<&'static str>,
) -> Result<Vec<WrappedKey>, Malformed> {
    let count = usize::from(reader.u16()?);
    reader.zeros::<2>()?;
    if count == 0 || count > MAX_STANZAS {
        return Err(reader.error("the number of wrapped keys is out of bounds"));
    }
    let mut stanzas = Vec::with_capacity(count);
    for _ in 0..count {
        let stanza = WrappedKey::decode(reader)?;
        if let Some(complaint) = wrong(&stanza) {
            return Err(reader.error(complaint));
        }
        stanzas.push(stanza);
    }
    Ok(stanzas)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_and_bounds_its_length() {
        let stanza =
            WrappedKey { kind: WrapKind::Unknown(9), fingerprint: Fingerprint([5; 8]), body: vec![1, 2, 3] };
        let bytes = stanza.to_bytes();
        assert_eq!(bytes.len(), STANZA_FIXED_BYTES + 3);
        assert_eq!(WrappedKey::from_bytes(&bytes), Ok(stanza));
        for length in [u32::MAX, 8193, 4, 2] {
            let mut bad = bytes.clone();
            bad[4..8].copy_from_slice(&length.to_le_bytes());
            assert!(WrappedKey::from_bytes(&bad).is_err());
        }
    }
}
