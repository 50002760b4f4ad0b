//! The whole of an archive as one SQL script, for psql or for reading: the same statements in the same order as a
//! restore on one connection.

use std::collections::HashMap;

use super::definitions::Definitions;
use super::load_plan::LoadPlan;
use super::options::Wanted;
use super::prepare::{self, Means, Prepared};
use crate::catalog::acting::Acting;
use crate::catalog::kind::Target;
use crate::catalog::model::SequenceValue;
use crate::catalog::{large_object, secrets};
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::Content;
use crate::opened::OpenArchive;
use crate::pg::settings::script_preamble;
use crate::plan::restore::{RestorePlan, Step};
use crate::plan::schedule::{Schedule, Task};
use crate::stop::Stop;
use crate::store::sidecar::hex;

/// How a script is wanted.
#[derive(Debug, Clone)]
pub struct ScriptOptions {
    /// What of the archive.
    pub wanted: Wanted,
    /// Write the passwords of user mappings and subscriptions, too.
    pub show_secrets: bool,
}

/// Takes the script, piece by piece.
pub(super) type Sink<'a> = &'a mut (dyn FnMut(&[u8]) -> Result<()> + Send);

/// Writes the script to `out`. Gives how many passwords were hidden.
///
/// The script begins with psql's `\restrict` and a key of our own making, so that nothing in it can run a
/// meta-command of psql (CVE-2025-8714); a psql older than that command says so and goes on without the guard.
///
/// # Errors
/// When the archive cannot be read, or `out` takes no more.
pub async fn script(
    options: &ScriptOptions,
    archive: &OpenArchive,
    stop: &Stop,
    out: &mut (dyn FnMut(&[u8]) -> Result<()> + Send),
) -> Result<usize> {
    let means = Means { split: false, analyze: false, stop_after: None };
    let prepared = prepare::prepare(&options.wanted, means, archive, None).await?;
    let Prepared { manifest, mut model, sequences, loads, plan, sectioned, .. } = prepared;
    let hidden = if options.show_secrets { 0 } else { secrets::hide(&mut model) };
    let version = manifest.server.version;
    let definitions = Definitions {
        by_id: model.positions(),
        entries: model.entries,
        target: Target { version, source: version, superuser: false },
        acting: Acting::default(),
        instead: HashMap::new(),
        detached: plan.detached.clone(),
        sectioned,
        no_owner: options.wanted.no_owner,
        no_acl: options.wanted.no_acl,
        defer_validation: false,
    };
    let writer = Writer { archive, definitions, loads };
    let guard = guard()?;
    out(format!("\\restrict {guard}\n").as_bytes())?;
    statement(&script_preamble(&manifest.server.encoding), out)?;
    writer.plan(plan, stop, out).await?;
    for text in sequences.iter().map(SequenceValue::set) {
        statement(&text, out)?;
    }
    out(format!("\\unrestrict {guard}\n").as_bytes())?;
    Ok(hidden)
}

/// A key that nothing in the archive can know.
pub(super) fn guard() -> Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| Error::new(ErrorKind::Failed, format!("take random bytes: {error}")))?;
    Ok(hex(&bytes))
}

pub(super) fn statement(text: &str, out: Sink<'_>) -> Result<()> {
    out(text.as_bytes())?;
    out(b";\n")
}

pub(super) fn all(statements: &[String], out: Sink<'_>) -> Result<()> {
    statements.iter().try_for_each(|text| statement(text, out))
}

struct Writer<'a> {
    archive: &'a OpenArchive,
    definitions: Definitions,
    loads: Vec<LoadPlan>,
}

impl Writer<'_> {
    async fn plan(&self, plan: RestorePlan, stop: &Stop, out: Sink<'_>) -> Result<()> {
        for step in plan.first {
            self.step(step, stop, out).await?;
        }
        // Large objects must exist before their content is written.
        for load in self.loads.iter().filter(|load| load.stream.content == Content::LargeObjects) {
            self.load(load, stop, out).await?;
        }
        self.tasks(plan.parallel, stop, out).await?;
        for step in plan.last {
            self.step(step, stop, out).await?;
        }
        for entry in &self.definitions.entries {
            all(&self.definitions.privileges(entry), out)?;
        }
        self.tasks(plan.refresh, stop, out).await
    }

    /// Tasks one after the other, in the order in which one connection would do them.
    async fn tasks(&self, tasks: Vec<(Step, Task)>, stop: &Stop, out: Sink<'_>) -> Result<()> {
        let (steps, tasks): (Vec<Step>, Vec<Task>) = tasks.into_iter().unzip();
        let mut schedule = Schedule::new(tasks)
            .map_err(|cycle| Error::with_source(ErrorKind::Failed, "order the statements", cycle))?;
        while let Some(task) = schedule.start_next() {
            if let Some(step) = steps.get(task) {
                self.step(*step, stop, out).await?;
            }
            schedule.finish(task);
        }
        Ok(())
    }

    async fn step(&self, step: Step, stop: &Stop, out: Sink<'_>) -> Result<()> {
        stop.check()?;
        match step {
            Step::Create(item) => all(&self.definitions.create(item), out),
            Step::Finish(item) => all(&self.definitions.finish(item), out),
            Step::Refresh(item) => all(&self.definitions.refresh(item), out),
            Step::Load { load, .. } => match self.loads.get(load) {
                Some(load) if load.stream.content != Content::LargeObjects => {
                    self.load(load, stop, out).await
                }
                _ => Ok(()),
            },
            Step::Loaded(_) | Step::AllLoaded | Step::Analyze(_) => Ok(()),
        }
    }

    async fn load(&self, load: &LoadPlan, stop: &Stop, out: Sink<'_>) -> Result<()> {
        match load.stream.content {
            Content::Table | Content::ForeignTable { .. } | Content::ExtensionConfig { .. } => {
                let (name, columns) = (load.table(), load.stream.column_list());
                statement(&format!("COPY {name}{columns} FROM STDIN"), out)?;
                self.rows(load, stop, out).await
            }
            Content::LargeObjects => {
                statement(large_object::CREATE_STAGING, out)?;
                statement(&large_object::copy_metadata(&load.stream.columns), out)?;
                self.rows(load, stop, out).await?;
                let Definitions { no_owner, no_acl, acting, .. } = &self.definitions;
                for batch in 0..load.totals.rows.div_ceil(large_object::BATCH) {
                    statement(&large_object::create(batch), out)?;
                    statement(&large_object::set_attributes(batch, !no_owner, !no_acl, acting), out)?;
                }
                statement(large_object::DROP_STAGING, out)
            }
            Content::LargeObjectData => {
                statement(large_object::CREATE_STAGING, out)?;
                statement(large_object::COPY_CONTENT, out)?;
                self.rows(load, stop, out).await?;
                statement(large_object::WRITE, out)?;
                statement(large_object::DROP_STAGING, out)
            }
        }
    }

    /// The rows of an open `COPY`, and its end. No line of COPY text is `\.` alone: backslashes in it are escaped.
    async fn rows(&self, load: &LoadPlan, stop: &Stop, out: Sink<'_>) -> Result<()> {
        let mut take = |text: &[u8]| {
            stop.check()?;
            out(text)
        };
        self.archive.each_text(self.archive.all_chunks(load.stream.id), &mut take).await?;
        out(b"\\.\n")
    }
}
