//! Privileges: as data, decoded by the server's `aclexplode`, never as raw `aclitem` text (its quoting of role names
//! depends on the server's locale).

use serde::{Deserialize, Serialize};

/// One privilege that one role granted to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AclItem {
    /// Who granted it.
    pub grantor: String,
    /// Who has it; `None` is `PUBLIC`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grantee: Option<String>,
    /// The privilege: `SELECT`, `USAGE`…
    pub privilege: String,
    /// Whether with grant option.
    #[serde(default)]
    pub grantable: bool,
}
