//! Operators (`CREATE OPERATOR`, section 36.14). A commutator or negator that does not exist yet is made a shell by
//! the server and filled when its turn comes.

use serde::{Deserialize, Serialize};

use crate::catalog::ident::class;
use crate::catalog::kind::{Head, Kind, Target};
use crate::catalog::sql_types::{
    self, ARRAY_FUNCTIONS, Definition, InSchema, Name, function_name, is_old_polymorphic, operator_name,
    optional_type, takes_compatible_arrays,
};
use crate::pg::ServerVersion;

/// An operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operator {
    /// The type on the left; a prefix operator has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<String>,
    /// The type on the right; a postfix operator, which servers before 14 knew, has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub right: Option<String>,
    /// The function behind it.
    pub function: Name,
    /// The operator with both sides exchanged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commutator: Option<Name>,
    /// The operator that is true where this one is false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub negator: Option<Name>,
    /// The function that estimates its selectivity against a constant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restrict: Option<Name>,
    /// The function that estimates its selectivity in a join.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub join: Option<Name>,
    /// Whether it can be used for merge joins.
    #[serde(default)]
    pub merges: bool,
    /// Whether it can be used for hash joins.
    #[serde(default)]
    pub hashes: bool,
}

impl Kind for Operator {
    const NAME: &'static str = "operator";
    const CATALOGS: &'static [&'static str] = &["pg_operator"];

    fn query(_server: ServerVersion) -> String {
        let operators = InSchema {
            class: class::PG_OPERATOR,
            catalog: "pg_operator",
            prefix: "opr",
            owned: true,
            acl: false,
        };
        operators.query(
            &format!(
                "{left} AS \"left\", {right} AS \"right\", {function} AS function, {commutator} AS commutator, \
                 {negator} AS negator, {restrict} AS restrict, {join} AS \"join\", o.oprcanmerge AS merges, \
                 o.oprcanhash AS hashes",
                left = optional_type("o.oprleft"),
                right = optional_type("o.oprright"),
                function = function_name("o.oprcode"),
                commutator = operator_name("o.oprcom"),
                negator = operator_name("o.oprnegate"),
                restrict = function_name("o.oprrest"),
                join = function_name("o.oprjoin"),
            ),
            // Without a function it is a shell, which somebody's commutator left.
            "o.oprcode <> 0::pg_catalog.oid",
        )
    }

    fn identity(&self, head: &Head) -> String {
        let none = |side: &Option<String>| side.clone().unwrap_or_else(|| "NONE".to_owned());
        let schema = head.schema.as_deref().unwrap_or("pg_catalog");
        let name = sql_types::operator(schema, &head.name);
        format!("OPERATOR {name} ({}, {})", none(&self.left), none(&self.right))
    }

    fn inexpressible(&self, version: ServerVersion) -> Option<&'static str> {
        if self.right.is_none() && version.at_least(14) {
            return Some("postfix operators, which PostgreSQL 14 removed");
        }
        let polymorphic =
            [&self.left, &self.right].into_iter().flatten().any(|side| is_old_polymorphic(side));
        (polymorphic && takes_compatible_arrays(&self.function) && version.at_least(14))
            .then_some(ARRAY_FUNCTIONS)
    }

    fn create(&self, head: &Head, _target: &Target) -> Vec<String> {
        let mut definition = Definition::new();
        definition.name("FUNCTION", Some(&self.function));
        for (key, side) in [("LEFTARG", &self.left), ("RIGHTARG", &self.right)] {
            if let Some(side) = side {
                definition.set(key, &**side);
            }
        }
        definition
            .operator("COMMUTATOR", self.commutator.as_ref())
            .operator("NEGATOR", self.negator.as_ref());
        definition.name("RESTRICT", self.restrict.as_ref()).name("JOIN", self.join.as_ref());
        definition.flag("MERGES", self.merges).flag("HASHES", self.hashes);
        let schema = head.schema.as_deref().unwrap_or("pg_catalog");
        vec![format!("CREATE OPERATOR {} {}", sql_types::operator(schema, &head.name), definition.sql())]
    }
}
