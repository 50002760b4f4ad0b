//! The judgement of a server's certificate, and its hash for channel binding.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
    verify_tls13_signature_with_raw_key,
};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};
use sha2::{Digest as _, Sha224, Sha256, Sha384, Sha512};
use x509_cert::Certificate;
use x509_cert::der::asn1::{ContextSpecific, ObjectIdentifier};
use x509_cert::der::{Decode as _, Encode as _, SliceReader, TagNumber};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::spki::AlgorithmIdentifierOwned;

const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
const SUBJECT_ALT_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.17");
const RSA_PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");

/// How much of the server's certificate is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Check {
    /// Nothing: the channel is private against listeners only.
    Nothing,
    /// That a trusted authority signed it.
    Chain,
    /// That too, and that it is for the host.
    ChainAndName,
}

/// libpq's rules as a verifier of rustls.
#[derive(Debug)]
pub(crate) struct Verifier {
    check: Check,
    algorithms: WebPkiSupportedAlgorithms,
    chain: Option<Arc<WebPkiServerVerifier>>,
    roots: Vec<CertificateDer<'static>>,
}

impl Verifier {
    pub(crate) fn unchecked(provider: &CryptoProvider) -> Self {
        let algorithms = provider.signature_verification_algorithms;
        Self { check: Check::Nothing, algorithms, chain: None, roots: Vec::new() }
    }

    pub(crate) fn new(
        provider: &CryptoProvider,
        check: Check,
        chain: Arc<WebPkiServerVerifier>,
        roots: Vec<CertificateDer<'static>>,
    ) -> Self {
        Self { check, algorithms: provider.signature_verification_algorithms, chain: Some(chain), roots }
    }

    /// Whether the certificate is for the host: its alternative names, or, when it has none for hosts, its common
    /// name, which the TLS library by itself ignores and libpq does not.
    fn check_name(&self, cert: &CertificateDer<'_>, name: &ServerName<'_>) -> Result<(), Error> {
        if self.check != Check::ChainAndName {
            return Ok(());
        }
        match rustls::client::verify_server_name(&ParsedCertificate::try_from(cert)?, name) {
            Err(_) if common_name_matches(cert, &name.to_str()) => Ok(()),
            result => result,
        }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        cert: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(chain) = &self.chain else {
            return Ok(ServerCertVerified::assertion());
        };
        // A self-signed certificate that is itself trusted: OpenSSL takes it, webpki would not.
        if self.roots.iter().any(|root| root.as_ref() == cert.as_ref()) {
            check_dates(cert, now)?;
        } else {
            match chain.verify_server_cert(cert, intermediates, name, ocsp, now) {
                // The name is looked at after all else, so with this error all else is good.
                Err(Error::InvalidCertificate(
                    CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
                ))
                | Ok(_) => {}
                Err(error) => return Err(error),
            }
        }
        self.check_name(cert, name)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let result = verify_tls13_signature(message, cert, signature, &self.algorithms);
        // Certificates of version 1, which the manual's recipe makes with older OpenSSL, are not parsed by webpki.
        // Where the certificate is not judged, its key is still enough to check the handshake.
        match public_key(cert) {
            Some(key) if result.is_err() && self.check == Check::Nothing => {
                verify_tls13_signature_with_raw_key(
                    message,
                    &SubjectPublicKeyInfoDer::from(key),
                    signature,
                    &self.algorithms,
                )
            }
            _ => result,
        }
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

fn public_key(cert: &CertificateDer<'_>) -> Option<Vec<u8>> {
    Certificate::from_der(cert).ok()?.tbs_certificate.subject_public_key_info.to_der().ok()
}

fn check_dates(cert: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
    let parsed = Certificate::from_der(cert).map_err(|_| CertificateError::BadEncoding)?;
    let validity = parsed.tbs_certificate.validity;
    if now.as_secs() < validity.not_before.to_unix_duration().as_secs() {
        return Err(CertificateError::NotValidYet.into());
    }
    if now.as_secs() > validity.not_after.to_unix_duration().as_secs() {
        return Err(CertificateError::Expired.into());
    }
    Ok(())
}

fn common_name_matches(cert: &CertificateDer<'_>, host: &str) -> bool {
    let Ok(cert) = Certificate::from_der(cert) else {
        return false;
    };
    for extension in
        cert.tbs_certificate.extensions.iter().flatten().filter(|e| e.extn_id == SUBJECT_ALT_NAME)
    {
        let Ok(names) = SubjectAltName::from_der(extension.extn_value.as_bytes()) else {
            return false;
        };
        if names.0.iter().any(|n| matches!(n, GeneralName::DnsName(_) | GeneralName::IpAddress(_))) {
            return false;
        }
    }
    let mut attributes = cert.tbs_certificate.subject.0.iter().flat_map(|rdn| rdn.0.iter());
    let common_name = attributes.rfind(|attribute| attribute.oid == COMMON_NAME);
    common_name.is_some_and(|name| name_matches(&String::from_utf8_lossy(name.value.value()), host))
}

/// libpq's comparison: equal but for case, or `*.rest` for exactly one label more than `rest`. No wildcard covers an
/// address.
fn name_matches(pattern: &str, host: &str) -> bool {
    if pattern.contains('\0') {
        return false;
    }
    if pattern.eq_ignore_ascii_case(host) {
        return true;
    }
    let (Some(rest), Some((label, tail))) = (pattern.strip_prefix("*."), host.split_once('.')) else {
        return false;
    };
    host.parse::<std::net::IpAddr>().is_err()
        && !label.is_empty()
        && !rest.is_empty()
        && rest.eq_ignore_ascii_case(tail)
}

/// The hash of `tls-server-end-point` (RFC 5929, section 4.1): that of the certificate's signature, and SHA-256 for
/// MD5 and SHA-1. `None` for signatures without one, such as Ed25519.
pub(crate) fn server_end_point(der: &[u8]) -> Option<Vec<u8>> {
    let algorithm = Certificate::from_der(der).ok()?.signature_algorithm;
    let hash = if algorithm.oid == RSA_PSS { pss_hash(&algorithm)? } else { algorithm.oid };
    match hash.to_string().as_str() {
        // MD5, SHA-1, SHA-256 with RSA, ECDSA, DSA; the bare hashes are those named by RSA-PSS.
        "1.2.840.113549.1.1.4"
        | "1.2.840.113549.1.1.5"
        | "1.2.840.113549.1.1.11"
        | "1.2.840.10045.4.1"
        | "1.2.840.10045.4.3.2"
        | "1.2.840.10040.4.3"
        | "2.16.840.1.101.3.4.3.2"
        | "1.3.14.3.2.26"
        | "2.16.840.1.101.3.4.2.1" => Some(Sha256::digest(der).to_vec()),
        "1.2.840.113549.1.1.14" | "1.2.840.10045.4.3.1" | "2.16.840.1.101.3.4.2.4" => {
            Some(Sha224::digest(der).to_vec())
        }
        "1.2.840.113549.1.1.12" | "1.2.840.10045.4.3.3" | "2.16.840.1.101.3.4.2.2" => {
            Some(Sha384::digest(der).to_vec())
        }
        "1.2.840.113549.1.1.13" | "1.2.840.10045.4.3.4" | "2.16.840.1.101.3.4.2.3" => {
            Some(Sha512::digest(der).to_vec())
        }
        _ => None,
    }
}

/// The hash that the parameters of RSA-PSS name (RFC 4055, section 3.1); SHA-1 if they do not.
fn pss_hash(algorithm: &AlgorithmIdentifierOwned) -> Option<ObjectIdentifier> {
    let sha1 = ObjectIdentifier::new_unwrap("1.3.14.3.2.26");
    let Some(parameters) = &algorithm.parameters else {
        return Some(sha1);
    };
    let mut reader = SliceReader::new(parameters.value()).ok()?;
    let hash =
        ContextSpecific::<AlgorithmIdentifierOwned>::decode_explicit(&mut reader, TagNumber::N0).ok()?;
    Some(hash.map_or(sha1, |hash| hash.value.oid))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_cover_one_label_and_no_address() {
        for (pattern, host, expected) in [
            ("db.example.com", "DB.example.com", true),
            ("*.example.com", "db.example.com", true),
            ("*.example.com", "a.b.example.com", false),
            ("*.example.com", "example.com", false),
            ("*.example.com", ".example.com", false),
            ("*", "db", false),
            ("d*.example.com", "db.example.com", false),
            ("127.0.0.1", "127.0.0.1", true),
            ("*.0.0.1", "127.0.0.1", false),
            ("a\0.example.com", "a\0.example.com", false),
        ] {
            assert_eq!(name_matches(pattern, host), expected, "{pattern} {host}");
        }
    }
}
