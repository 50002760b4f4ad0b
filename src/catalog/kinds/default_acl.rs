//! Default privileges (`ALTER DEFAULT PRIVILEGES`): what later objects of a role get. They are restored last, or they
//! would widen the privileges of what is being restored.

use serde::{Deserialize, Serialize};

use crate::catalog::acl::{self, AclItem};
use crate::catalog::ident::class;
use crate::catalog::kind::{Head, Kind, Target, null_as_default};
use crate::catalog::sql;
use crate::pg::{ServerVersion, quote};

/// The default privileges of one role for one sort of object, in one schema (the head's) or in all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DefaultAcl {
    /// The role whose objects they are for.
    pub role: String,
    /// The sort of object, as `pg_default_acl.defaclobjtype`: `r` tables, `S` sequences, `f` functions, `T` types,
    /// `n` schemas, `L` large objects.
    pub object_type: char,
    /// The privileges that such objects get, in the order of the server's array.
    #[serde(default, deserialize_with = "null_as_default")]
    pub privileges: Vec<AclItem>,
    /// The privileges that they got if nothing were set. Those of a schema are added to these, so it has none.
    #[serde(default, deserialize_with = "null_as_default")]
    pub baseline: Vec<AclItem>,
}

/// The privileges of one grantee, by one grantor: one `aclitem`.
struct Entry<'a> {
    grantee: Option<&'a str>,
    plain: Vec<&'a str>,
    grantable: Vec<&'a str>,
}

/// The items grouped as the server's array has them. The grantor is always the role itself, so it is not compared.
fn entries(items: &[AclItem]) -> Vec<Entry<'_>> {
    let mut entries: Vec<Entry<'_>> = Vec::new();
    for item in items {
        let grantee = item.grantee.as_deref();
        if entries.last().is_none_or(|last| last.grantee != grantee) {
            entries.push(Entry { grantee, plain: Vec::new(), grantable: Vec::new() });
        }
        if let Some(last) = entries.last_mut() {
            if item.grantable { &mut last.grantable } else { &mut last.plain }.push(&item.privilege);
        }
    }
    entries
}

impl Entry<'_> {
    fn grantee(&self) -> String {
        self.grantee.map_or_else(|| "PUBLIC".to_owned(), quote::ident)
    }

    fn same(&self, other: &Entry<'_>) -> bool {
        self.grantee == other.grantee && self.plain == other.plain && self.grantable == other.grantable
    }
}

impl DefaultAcl {
    fn objects(&self) -> &'static str {
        match self.object_type {
            'r' => "TABLES",
            'S' => "SEQUENCES",
            'f' => "FUNCTIONS",
            'T' => "TYPES",
            'n' => "SCHEMAS",
            _ => "LARGE OBJECTS",
        }
    }

    fn prefix(&self, head: &Head) -> String {
        let schema =
            head.schema.as_deref().map_or_else(String::new, |s| format!(" IN SCHEMA {}", quote::ident(s)));
        format!("ALTER DEFAULT PRIVILEGES FOR ROLE {}{schema}", quote::ident(&self.role))
    }

    /// The statements that turn the privileges `from` into `to`. What both start with stays; the rest is revoked and
    /// granted anew, so that the server's array ends up in the same order.
    fn change(
        &self,
        head: &Head,
        from: &[AclItem],
        to: &[AclItem],
        knows: impl Fn(&str) -> bool,
    ) -> Vec<String> {
        let (prefix, objects) = (self.prefix(head), self.objects());
        let (from, to) = (entries(from), entries(to));
        let kept: Vec<&Entry<'_>> =
            to.iter().take_while(|entry| from.iter().any(|f| f.same(entry))).collect();
        // What is kept must stand in the same order in both, or the array would keep the old order.
        let mut rest = from.iter();
        let kept = kept.iter().take_while(|entry| rest.any(|f| f.same(entry))).count();
        let (kept, granted) = to.split_at(kept);
        let revoked = from.iter().filter(|f| !kept.iter().any(|k| k.same(f)));
        let list = |privileges: &[&str]| {
            let known: Vec<&str> = privileges.iter().copied().filter(|p| knows(p)).collect();
            known.join(", ")
        };
        // Privileges are named one by one, never `ALL`: what only the target knows stays as it is there.
        let mut statements = Vec::new();
        for entry in revoked {
            let list = list(&[&entry.plain[..], &entry.grantable[..]].concat());
            if !list.is_empty() {
                let grantee = entry.grantee();
                statements.push(format!("{prefix} REVOKE {list} ON {objects} FROM {grantee}"));
            }
        }
        for entry in granted {
            for (privileges, option) in [(&entry.plain, ""), (&entry.grantable, " WITH GRANT OPTION")] {
                let list = list(privileges);
                if !list.is_empty() {
                    let grantee = entry.grantee();
                    statements.push(format!("{prefix} GRANT {list} ON {objects} TO {grantee}{option}"));
                }
            }
        }
        statements
    }
}

impl Kind for DefaultAcl {
    const NAME: &'static str = "default privileges";
    const CATALOGS: &'static [&'static str] = &["pg_default_acl"];

    fn query(_server: ServerVersion) -> String {
        // acldefault() names sequences by a small letter.
        let default = "pg_catalog.acldefault(CASE o.defaclobjtype WHEN 'S' THEN 's' ELSE o.defaclobjtype END::pg_catalog.\"char\", \
             o.defaclrole)";
        format!(
            "SELECT {id}, n.nspname AS schema, pg_catalog.pg_get_userbyid(o.defaclrole) AS name, \
             pg_catalog.pg_get_userbyid(o.defaclrole) AS role, o.defaclobjtype AS object_type, \
             {privileges} AS privileges, {baseline} AS baseline \
             FROM pg_catalog.pg_default_acl o LEFT JOIN pg_catalog.pg_namespace n ON n.oid = o.defaclnamespace",
            id = sql::id(class::PG_DEFAULT_ACL, "o.oid"),
            privileges = sql::acl_json("o.defaclacl"),
            baseline = sql::acl_json(&format!("CASE WHEN o.defaclnamespace = 0 THEN {default} END")),
        )
    }

    /// For messages: default privileges have no name, bear no comment and no owner.
    fn identity(&self, head: &Head) -> String {
        format!("{} ON {}", self.prefix(head), self.objects())
    }

    fn create(&self, head: &Head, target: &Target) -> Vec<String> {
        let knows = |privilege: &str| privilege != "MAINTAIN" || target.version.at_least(17);
        if self.object_type == 'L' && !target.version.at_least(18) {
            return Vec::new();
        }
        self.change(head, &self.baseline, &self.privileges, knows)
    }

    fn drop(&self, head: &Head) -> String {
        self.change(head, &self.privileges, &self.baseline, |_| true).join("; ")
    }

    fn roles(&self) -> Vec<&str> {
        std::iter::once(self.role.as_str()).chain(acl::parties(&self.privileges)).collect()
    }

    fn set_owner(&self, _head: &Head, _owner: &str) -> Option<String> {
        None
    }

    fn set_comment(&self, _head: &Head, _comment: &str) -> Option<String> {
        None
    }
}
