//! Operator families (`CREATE OPERATOR FAMILY`, section 36.16) with the members that belong to no class of theirs.

use serde::{Deserialize, Serialize};

use crate::catalog::ident::class;
use crate::catalog::kind::{Head, Kind, Target, null_as_default};
use crate::catalog::sql_types::{
    InSchema, Name, Signature, function_signature, operator_name, opfamily_name, type_text,
};
use crate::pg::{ServerVersion, quote};

/// OID of `pg_amop`, fixed in PostgreSQL's headers.
pub(super) const PG_AMOP: u32 = 2602;
/// OID of `pg_amproc`, fixed in PostgreSQL's headers.
pub(super) const PG_AMPROC: u32 = 2603;

/// An operator family.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorFamily {
    /// The index access method.
    pub method: String,
    /// Its loose members.
    #[serde(flatten)]
    pub members: Members,
}

/// Members of an operator class or family.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Members {
    /// The operators.
    #[serde(default, deserialize_with = "null_as_default")]
    pub operators: Vec<MemberOperator>,
    /// The support functions.
    #[serde(default, deserialize_with = "null_as_default")]
    pub functions: Vec<MemberFunction>,
}

/// An operator of a class or family.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberOperator {
    /// The strategy number.
    pub number: i32,
    /// The operator.
    pub operator: Name,
    /// Its types, left and right.
    pub types: (String, String),
    /// The family that orders its results, for ordering operators.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_by: Option<Name>,
}

/// A support function of a class or family.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberFunction {
    /// The support number.
    pub number: i32,
    /// The types that it is for.
    pub types: (String, String),
    /// The function.
    pub function: Signature,
}

impl Members {
    /// The columns of [`Members`], and `also`: the members' identities, so that what they depend on counts for the
    /// class or family `o`, whose catalog is `catalog`.
    pub fn columns(catalog: u32) -> String {
        let of = |member: u32| {
            format!(
                "JOIN pg_catalog.pg_depend d ON d.classid = {member} AND d.objid = m.oid \
                 AND d.refclassid = {catalog} AND d.refobjid = o.oid"
            )
        };
        Self::columns_of(&of(PG_AMOP), &of(PG_AMPROC))
    }

    /// As [`Members::columns`], for the rows `m` of `pg_amop` and `pg_amproc` that these clauses choose.
    pub fn columns_of(amop: &str, amproc: &str) -> String {
        format!(
            "(SELECT pg_catalog.json_agg(pg_catalog.json_build_object('number', m.amopstrategy, 'operator', {operator}, \
             'types', pg_catalog.json_build_array({op_left}, {op_right}), 'order_by', {order_by}) \
             ORDER BY m.amopstrategy, {op_left}, {op_right}) FROM pg_catalog.pg_amop m {amop}) AS operators, \
             (SELECT pg_catalog.json_agg(pg_catalog.json_build_object('number', m.amprocnum, \
             'types', pg_catalog.json_build_array({left}, {right}), 'function', {function}) \
             ORDER BY m.amprocnum, {left}, {right}) FROM pg_catalog.pg_amproc m {amproc}) AS functions, \
             (SELECT pg_catalog.json_agg(u.id) FROM (\
             SELECT pg_catalog.json_build_array({PG_AMOP}, m.oid::pg_catalog.int8) AS id FROM pg_catalog.pg_amop m {amop} \
             UNION ALL SELECT pg_catalog.json_build_array({PG_AMPROC}, m.oid::pg_catalog.int8) FROM pg_catalog.pg_amproc m {amproc}) u) AS also",
            operator = operator_name("m.amopopr"),
            op_left = type_text("m.amoplefttype"),
            op_right = type_text("m.amoprighttype"),
            order_by = opfamily_name("m.amopsortfamily"),
            left = type_text("m.amproclefttype"),
            right = type_text("m.amprocrighttype"),
            function = function_signature("m.amproc"),
        )
    }

    /// The members as `CREATE OPERATOR CLASS` and `ALTER OPERATOR FAMILY … ADD` list them.
    pub fn list(&self) -> Vec<String> {
        let operators = self.operators.iter().map(|m| {
            let order =
                m.order_by.as_ref().map_or_else(String::new, |f| format!(" FOR ORDER BY {}", f.sql()));
            format!("OPERATOR {} {} ({}, {}){order}", m.number, m.operator.operator(), m.types.0, m.types.1)
        });
        let functions = self
            .functions
            .iter()
            .map(|m| format!("FUNCTION {} ({}, {}) {}", m.number, m.types.0, m.types.1, m.function.sql()));
        operators.chain(functions).collect()
    }
}

impl Kind for OperatorFamily {
    const NAME: &'static str = "operator family";
    const CATALOGS: &'static [&'static str] = &["pg_opfamily", "pg_amop", "pg_amproc"];

    fn query(_server: ServerVersion) -> String {
        let families = InSchema {
            class: class::PG_OPFAMILY,
            catalog: "pg_opfamily",
            prefix: "opf",
            owned: true,
            acl: false,
        };
        families.query(
            &format!(
                "(SELECT a.amname FROM pg_catalog.pg_am a WHERE a.oid = o.opfmethod) AS method, {}",
                Members::columns(class::PG_OPFAMILY)
            ),
            "true",
        )
    }

    fn identity(&self, head: &Head) -> String {
        format!("OPERATOR FAMILY {} USING {}", head.qualified(), quote::ident(&self.method))
    }

    fn create(&self, head: &Head, _target: &Target) -> Vec<String> {
        let mut statements = vec![format!("CREATE {}", self.identity(head))];
        let members = self.members.list();
        if !members.is_empty() {
            statements.push(format!("ALTER {} ADD\n    {}", self.identity(head), members.join(",\n    ")));
        }
        statements
    }
}
