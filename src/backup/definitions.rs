//! The definitions that go into the archive.

use std::collections::BTreeSet;

use super::Options;
use crate::catalog::model::Model;
use crate::catalog::reader;
use crate::error::Result;
use crate::event::{Event, SharedObserver};
use crate::pg::Session;
use crate::plan::choose::choose;

/// Reads the definitions of what was chosen.
pub(super) async fn read(options: &Options, session: &Session, observer: &SharedObserver) -> Result<Model> {
    observer.event(Event::Phase { name: "reading the catalog" });
    // What is left out is not locked, but a view's text cannot be had while a table below it is being altered.
    let patience = i32::try_from(options.lock_timeout.as_millis()).unwrap_or(i32::MAX).max(1);
    session.execute(&format!("SET LOCAL lock_timeout = {patience}")).await?;
    let mut model = reader::read_model(session).await?;
    session.execute("SET LOCAL lock_timeout = 0").await?;
    choose(&mut model, &options.selection, &BTreeSet::new());
    for warning in &model.warnings {
        observer.event(Event::Warning { message: warning.clone() });
    }
    Ok(model)
}
