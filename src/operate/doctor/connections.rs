//! Whether as many sessions can be opened as backups and restores use.

use super::{Finding, Level, Subject};
use crate::error::Result;

const CHECK: &str = "connections";

/// What may still be opened by: the server, the database, the role. A limit of -1 is none.
const LEFT: &str = "SELECT least( \
      pg_catalog.current_setting('max_connections')::pg_catalog.int8 \
        - CASE WHEN pg_catalog.current_setting('is_superuser') = 'on' THEN 0 ELSE \
            pg_catalog.current_setting('superuser_reserved_connections')::pg_catalog.int8 \
            + coalesce(pg_catalog.current_setting('reserved_connections', true), '0')::pg_catalog.int8 END \
        - (SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_activity a WHERE a.backend_type = 'client backend'), \
      (SELECT CASE WHEN d.datconnlimit >= 0 THEN d.datconnlimit - (SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_activity a \
          WHERE a.datname = d.datname AND a.backend_type = 'client backend') END \
        FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database() \
          AND pg_catalog.current_setting('is_superuser') = 'off'), \
      (SELECT CASE WHEN r.rolconnlimit >= 0 THEN r.rolconnlimit - (SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_activity a \
          WHERE a.usename = r.rolname AND a.backend_type = 'client backend') END \
        FROM pg_catalog.pg_roles r WHERE r.rolname = current_user AND NOT r.rolsuper))::pg_catalog.text";

pub(super) async fn check(of: &Subject<'_>) -> Result<Vec<Finding>> {
    let left: i64 = of.session.query_one_text(LEFT).await?.and_then(|text| text.parse().ok()).unwrap_or(0);
    // A coordinator and the workers; this session is one of them.
    let wanted = i64::try_from(of.jobs).unwrap_or(i64::MAX);
    let found = format!("{left} more can be opened, and a backup with {wanted} jobs opens {wanted}");
    Ok(vec![if left >= wanted {
        Finding::ok(CHECK, found)
    } else {
        Finding::new(CHECK, Level::Critical, found, "backups and restores would fail for want of connections")
            .remedy("fewer --jobs; or raise max_connections, or the limit of the database or the role")
    }])
}
