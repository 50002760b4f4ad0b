//! A standby stops readers that stand in the way of what it has to replay.

use super::{Finding, Level, Subject};
use crate::error::Result;
use crate::pg::snapshot::parallel_snapshot_is_safe;

const CHECK: &str = "standby";

pub(super) async fn check(of: &Subject<'_>) -> Result<Vec<Finding>> {
    if !of.session.info().is_standby {
        return Ok(Vec::new());
    }
    let mut found = vec![Finding::ok(CHECK, "this is a standby")];
    let sql = "SELECT pg_catalog.current_setting('hot_standby_feedback'), pg_catalog.current_setting('max_standby_streaming_delay'), \
               coalesce(EXTRACT(epoch FROM pg_catalog.clock_timestamp() - pg_catalog.pg_last_xact_replay_timestamp())::pg_catalog.int8, 0)::pg_catalog.text, \
               (pg_catalog.pg_last_wal_receive_lsn() IS DISTINCT FROM pg_catalog.pg_last_wal_replay_lsn())::pg_catalog.text";
    let rows = of.session.query_text(sql).await?;
    let Some([Some(feedback), Some(delay), Some(lag), Some(behind)]) = rows.first().map(Vec::as_slice) else {
        return Ok(found);
    };
    if feedback == "off" {
        found.push(
            Finding::new(
                CHECK,
                Level::Warning,
                format!("hot_standby_feedback is off, max_standby_streaming_delay is {delay}"),
                "what the primary removes must be replayed: after that delay a backup that still needs it is cancelled",
            )
            .remedy("ALTER SYSTEM SET hot_standby_feedback = on, or max_standby_streaming_delay = '6h'; then SELECT pg_reload_conf()"),
        );
    }
    if !parallel_snapshot_is_safe(of.session.version(), true) {
        found.push(
            Finding::new(
                CHECK,
                Level::Warning,
                format!(
                    "snapshots that several sessions share are wrong on standbys of PostgreSQL {}",
                    of.session.version()
                ),
                "backups use one connection here, and take longer",
            )
            .remedy("install the minor release of 2026-11-12 or a later one, or back up the primary"),
        );
    }
    let seconds: i64 = lag.parse().unwrap_or(0);
    if behind == "true" && seconds > of.long.as_secs() {
        found.push(
            Finding::new(
                CHECK,
                Level::Warning,
                format!("it is {seconds} s behind the primary"),
                "a backup shows the state of that time",
            )
            .remedy("find out what holds the replay back (a long query here, a slow disk), or back up the primary"),
        );
    }
    Ok(found)
}
