//! The daily life of backups: when they run, how long each is kept, what nobody may remove, who did what, and who is told.

pub mod audit;
pub mod doctor;
pub mod erasure;
pub mod hold;
pub(crate) mod http;
pub mod lock;
pub mod notify;
pub mod prune;
pub mod reading;
pub mod retention;
pub mod schedule;

pub use crate::actor::Actor;
