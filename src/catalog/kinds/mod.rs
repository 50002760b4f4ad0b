//! One file per kind of object.

pub mod column;
pub mod foreign_key;
pub mod index;
pub mod key_constraint;
pub mod materialized_view;
pub mod policy;
pub mod rule;
pub mod schema;
pub mod sequence;
pub mod sequence_owner;
pub mod statistics;
pub mod table;
pub mod table_constraint;
pub mod trigger;
pub mod view;
