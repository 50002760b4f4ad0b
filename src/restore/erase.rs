//! What the erasure ledger names is erased again, once the content is proven and before the database is used.

use super::checks::Check;
use super::options::Options;
use super::steps::Steps;
use crate::erasure::{self, Report, Scope};
use crate::error::Result;
use crate::event::Event;
use crate::pg::Session;

/// What came of the work: what was checked, and what was erased again.
#[derive(Debug, Default)]
pub(super) struct Ended {
    pub(super) checks: Vec<Check>,
    pub(super) erasure: Option<Report>,
}

/// Erases; `None` where there is no ledger, or no rows were restored.
pub(super) async fn again(
    options: &Options,
    steps: &Steps,
    session: &Session,
    others: impl Iterator<Item = (String, String)>,
) -> Result<Option<Report>> {
    if options.erasures.is_empty() || !options.wanted.sections.data {
        return Ok(None);
    }
    steps.observer().event(Event::Phase { name: "erasing" });
    let loaded = steps.loads.iter().map(|load| load.stream.names());
    let tables: Vec<(String, String)> = loaded.chain(others).collect();
    // A database that is restored as a whole is the archive's. Into another one only those tables came.
    let scope = if options.keeps_marks() { Scope::All } else { Scope::Tables(&tables) };
    let report = erasure::apply(session, &options.erasures, scope).await?;
    for name in &report.fired {
        let message = format!("{name} fired when rows were erased again: we may not switch it off");
        steps.observer().event(Event::Warning { message });
    }
    Ok(Some(report))
}
