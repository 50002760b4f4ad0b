//! Small servers that take what the program sends, and keep it: HTTP and SMTP.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// What an HTTP server was asked.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Request {
    /// The body as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// An HTTP server on 127.0.0.1 that answers 200, or for some paths something else.
#[derive(Debug)]
pub(crate) struct HttpReceiver {
    port: u16,
    taken: Arc<Mutex<Vec<Request>>>,
}

impl HttpReceiver {
    /// `answer`: the status for a path and the how-manieth request it is there, from 1.
    pub(crate) fn start(answer: impl Fn(&str, usize) -> u16 + Send + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let taken: Arc<Mutex<Vec<Request>>> = Arc::default();
        let kept = Arc::clone(&taken);
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let Some(request) = read_request(&connection) else { continue };
                let mut taken = kept.lock().unwrap();
                let count = taken.iter().filter(|other| other.path == request.path).count() + 1;
                let status = answer(&request.path, count);
                taken.push(request);
                drop(taken);
                let text =
                    format!("HTTP/1.1 {status} Answer\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
                drop((&connection).write_all(text.as_bytes()));
            }
        });
        Self { port, taken }
    }

    /// A URL of it.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// What was taken so far at a path.
    pub(crate) fn at(&self, path: &str) -> Vec<Request> {
        self.taken.lock().unwrap().iter().filter(|request| request.path == path).cloned().collect()
    }

    /// Forgets what was taken.
    pub(crate) fn clear(&self) {
        self.taken.lock().unwrap().clear();
    }
}

/// Serves one file over HTTP on 127.0.0.1, as it is at each request.
#[derive(Debug)]
pub(crate) struct FileServer {
    port: u16,
}

impl FileServer {
    pub(crate) fn start(file: PathBuf, content_type: &'static str) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                if read_request(&connection).is_none() {
                    continue;
                }
                let body = std::fs::read(&file).unwrap_or_default();
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                    body.len()
                );
                drop((&connection).write_all(&[head.as_bytes(), &body].concat()));
            }
        });
        Self { port }
    }

    /// `127.0.0.1:PORT`.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

/// What a server answers to one GET: status and body.
pub(crate) fn get(address: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    // Of HTTP/1.0 the body ends with the connection, and has no chunks.
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

fn read_request(connection: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(connection);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim().split_once(": ") else { break };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let length = headers.get("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request { method, path, headers, body: String::from_utf8(body).ok()? })
}

/// A mail as it was handed over.
#[derive(Debug, Clone, Default)]
pub(crate) struct Mail {
    pub(crate) login: Option<String>,
    pub(crate) from: String,
    pub(crate) to: Vec<String>,
    pub(crate) data: String,
    /// It came through TLS.
    pub(crate) secure: bool,
}

/// How an SMTP server secures its connections.
#[derive(Debug, Clone)]
pub(crate) enum Secured {
    No,
    StartTls(Arc<ServerConfig>),
    Implicit(Arc<ServerConfig>),
}

/// A certificate for `localhost`, and what a client must trust for it: a server's configuration, the authority as PEM.
pub(crate) fn certificate() -> (Arc<ServerConfig>, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = builder.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).unwrap();
    (Arc::new(config), made.cert.pem())
}

/// An SMTP server on 127.0.0.1, which takes any login.
#[derive(Debug)]
pub(crate) struct SmtpReceiver {
    pub(crate) port: u16,
    taken: Arc<Mutex<Vec<Mail>>>,
}

impl SmtpReceiver {
    /// Without TLS. The first `refused` mails are put off with a temporary failure.
    pub(crate) fn start(refused: usize) -> Self {
        Self::secured(refused, Secured::No)
    }

    pub(crate) fn secured(refused: usize, secured: Secured) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let taken: Arc<Mutex<Vec<Mail>>> = Arc::default();
        let kept = Arc::clone(&taken);
        std::thread::spawn(move || {
            let mut left = refused;
            for connection in listener.incoming().flatten() {
                if let Some(mail) = receive(connection, &secured, &mut left) {
                    kept.lock().unwrap().push(mail);
                }
            }
        });
        Self { port, taken }
    }

    /// What was taken so far.
    pub(crate) fn mails(&self) -> Vec<Mail> {
        self.taken.lock().unwrap().clone()
    }
}

/// One connection to its end; the mail, if one was taken.
fn receive(mut connection: TcpStream, secured: &Secured, refuse: &mut usize) -> Option<Mail> {
    let tls = |connection, config: &Arc<ServerConfig>| {
        StreamOwned::new(ServerConnection::new(Arc::clone(config)).unwrap(), connection)
    };
    match secured {
        Secured::No => {
            Smtp { stream: &mut connection, secure: false, offers_tls: false }.dialogue(true, refuse)
        }
        Secured::Implicit(config) => {
            let mut stream = tls(connection, config);
            Smtp { stream: &mut stream, secure: true, offers_tls: false }.dialogue(true, refuse)
        }
        Secured::StartTls(config) => {
            // It ends with the client's STARTTLS, and begins anew.
            Smtp { stream: &mut connection, secure: false, offers_tls: true }.dialogue(true, refuse);
            let mut stream = tls(connection, config);
            Smtp { stream: &mut stream, secure: true, offers_tls: false }.dialogue(false, refuse)
        }
    }
}

/// One end of a dialogue (RFC 5321).
struct Smtp<'a, S> {
    stream: &'a mut S,
    secure: bool,
    offers_tls: bool,
}

impl<S: Read + Write> Smtp<'_, S> {
    fn say(&mut self, text: &str) {
        drop(self.stream.write_all(format!("{text}\r\n").as_bytes()).and_then(|()| self.stream.flush()));
    }

    /// One line, with its end; `None` at the end of the connection.
    fn line(&mut self) -> Option<String> {
        let (mut line, mut byte) = (Vec::new(), [0]);
        while !line.ends_with(b"\n") {
            if self.stream.read(&mut byte).ok()? == 0 {
                return None;
            }
            line.extend(byte);
        }
        String::from_utf8(line).ok()
    }

    /// The mail, if one was taken. `greets`: the connection is new.
    fn dialogue(mut self, greets: bool, refuse: &mut usize) -> Option<Mail> {
        let (mut mail, mut whole) = (Mail { secure: self.secure, ..Mail::default() }, false);
        if greets {
            self.say("220 receiver");
        }
        while let Some(line) = self.line() {
            let line = line.trim_end();
            match line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase().as_str() {
                "EHLO" if self.offers_tls => self.say("250-receiver\r\n250-STARTTLS\r\n250 AUTH PLAIN"),
                "EHLO" => self.say("250-receiver\r\n250 AUTH PLAIN"),
                "STARTTLS" if self.offers_tls => {
                    self.say("220 go on");
                    return None;
                }
                "AUTH" => {
                    mail.login = line.rsplit(' ').next().map(str::to_owned);
                    self.say("235 ok");
                }
                "MAIL" if *refuse > 0 => {
                    *refuse -= 1;
                    self.say("451 later");
                }
                "MAIL" => {
                    line.clone_into(&mut mail.from);
                    self.say("250 ok");
                }
                "RCPT" => {
                    mail.to.push(line.to_owned());
                    self.say("250 ok");
                }
                "DATA" => {
                    self.say("354 go on");
                    while let Some(line) = self.line().filter(|line| line != ".\r\n") {
                        mail.data.push_str(&line);
                    }
                    whole = true;
                    self.say("250 taken");
                }
                "QUIT" => {
                    self.say("221 bye");
                    break;
                }
                _ => self.say("250 ok"),
            }
        }
        whole.then_some(mail)
    }
}
