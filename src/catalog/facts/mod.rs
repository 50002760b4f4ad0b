//! What most objects of a large schema are made of: columns, constraints, indexes, sequences. They are read as plain rows, each catalog
//! once, and put together here: a server that joins them and writes them as JSON is busy for most of a backup's time.
//!
//! Definitions are the server's own words all the same ([`texts`]): it writes one of those that differ in nothing but names.

pub mod attributes;
pub mod classes;
pub mod constraints;
pub mod defaults;
pub mod indexes;
pub mod keys;
pub mod relations;
pub mod sequences;
mod tables;
pub mod texts;

use std::collections::HashMap;

use self::attributes::Attributes;
use self::classes::Classes;
use self::constraints::Constraints;
use self::defaults::Defaults;
use self::indexes::Indexes;
use self::keys::Keys;
use self::relations::Relations;
use self::sequences::{Sequences, Uses};
use self::tables::Parts;
use self::texts::{Of, Texts};
use super::ident::ObjectId;
use super::model::Entry;
use super::registry::ALL;
use crate::pg::{PgError, Session};

/// What a database may have, or not.
#[derive(Debug, Clone, Copy)]
pub enum Presence {
    /// Relations of this kind (`relkind`) in users' schemas.
    Relations(u8),
    /// Types of this sort (`typtype`) in users' schemas, apart from arrays.
    Types(u8),
    /// CHECK and NOT NULL constraints that are not created with their table.
    LateConstraints,
}

/// A query.
#[derive(Debug, Clone, Copy)]
pub enum Part {
    /// Tables, indexes, sequences as relations.
    Classes,
    /// Columns.
    Attributes,
    /// Their defaults.
    Defaults,
    /// Indexes.
    Indexes,
    /// CHECK and NOT NULL constraints.
    Constraints,
    /// Constraints that have an index, and foreign keys.
    Keys,
    /// Sequences.
    Sequences,
}

/// What one gave.
#[derive(Debug)]
pub enum Rows {
    /// See [`Part::Classes`].
    Classes(Classes),
    /// See [`Part::Attributes`].
    Attributes(Attributes),
    /// See [`Part::Defaults`].
    Defaults(Defaults),
    /// See [`Part::Indexes`].
    Indexes(Indexes),
    /// See [`Part::Constraints`].
    Constraints(Constraints),
    /// See [`Part::Keys`].
    Keys(Keys),
    /// See [`Part::Sequences`].
    Sequences(Sequences),
}

impl Part {
    /// All of them, those first that take longest.
    pub const ALL: [Self; 7] = [
        Self::Attributes,
        Self::Classes,
        Self::Constraints,
        Self::Indexes,
        Self::Defaults,
        Self::Keys,
        Self::Sequences,
    ];

    /// Asks it.
    ///
    /// # Errors
    /// Those of the query.
    pub async fn read(self, session: &Session) -> Result<Rows, PgError> {
        Ok(match self {
            Self::Classes => Rows::Classes(Classes::read(session).await?),
            Self::Attributes => Rows::Attributes(Attributes::read(session).await?),
            Self::Defaults => Rows::Defaults(Defaults::read(session).await?),
            Self::Indexes => Rows::Indexes(Indexes::read(session).await?),
            Self::Constraints => Rows::Constraints(Constraints::read(session).await?),
            Self::Keys => Rows::Keys(Keys::read(session).await?),
            Self::Sequences => Rows::Sequences(Sequences::read(session).await?),
        })
    }
}

/// The rows.
#[derive(Debug, Default)]
pub struct Facts {
    /// Relations.
    pub classes: Classes,
    /// Columns.
    pub attributes: Attributes,
    /// Defaults.
    pub defaults: Defaults,
    /// CHECK and NOT NULL constraints.
    pub constraints: Constraints,
    /// Indexes.
    pub indexes: Indexes,
    /// Constraints that have an index, and foreign keys.
    pub keys: Keys,
    /// Sequences.
    pub sequences: Sequences,
    /// The columns that use them.
    pub uses: Uses,
    /// Comments on constraints and relations: of those that are parts of others.
    pub comments: HashMap<ObjectId, String>,
}

/// What definitions are made of, where others are needed to tell.
#[derive(Debug, Clone, Copy)]
struct Known<'a> {
    classes: &'a Classes,
    relations: &'a Relations,
    attributes: &'a Attributes,
    comments: &'a HashMap<ObjectId, String>,
}

impl Facts {
    /// Takes what a query gave.
    pub fn take(&mut self, rows: Rows) {
        match rows {
            Rows::Classes(rows) => self.classes = rows,
            Rows::Attributes(rows) => self.attributes = rows,
            Rows::Defaults(rows) => self.defaults = rows,
            Rows::Indexes(rows) => self.indexes = rows,
            Rows::Constraints(rows) => self.constraints = rows,
            Rows::Keys(rows) => self.keys = rows,
            Rows::Sequences(rows) => self.sequences = rows,
        }
    }

    /// With what other queries told.
    #[must_use]
    pub fn with(self, uses: Uses, comments: HashMap<ObjectId, String>) -> Self {
        Self { uses, comments, ..self }
    }

    /// Whether there is any.
    pub fn has(&self, what: Presence) -> bool {
        match what {
            Presence::Relations(kind) => self.classes.has_kind(kind),
            Presence::Types(sort) => self.classes.has_type(sort),
            Presence::LateConstraints => self.constraints.has_late(&self.classes),
        }
    }

    /// Gives tables what belongs to them, and adds the entries of indexes, keys and sequences. Entries are by their kinds, in the order
    /// of the registry.
    ///
    /// # Errors
    /// Those of the queries that ask for definitions; facts that do not fit together are one, too.
    pub async fn put_together(self, sessions: &[&Session], kinds: &mut [Vec<Entry>]) -> Result<(), PgError> {
        let Self { classes, mut attributes, defaults, constraints, indexes, keys, sequences, uses, comments } =
            self;
        let unfit = |reason| PgError::Answer {
            statement: "the queries of relations, columns, constraints and indexes".to_owned(),
            reason,
        };
        place(kinds, "table", tables::entries(&classes).map_err(unfit)?);
        let relations = Relations::of(kinds.iter().flatten());
        let known =
            Known { classes: &classes, relations: &relations, attributes: &attributes, comments: &comments };
        let (mut default_texts, mut constraint_texts, mut index_texts) =
            (Texts::new(Of::Defaults), Texts::new(Of::Constraints), Texts::new(Of::Indexes));
        defaults.want(known, &mut default_texts);
        constraints.want(known, &mut constraint_texts);
        keys.want(known, &indexes, &mut constraint_texts);
        indexes.want(known, &keys, &mut index_texts);
        default_texts.ask(sessions).await?;
        constraint_texts.ask(sessions).await?;
        index_texts.ask(sessions).await?;
        let owners = sequences.owners(known, &uses, sessions).await?;
        let made = [
            ("sequence", Ok(sequences.bare(known, &uses))),
            ("identity sequence", Ok(sequences.of_identities(known, &uses))),
            ("sequence owner", Ok(owners)),
            ("index", indexes.entries(known, &keys, &index_texts)),
            ("key constraint", keys.with_indexes(known, &indexes, &constraint_texts)),
            ("foreign key", keys.foreign(known, &constraint_texts)),
        ];
        let identities = sequences.identities(known, &uses);
        for (name, entries) in made {
            place(kinds, name, entries.map_err(unfit)?);
        }
        let mut parts = Parts {
            attributes: &mut attributes,
            defaults: &defaults,
            default_texts: &default_texts,
            constraints: &constraints,
            constraint_texts: &constraint_texts,
            identities: &identities,
            comments: &comments,
        };
        kinds.iter_mut().flatten().try_for_each(|entry| parts.complete(entry)).map_err(unfit)
    }
}

/// Puts the entries of a kind in its place.
fn place(kinds: &mut [Vec<Entry>], name: &str, entries: Vec<Entry>) {
    let at = ALL.iter().position(|kind| kind.name == name);
    if let Some(place) = at.and_then(|at| kinds.get_mut(at)) {
        *place = entries;
    }
}
