//! Tablespaces (`CREATE TABLESPACE`, PostgreSQL manual, section 23.6).

use serde::{Deserialize, Serialize};

use super::comment_on;
use crate::catalog::acl::AclItem;
use crate::catalog::kind::{SecurityLabel, null_as_default};
use crate::catalog::sql;
use crate::pg::quote::{ident, literal};

/// Where databases are unless they say otherwise.
pub const DEFAULT: &str = "pg_default";
/// Where the server keeps what all databases share.
pub const GLOBAL: &str = "pg_global";

/// A tablespace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tablespace {
    /// Its name, not quoted.
    pub name: String,
    /// Its owner.
    #[serde(default)]
    pub owner: String,
    /// Its folder on the server's host; empty for one within the data folder (`allow_in_place_tablespaces`), and for the
    /// server's own two.
    #[serde(default)]
    pub location: String,
    /// Its parameters (`name=value`).
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub options: Vec<String>,
    /// Its privileges, where they are not the default ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acl: Option<Vec<AclItem>>,
    /// Its comment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Its security labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub labels: Vec<SecurityLabel>,
}

impl Tablespace {
    /// The query of all tablespaces. One within the data folder says a relative path.
    pub(super) fn query() -> &'static str {
        "SELECT t.spcname AS name, pg_catalog.pg_get_userbyid(t.spcowner) AS owner, \
         CASE WHEN l.path ~ '^pg_tblspc' THEN '' ELSE coalesce(l.path, '') END AS location, t.spcoptions AS options \
         FROM pg_catalog.pg_tablespace t, LATERAL pg_catalog.pg_tablespace_location(t.oid) l(path) ORDER BY t.spcname"
    }

    /// Whether `initdb` made it.
    pub fn is_built_in(&self) -> bool {
        self.name == DEFAULT || self.name == GLOBAL
    }

    /// The tablespace as statements name it.
    pub fn identity(&self) -> String {
        format!("TABLESPACE {}", ident(&self.name))
    }

    /// The statement that creates it in a folder. It runs in no transaction.
    pub fn create(&self, owner: Option<&str>, location: &str) -> String {
        let owner = owner.map_or_else(String::new, |owner| format!(" OWNER {}", ident(owner)));
        let with = self.with().map_or_else(String::new, |options| format!(" WITH ({options})"));
        format!("CREATE {}{owner} LOCATION {}{with}", self.identity(), literal(location))
    }

    fn with(&self) -> Option<String> {
        (!self.options.is_empty()).then(|| sql::options(&self.options))
    }

    /// The statements that turn the parameters of `present` into this one's.
    pub fn set_options(&self, present: &Self) -> Vec<String> {
        let name = |option: &String| option.split('=').next().unwrap_or_default().to_owned();
        let gone =
            present.options.iter().map(name).filter(|gone| !self.options.iter().any(|o| name(o) == *gone));
        let gone: Vec<String> = gone.map(|name| ident(&name)).collect();
        let reset =
            (!gone.is_empty()).then(|| format!("ALTER {} RESET ({})", self.identity(), gone.join(", ")));
        let set = self.with().map(|options| format!("ALTER {} SET ({options})", self.identity()));
        reset.into_iter().chain(set).collect()
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
    fn names_folders_and_parameters_are_quoted() {
        let space = Tablespace {
            name: "T \"1\"".to_owned(),
            options: vec!["random_page_cost=1.1".to_owned()],
            ..Tablespace::default()
        };
        assert_eq!(
            space.create(Some("o"), "/it's"),
            "CREATE TABLESPACE \"T \"\"1\"\"\" OWNER \"o\" LOCATION '/it''s' WITH (\"random_page_cost\"='1.1')"
        );
        let other = Tablespace { options: vec!["seq_page_cost=2".to_owned()], ..space.clone() };
        assert_eq!(
            space.set_options(&other),
            [
                "ALTER TABLESPACE \"T \"\"1\"\"\" RESET (\"seq_page_cost\")",
                "ALTER TABLESPACE \"T \"\"1\"\"\" SET (\"random_page_cost\"='1.1')"
            ]
        );
    }
}
