//! What the definitions in an archive say of its tables: columns, partitions, foreign keys.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::form::Form;
use super::sieve::KeyColumn;
use crate::catalog::ident::ObjectId;
use crate::catalog::kinds::column::Column;
use crate::catalog::model::{Entry, Model};
use crate::catalog::registry::Object;
use crate::erasure::Table;
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::{Manifest, Stream};
use crate::pg::quote::{printable, unquoted};

/// Domains upon domains that are followed.
const DOMAINS: usize = 32;

/// What happens to rows that reference one that is deleted (`CREATE TABLE`, `ON DELETE`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Rule {
    /// They stay in the way.
    Refuse,
    /// They go, too.
    Cascade,
    /// These columns of theirs become null; all of the key where none is named.
    SetNull(Vec<String>),
    /// They get a default, which only a server can tell.
    SetDefault,
}

/// A foreign key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ForeignKey {
    pub(super) name: String,
    pub(super) table: ObjectId,
    pub(super) references: ObjectId,
    /// Referencing columns.
    pub(super) own: Vec<String>,
    /// Referenced columns.
    pub(super) other: Vec<String>,
    pub(super) rule: Rule,
}

/// The tables of an archive.
pub(super) struct Tables<'a> {
    streams: HashMap<ObjectId, &'a Stream>,
    entries: HashMap<ObjectId, &'a Entry>,
    /// Partitions, and tables that inherit, which foreign keys do not reach.
    children: HashMap<ObjectId, Vec<(ObjectId, bool)>>,
    types: HashMap<String, &'a Entry>,
    /// Collations under which different texts can be equal.
    loose: HashSet<String>,
    pub(super) keys: Vec<ForeignKey>,
}

impl<'a> Tables<'a> {
    /// # Errors
    /// [`ErrorKind::Refused`] for a foreign key that is not understood.
    pub(super) fn new(manifest: &'a Manifest, model: &'a Model) -> Result<Self> {
        let named: HashMap<String, ObjectId> =
            model.entries.iter().map(|entry| (entry.head.qualified(), entry.head.id)).collect();
        let mut made = Self {
            streams: manifest.streams.iter().filter_map(|stream| Some((stream.object?, stream))).collect(),
            entries: HashMap::new(),
            children: HashMap::new(),
            types: HashMap::new(),
            loose: HashSet::new(),
            keys: Vec::new(),
        };
        for entry in &model.entries {
            match &entry.object {
                Object::Table(table) => {
                    let id = entry.head.id;
                    made.entries.insert(id, entry);
                    let parents = table.inherits.iter().filter_map(|name| named.get(name).copied());
                    let parents = parents.map(|parent| (parent, false));
                    let partition = table.partition.iter().map(|partition| (partition.parent, true));
                    for (parent, partition) in parents.chain(partition) {
                        made.children.entry(parent).or_default().push((id, partition));
                    }
                }
                Object::ForeignTable(_) => drop(made.entries.insert(entry.head.id, entry)),
                Object::EnumType(_) | Object::Domain(_) => {
                    made.types.insert(unquoted(&entry.head.qualified()), entry);
                }
                Object::Collation(collation) if !collation.deterministic => {
                    made.loose.insert(entry.head.qualified());
                }
                Object::ForeignKey(key) => {
                    if let Some(key) = foreign_key(entry, key.table, key.references, &key.constraint)? {
                        made.keys.push(key);
                    }
                }
                _ => {}
            }
        }
        Ok(made)
    }

    /// A table by its names; `None` when there is none. What has the name and is no table is refused.
    pub(super) fn find(&self, table: &Table) -> Option<ObjectId> {
        let named = |entry: &&&Entry| {
            entry.head.schema.as_deref() == Some(table.schema.as_str()) && entry.head.name == table.name
        };
        self.entries.values().find(named).map(|entry| entry.head.id)
    }

    /// The table and its partitions; with those that inherit it, where they are meant.
    pub(super) fn below(&self, table: ObjectId, inheriting: bool) -> BTreeSet<ObjectId> {
        let (mut found, mut open) = (BTreeSet::new(), vec![table]);
        while let Some(next) = open.pop() {
            if found.insert(next) {
                let children = self.children.get(&next).into_iter().flatten();
                open.extend(children.filter(|(_, partition)| *partition || inheriting).map(|(id, _)| *id));
            }
        }
        found
    }

    /// Where the rows of some tables are.
    pub(super) fn streams(&self, tables: &BTreeSet<ObjectId>) -> Vec<&'a Stream> {
        let mut found: Vec<&Stream> = tables.iter().filter_map(|id| self.streams.get(id)).copied().collect();
        found.sort_by_key(|stream| stream.id);
        found
    }

    /// A column of the table that a stream is of.
    pub(super) fn column(&self, stream: &Stream, name: &str) -> Option<&'a Column> {
        let entry = self.entries.get(&stream.object?)?;
        entry.object.columns().iter().find(|column| column.name == name)
    }

    /// Where the columns of a key are in a stream's rows, and how they are compared.
    ///
    /// # Errors
    /// [`ErrorKind::Refused`] when a column is not there, or its values cannot be compared here.
    pub(super) fn key_columns(&self, stream: &Stream, names: &[String]) -> Result<Vec<KeyColumn>> {
        let place = |name: &String| {
            let refused = |why: &str| {
                let name = printable(name);
                Error::new(ErrorKind::Refused, format!("the column {name} of {} {why}", stream.display()))
            };
            let at = stream.columns.iter().position(|column| column == name);
            let at = at.ok_or_else(|| refused("is not in the archive's rows"))?;
            let column = self.column(stream, name).ok_or_else(|| refused("has no definition here"))?;
            let form = self.form(column).ok_or_else(|| {
                let why = format!(
                    "has the type {}, of which equal values cannot be told without a server",
                    printable(&column.type_name)
                );
                refused(&why)
                    .hint("a restore erases the rows; prune the backup when it is not needed any more")
            })?;
            Ok((at, form))
        };
        names.iter().map(place).collect()
    }

    fn form(&self, column: &Column) -> Option<Form> {
        if column.collation.as_ref().is_some_and(|name| self.loose.contains(name)) {
            return None;
        }
        let mut name = column.type_name.clone();
        for _ in 0..DOMAINS {
            match self.types.get(&unquoted(&name)).map(|entry| &entry.object) {
                Some(Object::EnumType(_)) => return Some(Form::Text),
                Some(Object::Domain(domain)) => {
                    let collation = domain.collation.as_ref();
                    if collation.is_some_and(|collation| self.loose.contains(&collation.sql())) {
                        return None;
                    }
                    name.clone_from(&domain.base);
                }
                _ => return Form::of(&unquoted(&name)),
            }
        }
        None
    }
}

/// A foreign key, as `pg_get_constraintdef` writes it; `None` for one that is not enforced.
fn foreign_key(
    entry: &Entry,
    table: ObjectId,
    references: ObjectId,
    text: &str,
) -> Result<Option<ForeignKey>> {
    let read = || {
        let (own, rest) = list(text.strip_prefix("FOREIGN KEY ")?)?;
        let rest = rest.strip_prefix(" REFERENCES ")?;
        let (other, rest) = list(after_name(rest)?)?;
        let rule = match rest.split_once(" ON DELETE ").map_or("", |(_, rule)| rule) {
            rule if rule.starts_with("CASCADE") => Rule::Cascade,
            rule if rule.starts_with("SET DEFAULT") => Rule::SetDefault,
            rule => match rule.strip_prefix("SET NULL") {
                Some(rest) if rest.starts_with(" (") => Rule::SetNull(list(rest.trim_start())?.0),
                Some(_) => Rule::SetNull(Vec::new()),
                None => Rule::Refuse,
            },
        };
        (own.len() == other.len() && !own.is_empty()).then_some((own, other, rule))
    };
    if text.ends_with("NOT ENFORCED") {
        return Ok(None);
    }
    let (own, other, rule) = read().ok_or_else(|| {
        let message = format!("the foreign key {} is not understood", printable(&unquoted(&entry.head.name)));
        Error::new(ErrorKind::Refused, message)
    })?;
    Ok(Some(ForeignKey { name: entry.head.name.clone(), table, references, own, other, rule }))
}

/// The names in a list of columns in parentheses, and what follows it. The period of a temporal key is left out: without it
/// more rows are taken to reference one, and never less.
fn list(text: &str) -> Option<(Vec<String>, &str)> {
    let mut rest = text.strip_prefix('(')?;
    let mut names = Vec::new();
    loop {
        let period = rest.strip_prefix("PERIOD ");
        let (name, after) = name(period.unwrap_or(rest))?;
        if period.is_none() {
            names.push(name);
        }
        if let Some(after) = after.strip_prefix(')') {
            return Some((names, after));
        }
        rest = after.strip_prefix(", ")?;
    }
}

/// The first name of a text, its quotes undone, and what follows it.
fn name(text: &str) -> Option<(String, &str)> {
    let Some(mut rest) = text.strip_prefix('"') else {
        let end = text.find([',', ')', '(', '.', ' ']).filter(|end| *end > 0)?;
        let (name, rest) = text.split_at_checked(end)?;
        return Some((name.to_owned(), rest));
    };
    let mut name = String::new();
    loop {
        let (part, after) = rest.split_once('"')?;
        name.push_str(part);
        match after.strip_prefix('"') {
            Some(after) => {
                name.push('"');
                rest = after;
            }
            None => return Some((name, after)),
        }
    }
}

/// What follows a qualified name.
fn after_name(text: &str) -> Option<&str> {
    let (_, rest) = name(text)?;
    match rest.strip_prefix('.') {
        Some(rest) => name(rest).map(|(_, rest)| rest),
        None => Some(rest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_columns_are_read_with_quotes_and_periods() {
        let (names, rest) = list("(id, \"B \"\"c\"\", (x)\", PERIOD valid) REFERENCES t").unwrap();
        assert_eq!((names, rest), (vec!["id".to_owned(), "B \"c\", (x)".to_owned()], " REFERENCES t"));
        assert_eq!(after_name("public.\"a.b(\"(id)"), Some("(id)"));
        assert_eq!(after_name("users(id)"), Some("(id)"));
        for wrong in ["id)", "(id", "()", "(id; x)"] {
            assert!(list(wrong).is_none(), "{wrong}");
        }
    }
}
