//! All talk with a server: connections by libpq's conventions, session settings, snapshots, COPY in and out, quoting.

mod bulk_socket;
pub mod cancel;
mod connect;
pub mod copy;
pub mod error;
pub mod foreign_key;
mod hosts;
mod link;
pub mod load;
pub mod lock;
pub mod lock_room;
pub mod options;
pub mod params;
mod pgpass;
mod pooler;
pub mod quote;
mod report;
pub mod secret;
mod service;
pub mod session;
pub mod settings;
pub mod snapshot;
mod tls;
mod tls_cert;
mod tls_options;
mod transport;
mod uri;
pub mod version;

pub use error::PgError;
pub use options::ConnectOptions;
pub use params::EnvLookup;
pub use secret::Secret;
pub use session::Session;
pub use settings::SessionKind;
pub use snapshot::Snapshot;
pub use version::ServerVersion;
