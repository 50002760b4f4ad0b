//! Two things at once. To put a large catalog together, and to write it, keeps one processor busy for as long as reading it
//! keeps the server.

/// Does both, the first one on a thread of its own.
pub(super) fn both<A: Send, B>(first: impl FnOnce() -> A + Send, second: impl FnOnce() -> B) -> (A, B) {
    std::thread::scope(|scope| {
        let first = scope.spawn(first);
        let second = second();
        let first = first.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        (first, second)
    })
}
