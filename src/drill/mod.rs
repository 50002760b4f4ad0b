//! Proves that a backup can be restored: a quick test of the archive alone, and a drill that restores it.
//!
//! ```text
//! test    archive ─▶ sidecars, size, key, every byte, metadata, age ─▶ table of checks
//! drill   the same, then: a server of its own (or a named one) ─▶ restore ─▶ proof ─▶ removal ─▶ record, report
//! ```

pub mod check;
pub mod quick;
pub mod text;

pub use check::{Check, Outcome, Verdict};
pub use quick::{AGE, ArchiveFacts, Keys, Quick, QuickOptions, quick};
