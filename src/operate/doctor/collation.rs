//! Collations that have another version than the indexes were made with, and databases without an encoding.

use super::{Finding, Level, Subject, some};
use crate::catalog::text_order::{self, Changed};
use crate::error::Result;
use crate::pg::quote::ident;

pub(super) async fn check(of: &Subject<'_>) -> Result<Vec<Finding>> {
    let mut found = Vec::new();
    let info = of.session.info();
    if info.encoding == "SQL_ASCII" {
        found.push(
            Finding::new(
                "encoding",
                Level::Notice,
                "the database is SQL_ASCII: its text is of any encoding, or of none",
                "bytes are kept as they are, and can only be restored into SQL_ASCII unless they happen to be valid elsewhere",
            )
            .remedy("keep a SQL_ASCII database to restore into; or convert the text, into a database with an encoding"),
        );
    }
    let why =
        "text may sort otherwise than in the indexes: rows are not found, unique indexes take duplicates";
    let mut names = Vec::new();
    for Changed { collation, was, now } in text_order::changed(of.session).await? {
        if let Some(name) = collation {
            names.push(name);
            continue;
        }
        let said = |version: Option<String>| version.unwrap_or_else(|| "none".to_owned());
        let name = ident(&info.database);
        found.push(
            Finding::new(
                "collations",
                Level::Warning,
                format!(
                    "the database was made with version {} of its collation, the system has {}",
                    said(was),
                    said(now)
                ),
                why,
            )
            .remedy(format!(
                "REINDEX DATABASE CONCURRENTLY {name}; ALTER DATABASE {name} REFRESH COLLATION VERSION"
            )),
        );
    }
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
