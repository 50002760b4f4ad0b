//! A stream that takes COPY data out of a connection before `tokio-postgres` sees it.
//!
//! `tokio-postgres` hands out one item per row, which costs a fifth of a backup's CPU time. The tap lies between it
//! and the (decrypted) socket, follows the message boundaries of the protocol (PostgreSQL manual, section 55.7:
//! one type byte, then a length that counts itself), and while it is armed swallows the three messages of a copy-out:
//! `CopyOutResponse`, `CopyData`, `CopyDone`. Payloads are appended to blocks that end at row boundaries ("one
//! `CopyData` per row", section 55.2.6). The client library only sees `CommandComplete`, as if the statement had
//! returned nothing.
//!
//! Back-pressure: a full queue of blocks leaves the socket unread, so the server waits.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::{PollSemaphore, PollSender};

use crate::limits::{CHUNK_BYTES, LARGE_ROW_BYTES, MAX_ROW_BYTES};

/// Bytes read from the socket at once. Measured: more than 64 KiB brings nothing (the server sends 8 KiB buffers).
const READ_BYTES: usize = 64 << 10;

/// Length of a message's type byte and length word.
const HEAD: usize = 5;

/// The longest message taken before the session is ready. Whoever answers on the port is not authenticated yet, and
/// the client library reserves memory for the length that a message claims.
const MAX_EARLY_MESSAGE: usize = 1 << 20;

/// Blocks that may wait between the socket and whoever seals them.
const QUEUE: usize = 1;

/// A run of whole rows of COPY text.
#[derive(Debug)]
pub struct Block {
    /// The rows, each ending in a newline.
    pub bytes: Vec<u8>,
    /// How many.
    pub rows: u32,
    /// Held by a block with a large row until it is dropped: few of those exist at a time.
    #[expect(dead_code, reason = "held for its drop")]
    permit: Option<OwnedSemaphorePermit>,
    spare: Spare,
}

impl Drop for Block {
    fn drop(&mut self) {
        self.spare.put(std::mem::take(&mut self.bytes));
    }
}

/// Buffers of blocks that are done with: fresh memory costs a page fault for every 4 KiB.
#[derive(Debug, Clone, Default)]
struct Spare(Arc<Mutex<Vec<Vec<u8>>>>);

/// Bytes reserved for a block: it is full when it reaches a chunk's size, which the last row may exceed.
const BLOCK_BYTES: usize = CHUNK_BYTES + CHUNK_BYTES / 8;

impl Spare {
    fn put(&self, mut buffer: Vec<u8>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // One in the queue, one being sealed, one being filled. The memory of large rows is not kept.
        if buffer.capacity() == BLOCK_BYTES && kept.len() < QUEUE + 2 {
            buffer.clear();
            kept.push(buffer);
        }
    }

    fn take(&self) -> Vec<u8> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        kept.unwrap_or_else(|| Vec::with_capacity(BLOCK_BYTES))
    }
}

/// Admits large rows one at a time, over all connections of an operation, so that memory is bounded by the largest
/// row and not by their number.
#[derive(Debug, Clone)]
pub struct LargeRows(Arc<Semaphore>);

impl Default for LargeRows {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }
}

/// Arms the [`Tap`] of one connection.
#[derive(Debug, Clone)]
pub struct TapHandle {
    armed: Arc<Mutex<Option<Diversion>>>,
    spare: Spare,
}

impl TapHandle {
    /// Diverts the next copy-out of the connection into the returned queue, which closes when the copy ends, well or
    /// not: the statement's own result tells which, and how many rows there should be.
    pub fn divert(&self, large: &LargeRows) -> mpsc::Receiver<Block> {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let diversion = Diversion {
            sender: PollSender::new(sender),
            large: PollSemaphore::new(Arc::clone(&large.0)),
            spare: self.spare.clone(),
        };
        *self.armed.lock().unwrap_or_else(PoisonError::into_inner) = Some(diversion);
        receiver
    }

    /// Takes a diversion back that no copy-out used (the statement failed before it began).
    pub fn disarm(&self) {
        *self.armed.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

#[derive(Debug)]
struct Diversion {
    sender: PollSender<Block>,
    large: PollSemaphore,
    spare: Spare,
}

/// The block being filled, and where full ones go.
#[derive(Debug)]
struct Copying {
    to: Diversion,
    block: Vec<u8>,
    rows: u32,
    permit: Option<OwnedSemaphorePermit>,
    /// The receiver is gone: what still comes is thrown away until the server notices.
    discard: bool,
}

impl Copying {
    fn new(to: Diversion) -> Self {
        Self { to, block: Vec::new(), rows: 0, permit: None, discard: false }
    }

    /// Hands the current block on, if there is one.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.rows == 0 {
            return Poll::Ready(());
        }
        if !self.discard && ready!(self.to.sender.poll_reserve(cx)).is_err() {
            self.discard = true;
        }
        let block = Block {
            bytes: std::mem::take(&mut self.block),
            rows: std::mem::take(&mut self.rows),
            permit: self.permit.take(),
            spare: self.to.spare.clone(),
        };
        if !self.discard && self.to.sender.send_item(block).is_err() {
            self.discard = true;
        }
        Poll::Ready(())
    }

    /// Makes room for a row of `length` bytes: a large one gets a block of its own, and waits for its turn.
    fn poll_begin_row(&mut self, cx: &mut Context<'_>, length: usize) -> Poll<()> {
        if length >= LARGE_ROW_BYTES {
            ready!(self.poll_flush(cx));
            if self.permit.is_none() {
                self.permit = ready!(self.to.large.poll_acquire(cx));
            }
            self.block.reserve_exact(length);
        } else if self.block.capacity() == 0 {
            self.block = self.to.spare.take();
        }
        Poll::Ready(())
    }

    fn full(&self) -> bool {
        self.block.len() >= CHUNK_BYTES
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// At a message's start, with so many bytes of its head gathered.
    Head(usize),
    /// The head is complete and to be looked at.
    Decide,
    /// So many bytes, head included, go to the client library.
    Pass { head: usize, body: usize },
    /// So many bytes are dropped.
    Skip(usize),
    /// So many bytes of a row are still to come.
    Row(usize),
    /// A row is complete; a full block must be handed on.
    RowEnd,
    /// The copy is complete; the rest must be handed on, then so many bytes are dropped.
    End(usize),
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Tap<S> {
    inner: S,
    armed: Arc<Mutex<Option<Diversion>>>,
    copying: Option<Copying>,
    state: State,
    /// The first `ReadyForQuery` has passed.
    ready: bool,
    head: [u8; HEAD],
    buffer: Box<[u8]>,
    at: usize,
    filled: usize,
}

impl<S> Tap<S> {
    /// Wraps a stream on which the server's first message is still to come.
    pub fn new(inner: S) -> (Self, TapHandle) {
        let armed = Arc::new(Mutex::new(None));
        let handle = TapHandle { armed: Arc::clone(&armed), spare: Spare::default() };
        let tap = Self {
            inner,
            armed,
            copying: None,
            state: State::Head(0),
            ready: false,
            head: [0; HEAD],
            buffer: vec![0; READ_BYTES].into_boxed_slice(),
            at: 0,
            filled: 0,
        };
        (tap, handle)
    }

    /// At most `limit` of the bytes that are buffered.
    fn take(&mut self, limit: usize) -> &[u8] {
        let from = self.at;
        self.at = self.filled.min(from.saturating_add(limit));
        self.buffer.get(from..self.at).unwrap_or_default()
    }

    /// Looks at a complete head and says what becomes of the message.
    fn decide(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let [kind, a, b, c, d] = self.head;
        let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
        let Some(body) = length.checked_sub(4) else {
            return Poll::Ready(Err(invalid("the server sent a message with an impossible length")));
        };
        self.ready |= kind == b'Z';
        if body > MAX_ROW_BYTES || (!self.ready && body > MAX_EARLY_MESSAGE) {
            return Poll::Ready(Err(invalid("the server sent a message longer than PostgreSQL allows")));
        }
        if kind == b'H'
            && let Some(to) = self.armed.lock().unwrap_or_else(PoisonError::into_inner).take()
        {
            self.copying = Some(Copying::new(to));
        }
        self.state = match (&mut self.copying, kind) {
            (Some(_), b'H') => State::Skip(body),
            (Some(copying), b'd') => {
                if body > MAX_ROW_BYTES {
                    return Poll::Ready(Err(invalid("the server sent a row longer than PostgreSQL allows")));
                }
                ready!(copying.poll_begin_row(cx, body));
                State::Row(body)
            }
            (Some(_), b'c') => State::End(body),
            (copying, _) => {
                if kind == b'E' {
                    *copying = None;
                }
                State::Pass { head: HEAD, body }
            }
        };
        Poll::Ready(Ok(()))
    }

    /// Takes all that is buffered as far as it goes; ready when the buffer is empty or `out` is full.
    fn poll_process(&mut self, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            match self.state {
                State::Head(have) => {
                    if self.at == self.filled {
                        return Poll::Ready(Ok(()));
                    }
                    let part = self.buffer.get(self.at..self.filled).unwrap_or_default();
                    let mut taken = 0;
                    for (slot, byte) in self.head.iter_mut().skip(have).zip(part) {
                        *slot = *byte;
                        taken += 1;
                    }
                    self.at += taken;
                    let have = have + taken;
                    self.state = if have == HEAD { State::Decide } else { State::Head(have) };
                }
                State::Decide => ready!(self.decide(cx))?,
                State::Pass { head: 0, body: 0 } | State::Skip(0) => self.state = State::Head(0),
                State::Pass { head, body } => {
                    if !self.pass(head, body, out) {
                        return Poll::Ready(Ok(()));
                    }
                }
                State::Skip(left) => {
                    if self.at == self.filled {
                        return Poll::Ready(Ok(()));
                    }
                    let taken = self.take(left).len();
                    self.state = State::Skip(left.saturating_sub(taken));
                }
                State::Row(left) => {
                    if left > 0 && self.at == self.filled {
                        return Poll::Ready(Ok(()));
                    }
                    self.row(left)?;
                }
                State::RowEnd => {
                    if let Some(copying) = self.copying.as_mut().filter(|copying| copying.full()) {
                        ready!(copying.poll_flush(cx));
                    }
                    self.state = State::Head(0);
                }
                State::End(left) => {
                    if let Some(copying) = self.copying.as_mut() {
                        ready!(copying.poll_flush(cx));
                    }
                    self.copying = None;
                    self.state = State::Skip(left);
                }
            }
        }
    }

    /// Gives what it can of a message to the client library; false when `out` is full or the buffer empty.
    fn pass(&mut self, head: usize, body: usize, out: &mut ReadBuf<'_>) -> bool {
        if head > 0 {
            let room = out.remaining().min(head);
            let from = HEAD.saturating_sub(head);
            out.put_slice(self.head.get(from..from.saturating_add(room)).unwrap_or_default());
            self.state = State::Pass { head: head.saturating_sub(room), body };
            return room > 0;
        }
        let part = self.take(out.remaining().min(body));
        out.put_slice(part);
        let taken = part.len();
        self.state = State::Pass { head, body: body.saturating_sub(taken) };
        taken > 0
    }

    /// Appends what is buffered of a row, and then as many whole rows as follow in the buffer: the hot loop.
    fn row(&mut self, left: usize) -> io::Result<()> {
        let Some(copying) = self.copying.as_mut() else {
            return Err(invalid("copy data without a copy"));
        };
        let available = self.buffer.get(self.at..self.filled).unwrap_or_default();
        let (part, mut rest) = available.split_at(left.min(available.len()));
        copying.block.extend_from_slice(part);
        let left = left.saturating_sub(part.len());
        if left == 0 {
            end_row(copying)?;
            while let Some((&[b'd', a, b, c, d], body)) = rest.split_first_chunk::<HEAD>() {
                let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
                let Some(length) = length.checked_sub(4) else {
                    break;
                };
                if copying.full() || length > body.len() || copying.block.capacity() == 0 {
                    break;
                }
                let (row, after) = body.split_at(length);
                copying.block.extend_from_slice(row);
                end_row(copying)?;
                rest = after;
            }
            self.state = State::RowEnd;
        } else {
            self.state = State::Row(left);
        }
        self.at = self.filled.saturating_sub(rest.len());
        Ok(())
    }
}

/// Checks the promise that the rest of the engine builds on: one message is one row.
fn end_row(copying: &mut Copying) -> io::Result<()> {
    if copying.block.last() != Some(&b'\n') {
        return Err(invalid("the server sent COPY data that does not end at a row's end"));
    }
    copying.rows = copying.rows.checked_add(1).ok_or_else(|| invalid("too many rows in a block"))?;
    Ok(())
}

fn invalid(message: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

impl<S: AsyncRead + Unpin> AsyncRead for Tap<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = out.filled().len();
        loop {
            match this.poll_process(cx, out) {
                Poll::Ready(Ok(())) => {}
                // What was passed before a broken message is delivered first; the next call meets the error again.
                Poll::Ready(Err(error)) if out.filled().len() == before => return Poll::Ready(Err(error)),
                Poll::Ready(Err(_)) => return Poll::Ready(Ok(())),
                // Blocked by back-pressure; what was passed already must not wait for that.
                Poll::Pending if out.filled().len() > before => return Poll::Ready(Ok(())),
                Poll::Pending => return Poll::Pending,
            }
            if out.filled().len() > before || out.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            let mut buffer = ReadBuf::new(&mut this.buffer);
            ready!(Pin::new(&mut this.inner).poll_read(cx, &mut buffer))?;
            this.filled = buffer.filled().len();
            this.at = 0;
            if this.filled == 0 {
                this.copying = None;
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Tap<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let mut out = vec![kind];
        out.extend_from_slice(&u32::try_from(body.len() + 4).unwrap().to_be_bytes());
        out.extend_from_slice(body);
        out
    }

    /// A copy-out between two other messages, split at every boundary of `step` bytes.
    async fn run(step: usize, rows: &[Vec<u8>]) -> (Vec<u8>, Vec<u8>, u32) {
        let mut wire = message(b'Z', b"I");
        wire.extend(message(b'H', &[0, 0, 0]));
        for row in rows {
            wire.extend(message(b'd', row));
        }
        wire.extend(message(b'c', b""));
        wire.extend(message(b'C', b"COPY\0"));
        let mut mock = tokio_test_reader(&wire, step);
        let (mut tap, handle) = Tap::new(&mut mock);
        let mut blocks = handle.divert(&LargeRows::default());
        let collect = tokio::spawn(async move {
            let (mut bytes, mut count) = (Vec::new(), 0);
            while let Some(block) = blocks.recv().await {
                assert_eq!(bytecount(&block.bytes), block.rows);
                bytes.extend(&block.bytes);
                count += block.rows;
            }
            (bytes, count)
        });
        let mut passed = Vec::new();
        tap.read_to_end(&mut passed).await.unwrap();
        drop(tap);
        let (bytes, count) = collect.await.unwrap();
        (passed, bytes, count)
    }

    fn bytecount(bytes: &[u8]) -> u32 {
        u32::try_from(memchr::memchr_iter(b'\n', bytes).count()).unwrap()
    }

    struct Steps {
        wire: Vec<u8>,
        at: usize,
        step: usize,
    }
    fn tokio_test_reader(wire: &[u8], step: usize) -> Steps {
        Steps { wire: wire.to_vec(), at: 0, step }
    }
    impl AsyncRead for Steps {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            out: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            let end = self.wire.len().min(self.at + self.step.min(out.remaining()));
            out.put_slice(&self.wire[self.at..end]);
            self.at = end;
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn copy_data_is_diverted_and_all_else_passes_however_the_stream_is_cut() {
        let rows: Vec<Vec<u8>> = (0..300).map(|i| format!("{i}\tvalue {i}\n").into_bytes()).collect();
        let mut expected = message(b'Z', b"I");
        expected.extend(message(b'C', b"COPY\0"));
        for step in [1, 2, 3, 5, 7, 64, 4096, 1 << 20] {
            let (passed, bytes, count) = run(step, &rows).await;
            assert_eq!(passed, expected, "step {step}");
            assert_eq!(bytes, rows.concat(), "step {step}");
            assert_eq!(count, 300);
        }
    }

    #[tokio::test]
    async fn large_rows_have_blocks_of_their_own_and_chunks_end_at_rows() {
        let mut rows = vec![b"small\n".to_vec()];
        let mut large = vec![b'x'; LARGE_ROW_BYTES + 10];
        large.push(b'\n');
        rows.push(large.clone());
        rows.push(large);
        rows.push(b"small\n".to_vec());
        rows.extend((0..3000).map(|_| {
            let mut row = vec![b'y'; 999];
            row.push(b'\n');
            row
        }));
        let (_, bytes, count) = run(65536, &rows).await;
        assert_eq!(bytes, rows.concat());
        assert_eq!(count, 3004);
    }

    #[tokio::test]
    async fn a_stranger_cannot_make_us_reserve_memory() {
        let mut mock = tokio_test_reader(&[b'R', 0x7f, 0xff, 0xff, 0xff], 5);
        let (mut tap, _handle) = Tap::new(&mut mock);
        let error = tap.read_to_end(&mut Vec::new()).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }

    #[tokio::test]
    async fn a_message_that_is_no_whole_row_is_refused() {
        let mut wire = message(b'Z', b"I");
        wire.extend(message(b'H', &[0, 0, 0]));
        wire.extend(message(b'd', b"half a row"));
        let mut mock = tokio_test_reader(&wire, 4096);
        let (mut tap, handle) = Tap::new(&mut mock);
        let _blocks = handle.divert(&LargeRows::default());
        let error = tap.read_to_end(&mut Vec::new()).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }

    #[tokio::test]
    async fn an_error_in_the_middle_closes_the_queue_and_passes() {
        let mut wire = message(b'H', &[0, 0, 0]);
        wire.extend(message(b'd', b"1\n"));
        wire.extend(message(b'E', b"bad\0"));
        let mut mock = tokio_test_reader(&wire, 4096);
        let (mut tap, handle) = Tap::new(&mut mock);
        let mut blocks = handle.divert(&LargeRows::default());
        let mut passed = Vec::new();
        tap.read_to_end(&mut passed).await.unwrap();
        assert_eq!(passed, message(b'E', b"bad\0"));
        assert!(blocks.recv().await.is_none(), "an unfinished block is not handed on");
    }
}
