//! The integration tests: one binary, grouped by what a user would lose.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::unwrap_in_result,
    clippy::format_collect,
    reason = "test code may panic and print"
)]

mod archive;
mod connect;
mod faults;
mod harness;
mod pooler;
mod reading;
mod roundtrip;
mod s3;
