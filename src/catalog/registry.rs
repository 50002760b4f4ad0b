//! The one list of kinds. A new kind is its file in `kinds/` and one line here; a kind that lacks a part of
//! [`Kind`] does not compile.

use serde::{Deserialize, Serialize};

use super::kind::{Head, Kind, Target};
use super::{ident::ObjectId, kinds};
use crate::pg::ServerVersion;

macro_rules! kinds {
    ($($variant:ident($path:path) = $tag:literal;)*) => {
        /// An object of any kind, as the archive stores it: tagged with the kind's name.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "kind", content = "object")]
        pub enum Object {
            $(#[doc = concat!("A ", $tag, ".")] #[serde(rename = $tag)] $variant($path),)*
        }

        impl Object {
            /// The kind's name.
            pub fn kind(&self) -> &'static str {
                match self { $(Self::$variant(_) => <$path as Kind>::NAME,)* }
            }
            /// See [`Kind::identity`].
            pub fn identity(&self, head: &Head) -> String {
                match self { $(Self::$variant(o) => o.identity(head),)* }
            }
            /// See [`Kind::create`].
            pub fn create(&self, head: &Head, target: &Target) -> Vec<String> {
                match self { $(Self::$variant(o) => o.create(head, target),)* }
            }
            /// See [`Kind::drop`].
            pub fn drop(&self, head: &Head) -> String {
                match self { $(Self::$variant(o) => Kind::drop(o, head),)* }
            }
            /// See [`Kind::set_owner`].
            pub fn set_owner(&self, head: &Head, owner: &str) -> Option<String> {
                match self { $(Self::$variant(o) => o.set_owner(head, owner),)* }
            }
            /// See [`Kind::set_comment`].
            pub fn set_comment(&self, head: &Head, comment: &str) -> Option<String> {
                match self { $(Self::$variant(o) => o.set_comment(head, comment),)* }
            }
            /// See [`Kind::after_data_of`].
            pub fn after_data_of(&self) -> Vec<ObjectId> {
                match self { $(Self::$variant(o) => o.after_data_of(),)* }
            }
        }

        /// What the reader needs to know of each kind.
        pub const ALL: &[KindInfo] = &[
            $(KindInfo {
                name: <$path as Kind>::NAME,
                catalogs: <$path as Kind>::CATALOGS,
                query: <$path as Kind>::query,
                read: |json| serde_json::from_str::<$path>(json).map(Object::$variant),
            },)*
        ];
    };
}

/// One kind, for the reader and for the completeness test.
#[derive(Debug, Clone, Copy)]
pub struct KindInfo {
    /// [`Kind::NAME`].
    pub name: &'static str,
    /// [`Kind::CATALOGS`].
    pub catalogs: &'static [&'static str],
    /// [`Kind::query`].
    pub query: fn(ServerVersion) -> String,
    /// Makes the object of one row of the query.
    pub read: fn(&str) -> serde_json::Result<Object>,
}

kinds! {
    Schema(kinds::schema::Schema) = "schema";
    Extension(kinds::extension::Extension) = "extension";
    EnumType(kinds::enum_type::EnumType) = "enum type";
    Domain(kinds::domain::Domain) = "domain";
    DomainConstraint(kinds::domain_constraint::DomainConstraint) = "domain constraint";
    CompositeType(kinds::composite_type::CompositeType) = "composite type";
    RangeType(kinds::range_type::RangeType) = "range type";
    Function(kinds::function::Function) = "function";
    Procedure(kinds::procedure::Procedure) = "procedure";
    DefaultAcl(kinds::default_acl::DefaultAcl) = "default privileges";
}
