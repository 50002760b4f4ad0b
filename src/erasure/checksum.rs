//! The checksum of an entry: a value that changed on a disk or on its way would erase another row, or none.
//!
//! `{"sha256":"…",` stands before the fields, and is that of the object without it.

use sha2::{Digest as _, Sha256};

use crate::store::sidecar::hex;

/// What an object with a checksum begins with.
const BEGIN: &[u8] = b"{\"sha256\":\"";

/// What stands behind the digits.
const BETWEEN: &[u8] = b"\",";

/// Hexadecimal digits of it.
const DIGITS: usize = 64;

/// A JSON object with its checksum in front of its fields.
pub(super) fn with(object: &[u8]) -> Vec<u8> {
    let fields = object.strip_prefix(b"{").unwrap_or(object);
    [BEGIN, hex(&Sha256::digest(object)).as_bytes(), BETWEEN, fields].concat()
}

/// The object without it; nothing if it has none, or another's.
pub(super) fn without(bytes: &[u8]) -> Option<Vec<u8>> {
    let (digits, rest) = bytes.strip_prefix(BEGIN)?.split_at_checked(DIGITS)?;
    let object = [b"{", rest.strip_prefix(BETWEEN)?].concat();
    (hex(&Sha256::digest(&object)).as_bytes() == digits).then_some(object)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_changed_is_noticed() {
        let text = br#"{"id":"x","rows":[1]}"#;
        let whole = with(text);
        assert_eq!(without(&whole).as_deref(), Some(&text[..]));
        serde_json::from_slice::<serde_json::Value>(&whole).unwrap();
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            assert_eq!(without(&changed), None, "{at}");
        }
        assert_eq!(without(text), None);
    }
}
