//! The relations that have entries, by their OIDs: what is said of others says nothing.

use std::collections::HashMap;

use crate::catalog::kinds::table::Table;
use crate::catalog::model::Entry;
use crate::catalog::registry::Object;

/// What others must know of a relation.
#[derive(Debug)]
pub struct Relation {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// Its quoted, qualified name.
    pub quoted: String,
    /// It is a partition.
    pub partition: bool,
    /// It has partitions.
    pub partitioned: bool,
}

/// Tables, foreign tables, materialized views.
#[derive(Debug)]
pub struct Relations(HashMap<u32, Relation>);

impl Relations {
    /// Those of these entries.
    pub fn of<'a>(entries: impl Iterator<Item = &'a Entry>) -> Self {
        Self(entries.filter_map(relation).collect())
    }

    /// The one with this OID.
    pub fn get(&self, oid: u32) -> Option<&Relation> {
        self.0.get(&oid)
    }
}

fn relation(Entry { head, object }: &Entry) -> Option<(u32, Relation)> {
    let (partition, partitioned) = match object {
        Object::Table(table) => (table.partition.is_some(), table.partition_key.is_some()),
        Object::ForeignTable(foreign) => (foreign.table.partition.is_some(), false),
        Object::MaterializedView(_) => (false, false),
        _ => return None,
    };
    let relation = Relation {
        schema: head.schema.clone().unwrap_or_default(),
        name: head.name.clone(),
        quoted: head.qualified(),
        partition,
        partitioned,
    };
    Some((head.id.oid, relation))
}

/// What a table is, ordinary or foreign.
pub fn table_mut(object: &mut Object) -> Option<&mut Table> {
    match object {
        Object::Table(table) => Some(table),
        Object::ForeignTable(foreign) => Some(&mut foreign.table),
        _ => None,
    }
}
