//! What most objects of a large schema are made of: columns, constraints, indexes, sequences. They are read as plain rows, each catalog
//! once, and put together here: a server that joins them and writes them as JSON is busy for most of a backup's time.
//!
//! Definitions are the server's own words all the same ([`texts`]): it writes one of those that differ in nothing but names.

pub mod attributes;
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

/// A query.
#[derive(Debug, Clone, Copy)]
pub enum Part {
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
    pub const ALL: [Self; 6] =
        [Self::Attributes, Self::Indexes, Self::Constraints, Self::Sequences, Self::Defaults, Self::Keys];

    /// Asks it.
    ///
    /// # Errors
    /// Those of the query.
    pub async fn read(self, session: &Session) -> Result<Rows, PgError> {
        Ok(match self {
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
    relations: &'a Relations,
    attributes: &'a Attributes,
    comments: &'a HashMap<ObjectId, String>,
}

impl Facts {
    /// Takes what a query gave.
    pub fn take(&mut self, rows: Rows) {
        match rows {
            Rows::Attributes(rows) => self.attributes = rows,
            Rows::Defaults(rows) => self.defaults = rows,
            Rows::Indexes(rows) => self.indexes = rows,
            Rows::Constraints(rows) => self.constraints = rows,
            Rows::Keys(rows) => self.keys = rows,
            Rows::Sequences(rows) => self.sequences = rows,
        }
    }

    /// Gives tables what belongs to them, and adds the entries of indexes, keys and sequences. Entries are by their kinds, in the order
    /// of the registry.
    ///
    /// # Errors
    /// Those of the queries that ask for definitions; facts that do not fit together are one, too.
    pub async fn put_together(self, sessions: &[&Session], kinds: &mut [Vec<Entry>]) -> Result<(), PgError> {
        let relations = Relations::of(kinds.iter().flatten());
        let Self { mut attributes, defaults, constraints, indexes, keys, sequences, uses, comments } = self;
        let known = Known { relations: &relations, attributes: &attributes, comments: &comments };
        let (mut default_texts, mut constraint_texts, mut index_texts) =
            (Texts::new(Of::Defaults), Texts::new(Of::Constraints), Texts::new(Of::Indexes));
        defaults.want(known, &sequences, &mut default_texts);
        constraints.want(known, &mut constraint_texts);
        keys.want(known, &indexes, &mut constraint_texts);
        indexes.want(known, &keys, &mut index_texts);
        default_texts.ask(sessions).await?;
        constraint_texts.ask(sessions).await?;
        index_texts.ask(sessions).await?;
        let unfit = |reason| PgError::Answer {
            statement: "the queries of columns, constraints and indexes".to_owned(),
            reason,
        };
        let owners = sequences.owners(known, &uses, sessions).await?;
        let made = [
            ("sequence", Ok(sequences.bare(&uses))),
            ("identity sequence", Ok(sequences.of_identities(known, &uses))),
            ("sequence owner", Ok(owners)),
            ("index", indexes.entries(known, &keys, &index_texts)),
            ("key constraint", keys.with_indexes(known, &indexes, &constraint_texts)),
            ("foreign key", keys.foreign(known, &constraint_texts)),
        ];
        for (name, entries) in made {
            let at = ALL.iter().position(|kind| kind.name == name);
            if let Some(place) = at.and_then(|at| kinds.get_mut(at)) {
                *place = entries.map_err(unfit)?;
            }
        }
        let mut parts = Parts {
            attributes: &mut attributes,
            defaults: &defaults,
            default_texts: &default_texts,
            constraints: &constraints,
            constraint_texts: &constraint_texts,
            identities: &sequences.identities(&uses),
            comments: &comments,
        };
        kinds.iter_mut().flatten().try_for_each(|entry| parts.complete(entry)).map_err(unfit)
    }
}
