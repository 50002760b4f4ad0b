//! Operator classes (`CREATE OPERATOR CLASS`, section 36.16).

use serde::{Deserialize, Serialize};

use super::operator_family::Members;
use crate::catalog::ident::class;
use crate::catalog::kind::{Head, Kind, Target};
use crate::catalog::sql_types::{InSchema, Name, opfamily_name, optional_type, type_text};
use crate::pg::{ServerVersion, quote};

/// An operator class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorClass {
    /// The index access method.
    pub method: String,
    /// The type that it is for.
    #[serde(rename = "type")]
    pub type_text: String,
    /// Whether it is the type's default.
    pub default: bool,
    /// The family that it is in.
    pub family: Name,
    /// The type that the index stores, where it is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<String>,
    /// Its members.
    #[serde(flatten)]
    pub members: Members,
}

impl Kind for OperatorClass {
    const NAME: &'static str = "operator class";
    const CATALOGS: &'static [&'static str] = &["pg_opclass", "pg_amop", "pg_amproc"];

    fn query(_server: ServerVersion) -> String {
        let classes = InSchema {
            class: class::PG_OPCLASS,
            catalog: "pg_opclass",
            prefix: "opc",
            owned: true,
            acl: false,
        };
        classes.query(
            &format!(
                "(SELECT a.amname FROM pg_catalog.pg_am a WHERE a.oid = o.opcmethod) AS method, \
                 {type_text} AS type, o.opcdefault AS \"default\", {family} AS family, {storage} AS storage, {members}",
                type_text = type_text("o.opcintype"),
                family = opfamily_name("o.opcfamily"),
                storage = optional_type("o.opckeytype"),
                members = Members::columns(class::PG_OPCLASS),
            ),
            "true",
        )
    }

    fn identity(&self, head: &Head) -> String {
        format!("OPERATOR CLASS {} USING {}", head.qualified(), quote::ident(&self.method))
    }

    fn create(&self, head: &Head, _target: &Target) -> Vec<String> {
        let mut members: Vec<String> =
            self.storage.iter().map(|storage| format!("STORAGE {storage}")).collect();
        members.extend(self.members.list());
        if members.is_empty() {
            // The syntax wants one item, and this one says nothing new.
            members.push(format!("STORAGE {}", self.type_text));
        }
        vec![format!(
            "CREATE OPERATOR CLASS {}{} FOR TYPE {} USING {} FAMILY {} AS\n    {}",
            head.qualified(),
            if self.default { " DEFAULT" } else { "" },
            self.type_text,
            quote::ident(&self.method),
            self.family.sql(),
            members.join(",\n    ")
        )]
    }
}
