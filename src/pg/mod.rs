//! All talk with a server: connections by libpq's conventions, session settings, snapshots, COPY in and out, quoting.

mod connect;
pub mod copy;
pub mod error;
mod link;
pub mod options;
pub mod params;
mod pgpass;
pub mod quote;
pub mod secret;
mod service;
mod tls;
mod tls_cert;
mod transport;
mod uri;
pub mod version;

pub use error::PgError;
pub use options::ConnectOptions;
pub use params::EnvLookup;
pub use secret::Secret;
pub use version::ServerVersion;
