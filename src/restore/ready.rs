//! All that is looked at before anything is touched. Whatever fails here leaves everything as it was.

use super::globals::Globals;
use super::options::Options;
use super::preflight::{self, Finding};
use super::prepare::{self, Means, Prepared};
use super::progress::{self, Begun, Claim, EMPTYING};
use super::swap::Replaced;
use super::{exclusive, open_if_exists, platform, requirements};
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Event, SharedObserver};
use crate::opened::OpenArchive;
use crate::pg::Session;

/// What is known when nothing is touched yet.
pub(super) struct Ready {
    pub(super) existing: Option<Session>,
    pub(super) claim: Claim,
    pub(super) begun: Option<Begun>,
    pub(super) prepared: Prepared,
    pub(super) globals: Globals,
}

/// Looks at everything, and fails when something stands in the way.
pub(super) async fn ready(
    options: &Options,
    archive: &OpenArchive,
    observer: &SharedObserver,
    replaced: Option<&Replaced>,
) -> Result<Ready> {
    options.check()?;
    observer.event(Event::Phase { name: "planning" });
    let existing = open_if_exists(options).await?;
    let claim = Claim::new(&archive.manifest().await?.id, options, replaced);
    if let Some(session) = existing.as_ref().filter(|_| options.resume) {
        exclusive::after_earlier_run(session).await?;
    }
    let begun = find_begun(options, existing.as_ref(), &claim).await?;
    let split = begun.as_ref().map_or(claim.split, |begun| begun.claim.split);
    let means = Means { split, ..options.means() };
    let prepared = prepare::prepare(&options.wanted, means, archive, existing.as_ref()).await?;
    let done = begun.as_ref().map(|begun| &begun.done);
    let mut prepared = platform::adapt(options, prepared, existing.as_ref(), done).await?;
    for note in &prepared.platform.notes {
        observer.event(Event::Notice { message: note.clone() });
    }
    if let Some(Replaced { database, .. }) = replaced {
        prepared.model.database.take_place_of(database);
    }
    let globals = Globals::plan(options, archive, &prepared, existing.as_ref()).await?;
    let findings =
        preflight::check(options, &mut prepared, &globals, existing.as_ref(), begun.is_some()).await?;
    preflight::refuse(&findings)?;
    tell(&prepared, &findings, observer);
    Ok(Ready { existing, claim, begun, prepared, globals })
}

/// Says what comes along, and what was found.
fn tell(prepared: &Prepared, findings: &[Finding], observer: &SharedObserver) {
    let needed = prepared.needed_names();
    if !needed.is_empty() {
        let message =
            format!("created besides, where the target lacks them: {}", requirements::listed(&needed));
        observer.event(Event::Notice { message });
    }
    for finding in findings {
        observer.event(Event::Warning { message: finding.message.clone() });
    }
}

/// Finds the restore to go on with, if that is asked for.
async fn find_begun(options: &Options, existing: Option<&Session>, claim: &Claim) -> Result<Option<Begun>> {
    let Some(session) = existing.filter(|_| options.resume) else { return Ok(None) };
    if let Some(begun) = progress::find(session).await? {
        claim.go_on_from(&begun.claim)?;
        if begun.done.contains(EMPTYING) {
            let message = "a restore in place was interrupted while it dropped what was there before";
            return Err(Error::new(ErrorKind::Refused, message).hint("go on with --in-place --resume"));
        }
        return Ok(Some(begun));
    }
    match preflight::not_empty(session).await? {
        // Nothing was begun but the database itself.
        None => Ok(Some(Begun { claim: claim.clone(), done: std::collections::HashSet::new() })),
        Some(what) => {
            let message = format!("no interrupted restore to go on with is in it: {what}");
            Err(Error::new(ErrorKind::Refused, message)
                .hint("leave --resume out; `pgcask rollback --list` lists what interrupted restores left"))
        }
    }
}
