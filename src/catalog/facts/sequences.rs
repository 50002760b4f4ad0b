//! Sequences: those that stand alone or belong to a column, and those of identity columns.

use std::collections::HashMap;

use super::Known;
use crate::catalog::acl::AclItem;
use crate::catalog::ident::{ObjectId, class};
use crate::catalog::kind::Head;
use crate::catalog::kinds::column::Identity;
use crate::catalog::kinds::identity_sequence::IdentitySequence;
use crate::catalog::kinds::sequence;
use crate::catalog::kinds::sequence_owner::SequenceOwner;
use crate::catalog::model::Entry;
use crate::catalog::registry::Object;
use crate::catalog::sql;
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

/// A sequence.
#[derive(Debug)]
pub struct Sequence {
    oid: u32,
    schema: String,
    name: String,
    owner: Option<String>,
    acl: Option<Vec<AclItem>>,
    unlogged: bool,
    type_name: Option<String>,
    options: String,
    /// An extension made it.
    member: bool,
}

/// The sequences.
#[derive(Debug, Default)]
pub struct Sequences {
    all: Vec<Sequence>,
    places: HashMap<u32, usize>,
}

impl Sequences {
    /// Reads them, in the order of their names.
    ///
    /// # Errors
    /// Those of the query.
    pub async fn read(session: &Session) -> Result<Self, PgError> {
        let mut all = Vec::new();
        session
            .each_row(&query(), |row| {
                all.push(Sequence::new(row)?);
                Ok(())
            })
            .await?;
        all.sort_by(|a, b| (&a.schema, &a.name).cmp(&(&b.schema, &b.name)));
        let places = all.iter().enumerate().map(|(place, sequence)| (sequence.oid, place)).collect();
        Ok(Self { all, places })
    }

    /// The schema and the name of one.
    pub fn name(&self, oid: u32) -> Option<(&str, &str)> {
        let sequence = self.places.get(&oid).and_then(|place| self.all.get(*place))?;
        Some((&sequence.schema, &sequence.name))
    }

    /// The entries of those that no identity column has.
    pub(super) fn bare(&self, uses: &Uses) -> Vec<Entry> {
        let internal = |found: &Use| found.internal;
        let bare = self
            .all
            .iter()
            .filter(|sequence| !sequence.member && !uses.of(sequence.oid).iter().any(internal));
        let entry = |sequence: &Sequence| {
            let Sequence { options, type_name, unlogged, .. } = sequence;
            let (options, type_name) = (options.clone(), type_name.clone());
            let object = sequence::Sequence { options, type_name, unlogged: *unlogged };
            Entry { head: sequence.head(), object: Object::Sequence(object) }
        };
        bare.map(entry).collect()
    }

    /// The entries of those of identity columns.
    pub(super) fn of_identities(&self, known: Known<'_>, uses: &Uses) -> Vec<Entry> {
        let entry = |sequence: &Sequence| {
            let (table, _) = uses.identity(sequence.oid)?;
            known.relations.get(table)?;
            let object = IdentitySequence { table: ObjectId::new(class::PG_CLASS, table) };
            Some(Entry { head: sequence.head(), object: Object::IdentitySequence(object) })
        };
        self.all.iter().filter_map(entry).collect()
    }

    /// The sequences of identity columns, by relation and column.
    pub(super) fn identities(&self, uses: &Uses) -> HashMap<(u32, i16), &Sequence> {
        self.all.iter().filter_map(|sequence| Some((uses.identity(sequence.oid)?, sequence))).collect()
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
        for sequence in self.all.iter().filter(|sequence| !sequence.member) {
            let columns = uses.of(sequence.oid).iter().filter(|found| !found.internal);
            owned.extend(columns.filter_map(|found| Some((sequence, found.column?))));
        }
        let name = |(table, number): (u32, i16)| {
            let column = known.attributes.of(table)?.column(number)?;
            Some(format!("{}.{}", known.relations.get(table)?.quoted, ident(&column.column.name)))
        };
        let unknown = owned.iter().map(|(_, column)| *column).filter(|column| name(*column).is_none());
        let others = names_of(unknown.collect(), sessions).await?;
        let entry = |(sequence, (table, number)): (&Sequence, (u32, i16))| {
            let Sequence { oid, schema, name: sequence_name, .. } = sequence;
            let (sequence, table_id) =
                (ObjectId::new(class::PG_CLASS, *oid), ObjectId::new(class::PG_CLASS, table));
            let column = name((table, number)).or_else(|| others.get(&(table, number)).cloned())?;
            // The pair of catalogs stands for the edge: no row of a catalog has this identity.
            let head = Head::new(ObjectId::new(PG_DEPEND, *oid), schema, sequence_name);
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
        let acl = row.get(4)?.map(serde_json::from_str).transpose().map_err(|error| error.to_string())?;
        let options = format!(
            "START WITH {} INCREMENT BY {} MINVALUE {} MAXVALUE {} CACHE {} {}",
            row.text(7)?,
            row.text(8)?,
            row.text(9)?,
            row.text(10)?,
            row.text(11)?,
            if row.flag(12)? { "CYCLE" } else { "NO CYCLE" }
        );
        Ok(Self {
            oid: row.parsed(0)?,
            schema: row.text(1)?.to_owned(),
            name: row.text(2)?.to_owned(),
            owner: row.get(3)?.map(str::to_owned),
            acl,
            unlogged: row.letter(5)? == b'u',
            type_name: row.get(6)?.map(str::to_owned),
            options,
            member: row.flag(13)?,
        })
    }

    fn head(&self) -> Head {
        let head = Head::new(ObjectId::new(class::PG_CLASS, self.oid), &self.schema, &self.name);
        Head { owner: self.owner.clone(), acl: self.acl.clone(), ..head }
    }

    /// What a column's identity is whose sequence this is.
    pub(super) fn identity(&self, when: String, table_unlogged: bool) -> Identity {
        let persistence = if self.unlogged { "UNLOGGED" } else { "LOGGED" };
        Identity {
            when,
            sequence: qualified(Some(&self.schema), &self.name),
            options: self.options.clone(),
            persistence: (self.unlogged != table_unlogged).then(|| persistence.to_owned()),
        }
    }
}

fn query() -> String {
    format!(
        "SELECT c.oid, n.nspname, c.relname, {owner}, {acl}, c.relpersistence, \
           CASE WHEN s.seqtypid <> 20 THEN pg_catalog.format_type(s.seqtypid, NULL) END, \
           s.seqstart, s.seqincrement, s.seqmin, s.seqmax, s.seqcache, s.seqcycle, NOT ({own}) \
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         JOIN pg_catalog.pg_sequence s ON s.seqrelid = c.oid \
         WHERE c.relkind = 'S' AND c.relpersistence <> 't' AND {user}",
        owner = sql::owner("c.relowner"),
        acl = sql::acl("c.relacl"),
        own = sql::not_extension_member(class::PG_CLASS, "c.oid"),
        user = sql::user_schema("c.relnamespace"),
    )
}
