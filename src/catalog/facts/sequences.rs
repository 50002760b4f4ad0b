//! Sequences: those that stand alone or belong to a column, and those of identity columns.

use std::collections::HashMap;

use super::Known;
use super::classes::Class;
use crate::catalog::ident::{ObjectId, class};
use crate::catalog::kind::Head;
use crate::catalog::kinds::column::Identity;
use crate::catalog::kinds::identity_sequence::IdentitySequence;
use crate::catalog::kinds::sequence;
use crate::catalog::kinds::sequence_owner::SequenceOwner;
use crate::catalog::model::Entry;
use crate::catalog::registry::Object;
use crate::pg::quote::{ident, qualified};
use crate::pg::{PgError, Row, Session};

/// OID of `pg_depend`.
const PG_DEPEND: u32 = 2608;

/// How an index or a sequence is part of something (`pg_depend`).
#[derive(Debug, Clone, Copy)]
pub struct Use {
    /// `i`: it was made with it, as the sequence of an identity column.
    pub internal: bool,
    /// The relation and its column, if it is one.
    pub column: Option<(u32, i16)>,
}

/// The uses of sequences, by their OIDs; those of indexes may be among them.
#[derive(Debug, Default)]
pub struct Uses(HashMap<u32, Vec<Use>>);

impl FromIterator<(u32, Use)> for Uses {
    fn from_iter<T: IntoIterator<Item = (u32, Use)>>(uses: T) -> Self {
        let mut all: HashMap<u32, Vec<Use>> = HashMap::new();
        for (oid, found) in uses {
            all.entry(oid).or_default().push(found);
        }
        Self(all)
    }
}

impl Uses {
    fn of(&self, oid: u32) -> &[Use] {
        self.0.get(&oid).map(Vec::as_slice).unwrap_or_default()
    }

    /// The identity column whose sequence it is.
    fn identity(&self, oid: u32) -> Option<(u32, i16)> {
        self.of(oid).iter().filter(|found| found.internal).find_map(|found| found.column)
    }
}

/// What a sequence counts.
#[derive(Debug)]
pub struct Sequence {
    type_name: Option<String>,
    options: String,
}

/// The sequences, by their OIDs.
#[derive(Debug, Default)]
pub struct Sequences(HashMap<u32, Sequence>);

impl Sequences {
    /// Reads them.
    ///
    /// # Errors
    /// Those of the query.
    pub async fn read(session: &Session) -> Result<Self, PgError> {
        let mut all = HashMap::new();
        session
            .each_row(QUERY, |row| {
                all.insert(row.parsed(0)?, Sequence::new(row)?);
                Ok(())
            })
            .await?;
        Ok(Self(all))
    }

    /// The sequences among the relations.
    fn of<'a>(&'a self, known: Known<'a>) -> impl Iterator<Item = (&'a Class, &'a Sequence)> {
        let classes = known.classes.of_kinds(b"S").into_iter();
        classes.filter_map(|class| Some((class, self.0.get(&class.oid)?)))
    }

    /// The entries of those that no identity column has.
    pub(super) fn bare(&self, known: Known<'_>, uses: &Uses) -> Vec<Entry> {
        let internal = |found: &Use| found.internal;
        let bare = self.of(known).filter(|(class, _)| !uses.of(class.oid).iter().any(internal));
        let entry = |(class, sequence): (&Class, &Sequence)| {
            let Sequence { options, type_name } = sequence;
            let (options, type_name) = (options.clone(), type_name.clone());
            let object = sequence::Sequence { options, type_name, unlogged: class.unlogged };
            Entry { head: class.head(), object: Object::Sequence(object) }
        };
        bare.map(entry).collect()
    }

    /// The entries of those of identity columns.
    pub(super) fn of_identities(&self, known: Known<'_>, uses: &Uses) -> Vec<Entry> {
        let entry = |(class, _): (&Class, &Sequence)| {
            let (table, _) = uses.identity(class.oid)?;
            known.relations.get(table)?;
            let object = IdentitySequence { table: ObjectId::new(class::PG_CLASS, table) };
            Some(Entry { head: class.head(), object: Object::IdentitySequence(object) })
        };
        self.of(known).filter_map(entry).collect()
    }

    /// What the sequences of identity columns are, by relation and column; `when` is left to be said.
    pub(super) fn identities(&self, known: Known<'_>, uses: &Uses) -> HashMap<(u32, i16), Identity> {
        let identity = |(class, sequence): (&Class, &Sequence)| {
            let (table, column) = uses.identity(class.oid)?;
            let persistence = if class.unlogged { "UNLOGGED" } else { "LOGGED" };
            let as_table = known.classes.get(table).is_none_or(|table| table.unlogged == class.unlogged);
            let identity = Identity {
                when: String::new(),
                sequence: qualified(Some(&class.schema), &class.name),
                options: sequence.options.clone(),
                persistence: (!as_table).then(|| persistence.to_owned()),
            };
            Some(((table, column), identity))
        };
        self.of(known).filter_map(identity).collect()
    }

    /// The entries that say to which column sequences belong. The server is asked for the names of columns of relations that
    /// are no tables of users.
    ///
    /// # Errors
    /// Those of the query.
    pub(super) async fn owners(
        &self,
        known: Known<'_>,
        uses: &Uses,
        sessions: &[&Session],
    ) -> Result<Vec<Entry>, PgError> {
        let mut owned = Vec::new();
        for (class, _) in self.of(known) {
            let columns = uses.of(class.oid).iter().filter(|found| !found.internal);
            owned.extend(columns.filter_map(|found| Some((class, found.column?))));
        }
        let name = |(table, number): (u32, i16)| {
            let column = known.attributes.of(table)?.column(number)?;
            Some(format!("{}.{}", known.relations.get(table)?.quoted, ident(&column.column.name)))
        };
        let unknown = owned.iter().map(|(_, column)| *column).filter(|column| name(*column).is_none());
        let others = names_of(unknown.collect(), sessions).await?;
        let entry = |(class, (table, number)): (&Class, (u32, i16))| {
            let (sequence, table_id) = (class.id(), ObjectId::new(class::PG_CLASS, table));
            let column = name((table, number)).or_else(|| others.get(&(table, number)).cloned())?;
            // The pair of catalogs stands for the edge: no row of a catalog has this identity.
            let head = Head::new(ObjectId::new(PG_DEPEND, class.oid), &class.schema, &class.name);
            let head = Head { depends: vec![sequence, table_id], ..head };
            let object = SequenceOwner { column, sequence, table: table_id };
            Some(Entry { head, object: Object::SequenceOwner(object) })
        };
        Ok(owned.into_iter().filter_map(entry).collect())
    }
}

/// The quoted, qualified names of columns.
async fn names_of(
    columns: Vec<(u32, i16)>,
    sessions: &[&Session],
) -> Result<HashMap<(u32, i16), String>, PgError> {
    let mut names = HashMap::new();
    let Some(session) = sessions.first().filter(|_| !columns.is_empty()) else { return Ok(names) };
    let columns: Vec<String> =
        columns.iter().map(|(table, number)| format!("({table}::pg_catalog.oid,{number})")).collect();
    let sql = format!(
        "SELECT a.attrelid, a.attnum, pg_catalog.format('%I.%I.%I', n.nspname, c.relname, a.attname) FROM pg_catalog.pg_attribute a \
         JOIN pg_catalog.pg_class c ON c.oid = a.attrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE (a.attrelid, a.attnum) IN ({})",
        columns.join(",")
    );
    session
        .each_row(&sql, |row| {
            names.insert((row.parsed(0)?, row.parsed(1)?), row.text(2)?.to_owned());
            Ok(())
        })
        .await?;
    Ok(names)
}

impl Sequence {
    fn new(row: &Row<'_>) -> Result<Self, String> {
        let options = format!(
            "START WITH {} INCREMENT BY {} MINVALUE {} MAXVALUE {} CACHE {} {}",
            row.text(2)?,
            row.text(3)?,
            row.text(4)?,
            row.text(5)?,
            row.text(6)?,
            if row.flag(7)? { "CYCLE" } else { "NO CYCLE" }
        );
        Ok(Self { type_name: row.get(1)?.map(str::to_owned), options })
    }
}

const QUERY: &str = "SELECT s.seqrelid, CASE WHEN s.seqtypid <> 20 THEN pg_catalog.format_type(s.seqtypid, NULL) END, \
     s.seqstart, s.seqincrement, s.seqmin, s.seqmax, s.seqcache, s.seqcycle FROM pg_catalog.pg_sequence s";
