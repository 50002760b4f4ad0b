//! Whether the server's table of locks has room for one lock on each table.

use super::{Finding, Level, Subject};
use crate::catalog::sql;
use crate::error::Result;
use crate::pg::lock_room;

const CHECK: &str = "locks";

pub(super) async fn check(of: &Subject<'_>) -> Result<Vec<Finding>> {
    let count = format!(
        "SELECT pg_catalog.count(*) FROM pg_catalog.pg_class c WHERE c.relkind IN ('r', 'p') AND {}",
        sql::user_schema("c.relnamespace")
    );
    let tables = of.session.query_one_text(&count).await?.and_then(|text| text.parse().ok()).unwrap_or(0);
    Ok(vec![match lock_room::doubt(of.session, tables, of.jobs).await? {
        None => Finding::ok(CHECK, format!("there is room for a lock on each of {tables} tables")),
        Some(message) => {
            let why = "a full table of locks makes the statements of all others fail, too";
            let wanted = of.session.info().max_locks_per_transaction.saturating_mul(2);
            Finding::new(CHECK, Level::Warning, message, why).remedy(format!(
                "ALTER SYSTEM SET max_locks_per_transaction = {wanted} or more, and restart the server; or fewer --jobs"
            ))
        }
    }])
}
