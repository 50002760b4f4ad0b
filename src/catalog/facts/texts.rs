//! Definitions that the server writes. Most of a large schema's are alike: the server writes one, and the others' follow from
//! it and their own names.

use std::collections::HashMap;

use futures_util::future::try_join_all;

use crate::pg::{PgError, Session};

/// How a text is like others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Likeness {
    /// All that the text depends on but its names: texts with the same key differ in nothing else.
    pub key: String,
    /// Its names, or lists of them, as they stand in it one after the other, quoted. What lies before the first and between
    /// them opens no parenthesis.
    pub names: Vec<String>,
}

/// A text.
#[derive(Debug)]
struct Wanted {
    oid: u32,
    names: Vec<String>,
    /// The place of the one that it is like.
    like: Option<usize>,
    text: Option<String>,
}

/// Whose texts they are.
#[derive(Debug, Clone, Copy)]
pub enum Of {
    /// Constraints.
    Constraints,
    /// Indexes.
    Indexes,
    /// Defaults, and expressions of generated columns. Only these may name columns: to look them up the server opens the
    /// table.
    Defaults,
}

impl Of {
    /// The query of the texts of these OIDs.
    fn query(self, oids: &str) -> String {
        let function = match self {
            Self::Constraints => "pg_get_constraintdef",
            Self::Indexes => "pg_get_indexdef",
            Self::Defaults => {
                return format!(
                    "SELECT d.oid, pg_catalog.pg_get_expr(d.adbin, CASE WHEN a.attgenerated = '' THEN 0::pg_catalog.oid ELSE d.adrelid END) \
                     FROM pg_catalog.pg_attrdef d JOIN pg_catalog.pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum \
                     WHERE d.oid = ANY ('{{{oids}}}'::pg_catalog.oid[])"
                );
            }
        };
        format!(
            "SELECT x.oid, pg_catalog.{function}(x.oid) FROM pg_catalog.unnest('{{{oids}}}'::pg_catalog.oid[]) x(oid)"
        )
    }
}

/// The texts of objects of one sort.
#[derive(Debug)]
pub struct Texts {
    of: Of,
    wanted: Vec<Wanted>,
    places: HashMap<u32, usize>,
    first: HashMap<String, usize>,
}

impl Texts {
    /// No texts yet.
    pub fn new(of: Of) -> Self {
        Self { of, wanted: Vec::new(), places: HashMap::new(), first: HashMap::new() }
    }

    /// Wants the text of an object, which is like that of others, or like none.
    pub fn want(&mut self, oid: u32, likeness: Option<Likeness>) {
        let place = self.wanted.len();
        let (mut names, mut like) = (Vec::new(), None);
        if let Some(likeness) = likeness {
            names = likeness.names;
            let first = *self.first.entry(likeness.key).or_insert(place);
            like = (first != place).then_some(first);
        }
        self.places.insert(oid, place);
        self.wanted.push(Wanted { oid, names, like, text: None });
    }

    /// Asks the server for those that are like no other. Then [`Self::follow`] makes the others; where a text is not as its
    /// names say, all that are like it are to be asked for, too.
    ///
    /// # Errors
    /// Those of the queries.
    pub async fn ask(&mut self, sessions: &[&Session]) -> Result<(), PgError> {
        let open = self.wanted.iter().filter(|wanted| wanted.text.is_none() && wanted.like.is_none());
        let open: Vec<u32> = open.map(|wanted| wanted.oid).collect();
        if open.is_empty() {
            return Ok(());
        }
        let share = open.len().div_ceil(sessions.len().max(1));
        let asked = sessions.iter().zip(open.chunks(share)).map(|(session, oids)| self.query(session, oids));
        for (oid, text) in try_join_all(asked).await?.into_iter().flatten() {
            let place = self.places.get(&oid);
            if let Some(wanted) = place.and_then(|place| self.wanted.get_mut(*place)) {
                wanted.text = text;
            }
        }
        Ok(())
    }

    async fn query(&self, session: &Session, oids: &[u32]) -> Result<Vec<(u32, Option<String>)>, PgError> {
        let oids: Vec<String> = oids.iter().map(u32::to_string).collect();
        let sql = self.of.query(&oids.join(","));
        let mut texts = Vec::new();
        session
            .each_row(&sql, |row| {
                texts.push((row.parsed(0)?, row.get(1)?.map(str::to_owned)));
                Ok(())
            })
            .await?;
        Ok(texts)
    }

    /// Makes the texts that are like one that is known.
    pub fn follow(&mut self) {
        for place in 0..self.wanted.len() {
            let Some(Wanted { names, like: Some(like), .. }) = self.wanted.get(place) else { continue };
            let made = self.wanted.get(*like).and_then(|first| {
                let between = between(first.text.as_ref()?, &first.names)?;
                (between.len() == names.len() + 1).then(|| with_names(&between, names))
            });
            if let Some(wanted) = self.wanted.get_mut(place) {
                (wanted.text, wanted.like) = (made, None);
            }
        }
    }

    /// The text of an object.
    ///
    /// # Errors
    /// When the server has none: the object was dropped meanwhile.
    pub fn text(&self, oid: u32) -> Result<&str, String> {
        let wanted = self.places.get(&oid).and_then(|place| self.wanted.get(*place));
        wanted.and_then(|wanted| wanted.text.as_deref()).ok_or_else(|| {
            format!("no definition of {oid} of the {:?}: it was dropped while definitions were read", self.of)
        })
    }
}

/// What of a text lies before, between and behind the names; nothing if the text does not have them as [`Likeness`] says.
fn between<'a>(text: &'a str, names: &[String]) -> Option<Vec<&'a str>> {
    let (mut parts, mut rest) = (Vec::with_capacity(names.len() + 1), text);
    for name in names {
        let (before, after) = rest.split_once(name.as_str())?;
        if before.contains('(') {
            return None;
        }
        parts.push(before);
        rest = after;
    }
    parts.push(rest);
    Some(parts)
}

fn with_names(between: &[&str], names: &[String]) -> String {
    let mut text = String::new();
    for (place, part) in between.iter().enumerate() {
        text.push_str(part);
        text.push_str(names.get(place).map(String::as_str).unwrap_or_default());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn names_are_put_where_the_first_has_its_own() {
        let first = r#"FOREIGN KEY ("a") REFERENCES "s"."t"("id") ON DELETE CASCADE"#;
        let found = between(first, &names(&[r#"("a")"#, r#""s"."t""#, r#"("id")"#])).unwrap();
        let other = with_names(&found, &names(&[r#"("b", "c")"#, r#""u"."v""#, r#"("x", "y")"#]));
        assert_eq!(other, r#"FOREIGN KEY ("b", "c") REFERENCES "u"."v"("x", "y") ON DELETE CASCADE"#);
        assert_eq!(with_names(&between("CHECK (true)", &[]).unwrap(), &[]), "CHECK (true)");
    }

    #[test]
    fn what_is_not_where_it_should_be_is_like_nothing() {
        assert_eq!(between(r#"UNIQUE ("a")"#, &names(&[r#"("b")"#])), None);
        // Not the list of the key, but that of what is included.
        let included = r#""btree" ("a" DESC) INCLUDE ("a")"#;
        assert_eq!(between(included, &names(&[r#"("a")"#])), None);
    }
}
