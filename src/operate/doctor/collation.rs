//! Collations that have another version than the indexes were made with, and databases without an encoding.

use super::{Finding, Level, Subject, some};
use crate::error::Result;
use crate::pg::quote::ident;

pub(super) async fn check(of: &Subject<'_>) -> Result<Vec<Finding>> {
    let mut found = Vec::new();
    let info = of.session.info();
    if info.encoding == "SQL_ASCII" {
        found.push(Finding::new(
            "encoding",
            Level::Notice,
            "the database is SQL_ASCII: its text is of any encoding, or of none",
            "bytes are kept as they are, and can only be restored into SQL_ASCII unless they happen to be valid elsewhere",
        ));
    }
    let why =
        "text may sort otherwise than in the indexes: rows are not found, unique indexes take duplicates";
    if of.session.version().at_least(15) {
        let sql = "SELECT d.datcollversion, pg_catalog.pg_database_collation_actual_version(d.oid) FROM pg_catalog.pg_database d \
                   WHERE d.datname = pg_catalog.current_database() AND d.datcollversion IS DISTINCT FROM \
                   pg_catalog.pg_database_collation_actual_version(d.oid)";
        for row in of.session.query_text(sql).await? {
            let part = |at: usize| row.get(at).cloned().flatten().unwrap_or_else(|| "none".to_owned());
            let name = ident(&info.database);
            found.push(
                Finding::new(
                    "collations",
                    Level::Warning,
                    format!(
                        "the database was made with version {} of its collation, the system has {}",
                        part(0),
                        part(1)
                    ),
                    why,
                )
                .remedy(format!(
                    "REINDEX DATABASE CONCURRENTLY {name}; ALTER DATABASE {name} REFRESH COLLATION VERSION"
                )),
            );
        }
    }
    let sql = "SELECT pg_catalog.format('%I.%I', n.nspname, c.collname) FROM pg_catalog.pg_collation c \
               JOIN pg_catalog.pg_namespace n ON n.oid = c.collnamespace \
               WHERE c.collversion <> pg_catalog.pg_collation_actual_version(c.oid) AND EXISTS (SELECT FROM pg_catalog.pg_depend d \
                 WHERE d.refclassid = 'pg_catalog.pg_collation'::pg_catalog.regclass AND d.refobjid = c.oid) ORDER BY 1";
    let names: Vec<String> = of.session.query_text(sql).await?.into_iter().flatten().flatten().collect();
    if let Some(first) = names.first() {
        found.push(
            Finding::new(
                "collations",
                Level::Warning,
                format!("these have another version than when they were made: {}", some(&names)),
                why,
            )
            .remedy(format!("REINDEX the indexes that use it; ALTER COLLATION {first} REFRESH VERSION")),
        );
    }
    if found.is_empty() {
        found.push(Finding::ok("collations", format!("encoding {}, versions as they were", info.encoding)));
    }
    Ok(found)
}
