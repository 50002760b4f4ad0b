//! Where archives lie: a directory or an object store, alike. Bytes only: nothing of PostgreSQL or of the archive's
//! format is known here.

pub mod account;
pub mod beside;
pub mod error;
pub mod find;
pub mod get;
pub mod list;
pub mod location;
pub mod naming;
mod patience;
pub mod publish;
pub mod put;
pub mod sidecar;

pub use error::StoreError;
pub use location::{Location, Store};
