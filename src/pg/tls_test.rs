use std::path::{Path, PathBuf};

use rustls::ServerConfig;
use sha2::{Digest as _, Sha256, Sha384, Sha512};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::pg::options::ConnectOptions;
use crate::pg::transport::{self, Address, Failure, Security};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tls").join(name)
}

/// A server that answers one request for TLS, then does the handshake with this certificate.
async fn server(cert: &str) -> Address {
    let chain = certificates(&fixture(cert), "certificate").unwrap();
    let key = PrivateKeyDer::from_pem_file(fixture("server.key")).unwrap();
    // Not `with_single_cert`, whose check of the pair does not know certificates of version 1.
    let key = ring::sign::any_ecdsa_type(&key).unwrap();
    let resolver = rustls::sign::SingleCertAndKey::from(rustls::sign::CertifiedKey::new(chain, key));
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(resolver));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = Address::Tcp(listener.local_addr().unwrap());
    drop(tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 8];
        stream.read_exact(&mut request).await.unwrap();
        stream.write_all(b"S").await.unwrap();
        drop(tokio_rustls::TlsAcceptor::from(Arc::new(config)).accept(stream).await);
    }));
    address
}

/// What comes of connecting: `ok`, or the reason.
async fn outcome(cert: &str, host: &str, mode: &str, root: Option<&str>) -> String {
    let root = root.map(|root| format!("sslrootcert={}", fixture(root).display())).unwrap_or_default();
    let options = ConnectOptions::parse(&format!("user=u sslmode={mode} {root}")).unwrap();
    let address = server(cert).await;
    match transport::open(&address, host, Security::Tls, &options.tcp, &options.tls).await {
        Ok(opened) if opened.is_tls() => "ok".to_owned(),
        Ok(_) => "plain".to_owned(),
        Err(Failure::Tls(reason) | Failure::Socket(reason)) => reason,
        Err(Failure::NoTls) => "no TLS".to_owned(),
    }
}

#[tokio::test]
async fn each_mode_checks_what_it_promises() {
    let (ca, own) = (Some("ca.crt"), Some("self-signed.crt"));
    for (cert, host, mode, root, expected) in [
        ("server.crt", "other.example", "require", None, "ok"),
        ("server.crt", "other.example", "require", ca, "ok"),
        ("server.crt", "other.example", "require", own, "UnknownIssuer"),
        ("server.crt", "other.example", "verify-ca", ca, "ok"),
        ("server.crt", "other.example", "verify-ca", own, "UnknownIssuer"),
        ("server.crt", "other.example", "verify-full", ca, "not valid for name"),
        ("server.crt", "ignored.example", "verify-full", ca, "not valid for name"),
        ("server.crt", "db.example", "verify-full", ca, "ok"),
        ("server.crt", "a.wild.example", "verify-full", ca, "ok"),
        ("server.crt", "a.b.wild.example", "verify-full", ca, "not valid for name"),
        ("server.crt", "127.0.0.1", "verify-full", ca, "ok"),
        ("server.crt", "127.0.0.2", "verify-full", ca, "not valid for name"),
        ("server.crt", "not a name", "verify-full", ca, "not a host name"),
        ("server.crt", "not a name", "require", None, "ok"),
        ("self-signed.crt", "db.example", "verify-full", own, "ok"),
        ("self-signed.crt", "x.example", "verify-full", own, "not valid for name"),
        ("self-signed.crt", "db.example", "verify-ca", ca, "self-signed and is not in the root"),
        ("version1.crt", "x", "require", None, "ok"),
        ("version1.crt", "ignored.example", "verify-full", ca, "version 1"),
        ("server.crt", "db.example", "verify-full", Some("none.crt"), "does not exist"),
        ("server.crt", "db.example", "verify-full", Some("server.key"), "holds no certificate"),
        ("server.crt", "db.example", "verify-ca", None, "no home directory"),
    ] {
        let found = outcome(cert, host, mode, root).await;
        assert!(found.contains(expected), "{cert} {host} {mode} {root:?}: {found}");
    }
}

#[test]
fn the_channel_is_bound_by_the_hash_of_the_certificates_signature() {
    let der = |name: &str| certificates(&fixture(name), "certificate").unwrap().remove(0);
    let point = |name: &str| tls_cert::server_end_point(&der(name)).unwrap();
    assert_eq!(point("server.crt"), Sha256::digest(der("server.crt")).to_vec());
    assert_eq!(point("version1.crt"), Sha256::digest(der("version1.crt")).to_vec());
    assert_eq!(point("self-signed.crt"), Sha384::digest(der("self-signed.crt")).to_vec());
    assert_eq!(point("pss-sha512.crt"), Sha512::digest(der("pss-sha512.crt")).to_vec());
    assert_eq!(tls_cert::server_end_point(b"not a certificate"), None);
}

#[test]
fn a_key_that_others_can_read_is_refused() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let chmod = |mode| {
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        check_key_permissions(file.path())
    };
    assert!(chmod(0o600).is_ok() && chmod(0o400).is_ok());
    assert!(chmod(0o644).unwrap_err().contains("0600") && chmod(0o660).is_err());
    assert_eq!(chmod(0o640).is_ok(), file.as_file().metadata().unwrap().uid() == 0);
}
