//! One file per kind of object.

pub mod schema;
