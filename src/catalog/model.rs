//! All objects of a database, with what they depend on.

use std::collections::{BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use super::acl;
use super::acting::Acting;
use super::database::DatabaseInfo;
use super::ident::ObjectId;
use super::kind::{Head, Target};
use super::registry::Object;
use crate::pg::ServerVersion;
use crate::pg::quote;

/// One object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// What every object has.
    pub head: Head,
    /// What its kind has.
    #[serde(flatten)]
    pub object: Object,
}

/// The catalog of one database.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// Version of this form; see [`super::encode`].
    pub format: u32,
    /// The server it was read from.
    pub server: ServerVersion,
    /// The database.
    pub database: DatabaseInfo,
    /// The objects, in the order of the registry's kinds.
    pub entries: Vec<Entry>,
    /// What could not be carried over, a sentence each.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// Where a sequence stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SequenceValue {
    /// The sequence.
    pub object: ObjectId,
    /// The sequence's schema.
    pub schema: String,
    /// The sequence's name.
    pub name: String,
    /// Its last value.
    pub last_value: i64,
    /// Whether that value has been given out.
    pub is_called: bool,
}

impl SequenceValue {
    /// The statement that brings the sequence there.
    pub fn set(&self) -> String {
        let name = quote::literal(&quote::qualified(Some(&self.schema), &self.name));
        format!(
            "SELECT pg_catalog.setval({name}::pg_catalog.regclass, {}, {})",
            self.last_value, self.is_called
        )
    }
}

impl Model {
    /// Positions of the entries by every identity that stands for them.
    pub fn positions(&self) -> HashMap<ObjectId, usize> {
        let mut positions = HashMap::with_capacity(self.entries.len() * 2);
        for (position, entry) in self.entries.iter().enumerate() {
            positions.extend(entry.head.ids().map(|id| (id, position)));
        }
        positions
    }
}

impl Head {
    /// All identities that stand for the object.
    pub fn ids(&self) -> impl Iterator<Item = ObjectId> + '_ {
        std::iter::once(self.id).chain(self.also.iter().copied())
    }
}

impl Entry {
    /// Statements for what any object carries: extensions that it goes with, owner, comments, security labels.
    pub fn attributes(&self, owner: bool, acting: &Acting) -> Vec<String> {
        let Self { head, object } = self;
        let mut statements = Vec::new();
        for extension in &head.extensions {
            let (object, extension) = (object.identity(head), quote::ident(extension));
            statements.push(format!("ALTER {object} DEPENDS ON EXTENSION {extension}"));
        }
        if owner {
            statements.extend(acting.set_owner(self));
        }
        if let Some(comment) = &head.comment {
            statements.extend(object.set_comment(head, comment));
        }
        for (column, comment) in &head.column_comments {
            if let Some(name) = object.column_name(*column) {
                let column = format!("{}.{}", head.qualified(), quote::ident(&name));
                statements.push(format!("COMMENT ON COLUMN {column} IS {}", quote::literal(comment)));
            }
        }
        for label in &head.labels {
            let on = match object.column_name(label.column).filter(|_| label.column > 0) {
                Some(name) => format!("COLUMN {}.{}", head.qualified(), quote::ident(&name)),
                None => object.identity(head),
            };
            statements.push(label.set(&on));
        }
        statements
    }

    /// The roles that its statements name.
    pub fn roles(&self, owner: bool, privileges: bool) -> BTreeSet<String> {
        let mut roles: BTreeSet<String> = self.object.roles().into_iter().map(str::to_owned).collect();
        roles.extend(self.head.owner.clone().filter(|_| owner));
        if privileges {
            roles.extend(acl::parties(self.head.acl.as_deref().unwrap_or_default()).map(str::to_owned));
            for (_, items) in self.object.column_acls() {
                roles.extend(acl::parties(&items).map(str::to_owned));
            }
        }
        roles
    }

    /// Statements that make the object's privileges what they were.
    pub fn privileges(&self, target: &Target, acting: &Acting) -> Vec<String> {
        let Self { head, object } = self;
        let Some((class, on)) = object.acl_target(head) else {
            return Vec::new();
        };
        let old_owner = head.owner.as_deref();
        let owner = old_owner.map(|owner| acting.owner(owner));
        let acl = acting.acl(class, old_owner, head.acl.as_deref(), target);
        let widened = acting.widened(class, head.schema.as_deref());
        let mut statements = match owner.filter(|_| !widened.is_empty()) {
            Some(owner) => acl::statements_over(class, &on, owner, acl.as_deref(), &widened, target),
            None => acl::statements(class, &on, None, owner, acl.as_deref(), target),
        };
        for (column, acl) in object.column_acls() {
            let acl = acting.column_acl(old_owner, &acl);
            statements.extend(acl::statements(class, &on, Some(&column), owner, Some(&acl), target));
        }
        statements
    }
}
