//! Hashes in place of keys: HMAC-SHA-256 (RFC 2104) of a row's key, computed here when an entry is made, and by the server over
//! the rows that it has, with nothing but its own `sha256`.

use ring::hmac;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::entry::Table;
use crate::error::{Error, ErrorKind, Result};
use crate::pg::quote::literal;
use crate::store::sidecar::hex;

/// Bytes of a block of SHA-256.
const BLOCK: usize = 64;

/// The least length of a key: what is shorter can be guessed.
const LEAST: usize = 16;

/// The secret key of hashes. Without it nobody can tell from a hash which row it is, nor find the row again.
#[derive(Clone)]
pub struct HashKey(Zeroizing<Vec<u8>>);

impl std::fmt::Debug for HashKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("HashKey").field(&self.fingerprint()).finish()
    }
}

impl HashKey {
    /// Takes the content of a key file: its bytes, without line ends after them.
    ///
    /// # Errors
    /// [`ErrorKind::Key`] for one that is too short to be a secret.
    pub fn new(content: &[u8]) -> Result<Self> {
        let end = content.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r')).map_or(0, |last| last + 1);
        let key = content.get(..end).unwrap_or_default();
        if key.len() < LEAST {
            let message = format!("a key of erasure hashes has at least {LEAST} bytes, not {}", key.len());
            return Err(Error::new(ErrorKind::Key, message).hint("`openssl rand -hex 32` makes one"));
        }
        Ok(Self(Zeroizing::new(key.to_vec())))
    }

    /// What tells keys apart, and says nothing of them.
    pub fn fingerprint(&self) -> String {
        let tag = self.mac(b"pgcask erasure key");
        hex(tag.get(..8).unwrap_or_default())
    }

    /// The hash of a row's key.
    pub fn hash(&self, table: &Table, columns: &[String], values: &[String]) -> String {
        let mut message = prefix(table, columns).into_bytes();
        for value in values {
            message.extend(part(value).into_bytes());
        }
        hex(&self.mac(&message))
    }

    fn mac(&self, message: &[u8]) -> Vec<u8> {
        hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &self.0), message).as_ref().to_vec()
    }

    /// The key as the two hashes of an HMAC take it, hexadecimal: the inner pad, the outer pad.
    pub(super) fn pads(&self) -> [Zeroizing<String>; 2] {
        let mut block = Zeroizing::new([0u8; BLOCK]);
        let short = if self.0.len() > BLOCK {
            Zeroizing::new(Sha256::digest(&*self.0).to_vec())
        } else {
            self.0.clone()
        };
        for (byte, of_key) in block.iter_mut().zip(short.iter()) {
            *byte = *of_key;
        }
        [0x36u8, 0x5c].map(|pad| {
            let padded = Zeroizing::new(block.iter().map(|byte| byte ^ pad).collect::<Vec<u8>>());
            Zeroizing::new(hex(&padded))
        })
    }
}

/// A text with its length in front, so that no two lists of texts give the same.
fn part(text: &str) -> String {
    format!("{}:{text}", text.len())
}

/// What of a message is the same for all rows of a table.
fn prefix(table: &Table, columns: &[String]) -> String {
    [&table.schema, &table.name].into_iter().chain(columns).map(|text| part(text)).collect()
}

/// The hash of a row as SQL, by the expressions of its columns' values; `pads` is the alias of a row with both pads.
pub(super) fn sql(table: &Table, columns: &[String], values: &[String], pads: &str) -> String {
    let bytes = |text: &str| format!("pg_catalog.convert_to({text}, 'UTF8')");
    let mut message = bytes(&literal(&prefix(table, columns)));
    for value in values {
        let value = bytes(&format!("({value})::pg_catalog.text"));
        let length = bytes(&format!("pg_catalog.octet_length({value})::pg_catalog.text || ':'"));
        message.push_str(&format!(" || {length} || {value}"));
    }
    format!("pg_catalog.sha256({pads}.outer_pad || pg_catalog.sha256({pads}.inner_pad || {message}))")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_a_secret_of_some_length_and_told_apart() {
        assert!(HashKey::new(b"short\n").is_err());
        let [a, b] =
            [b"0123456789abcdef".as_slice(), b"0123456789abcdeg"].map(|key| HashKey::new(key).unwrap());
        assert_ne!(a.fingerprint(), b.fingerprint());
        assert_eq!(HashKey::new(b"0123456789abcdef\r\n").unwrap().fingerprint(), a.fingerprint());
        assert!(!format!("{a:?}").contains("0123456789abcdef"));
    }

    #[test]
    fn the_pads_make_the_same_hash_as_the_library() {
        let table = Table { schema: "public".to_owned(), name: "users".to_owned() };
        let (columns, values) = (vec!["id".to_owned()], vec!["42".to_owned()]);
        for key in ["0123456789abcdef".to_owned(), "k".repeat(64), "long ".repeat(40)] {
            let key = HashKey::new(key.as_bytes()).unwrap();
            let [inner, outer] = key.pads().map(|pad| {
                let digits = pad.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
                digits.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect::<Vec<u8>>()
            });
            let message = "6:public5:users2:id2:42";
            let first = Sha256::digest([inner, message.as_bytes().to_vec()].concat());
            let second = Sha256::digest([outer, first.to_vec()].concat());
            assert_eq!(hex(&second), key.hash(&table, &columns, &values));
        }
    }
}
