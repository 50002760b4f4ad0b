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

use self::attributes::{Attributes, Own};
use self::classes::Classes;
use self::constraints::Constraints;
use self::defaults::Defaults;
use self::indexes::Indexes;
use self::keys::Keys;
use self::relations::Relations;
use self::sequences::{Sequences, Uses};
use self::tables::Parts;
use self::texts::{Of, Texts};
use super::both::both;
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

/// Definitions that the server writes.
#[derive(Debug)]
struct AllTexts {
    defaults: Texts,
    constraints: Texts,
    indexes: Texts,
}

impl Default for AllTexts {
    fn default() -> Self {
        let [defaults, constraints, indexes] = [Of::Defaults, Of::Constraints, Of::Indexes].map(Texts::new);
        Self { defaults, constraints, indexes }
    }
}

impl AllTexts {
    /// Asks the server for some, makes the others after them, and asks for those that are not like them after all.
    async fn ask(&mut self, sessions: &[&Session]) -> Result<(), PgError> {
        let Self { defaults, constraints, indexes } = self;
        for _ in 0..2 {
            for texts in [&mut *defaults, &mut *constraints, &mut *indexes] {
                texts.ask(sessions).await?;
            }
            both(
                || indexes.follow(),
                || {
                    defaults.follow();
                    constraints.follow();
                },
            );
        }
        Ok(())
    }
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
        let mut texts = AllTexts::default();
        both(
            || indexes.want(known, &keys, &mut texts.indexes),
            || {
                defaults.want(known, &mut texts.defaults);
                constraints.want(known, &mut texts.constraints);
                keys.want(known, &indexes, &mut texts.constraints);
            },
        );
        texts.ask(sessions).await?;
        let owners = sequences.owners(known, &uses, sessions).await?;
        let ((index_entries, bare, of_identities), (key_entries, foreign, identities)) = both(
            || {
                let entries = indexes.entries(known, &keys, &texts.indexes);
                (entries, sequences.bare(known, &uses), sequences.of_identities(known, &uses))
            },
            || {
                let entries = keys.with_indexes(known, &indexes, &texts.constraints);
                (entries, keys.foreign(known, &texts.constraints), sequences.identities(known, &uses))
            },
        );
        let made = [
            ("sequence", Ok(bare)),
            ("identity sequence", Ok(of_identities)),
            ("sequence owner", Ok(owners)),
            ("index", index_entries),
            ("key constraint", key_entries),
            ("foreign key", foreign),
        ];
        for (name, entries) in made {
            place(kinds, name, entries.map_err(unfit)?);
        }
        let parts = Parts {
            defaults: &defaults,
            default_texts: &texts.defaults,
            constraints: &constraints,
            constraint_texts: &texts.constraints,
            identities: &identities,
            comments: &comments,
        };
        let open = kinds.iter_mut().flatten().filter(|entry| tables::is_open(entry));
        let mut open: Vec<_> = open.map(|entry| (attributes.take(entry.head.id.oid), entry)).collect();
        let half = open.split_off(open.len() / 2);
        let complete = |some: Vec<(Own, &mut Entry)>| {
            some.into_iter().try_for_each(|(own, entry)| parts.complete(entry, own))
        };
        let (first, second) = both(|| complete(open), || complete(half));
        first.and(second).map_err(unfit)?;
        // To give so much memory back takes a while, and nobody waits for it.
        drop(std::thread::spawn(move || {
            drop((classes, attributes, defaults, constraints, indexes, keys, sequences, uses, comments));
            drop((texts, identities));
        }));
        Ok(())
    }
}

/// Puts the entries of a kind in its place.
fn place(kinds: &mut [Vec<Entry>], name: &str, entries: Vec<Entry>) {
    let at = ALL.iter().position(|kind| kind.name == name);
    if let Some(place) = at.and_then(|at| kinds.get_mut(at)) {
        *place = entries;
    }
}
