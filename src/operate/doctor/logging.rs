//! What the server writes into its log of the statements of a restore.

use super::{Finding, Level, Subject};
use crate::error::Result;

const CHECK: &str = "logging";

pub(super) async fn check(of: &Subject<'_>) -> Result<Vec<Finding>> {
    let sql = "SELECT pg_catalog.current_setting('log_statement'), pg_catalog.current_setting('log_min_duration_statement')";
    let rows = of.session.query_text(sql).await?;
    let Some([Some(statement), Some(duration)]) = rows.first().map(Vec::as_slice) else {
        return Ok(Vec::new());
    };
    Ok(vec![if matches!(statement.as_str(), "mod" | "all" | "ddl") || duration == "0" {
        Finding::new(
            CHECK,
            Level::Notice,
            format!("log_statement is {statement}, log_min_duration_statement is {duration}"),
            "each definition that a restore makes goes into the server's log, with passwords of user mappings and subscriptions; rows do not",
        )
        .remedy("as a superuser, for the role that restores: ALTER ROLE … SET log_statement = 'none'")
    } else {
        Finding::ok(CHECK, format!("log_statement is {statement}"))
    }])
}
