//! What swaps and interrupted restores leave on a server: found by names and by marks, listed, and discarded one by one.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::names::{self, Beside};
use crate::catalog::sql::PROGRESS_SCHEMA;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::pg::quote::{ident, literal, printable};
use crate::pg::{ConnectOptions, Session, SessionKind};
use crate::restore::{exclusive, preflight, prepare, progress};

/// What a leftover is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LeftoverKind {
    /// The database that was live until a swap: the way back.
    Before,
    /// The database that an interrupted restore was filling, or had filled.
    Interrupted,
    /// Marks of an interrupted restore, in a database under its own name.
    Marks,
    /// A list of foreign keys that are still to be validated.
    Pending,
    /// The note of its replacement, in a database that a rollback brought back: the rollback ended early. It is whole.
    Note,
}

/// Something left on the server.
#[derive(Debug, Clone, Serialize)]
pub struct Leftover {
    /// The database.
    pub name: String,
    /// What it is.
    pub kind: LeftoverKind,
    /// The live database that it belongs to.
    pub database: String,
    /// When it was renamed; for an interrupted restore, when that began.
    pub since: Option<Timestamp>,
    /// Bytes on the server's disk.
    pub bytes: u64,
    /// The backup that is, or was, restored.
    pub archive: Option<String>,
    /// The backup of the live database that was taken before.
    pub safety_backup: Option<String>,
    /// A restore is at work in it just now.
    pub at_work: bool,
}

/// The names of all databases.
pub(super) async fn database_names(session: &Session) -> Result<BTreeSet<String>> {
    let rows = session.query_text("SELECT d.datname FROM pg_catalog.pg_database d").await?;
    Ok(rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect())
}

/// Finds all leftovers beside one live database, or beside all of the server's. Nothing is changed.
///
/// # Errors
/// When the server cannot be reached. A database that does not let us in is listed by what its name says.
pub async fn leftovers(target: &ConnectOptions, database: Option<&str>) -> Result<Vec<Leftover>> {
    let session = match prepare::maintenance(target).await {
        Ok(session) => session,
        Err(_) => Session::open(target, SessionKind::Target).await?,
    };
    let sql = "SELECT d.datname AS name, coalesce(CASE WHEN pg_catalog.has_database_privilege(d.oid, 'CONNECT') \
               THEN pg_catalog.pg_database_size(d.oid) END, 0) AS bytes FROM pg_catalog.pg_database d \
               WHERE d.datallowconn ORDER BY d.datname";
    let mut found = Vec::new();
    for Row { name, bytes } in session.query_json(sql).await? {
        let beside = match database {
            Some(live) => names::beside_of(live, &name),
            None => names::beside(&name).map(|(_, beside)| beside),
        };
        let left = match beside {
            Some(beside) => describe(target, &name, bytes, beside, database).await,
            None if database.is_none_or(|live| live == name) => marks(target, &name, bytes).await,
            None => None,
        };
        found.extend(left);
    }
    Ok(found)
}

#[derive(Deserialize)]
struct Row {
    name: String,
    bytes: u64,
}

async fn describe(
    target: &ConnectOptions,
    name: &str,
    bytes: u64,
    beside: Beside,
    live: Option<&str>,
) -> Option<Leftover> {
    let stem = names::beside(name).map_or(name, |(stem, _)| stem);
    let mut left = Leftover {
        name: name.to_owned(),
        kind: LeftoverKind::Interrupted,
        database: live.unwrap_or(stem).to_owned(),
        since: None,
        bytes,
        archive: None,
        safety_backup: None,
        at_work: false,
    };
    if let Beside::Before(moment) = beside {
        (left.kind, left.since) = (LeftoverKind::Before, Some(moment));
    }
    let Ok(session) = Session::open(&target.with_database(name), SessionKind::Target).await else {
        return Some(left);
    };
    left.at_work = exclusive::holder(&session).await.is_ok_and(|holder| holder.is_some());
    if left.kind == LeftoverKind::Before {
        if let Ok(Some(kept)) = Kept::read(&session).await {
            (left.database, left.archive, left.safety_backup) = (kept.live, kept.archive, kept.safety);
        }
    } else if let Ok(Some(begun)) = progress::find(&session).await {
        left.since = progress::began(&session).await.ok().flatten();
        left.database = begun.claim.instead_of.unwrap_or(left.database);
        (left.archive, left.safety_backup) = (Some(begun.claim.archive), begun.claim.safety);
    } else if is_somebodys(&session).await {
        return None;
    }
    Some(left)
}

/// Whether a database with a name like ours is a user's: a restore leaves its marks before it makes anything else.
async fn is_somebodys(session: &Session) -> bool {
    let has_marks = progress::has_schema(session).await.unwrap_or(true);
    !has_marks && preflight::not_empty(session).await.is_ok_and(|found| found.is_some())
}

/// Marks in a database under its own name.
async fn marks(target: &ConnectOptions, name: &str, bytes: u64) -> Option<Leftover> {
    let session = Session::open(&target.with_database(name), SessionKind::Target).await.ok()?;
    if !progress::has_schema(&session).await.ok()? {
        return None;
    }
    let claim = progress::find(&session).await.ok().flatten().map(|begun| begun.claim);
    let kind = match claim {
        None if progress::has_pending(&session).await.ok()? => LeftoverKind::Pending,
        None if Kept::read(&session).await.ok()?.is_some() => LeftoverKind::Note,
        Some(_) | None => LeftoverKind::Marks,
    };
    Some(Leftover {
        name: name.to_owned(),
        kind,
        database: name.to_owned(),
        since: progress::began(&session).await.ok().flatten(),
        bytes,
        archive: claim.as_ref().map(|claim| claim.archive.clone()),
        safety_backup: claim.and_then(|claim| claim.safety),
        at_work: exclusive::holder(&session).await.is_ok_and(|holder| holder.is_some()),
    })
}

/// Finds the leftover that [`discard`] would discard; touches nothing.
///
/// # Errors
/// When no leftover has that name, or it must not be discarded.
pub async fn find_discardable(target: &ConnectOptions, name: &str) -> Result<Leftover> {
    let all = leftovers(target, None).await?;
    let left = all.into_iter().find(|left| left.name == name).ok_or_else(|| {
        let message = format!("{} is nothing that a swap or an interrupted restore left", printable(name));
        Error::new(ErrorKind::Refused, message).hint("`pgcask rollback --list` lists what can be discarded")
    })?;
    if left.at_work {
        let message = format!("a restore is at work in {}", printable(name));
        return Err(Error::new(ErrorKind::Refused, message).hint("wait for its end, or stop it"));
    }
    if left.kind == LeftoverKind::Pending {
        let message = format!("{} has foreign keys that are still to be validated", printable(name));
        return Err(Error::new(ErrorKind::Refused, message).hint("`pgcask validate --finish` validates them"));
    }
    Ok(left)
}

/// Discards one leftover: drops its database, or removes the marks from it.
///
/// # Errors
/// As for [`find_discardable`], and when somebody is connected to it.
pub async fn discard(target: &ConnectOptions, name: &str) -> Result<Leftover> {
    let left = find_discardable(target, name).await?;
    let doing = || format!("discard {}", printable(name));
    if matches!(left.kind, LeftoverKind::Marks | LeftoverKind::Note) {
        let session = Session::open(&target.with_database(name), SessionKind::Target).await?;
        progress::forget(&session).await.context(doing)?;
        return Ok(left);
    }
    let session = prepare::maintenance(&target.with_database(name)).await?;
    // Without FORCE: whoever is connected uses it, or fills it just now.
    let (quoted, text) = (ident(name), literal(name));
    let template = format!("SELECT d.datistemplate FROM pg_catalog.pg_database d WHERE d.datname = {text}");
    if session.query_one_text(&template).await?.as_deref() == Some("t") {
        session.execute(&format!("ALTER DATABASE {quoted} IS_TEMPLATE false")).await.context(doing)?;
    }
    session.execute(&format!("DROP DATABASE {quoted}")).await.map_err(|error| {
        // object_in_use
        let in_use = error.sqlstate() == Some("55006");
        let error = Error::from(error).context(doing());
        if in_use {
            error.hint("somebody is connected to it: a restore that is still at work, perhaps")
        } else {
            error
        }
    })?;
    Ok(left)
}

/// What a replaced database keeps about the swap, for a rollback.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) live: String,
    pub(super) archive: Option<String>,
    pub(super) safety: Option<String>,
    pub(super) inserted: i64,
    pub(super) updated: i64,
    pub(super) deleted: i64,
}

/// The counters of a database's writes, as columns.
const COUNTERS: &str = "pg_catalog.pg_stat_get_db_tuples_inserted(d.oid) AS inserted, \
    pg_catalog.pg_stat_get_db_tuples_updated(d.oid) AS updated, pg_catalog.pg_stat_get_db_tuples_deleted(d.oid) AS deleted";

impl Kept {
    /// What is to be kept just after a swap; `live` is a session of the new database.
    pub(super) async fn now(live: &Session, claim: Option<&progress::Claim>) -> Result<Self> {
        let mut kept = Self::counters(live).await?;
        kept.archive = claim.map(|claim| claim.archive.clone());
        kept.safety = claim.and_then(|claim| claim.safety.clone());
        Ok(kept)
    }

    /// The counters as they are.
    pub(super) async fn counters(live: &Session) -> Result<Self> {
        let sql = format!(
            "SELECT d.datname AS live, NULL AS archive, NULL AS safety, {COUNTERS} FROM pg_catalog.pg_database d \
             WHERE d.datname = pg_catalog.current_database()"
        );
        let rows: Vec<Self> = live.query_json(&sql).await?;
        rows.into_iter().next().ok_or_else(|| Error::new(ErrorKind::Failed, "the database has no counters"))
    }

    /// With what we ourselves wrote since.
    pub(super) fn and(self, own: progress::OwnWrites) -> Self {
        Self {
            inserted: self.inserted + own.inserted,
            updated: self.updated + own.updated,
            deleted: self.deleted + own.deleted,
            ..self
        }
    }

    pub(super) async fn read(old: &Session) -> Result<Option<Self>> {
        let there = format!("SELECT pg_catalog.to_regclass('{PROGRESS_SCHEMA}.kept') IS NOT NULL");
        if old.query_one_text(&there).await?.as_deref() != Some("t") {
            return Ok(None);
        }
        let sql =
            format!("SELECT live, archive, safety, inserted, updated, deleted FROM {PROGRESS_SCHEMA}.kept");
        Ok(old.query_json(&sql).await?.into_iter().next())
    }

    pub(super) async fn write(&self, old: &Session) -> Result<()> {
        let or_null = |text: Option<&String>| text.map_or_else(|| "NULL".to_owned(), |text| literal(text));
        let sql = format!(
            "BEGIN; DROP SCHEMA IF EXISTS {PROGRESS_SCHEMA} CASCADE; CREATE SCHEMA {PROGRESS_SCHEMA}; \
             CREATE TABLE {PROGRESS_SCHEMA}.kept (live pg_catalog.text, archive pg_catalog.text, safety pg_catalog.text, \
             inserted pg_catalog.int8, updated pg_catalog.int8, deleted pg_catalog.int8); \
             INSERT INTO {PROGRESS_SCHEMA}.kept VALUES ({}, {}, {}, {}, {}, {}); COMMIT",
            literal(&self.live),
            or_null(self.archive.as_ref()),
            or_null(self.safety.as_ref()),
            self.inserted,
            self.updated,
            self.deleted,
        );
        Ok(old.execute(&sql).await?)
    }
}
