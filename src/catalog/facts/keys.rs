//! Primary keys, unique and exclusion constraints, and foreign keys, in one pass over `pg_constraint`.

use std::collections::HashSet;

use super::Known;
use super::indexes::{Indexes, joined, part_of};
use super::relations::Relation;
use super::texts::{Likeness, Texts};
use crate::catalog::ident::{ObjectId, class};
use crate::catalog::kind::Head;
use crate::catalog::kinds::foreign_key::ForeignKey;
use crate::catalog::kinds::index;
use crate::catalog::kinds::key_constraint::KeyConstraint;
use crate::catalog::model::Entry;
use crate::catalog::registry::Object;
use crate::catalog::sql;
use crate::pg::quote::ident_list;
use crate::pg::{PgError, Row, ServerVersion, Session};

/// A key.
#[derive(Debug)]
struct Key {
    oid: u32,
    /// The table.
    relation: u32,
    /// `contype`
    kind: u8,
    name: String,
    /// `conkey`
    columns: Vec<i16>,
    /// `conindid`
    index: u32,
    /// The referenced table, 0 for none.
    references: u32,
    /// `confkey`
    referenced: Vec<i16>,
    /// The index of a referenced partitioned table, with all its parts.
    below: Vec<ObjectId>,
    /// Its definition names columns nowhere but in its lists of columns, which have nothing else in them.
    plain: bool,
    /// What else its definition depends on: fields, one after the other.
    fields: String,
}

/// The keys.
#[derive(Debug, Default)]
pub struct Keys {
    all: Vec<Key>,
    /// Indexes that are a key's.
    indexes: HashSet<u32>,
}

impl Keys {
    /// Reads them.
    ///
    /// # Errors
    /// Those of the query.
    pub async fn read(session: &Session) -> Result<Self, PgError> {
        let mut read = Self::default();
        session
            .each_row(&query(session.version()), |row| {
                let key = Key::new(row)?;
                if key.kind != b'f' {
                    read.indexes.insert(key.index);
                }
                read.all.push(key);
                Ok(())
            })
            .await?;
        Ok(read)
    }

    /// Whether an index is a constraint's.
    pub fn has_index(&self, index: u32) -> bool {
        self.indexes.contains(&index)
    }

    /// Those of relations that have entries.
    fn of<'a>(&'a self, known: Known<'a>) -> impl Iterator<Item = (&'a Key, &'a Relation)> {
        self.all.iter().filter_map(move |key| Some((key, known.relations.get(key.relation)?)))
    }

    /// Says of which keys the text is wanted.
    pub(super) fn want(&self, known: Known<'_>, indexes: &Indexes, texts: &mut Texts) {
        for (key, _) in self.of(known) {
            texts.want(key.oid, key.likeness(known, indexes));
        }
    }

    /// The entries of keys with an index.
    ///
    /// # Errors
    /// When a text or an index is missing.
    pub(super) fn with_indexes(
        &self,
        known: Known<'_>,
        indexes: &Indexes,
        texts: &Texts,
    ) -> Result<Vec<Entry>, String> {
        let mut entries = Vec::new();
        for (key, relation) in self.of(known).filter(|(key, _)| key.kind != b'f') {
            let index = indexes.get(key.index).filter(|index| index.table == key.relation);
            let index = index.ok_or_else(|| format!("the constraint {} has no index", key.name))?;
            let class = known.classes.get(index.oid);
            let class = class.ok_or_else(|| format!("the index of {} is no relation", key.name))?;
            let depends = part_of(known, class).into_iter().chain([key.table()]).collect();
            let head = Head { also: vec![class.id()], depends, ..key.head(relation) };
            let object = KeyConstraint {
                index: indexes.index(known, index, relation, "")?,
                constraint: texts.text(key.oid)?.to_owned(),
                index_name: class.name.clone(),
                options: if key.kind == b'x' { Vec::new() } else { class.options.clone() },
                index_comment: known.comments.get(&class.id()).cloned(),
            };
            entries.push((relation, Entry { head, object: Object::KeyConstraint(object) }));
        }
        Ok(in_order(entries))
    }

    /// The entries of foreign keys.
    ///
    /// # Errors
    /// When a text is missing.
    pub(super) fn foreign(&self, known: Known<'_>, texts: &Texts) -> Result<Vec<Entry>, String> {
        let mut entries = Vec::new();
        for (key, relation) in self.of(known).filter(|(key, _)| key.kind == b'f') {
            let depends = key.below.iter().copied().chain([key.table()]).collect();
            let head = Head { depends, ..key.head(relation) };
            let object = ForeignKey {
                table: key.table(),
                table_name: relation.quoted.clone(),
                references: ObjectId::new(class::PG_CLASS, key.references),
                constraint: texts.text(key.oid)?.to_owned(),
                partitioned: relation.partitioned,
            };
            entries.push((relation, Entry { head, object: Object::ForeignKey(object) }));
        }
        Ok(in_order(entries))
    }
}

/// Entries in the order of their tables' names and their own.
fn in_order(mut entries: Vec<(&Relation, Entry)>) -> Vec<Entry> {
    let place = |relation: &Relation| (relation.schema.clone(), relation.name.clone());
    entries.sort_by_cached_key(|(relation, entry)| (place(relation), entry.head.name.clone()));
    entries.into_iter().map(|(_, entry)| entry).collect()
}

impl Key {
    fn new(row: &Row<'_>) -> Result<Self, String> {
        let below = row.get(8)?.unwrap_or("[]");
        let fields = joined(row, 10..18)?;
        Ok(Self {
            oid: row.parsed(0)?,
            relation: row.parsed(1)?,
            kind: row.letter(2)?,
            name: row.text(3)?.to_owned(),
            columns: row.numbers(4)?,
            index: row.parsed(5)?,
            references: row.parsed(6)?,
            referenced: row.numbers(7)?,
            below: serde_json::from_str(below).map_err(|error| format!("{error} in {below}"))?,
            plain: row.flag(9)?,
            fields,
        })
    }

    fn table(&self) -> ObjectId {
        ObjectId::new(class::PG_CLASS, self.relation)
    }

    fn head(&self, relation: &Relation) -> Head {
        Head::new(ObjectId::new(class::PG_CONSTRAINT, self.oid), &relation.schema, &self.name)
    }

    /// What the key's definition is like. Exclusion constraints have operators, and may have expressions; other keys of the
    /// same make differ in the names of columns and of the referenced table.
    fn likeness(&self, known: Known<'_>, indexes: &Indexes) -> Option<Likeness> {
        let Self { kind, fields, plain, .. } = self;
        if !plain {
            return None;
        }
        let list = |relation: u32, numbers: &[i16]| {
            Some(format!("({})", ident_list(known.attributes.of(relation)?.names(numbers)?)))
        };
        let own = list(self.relation, &self.columns)?;
        match kind {
            b'p' | b'u' => {
                let index = indexes.get(self.index).filter(|index| !index.includes())?;
                let key = format!("{} {fields} {}", char::from(*kind), index.nulls);
                Some(Likeness { key, names: vec![own] })
            }
            b'f' => {
                let table = &known.relations.get(self.references)?.quoted;
                let referenced = list(self.references, &self.referenced)?;
                Some(Likeness { key: format!("f {fields}"), names: vec![own, table.clone(), referenced] })
            }
            _ => None,
        }
    }
}

/// The query of all keys of users' schemas. The foreign keys of partitions are made with that of the partitioned table.
fn query(server: ServerVersion) -> String {
    let sets = if server.at_least(15) { "k.confdelsetcols IS NULL" } else { "true" };
    let (periods, enforced) =
        if server.at_least(18) { ("NOT k.conperiod", "k.conenforced") } else { ("true", "true") };
    format!(
        "SELECT k.oid, k.conrelid, k.contype, k.conname, k.conkey, k.conindid, k.confrelid, k.confkey, \
           CASE WHEN k.contype = 'f' THEN CASE WHEN k.confrelid IN (SELECT pt.partrelid FROM pg_catalog.pg_partitioned_table pt) \
             THEN {below} END END, {sets} AND {periods}, \
           k.condeferrable, k.condeferred, k.convalidated, {enforced}, k.connoinherit, k.confupdtype, k.confdeltype, k.confmatchtype \
         FROM pg_catalog.pg_constraint k WHERE k.contype IN ('p', 'u', 'x', 'f') AND NOT (k.contype = 'f' AND k.conparentid <> 0) \
         AND {user}",
        below = index::tree("k.conindid"),
        user = sql::user_schema("k.connamespace"),
    )
}
