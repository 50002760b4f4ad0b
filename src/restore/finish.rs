//! What comes last: where sequences stand, and what the database itself is.

use super::options::{Options, Wanted};
use super::steps::Steps;
use crate::catalog::database::DatabaseInfo;
use crate::catalog::model::SequenceValue;
use crate::error::{Context as _, Result};
use crate::pg::Session;

/// Makes a created database what the source's was: owner, privileges, settings.
pub(super) async fn finish_database(
    session: &Session,
    options: &Options,
    database: &DatabaseInfo,
    steps: &Steps,
) -> Result<()> {
    let Wanted { no_owner, no_acl, .. } = options.wanted;
    let name = &options.target.database;
    for statement in database.finish(name, &steps.definitions.target, !no_owner, !no_acl) {
        let done = session.execute(&statement).await;
        if let Err(error) = done.context(|| "set the properties of the database".to_owned()) {
            steps.failures.keep(None, error, steps.observer())?;
        }
    }
    Ok(())
}

pub(super) async fn set_sequences(
    session: &Session,
    steps: &Steps,
    sequences: &[SequenceValue],
) -> Result<()> {
    let statements: Vec<String> = sequences.iter().map(SequenceValue::set).collect();
    for batch in statements.chunks(200) {
        if !steps.failures.are_kept() {
            session.execute(&batch.join("; ")).await?;
            continue;
        }
        for statement in batch {
            if let Err(error) = session.execute(statement).await {
                steps.failures.keep(None, error.into(), steps.observer())?;
            }
        }
    }
    Ok(())
}
