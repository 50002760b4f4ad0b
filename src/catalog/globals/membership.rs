//! Who is a member of which role (`GRANT role TO role`).
//!
//! From 16 on a membership has options of its own and may exist once for each grantor; before, `pg_auth_members` named
//! a grantor that nobody checked and that may be gone.

use serde::{Deserialize, Serialize};

use crate::pg::ServerVersion;
use crate::pg::quote::ident;

/// One membership.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Membership {
    /// The role that another is a member of.
    pub role: String,
    /// The member.
    pub member: String,
    /// Who granted it, where that role still exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grantor: Option<String>,
    /// Whether the member may grant it on.
    #[serde(default)]
    pub admin: bool,
    /// Whether the member has the role's privileges without asking; before 16 the member's own attribute says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inherit: Option<bool>,
    /// Whether the member may `SET ROLE`; before 16 it always may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set: Option<bool>,
}

impl Membership {
    /// The query of all memberships but those of the server's own roles in one another. Roles that no longer exist are
    /// null, with their OIDs beside.
    pub(super) fn query(server: ServerVersion) -> String {
        let options = if server.at_least(16) {
            "a.inherit_option AS inherit, a.set_option AS set"
        } else {
            "NULL::pg_catalog.bool AS inherit, NULL::pg_catalog.bool AS set"
        };
        format!(
            "SELECT r.rolname AS role, m.rolname AS member, g.rolname AS grantor, a.admin_option AS admin, {options}, \
             a.roleid::pg_catalog.int8 AS role_oid, a.member::pg_catalog.int8 AS member_oid \
             FROM pg_catalog.pg_auth_members a \
             LEFT JOIN pg_catalog.pg_roles r ON r.oid = a.roleid \
             LEFT JOIN pg_catalog.pg_roles m ON m.oid = a.member \
             LEFT JOIN pg_catalog.pg_roles g ON g.oid = a.grantor \
             WHERE NOT (coalesce(r.rolname, '') ~ '^pg_' AND coalesce(m.rolname, '') ~ '^pg_') \
             ORDER BY r.rolname, m.rolname, g.rolname"
        )
    }

    /// The statement that makes it at a server of this version.
    pub fn grant(&self, target: ServerVersion, grantor: Option<&str>) -> String {
        let word = |on: bool| if on { "TRUE" } else { "FALSE" };
        let mut options = Vec::new();
        match (self.inherit, self.set) {
            (Some(inherit), Some(set)) if target.at_least(16) => {
                options.push(format!("ADMIN {}", word(self.admin)));
                options.push(format!("INHERIT {}", word(inherit)));
                options.push(format!("SET {}", word(set)));
            }
            _ if self.admin => options.push("ADMIN OPTION".to_owned()),
            _ => {}
        }
        let with = if options.is_empty() { String::new() } else { format!(" WITH {}", options.join(", ")) };
        let by = grantor.map_or_else(String::new, |grantor| format!(" GRANTED BY {}", ident(grantor)));
        format!("GRANT {} TO {}{with}{by}", ident(&self.role), ident(&self.member))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_said_where_the_server_knows_them() {
        let old = Membership {
            role: "r".to_owned(),
            member: "m".to_owned(),
            grantor: None,
            admin: false,
            inherit: None,
            set: None,
        };
        let new = Membership { admin: true, inherit: Some(false), set: Some(true), ..old.clone() };
        let (fifteen, eighteen) = (ServerVersion(150_000), ServerVersion(180_000));
        assert_eq!(old.grant(eighteen, None), "GRANT \"r\" TO \"m\"");
        assert_eq!(new.grant(fifteen, Some("g")), "GRANT \"r\" TO \"m\" WITH ADMIN OPTION GRANTED BY \"g\"");
        assert_eq!(
            new.grant(eighteen, None),
            "GRANT \"r\" TO \"m\" WITH ADMIN TRUE, INHERIT FALSE, SET TRUE"
        );
    }
}
