//! Where archives lie: a directory or an object store, alike. Bytes only: nothing of PostgreSQL or of the archive's
//! format is known here.

pub mod account;
mod again;
pub mod archives;
pub mod beside;
pub mod cache;
pub mod error;
pub mod find;
mod flush;
pub mod get;
pub mod list;
pub mod location;
pub mod locks;
pub mod naming;
pub mod notes;
pub mod objects;
mod patience;
pub mod probe;
pub mod publish;
pub mod put;
pub mod room;
mod s3;
pub mod safety;
pub mod searched;
pub mod sidecar;
pub mod unfinished;

pub use error::StoreError;
pub use location::{Location, Store};
pub use s3::{LockMode, Protection};
