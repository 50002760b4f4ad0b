//! Publications that a table was part of. They are not the table's, so that a restore of the table alone does not make
//! them; but where they are still, the table is put back among what they publish.

use super::failures::Failures;
use super::options::Wanted;
use crate::catalog::kind::{Head, Target};
use crate::catalog::kinds::publication::Publication;
use crate::catalog::model::{Entry, Model};
use crate::catalog::registry::Object;
use crate::error::{Context as _, Error, Result};
use crate::event::{Event, SharedObserver};
use crate::pg::Session;
use crate::pg::quote::{literal, printable, qualified};

/// Publications of the archive, for a restore of some tables only.
#[derive(Debug, Default)]
pub(super) struct Publications(Vec<(Head, Publication)>);

impl Publications {
    /// Those that a restore of what is wanted leaves out.
    pub(super) fn of(wanted: &Wanted, model: &Model) -> Self {
        if !wanted.selection.is_narrowed() || !wanted.sections.post_data {
            return Self::default();
        }
        let publication = |entry: &Entry| match &entry.object {
            Object::Publication(publication) if !publication.tables.is_empty() => {
                Some((entry.head.clone(), publication.clone()))
            }
            _ => None,
        };
        Self(model.entries.iter().filter_map(publication).collect())
    }

    /// Puts tables that were created back into the publications of these names that the target has. Whether the role may
    /// do that is another matter: a failure is told, and undoes nothing.
    pub(super) async fn put_back(
        &self,
        session: &Session,
        target: &Target,
        created: &[Entry],
        failures: &Failures,
        observer: &SharedObserver,
    ) -> Result<()> {
        let made = |id| created.iter().any(|entry| entry.head.id == id && entry.object.kind() == "table");
        for (head, publication) in &self.0 {
            for table in publication.tables.iter().filter(|table| made(table.id)) {
                let name = qualified(Some(&table.schema), &table.name);
                let lacks = format!(
                    "SELECT p.pubname FROM pg_catalog.pg_publication p WHERE p.pubname = {} AND NOT p.puballtables \
                     AND NOT EXISTS (SELECT FROM pg_catalog.pg_publication_rel r WHERE r.prpubid = p.oid \
                     AND r.prrelid = {}::pg_catalog.regclass)",
                    literal(&head.name),
                    literal(&name)
                );
                if session.query_one_text(&lacks).await?.is_none() {
                    continue;
                }
                let what = printable(&format!("put {name} back into the publication {}", head.qualified()));
                let Some(statement) = publication.addition(head, table, target) else { continue };
                match session.execute(&statement).await.context(|| what.clone()) {
                    Ok(()) => observer.event(Event::Info { message: what }),
                    Err(error) => failures.note(None, told(error), observer)?,
                }
            }
        }
        Ok(())
    }
}

fn told(error: Error) -> Error {
    error.hint("the publication's owner can add the table with ALTER PUBLICATION … ADD TABLE")
}
