//! Restores an archive into a database.
//!
//! ```text
//! preflight ─▶ plan ─▶ roles ─▶ definitions ─▶ rows, indexes, keys (concurrent) ─▶ triggers, privileges ─▶ materialized views
//!                                                                                  ─▶ sequences ─▶ proof of content
//! ```

mod analyze;
mod checks;
mod classes;
mod definitions;
mod dependents;
mod describe;
mod emptying;
mod erase;
mod exclusive;
mod execute;
mod failures;
mod fill;
mod finish;
mod forecast;
mod globals;
mod in_place;
mod inexpressible;
mod key_order;
mod large_objects;
mod load_plan;
mod loader;
mod options;
mod platform;
mod platform_parts;
mod platform_rows;
mod preflight;
mod prepare;
mod progress;
mod proof;
mod publications;
mod ready;
mod refresh;
mod requirements;
mod rights;
mod script;
mod selected;
mod steps;
mod swap;
mod text_order;
mod there;
mod together;
mod validate;
mod writers;

pub use checks::{Check, Demands, Outcome};
pub use classes::ClassComplete;
pub use forecast::{Forecast, forecast};
pub use globals::script as globals_script;
pub use in_place::{InPlacePlan, InPlaceSummary, in_place, plan_in_place};
pub use options::{GlobalsOptions, GlobalsReport, Options, Plan, Sections, Summary, TRIAL, Wanted};
pub use preflight::Finding;
pub use script::{ScriptOptions, script};
pub use swap::{
    Leftover, LeftoverKind, RollbackPlan, RollbackSummary, SafetyBackup, SwapPlan, SwapSummary, Writes,
    discard, find_discardable, leftovers, plan_rollback, plan_swap, rollback, swap,
};
pub use validate::{PendingKey, finish_validation, validate};

use crate::error::{Error, Result};
use crate::event::SharedObserver;
use crate::opened::OpenArchive;
use crate::pg::{Session, SessionKind};
use crate::stop::Stop;
use globals::Globals;

/// Says what a restore would do; touches nothing.
///
/// # Errors
/// When the archive cannot be read or the target cannot be reached.
pub async fn dry_run(options: &Options, archive: &OpenArchive) -> Result<Plan> {
    let session = open_if_exists(options).await?;
    let prepared = prepare::prepare(&options.wanted, options.means(), archive, session.as_ref()).await?;
    let mut prepared = platform::adapt(options, prepared, session.as_ref(), None).await?;
    let globals = Globals::plan(options, archive, &prepared, session.as_ref()).await?;
    let mut findings = preflight::check(options, &mut prepared, &globals, session.as_ref(), false).await?;
    let note = |message: &String| Finding { fatal: false, message: message.clone(), hint: None };
    findings.extend(prepared.platform.notes.iter().map(note));
    Ok(prepared.describe(options, globals.report(), findings))
}

/// Restores.
///
/// # Errors
/// The first failure; what was created until then stays in the target, which was empty before, and a later run with
/// [`Options::resume`] goes on from there. With [`Options::keep_going`] failures of single objects are told in the
/// summary instead.
pub async fn run(
    options: &Options,
    archive: &OpenArchive,
    observer: &SharedObserver,
    stop: &Stop,
) -> Result<Summary> {
    let filled = Box::pin(fill::fill(options, archive, observer, stop, None)).await?;
    filled.forget(&options.target).await?;
    Ok(filled.summary)
}

async fn open_if_exists(options: &Options) -> Result<Option<Session>> {
    match Session::open(&options.target, SessionKind::Target).await {
        Ok(session) => Ok(Some(session)),
        Err(crate::pg::PgError::NoSuchDatabase { .. }) if options.create => Ok(None),
        Err(error) => Err(Error::of_target(error, "--create creates it")),
    }
}
