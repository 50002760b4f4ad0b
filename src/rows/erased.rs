//! Rows that the erasure ledger names do not come back, whoever asks for them.

use super::recover::number;
use super::subject::Subject;
use crate::erasure::{Erasures, Keys, keys_of};
use crate::error::{Error, ErrorKind, Result};
use crate::pg::Session;
use crate::pg::quote::{ident, printable};

/// Takes them out of the chosen rows of a staging table; gives how many.
pub(super) async fn leave_out(session: &Session, erasures: &Erasures, subject: &Subject) -> Result<u64> {
    let mut left_out = 0;
    for keys in keys_of(session, erasures, subject.live.oid).await? {
        has_columns(&keys, subject)?;
        let sql = format!(
            "WITH left_out AS (UPDATE {} s SET reason = NULL FROM {} WHERE s.reason IS NOT NULL AND s.difference IN ('m', 'c') AND {} RETURNING 1) \
             SELECT pg_catalog.count(*) FROM left_out",
            subject.stage(),
            keys.from(),
            keys.condition(|name| format!("s.{}", subject.staged(name)))
        );
        left_out += number(session, &sql).await?;
    }
    Ok(left_out)
}

/// Deletes them from a table that was just made like the live one; gives how many.
pub(super) async fn delete(
    session: &Session,
    erasures: &Erasures,
    like: &Subject,
    made: &Subject,
) -> Result<u64> {
    let mut deleted = 0;
    for keys in keys_of(session, erasures, like.live.oid).await? {
        has_columns(&keys, like)?;
        let sql = format!(
            "WITH gone AS (DELETE FROM {} t USING {} WHERE {} RETURNING 1) SELECT pg_catalog.count(*) FROM gone",
            made.qualified(),
            keys.from(),
            keys.condition(|name| format!("t.{}", ident(name)))
        );
        deleted += number(session, &sql).await?;
    }
    Ok(deleted)
}

/// Fails when the rows that come from the archive do not have what erased rows are told by.
fn has_columns(keys: &Keys, subject: &Subject) -> Result<()> {
    let Some(lacks) = keys.columns().find(|name| !subject.columns.iter().any(|column| column == name)) else {
        return Ok(());
    };
    let message = format!(
        "the erasure ledger names rows of {} by {}, which the archive does not have",
        subject.display(),
        printable(lacks)
    );
    Err(Error::new(ErrorKind::Refused, message).hint("--no-erasure brings rows back without the ledger"))
}
