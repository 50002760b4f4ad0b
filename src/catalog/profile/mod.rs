//! Managed services: what in a database belongs to the platform, and what to its user.
//!
//! The judgement is made on the objects and what ties them together (owner, schema, the table that an index or a trigger
//! is on, the function that it calls), never on text. Where the source alone cannot tell, [`Belongs::Either`] leaves it to
//! the target: what a fresh project has already is the platform's.

mod rds;
mod supabase;

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::ident::ObjectId;
use super::model::{Entry, Model};
use super::registry::Object;

/// A kind of managed service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// A server of one's own: everything is the user's.
    #[default]
    None,
    /// A Supabase project.
    Supabase,
    /// Amazon RDS or Aurora.
    Rds,
}

/// A profile as an operator asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Wish {
    /// The one that the server shows beyond doubt.
    #[default]
    Detect,
    /// This one.
    Take(Profile),
}

/// A table in which the platform keeps accounts of its own versions: each project has its rows.
struct Bookkeeping {
    schema: &'static str,
    table: &'static str,
}

/// What a platform has of its own. A name that ends in `*` means all that begin so.
struct Rules {
    name: &'static str,
    /// Roles whose objects are the platform's wherever they lie.
    owners_anywhere: &'static [&'static str],
    /// Roles of the platform: what they own in its schemas, or in none, is its own.
    roles: &'static [&'static str],
    /// Schemas that each project has.
    schemas: &'static [&'static str],
    /// Those of them whose rows are users' data.
    data: &'static [&'static str],
    bookkeeping: &'static [Bookkeeping],
    /// Schemas with rows that another project cannot make use of.
    not_portable: &'static [&'static str],
    /// An SQL expression: the server is such a platform's, beyond doubt.
    certain: &'static str,
}

/// Whose an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Belongs {
    /// The user's.
    User,
    /// The platform's.
    Platform,
    /// The platform's where a fresh project has it, the user's otherwise.
    Either,
}

/// What becomes of a table's rows in a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rows {
    /// They are the user's.
    Taken,
    /// They are the user's, and of no use in another project.
    TakenNotPortable,
    /// They are the platform's.
    LeftOut,
}

const NONE: Rules = Rules {
    name: "none",
    owners_anywhere: &[],
    roles: &[],
    schemas: &[],
    data: &[],
    bookkeeping: &[],
    not_portable: &[],
    certain: "false",
};

fn has(list: &[&str], name: &str) -> bool {
    list.iter().any(|pattern| match pattern.strip_suffix('*') {
        Some(begin) => name.starts_with(begin),
        None => name == *pattern,
    })
}

/// The schema that every database has: in old versions a platform's role owns it, and yet it is for users.
const PUBLIC: &str = "public";

impl Profile {
    const ALL: [Self; 3] = [Self::None, Self::Supabase, Self::Rds];

    const fn rules(self) -> &'static Rules {
        match self {
            Self::None => &NONE,
            Self::Supabase => &supabase::RULES,
            Self::Rds => &rds::RULES,
        }
    }

    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        self.rules().name
    }

    /// Whether it is one of a managed service.
    pub fn is_managed(self) -> bool {
        self != Self::None
    }

    /// The query that names the platform of the database: one row, one column.
    pub fn detection() -> String {
        let cases: Vec<String> = Self::ALL
            .iter()
            .filter(|profile| profile.is_managed())
            .map(|profile| format!("WHEN {} THEN '{}'", profile.rules().certain, profile.name()))
            .collect();
        format!("SELECT CASE {} ELSE 'none' END", cases.join(" "))
    }

    /// Whether the platform made the role.
    pub fn has_role(self, name: &str) -> bool {
        has(self.rules().roles, name)
    }

    /// Whether each project has the schema.
    pub fn has_schema(self, name: &str) -> bool {
        has(self.rules().schemas, name)
    }

    /// What becomes of the rows of a table.
    pub fn rows(self, schema: &str, table: &str, owner: &str) -> Rows {
        let rules = self.rules();
        if !self.has_schema(schema) {
            return if has(rules.owners_anywhere, owner) { Rows::LeftOut } else { Rows::Taken };
        }
        let accounts = |book: &Bookkeeping| book.schema == schema && book.table == table;
        if rules.bookkeeping.iter().any(accounts) || (!has(rules.data, schema) && self.has_role(owner)) {
            Rows::LeftOut
        } else if has(rules.not_portable, schema) {
            Rows::TakenNotPortable
        } else {
            Rows::Taken
        }
    }

    /// Whose each entry of a model is, in their order.
    pub fn judge(self, model: &Model) -> Vec<Belongs> {
        let mut judged: Vec<Belongs> = vec![Belongs::User; model.entries.len()];
        if !self.is_managed() {
            return judged;
        }
        let positions = model.positions();
        // First what has an owner or a schema of its own, then what is part of a relation, then what has nothing but
        // what it depends on.
        for (verdict, entry) in judged.iter_mut().zip(&model.entries) {
            *verdict = self.alone(entry);
        }
        let first = judged.clone();
        let of = |id: &ObjectId| positions.get(id).and_then(|at| first.get(*at)).copied();
        for (verdict, entry) in judged.iter_mut().zip(&model.entries) {
            if let Some(relation) = relation_of(&entry.object) {
                *verdict = match of(&relation) {
                    Some(Belongs::Platform) => part_of_platform(entry, model, &positions, &first),
                    // An extension's table.
                    None => Belongs::Either,
                    Some(other) => other,
                };
            } else if entry.head.owner.is_none() && entry.head.schema.is_none() {
                let platform = |id: &ObjectId| of(id) == Some(Belongs::Platform);
                if *verdict == Belongs::User && entry.head.depends.iter().any(platform) {
                    *verdict = Belongs::Either;
                }
            }
        }
        judged
    }

    /// The judgement on an object by its own owner and schema.
    fn alone(self, Entry { head, object }: &Entry) -> Belongs {
        let rules = self.rules();
        let owner = head.owner.as_deref().unwrap_or_default();
        let by_platform = self.has_role(owner);
        let schema = if object.kind() == "schema" { Some(&head.name) } else { head.schema.as_ref() };
        match object {
            Object::Schema(_) if head.name == PUBLIC => Belongs::User,
            Object::Schema(_) if self.has_schema(&head.name) => Belongs::Platform,
            Object::DefaultAcl(acl)
                if self.has_role(&acl.role) || schema.is_some_and(|schema| self.has_schema(schema)) =>
            {
                Belongs::Platform
            }
            // An extension is wanted whoever created it, and made where it is missing. Users add their tables to the
            // platform's publication.
            Object::Extension(_)
            | Object::SystemAcl(_)
            | Object::SystemOwner(_)
            | Object::SystemLabel(_)
            | Object::Publication(_) => Belongs::Either,
            _ if has(rules.owners_anywhere, owner) => Belongs::Platform,
            _ => match schema {
                Some(schema) if self.has_schema(schema) && by_platform => Belongs::Platform,
                Some(schema) if self.has_schema(schema) => Belongs::Either,
                None if by_platform => Belongs::Platform,
                Some(_) | None => Belongs::User,
            },
        }
    }
}

/// The relation that an object is part of.
fn relation_of(object: &Object) -> Option<ObjectId> {
    match object {
        Object::IdentitySequence(part) => Some(part.table),
        Object::SequenceOwner(part) => Some(part.table),
        Object::Statistics(_) => None,
        _ => object.after_data_of().first().copied(),
    }
}

/// The judgement on what is on a platform's table. Users put triggers and policies there; all else takes its owner.
fn part_of_platform(
    entry: &Entry,
    model: &Model,
    positions: &HashMap<ObjectId, usize>,
    judged: &[Belongs],
) -> Belongs {
    match &entry.object {
        Object::Policy(_) => Belongs::Either,
        Object::Trigger(_) => {
            let calls = entry.head.depends.iter().filter_map(|id| positions.get(id)).find(|at| {
                model.entries.get(**at).is_some_and(|needed| matches!(needed.object, Object::Function(_)))
            });
            let function = calls.and_then(|at| Some((model.entries.get(*at)?, judged.get(*at)?)));
            match function {
                // The platform's own trigger calls a function of its table's schema.
                Some((function, Belongs::Platform)) if function.head.schema == entry.head.schema => {
                    Belongs::Platform
                }
                Some((_, Belongs::User)) => Belongs::User,
                _ => Belongs::Either,
            }
        }
        _ => Belongs::Platform,
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What is no profile's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no profile \"{0}\": supabase, rds, none")]
pub struct UnknownProfile(String);

impl FromStr for Profile {
    type Err = UnknownProfile;

    fn from_str(text: &str) -> Result<Self, UnknownProfile> {
        let named = Self::ALL.into_iter().find(|profile| profile.name() == text);
        named.ok_or_else(|| UnknownProfile(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_the_platforms_tables_are_told_apart() {
        let supabase = Profile::Supabase;
        assert_eq!(supabase.rows("auth", "users", "supabase_auth_admin"), Rows::Taken);
        assert_eq!(supabase.rows("auth", "schema_migrations", "supabase_auth_admin"), Rows::LeftOut);
        assert_eq!(supabase.rows("vault", "secrets", "supabase_admin"), Rows::TakenNotPortable);
        assert_eq!(supabase.rows("realtime", "subscription", "supabase_admin"), Rows::LeftOut);
        assert_eq!(
            supabase.rows("extensions", "mine", "postgres"),
            Rows::Taken,
            "a user's table among theirs"
        );
        assert_eq!(supabase.rows("public", "old", "supabase_admin"), Rows::Taken, "made by an old console");
        assert_eq!(supabase.rows("supabase_migrations", "schema_migrations", "postgres"), Rows::Taken);
        assert_eq!(Profile::Rds.rows("public", "t", "rdsadmin"), Rows::LeftOut);
        assert_eq!(Profile::Rds.rows("public", "t", "rds_superuser"), Rows::Taken);
        assert_eq!(Profile::None.rows("auth", "schema_migrations", "supabase_auth_admin"), Rows::Taken);
    }

    #[test]
    fn names_are_read_back() {
        for profile in Profile::ALL {
            assert_eq!(profile.name().parse(), Ok(profile));
        }
        assert!("heroku".parse::<Profile>().is_err());
        assert!(has(&["supabase_*"], "supabase_admin") && !has(&["supabase_*"], "supabase"));
    }
}
