//! One file per kind of object.

pub mod composite_type;
pub mod default_acl;
pub mod domain;
pub mod domain_constraint;
pub mod enum_type;
pub mod extension;
pub mod function;
pub mod procedure;
pub mod range_type;
pub mod schema;
