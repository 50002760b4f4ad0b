//! What swaps and interrupted restores left on the server.

use super::{Finding, Level, Subject};
use crate::error::Result;
use crate::restore::{LeftoverKind, leftovers};

const CHECK: &str = "leftovers";

pub(super) async fn check(of: &Subject<'_>) -> Result<Vec<Finding>> {
    if of.session.info().is_standby {
        return Ok(Vec::new());
    }
    let left = leftovers(of.options, None).await?;
    if left.is_empty() {
        return Ok(vec![Finding::ok(CHECK, "swaps and interrupted restores left nothing")]);
    }
    let describe = |one: &crate::restore::Leftover| {
        let (name, mib) = (&one.name, one.bytes >> 20);
        let discard = format!("when it is not missed: pgcask rollback {} --discard {name}", one.database);
        let (level, found, why, remedy) = match one.kind {
            LeftoverKind::Before => (
                Level::Notice,
                format!("{name} is the database that {} was before a swap, {mib} MiB", one.database),
                "it is the way back, and takes its space until it is discarded",
                discard,
            ),
            LeftoverKind::Interrupted => (
                Level::Warning,
                format!("{name} is an unfinished restore that is to become {}, {mib} MiB", one.database),
                "it takes space; the same restore goes on from there",
                format!("pgcask restore … --resume; or pgcask rollback {} --discard {name}", one.database),
            ),
            LeftoverKind::Marks => (
                Level::Warning,
                format!("{name} has the marks of an unfinished restore"),
                "it may not be whole",
                "the same restore with --resume".to_owned(),
            ),
            LeftoverKind::Pending => (
                Level::Warning,
                format!("{name} has foreign keys that were not validated"),
                "rows that were there before may violate them",
                format!("pgcask validate {name} --finish"),
            ),
        };
        Finding::new(CHECK, level, found, why).remedy(remedy)
    };
    Ok(left.iter().map(describe).collect())
}
