//! What is in a database: one file per kind of object under [`kinds`], one line each in [`registry`].
//!
//! A kind states the query that reads it, the struct that is stored in the archive, and the SQL that recreates it.
//! Only [`reader`] and [`globals::reader`] talk to a server. Objects are data; SQL is made at restore time, for the target's version and the
//! operator's choices.

pub mod acl;
pub mod acting;
mod both;
pub mod database;
pub mod encode;
pub mod facts;
pub mod fingerprint;
pub mod forms;
pub mod globals;
pub mod ident;
pub mod kind;
pub mod kinds;
pub mod large_object;
pub mod mend;
pub mod model;
pub mod not_utf8;
pub mod profile;
pub mod reader;
pub mod registry;
pub mod secrets;
pub mod sql;
pub mod sql_types;
pub mod text_order;
pub mod unclaimed;
