//! The statements of each object, in the form that the target takes.

use std::collections::{HashMap, HashSet};

use super::prepare::Sectioned;
use crate::catalog::acting::Acting;
use crate::catalog::ident::ObjectId;
use crate::catalog::kind::Target;
use crate::catalog::model::Entry;
use crate::catalog::registry::Object;

/// The statements of an index that becomes part of a partitioned table's.
#[derive(Debug)]
pub(super) struct Attached {
    /// Until it is attached.
    pub(super) build: Vec<String>,
    /// From there on.
    pub(super) attach: Vec<String>,
    /// Its own table is partitioned, too.
    pub(super) partitioned: bool,
}

/// The objects of one restore and how they are wanted.
#[derive(Debug)]
pub(super) struct Definitions {
    pub(super) entries: Vec<Entry>,
    /// Positions of the entries by identity.
    pub(super) by_id: HashMap<ObjectId, usize>,
    pub(super) target: Target,
    /// As whom all is made.
    pub(super) acting: Acting,
    /// What is done in place of creating an object, where the target's platform has made it.
    pub(super) instead: HashMap<ObjectId, Vec<String>>,
    /// Entries that are created without the parts that would close a circle.
    pub(super) detached: HashSet<usize>,
    pub(super) sectioned: Sectioned,
    pub(super) no_owner: bool,
    pub(super) no_acl: bool,
    /// Foreign keys hold for new rows at once, and are validated later.
    pub(super) defer_validation: bool,
}

impl Definitions {
    fn is_there(&self, entry: &Entry) -> bool {
        self.sectioned.there.contains(&entry.head.id)
    }

    /// Whether an object is a foreign key whose validation is left for later. Before PostgreSQL 18 a partitioned table
    /// takes none that is not valid; one that does not hold at the source is never validated.
    pub(super) fn is_deferred(&self, object: &Object) -> bool {
        let Object::ForeignKey(key) = object else { return false };
        let holds = !key.constraint.ends_with("NOT VALID") && !key.constraint.ends_with("NOT ENFORCED");
        self.defer_validation && holds && (!key.partitioned || self.target.version.at_least(18))
    }

    /// Creates an object; without its detached parts, if it was detached.
    pub(super) fn create(&self, item: usize) -> Vec<String> {
        let Some(entry) = self.entries.get(item).filter(|entry| !self.is_there(entry)) else {
            return Vec::new();
        };
        if let Some(statements) = self.instead.get(&entry.head.id) {
            return statements.clone();
        }
        if self.detached.contains(&item) {
            return entry.object.create_without_detached(&entry.head, &self.target);
        }
        let mut statements = entry.object.create(&entry.head, &self.target);
        if self.is_deferred(&entry.object)
            && let Some(statement) = statements.first_mut()
        {
            statement.push_str(" NOT VALID");
        }
        if self.acting.is_platforms_extension(entry) {
            // Whoever may create it there may not comment on it.
            statements.truncate(1);
            return statements;
        }
        statements.extend(entry.attributes(!self.no_owner, &self.acting));
        statements
    }

    /// The statements of an index that becomes part of a partitioned one.
    pub(super) fn attached_index(&self, item: usize) -> Option<Attached> {
        let index = match &self.entries.get(item)?.object {
            Object::Index(index) => index,
            Object::KeyConstraint(key) => &key.index,
            _ => return None,
        };
        let attach = format!("ALTER INDEX {} ATTACH PARTITION ", index.parent.as_ref()?);
        let mut build = self.create(item);
        let at = build.iter().position(|statement| statement.starts_with(&attach))?;
        let attach = build.split_off(at);
        Some(Attached { build, attach, partitioned: index.partitioned })
    }

    /// Completes a detached object. Only now it gets its owner: who owns a half-made one could not complete it.
    pub(super) fn finish(&self, item: usize) -> Vec<String> {
        let left_to_us =
            |entry: &&Entry| !self.is_there(entry) || self.sectioned.halved.contains(&entry.head.id);
        let Some(entry) = self.entries.get(item).filter(left_to_us) else { return Vec::new() };
        let mut statements = entry.object.create_detached(&entry.head, &self.target);
        statements.extend(entry.attributes(!self.no_owner, &self.acting));
        statements
    }

    /// Fills a materialized view.
    pub(super) fn refresh(&self, item: usize) -> Vec<String> {
        let view = self.entries.get(item).map(|entry| entry.head.qualified());
        view.map(|name| format!("REFRESH MATERIALIZED VIEW {name}")).into_iter().collect()
    }

    /// Makes an object's privileges what they were.
    pub(super) fn privileges(&self, entry: &Entry) -> Vec<String> {
        if self.no_acl || self.is_there(entry) || self.instead.contains_key(&entry.head.id) {
            return Vec::new();
        }
        entry.privileges(&self.target, &self.acting)
    }
}
