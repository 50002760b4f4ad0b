//! Privileges on configuration parameters (`GRANT SET ON PARAMETER`, servers from 15).

use serde::{Deserialize, Serialize};

use crate::catalog::acl::AclItem;
use crate::catalog::database::parameter_name;
use crate::catalog::kind::null_as_default;
use crate::catalog::sql;

/// The privileges on one parameter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// The privileges, in the order of the server's array.
    #[serde(default, deserialize_with = "null_as_default")]
    pub acl: Vec<AclItem>,
}

impl Parameter {
    /// The query of all of them.
    pub(super) fn query() -> String {
        format!(
            "SELECT p.parname AS name, {acl} FROM pg_catalog.pg_parameter_acl p ORDER BY p.parname",
            acl = sql::acl("p.paracl")
        )
    }

    /// The parameter as `GRANT … ON` names it.
    pub fn identity(&self) -> String {
        format!("PARAMETER {}", parameter_name(&self.name))
    }
}
