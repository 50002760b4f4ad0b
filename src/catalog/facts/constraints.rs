//! Constraints of tables, in one pass over `pg_constraint`.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::Known;
use super::attributes::Attributes;
use super::classes::Classes;
use super::texts::{Likeness, Texts};
use crate::catalog::ident::class;
use crate::catalog::sql;
use crate::pg::{PgError, Row, ServerVersion, Session};

/// A constraint.
#[derive(Debug)]
pub struct Constraint {
    /// Its OID.
    pub oid: u32,
    /// The table; 0 for a domain's.
    pub relation: u32,
    /// `contype`
    pub kind: u8,
    /// Its name.
    pub name: String,
    /// `connamespace`
    pub namespace: u32,
    /// `conkey`
    pub columns: Vec<i16>,
    /// `conislocal`
    pub local: bool,
    /// `convalidated`
    pub valid: bool,
    /// `connoinherit`
    pub no_inherit: bool,
    /// `conenforced`
    pub enforced: bool,
    /// Of a CHECK: it calls functions that may read other tables.
    pub calls_functions: bool,
    /// Of a NOT NULL that holds for all rows and is only inherited: a parent's does not.
    pub invalid_above: bool,
    /// Of a CHECK: which expression it is, among all.
    expression: Option<usize>,
}

/// The constraints.
#[derive(Debug, Default)]
pub struct Constraints {
    all: Vec<Constraint>,
    /// Of a table, the places in `all`.
    by_relation: HashMap<u32, Vec<usize>>,
    expressions: HashMap<Box<str>, usize>,
    /// How many constraints of a schema have a name that could be a NOT NULL's.
    names: HashMap<(u32, String), usize>,
}

/// The end of the name that the server chooses for a NOT NULL constraint.
const NOT_NULL_NAME: &str = "_not_null";

impl Constraints {
    /// Reads them.
    ///
    /// # Errors
    /// Those of the query.
    pub async fn read(session: &Session) -> Result<Self, PgError> {
        let mut all = Self::default();
        session.each_row(&query(session.version()), |row| all.push(row)).await?;
        Ok(all)
    }

    fn push(&mut self, row: &Row<'_>) -> Result<(), String> {
        let expression = row.get(12)?.map(|text| {
            let next = self.expressions.len();
            // Most are repeated: no copy of the text then.
            match self.expressions.get(text) {
                Some(known) => *known,
                None => *self.expressions.entry(text.into()).or_insert(next),
            }
        });
        let constraint = Constraint {
            oid: row.parsed(0)?,
            relation: row.parsed(1)?,
            kind: row.letter(2)?,
            name: row.text(3)?.to_owned(),
            namespace: row.parsed(4)?,
            columns: row.numbers(5)?,
            local: row.flag(6)?,
            valid: row.flag(7)?,
            no_inherit: row.flag(8)?,
            enforced: row.flag(9)?,
            calls_functions: row.flag(10)?,
            invalid_above: row.flag(11)?,
            expression,
        };
        if constraint.name.ends_with(NOT_NULL_NAME) {
            let name = (constraint.namespace, constraint.name.clone());
            match self.names.entry(name) {
                Entry::Occupied(mut count) => *count.get_mut() += 1,
                Entry::Vacant(none) => drop(none.insert(1)),
            }
        }
        self.by_relation.entry(constraint.relation).or_default().push(self.all.len());
        self.all.push(constraint);
        Ok(())
    }

    /// Those of a table.
    pub fn of(&self, relation: u32) -> impl Iterator<Item = &Constraint> {
        let places = self.by_relation.get(&relation).map(Vec::as_slice).unwrap_or_default();
        places.iter().filter_map(|place| self.all.get(*place))
    }

    /// Whether the name of a NOT NULL constraint is the one that the server would choose, because no other has it.
    pub fn is_default_name(&self, constraint: &Constraint, table: &str, column: &str) -> bool {
        let name = &constraint.name;
        let chosen = name.strip_prefix(table).and_then(|rest| rest.strip_prefix('_')?.strip_prefix(column))
            == Some(NOT_NULL_NAME);
        chosen && self.names.get(&(constraint.namespace, name.clone())).is_none_or(|count| *count < 2)
    }

    /// Whether any is not created with its table.
    pub(super) fn has_late(&self, classes: &Classes) -> bool {
        self.all.iter().filter(|constraint| matches!(constraint.kind, b'c' | b'n')).any(|constraint| {
            let class = classes.get(constraint.relation);
            class.is_some_and(|class| !constraint.is_inline(class.partition))
        })
    }

    /// Says of which constraints the text is wanted: of CHECKs that are created with their table.
    pub(super) fn want(&self, known: Known<'_>, texts: &mut Texts) {
        for constraint in self.all.iter().filter(|constraint| constraint.kind == b'c') {
            let relation = known.relations.get(constraint.relation);
            if relation.is_some_and(|relation| constraint.is_inline(relation.partition)) {
                texts.want(constraint.oid, constraint.likeness(known.attributes));
            }
        }
    }
}

impl Constraint {
    /// CHECK constraints are written alike whose expressions are the same, down to the numbers of the columns, and where
    /// these have the same names. The number 0 is the whole row, which the server writes by the table's name.
    fn likeness(&self, attributes: &Attributes) -> Option<Likeness> {
        let Self { columns, valid, no_inherit, enforced, expression, .. } = self;
        if columns.contains(&0) {
            return None;
        }
        // Those of columns that every table has are the same everywhere.
        let numbers: Vec<i16> = columns.iter().copied().filter(|number| *number > 0).collect();
        let names = attributes.of(self.relation)?.names(&numbers)?;
        let key = format!("{expression:?} {valid} {no_inherit} {enforced} {columns:?} {names:?}");
        Some(Likeness { key, names: Vec::new() })
    }

    /// Whether it is a CHECK or NOT NULL constraint that is created with its table, which is a partition or not: as
    /// `kinds/table_query.rs` says in SQL.
    pub fn is_inline(&self, partition: bool) -> bool {
        let kind = match self.kind {
            b'n' => true,
            b'c' => (self.local || partition) && !self.calls_functions,
            _ => false,
        };
        self.valid && self.enforced && kind
    }
}

/// The query of all constraints of users' schemas. Before PostgreSQL 18, NOT NULL was no constraint, and all were enforced.
fn query(server: ServerVersion) -> String {
    let (types, enforced, invalid_above) = if server.at_least(18) {
        // A child's that holds for all its rows says more than the parent's that does not.
        let above = "CASE WHEN k.contype = 'n' AND k.convalidated AND NOT k.conislocal THEN EXISTS (\
             SELECT FROM pg_catalog.pg_inherits h JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = k.conkey[1] \
             JOIN pg_catalog.pg_attribute u ON u.attrelid = h.inhparent AND u.attname = a.attname \
             JOIN pg_catalog.pg_constraint uk ON uk.conrelid = h.inhparent AND uk.contype = 'n' AND uk.conkey[1] = u.attnum AND NOT uk.convalidated \
             WHERE h.inhrelid = k.conrelid) END";
        // All of them: what name the server would choose depends on the others' names.
        ("", "k.conenforced", above)
    } else {
        (" AND k.contype = 'c'", "true", "false")
    };
    format!(
        "SELECT k.oid, k.conrelid, k.contype, k.conname, k.connamespace, k.conkey, k.conislocal, k.convalidated, k.connoinherit, \
           {enforced}, CASE WHEN k.contype = 'c' THEN {calls} END, {invalid_above}, CASE WHEN k.conrelid <> 0 THEN k.conbin END \
         FROM pg_catalog.pg_constraint k WHERE {user}{types}",
        calls = sql::calls_functions(class::PG_CONSTRAINT, "k.oid", false),
        user = sql::user_schema("k.connamespace"),
    )
}
