//! Tables without a primary key, and indexes that are not valid.

use super::{Finding, Level, Subject, some};
use crate::catalog::ident::class;
use crate::catalog::sql;
use crate::error::Result;

pub(super) async fn check(of: &Subject<'_>) -> Result<Vec<Finding>> {
    let names = async |sql: &str| -> Result<Vec<String>> {
        Ok(of.session.query_text(sql).await?.into_iter().flatten().flatten().collect())
    };
    let own = format!(
        "{} AND {}",
        sql::user_schema("c.relnamespace"),
        sql::not_extension_member(class::PG_CLASS, "c.oid")
    );
    let keyless = format!(
        "SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) FROM pg_catalog.pg_class c \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND {own} \
         AND NOT EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid AND i.indisprimary) ORDER BY 1"
    );
    let invalid = format!(
        "SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE NOT i.indisvalid AND c.relkind = 'i' AND {own} ORDER BY 1"
    );
    let (keyless, invalid) = (names(&keyless).await?, names(&invalid).await?);
    let mut found = Vec::new();
    if !keyless.is_empty() {
        found.push(
            Finding::new(
                "primary keys",
                Level::Notice,
                format!("{} tables have none: {}", keyless.len(), some(&keyless)),
                "single rows are compared and brought back as wholes there, which reads more, and cannot update a row",
            )
            .remedy("ALTER TABLE … ADD PRIMARY KEY"),
        );
    }
    if let Some(first) = invalid.first() {
        found.push(
            Finding::new(
                "indexes",
                Level::Warning,
                format!("{} are not valid: {}", invalid.len(), some(&invalid)),
                "no query uses them, writing still pays for them, a unique one guarantees nothing; backups leave them out",
            )
            .remedy(format!("REINDEX INDEX CONCURRENTLY {first}, or drop it")),
        );
    }
    if found.is_empty() {
        found.push(Finding::ok("tables", "all have a primary key, and all indexes are valid"));
    }
    Ok(found)
}
