//! All talk with a server: connections by libpq's conventions, session settings, snapshots, COPY in and out, quoting.

pub mod error;
pub mod options;
pub mod params;
mod pgpass;
pub mod quote;
pub mod secret;
mod service;
mod uri;
pub mod version;

pub use error::PgError;
pub use options::ConnectOptions;
pub use params::EnvLookup;
pub use secret::Secret;
pub use version::ServerVersion;
