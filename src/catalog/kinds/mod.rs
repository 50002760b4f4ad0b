//! One file per kind of object.

pub mod column;
pub mod composite_type;
pub mod default_acl;
pub mod domain;
pub mod domain_constraint;
pub mod enum_type;
pub mod extension;
pub mod foreign_key;
pub mod function;
pub mod index;
pub mod key_constraint;
pub mod materialized_view;
pub mod policy;
pub mod procedure;
pub mod range_type;
pub mod rule;
pub mod schema;
pub mod sequence;
pub mod sequence_owner;
pub mod statistics;
pub mod table;
pub mod table_constraint;
pub mod trigger;
pub mod view;
