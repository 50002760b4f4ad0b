//! Roles (`CREATE ROLE`, PostgreSQL manual, chapter 22).

use serde::{Deserialize, Serialize};

use super::{PasswordHash, comment_on};
use crate::catalog::kind::{SecurityLabel, null_as_default};
use crate::pg::quote::{ident, literal};

/// A role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    /// Its name, not quoted.
    pub name: String,
    /// Whether it may do everything.
    #[serde(default)]
    pub superuser: bool,
    /// Whether it has the privileges of the roles that it is a member of without asking; from 16 on, the default of
    /// new memberships.
    #[serde(default = "yes")]
    pub inherit: bool,
    /// Whether it may create roles.
    #[serde(default)]
    pub create_role: bool,
    /// Whether it may create databases.
    #[serde(default)]
    pub create_db: bool,
    /// Whether it may log in.
    #[serde(default)]
    pub login: bool,
    /// Whether it may replicate.
    #[serde(default)]
    pub replication: bool,
    /// Whether row-level security does not hold for it.
    #[serde(default)]
    pub bypass_rls: bool,
    /// How many sessions it may have; -1 is no limit.
    #[serde(default = "no_limit")]
    pub connection_limit: i32,
    /// Until when its password is valid: `timestamptz` in UTC, or `infinity`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<String>,
    /// The hash of its password, if the backup was asked for those.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<PasswordHash>,
    /// Its comment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Its security labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub labels: Vec<SecurityLabel>,
}

const fn yes() -> bool {
    true
}

const fn no_limit() -> i32 {
    -1
}

/// What a role needs to be given an attribute, besides the right to create roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gives {
    /// Nothing.
    Anybody,
    /// To be a superuser.
    Superuser,
    /// To be a superuser, or from 16 on to have the attribute itself.
    Holder,
}

/// One attribute in which two roles differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    /// The clause of `CREATE ROLE` and `ALTER ROLE` that makes it what it should be.
    pub clause: String,
    /// The clause as a report may show it.
    pub told: String,
    /// Who can give it.
    pub gives: Gives,
}

/// The clauses of these attributes, each with a blank before it.
pub fn clauses(attributes: &[Attribute]) -> String {
    attributes.iter().map(|attribute| [" ", &attribute.clause].concat()).collect()
}

/// The same as a report may show it.
pub fn told(attributes: &[Attribute]) -> String {
    attributes.iter().map(|attribute| [" ", &attribute.told].concat()).collect()
}

/// An attribute that is there or not: its word, who can give it, whether a role has it.
type Flag = (&'static str, Gives, fn(&Role) -> bool);

const FLAGS: [Flag; 7] = [
    ("SUPERUSER", Gives::Superuser, |role| role.superuser),
    ("INHERIT", Gives::Anybody, |role| role.inherit),
    ("CREATEROLE", Gives::Anybody, |role| role.create_role),
    ("CREATEDB", Gives::Holder, |role| role.create_db),
    ("LOGIN", Gives::Anybody, |role| role.login),
    ("REPLICATION", Gives::Holder, |role| role.replication),
    ("BYPASSRLS", Gives::Holder, |role| role.bypass_rls),
];

impl Role {
    /// What `CREATE ROLE` makes without any clause.
    pub fn plain(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            superuser: false,
            inherit: true,
            create_role: false,
            create_db: false,
            login: false,
            replication: false,
            bypass_rls: false,
            connection_limit: no_limit(),
            valid_until: None,
            password: None,
            comment: None,
            labels: Vec::new(),
        }
    }

    /// What `initdb` makes.
    pub fn bootstrap(name: &str) -> Self {
        Self {
            superuser: true,
            create_role: true,
            create_db: true,
            login: true,
            replication: true,
            bypass_rls: true,
            ..Self::plain(name)
        }
    }

    /// The query of all roles; `bootstrap` and `built_in` tell the server's own.
    pub(super) fn query() -> &'static str {
        "SELECT r.rolname AS name, r.oid::pg_catalog.int8 = 10 AS bootstrap, r.rolname ~ '^pg_' AS built_in, \
         r.rolsuper AS superuser, r.rolinherit AS inherit, r.rolcreaterole AS create_role, r.rolcreatedb AS create_db, \
         r.rolcanlogin AS login, r.rolreplication AS replication, r.rolbypassrls AS bypass_rls, \
         r.rolconnlimit AS connection_limit, r.rolvaliduntil::pg_catalog.text AS valid_until \
         FROM pg_catalog.pg_roles r ORDER BY r.rolname"
    }

    /// The role as statements name it.
    pub fn identity(&self) -> String {
        format!("ROLE {}", ident(&self.name))
    }

    /// In what `present` is not as this role is; not the password, of which may be unknown what it is.
    pub fn differs_from(&self, present: &Self) -> Vec<Attribute> {
        let mut list = Vec::new();
        let mut add = |clause: String, gives| list.push(Attribute { told: clause.clone(), clause, gives });
        for (word, gives, has) in FLAGS {
            match (has(self), has(present)) {
                (true, false) => add(word.to_owned(), gives),
                (false, true) => add(format!("NO{word}"), gives),
                _ => {}
            }
        }
        if self.connection_limit != present.connection_limit {
            add(format!("CONNECTION LIMIT {}", self.connection_limit), Gives::Anybody);
        }
        if self.valid_until != present.valid_until {
            let until = self.valid_until.as_deref().unwrap_or("infinity");
            add(format!("VALID UNTIL {}", literal(until)), Gives::Anybody);
        }
        list
    }

    /// The clause that sets the password.
    pub fn password_clause(&self) -> Option<Attribute> {
        let hash = self.password.as_ref()?;
        let clause = format!("PASSWORD {}", literal(hash.expose()));
        Some(Attribute { clause, told: "PASSWORD".to_owned(), gives: Gives::Anybody })
    }

    /// The statement that sets the comment, or takes it away.
    pub fn comment_statement(&self) -> String {
        comment_on(&self.identity(), self.comment.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_said() {
        let role = Role {
            login: true,
            inherit: false,
            connection_limit: 3,
            valid_until: Some("infinity".to_owned()),
            ..Role::plain("a\"b")
        };
        let clauses = |list: Vec<Attribute>| list.into_iter().map(|a| a.clause).collect::<Vec<_>>().join(" ");
        assert_eq!(
            clauses(role.differs_from(&Role::plain("x"))),
            "NOINHERIT LOGIN CONNECTION LIMIT 3 VALID UNTIL 'infinity'"
        );
        assert_eq!(
            clauses(Role::plain("x").differs_from(&Role::bootstrap("y"))),
            "NOSUPERUSER NOCREATEROLE NOCREATEDB NOLOGIN NOREPLICATION NOBYPASSRLS"
        );
        assert!(role.differs_from(&role).is_empty());
        assert_eq!(role.comment_statement(), "COMMENT ON ROLE \"a\"\"b\" IS NULL");
    }

    #[test]
    fn the_hash_of_a_password_is_only_in_its_clause() {
        let role = Role { password: Some(PasswordHash::new("md5'x")), ..Role::plain("r") };
        let clause = role.password_clause().unwrap();
        assert_eq!((clause.clause.as_str(), clause.told.as_str()), ("PASSWORD 'md5''x'", "PASSWORD"));
    }
}
