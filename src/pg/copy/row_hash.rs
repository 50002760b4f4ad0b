//! The order-independent content hash of a relation.
//!
//! Each row's COPY text, without its newline, is hashed to 128 bits under a secret of the archive; the hashes of all
//! rows are added modulo 2^128, and the rows are counted. Addition, not XOR: two equal rows must not cancel out. The
//! sum is the same whatever the order of the rows, how they were cut into chunks, and which worker read them.
//!
//! The row hash is XXH3-128 with a 192-byte secret. Measured on `lineitem` rows: 9 ns a row, against 37 ns for
//! SipHash-1-3 and 80 ns for a POLYVAL/AES construction; the backup's CPU budget decided. It detects accidents;
//! forgery is the business of the authenticated frames, and the secret keeps the sums meaningless to others.

use std::fmt;
use std::ops::AddAssign;

use xxhash_rust::xxh3::xxh3_128_with_secret;

use super::rows;

/// Length of the secret in bytes: XXH3's own default length.
pub const SECRET_BYTES: usize = 192;

/// Number of rows and the sum of their hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ContentHash {
    /// Rows.
    pub rows: u64,
    /// Sum of the row hashes modulo 2^128.
    pub sum: u128,
}

impl AddAssign for ContentHash {
    fn add_assign(&mut self, other: Self) {
        self.rows += other.rows;
        self.sum = self.sum.wrapping_add(other.sum);
    }
}

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.sum)
    }
}

/// Hashes rows under one archive's secret.
#[derive(Clone)]
pub struct RowHasher {
    secret: [u8; SECRET_BYTES],
}

impl fmt::Debug for RowHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RowHasher(..)")
    }
}

impl RowHasher {
    /// A hasher under this secret.
    pub fn new(secret: [u8; SECRET_BYTES]) -> Self {
        Self { secret }
    }

    /// The hash of one row, without its newline.
    pub fn row(&self, row: &[u8]) -> u128 {
        xxh3_128_with_secret(row, &self.secret)
    }

    /// The content hash of a block of whole rows.
    pub fn block(&self, block: &[u8]) -> ContentHash {
        let mut hash = ContentHash::default();
        for row in rows::rows(block) {
            hash.rows += 1;
            hash.sum = hash.sum.wrapping_add(self.row(row));
        }
        hash
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Like a real secret its bytes differ: in XXH3 equal parts of a secret cancel out.
    fn secret(step: u8) -> [u8; SECRET_BYTES] {
        let mut state = 0u8;
        [(); SECRET_BYTES].map(|()| {
            state = state.wrapping_mul(5).wrapping_add(step);
            state
        })
    }

    fn hasher() -> RowHasher {
        RowHasher::new(secret(7))
    }

    #[test]
    fn equal_rows_do_not_cancel_and_empty_rows_count() {
        let one = hasher().block(b"same\n");
        let three = hasher().block(b"same\nsame\nsame\n");
        assert_ne!(one, three);
        assert_eq!(three.sum, one.sum.wrapping_mul(3));
        assert_eq!(hasher().block(b"\n\n").rows, 2);
    }

    #[test]
    fn another_secret_gives_another_sum() {
        assert_ne!(hasher().block(b"row\n"), RowHasher::new(secret(9)).block(b"row\n"));
    }

    proptest! {
        #[test]
        fn any_order_and_any_cut_give_the_same_hash(
            mut lines in proptest::collection::vec("[a-z\\t]{0,12}", 0..20), cut in 0usize..20
        ) {
            let text = |lines: &[String]| lines.iter().fold(String::new(), |all, line| all + line + "\n");
            let whole = hasher().block(text(&lines).as_bytes());
            let cut = cut.min(lines.len());
            let mut parts = hasher().block(text(&lines[cut..]).as_bytes());
            parts += hasher().block(text(&lines[..cut]).as_bytes());
            prop_assert_eq!(whole, parts);
            lines.reverse();
            prop_assert_eq!(whole, hasher().block(text(&lines).as_bytes()));
        }
    }
}
