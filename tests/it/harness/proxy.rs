//! Stands between the program and an S3 server, and does to requests and answers what networks and stores do: cuts, delays,
//! truncates, refuses, loses an answer after the request was done. Which of them is decided request by request, by a plan.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A request as it reached the proxy.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// What happens to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It passes.
    None,
    /// It passes, later.
    Delay(Duration),
    /// The connection is cut before anything reaches the server.
    Reset,
    /// The connection is cut in the middle of the request.
    ResetInBody,
    /// It reaches the server with one bit of its body changed.
    FlipInBody,
    /// The server never sees it; the answer is this status with this code.
    Answer(u16, &'static str),
    /// As a store that answers a signature it does not accept: the answer quotes the request with all its headers.
    Echo(u16, &'static str),
    /// It is done, and the connection is cut before the answer.
    LoseAnswer,
    /// It is done, and the answer is this status with this code.
    AnswerAfter(u16, &'static str),
    /// It is done, and the answer's body breaks off in its middle.
    Truncate,
    /// It is done, and one bit of the answer's body is another.
    Flip,
    /// From here on nobody listens any more.
    Die,
}

type Plan = dyn Fn(&Request, u32) -> Fault + Send + Sync;

struct State {
    server: String,
    own: SocketAddr,
    plan: Box<Plan>,
    counts: Mutex<BTreeMap<String, u32>>,
    seen: Mutex<Vec<(Request, Fault)>>,
    dead: AtomicBool,
}

/// A running proxy; it stops listening with the value.
pub(crate) struct Proxy {
    state: Arc<State>,
}

impl Request {
    /// What is asked for, without names that are different in each run: requests of one class are counted together.
    pub(crate) fn class(&self) -> String {
        let (path, query) = self.target.split_once('?').unwrap_or((&self.target, ""));
        let has = |name: &str| query.split('&').any(|part| part.split('=').next() == Some(name));
        let what = [
            ("partNumber", "part"),
            ("uploadId", "upload"),
            ("uploads", "uploads"),
            ("list-type", "list"),
            ("delete", "delete"),
        ];
        let file = path.rsplit('/').next().unwrap_or_default();
        let kind = match file.rsplit_once('.') {
            _ if path.contains("/.pgcask/audit/") => "audit",
            Some((_, "cask")) => "archive",
            Some((_, "sha256")) => "sha256",
            Some((front, "json")) if front.rsplit('.').next() == Some("cask") => "json",
            _ => "other",
        };
        let kind = what.iter().find(|(name, _)| has(name)).map_or(kind, |(_, what)| *what);
        format!("{} {kind}", self.method)
    }

    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

impl Proxy {
    /// Starts one before a server. The plan is asked for each request, with its number within its class, from 1 on.
    pub(crate) fn start(
        endpoint: &str,
        plan: impl Fn(&Request, u32) -> Fault + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let own = listener.local_addr().unwrap();
        let state = Arc::new(State {
            server: endpoint.trim_start_matches("http://").to_owned(),
            own,
            plan: Box::new(plan),
            counts: Mutex::default(),
            seen: Mutex::default(),
            dead: AtomicBool::new(false),
        });
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                if shared.dead.load(Ordering::SeqCst) {
                    break;
                }
                let (client, state) = (client.unwrap(), Arc::clone(&shared));
                // A client that goes away in the middle is what is tested.
                std::thread::spawn(move || drop(state.serve(&client)));
            }
        });
        Self { state }
    }

    /// Where clients connect.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.state.own)
    }

    /// All requests so far, and what was done to them.
    pub(crate) fn seen(&self) -> Vec<(Request, Fault)> {
        self.state.seen.lock().unwrap().clone()
    }

    /// The faults so far, in words.
    pub(crate) fn faults(&self) -> Vec<String> {
        let seen = self.seen();
        let told = seen.iter().filter(|(_, fault)| *fault != Fault::None);
        told.map(|(request, fault)| format!("{}: {fault:?}", request.class())).collect()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.die();
    }
}

impl State {
    /// Closes the port: a last connection wakes who listens.
    fn die(&self) {
        self.dead.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.own));
    }

    fn decide(&self, request: &Request) -> Fault {
        let number = {
            let mut counts = self.counts.lock().unwrap();
            let count = counts.entry(request.class()).or_default();
            *count += 1;
            *count
        };
        (self.plan)(request, number)
    }

    fn serve(&self, client: &TcpStream) -> std::io::Result<()> {
        client.set_nodelay(true)?;
        let mut from = BufReader::new(client.try_clone()?);
        while let Some((mut request, length)) = head(&mut from)? {
            let fault = self.decide(&request);
            let arrives = if fault == Fault::ResetInBody { length / 2 } else { length };
            request.body = vec![0; arrives];
            from.read_exact(&mut request.body)?;
            if fault == Fault::FlipInBody
                && let Some(byte) = request.body.last_mut()
            {
                *byte ^= 4;
            }
            self.seen.lock().unwrap().push((Request { body: Vec::new(), ..request.clone() }, fault));
            if self.dead.load(Ordering::SeqCst) {
                return cut(client);
            }
            match fault {
                Fault::Die => {
                    self.die();
                    return cut(client);
                }
                Fault::Reset => return cut(client),
                Fault::ResetInBody => {
                    let mut server = TcpStream::connect(&self.server)?;
                    server.write_all(&request.text())?;
                    cut(&server)?;
                    return cut(client);
                }
                Fault::Answer(status, code) => answer(client, &request, status, code, "")?,
                Fault::Echo(status, code) => {
                    let quoted: String =
                        request.headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
                    let quoted = format!("<CanonicalRequest>{quoted}</CanonicalRequest>");
                    answer(client, &request, status, code, &quoted)?;
                }
                Fault::None | Fault::Truncate | Fault::Flip | Fault::FlipInBody => {
                    self.pass(&request, client, fault)?;
                }
                Fault::Delay(time) => {
                    std::thread::sleep(time);
                    self.pass(&request, client, fault)?;
                }
                Fault::LoseAnswer => {
                    self.ask(&request)?;
                    return cut(client);
                }
                Fault::AnswerAfter(status, code) => {
                    self.ask(&request)?;
                    answer(client, &request, status, code, "")?;
                }
            }
        }
        Ok(())
    }

    /// The server's whole answer: its head without what is about the connection, and its body.
    fn ask(&self, request: &Request) -> std::io::Result<(String, Vec<u8>)> {
        let mut server = TcpStream::connect(&self.server)?;
        server.write_all(&request.text())?;
        let mut all = Vec::new();
        server.read_to_end(&mut all)?;
        let end = all.windows(4).position(|four| four == b"\r\n\r\n");
        let end = end.ok_or_else(|| std::io::Error::other("the server gave no answer"))?;
        let mut body = all.split_off(end + 4);
        let text = String::from_utf8_lossy(&all).into_owned();
        let (mut head, mut chunked) = (String::new(), false);
        for line in text.lines().filter(|line| !line.is_empty()) {
            let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
            chunked |= name == "transfer-encoding";
            if !["transfer-encoding", "connection"].contains(&name.as_str()) {
                head.push_str(&format!("{line}\r\n"));
            }
        }
        if chunked {
            body = unchunked(&body);
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        Ok((head, body))
    }

    fn pass(&self, request: &Request, mut client: &TcpStream, fault: Fault) -> std::io::Result<()> {
        let (head, mut body) = self.ask(request)?;
        if fault == Fault::Flip
            && let Some(byte) = body.get_mut(head.len() % 7)
        {
            *byte ^= 4;
        }
        let shown = if fault == Fault::Truncate { body.len() / 2 } else { body.len() };
        client.write_all(format!("{head}\r\n").as_bytes())?;
        client.write_all(&body[..shown])?;
        if shown < body.len() {
            client.shutdown(std::net::Shutdown::Both)?;
        }
        Ok(())
    }
}

impl Request {
    /// As it is sent on: one connection for each.
    fn text(&self) -> Vec<u8> {
        let mut text = format!("{} {} HTTP/1.1\r\nConnection: close\r\n", self.method, self.target);
        for (name, value) in self.headers.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("connection"))
        {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n");
        [text.as_bytes(), &self.body].concat()
    }
}

/// Reads a request's head, and how long its body is; `None` at the end of the connection.
fn head(from: &mut BufReader<TcpStream>) -> std::io::Result<Option<(Request, usize)>> {
    let mut first = String::new();
    if from.read_line(&mut first)? == 0 {
        return Ok(None);
    }
    let mut words = first.split_whitespace().map(str::to_owned);
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut request = Request { method, target, headers: Vec::new(), body: Vec::new() };
    loop {
        let mut line = String::new();
        from.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        request.headers.push((name.to_owned(), value.trim().to_owned()));
    }
    let length = request.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    Ok(Some((request, length)))
}

/// Makes a connection end as a crash would end it, once it is dropped: not closed, but reset.
fn cut(stream: &TcpStream) -> std::io::Result<()> {
    socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO))
}

fn answer(
    mut client: &TcpStream,
    request: &Request,
    status: u16,
    code: &str,
    more: &str,
) -> std::io::Result<()> {
    let body = if request.method == "HEAD" {
        String::new()
    } else {
        format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>injected</Message>{more}</Error>")
    };
    let head = format!(
        "HTTP/1.1 {status} {code}\r\nContent-Type: application/xml\r\nContent-Length: {}",
        body.len()
    );
    client.write_all(format!("{head}\r\n\r\n{body}").as_bytes())
}

fn unchunked(mut chunks: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = chunks.windows(2).position(|two| two == b"\r\n") {
        let size = std::str::from_utf8(&chunks[..end]).unwrap();
        let size = usize::from_str_radix(size.split(';').next().unwrap().trim(), 16).unwrap();
        if size == 0 {
            break;
        }
        body.extend_from_slice(&chunks[end + 2..end + 2 + size]);
        chunks = &chunks[end + 2 + size + 2..];
    }
    body
}

#[test]
fn chunks_are_joined() {
    assert_eq!(unchunked(b"3\r\nabc\r\na;x=y\r\n0123456789\r\n0\r\n\r\n"), b"abc0123456789");
}
