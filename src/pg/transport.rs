//! The byte stream to one address: socket, its options, TLS.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream as DriverTls};
use tokio_rustls::client::TlsStream;

use super::bulk_socket::BulkSocket;
use super::options::{TcpOptions, TlsOptions};
use super::tls;

/// `SSLRequest` (manual, section 54.7): length 8, code 80877103.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// One address of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// A stream to a server.
#[derive(Debug)]
pub(crate) enum Transport {
    Tcp(TcpStream),
    Unix(UnixStream),
    Bulk(BulkSocket),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Why a stream could not be had.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The socket or the peer: another address may do.
    Socket(String),
    /// The server has no TLS.
    NoTls,
    /// TLS was begun and failed.
    Tls(String),
}

/// Whether and how a stream is made secure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Security {
    Plain,
    /// TLS or nothing.
    Tls,
    /// TLS, and plaintext if the server has none.
    TlsIfOffered,
}

/// A stream with the hash of the certificate that secures it.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) transport: Transport,
    pub(crate) end_point: Option<Vec<u8>>,
}

impl Opened {
    pub(crate) fn is_tls(&self) -> bool {
        matches!(self.transport, Transport::Tls(_))
    }

    /// Has a plain socket read by a thread of its own. TLS stays as it is: deciphering is what costs there.
    pub(crate) fn for_bulk_reads(self) -> io::Result<Self> {
        let transport = match self.transport {
            Transport::Tcp(stream) => Transport::Bulk(BulkSocket::new(stream.into_std()?.into())?),
            Transport::Unix(stream) => Transport::Bulk(BulkSocket::new(stream.into_std()?.into())?),
            other @ (Transport::Bulk(_) | Transport::Tls(_)) => other,
        };
        Ok(Self { transport, ..self })
    }
}

/// Connects to an address and secures the stream.
pub(crate) async fn open(
    address: &Address,
    host: &str,
    security: Security,
    tcp: &TcpOptions,
    tls: &TlsOptions,
) -> Result<Opened, Failure> {
    let socket = |error: io::Error| Failure::Socket(error.to_string());
    let mut stream = match address {
        Address::Unix(path) => {
            let stream = UnixStream::connect(path).await.map_err(socket)?;
            return Ok(Opened { transport: Transport::Unix(stream), end_point: None });
        }
        Address::Tcp(address) => TcpStream::connect(address).await.map_err(socket)?,
    };
    set_options(&stream, tcp).map_err(socket)?;
    if security == Security::Plain {
        return Ok(Opened { transport: Transport::Tcp(stream), end_point: None });
    }
    if !tls.direct && !request_tls(&mut stream).await? {
        return match security {
            Security::TlsIfOffered => Ok(Opened { transport: Transport::Tcp(stream), end_point: None }),
            Security::Tls | Security::Plain => Err(Failure::NoTls),
        };
    }
    let secured = tls::handshake(stream, host, tls).await.map_err(Failure::Tls)?;
    Ok(Opened { transport: Transport::Tls(secured.stream), end_point: secured.end_point })
}

/// Asks for TLS. Exactly one byte is read, so that nothing sent in clear can be mistaken for the secured stream
/// (CVE-2021-23222).
async fn request_tls(stream: &mut TcpStream) -> Result<bool, Failure> {
    let lost = |error: io::Error| Failure::Socket(format!("while asking for TLS: {error}"));
    stream.write_all(&SSL_REQUEST).await.map_err(lost)?;
    let mut answer = [0];
    stream.read_exact(&mut answer).await.map_err(lost)?;
    match answer {
        [b'S'] => Ok(true),
        [b'N'] => Ok(false),
        // Whatever follows an 'E' is not authenticated and is not shown (CVE-2024-10977).
        [b'E'] => Err(Failure::Socket("the server answered the request for TLS with an error".to_owned())),
        _ => Err(Failure::Socket("the answer to the request for TLS is not PostgreSQL's".to_owned())),
    }
}

fn set_options(stream: &TcpStream, options: &TcpOptions) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = socket2::SockRef::from(stream);
    if options.keepalives {
        socket.set_keepalive(true)?;
        let mut keepalive = socket2::TcpKeepalive::new();
        if let Some(idle) = options.idle {
            keepalive = keepalive.with_time(idle);
        }
        if let Some(interval) = options.interval {
            keepalive = keepalive.with_interval(interval);
        }
        if let Some(count) = options.count {
            keepalive = keepalive.with_retries(count);
        }
        socket.set_tcp_keepalive(&keepalive)?;
    }
    #[cfg(target_os = "linux")]
    if options.user_timeout.is_some() {
        socket.set_tcp_user_timeout(options.user_timeout)?;
    }
    Ok(())
}

impl AsyncRead for Transport {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Bulk(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Bulk(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
            Self::Bulk(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Bulk(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// Stands where the driver expects a TLS library: the stream is secured already, so it is handed through with the
/// hash of its certificate.
#[derive(Debug, Clone, Default)]
pub(crate) struct Passthrough {
    pub(crate) end_point: Option<Vec<u8>>,
}

/// A stream as [`Passthrough`] hands it to the driver.
#[derive(Debug)]
pub(crate) struct Bound<S> {
    inner: S,
    end_point: Option<Vec<u8>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsConnect<S> for Passthrough {
    type Stream = Bound<S>;
    type Error = std::convert::Infallible;
    type Future = std::future::Ready<Result<Bound<S>, Self::Error>>;

    fn connect(self, inner: S) -> Self::Future {
        std::future::ready(Ok(Bound { inner, end_point: self.end_point }))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> DriverTls for Bound<S> {
    fn channel_binding(&self) -> ChannelBinding {
        self.end_point.clone().map_or_else(ChannelBinding::none, ChannelBinding::tls_server_end_point)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Bound<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Bound<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
