//! Keeps others from writing into a live database that is emptied and filled again in place.
//!
//! ```text
//! locks of all tables ─▶ safety backup ─▶ emptied, in the same transaction ─▶ read-only for others ─▶ filled, proven
//! ```
//!
//! The locks end with their session and the setting is written, and taken back, with the marks of the restore: whoever is
//! killed leaves a database that can be written to, or one whose marks say why it cannot.

use crate::catalog::fingerprint;
use crate::catalog::sql::PROGRESS_SCHEMA;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::event::{Event, SharedObserver};
use crate::pg::quote::{ident, literal, printable};
use crate::pg::{Session, lock_room};

/// Tables that are locked by one statement.
const BATCH: usize = 500;

/// The tables whose rows can be written: those that `LOCK TABLE` takes, and that the session may lock.
const TABLES: &str = "SELECT pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname) AS name \
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND c.oid >= 16384 AND n.nspname <> 'pg_toast' \
    AND pg_catalog.has_table_privilege(c.oid, 'UPDATE, DELETE, TRUNCATE') ORDER BY c.oid";

/// What the database was when the locks of its tables were had. Locks keep rows, but neither definitions nor large objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Before(String);

/// Locks on the server's own catalogs that reading them takes, in all sessions of a safety backup.
const CATALOGS: u64 = 400;

/// Whether the server's table of locks has room for those of all tables. Those of the safety backup take no more room:
/// they are on the same tables.
pub(super) async fn fit(session: &Session) -> Result<bool> {
    let sql = format!("SELECT pg_catalog.count(*) FROM ({TABLES}) t");
    let count: Option<u64> = session.query_one_text(&sql).await?.and_then(|text| text.parse().ok());
    let room = lock_room::room(session).await?;
    Ok(count.is_some_and(|count| count.saturating_add(CATALOGS) <= room))
}

/// Locks all tables against writers, in the session's transaction: who reads, as the safety backup does, may go on.
pub(super) async fn lock(session: &Session) -> Result<Before> {
    let rows = session.query_text(TABLES).await?;
    let names: Vec<String> = rows.into_iter().flatten().flatten().collect();
    for batch in names.chunks(BATCH) {
        let listed: Vec<String> = batch.iter().map(|name| format!("ONLY {name}")).collect();
        session.execute(&format!("LOCK TABLE {} IN SHARE MODE", listed.join(", "))).await?;
    }
    before(session).await
}

/// Fails if what the locks do not keep is no longer as it was.
pub(super) async fn require_same(session: &Session, were: &Before) -> Result<()> {
    if before(session).await? == *were {
        return Ok(());
    }
    let message = "its definitions or its large objects were changed while it was backed up, so that the backup may lack them";
    Err(Error::new(ErrorKind::Refused, message)
        .hint("keep applications and migrations away, and run it again"))
}

async fn before(session: &Session) -> Result<Before> {
    let definitions = fingerprint::read(session).await?;
    let readable = "SELECT pg_catalog.has_table_privilege('pg_catalog.pg_largeobject', 'SELECT')";
    let readable = session.query_one_text(readable).await?.as_deref() == Some("t");
    // Locked they could not even be read: the server opens them for writing, whatever is done.
    let pages = if readable { LARGE_OBJECT_PAGES } else { "" };
    let sql = format!("SELECT {LARGE_OBJECTS}{pages}");
    let large_objects = session.query_one_text(&sql).await?.unwrap_or_default();
    Ok(Before(format!("{definitions} {large_objects}")))
}

/// Which large objects there are, and whose: a sum of hashes, whatever their order.
const LARGE_OBJECTS: &str = "(SELECT coalesce(pg_catalog.sum(pg_catalog.hashtextextended(\
    m.oid::pg_catalog.text || ' ' || m.xmin::pg_catalog.text, 0)), 0)::pg_catalog.text FROM pg_catalog.pg_largeobject_metadata m)";

/// What is written to a large object are new versions of its pages.
const LARGE_OBJECT_PAGES: &str = " || ' ' || (SELECT coalesce(pg_catalog.sum(pg_catalog.hashtextextended(\
    l.loid::pg_catalog.text || ' ' || l.pageno::pg_catalog.text || ' ' || l.xmin::pg_catalog.text, 0)), 0)::pg_catalog.text \
    FROM pg_catalog.pg_largeobject l)";

/// Makes the database read-only for the sessions of others that begin from the transaction's end on, unless they ask for
/// more; leaves in the marks of the restore what the setting was. Who may not set it is warned.
pub(super) async fn shut_out(session: &Session, observer: &SharedObserver) -> Result<()> {
    session.execute("SAVEPOINT pgcask_shut").await?;
    let database = &session.info().database;
    let was = "SELECT o.option_value FROM pg_catalog.pg_db_role_setting s, \
               LATERAL pg_catalog.pg_options_to_table(s.setconfig) o WHERE s.setrole = 0 \
               AND s.setdatabase = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()) \
               AND o.option_name = 'default_transaction_read_only'";
    let was = session.query_one_text(was).await?.map_or_else(|| "NULL".to_owned(), |was| literal(&was));
    let sql = format!(
        "CREATE TABLE {PROGRESS_SCHEMA}.shut_out (was pg_catalog.text); \
         INSERT INTO {PROGRESS_SCHEMA}.shut_out VALUES ({was}); \
         ALTER DATABASE {} SET default_transaction_read_only = on",
        ident(database)
    );
    match session.execute(&sql).await {
        Ok(()) => Ok(session.execute("RELEASE SAVEPOINT pgcask_shut").await?),
        // insufficient_privilege
        Err(error) if error.sqlstate() == Some("42501") => {
            session.execute("ROLLBACK TO SAVEPOINT pgcask_shut; RELEASE SAVEPOINT pgcask_shut").await?;
            let message = format!(
                "{} cannot be made read-only for others while it is filled ({error}): keep applications away",
                printable(database)
            );
            observer.event(Event::Warning { message });
            Ok(())
        }
        Err(error) => Err(error).context(|| "make the database read-only for others".to_owned()),
    }
}

/// Does so by itself, where it is not so.
pub(super) async fn shut_all_out(session: &Session, observer: &SharedObserver) -> Result<()> {
    if are_shut_out(session).await? {
        return Ok(());
    }
    session.execute("BEGIN").await?;
    shut_out(session, observer).await?;
    Ok(session.execute("COMMIT").await?)
}

/// Whether others are shut out, as far as the marks tell.
async fn are_shut_out(session: &Session) -> Result<bool> {
    let there = format!("SELECT pg_catalog.to_regclass('{PROGRESS_SCHEMA}.shut_out') IS NOT NULL");
    Ok(session.query_one_text(&there).await?.as_deref() == Some("t"))
}

/// The statements that let others write again, where they are shut out; for the transaction that takes the marks away.
pub(super) async fn let_in(session: &Session) -> Result<Option<String>> {
    if !are_shut_out(session).await? {
        return Ok(None);
    }
    let was = session.query_one_text(&format!("SELECT was FROM {PROGRESS_SCHEMA}.shut_out")).await?;
    let database = ident(&session.info().database);
    let set = was.map_or_else(
        || "RESET default_transaction_read_only".to_owned(),
        |was| format!("SET default_transaction_read_only = {}", literal(&was)),
    );
    Ok(Some(format!("ALTER DATABASE {database} {set}; DROP TABLE {PROGRESS_SCHEMA}.shut_out")))
}

/// Lets others write again, and leaves all other marks.
pub(super) async fn let_all_in(session: &Session) -> Result<()> {
    if let Some(sql) = let_in(session).await? {
        session.execute(&format!("BEGIN; {sql}; COMMIT")).await?;
    }
    Ok(())
}
