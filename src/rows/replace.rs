//! Rows that the archive does not have, where a table's content is to be the archive's: what would go is kept beside.

use super::keys::{ForeignKey, Violation};
use super::recover::number;
use super::subject::Subject;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::pg::Session;
use crate::pg::quote::{ident, printable, qualified};

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

/// Looks for live rows that reference rows which would go. `ON DELETE CASCADE` would take them along, unseen: they are
/// named instead, whatever the key's action is.
pub(super) async fn orphans(
    session: &Session,
    subjects: &[Subject],
    keys: &[ForeignKey],
) -> Result<Vec<Violation>> {
    let mut found = Vec::new();
    for key in keys {
        let by_oid = |oid: u32| subjects.iter().find(|subject| subject.live.oid == oid);
        let Some(parent) = by_oid(key.references) else { continue };
        if going(session, parent).await? == 0 {
            continue;
        }
        let child = qualified(Some(&key.table_schema), &key.table_name);
        if !key.columns.iter().all(|(_, other, _)| parent.columns.contains(other)) {
            continue;
        }
        let equal: Vec<String> = key
            .columns
            .iter()
            .map(|(own, other, equals)| format!("e.{} {equals} c.{}", parent.staged(other), ident(own)))
            .collect();
        let mut condition = format!(
            "EXISTS (SELECT FROM {} e WHERE e.reason IS NOT NULL AND {})",
            parent.live_stage(),
            equal.join(" AND ")
        );
        if let Some(child) = by_oid(key.table).filter(|child| !child.key.is_empty()) {
            condition.push_str(&format!(
                " AND NOT EXISTS (SELECT FROM {} x WHERE x.reason IS NOT NULL AND {})",
                child.live_stage(),
                child.same_key("x", "c")
            ));
        }
        let rows =
            number(session, &format!("SELECT pg_catalog.count(*) FROM {child} c WHERE {condition}")).await?;
        if rows == 0 {
            continue;
        }
        let own: Vec<String> = key.columns.iter().map(|(own, ..)| format!("c.{}", ident(own))).collect();
        let values = format!(
            "SELECT DISTINCT ROW({})::pg_catalog.text FROM {child} c WHERE {condition} LIMIT 10",
            own.join(", ")
        );
        let values = session.query_text(&values).await?.into_iter().flatten().flatten();
        found.push(Violation {
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

/// Keeps the live rows that will be overwritten or deleted, whole, in a new table beside: `NAME_before_TIME`. Gives its
/// name.
pub(super) async fn keep(session: &Session, subject: &Subject) -> Result<String> {
    let now = "SELECT pg_catalog.to_char(pg_catalog.now() AT TIME ZONE 'UTC', 'YYYYMMDD\"T\"HH24MISS\"Z\"')";
    let suffix = format!("_before_{}", session.query_one_text(now).await?.unwrap_or_default());
    let mut name = subject.name.clone();
    while name.len() + suffix.len() > MAX_NAME_BYTES {
        name.pop();
    }
    name.push_str(&suffix);
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
    Ok(printable(&format!("{}.{name}", subject.schema)))
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
