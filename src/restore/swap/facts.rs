//! What is known of a live database before another takes its place: who is connected, what stands in the way, and what
//! does not move with a name.

use crate::catalog::database::DatabaseInfo;
use crate::error::{Error, ErrorKind, Result};
use crate::pg::Session;
use crate::pg::quote::printable;
use crate::restore::preflight::Finding;

/// The live database.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub(super) database: DatabaseInfo,
    /// Sessions of others.
    pub(super) sessions: u64,
    /// Bytes on the server's disk.
    pub(super) bytes: u64,
    /// What stands in the way.
    pub(super) findings: Vec<Finding>,
    /// What stays with the old database, or must be told, a sentence each.
    pub(super) left_behind: Vec<String>,
}

/// Reads them, in the live database.
pub(super) async fn read(session: &Session) -> Result<Facts> {
    let database = session.query_json(&DatabaseInfo::query(session.version())).await?.into_iter().next();
    let database =
        database.ok_or_else(|| Error::new(ErrorKind::Failed, "the database does not describe itself"))?;
    Ok(Facts {
        database,
        sessions: number(
            session,
            "SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_activity a WHERE a.datname = pg_catalog.current_database() \
             AND a.pid <> pg_catalog.pg_backend_pid() AND a.backend_type NOT LIKE 'autovacuum%'",
        )
        .await?,
        bytes: number(session, "SELECT pg_catalog.pg_database_size(pg_catalog.current_database())").await?,
        findings: findings(session).await?,
        left_behind: left_behind(session).await?,
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

async fn findings(session: &Session) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let mut refuse = |message: String, hint: &str| {
        findings.push(Finding { fatal: true, message, hint: Some(hint.to_owned()) });
    };
    let name = printable(&session.info().database);
    let prepared = names(
        session,
        "SELECT p.gid FROM pg_catalog.pg_prepared_xacts p WHERE p.database = pg_catalog.current_database() ORDER BY p.prepared",
    )
    .await?;
    if !prepared.is_empty() {
        refuse(
            format!(
                "prepared transactions hold {name}, so that it cannot be renamed: {}",
                prepared.join(", ")
            ),
            "COMMIT PREPARED or ROLLBACK PREPARED them first; no new ones must come until the swap is done",
        );
    }
    let may = "SELECT r.rolsuper OR (r.rolcreatedb AND pg_catalog.pg_has_role(d.datdba, 'USAGE')) FROM pg_catalog.pg_roles r, \
               pg_catalog.pg_database d WHERE r.rolname = current_user AND d.datname = pg_catalog.current_database()";
    if session.query_one_text(may).await?.as_deref() != Some("t") {
        refuse(
            format!(
                "the role {} may not create databases or is not an owner of {name}",
                printable(&session.info().user)
            ),
            "ALTER ROLE … CREATEDB and membership in the owner are needed; or give --in-place",
        );
    }
    Ok(findings)
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
