//! Indexes, in one pass over `pg_index`.

use std::collections::HashMap;

use super::Known;
use super::attributes::{Attribute, Own};
use super::keys::Keys;
use super::relations::Relation;
use super::texts::{Likeness, Texts};
use crate::catalog::ident::{ObjectId, class};
use crate::catalog::kind::Head;
use crate::catalog::kinds::index::Index;
use crate::catalog::model::Entry;
use crate::catalog::registry::Object;
use crate::catalog::sql;
use crate::pg::quote::{ident, ident_list, qualified};
use crate::pg::{PgError, Row, ServerVersion, Session};

/// An index, a constraint's or not.
#[derive(Debug)]
pub struct IndexFacts {
    /// Its OID.
    pub oid: u32,
    /// The relation's.
    pub table: u32,
    /// The schema, which is the relation's.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// It is one of a partitioned table.
    partitioned: bool,
    /// The tablespace, where it is not the database's.
    tablespace: Option<String>,
    /// `indisclustered`
    clustered: bool,
    /// `indisvalid`
    valid: bool,
    /// `indisunique`
    unique: bool,
    /// How many of its columns are keys; the others are only included.
    keys: usize,
    /// `indkey`
    columns: Vec<i16>,
    /// The index of the partitioned table that it is part of.
    parent: Option<u32>,
    /// It calls functions that may read other tables.
    calls_functions: bool,
    /// Storage parameters.
    pub options: Vec<String>,
    /// `NULLS NOT DISTINCT`, as a field.
    pub nulls: String,
    /// An extension made it.
    member: bool,
    /// Its expressions and its condition, as the server stores them.
    expressions: Option<String>,
    /// What else its definition depends on: fields, one after the other.
    fields: String,
}

/// The indexes.
#[derive(Debug, Default)]
pub struct Indexes {
    all: Vec<IndexFacts>,
    places: HashMap<u32, usize>,
    columns: HashMap<u32, Vec<ColumnFacts>>,
}

/// What few columns of indexes have.
#[derive(Debug)]
struct ColumnFacts {
    number: i16,
    /// The statistics target, where one is set.
    statistics: Option<i32>,
    /// Options of the operator class.
    options: Option<String>,
}

impl Indexes {
    /// Reads them.
    ///
    /// # Errors
    /// Those of the queries.
    pub async fn read(session: &Session) -> Result<Self, PgError> {
        let mut read = Self::default();
        session
            .each_row(&query(session.version()), |row| {
                let facts = IndexFacts::new(row)?;
                read.places.insert(facts.oid, read.all.len());
                read.all.push(facts);
                Ok(())
            })
            .await?;
        session
            .each_row(COLUMNS, |row| {
                let statistics = row.get(2)?.map(|_| row.parsed(2)).transpose()?;
                let options = row.get(3)?.map(str::to_owned);
                let column = ColumnFacts { number: row.parsed(1)?, statistics, options };
                read.columns.entry(row.parsed(0)?).or_default().push(column);
                Ok(())
            })
            .await?;
        read.columns.values_mut().for_each(|columns| columns.sort_by_key(|column| column.number));
        Ok(read)
    }

    /// The index with this OID.
    pub fn get(&self, oid: u32) -> Option<&IndexFacts> {
        self.places.get(&oid).and_then(|place| self.all.get(*place))
    }

    /// Those that no constraint has, with their relations.
    fn bare<'a>(
        &'a self,
        known: Known<'a>,
        keys: &'a Keys,
    ) -> impl Iterator<Item = (&'a IndexFacts, &'a Relation)> {
        let bare = self.all.iter().filter(|index| !index.member && !keys.has_index(index.oid));
        bare.filter_map(move |index| Some((index, known.relations.get(index.table)?)))
    }

    /// Says of which indexes the text is wanted.
    pub(super) fn want(&self, known: Known<'_>, keys: &Keys, texts: &mut Texts) {
        for (index, relation) in self.bare(known, keys) {
            let likeness =
                known.attributes.of(index.table).and_then(|own| self.likeness(index, relation, own));
            texts.want(index.oid, likeness);
        }
    }

    /// The entries of those that no constraint has.
    ///
    /// # Errors
    /// When a text is missing.
    pub(super) fn entries(&self, known: Known<'_>, keys: &Keys, texts: &Texts) -> Result<Vec<Entry>, String> {
        let mut entries = Vec::new();
        for (index, relation) in self.bare(known, keys) {
            let id = ObjectId::new(class::PG_CLASS, index.oid);
            let head = Head { depends: index.depends(), ..Head::new(id, &index.schema, &index.name) };
            let object = self.index(index, relation, texts.text(index.oid)?)?;
            entries.push(Entry { head, object: Object::Index(object) });
        }
        entries.sort_by(|a, b| (&a.head.schema, &a.head.name).cmp(&(&b.head.schema, &b.head.name)));
        Ok(entries)
    }

    /// An index as its entry has it.
    ///
    /// # Errors
    /// When the index that it is part of is unknown.
    pub(super) fn index(
        &self,
        index: &IndexFacts,
        relation: &Relation,
        definition: &str,
    ) -> Result<Index, String> {
        let parent = index.parent.map(|oid| {
            let parent = self
                .get(oid)
                .ok_or_else(|| format!("index {oid} is unknown, of which {} is part", index.name))?;
            Ok::<_, String>(qualified(Some(&parent.schema), &parent.name))
        });
        let columns = self.columns.get(&index.oid).map(Vec::as_slice).unwrap_or_default();
        Ok(Index {
            table: ObjectId::new(class::PG_CLASS, index.table),
            table_name: relation.quoted.clone(),
            definition: definition.to_owned(),
            tablespace: index.tablespace.clone(),
            parent: parent.transpose()?,
            clustered: index.clustered,
            partitioned: index.partitioned,
            valid: index.valid,
            calls_functions: index.calls_functions,
            statistics: columns
                .iter()
                .filter_map(|column| Some((column.number, column.statistics?)))
                .collect(),
        })
    }

    /// What an index's definition is like. Where all its columns are keys, and columns of its table, their names are the one
    /// thing that other indexes of the same make do not share. What expressions and conditions say depends on the names of
    /// any column of the table; one that speaks of the whole row calls it by the table's name.
    fn likeness(&self, index: &IndexFacts, relation: &Relation, own: &Own) -> Option<Likeness> {
        let IndexFacts { name, columns, keys, fields, unique, partitioned, expressions, .. } = index;
        let (unique, only) = (if *unique { "UNIQUE " } else { "" }, if *partitioned { "ONLY " } else { "" });
        let begin = format!("CREATE {unique}INDEX {} ON {only}{} USING ", ident(name), relation.quoted);
        let options = self.columns.get(&index.oid).map(Vec::as_slice).unwrap_or_default();
        let options: Vec<_> = options.iter().map(|column| (column.number, &column.options)).collect();
        let mut key = format!("{unique}{only}{keys} {fields} {options:?}");
        let plain = *keys == columns.len() && columns.iter().all(|number| *number > 0);
        if expressions.is_none() && plain {
            let columns: Option<Vec<&Attribute>> = columns.iter().map(|number| own.column(*number)).collect();
            let columns = columns?;
            for Attribute { type_oid, collation, .. } in &columns {
                key.push_str(&format!(" {type_oid},{collation}"));
            }
            let names = ident_list(columns.iter().map(|attribute| attribute.column.name.as_str()));
            return Some(Likeness { key, names: vec![begin, format!("({names})")] });
        }
        let expressions = expressions.as_deref().unwrap_or_default();
        if expressions.contains(":varattno 0 ") {
            return None;
        }
        key.push_str(&format!(" {columns:?} {expressions}"));
        for Attribute { column, type_oid, collation, .. } in &own.columns {
            key.push_str(&format!(" {},{type_oid},{collation},{:?}", column.number, column.name));
        }
        Some(Likeness { key, names: vec![begin] })
    }
}

impl IndexFacts {
    fn new(row: &Row<'_>) -> Result<Self, String> {
        let (expressions, condition) = (row.get(17)?, row.get(18)?);
        let expressions =
            (expressions.is_some() || condition.is_some()).then(|| format!("{expressions:?} {condition:?}"));
        let options = row.get(12)?.unwrap_or("[]");
        let mut fields = String::new();
        for at in 12..17 {
            fields.push_str(row.get(at)?.unwrap_or_default());
            fields.push(';');
        }
        Ok(Self {
            oid: row.parsed(0)?,
            table: row.parsed(1)?,
            schema: row.text(2)?.to_owned(),
            name: row.text(3)?.to_owned(),
            partitioned: row.letter(4)? == b'I',
            tablespace: row.get(5)?.map(str::to_owned),
            clustered: row.flag(6)?,
            valid: row.flag(7)?,
            unique: row.flag(8)?,
            keys: row.parsed(9)?,
            columns: row.numbers(10)?,
            parent: row.get(11)?.map(|_| row.parsed(11)).transpose()?,
            options: serde_json::from_str(options).map_err(|error| format!("{error} in {options}"))?,
            nulls: row.text(13)?.to_owned(),
            calls_functions: row.flag(19)?,
            member: row.flag(20)?,
            expressions,
            fields,
        })
    }

    /// Whether it has columns that are no keys.
    pub(super) fn includes(&self) -> bool {
        self.columns.len() != self.keys
    }

    /// The index that it is part of.
    pub(super) fn depends(&self) -> Vec<ObjectId> {
        self.parent.map(|oid| ObjectId::new(class::PG_CLASS, oid)).into_iter().collect()
    }
}

/// The query of all indexes of users' schemas.
fn query(server: ServerVersion) -> String {
    let nulls = if server.at_least(15) { "i.indnullsnotdistinct" } else { "false" };
    format!(
        "SELECT i.indexrelid, i.indrelid, n.nspname, c.relname, c.relkind, ts.spcname, i.indisclustered, i.indisvalid, i.indisunique, \
           i.indnkeyatts, i.indkey, CASE WHEN c.relispartition THEN \
             (SELECT h.inhparent FROM pg_catalog.pg_inherits h WHERE h.inhrelid = c.oid) END, \
           CASE WHEN c.reloptions IS NOT NULL THEN pg_catalog.array_to_json(c.reloptions) END, {nulls}, \
           c.relam, pg_catalog.concat_ws(';', i.indclass, i.indcollation), i.indoption, i.indexprs, i.indpred, \
           CASE WHEN i.indexprs IS NOT NULL OR i.indpred IS NOT NULL THEN {calls} END, NOT ({own}) \
         FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         LEFT JOIN pg_catalog.pg_tablespace ts ON ts.oid = c.reltablespace \
         WHERE c.relpersistence <> 't' AND {user}",
        calls = sql::calls_functions(class::PG_CLASS, "c.oid", true),
        own = sql::not_extension_member(class::PG_CLASS, "c.oid"),
        user = sql::user_schema("c.relnamespace"),
    )
}

/// The query of what few columns of indexes have: expressions, statistics targets; columns of operator classes that take
/// options, these. Such a class has a support function that returns `void`, as those for sorting in B-trees do (2 of 403).
/// Each index is looked up: all columns of all are many.
const COLUMNS: &str = "SELECT a.attrelid, a.attnum, CASE WHEN i.expressions AND a.attstattarget >= 0 THEN a.attstattarget END, a.attoptions \
     FROM (SELECT i.indexrelid, i.indexprs IS NOT NULL AS expressions FROM pg_catalog.pg_index i \
       WHERE i.indexrelid >= 16384::pg_catalog.oid AND (i.indexprs IS NOT NULL OR i.indclass::pg_catalog.oid[] && ARRAY(\
         SELECT o.oid FROM pg_catalog.pg_opclass o JOIN pg_catalog.pg_amproc s ON s.amprocfamily = o.opcfamily \
         JOIN pg_catalog.pg_proc f ON f.oid = s.amproc WHERE f.prorettype = 2278::pg_catalog.oid \
         AND NOT (o.opcmethod = 403::pg_catalog.oid AND s.amprocnum = 2))) OFFSET 0) i \
     CROSS JOIN LATERAL (SELECT a.attrelid, a.attnum, a.attstattarget, a.attoptions FROM pg_catalog.pg_attribute a \
       WHERE a.attrelid = i.indexrelid AND a.attnum > 0 AND (a.attstattarget >= 0 OR a.attoptions IS NOT NULL) OFFSET 0) a";
