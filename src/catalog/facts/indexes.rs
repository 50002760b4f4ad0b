//! Indexes, in one pass over `pg_index`.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use super::Known;
use super::attributes::{Attribute, Own};
use super::classes::Class;
use super::keys::Keys;
use super::relations::Relation;
use super::texts::{Likeness, Texts};
use crate::catalog::ident::{ObjectId, class};
use crate::catalog::kind::Head;
use crate::catalog::kinds::index::Index;
use crate::catalog::model::Entry;
use crate::catalog::registry::Object;
use crate::catalog::sql;
use crate::catalog::sql_types::FIRST_NORMAL_OID;
use crate::pg::quote::{ident, ident_list, qualified};
use crate::pg::{PgError, Row, ServerVersion, Session};

/// An index, a constraint's or not.
#[derive(Debug)]
pub struct IndexFacts {
    /// Its OID.
    pub oid: u32,
    /// The relation's.
    pub table: u32,
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
    /// `indclass`
    operator_classes: Vec<u32>,
    /// It calls functions that may read other tables.
    calls_functions: bool,
    /// `NULLS NOT DISTINCT`, as a field.
    pub nulls: String,
    /// It has expressions among its columns.
    has_expressions: bool,
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
        read.read_columns(session).await?;
        read.columns.values_mut().for_each(|columns| columns.sort_by_key(|column| column.number));
        Ok(read)
    }

    /// Reads what few columns have: expressions, statistics targets; columns of operator classes that take options, these.
    /// Each index is looked up: the columns of all are many.
    async fn read_columns(&mut self, session: &Session) -> Result<(), PgError> {
        let mut with_options: HashSet<u32> = HashSet::new();
        session
            .each_row(WITH_OPTIONS, |row| {
                with_options.insert(row.parsed(0)?);
                Ok(())
            })
            .await?;
        let may_have = |index: &&IndexFacts| {
            index.has_expressions || index.operator_classes.iter().any(|class| with_options.contains(class))
        };
        let oids: Vec<String> = self.all.iter().filter(may_have).map(|index| index.oid.to_string()).collect();
        if oids.is_empty() {
            return Ok(());
        }
        // Joined in a way that leaves the server no choice: one that has never analysed its catalogs would read all columns.
        let sql = format!(
            "SELECT x.oid, a.attnum, a.attstattarget, a.attoptions FROM pg_catalog.unnest('{{{}}}'::pg_catalog.oid[]) x(oid) \
             CROSS JOIN LATERAL (SELECT a.attnum, a.attstattarget, a.attoptions FROM pg_catalog.pg_attribute a \
               WHERE a.attrelid = x.oid AND a.attnum > 0 AND (a.attstattarget >= 0 OR a.attoptions IS NOT NULL) OFFSET 0) a",
            oids.join(",")
        );
        session
            .each_row(&sql, |row| {
                let statistics =
                    row.get(2)?.map(|_| row.parsed(2)).transpose()?.filter(|target| *target >= 0);
                let options = row.get(3)?.map(str::to_owned);
                let column = ColumnFacts { number: row.parsed(1)?, statistics, options };
                self.columns.entry(row.parsed(0)?).or_default().push(column);
                Ok(())
            })
            .await
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
    ) -> impl Iterator<Item = (&'a IndexFacts, &'a Class, &'a Relation)> {
        let bare = self.all.iter().filter(|index| !keys.has_index(index.oid));
        bare.filter_map(move |index| {
            let class = known.classes.get(index.oid).filter(|class| !class.member)?;
            Some((index, class, known.relations.get(index.table)?))
        })
    }

    /// Says of which indexes the text is wanted.
    pub(super) fn want(&self, known: Known<'_>, keys: &Keys, texts: &mut Texts) {
        for (index, class, relation) in self.bare(known, keys) {
            let own = known.attributes.of(index.table);
            texts.want(index.oid, own.and_then(|own| self.likeness(index, class, relation, own)));
        }
    }

    /// The entries of those that no constraint has.
    ///
    /// # Errors
    /// When a text is missing.
    pub(super) fn entries(&self, known: Known<'_>, keys: &Keys, texts: &Texts) -> Result<Vec<Entry>, String> {
        let mut entries = Vec::new();
        for (index, class, relation) in self.bare(known, keys) {
            let head =
                Head { depends: part_of(known, class), ..Head::new(class.id(), &class.schema, &class.name) };
            let object = self.index(known, index, relation, texts.text(index.oid)?)?;
            entries.push(Entry { head, object: Object::Index(object) });
        }
        entries.sort_by(|a, b| (&a.head.schema, &a.head.name).cmp(&(&b.head.schema, &b.head.name)));
        Ok(entries)
    }

    /// An index as its entry has it.
    ///
    /// # Errors
    /// When it, or the index that it is part of, is no relation.
    pub(super) fn index(
        &self,
        known: Known<'_>,
        index: &IndexFacts,
        relation: &Relation,
        definition: &str,
    ) -> Result<Index, String> {
        let class =
            |oid: u32| known.classes.get(oid).ok_or_else(|| format!("the index {oid} is no relation"));
        let own = class(index.oid)?;
        let parent = known.classes.parent(own).map(class).transpose()?;
        let columns = self.columns.get(&index.oid).filter(|_| index.has_expressions);
        let statistics = |column: &ColumnFacts| Some((column.number, column.statistics?));
        Ok(Index {
            table: ObjectId::new(class::PG_CLASS, index.table),
            table_name: relation.quoted.clone(),
            definition: definition.to_owned(),
            tablespace: own.tablespace.clone(),
            parent: parent.map(|parent| qualified(Some(&parent.schema), &parent.name)),
            clustered: index.clustered,
            partitioned: own.kind == b'I',
            valid: index.valid,
            calls_functions: index.calls_functions,
            statistics: columns.into_iter().flatten().filter_map(statistics).collect(),
        })
    }

    /// What an index's definition is like. Where all its columns are keys, and columns of its table, their names are the one
    /// thing that other indexes of the same make do not share. What expressions and conditions say depends on the names of
    /// any column of the table; one that speaks of the whole row calls it by the table's name.
    fn likeness(
        &self,
        index: &IndexFacts,
        class: &Class,
        relation: &Relation,
        own: &Own,
    ) -> Option<Likeness> {
        let IndexFacts { columns, keys, fields, unique, expressions, .. } = index;
        let only = if class.kind == b'I' { "ONLY " } else { "" };
        let unique = if *unique { "UNIQUE " } else { "" };
        let begin =
            format!("CREATE {unique}INDEX {} ON {only}{} USING ", ident(&class.name), relation.quoted);
        let options = self.columns.get(&index.oid).map(Vec::as_slice).unwrap_or_default();
        let options: Vec<_> = options.iter().map(|column| (column.number, &column.options)).collect();
        let mut key =
            format!("{unique}{only}{} {:?} {keys} {fields} {options:?}", class.access_method, class.options);
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

/// The values of some columns of a row, as one text that is compared.
pub(super) fn joined(row: &Row<'_>, columns: Range<usize>) -> Result<String, String> {
    let mut text = String::new();
    for at in columns {
        text.push_str(row.get(at)?.unwrap_or_default());
        text.push(';');
    }
    Ok(text)
}

impl IndexFacts {
    fn new(row: &Row<'_>) -> Result<Self, String> {
        let (expressions, condition) = (row.get(11)?, row.get(12)?);
        let fields = joined(row, 7..11)?;
        Ok(Self {
            oid: row.parsed(0)?,
            table: row.parsed(1)?,
            clustered: row.flag(2)?,
            valid: row.flag(3)?,
            unique: row.flag(4)?,
            keys: row.parsed(5)?,
            columns: row.numbers(6)?,
            operator_classes: row.numbers(7)?,
            nulls: row.text(10)?.to_owned(),
            calls_functions: row.flag(13)?,
            has_expressions: expressions.is_some(),
            expressions: (expressions.is_some() || condition.is_some())
                .then(|| format!("{expressions:?} {condition:?}")),
            fields,
        })
    }

    /// Whether it has columns that are no keys.
    pub(super) fn includes(&self) -> bool {
        self.columns.len() != self.keys
    }
}

/// The index that an index is part of.
pub(super) fn part_of(known: Known<'_>, class: &Class) -> Vec<ObjectId> {
    known.classes.parent(class).map(|oid| ObjectId::new(class::PG_CLASS, oid)).into_iter().collect()
}

/// The query of all indexes but the server's own.
fn query(server: ServerVersion) -> String {
    let nulls = if server.at_least(15) { "i.indnullsnotdistinct" } else { "false" };
    format!(
        "SELECT i.indexrelid, i.indrelid, i.indisclustered, i.indisvalid, i.indisunique, i.indnkeyatts, i.indkey, \
           i.indclass, i.indcollation, i.indoption, {nulls}, i.indexprs, i.indpred, \
           CASE WHEN i.indexprs IS NOT NULL OR i.indpred IS NOT NULL THEN {calls} END \
         FROM pg_catalog.pg_index i WHERE i.indexrelid >= {FIRST_NORMAL_OID}::pg_catalog.oid",
        calls = sql::calls_functions(class::PG_CLASS, "i.indexrelid", true),
    )
}

/// The operator classes that take options: they have a support function that returns `void` (type 2278), which for B-trees
/// (access method 403) must be number 5, as others help with sorting and skipping.
const WITH_OPTIONS: &str = "SELECT DISTINCT o.oid FROM pg_catalog.pg_opclass o \
     JOIN pg_catalog.pg_amproc s ON s.amprocfamily = o.opcfamily \
     JOIN pg_catalog.pg_proc f ON f.oid = s.amproc WHERE f.prorettype = 2278::pg_catalog.oid \
     AND (o.opcmethod <> 403::pg_catalog.oid OR s.amprocnum = 5)";
