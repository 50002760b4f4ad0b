//! Recipients as people name them: a key itself, a file of keys, or a key in `GnuPG`'s keyring.

use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;

use super::Gpg;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::seal::recipient::{Certificate, Recipient, looks_like_openpgp};

/// Digits of a fingerprint of version 4, and of version 6.
const FINGERPRINT_DIGITS: [usize; 2] = [40, 64];

/// The recipients that a word names: `age1…`, `ssh-ed25519 …`, `ssh-rsa …`; a file of such lines or of OpenPGP public keys;
/// the fingerprint of a key in the keyring of `gpg`, or an e-mail address that exactly one usable key there has.
///
/// # Errors
/// Of kind [`ErrorKind::Key`], naming what cannot be sealed for and why.
pub fn recipients(word: &str, now: Timestamp) -> Result<Vec<Recipient>> {
    let word = word.trim();
    let doing = || match word {
        // A whole certificate in base64 tells nobody whose it is; the error does.
        _ if word.starts_with("openpgp:") => "read an OpenPGP public key".to_owned(),
        _ => format!("read the recipient {word}"),
    };
    if word.starts_with("age1") || word.starts_with("ssh-") || word.starts_with("openpgp:") {
        return Recipient::parse(word).map(|recipient| vec![recipient]).context(doing);
    }
    if Path::new(word).is_file() {
        return from_file(Path::new(word), now).context(|| format!("read the recipients in {word}"));
    }
    if let Some(fingerprint) = fingerprint(word) {
        return from_keyring(&fingerprint, now).context(doing);
    }
    if word.contains('@') {
        return from_keyring(word.trim_start_matches('<').trim_end_matches('>'), now).context(doing);
    }
    if word.get(..15).is_some_and(|start| start.eq_ignore_ascii_case("AGE-SECRET-KEY-")) {
        return Recipient::parse(word)
            .map(|recipient| vec![recipient])
            .context(|| "read a recipient".to_owned());
    }
    Err(Error::new(ErrorKind::Key, format!("{word} is no recipient, and no file of that name exists")).hint(
        "recipients are age1…, ssh-ed25519 …, ssh-rsa …, a file of them, an OpenPGP public key file, or the whole \
         fingerprint or the e-mail address of a key in the keyring of gpg",
    ))
}

/// Of recipients that an archive was sealed for, those that can still be sealed for, and why the others cannot: years later, a
/// key may have expired.
pub fn still_good(words: &[String], now: Timestamp) -> (Vec<String>, Vec<Error>) {
    let (mut good, mut gone) = (Vec::new(), Vec::new());
    for word in words {
        match recipients(word, now) {
            Ok(_) => good.push(word.clone()),
            Err(error) => gone.push(error),
        }
    }
    (good, gone)
}

/// The digits of a fingerprint, which may be spaced and begin with `0x`. Key IDs are shorter, and can be forged.
fn fingerprint(word: &str) -> Option<String> {
    let digits: String = word.trim_start_matches("0x").chars().filter(|c| *c != ' ').collect();
    let whole =
        FINGERPRINT_DIGITS.contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    whole.then(|| digits.to_ascii_uppercase())
}

fn from_file(path: &Path, now: Timestamp) -> Result<Vec<Recipient>> {
    let bytes = std::fs::read(path)
        .map_err(|error| Error::with_source(ErrorKind::Key, "the file cannot be read", error))?;
    if looks_like_openpgp(&bytes) {
        let certificates = Certificate::read(&bytes, now)?;
        return Ok(certificates.into_iter().map(Arc::new).map(Recipient::OpenPgp).collect());
    }
    let text = std::str::from_utf8(&bytes)
        .map_err(|error| Error::with_source(ErrorKind::Key, "the file is no text", error))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut all = Vec::new();
    for line in lines {
        if Path::new(line).is_file() {
            return Err(Error::new(ErrorKind::Key, "a file of recipients names another file"));
        }
        all.extend(recipients(line, now)?);
    }
    if all.is_empty() { Err(Error::new(ErrorKind::Key, "there is none")) } else { Ok(all) }
}

fn from_keyring(query: &str, now: Timestamp) -> Result<Vec<Recipient>> {
    let exported = Gpg::export(query)?;
    let by_name = query.contains('@');
    let certificates = if by_name {
        // Old keys of the same name that have expired, or were revoked, are no doubt about which one is meant.
        let mut usable = Certificate::each(&exported, now)?;
        if usable.iter().any(std::result::Result::is_ok) {
            usable.retain(std::result::Result::is_ok);
        }
        usable.into_iter().collect::<std::result::Result<Vec<_>, _>>()?
    } else {
        Certificate::read(&exported, now)?
    };
    if !by_name && !certificates.iter().any(|certificate| certificate.has_fingerprint(query)) {
        return Err(Error::new(ErrorKind::Key, "gpg gave a key of another fingerprint"));
    }
    if let [first, second, ..] = certificates.as_slice() {
        let message = format!("several keys have that name: {first} and {second}");
        return Err(Error::new(ErrorKind::Key, message).hint("give the fingerprint of the one that is meant"));
    }
    Ok(certificates.into_iter().map(Arc::new).map(Recipient::OpenPgp).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_whole() {
        let digits = "0123456789abcdef0123456789abcdef01234567";
        assert_eq!(fingerprint(digits), Some(digits.to_ascii_uppercase()));
        assert_eq!(fingerprint(&format!("0x{digits}")), fingerprint(digits));
        assert_eq!(fingerprint("0123 4567 89ab cdef 0123  4567 89ab cdef 0123 4567"), fingerprint(digits));
        for short in ["0123456789abcdef", "89abcdef", "", "age1x", &digits.replace('a', "g")] {
            assert_eq!(fingerprint(short), None, "{short}");
        }
    }

    #[test]
    fn whoever_cannot_be_sealed_for_any_more_is_left_out_and_named() {
        let good = crate::seal::recipient::generate_identity().1;
        let words = ["openpgp:AAAA".to_owned(), good.clone()];
        let (kept, gone) = still_good(&words, Timestamp::UNIX_EPOCH);
        assert_eq!((kept, gone.len()), (vec![good], 1));
    }

    #[test]
    fn what_is_no_recipient_is_named() {
        let error = recipients("deadbeef", Timestamp::UNIX_EPOCH).unwrap_err();
        assert!(error.to_string().contains("deadbeef") && error.kind() == ErrorKind::Key);
        let secret = crate::seal::recipient::generate_identity().0;
        let error = format!("{:?}", recipients(&secret, Timestamp::UNIX_EPOCH).unwrap_err());
        assert!(error.contains("secret identity") && !error.contains(secret.as_str()), "{error}");
    }
}
