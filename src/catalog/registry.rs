//! The one list of kinds. A new kind is its file in `kinds/` and one line here; a kind that lacks a part of
//! [`Kind`] does not compile.

use serde::{Deserialize, Serialize};

use super::acl::{AclClass, AclItem};
use super::facts::Presence;
use super::ident::ObjectId;
use super::kind::{Head, Kind, Target};
use super::kinds;
use super::kinds::column::Column;
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
            /// See [`Kind::acl_target`].
            pub fn acl_target(&self, head: &Head) -> Option<(AclClass, String)> {
                match self { $(Self::$variant(o) => o.acl_target(head),)* }
            }
            /// See [`Kind::column_acls`].
            pub fn column_acls(&self) -> Vec<(String, Vec<AclItem>)> {
                match self { $(Self::$variant(o) => o.column_acls(),)* }
            }
            /// See [`Kind::column_name`].
            pub fn column_name(&self, number: i16) -> Option<String> {
                match self { $(Self::$variant(o) => o.column_name(number),)* }
            }
            /// See [`Kind::detached_ids`].
            pub fn detached_ids(&self) -> Vec<ObjectId> {
                match self { $(Self::$variant(o) => o.detached_ids(),)* }
            }
            /// See [`Kind::columns`].
            pub fn columns(&self) -> &[Column] {
                match self { $(Self::$variant(o) => o.columns(),)* }
            }
            /// See [`Kind::columns_mut`].
            pub fn columns_mut(&mut self) -> &mut [Column] {
                match self { $(Self::$variant(o) => o.columns_mut(),)* }
            }
            /// See [`Kind::inexpressible`].
            pub fn inexpressible(&self, version: ServerVersion) -> Option<&'static str> {
                match self { $(Self::$variant(o) => o.inexpressible(version),)* }
            }
            /// See [`Kind::warnings`].
            pub fn warnings(&self, head: &Head) -> Vec<String> {
                match self { $(Self::$variant(o) => o.warnings(head),)* }
            }
            /// See [`Kind::create_without_detached`].
            pub fn create_without_detached(&self, head: &Head, target: &Target) -> Vec<String> {
                match self { $(Self::$variant(o) => o.create_without_detached(head, target),)* }
            }
            /// See [`Kind::create_detached`].
            pub fn create_detached(&self, head: &Head, target: &Target) -> Vec<String> {
                match self { $(Self::$variant(o) => o.create_detached(head, target),)* }
            }
            /// See [`Kind::partition_of`].
            pub fn partition_of(&self) -> Option<ObjectId> {
                match self { $(Self::$variant(o) => o.partition_of(),)* }
            }
            /// See [`Kind::tablespace`].
            pub fn tablespace(&self) -> Option<String> {
                match self { $(Self::$variant(o) => o.tablespace(),)* }
            }
            /// See [`Kind::forget_tablespace`].
            pub fn forget_tablespace(&mut self) {
                match self { $(Self::$variant(o) => o.forget_tablespace(),)* }
            }
            /// See [`Kind::roles`].
            pub fn roles(&self) -> Vec<&str> {
                match self { $(Self::$variant(o) => o.roles(),)* }
            }
            /// See [`Kind::access_method`].
            pub fn access_method(&self) -> Option<String> {
                match self { $(Self::$variant(o) => o.access_method(),)* }
            }
            /// See [`Kind::is_filled`].
            pub fn is_filled(&self) -> bool {
                match self { $(Self::$variant(o) => o.is_filled(),)* }
            }
            /// See [`Kind::after_all_data`].
            pub fn after_all_data(&self) -> bool {
                match self { $(Self::$variant(o) => o.after_all_data(),)* }
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
                only_with: <$path as Kind>::ONLY_WITH,
                query: <$path as Kind>::query,
                read: |row| serde_json::from_str::<$path>(row).map(Object::$variant),
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
    /// [`Kind::ONLY_WITH`].
    pub only_with: Option<Presence>,
    /// [`Kind::query`].
    pub query: fn(ServerVersion) -> String,
    /// Makes the object of one row of the query, given as JSON.
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
    ShellType(kinds::shell_type::ShellType) = "shell type";
    BaseType(kinds::base_type::BaseType) = "type";
    Aggregate(kinds::aggregate::Aggregate) = "aggregate";
    Language(kinds::language::Language) = "language";
    Transform(kinds::transform::Transform) = "transform";
    Cast(kinds::cast::Cast) = "cast";
    Collation(kinds::collation::Collation) = "collation";
    Conversion(kinds::conversion::Conversion) = "conversion";
    Operator(kinds::operator::Operator) = "operator";
    OperatorFamily(kinds::operator_family::OperatorFamily) = "operator family";
    FamilyMembers(kinds::family_members::FamilyMembers) = "operator family members";
    OperatorClass(kinds::operator_class::OperatorClass) = "operator class";
    AccessMethod(kinds::access_method::AccessMethod) = "access method";
    TsParser(kinds::ts_parser::TsParser) = "text search parser";
    TsTemplate(kinds::ts_template::TsTemplate) = "text search template";
    TsDictionary(kinds::ts_dictionary::TsDictionary) = "text search dictionary";
    TsConfig(kinds::ts_config::TsConfig) = "text search configuration";
    ForeignDataWrapper(kinds::foreign_data_wrapper::ForeignDataWrapper) = "foreign-data wrapper";
    ForeignServer(kinds::foreign_server::ForeignServer) = "foreign server";
    UserMapping(kinds::user_mapping::UserMapping) = "user mapping";
    EventTrigger(kinds::event_trigger::EventTrigger) = "event trigger";
    SystemOwner(kinds::system_owner::SystemOwner) = "system owner";
    SystemLabel(kinds::system_label::SystemLabel) = "system label";
    SystemAcl(kinds::system_acl::SystemAcl) = "system privileges";
    Publication(kinds::publication::Publication) = "publication";
    Subscription(kinds::subscription::Subscription) = "subscription";
    Sequence(kinds::sequence::Sequence) = "sequence";
    Table(kinds::table::Table) = "table";
    ForeignTable(kinds::foreign_table::ForeignTable) = "foreign table";
    IdentitySequence(kinds::identity_sequence::IdentitySequence) = "identity sequence";
    SequenceOwner(kinds::sequence_owner::SequenceOwner) = "sequence owner";
    View(kinds::view::View) = "view";
    MaterializedView(kinds::materialized_view::MaterializedView) = "materialized view";
    Index(kinds::index::Index) = "index";
    KeyConstraint(kinds::key_constraint::KeyConstraint) = "key constraint";
    ReplicaIdentity(kinds::replica_identity::ReplicaIdentity) = "replica identity";
    LateConstraint(kinds::table_constraint::LateConstraint) = "table constraint";
    ForeignKey(kinds::foreign_key::ForeignKey) = "foreign key";
    Statistics(kinds::statistics::Statistics) = "statistics";
    Trigger(kinds::trigger::Trigger) = "trigger";
    Rule(kinds::rule::Rule) = "rule";
    Policy(kinds::policy::Policy) = "policy";
}
