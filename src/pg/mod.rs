//! All talk with a server: connections by libpq's conventions, session settings, snapshots, COPY in and out, quoting.

pub mod copy;
pub mod quote;
pub mod version;

pub use version::ServerVersion;
