//! Rows that the archive does not have, where a table's content is to be the archive's: what would go is kept beside.

use serde::Deserialize;

use super::keys::{ForeignKey, Violation};
use super::recover::number;
use super::subject::Subject;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::pg::Session;
use crate::pg::quote::{ident, literal, printable, qualified};

/// The longest name of a table (PostgreSQL manual, section 4.1.1).
const MAX_NAME_BYTES: usize = 63;

/// Chooses all staged live rows that the archive does not have.
pub(super) async fn choose_extra(session: &Session, subject: &Subject) -> Result<()> {
    if subject.key.is_empty() {
        let message =
            format!("{} has no key: its rows cannot be told apart to delete some", subject.display());
        return Err(Error::new(ErrorKind::Refused, message).hint(
            "give --only missing to insert what is lost, or restore the table beside the live one with --as",
        ));
    }
    let sql =
        format!("UPDATE {} SET reason = 'not in the archive' WHERE difference = 'e'", subject.live_stage());
    session.execute(&sql).await?;
    Ok(session.execute(&format!("ANALYZE {}", subject.live_stage())).await?)
}

/// How many live rows would go.
pub(super) async fn going(session: &Session, subject: &Subject) -> Result<u64> {
    number(
        session,
        &format!("SELECT pg_catalog.count(*) FROM {} WHERE reason IS NOT NULL", subject.live_stage()),
    )
    .await
}

/// How many live rows would change.
async fn changing(session: &Session, subject: &Subject) -> Result<u64> {
    let changed = "reason IS NOT NULL AND difference = 'c'";
    number(session, &format!("SELECT pg_catalog.count(*) FROM {} WHERE {changed}", subject.stage())).await
}

/// What a replacement means for the rows that reference those which go or change.
#[derive(Debug, Default)]
pub(super) struct Orphans {
    /// Live rows that would be left with nothing to reference.
    pub(super) violations: Vec<Violation>,
    /// Keys whose referenced values go in one row and come in another, or whose referencing rows change. Until all is
    /// written they do not hold, and `ON DELETE CASCADE` would take rows along, unseen.
    pub(super) released: Vec<ForeignKey>,
}

/// Looks for live rows that reference values which would go: whatever the key's action is, they are named.
pub(super) async fn orphans(session: &Session, subjects: &[Subject], keys: &[ForeignKey]) -> Result<Orphans> {
    let mut found = Orphans::default();
    for key in keys {
        let by_oid = |oid: u32| subjects.iter().find(|subject| subject.live.oid == oid);
        let Some(parent) = by_oid(key.references).filter(|parent| !parent.key.is_empty()) else { continue };
        if !key.columns.iter().all(|(_, other, _)| parent.columns.contains(other)) {
            continue;
        }
        if going(session, parent).await? == 0
            && (is_by_key(key, parent) || changing(session, parent).await? == 0)
        {
            continue;
        }
        let child = by_oid(key.table).filter(|child| !child.key.is_empty());
        let table = qualified(Some(&key.table_schema), &key.table_name);
        let touched = format!("FROM {table} c WHERE {}", touched(key, parent, child));
        let any = format!("SELECT EXISTS (SELECT {touched})");
        if session.query_one_text(&any).await?.as_deref() != Some("t") {
            continue;
        }
        let dangling = format!("{touched} AND {}", stays_without(key, parent, child));
        let rows = number(session, &format!("SELECT pg_catalog.count(*) {dangling}")).await?;
        if rows == 0 {
            found.released.push(key.clone());
            continue;
        }
        let own: Vec<String> = key.columns.iter().map(|(own, ..)| format!("c.{}", ident(own))).collect();
        let values = format!("SELECT DISTINCT ROW({})::pg_catalog.text {dangling} LIMIT 10", own.join(", "));
        let values = session.query_text(&values).await?.into_iter().flatten().flatten();
        found.violations.push(Violation {
            table: printable(&format!("{}.{}", key.table_schema, key.table_name)),
            constraint: printable(&key.name),
            references: parent.display(),
            would_go: true,
            rows,
            values: values.map(|value| printable(&value)).collect(),
        });
    }
    Ok(found)
}

/// Whether what a key references tells the rows of the table apart, so that a row that is changed keeps it.
fn is_by_key(key: &ForeignKey, parent: &Subject) -> bool {
    key.columns.iter().all(|(_, other, _)| parent.key.iter().any(|column| column.name == *other))
}

/// A condition: live row `c` references a row that is deleted or gets another value in its place, and is not deleted itself.
fn touched(key: &ForeignKey, parent: &Subject, child: Option<&Subject>) -> String {
    let goes = format!(
        "EXISTS (SELECT FROM {} e WHERE e.reason IS NOT NULL AND {})",
        parent.live_stage(),
        key.join(|own, other, equals| format!("e.{} {equals} c.{}", parent.staged(other), ident(own)))
    );
    let changes = if is_by_key(key, parent) {
        String::new()
    } else {
        let differ: Vec<String> = key
            .columns
            .iter()
            .map(|(_, other, _)| {
                let (then, now) = (parent.staged(other), ident(other));
                format!("s.{then}::pg_catalog.text IS DISTINCT FROM l.{now}::pg_catalog.text")
            })
            .collect();
        format!(
            " OR EXISTS (SELECT FROM {} s JOIN {} l ON {} WHERE s.reason IS NOT NULL AND s.difference = 'c' \
               AND ({}) AND {})",
            parent.stage(),
            parent.from(),
            parent.same_key("s", "l"),
            differ.join(" OR "),
            key.join(|own, other, equals| format!("l.{} {equals} c.{}", ident(other), ident(own))),
        )
    };
    let stays = child.map_or_else(String::new, |child| {
        format!(
            " AND NOT EXISTS (SELECT FROM {} x WHERE x.reason IS NOT NULL AND {})",
            child.live_stage(),
            child.same_key("x", "c")
        )
    });
    format!("({goes}{changes}){stays}")
}

/// A condition: live row `c` keeps its values, and no row comes that has what it references.
fn stays_without(key: &ForeignKey, parent: &Subject, child: Option<&Subject>) -> String {
    let comes = format!(
        "NOT EXISTS (SELECT FROM {} n WHERE n.reason IS NOT NULL AND {})",
        parent.stage(),
        key.join(|own, other, equals| format!("n.{} {equals} c.{}", parent.staged(other), ident(own)))
    );
    let keeps = child.map_or_else(String::new, |child| {
        format!(
            " AND NOT EXISTS (SELECT FROM {} y WHERE y.reason IS NOT NULL AND y.difference = 'c' AND {})",
            child.stage(),
            child.same_key("y", "c")
        )
    });
    format!("{comes}{keeps}")
}

/// A foreign key that is taken away until all rows are written, and then made again: the server then checks every row.
#[derive(Debug, Deserialize)]
pub(super) struct Released {
    schema: String,
    table: String,
    name: String,
    definition: String,
    #[serde(default)]
    comment: Option<String>,
}

/// Takes keys away for the rest of the transaction. What partitions have of one goes and comes with their table's.
pub(super) async fn release(session: &Session, keys: &[ForeignKey]) -> Result<Vec<Released>> {
    let mut released = Vec::new();
    for key in keys {
        let sql = format!(
            "SELECT n.nspname AS schema, c.relname AS table, k.conname AS name, \
               pg_catalog.pg_get_constraintdef(k.oid) AS definition, \
               pg_catalog.obj_description(k.oid, 'pg_constraint') AS comment FROM pg_catalog.pg_constraint k \
             JOIN pg_catalog.pg_class c ON c.oid = k.conrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             WHERE k.contype = 'f' AND k.coninhcount = 0 AND k.conrelid = {}::pg_catalog.oid AND k.conname = {}",
            key.table,
            literal(&key.name)
        );
        released.extend(session.query_json::<Released>(&sql).await?);
    }
    for key in &released {
        let dropped = session.execute(&key.alter(&format!("DROP CONSTRAINT {}", ident(&key.name)))).await;
        let doing = || format!("take the foreign key {} away for the transaction", key.display());
        dropped.context(doing).map_err(|error| {
            error.hint("values that it references go in one row and come in another; its table's owner may")
        })?;
    }
    Ok(released)
}

impl Released {
    fn display(&self) -> String {
        printable(&format!("{} of {}.{}", self.name, self.schema, self.table))
    }

    fn alter(&self, what: &str) -> String {
        format!("ALTER TABLE {} {what}", qualified(Some(&self.schema), &self.table))
    }

    /// Makes the key again.
    pub(super) async fn put_back(&self, session: &Session) -> Result<()> {
        let name = ident(&self.name);
        let made = session.execute(&self.alter(&format!("ADD CONSTRAINT {name} {}", self.definition))).await;
        made.context(|| format!("check the foreign key {} again", self.display()))?;
        if let Some(comment) = &self.comment {
            let table = qualified(Some(&self.schema), &self.table);
            let sql = format!("COMMENT ON CONSTRAINT {name} ON {table} IS {}", literal(comment));
            session.execute(&sql).await?;
        }
        Ok(())
    }
}

/// The name of the table that keeps what goes, as of the transaction's time: `NAME_before_TIME`.
pub(super) async fn kept_name(session: &Session, subject: &Subject) -> Result<String> {
    let now = "SELECT pg_catalog.to_char(pg_catalog.now() AT TIME ZONE 'UTC', 'YYYYMMDD\"T\"HH24MISS\"Z\"')";
    let suffix = format!("_before_{}", session.query_one_text(now).await?.unwrap_or_default());
    let mut name = subject.name.clone();
    while name.len() + suffix.len() > MAX_NAME_BYTES {
        name.pop();
    }
    name.push_str(&suffix);
    Ok(name)
}

/// Keeps the live rows that will be overwritten or deleted, whole, in a new table beside. Gives its name.
pub(super) async fn keep(session: &Session, subject: &Subject) -> Result<String> {
    let name = kept_name(session, subject).await?;
    let kept = qualified(Some(&subject.schema), &name);
    let (from, key) = (subject.from(), subject.same_key("s", "l"));
    let overwritten = format!(
        "SELECT l.* FROM {from} l JOIN {} s ON {key} WHERE s.reason IS NOT NULL AND s.difference = 'c'",
        subject.stage()
    );
    let deleted = format!(
        "SELECT l.* FROM {from} l JOIN {} s ON {key} WHERE s.reason IS NOT NULL",
        subject.live_stage()
    );
    let sql = format!("CREATE TABLE {kept} AS {overwritten}; INSERT INTO {kept} {deleted}");
    session.execute(&sql).await.context(|| format!("keep the rows of {} that will go", subject.display()))?;
    Ok(subject.display_of(&name))
}

/// Deletes the chosen live rows; gives how many.
pub(super) async fn delete(session: &Session, subject: &Subject) -> Result<u64> {
    let sql = format!(
        "WITH done AS (DELETE FROM {} AS l USING {} s WHERE s.reason IS NOT NULL AND {} RETURNING 1) \
         SELECT pg_catalog.count(*) FROM done",
        subject.from(),
        subject.live_stage(),
        subject.same_key("s", "l")
    );
    number(session, &sql)
        .await
        .context(|| format!("delete rows of {} that the archive lacks", subject.display()))
}
