//! Reading and writing of integers and byte strings. All numbers are little-endian. The reader is bounded: it never
//! reads outside its bytes, never allocates, and complains about bytes that are left over.

/// What could not be decoded, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what} at byte {at}")]
pub struct Malformed {
    /// Offset within the decoded structure.
    pub at: usize,
    /// What is wrong.
    pub what: &'static str,
}

/// A structure with a byte form.
pub trait Encode {
    /// Appends the byte form.
    fn encode(&self, out: &mut Vec<u8>);

    /// The byte form alone.
    fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode(&mut out);
        out
    }
}

/// A structure that is read from its byte form.
pub trait Decode: Sized {
    /// Reads one from the front of `reader`.
    ///
    /// # Errors
    /// [`Malformed`] naming the first byte that does not fit.
    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed>;

    /// Reads one that takes all of `bytes`.
    ///
    /// # Errors
    /// [`Malformed`], also when bytes are left over.
    fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let value = Self::decode(&mut reader)?;
        reader.finish()?;
        Ok(value)
    }
}

/// A cursor over borrowed bytes.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// A cursor at the first byte.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, at: 0 }
    }

    /// The error `what` at the present byte.
    pub const fn error(&self, what: &'static str) -> Malformed {
        Malformed { at: self.at, what }
    }

    /// How many bytes are left.
    pub const fn left(&self) -> usize {
        self.rest.len()
    }

    /// The next `count` bytes, borrowed.
    ///
    /// # Errors
    /// [`Malformed`] when fewer are left.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (head, tail) =
            self.rest.split_at_checked(count).ok_or_else(|| self.error("the data ends early"))?;
        self.rest = tail;
        self.at += count;
        Ok(head)
    }

    /// The next `N` bytes.
    ///
    /// # Errors
    /// As [`Reader::take`].
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (head, tail) = self.rest.split_first_chunk().ok_or_else(|| self.error("the data ends early"))?;
        self.rest = tail;
        self.at += N;
        Ok(*head)
    }

    /// One byte.
    ///
    /// # Errors
    /// As [`Reader::take`].
    pub fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    /// Two bytes.
    ///
    /// # Errors
    /// As [`Reader::take`].
    pub fn u16(&mut self) -> Result<u16, Malformed> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    /// Four bytes.
    ///
    /// # Errors
    /// As [`Reader::take`].
    pub fn u32(&mut self) -> Result<u32, Malformed> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// Eight bytes.
    ///
    /// # Errors
    /// As [`Reader::take`].
    pub fn u64(&mut self) -> Result<u64, Malformed> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// Eight bytes, signed.
    ///
    /// # Errors
    /// As [`Reader::take`].
    pub fn i64(&mut self) -> Result<i64, Malformed> {
        Ok(i64::from_le_bytes(self.array()?))
    }

    /// Bytes that must be zero.
    ///
    /// # Errors
    /// [`Malformed`] when one is not.
    pub fn zeros<const N: usize>(&mut self) -> Result<(), Malformed> {
        if self.array::<N>()? == [0; N] { Ok(()) } else { Err(self.error("reserved bytes are not zero")) }
    }

    /// A length of two bytes, at most `limit`, and so many bytes.
    ///
    /// # Errors
    /// [`Malformed`] when it is over the limit or over what is left.
    pub fn bytes_u16(&mut self, limit: usize) -> Result<&'a [u8], Malformed> {
        let length = usize::from(self.u16()?);
        if length > limit {
            return Err(self.error("a length is over its limit"));
        }
        self.take(length)
    }

    /// A count of four bytes, of items that take at least `least` bytes each: more than what is left can hold is
    /// refused before anything is allocated.
    ///
    /// # Errors
    /// [`Malformed`] when it is over the limit or cannot be true.
    pub fn count(&mut self, least: usize, limit: usize) -> Result<usize, Malformed> {
        let count = to_usize(u64::from(self.u32()?));
        if count > limit || count.saturating_mul(least.max(1)) > self.left() {
            return Err(self.error("a count is over its limit"));
        }
        Ok(count)
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// [`Malformed`] when bytes are left.
    pub const fn finish(self) -> Result<(), Malformed> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.error("bytes are left over")) }
    }
}

/// Appends a count or length, which the caller has bounded. A length over `u32::MAX` would be a bug and gives a
/// structure that no reader accepts.
pub(crate) fn put_len(out: &mut Vec<u8>, length: usize) {
    out.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
}

/// Appends a length of two bytes and the bytes.
pub(crate) fn put_bytes_u16(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_le_bytes());
    out.extend_from_slice(bytes);
}

/// A length as `u64`. Exact on every platform that Rust has.
pub(crate) fn to_u64(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// A length as `usize`; one that does not fit becomes the largest, which every limit refuses.
pub(crate) fn to_usize(length: u64) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_is_there_and_nothing_else() {
        let mut reader = Reader::new(&[1, 2, 0, 3, 0, 0, 0, 9]);
        assert_eq!((reader.u8(), reader.u16(), reader.u32()), (Ok(1), Ok(2), Ok(3)));
        assert_eq!(reader.clone().finish(), Err(Malformed { at: 7, what: "bytes are left over" }));
        assert_eq!(reader.u16(), Err(Malformed { at: 7, what: "the data ends early" }));
        assert_eq!(reader.u8(), Ok(9));
        assert_eq!(reader.finish(), Ok(()));
    }

    #[test]
    fn a_count_that_cannot_be_true_is_refused() {
        let mut bytes = u32::MAX.to_le_bytes().to_vec();
        bytes.extend([0; 100]);
        assert!(Reader::new(&bytes).count(1, usize::MAX).is_err());
        bytes[..4].copy_from_slice(&10_u32.to_le_bytes());
        assert_eq!(Reader::new(&bytes).count(10, 10), Ok(10));
        assert!(Reader::new(&bytes).count(11, 10).is_err());
        assert!(Reader::new(&bytes).count(1, 9).is_err());
        assert!(Reader::new(&[3, 0, 1, 2, 3]).bytes_u16(2).is_err());
    }
}
