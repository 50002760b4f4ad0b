//! What a frame's body is before encryption.
//!
//! ```text
//! 0  1  codec (0 stored, 1 zstd, 2 columns, 3 encoded columns)    1  1  length of the prefix    2  2  zero
//! 4  4  length of the plain data
//! 8  …  the prefix, never compressed: what the kind of frame says about its data
//! …  …  the data, by the codec
//! ```
//! The plain length stands inside the seal, so that nobody sees how well the data compresses.

use super::codec::{Malformed, Reader, to_usize};
use crate::limits::{MAX_COLUMNAR_BYTES, MAX_PREFIX_BYTES};

/// Length of what stands before the prefix, in bytes.
pub(super) const ENVELOPE_BYTES: usize = 8;

/// How the data is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Codec {
    /// As it is.
    Stored,
    /// One zstd frame (RFC 8878).
    Zstd,
    /// One zstd frame of a chunk's values, column by column.
    Columns,
    /// A length, a count, and zstd frames of a chunk's values, each column in an encoding of its own.
    Encoded,
}

impl Codec {
    /// Whether the values lie column by column.
    pub(super) const fn is_columnar(self) -> bool {
        matches!(self, Self::Columns | Self::Encoded)
    }

    const fn code(self) -> u8 {
        match self {
            Self::Stored => 0,
            Self::Zstd => 1,
            Self::Columns => 2,
            Self::Encoded => 3,
        }
    }
}

/// The decoded front of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Envelope {
    pub(super) codec: Codec,
    pub(super) prefix_bytes: u8,
    pub(super) plain_bytes: u32,
}

impl Envelope {
    pub(super) fn encode(self) -> [u8; ENVELOPE_BYTES] {
        let [a, b, c, d] = self.plain_bytes.to_le_bytes();
        [self.codec.code(), self.prefix_bytes, 0, 0, a, b, c, d]
    }

    /// Splits a decrypted body into envelope, prefix and packed data.
    pub(super) fn split(body: &[u8], max_plain: usize) -> Result<(Self, &[u8], &[u8]), Malformed> {
        let mut reader = Reader::new(body);
        let codec = match reader.u8()? {
            0 => Codec::Stored,
            1 => Codec::Zstd,
            2 => Codec::Columns,
            3 => Codec::Encoded,
            _ => return Err(reader.error("unknown codec")),
        };
        let prefix_bytes = reader.u8()?;
        reader.zeros::<2>()?;
        let plain_bytes = reader.u32()?;
        if usize::from(prefix_bytes) > MAX_PREFIX_BYTES {
            return Err(reader.error("the prefix is too long"));
        }
        if to_usize(u64::from(plain_bytes)) > max_plain {
            return Err(reader.error("the plain length is over the limit of its kind"));
        }
        let prefix = reader.take(usize::from(prefix_bytes))?;
        let packed = reader.take(reader.left())?;
        if codec.is_columnar() && to_usize(u64::from(plain_bytes)) > MAX_COLUMNAR_BYTES {
            return Err(reader.error("the plain length is over the limit of columns"));
        }
        if codec == Codec::Stored && packed.len() != to_usize(u64::from(plain_bytes)) {
            return Err(reader.error("the stored data has another length than declared"));
        }
        Ok((Self { codec, prefix_bytes, plain_bytes }, prefix, packed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_what_was_joined() {
        let envelope = Envelope { codec: Codec::Stored, prefix_bytes: 2, plain_bytes: 3 };
        let body = [&envelope.encode()[..], b"ppxyz"].concat();
        assert_eq!(Envelope::split(&body, 3), Ok((envelope, &b"pp"[..], &b"xyz"[..])));
        assert!(Envelope::split(&body, 2).is_err());
        assert!(Envelope::split(&body[..body.len() - 1], 3).is_err());
        assert!(Envelope::split(&body[..9], 3).is_err());
    }
}
