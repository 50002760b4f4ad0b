//! What is known of a live database before another takes its place: who is connected, what stands in the way, and what
//! does not move with a name.

use crate::catalog::database::DatabaseInfo;
use crate::catalog::reader;
use crate::error::Result;
use crate::pg::Session;
use crate::pg::quote::{ident, printable};
use crate::restore::preflight::Finding;

/// The live database.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    pub(crate) database: DatabaseInfo,
    /// Sessions of others.
    pub(crate) sessions: u64,
    /// Bytes on the server's disk.
    pub(crate) bytes: u64,
    /// What stands in the way of a swap and of a restore in place.
    pub(crate) findings: Vec<Finding>,
    /// We may not create or rename databases.
    pub(crate) may_not_rename: Option<Finding>,
    /// What stays with the old database, or must be told, a sentence each.
    pub(crate) left_behind: Vec<String>,
}

/// Reads them, in the live database.
pub(crate) async fn read(session: &Session) -> Result<Facts> {
    let (database, unreadable) = reader::read_database(session).await?;
    let mut left_behind = left_behind(session).await?;
    left_behind.extend(unreadable.into_iter().map(|what| {
        format!("stays with the old database, as {} may not read it: {what}", printable(&session.info().user))
    }));
    let template = template(&database);
    Ok(Facts {
        database,
        sessions: number(
            session,
            "SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_activity a WHERE a.datname = pg_catalog.current_database() \
             AND a.pid <> pg_catalog.pg_backend_pid() AND a.backend_type NOT LIKE 'autovacuum%'",
        )
        .await?,
        bytes: number(session, "SELECT pg_catalog.pg_database_size(pg_catalog.current_database())").await?,
        findings: prepared_transactions(session).await?.into_iter().chain(template).collect(),
        may_not_rename: may_not_rename(session).await?,
        left_behind,
    })
}

async fn number(session: &Session, sql: &str) -> Result<u64> {
    Ok(session.query_one_text(sql).await?.and_then(|text| text.parse().ok()).unwrap_or(0))
}

/// The first column of all rows.
async fn names(session: &Session, sql: &str) -> Result<Vec<String>> {
    let rows = session.query_text(sql).await?;
    Ok(rows
        .into_iter()
        .filter_map(|row| row.into_iter().next().flatten())
        .map(|name| printable(&name))
        .collect())
}

async fn prepared_transactions(session: &Session) -> Result<Vec<Finding>> {
    let prepared = names(
        session,
        "SELECT p.gid FROM pg_catalog.pg_prepared_xacts p WHERE p.database = pg_catalog.current_database() ORDER BY p.prepared",
    )
    .await?;
    if prepared.is_empty() {
        return Ok(Vec::new());
    }
    let name = printable(&session.info().database);
    Ok(vec![Finding {
        fatal: true,
        message: format!(
            "prepared transactions hold {name}, so that it cannot be replaced: {}",
            prepared.join(", ")
        ),
        hint: Some(
            "COMMIT PREPARED or ROLLBACK PREPARED them first; no new ones must come until all is done"
                .to_owned(),
        ),
    }])
}

/// Every new database begins as a copy of it: hardly what is meant to be replaced.
fn template(database: &DatabaseInfo) -> Option<Finding> {
    let name = printable(&database.name);
    database.is_template.then(|| Finding {
        fatal: true,
        message: format!("{name} is a template that new databases are copied from"),
        hint: Some(format!(
            "is it the right one? if it is: ALTER DATABASE {} IS_TEMPLATE false first",
            ident(&database.name)
        )),
    })
}

async fn may_not_rename(session: &Session) -> Result<Option<Finding>> {
    let may = "SELECT r.rolsuper OR (r.rolcreatedb AND pg_catalog.pg_has_role(d.datdba, 'USAGE')) FROM pg_catalog.pg_roles r, \
               pg_catalog.pg_database d WHERE r.rolname = current_user AND d.datname = pg_catalog.current_database()";
    if session.query_one_text(may).await?.as_deref() == Some("t") {
        return Ok(None);
    }
    let (user, name) = (printable(&session.info().user), printable(&session.info().database));
    Ok(Some(Finding {
        fatal: true,
        message: format!("the role {user} may not create databases or is not an owner of {name}"),
        hint: Some(
            "ALTER ROLE … CREATEDB and membership in the owner are needed; or give --in-place".to_owned(),
        ),
    }))
}

async fn left_behind(session: &Session) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    let slots = names(
        session,
        "SELECT s.slot_name FROM pg_catalog.pg_replication_slots s WHERE s.database = pg_catalog.current_database() ORDER BY 1",
    )
    .await?;
    if !slots.is_empty() {
        notes.push(format!(
            "logical replication slots stay with the old database, and go on keeping the write-ahead log: {}; \
             drop them, and make new ones in the restored database",
            slots.join(", ")
        ));
    }
    let subscriptions = names(
        session,
        "SELECT s.subname FROM pg_catalog.pg_subscription s JOIN pg_catalog.pg_database d ON d.oid = s.subdbid \
         WHERE d.datname = pg_catalog.current_database() AND s.subenabled ORDER BY 1",
    )
    .await?;
    if !subscriptions.is_empty() {
        notes.push(format!(
            "subscriptions go on in the old database, and are disabled in the restored one: {}; \
             disable them there before you enable them here",
            subscriptions.join(", ")
        ));
    }
    let cron =
        session.query_one_text("SELECT pg_catalog.current_setting('cron.database_name', true)").await?;
    if cron.is_some() {
        notes.push(
            "pg_cron runs its jobs by the database's name: they go on in the restored database; look at cron.job".to_owned(),
        );
    }
    if session.info().is_pooled {
        notes.push("a pooler stands between: let it RECONNECT after the swap".to_owned());
    }
    Ok(notes)
}
