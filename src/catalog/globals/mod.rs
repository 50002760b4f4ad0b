//! What a server has once, beside its databases: roles and who is a member of which, settings of roles, tablespaces,
//! privileges on parameters (PostgreSQL manual, chapters 22 and 23.6). `pg_dumpall --globals-only` knows the same.
//!
//! They are a section of the archive of their own, because they are not the database's: a restore brings them only on
//! request. Only [`reader`] talks to a server; what is to be done with them at a target is in `plan::globals`.

pub mod membership;
pub mod parameter;
pub mod password;
pub mod reader;
pub mod role;
pub mod tablespace;

use serde::{Deserialize, Serialize};

pub use membership::Membership;
pub use parameter::Parameter;
pub use password::PasswordHash;
pub use role::Role;
pub use tablespace::Tablespace;

use super::database::Setting;
use super::kind::null_as_default;
use crate::pg::ServerVersion;
use crate::pg::quote::literal;

/// The statement that sets a comment, or takes it away.
fn comment_on(identity: &str, comment: Option<&str>) -> String {
    format!("COMMENT ON {identity} IS {}", comment.map_or_else(|| "NULL".to_owned(), literal))
}

/// The version of the section's form that is written.
pub const FORMAT: u32 = 1;

/// What is wrong with the bytes of the section.
#[derive(Debug, thiserror::Error)]
#[error("the roles and tablespaces in the archive: {0}")]
pub struct GlobalsError(String);

/// Roles, tablespaces and the like of one server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Globals {
    /// See [`FORMAT`].
    pub format: u32,
    /// The server's version.
    pub server: ServerVersion,
    /// The role that `initdb` made, which owns what the server brings along and can never lose its rights.
    #[serde(default)]
    pub bootstrap: String,
    /// The server's own roles (`pg_…`), which others can be members of.
    #[serde(default, deserialize_with = "null_as_default")]
    pub built_in: Vec<String>,
    /// All other roles, by name.
    #[serde(default, deserialize_with = "null_as_default")]
    pub roles: Vec<Role>,
    /// Who is a member of what, by role, member and grantor.
    #[serde(default, deserialize_with = "null_as_default")]
    pub memberships: Vec<Membership>,
    /// `ALTER ROLE … SET`, in all databases; those without a role are of `ALTER ROLE ALL`.
    #[serde(default, deserialize_with = "null_as_default")]
    pub settings: Vec<Setting>,
    /// Tablespaces, by name; the server's own two among them.
    #[serde(default, deserialize_with = "null_as_default")]
    pub tablespaces: Vec<Tablespace>,
    /// Privileges on configuration parameters, by name (servers from 15).
    #[serde(default, deserialize_with = "null_as_default")]
    pub parameters: Vec<Parameter>,
    /// What could not be carried over, a sentence each.
    #[serde(default, deserialize_with = "null_as_default")]
    pub warnings: Vec<String>,
}

impl Globals {
    /// A server that has nothing but what `initdb` makes.
    pub fn fresh(server: ServerVersion, bootstrap: &str, built_in: &[String]) -> Self {
        let tablespace = |name: &str| Tablespace {
            name: name.to_owned(),
            owner: bootstrap.to_owned(),
            ..Tablespace::default()
        };
        Self {
            format: FORMAT,
            server,
            bootstrap: bootstrap.to_owned(),
            built_in: built_in.to_vec(),
            roles: vec![Role::bootstrap(bootstrap)],
            memberships: Vec::new(),
            settings: Vec::new(),
            tablespaces: [tablespace::DEFAULT, tablespace::GLOBAL].map(tablespace).to_vec(),
            parameters: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// A role by its name.
    pub fn role(&self, name: &str) -> Option<&Role> {
        self.roles.iter().find(|role| role.name == name)
    }

    /// A tablespace by its name.
    pub fn tablespace(&self, name: &str) -> Option<&Tablespace> {
        self.tablespaces.iter().find(|tablespace| tablespace.name == name)
    }

    /// Whether there is a role of this name, be it one of the server's own.
    pub fn knows_role(&self, name: &str) -> bool {
        self.role(name).is_some() || self.built_in.iter().any(|built_in| built_in == name)
    }

    /// Forgets all password hashes; gives how many there were.
    pub fn hide_passwords(&mut self) -> usize {
        self.roles.iter_mut().filter_map(|role| role.password.take()).count()
    }

    /// The bytes of the section: JSON, as [`super::encode`] says of the catalog.
    ///
    /// # Errors
    /// Never, for what was read from a server.
    pub fn encode(&self) -> Result<Vec<u8>, GlobalsError> {
        serde_json::to_vec(self).map_err(|error| GlobalsError(error.to_string()))
    }

    /// What these bytes hold. Never panics, whatever they are.
    ///
    /// # Errors
    /// When they are not such a section, or one of a later version that older readers cannot understand.
    pub fn decode(bytes: &[u8]) -> Result<Self, GlobalsError> {
        #[derive(Deserialize)]
        struct Version {
            format: u32,
        }
        let broken = |error: serde_json::Error| GlobalsError(error.to_string());
        let version: Version = serde_json::from_slice(bytes).map_err(broken)?;
        if version.format > FORMAT {
            return Err(GlobalsError(format!("version {} is newer than this program", version.format)));
        }
        serde_json::from_slice(bytes).map_err(broken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_fields_are_ignored_and_missing_ones_have_defaults() {
        let text = r#"{"format": 1, "server": 190001, "new": 1, "roles": [{"name": "r", "more": []}], "tablespaces": null,
            "memberships": [{"role": "r", "member": "m", "later": {}}]}"#;
        let globals = Globals::decode(text.as_bytes()).unwrap();
        assert_eq!(globals.role("r"), Some(&Role::plain("r")));
        assert_eq!((globals.memberships[0].inherit, globals.tablespaces.len()), (None, 0));
        assert_eq!(Globals::decode(&globals.encode().unwrap()).unwrap(), globals);
    }

    #[test]
    fn later_versions_and_garbage_are_refused() {
        let error = Globals::decode(br#"{"format": 2}"#).unwrap_err().to_string();
        assert!(error.ends_with("version 2 is newer than this program"), "{error}");
        for bytes in [&b""[..], b"[]", b"{\"format\": 1}", b"\xff"] {
            assert!(Globals::decode(bytes).is_err());
        }
    }

    #[test]
    fn passwords_are_hidden_and_never_shown() {
        let mut globals = Globals::fresh(ServerVersion(180_000), "postgres", &[]);
        globals.roles[0].password = Some(PasswordHash::new("SCRAM-SHA-256$planted"));
        assert!(!format!("{globals:?}").contains("planted"));
        assert!(String::from_utf8(globals.encode().unwrap()).unwrap().contains("planted"));
        assert_eq!(globals.hide_passwords(), 1);
        assert!(!String::from_utf8(globals.encode().unwrap()).unwrap().contains("planted"));
    }
}
