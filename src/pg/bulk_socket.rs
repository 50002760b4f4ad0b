//! A plain socket read by a thread of its own, for connections that send us far more than we send them.
//!
//! The server hands COPY data to the kernel 8 KiB at a time. An event loop is woken for every one of them, and each
//! wake-up interrupts a processor that has rows to format or to compress: measured, a tenth of a backup's CPU time.
//! The thread here sleeps a moment instead, so that the next read takes what has gathered, and wakes the event loop
//! once for all of it.

use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::{Arc, mpsc as blocking};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;
use tokio::time::{Sleep, sleep};

/// Bytes handed on at once, at most.
const BUFFER_BYTES: usize = 256 << 10;

/// One buffer is filled while the other is used.
const BUFFERS: usize = 2;

/// A read of at least this much means that the server is in the middle of something long: its own buffer is as large.
const STREAMING: usize = 8 << 10;

/// How long what the server sends may gather, at least and at most. The pause follows the server's pace, so that about
/// [`GATHER_BYTES`] come together.
const PAUSE: (Duration, Duration) = (Duration::from_micros(100), Duration::from_millis(4));

/// What one pause is to bring. A socket of a local connection holds some 200 KiB; a full one keeps the server waiting.
const GATHER_BYTES: (usize, usize) = (48 << 10, 112 << 10);

/// A buffer with so much in it is handed on.
const ENOUGH: usize = 192 << 10;

/// How often a full send buffer is tried again. What is sent here is SQL, so it hardly ever is.
const RETRY: Duration = Duration::from_millis(1);

/// Stack of the reading thread: it calls the kernel and a queue.
const STACK_BYTES: usize = 128 << 10;

#[derive(Debug)]
struct Piece {
    bytes: Box<[u8]>,
    filled: usize,
}

/// The socket; dropping it ends the thread.
#[derive(Debug)]
pub(crate) struct BulkSocket {
    socket: Arc<OwnedFd>,
    pieces: mpsc::Receiver<io::Result<Piece>>,
    used: blocking::SyncSender<Box<[u8]>>,
    current: Option<(Piece, usize)>,
    retry: Option<Pin<Box<Sleep>>>,
}

impl BulkSocket {
    /// Takes a connected socket over.
    ///
    /// # Errors
    /// When the socket cannot be made blocking or no thread can be had.
    pub(crate) fn new(socket: OwnedFd) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&socket, false)?;
        let socket = Arc::new(socket);
        let (sender, pieces) = mpsc::channel(BUFFERS);
        let (used, free) = blocking::sync_channel(BUFFERS);
        for _ in 0..BUFFERS {
            // The receiver is right here, and there is room for all.
            drop(used.try_send(vec![0; BUFFER_BYTES].into_boxed_slice()));
        }
        let reading = Arc::clone(&socket);
        std::thread::Builder::new()
            .name("pgcask-socket".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || read_all(&reading, &free, &sender))?;
        Ok(Self { socket, pieces, used, current: None, retry: None })
    }
}

impl Drop for BulkSocket {
    fn drop(&mut self) {
        // The thread may be waiting in a read. A socket that is closed already needs no closing.
        shutdown(&self.socket, Shutdown::Both).ok();
    }
}

/// The thread: fills buffers until the stream ends, fails, or nobody wants it.
fn read_all(
    socket: &OwnedFd,
    free: &blocking::Receiver<Box<[u8]>>,
    pieces: &mpsc::Sender<io::Result<Piece>>,
) {
    let mut pause = PAUSE.0;
    while let Ok(mut bytes) = free.recv() {
        let piece = fill(socket, &mut bytes, &mut pause).map(|filled| Piece { bytes, filled });
        let over = !matches!(&piece, Ok(piece) if piece.filled > 0);
        if pieces.blocking_send(piece).is_err() || over {
            return;
        }
    }
}

/// Waits for bytes, and for more if the server is streaming; 0 is the end of the stream.
fn fill(socket: &OwnedFd, bytes: &mut [u8], pause: &mut Duration) -> io::Result<usize> {
    let mut filled = receive(socket, bytes, RecvFlags::empty())?;
    if filled < STREAMING {
        return Ok(filled);
    }
    while filled < ENOUGH
        && let Some(rest) = bytes.get_mut(filled..)
    {
        std::thread::sleep(*pause);
        // An error is met again by the next, waiting read, and so is the end.
        let more = receive(socket, rest, RecvFlags::DONTWAIT).unwrap_or(0);
        filled = filled.saturating_add(more);
        if more > GATHER_BYTES.1 {
            *pause = PAUSE.0.max(*pause / 2);
        } else if more < GATHER_BYTES.0 {
            *pause = PAUSE.1.min(*pause * 2);
        }
        if more < STREAMING {
            break;
        }
    }
    Ok(filled)
}

fn receive(socket: &OwnedFd, bytes: &mut [u8], flags: RecvFlags) -> io::Result<usize> {
    loop {
        match recv(socket, &mut *bytes, flags) {
            Ok((received, _)) => return Ok(received),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

impl AsyncRead for BulkSocket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if let Some((piece, at)) = &mut this.current {
                let rest = piece.bytes.get(*at..piece.filled).unwrap_or_default();
                let part = rest.get(..rest.len().min(out.remaining())).unwrap_or_default();
                out.put_slice(part);
                *at += part.len();
                if *at < piece.filled {
                    return Poll::Ready(Ok(()));
                }
                if let Some((piece, _)) = this.current.take() {
                    // The thread ends when the stream does; it needs no buffer then.
                    drop(this.used.try_send(piece.bytes));
                }
                return Poll::Ready(Ok(()));
            }
            match ready!(this.pieces.poll_recv(cx)).transpose()? {
                Some(piece) if piece.filled > 0 => this.current = Some((piece, 0)),
                Some(_) | None => return Poll::Ready(Ok(())),
            }
        }
    }
}

impl AsyncWrite for BulkSocket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        loop {
            if let Some(retry) = &mut this.retry {
                ready!(retry.as_mut().poll(cx));
                this.retry = None;
            }
            match send(&this.socket, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Ok(sent) => return Poll::Ready(Ok(sent)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => this.retry = Some(Box::pin(sleep(RETRY))),
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match shutdown(&self.socket, Shutdown::Write) {
            Ok(()) | Err(Errno::NOTCONN) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(error.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixStream;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    fn pair() -> (UnixStream, BulkSocket) {
        let (peer, ours) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        (peer, BulkSocket::new(ours.into()).unwrap())
    }

    #[tokio::test]
    async fn a_long_stream_arrives_whole_however_it_is_sent() {
        let (mut peer, mut ours) = pair();
        let sent: Vec<u8> = (0..3_000_000u32).map(|i| u8::try_from(i % 251).unwrap()).collect();
        let expected = sent.clone();
        let sending = std::thread::spawn(move || {
            for (piece, size) in sent.chunks(8192).zip([8192usize, 1, 700, 8192].into_iter().cycle()) {
                let (a, b) = piece.split_at(size.min(piece.len()));
                peer.write_all(a).unwrap();
                peer.write_all(b).unwrap();
            }
        });
        let mut got = Vec::new();
        ours.read_to_end(&mut got).await.unwrap();
        sending.join().unwrap();
        assert_eq!(got.len(), expected.len());
        assert!(got == expected);
    }

    #[tokio::test]
    async fn a_short_answer_does_not_wait_for_more() {
        let (mut peer, mut ours) = pair();
        peer.write_all(b"answer").unwrap();
        let mut got = [0; 6];
        ours.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"answer");
        drop(peer);
        assert_eq!(ours.read(&mut got).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn a_send_buffer_that_is_full_empties_in_time() {
        let (mut peer, mut ours) = pair();
        let reading = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(50));
            let mut all = Vec::new();
            peer.read_to_end(&mut all).unwrap();
            all.len()
        });
        ours.write_all(&vec![7; 2 << 20]).await.unwrap();
        ours.shutdown().await.unwrap();
        assert_eq!(reading.join().unwrap(), 2 << 20);
    }

    #[tokio::test]
    async fn the_peer_sees_the_end_when_the_socket_is_dropped() {
        let (mut peer, ours) = pair();
        drop(ours);
        let mut rest = Vec::new();
        assert_eq!(peer.read_to_end(&mut rest).unwrap(), 0);
    }
}
