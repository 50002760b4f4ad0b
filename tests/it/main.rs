//! The integration tests: one binary, grouped by what a user would lose.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "test code may panic and print"
)]

mod archive;
mod connect;
mod harness;
mod pooler;
mod roundtrip;
