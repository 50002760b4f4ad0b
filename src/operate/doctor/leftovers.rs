//! What swaps, interrupted restores and killed drills left on the server.

use super::{Finding, Level, Subject, some};
use crate::error::Result;
use crate::pg::quote::{literal, shell_word};
use crate::restore::{LeftoverKind, TRIAL, leftovers};

const CHECK: &str = "leftovers";

pub(super) async fn check(of: &Subject<'_>) -> Result<Vec<Finding>> {
    if of.session.info().is_standby {
        return Ok(Vec::new());
    }
    let left = leftovers(of.options, None).await?;
    let drills = drills(of).await?;
    if left.is_empty() && drills.is_none() {
        return Ok(vec![Finding::ok(CHECK, "swaps, interrupted restores and drills left nothing")]);
    }
    let describe = |one: &crate::restore::Leftover| {
        let (name, mib) = (&one.name, one.bytes >> 20);
        let (live, word) = (shell_word(&one.database), shell_word(name));
        let rollback = format!("pgcask rollback {live} --discard {word}");
        let discard = format!("when it is not missed: {rollback}");
        let (level, found, why, remedy) = match one.kind {
            _ if one.at_work => (
                Level::Notice,
                format!("a restore is at work in {name}, which is to become {}", one.database),
                "whoever changes the database meanwhile changes what is replaced",
                "wait for its end".to_owned(),
            ),
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
                format!("pgcask restore … --resume; or {rollback}"),
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
                format!("pgcask validate {word} --finish"),
            ),
            LeftoverKind::Note => (
                Level::Notice,
                format!("{name} was brought back by a rollback that was killed at its end"),
                "it is whole; only the note of its replacement is in it still",
                rollback,
            ),
        };
        Finding::new(CHECK, level, found, why).remedy(remedy)
    };
    Ok(left.iter().map(describe).chain(drills).collect())
}

/// Databases of drills whose session is gone.
async fn drills(of: &Subject<'_>) -> Result<Option<Finding>> {
    let sql = format!(
        "SELECT d.datname FROM pg_catalog.pg_database d WHERE pg_catalog.starts_with(d.datname::pg_catalog.text, {}) \
         AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_activity a WHERE a.application_name = d.datname::pg_catalog.text) ORDER BY 1",
        literal(TRIAL)
    );
    let names: Vec<String> = of.session.query_text(&sql).await?.into_iter().flatten().flatten().collect();
    let found = format!("{} databases are of drills that were killed: {}", names.len(), some(&names));
    let finding = Finding::new(CHECK, Level::Warning, found, "they hold a copy of all that was backed up")
        .remedy("the next drill on this server by the same role drops them; or DROP DATABASE");
    Ok((!names.is_empty()).then_some(finding))
}
