//! TLS as libpq does it (manual, section 32.19), on rustls.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::error::chain;
use super::options::{RootCerts, SslMode, TlsFile, TlsOptions};
use super::tls_cert::{self, Check, Verifier};

/// The protocol name that a server demands in direct negotiation (manual, section 54.2.11).
const ALPN: &[u8] = b"postgresql";

/// A stream made secure, with the hash of the server's certificate for channel binding.
pub(crate) struct Secured {
    pub(crate) stream: Box<TlsStream<TcpStream>>,
    pub(crate) end_point: Option<Vec<u8>>,
}

/// Does the handshake on a stream whose server has agreed to it.
///
/// # Errors
/// One sentence that says what failed: a file, the handshake, the certificate.
pub(crate) async fn handshake(
    stream: TcpStream,
    host: &str,
    options: &TlsOptions,
) -> Result<Secured, String> {
    let config = config(options)?;
    let verified = options.mode >= SslMode::VerifyFull;
    let name = match ServerName::try_from(host.to_owned()) {
        Ok(name) => name,
        Err(_) if verified => {
            return Err(format!("\"{host}\" is not a host name that a certificate can hold"));
        }
        // No name to send or to check: the address stands in, which is never sent.
        Err(_) => ServerName::IpAddress(stream.peer_addr().map_err(|error| error.to_string())?.ip().into()),
    };
    let connecting = TlsConnector::from(Arc::new(config)).connect(name, stream);
    let stream = Box::pin(connecting).await.map_err(|error| explained(chain(&error)))?;
    let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let end_point = certificates.first().and_then(|cert| tls_cert::server_end_point(cert));
    Ok(Secured { stream: Box::new(stream), end_point })
}

/// Two findings that the TLS library names only by their variant.
fn explained(reason: String) -> String {
    if reason.contains("UnsupportedCertVersion") {
        "the server's certificate is of X.509 version 1, which cannot be verified: issue one of version 3, for \
         instance with a subjectAltName"
            .to_owned()
    } else if reason.contains("CaUsedAsEndEntity") {
        "the server's certificate is self-signed and is not in the root certificate file".to_owned()
    } else {
        reason
    }
}

fn config(options: &TlsOptions) -> Result<ClientConfig, String> {
    let provider = Arc::new(ring::default_provider());
    let versions: Vec<&'static SupportedProtocolVersion> =
        [options.tls13.then_some(&rustls::version::TLS13), options.tls12.then_some(&rustls::version::TLS12)]
            .into_iter()
            .flatten()
            .collect();
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions)
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier(options, &provider)?));
    let mut config = match client_certificate(options)? {
        Some((chain, key)) => builder
            .with_client_auth_cert(chain, key)
            .map_err(|error| format!("the client certificate and its key cannot be used: {error}"))?,
        None => builder.with_no_client_auth(),
    };
    config.enable_sni = options.sni;
    if options.direct {
        config.alpn_protocols = vec![ALPN.to_vec()];
    }
    Ok(config)
}

/// What is checked follows from the mode and from whether there are root certificates.
fn verifier(options: &TlsOptions, provider: &Arc<CryptoProvider>) -> Result<Verifier, String> {
    // Weaker modes fall back to plaintext, so to verify in them would protect nothing.
    let roots = match &options.roots {
        _ if options.mode < SslMode::Require => None,
        RootCerts::System => Some(system_roots()?),
        RootCerts::File { path, .. } if path.exists() => Some(certificates(path, "root certificate")?),
        RootCerts::File { path, given } if *given || options.mode > SslMode::Require => {
            return Err(format!(
                "root certificate file {} does not exist: provide it, use the system's with sslrootcert=system, or \
                 do not verify the server (sslmode=require)",
                path.display()
            ));
        }
        RootCerts::None if options.mode > SslMode::Require => {
            return Err("there is no home directory to hold a root certificate; give sslrootcert".to_owned());
        }
        RootCerts::File { .. } | RootCerts::None => None,
    };
    let Some(roots) = roots else {
        return Ok(Verifier::unchecked(provider));
    };
    let mut store = RootCertStore::empty();
    // As OpenSSL does, unusable certificates of a bundle are passed over, so long as one is usable.
    store.add_parsable_certificates(roots.iter().cloned());
    let chain = WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(provider))
        .with_crls(revocations(options.crl.as_ref())?)
        .build()
        .map_err(|error| format!("the root certificates cannot be used: {error}"))?;
    let check = if options.mode == SslMode::VerifyFull { Check::ChainAndName } else { Check::Chain };
    Ok(Verifier::new(provider, check, chain, roots))
}

fn system_roots() -> Result<Vec<CertificateDer<'static>>, String> {
    let found = rustls_native_certs::load_native_certs();
    match found.errors.first() {
        Some(error) if found.certs.is_empty() => {
            Err(format!("cannot load the system's certificates: {error}"))
        }
        _ => Ok(found.certs),
    }
}

fn certificates(path: &Path, what: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let text = read(path)?;
    let list: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match list {
        Ok(list) if list.is_empty() => Err(format!("{what} file {} holds no certificate", path.display())),
        Ok(list) => Ok(list),
        Err(error) => Err(format!("{what} file {} is not PEM: {error}", path.display())),
    }
}

fn revocations(file: Option<&TlsFile>) -> Result<Vec<CertificateRevocationListDer<'static>>, String> {
    let Some(TlsFile { path, given }) = file else {
        return Ok(Vec::new());
    };
    if !given && !path.exists() {
        return Ok(Vec::new());
    }
    CertificateRevocationListDer::pem_slice_iter(&read(path)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| format!("revocation list {} is not PEM: {error}", path.display()))
}

type ClientCertificate = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// The client's certificate and key. A missing certificate means none, even where a parameter names it: libpq's
/// users rely on that to switch the default off.
fn client_certificate(options: &TlsOptions) -> Result<Option<ClientCertificate>, String> {
    let Some(cert) = options.cert.as_ref().filter(|file| file.path.exists()) else {
        return Ok(None);
    };
    let chain = certificates(&cert.path, "client certificate")?;
    let Some(key) = &options.key else {
        return Err("there is a client certificate but no key; give sslkey".to_owned());
    };
    check_key_permissions(&key.path)?;
    let text = zeroize::Zeroizing::new(read(&key.path)?);
    let key = PrivateKeyDer::from_pem_slice(&text).map_err(|error| {
        format!("no unencrypted private key in PEM form in {}: {error}", key.path.display())
    })?;
    Ok(Some((chain, key)))
}

/// libpq's rule: 0600 or less, or 0640 or less for a file of root's.
fn check_key_permissions(path: &Path) -> Result<(), String> {
    let metadata = std::fs::metadata(path)
        .map_err(|error| format!("there is a client certificate but no key {}: {error}", path.display()))?;
    if !metadata.is_file() {
        return Err(format!("private key {} is not a plain file", path.display()));
    }
    let forbidden = if metadata.uid() == 0 { 0o037 } else { 0o077 };
    if metadata.permissions().mode() & forbidden != 0 {
        return Err(format!(
            "private key {} can be read by others; permissions must be u=rw (0600) or less, or u=rw,g=r (0640) or \
             less if root owns it",
            path.display()
        ));
    }
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}

#[cfg(test)]
#[path = "tls_test.rs"]
mod tests;
