//! Full restore inside the live database, for servers where none can be created or renamed: emptied in one transaction,
//! then filled as an empty one is. There is no old database to go back to, only the safety backup.

use std::time::Instant;

use serde::Serialize;

use super::fill;
use super::globals::Globals;
use super::options::{Options, Plan, Summary};
use super::preflight::{self, Finding};
use super::prepare;
use super::progress::{self, Claim, Ledger};
use super::swap::{SafetyBackup, facts, whole};
use crate::catalog::ident::class;
use crate::catalog::sql;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::event::{Event, SharedObserver};
use crate::opened::OpenArchive;
use crate::pg::quote::printable;
use crate::pg::{Session, SessionKind};
use crate::stop::Stop;

/// What a restore in place would do.
#[derive(Debug, Clone, Serialize)]
pub struct InPlacePlan {
    /// What would be restored.
    #[serde(flatten)]
    pub restore: Plan,
    /// What would be dropped: schemas, extensions, objects of `public`, each as `DROP` names it.
    pub drops: Vec<String>,
    /// Bytes of the database on the server's disk, as it is.
    pub live_bytes: u64,
    /// Sessions that would be ended.
    pub sessions: u64,
    /// What is to be known about what stays, a sentence each.
    pub left_behind: Vec<String>,
    /// Whether it goes on with an interrupted one: nothing is dropped then.
    pub resumes: bool,
}

/// What a restore in place tells at the end.
#[derive(Debug, Clone, Serialize)]
pub struct InPlaceSummary {
    /// The restore.
    #[serde(flatten)]
    pub restore: Summary,
    /// The backup that was taken first: the way back.
    pub safety_backup: Option<String>,
}

/// Says what a restore in place would do; touches nothing.
///
/// # Errors
/// When the archive cannot be read or the database cannot be reached.
pub async fn plan_in_place(options: &Options, archive: &OpenArchive) -> Result<InPlacePlan> {
    let live = Session::open(&options.target, SessionKind::Target).await?;
    let manifest = archive.manifest().await?;
    let resumes = options.resume && progress::find(&live).await?.is_some();
    let facts = facts::read(&live).await?;
    let mut prepared = prepare::prepare(&options.wanted, options.means(), archive, None).await?;
    let globals = Globals::plan(options, archive, &prepared, Some(&live)).await?;
    let mut findings = preflight::check(options, &mut prepared, &globals, Some(&live), true).await?;
    findings.extend(whole(options, &manifest));
    findings.extend(facts.findings);
    findings.extend(subscriptions(&live).await?);
    Ok(InPlacePlan {
        restore: prepared.describe(options, globals.report(), findings),
        drops: if resumes {
            Vec::new()
        } else {
            list(&live).await?.into_iter().map(|(name, _)| name).collect()
        },
        live_bytes: facts.bytes,
        sessions: facts.sessions,
        left_behind: facts.left_behind,
        resumes,
    })
}

/// Empties the database and fills it. `safety` is run first, unless an interrupted run is gone on with.
///
/// # Errors
/// The first failure. Once it is emptied, the database holds what was restored until then, and a later run with
/// [`Options::resume`] goes on from there.
pub async fn in_place(
    options: &Options,
    archive: &OpenArchive,
    safety: Option<SafetyBackup<'_>>,
    observer: &SharedObserver,
    stop: &Stop,
) -> Result<InPlaceSummary> {
    let live = Session::open(&options.target, SessionKind::Target).await?;
    let manifest = archive.manifest().await?;
    let begun = if options.resume { progress::find(&live).await? } else { None };
    let safety_backup = if let Some(begun) = begun {
        begun.claim.safety
    } else {
        let facts = facts::read(&live).await?;
        let refused: Vec<Finding> = [facts.findings, subscriptions(&live).await?].concat();
        preflight::refuse(&refused.into_iter().chain(whole(options, &manifest)).collect::<Vec<_>>())?;
        let mut claim = Claim::new(&manifest.id, options, None);
        if let Some(backup) = safety {
            observer.event(Event::Phase { name: "safety backup" });
            claim.safety =
                Some(backup.await.context(|| "back up the database before it is emptied".to_owned())?);
        }
        stop.check()?;
        observer.event(Event::Phase { name: "emptying" });
        Box::pin(empty(options, &live, &claim, observer, stop)).await?;
        claim.safety
    };
    drop(live);
    let options = Options { resume: true, create: false, ..options.clone() };
    let filled = Box::pin(fill::fill(&options, archive, observer, stop, None)).await;
    let filled = filled.map_err(|error| match &safety_backup {
        Some(place) => error.hint(format!("the backup of the database as it was is {}", printable(place))),
        None => error,
    })?;
    filled.forget(&options.target).await?;
    Ok(InPlaceSummary { restore: filled.summary, safety_backup })
}

/// A subscription cannot be dropped in a transaction, and its slot lies on another server.
async fn subscriptions(session: &Session) -> Result<Vec<Finding>> {
    let sql = "SELECT pg_catalog.string_agg(s.subname, ', ' ORDER BY s.subname) FROM pg_catalog.pg_subscription s \
               JOIN pg_catalog.pg_database d ON d.oid = s.subdbid WHERE d.datname = pg_catalog.current_database()";
    let names = session.query_one_text(sql).await?;
    let finding = |names: String| Finding {
        fatal: true,
        message: format!("the database has subscriptions: {}", printable(&names)),
        hint: Some(
            "DROP SUBSCRIPTION them first; the restore makes those of the archive, disabled".to_owned(),
        ),
    };
    Ok(names.map(finding).into_iter().collect())
}

/// What is dropped, in order, each as `DROP` names it, and whether one that we may not drop is left as it is.
async fn list(session: &Session) -> Result<Vec<(String, bool)>> {
    let not_member = |class: u32, oid: &str| sql::not_extension_member(class, oid);
    let identified = |catalog: &str, condition: &str| {
        format!(
            "SELECT pg_catalog.upper(i.type) || ' ' || i.identity FROM pg_catalog.{catalog} o, \
             LATERAL pg_catalog.pg_identify_object('pg_catalog.{catalog}'::pg_catalog.regclass, o.oid, 0) i \
             WHERE o.oid >= 16384 AND {condition} ORDER BY 1",
        )
    };
    let any = |class: u32| not_member(class, "o.oid");
    let queries = [
        (identified("pg_event_trigger", &any(PG_EVENT_TRIGGER)), false),
        (identified("pg_publication", &any(PG_PUBLICATION)), false),
        // The procedural language is there in an empty database too.
        (identified("pg_extension", "o.extname <> 'plpgsql'"), true),
        (identified("pg_foreign_data_wrapper", &any(PG_FOREIGN_DATA_WRAPPER)), false),
        (
            format!(
                "SELECT 'SCHEMA ' || pg_catalog.quote_ident(n.nspname) FROM pg_catalog.pg_namespace n \
                 WHERE n.nspname <> 'public' AND {} AND {} ORDER BY 1",
                sql::user_schema_name("n.nspname"),
                not_member(class::PG_NAMESPACE, "n.oid"),
            ),
            false,
        ),
        (
            "SELECT DISTINCT CASE WHEN i.type IN ('function', 'procedure', 'aggregate') THEN 'ROUTINE' \
                   WHEN i.type = 'composite type' THEN 'TYPE' WHEN i.type = 'statistics object' THEN 'STATISTICS' \
                   ELSE pg_catalog.upper(i.type) END || ' ' || i.identity FROM pg_catalog.pg_depend d, \
                 LATERAL pg_catalog.pg_identify_object(d.classid, d.objid, 0) i \
                 WHERE d.refclassid = 'pg_catalog.pg_namespace'::pg_catalog.regclass AND d.deptype = 'n' \
                 AND d.refobjid = pg_catalog.to_regnamespace('public')::pg_catalog.oid AND i.type NOT IN ('extension', 'default acl') \
                 AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend m WHERE m.classid = d.classid AND m.objid = d.objid AND m.deptype IN ('e', 'i')) \
                 ORDER BY 1"
                .to_owned(),
            false,
        ),
        (identified("pg_cast", &any(class::PG_CAST)), false),
        (identified("pg_language", &any(class::PG_LANGUAGE)), false),
        (identified("pg_am", &any(PG_AM)), false),
    ];
    let mut all = Vec::new();
    for (query, may_stay) in queries {
        let rows = session.query_text(&query).await?;
        all.extend(rows.into_iter().flatten().flatten().map(|name| (name, may_stay)));
    }
    Ok(all)
}

const PG_EVENT_TRIGGER: u32 = 3466;
const PG_PUBLICATION: u32 = 6104;
const PG_FOREIGN_DATA_WRAPPER: u32 = 2328;
const PG_AM: u32 = 2601;

/// How often the lock of everything is tried for, each time for some seconds, while others' sessions are ended.
const TRIES: u32 = 10;

/// Drops all that is in the database and leaves the marks of the restore, in one transaction.
async fn empty(
    options: &Options,
    session: &Session,
    claim: &Claim,
    observer: &SharedObserver,
    stop: &Stop,
) -> Result<()> {
    let began = Instant::now();
    let mut tries = 0;
    loop {
        stop.check()?;
        end_others(session).await?;
        let error = match empty_once(session, claim, observer).await {
            Ok(()) => break,
            Err(error) => error,
        };
        session.execute("ROLLBACK").await?;
        tries += 1;
        // lock_not_available, deadlock_detected
        if tries >= TRIES || !matches!(error.sqlstate(), Some("55P03" | "40P01")) {
            let doing = format!("empty {}", printable(&options.target.database));
            return Err(error.context(doing).hint("the database is as it was"));
        }
    }
    let what = format!("empty {}", printable(&options.target.database));
    observer.event(Event::Done { what, seconds: began.elapsed().as_secs_f64() });
    Ok(())
}

async fn end_others(session: &Session) -> Result<()> {
    let sql = "SELECT pg_catalog.count(pg_catalog.pg_terminate_backend(a.pid)) FROM pg_catalog.pg_stat_activity a \
               WHERE a.datname = pg_catalog.current_database() AND a.pid <> pg_catalog.pg_backend_pid() \
               AND a.backend_type NOT LIKE 'autovacuum%'";
    session.query_one_text(sql).await.map(drop).map_err(|error| {
        Error::from(error).context("end the sessions of others").hint("stop the applications, then try again")
    })
}

async fn empty_once(session: &Session, claim: &Claim, observer: &SharedObserver) -> Result<()> {
    session.execute("BEGIN; SET LOCAL lock_timeout = '3s'").await?;
    for (name, may_stay) in list(session).await? {
        session.execute("SAVEPOINT pgcask_drop").await?;
        let dropped = session.execute(&format!("DROP {}", with_if_exists(&name))).await;
        match dropped {
            Ok(()) => session.execute("RELEASE SAVEPOINT pgcask_drop").await?,
            // insufficient_privilege
            Err(error) if may_stay && error.sqlstate() == Some("42501") => {
                session.execute("ROLLBACK TO SAVEPOINT pgcask_drop; RELEASE SAVEPOINT pgcask_drop").await?;
                let message = format!("{} stays, for we may not drop it", printable(&name));
                observer.event(Event::Warning { message });
            }
            Err(error) => return Err(Error::from(error).context(format!("drop {}", printable(&name)))),
        }
    }
    session.execute("SELECT pg_catalog.lo_unlink(m.oid) FROM pg_catalog.pg_largeobject_metadata m").await?;
    let left = format!(
        "SELECT pg_catalog.count(*) FROM pg_catalog.pg_class c WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND {} AND {}",
        sql::user_schema("c.relnamespace"),
        sql::not_extension_member(class::PG_CLASS, "c.oid"),
    );
    if session.query_one_text(&left).await?.as_deref() != Some("0") {
        return Err(Error::new(ErrorKind::Failed, "relations are left that could not be dropped"));
    }
    session.execute(&Ledger::begin_sql(claim)).await?;
    Ok(session.execute("COMMIT").await?)
}

/// `kind IF EXISTS name CASCADE`: what an earlier one took along is no failure.
fn with_if_exists(name: &str) -> String {
    const KINDS: [&str; 8] = [
        "EVENT TRIGGER",
        "FOREIGN DATA WRAPPER",
        "FOREIGN TABLE",
        "MATERIALIZED VIEW",
        "OPERATOR CLASS",
        "OPERATOR FAMILY",
        "ACCESS METHOD",
        "TEXT SEARCH",
    ];
    let known = KINDS.iter().find(|kind| name.starts_with(&format!("{kind} ")));
    let words = match known {
        Some(&"TEXT SEARCH") => 3,
        Some(kind) => kind.split(' ').count(),
        None => 1,
    };
    let mut parts = name.splitn(words + 1, ' ');
    let kind: Vec<&str> = parts.by_ref().take(words).collect();
    let rest = parts.next().unwrap_or_default();
    format!("{} IF EXISTS {rest} CASCADE", kind.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_several_words_are_kept_together() {
        for (name, statement) in [
            ("TABLE public.\"a b\"", "TABLE IF EXISTS public.\"a b\" CASCADE"),
            ("MATERIALIZED VIEW public.m", "MATERIALIZED VIEW IF EXISTS public.m CASCADE"),
            ("TEXT SEARCH CONFIGURATION public.c", "TEXT SEARCH CONFIGURATION IF EXISTS public.c CASCADE"),
            ("CAST (a AS b)", "CAST IF EXISTS (a AS b) CASCADE"),
            ("ROUTINE public.f(integer, text)", "ROUTINE IF EXISTS public.f(integer, text) CASCADE"),
        ] {
            assert_eq!(with_if_exists(name), statement);
        }
    }
}
