//! Nonces that are unique by construction.
//!
//! AES-GCM loses everything when a nonce repeats under one key. So nobody chooses a nonce here: a [`Ticket`] is issued
//! once by the one counter of an archive, cannot be copied, and is consumed by the encryption that uses it. The key
//! itself is derived from the archive's own random data key, so that two archives never share one.

use std::sync::atomic::{AtomicU64, Ordering};

/// Length of a nonce in bytes (NIST SP 800-38D, section 8.2.1: fixed field and invocation field).
pub const NONCE_BYTES: usize = 12;

/// Length of a nonce's fixed field in bytes.
pub const PREFIX_BYTES: usize = 4;

/// The right to seal one frame, at one place of the archive. Not `Clone`: it is used up by sealing.
#[derive(Debug)]
pub struct Ticket(u64);

impl Ticket {
    /// The frame's sequence number.
    pub const fn sequence(&self) -> u64 {
        self.0
    }
}

/// The counter that issues the tickets of one archive: 0, 1, 2…
#[derive(Debug, Default)]
pub struct Tickets(AtomicU64);

impl Tickets {
    /// A counter that begins at 0.
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Issues the next ticket. 2^64 frames are out of reach: at a million a second they take 584,000 years.
    pub fn issue(&self) -> Ticket {
        Ticket(self.0.fetch_add(1, Ordering::Relaxed))
    }

    /// How many tickets were issued.
    pub fn issued(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The nonce of the frame with this sequence number: the archive's prefix, then the number, big-endian.
pub fn nonce(prefix: [u8; PREFIX_BYTES], sequence: u64) -> [u8; NONCE_BYTES] {
    let [p0, p1, p2, p3] = prefix;
    let [s0, s1, s2, s3, s4, s5, s6, s7] = sequence.to_be_bytes();
    [p0, p1, p2, p3, s0, s1, s2, s3, s4, s5, s6, s7]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::sync::Mutex;

    #[test]
    fn threads_never_get_the_same_ticket() {
        let (tickets, seen) = (Tickets::new(), Mutex::new(HashSet::new()));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        let ticket = tickets.issue();
                        assert!(seen.lock().unwrap().insert(nonce([1, 2, 3, 4], ticket.sequence())));
                    }
                });
            }
        });
        assert_eq!(tickets.issued(), 4000);
    }

    #[test]
    fn a_nonce_is_prefix_and_big_endian_sequence() {
        assert_eq!(nonce([9, 8, 7, 6], 0x0102), [9, 8, 7, 6, 0, 0, 0, 0, 0, 0, 1, 2]);
    }
}
