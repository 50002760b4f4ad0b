//! Sealing: bytes are compressed, encrypted and checked, and the key to them is wrapped for those who may read.
//!
//! This module knows nothing of archives, servers or stores. `docs/format.md` specifies every byte it makes.
//!
//! * [`compress`] zstd with reused contexts, and decompression that a hostile length cannot blow up,
//! * [`aead`] AES-256-GCM with nonces that cannot repeat ([`nonce`]),
//! * [`data_key`] the random key of one archive and the keys derived from it,
//! * [`recipient`] wrapping that key for a passphrase or an age recipient.

pub mod aead;
pub mod compress;
pub mod data_key;
mod error;
pub mod nonce;
pub mod recipient;

pub use error::SealError;
