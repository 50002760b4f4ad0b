//! Empties a live database before it is filled again in place: in one transaction, where the server's table of locks has
//! room for all that is dropped; else in several, marked from the first one on, so that a killed run is gone on with.
//! That transaction, or the first of them, may be open since before the safety backup, and keep writers out.

use std::time::Instant;

use serde::Deserialize;

use super::options::Options;
use super::progress::{Claim, EMPTYING, Ledger};
use super::requirements;
use super::writers::{self, Before};
use crate::catalog::ident::class;
use crate::catalog::sql::{self, PROGRESS_SCHEMA};
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::event::{Event, SharedObserver};
use crate::pg::quote::{literal, printable};
use crate::pg::{Session, lock_room};
use crate::stop::Stop;

/// Who empties which database.
#[derive(Clone, Copy)]
pub(super) struct Emptier<'a> {
    pub(super) options: &'a Options,
    pub(super) session: &'a Session,
    pub(super) observer: &'a SharedObserver,
    pub(super) stop: &'a Stop,
}

/// What is done in one transaction.
#[derive(Clone, Copy)]
enum Part<'a> {
    /// All that is there; and the restore begins.
    Whole(&'a Claim),
    /// Nothing but what would see the rest go; and the restore begins, marked as one that is not yet through with this.
    Begin(&'a Claim),
    /// Some objects in schemas.
    Pieces(&'a [Piece]),
    /// So many large objects.
    LargeObjects(u64),
    /// All that is left; and the mark goes.
    Rest,
}

/// An object in a schema, and what hangs on it.
#[derive(Debug, Deserialize)]
struct Piece {
    /// As `DROP` names it.
    name: String,
    /// About how many locks dropping it takes.
    cost: u64,
    /// Whether we may drop it, as far as its owner tells.
    ours: bool,
}

const BEGIN: &str = "BEGIN; SET LOCAL lock_timeout = '3s'";
const ROLLBACK: &str = "ROLLBACK";
const SAVEPOINT: &str = "SAVEPOINT pgcask_empty";
const ROLLBACK_TO: &str = "ROLLBACK TO SAVEPOINT pgcask_empty; RELEASE SAVEPOINT pgcask_empty";

/// How often the lock of everything is tried for, each time for some seconds, while others' sessions are ended.
const TRIES: u32 = 10;

/// The share of the server's table of locks that one of several transactions fills. Others need some of it, too, and what
/// dropping an object takes is only about known.
const SHARE: u64 = 8;

/// The names of all that would be dropped.
pub(super) async fn names(session: &Session) -> Result<Vec<String>> {
    Ok(list(session).await?.into_iter().map(|(name, _)| name).collect())
}

/// Whether the server's table of locks has room for dropping all at once: each object, also a type, a constraint or a
/// default, is locked by itself (`AcquireDeletionLock` in `dependency.c`).
pub(super) async fn fits(session: &Session) -> Result<bool> {
    let catalogs = [
        "pg_class",
        "pg_type",
        "pg_proc",
        "pg_constraint",
        "pg_attrdef",
        "pg_trigger",
        "pg_rewrite",
        "pg_policy",
        "pg_largeobject_metadata",
    ];
    let counts = catalogs
        .map(|name| format!("(SELECT pg_catalog.count(*) FROM pg_catalog.{name} WHERE oid >= 16384)"));
    let count = session.query_one_text(&format!("SELECT {}", counts.join(" + "))).await?;
    let count: u64 = count.and_then(|text| text.parse().ok()).unwrap_or(u64::MAX);
    Ok(count <= lock_room::room(session).await? / 2)
}

impl Emptier<'_> {
    /// Begins a transaction in which nobody else writes, and leaves it open for [`Self::empty`]: what is committed after
    /// the safety backup has begun would be in no backup. Nothing, with a warning, where there are too many tables for that.
    pub(super) async fn keep_writers_out(&self) -> Result<Option<Before>> {
        self.observer.event(Event::Phase { name: "locking" });
        let mut locked = None;
        if writers::fit(self.session).await? {
            locked = match self.again(BEGIN, ROLLBACK, || writers::lock(self.session)).await {
                Err(error) if is_full(&error) => None,
                other => Some(other.map_err(|error| {
                    error.context("keep writers out of the live database").hint("nothing was touched")
                })?),
            };
        }
        if locked.is_none() {
            let message = "there are more tables than the server can lock at once (max_locks_per_transaction): keep applications \
                           away, for what they write while the safety backup is taken is lost";
            self.observer.event(Event::Warning { message: message.to_owned() });
        }
        Ok(locked)
    }

    /// Drops all that is in the database and leaves the marks of the restore; `kept` is what [`Self::keep_writers_out`] gave.
    pub(super) async fn empty(&self, claim: &Claim, kept: Option<&Before>) -> Result<()> {
        self.observer.event(Event::Phase { name: "emptying" });
        let began = Instant::now();
        let as_it_was = |error: Error| self.context(error).hint("the database is as it was");
        if let Some(before) = kept {
            writers::require_same(self.session, before).await.map_err(as_it_was)?;
        }
        let inside = kept.is_some();
        if fits(self.session).await? {
            match self.tried(Part::Whole(claim), inside).await {
                // There are other locks than ours.
                Err(error) if is_full(&error) => {}
                done => {
                    self.tell(began);
                    return done.map_err(as_it_was);
                }
            }
        }
        self.refuse_others(&self.pieces().await?)?;
        self.tried(Part::Begin(claim), inside).await.map_err(as_it_was)?;
        self.rest(began).await
    }

    /// Goes on where a killed run was emptying.
    pub(super) async fn go_on(&self) -> Result<()> {
        self.observer.event(Event::Phase { name: "emptying" });
        self.rest(Instant::now()).await
    }

    /// Drops what is there in several transactions.
    async fn rest(&self, began: Instant) -> Result<()> {
        let dropped = self.piecemeal().await;
        dropped.map_err(|error| {
            self.context(error).hint("a part of it is dropped; the same command with --resume goes on")
        })?;
        self.tell(began);
        Ok(())
    }

    async fn piecemeal(&self) -> Result<()> {
        let mut budget = (lock_room::room(self.session).await? / SHARE).max(1);
        let pieces = self.pieces().await?;
        let mut left = pieces.as_slice();
        while !left.is_empty() {
            let (some, more) = left.split_at_checked(within(left, budget)).unwrap_or((left, &[]));
            match self.tried(Part::Pieces(some), false).await {
                Ok(()) => left = more,
                Err(error) if is_full(&error) && some.len() > 1 => budget = (budget / 2).max(1),
                Err(error) => return Err(error),
            }
        }
        while self.count("SELECT pg_catalog.count(*) FROM pg_catalog.pg_largeobject_metadata").await? > 0 {
            self.tried(Part::LargeObjects(budget), false).await?;
        }
        self.tried(Part::Rest, false).await
    }

    /// Runs a part, again when others' locks are in the way; `inside` the transaction that keeps writers out, or in its own.
    async fn tried(&self, part: Part<'_>, inside: bool) -> Result<()> {
        let (begin, undo) = if inside { (SAVEPOINT, ROLLBACK_TO) } else { (BEGIN, ROLLBACK) };
        self.again(begin, undo, || self.run(part)).await
    }

    /// Does something in a transaction, or in a part of one, again when others' locks are in the way.
    async fn again<T>(&self, begin: &str, undo: &str, work: impl AsyncFn() -> Result<T>) -> Result<T> {
        let mut tries = 0;
        loop {
            self.stop.check()?;
            self.end_others().await?;
            self.session.execute(begin).await?;
            let error = match work().await {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            self.session.execute(undo).await?;
            tries += 1;
            // lock_not_available, deadlock_detected
            if tries >= TRIES || !matches!(error.sqlstate(), Some("55P03" | "40P01")) {
                return Err(error);
            }
        }
    }

    async fn run(&self, part: Part<'_>) -> Result<()> {
        let session = self.session;
        match part {
            Part::Whole(claim) => {
                self.drop_listed().await?;
                session.execute(&Ledger::begin_sql(claim)).await?;
                writers::shut_out(session, self.observer).await?;
            }
            Part::Begin(claim) => {
                for name in event_triggers(session).await? {
                    self.drop(&name).await?;
                }
                session.execute(&Ledger::begin_sql(claim)).await?;
                let mark = format!("INSERT INTO {PROGRESS_SCHEMA}.done VALUES ({})", literal(EMPTYING));
                session.execute(&mark).await?;
                writers::shut_out(session, self.observer).await?;
            }
            Part::Pieces(pieces) => {
                for piece in pieces {
                    self.drop(&piece.name).await?;
                }
            }
            Part::LargeObjects(count) => {
                let sql = format!(
                    "SELECT pg_catalog.lo_unlink(m.oid) FROM (SELECT oid FROM pg_catalog.pg_largeobject_metadata LIMIT {count}) m"
                );
                session.execute(&sql).await?;
            }
            Part::Rest => {
                self.drop_listed().await?;
                let mark = format!("DELETE FROM {PROGRESS_SCHEMA}.done WHERE step = {}", literal(EMPTYING));
                session.execute(&mark).await?;
            }
        }
        Ok(session.execute("COMMIT").await?)
    }

    /// Drops all that is there, and makes sure that nothing is left.
    async fn drop_listed(&self) -> Result<()> {
        let session = self.session;
        for (name, may_stay) in list(session).await? {
            session.execute("SAVEPOINT pgcask_drop").await?;
            match self.drop(&name).await {
                Ok(()) => session.execute("RELEASE SAVEPOINT pgcask_drop").await?,
                // insufficient_privilege
                Err(error) if may_stay && error.sqlstate() == Some("42501") => {
                    session
                        .execute("ROLLBACK TO SAVEPOINT pgcask_drop; RELEASE SAVEPOINT pgcask_drop")
                        .await?;
                    let message = format!("{} stays, for we may not drop it", printable(&name));
                    self.observer.event(Event::Warning { message });
                }
                Err(error) => return Err(error),
            }
        }
        session
            .execute("SELECT pg_catalog.lo_unlink(m.oid) FROM pg_catalog.pg_largeobject_metadata m")
            .await?;
        let left = format!(
            "SELECT c.oid::pg_catalog.regclass FROM pg_catalog.pg_class c WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND {} AND {}",
            sql::user_schema("c.relnamespace"),
            sql::not_extension_member(class::PG_CLASS, "c.oid"),
        );
        let left: Vec<String> = session.query_text(&left).await?.into_iter().flatten().flatten().collect();
        if !left.is_empty() {
            let message = format!("some relations could not be dropped: {}", requirements::listed(&left));
            return Err(Error::new(ErrorKind::Failed, message));
        }
        Ok(())
    }

    async fn drop(&self, name: &str) -> Result<()> {
        let dropped = self.session.execute(&format!("DROP {}", with_if_exists(name))).await;
        dropped.context(|| format!("drop {}", printable(name)))
    }

    /// The objects in schemas, those first on which the fewest others depend: partitions before their tables, tables that
    /// reference before those that are referenced. What one `DROP … CASCADE` takes along is thus little.
    async fn pieces(&self) -> Result<Vec<Piece>> {
        let sql = format!(
            "SELECT x.name, 4 + 3 * x.dependents AS cost, x.ours FROM (SELECT DISTINCT ON (d.classid, d.objid) \
               {NAME} AS name, d.classid <> 'pg_catalog.pg_class'::pg_catalog.regclass AS late, \
               (SELECT pg_catalog.count(*) FROM pg_catalog.pg_depend o WHERE o.refclassid = d.classid AND o.refobjid = d.objid) AS dependents, \
               coalesce((SELECT pg_catalog.pg_has_role(c.relowner, 'USAGE') FROM pg_catalog.pg_class c \
                 WHERE c.oid = d.objid AND d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass), true) AS ours \
             FROM {IN_SCHEMAS} AND {} ORDER BY d.classid, d.objid) x ORDER BY x.late, x.dependents, x.name",
            sql::user_schema("d.refobjid")
        );
        Ok(self.session.query_json(&sql).await?)
    }

    /// Fails if there is something that we may not drop, before anything is.
    fn refuse_others(&self, pieces: &[Piece]) -> Result<()> {
        let others = pieces.iter().filter(|piece| !piece.ours).map(|piece| printable(&piece.name));
        let others: Vec<String> = others.collect();
        if others.is_empty() {
            return Ok(());
        }
        let user = printable(&self.session.info().user);
        let message = format!("{user} may not drop {}", requirements::listed(&others));
        Err(Error::new(ErrorKind::Refused, message)
            .hint("connect as their owner, or as one who has its role"))
    }

    /// Ends the sessions of others.
    pub(super) async fn end_others(&self) -> Result<()> {
        // Within a transaction the server would go on showing those that it showed first.
        self.session.query_one_text("SELECT pg_catalog.pg_stat_clear_snapshot()").await?;
        let sql = "SELECT pg_catalog.count(pg_catalog.pg_terminate_backend(a.pid)) FROM pg_catalog.pg_stat_activity a \
                   WHERE a.datname = pg_catalog.current_database() AND a.pid <> pg_catalog.pg_backend_pid() \
                   AND a.backend_type NOT LIKE 'autovacuum%'";
        self.session.query_one_text(sql).await.map(drop).map_err(|error| {
            Error::from(error)
                .context("end the sessions of others")
                .hint("stop the applications, then try again")
        })
    }

    fn context(&self, error: Error) -> Error {
        error.context(format!("empty {}", printable(&self.options.target.database)))
    }

    fn tell(&self, began: Instant) {
        let what = format!("empty {}", printable(&self.options.target.database));
        self.observer.event(Event::Done { what, seconds: began.elapsed().as_secs_f64() });
    }

    async fn count(&self, sql: &str) -> Result<u64> {
        Ok(self.session.query_one_text(sql).await?.and_then(|text| text.parse().ok()).unwrap_or(0))
    }
}

/// `out_of_memory`: of the table of locks, here.
fn is_full(error: &Error) -> bool {
    error.sqlstate() == Some("53200")
}

/// How many of the pieces cost no more than so many locks together; one at least.
fn within(pieces: &[Piece], budget: u64) -> usize {
    let mut sum = 0u64;
    let fitting = pieces.iter().take_while(|piece| {
        sum = sum.saturating_add(piece.cost);
        sum <= budget
    });
    fitting.count().max(1)
}

/// An object that depends on a schema by `pg_depend d`, as `DROP` names it.
const NAME: &str = "CASE WHEN i.type IN ('function', 'procedure', 'aggregate') THEN 'ROUTINE' \
    WHEN i.type = 'composite type' THEN 'TYPE' WHEN i.type = 'statistics object' THEN 'STATISTICS' \
    ELSE pg_catalog.upper(i.type) END || ' ' || i.identity";

/// The objects that lie in schemas, each by its own `pg_depend d`. The columns of a partition key are internal to the table,
/// which is not for that internal to itself.
const IN_SCHEMAS: &str = "pg_catalog.pg_depend d, LATERAL pg_catalog.pg_identify_object(d.classid, d.objid, 0) i \
    WHERE d.refclassid = 'pg_catalog.pg_namespace'::pg_catalog.regclass AND d.deptype = 'n' \
    AND i.type NOT IN ('extension', 'default acl') AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend m \
      WHERE m.classid = d.classid AND m.objid = d.objid AND m.objsubid = 0 AND m.deptype IN ('e', 'i'))";

async fn event_triggers(session: &Session) -> Result<Vec<String>> {
    let query = identified("pg_event_trigger", &sql::not_extension_member(PG_EVENT_TRIGGER, "o.oid"));
    Ok(session.query_text(&query).await?.into_iter().flatten().flatten().collect())
}

/// The query of the objects of a catalog, as `DROP` names them.
fn identified(catalog: &str, condition: &str) -> String {
    format!(
        "SELECT pg_catalog.upper(i.type) || ' ' || i.identity FROM pg_catalog.{catalog} o, \
         LATERAL pg_catalog.pg_identify_object('pg_catalog.{catalog}'::pg_catalog.regclass, o.oid, 0) i \
         WHERE o.oid >= 16384 AND {condition} ORDER BY 1",
    )
}

/// What is dropped, in order, each as `DROP` names it, and whether one that we may not drop is left as it is.
async fn list(session: &Session) -> Result<Vec<(String, bool)>> {
    let not_member = |class: u32, oid: &str| sql::not_extension_member(class, oid);
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
            format!(
                "SELECT DISTINCT {NAME} FROM {IN_SCHEMAS} \
                 AND d.refobjid = pg_catalog.to_regnamespace('public')::pg_catalog.oid ORDER BY 1"
            ),
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
