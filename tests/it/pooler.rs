//! A pooler between us and the server: one that shares backends is refused, one that does not is used.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use pgcask::pg::options::ConnectOptions;
use pgcask::pg::{PgError, Session, SessionKind};

use crate::harness::postgres::Server;

/// A connection to the server, logged in without a password.
fn log_in(port: u16) -> TcpStream {
    let mut backend = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let body = b"\0\x03\0\0user\0postgres\0database\0postgres\0client_encoding\0UTF8\0\0";
    backend.write_all(&u32::try_from(body.len() + 4).unwrap().to_be_bytes()).unwrap();
    backend.write_all(body).unwrap();
    while message(&mut backend).unwrap().0 != b'Z' {}
    backend
}

/// One message: its type, and all of its bytes.
pub(crate) fn message(stream: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
    let mut head = [0; 5];
    stream.read_exact(&mut head).ok()?;
    let length = usize::try_from(u32::from_be_bytes(head[1..].try_into().unwrap())).unwrap();
    let mut bytes = head.to_vec();
    bytes.resize(1 + length, 0);
    stream.read_exact(&mut bytes[5..]).ok()?;
    Some((head[0], bytes))
}

/// Serves one client with a backend that is its own for a transaction at a time.
fn serve(mut client: TcpStream, shared: &Mutex<TcpStream>) -> Option<()> {
    static KEYS: AtomicU32 = AtomicU32::new(1_000_000);
    let mut length = [0; 4];
    client.read_exact(&mut length).ok()?;
    let mut startup = vec![0; usize::try_from(u32::from_be_bytes(length)).unwrap() - 4];
    client.read_exact(&mut startup).ok()?;
    client.write_all(b"R\0\0\0\x08\0\0\0\0K\0\0\0\x0c").ok()?;
    client.write_all(&KEYS.fetch_add(1, Ordering::Relaxed).to_be_bytes()).ok()?;
    client.write_all(b"\0\0\0\x07Z\0\0\0\x05I").ok()?;
    loop {
        let (_, mut request) = message(&mut client).filter(|(kind, _)| *kind == b'Q')?;
        let mut backend = shared.lock().unwrap();
        loop {
            backend.write_all(&request).unwrap();
            let state = loop {
                let (kind, bytes) = message(&mut backend).unwrap();
                client.write_all(&bytes).ok()?;
                if kind == b'Z' {
                    break bytes[5];
                }
            };
            if state == b'I' {
                break;
            }
            let Some((b'Q', next)) = message(&mut client) else {
                // The client left within its transaction.
                backend.write_all(b"Q\0\0\0\x0dROLLBACK\0").unwrap();
                while message(&mut backend).unwrap().0 != b'Z' {}
                return None;
            };
            request = next;
        }
    }
}

/// A pooler before the server. In transaction mode all clients share one backend, in session mode each has its own.
pub(crate) fn pooler(server: &Server, transaction_mode: bool) -> String {
    let port = server.port();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://postgres@{}/postgres?sslmode=disable", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let shared = Arc::new(Mutex::new(log_in(port)));
        for client in listener.incoming() {
            let backend =
                if transaction_mode { Arc::clone(&shared) } else { Arc::new(Mutex::new(log_in(port))) };
            std::thread::spawn(move || serve(client.unwrap(), &backend));
        }
    });
    url
}

#[tokio::test]
async fn a_transaction_pooler_is_refused_before_anything_is_set_in_it() {
    let server = Server::start(18);
    let url = pooler(&server, true);
    let options = ConnectOptions::parse(&url).unwrap();
    for kind in [SessionKind::Source, SessionKind::Target] {
        let error = Session::open(&options, kind).await.unwrap_err();
        assert!(matches!(error, PgError::Pooler { .. }), "{error}");
        assert!(error.to_string().contains("session mode"), "{error}");
    }
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    let driver = tokio::spawn(connection);
    let rows = client.simple_query("SHOW search_path").await.unwrap();
    let path = rows.iter().find_map(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    assert_eq!(path, Some("\"$user\", public"), "the shared backend is as it was");
    driver.abort();
}

#[tokio::test]
async fn a_session_pooler_is_used() {
    let server = Server::start(18);
    let options = ConnectOptions::parse(&pooler(&server, false)).unwrap();
    let session = Session::open(&options, SessionKind::Source).await.unwrap();
    assert!(session.info().is_pooled);
}
