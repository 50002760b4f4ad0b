//! Transactions that are open for long, and locks that a backup would wait for.

use serde::Deserialize;

use super::{Finding, Level, Subject, some};
use crate::catalog::sql;
use crate::error::Result;
use crate::pg::quote::literal;

const CHECK: &str = "transactions";

#[derive(Deserialize)]
struct Open {
    pid: i32,
    who: String,
    state: String,
    seconds: i64,
}

#[derive(Deserialize)]
struct Locked {
    pid: i32,
    relation: String,
    granted: bool,
}

pub(super) async fn check(of: &Subject<'_>) -> Result<Vec<Finding>> {
    let mut found = Vec::new();
    let sees = "SELECT pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE')";
    if of.session.query_one_text(sees).await?.as_deref() == Some("f") {
        found.push(
            Finding::new(
                CHECK,
                Level::Notice,
                "what others do is hidden from this role",
                "long transactions of others cannot be told",
            )
            .remedy("GRANT pg_read_all_stats, or pg_monitor, to the role"),
        );
    }
    found.extend(open(of).await?);
    found.extend(prepared(of).await?);
    found.extend(locked(of).await?);
    if found.is_empty() {
        found.push(Finding::ok(CHECK, "none is open for long, and no lock is in the way"));
    }
    Ok(found)
}

async fn open(of: &Subject<'_>) -> Result<Vec<Finding>> {
    let sql = format!(
        "SELECT a.pid, coalesce(a.usename, '-') AS who, coalesce(a.state, '-') AS state, \
           EXTRACT(epoch FROM pg_catalog.clock_timestamp() - a.xact_start)::pg_catalog.int8 AS seconds FROM pg_catalog.pg_stat_activity a \
         WHERE a.datname = pg_catalog.current_database() AND a.pid <> pg_catalog.pg_backend_pid() AND a.backend_type = 'client backend' \
           AND a.xact_start < pg_catalog.clock_timestamp() - {}::pg_catalog.interval ORDER BY a.xact_start LIMIT 20",
        seconds(of)
    );
    let rows: Vec<Open> = of.session.query_json(&sql).await?;
    let describe = |one: Open| {
        let Open { pid, who, state, seconds } = one;
        Finding::new(
            CHECK,
            Level::Warning,
            format!("process {pid} of {who} has a transaction open for {seconds} s ({state})"),
            "it keeps VACUUM from removing anything since; a restore that must end sessions ends it; DDL in it blocks backups",
        )
        .remedy(format!("SELECT pg_terminate_backend({pid})"))
    };
    Ok(rows.into_iter().map(describe).collect())
}

async fn prepared(of: &Subject<'_>) -> Result<Vec<Finding>> {
    let sql = format!(
        "SELECT p.gid FROM pg_catalog.pg_prepared_xacts p WHERE p.database = pg_catalog.current_database() \
         AND p.prepared < pg_catalog.clock_timestamp() - {}::pg_catalog.interval ORDER BY p.prepared",
        seconds(of)
    );
    let names: Vec<String> = of.session.query_text(&sql).await?.into_iter().flatten().flatten().collect();
    let Some(first) = names.first() else { return Ok(Vec::new()) };
    Ok(vec![
        Finding::new(
            CHECK,
            Level::Warning,
            format!("prepared transactions wait for their end: {}", some(&names)),
            "they keep their locks and hold VACUUM back until somebody ends them; a database with one cannot be swapped",
        )
        .remedy(format!("COMMIT PREPARED or ROLLBACK PREPARED {}", literal(first))),
    ])
}

async fn locked(of: &Subject<'_>) -> Result<Vec<Finding>> {
    let sql = format!(
        "SELECT l.pid, pg_catalog.format('%I.%I', n.nspname, c.relname) AS relation, l.granted FROM pg_catalog.pg_locks l \
         JOIN pg_catalog.pg_database d ON d.oid = l.database AND d.datname = pg_catalog.current_database() \
         JOIN pg_catalog.pg_class c ON c.oid = l.relation JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE l.mode = 'AccessExclusiveLock' AND l.pid IS NOT NULL AND l.pid <> pg_catalog.pg_backend_pid() AND c.relkind IN ('r', 'p', 'm', 'S') \
           AND {} ORDER BY 1, 2",
        sql::user_schema("c.relnamespace")
    );
    let rows: Vec<Locked> = of.session.query_json(&sql).await?;
    let mut by_process: Vec<(i32, Vec<String>)> = Vec::new();
    for Locked { pid, relation, granted } in rows {
        let relation = if granted { relation } else { format!("{relation} (waiting)") };
        match by_process.last_mut().filter(|(last, _)| *last == pid) {
            Some((_, relations)) => relations.push(relation),
            None => by_process.push((pid, vec![relation])),
        }
    }
    let describe = |(pid, relations): (i32, Vec<String>)| {
        Finding::new(
            CHECK,
            Level::Warning,
            format!("process {pid} has, or waits for, an ACCESS EXCLUSIVE lock: {}", some(&relations)),
            "nobody can read these tables meanwhile; a backup waits for --lock-timeout and then fails",
        )
        .remedy(format!("wait for it, or SELECT pg_terminate_backend({pid})"))
    };
    Ok(by_process.into_iter().map(describe).collect())
}

fn seconds(of: &Subject<'_>) -> String {
    literal(&format!("{} seconds", of.long.as_secs_f64()))
}
