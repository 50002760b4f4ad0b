//! The part of `pgcask restore` that brings single rows back into live tables.

use std::sync::Arc;

use clap::{Args, ValueEnum};

use super::Context;
use super::diff::describe;
use super::printer::{Printer, human_bytes, human_count, human_seconds};
use super::progress::Progress;
use super::prompt::confirm;
use super::restore::origin;
use crate::erasure::SharedErasures;
use crate::error::{Error, ErrorKind, Result};
use crate::event::SharedObserver;
use crate::exit::Exit;
use crate::opened::OpenArchive;
use crate::pg::ConnectOptions;
use crate::pg::quote::printable;
use crate::plan::select::{Pattern, Selection};
use crate::rows::{
    BesideOptions, BesidePlan, ColumnFate, Condition, Follow, Only, Preview, RecoverOptions, RecoverySummary,
    beside, plan_beside, recover,
};

/// The heading over these flags.
const ROWS: &str = "Single rows, into live tables";

/// What goes with a restore of objects, and would say nothing of one of rows.
const WHOLE: [&str; 16] = [
    "swap",
    "in_place",
    "create",
    "resume",
    "keep_going",
    "no_verify",
    "defer_validation",
    "no_analyze",
    "maintenance_work_mem",
    "stop_after",
    "max_rate",
    "critical",
    "assertions",
    "schema_only",
    "data_only",
    "sections",
];

/// Which rows come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OnlyArg {
    /// Rows that the live table lacks: they are inserted
    Missing,
    /// Rows with other values: they are updated
    Changed,
    /// Both
    All,
}

/// How far rows are completed along foreign keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FollowArg {
    /// By the rows that they reference
    Referenced,
    /// By those, and by the rows that reference them
    Both,
}

/// Which rows of live tables come back.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = ROWS)]
pub struct RowArgs {
    /// Bring back just these rows of the tables given by --table, which exist
    #[arg(long, value_name = "ROWS", value_enum, conflicts_with_all = WHOLE)]
    pub only: Option<OnlyArg>,
    /// Bring back just the rows of a table for which this holds: 'TABLE: SQL condition'; may be repeated. Times without a zone
    /// are UTC
    #[arg(long = "where", value_name = "CONDITION", conflicts_with_all = WHOLE)]
    pub conditions: Vec<String>,
    /// Make the content of the tables given by --table what the archive has, in one transaction: rows that it lacks are deleted.
    /// What is overwritten or deleted is kept in new tables beside, `NAME_before_TIME`
    #[arg(long, conflicts_with_all = ["only", "conditions", "follow_keys"], conflicts_with_all = WHOLE)]
    pub replace: bool,
    /// Restore the one table given by --table beside the live one, under this name: NAME or SCHEMA.NAME
    #[arg(long = "as", value_name = "NAME", conflicts_with_all = ["only", "conditions", "follow_keys", "replace"], conflicts_with_all = WHOLE)]
    pub beside: Option<String>,
    /// A column of the archive has another name in the live table, or was dropped: 'TABLE: OLD=NEW', 'TABLE: OLD='; may be
    /// repeated
    #[arg(long = "column", value_name = "FATE", conflicts_with_all = ["beside", "swap", "in_place"])]
    pub columns: Vec<String>,
    /// Complete the rows along foreign keys
    #[arg(long, value_name = "HOW", value_enum, num_args = 0..=1, default_missing_value = "referenced")]
    pub follow_keys: Option<FollowArg>,
    /// Let triggers fire on rows that come back
    #[arg(long)]
    pub fire_triggers: bool,
    /// Show so many rows of each kind [default: 5]
    #[arg(long, value_name = "N")]
    pub sample: Option<usize>,
}

/// What the command line says besides.
pub(super) struct Request<'a> {
    pub(super) live: ConnectOptions,
    pub(super) selection: Selection,
    pub(super) archive: &'a OpenArchive,
    pub(super) erasures: SharedErasures,
    pub(super) dry_run: bool,
    pub(super) yes: bool,
}

impl RowArgs {
    /// Whether single rows are meant.
    pub(super) const fn is_given(&self) -> bool {
        self.only.is_some() || !self.conditions.is_empty() || self.replace || self.beside.is_some()
    }

    fn options(&self, request: &Request<'_>) -> Result<RecoverOptions> {
        let Selection { tables, schemas, exclude_tables, exclude_schemas, exclude_data, foreign_data } =
            request.selection.clone();
        if !(foreign_data.is_empty()
            && schemas.is_empty()
            && exclude_tables.is_empty()
            && exclude_schemas.is_empty()
            && exclude_data.is_empty())
        {
            return Err(Error::new(
                ErrorKind::Usage,
                "rows come back into tables named by --table or --where alone",
            ));
        }
        if tables.is_empty() && self.conditions.is_empty() {
            return Err(Error::new(ErrorKind::Usage, "this needs tables: give --table"));
        }
        let only = match self.only.unwrap_or(OnlyArg::All) {
            OnlyArg::Missing => Only { missing: true, changed: false, extra: false },
            OnlyArg::Changed => Only { missing: false, changed: true, extra: false },
            OnlyArg::All => Only { missing: true, changed: true, extra: self.replace },
        };
        Ok(RecoverOptions {
            live: request.live.clone(),
            tables,
            only,
            conditions: self.conditions.iter().map(|text| Condition::parse(text)).collect::<Result<_>>()?,
            columns: self.columns.iter().map(|text| ColumnFate::parse(text)).collect::<Result<_>>()?,
            follow: match self.follow_keys {
                None => Follow::No,
                Some(FollowArg::Referenced) => Follow::Referenced,
                Some(FollowArg::Both) => Follow::Both,
            },
            fire_triggers: self.fire_triggers,
            sample: self.sample.unwrap_or(5),
            erasures: Arc::clone(&request.erasures),
        })
    }

    /// Finds, shows, asks, brings back.
    pub(super) async fn run(&self, context: &Context, request: Request<'_>) -> Result<Exit> {
        let printer = context.printer;
        if let Some(name) = &self.beside {
            return run_beside(name, context, &request).await;
        }
        let options = self.options(&request)?;
        let progress = Progress::new(printer, context.bar);
        let observer: SharedObserver = Arc::<Progress>::clone(&progress);
        let work = Box::pin(recover(&options, request.archive, &observer, &context.stop));
        let found = context.stop.or(work).await;
        progress.finish();
        let recovery = found?;
        let preview = recovery.preview();
        let refused = !preview.refusals().is_empty();
        if request.dry_run {
            if printer.json {
                printer.json(preview)?;
            } else {
                print_preview(printer, preview)?;
                printer.line("nothing was touched")?;
            }
            return Ok(if refused { Exit::Refused } else { Exit::Good });
        }
        // What refuses them is the error that ends the run.
        if !printer.json && !refused {
            print_preview(printer, preview)?;
        }
        if preview.rows() > 0 && !request.yes && !refused {
            let question =
                format!("{} rows of {} will be written.", human_count(preview.rows()), preview.database);
            if !confirm(&question, "RESTORE")? {
                return Err(Error::new(ErrorKind::Refused, "it was not confirmed; nothing was touched"));
            }
        }
        let progress = Progress::new(printer, context.bar);
        let observer: SharedObserver = Arc::<Progress>::clone(&progress);
        let done = context.stop.or(Box::pin(recovery.run(request.archive, &observer, &context.stop))).await;
        progress.finish();
        let summary = done?;
        if printer.json {
            printer.json(&summary)?;
        } else {
            print_summary(printer, &summary)?;
        }
        Ok(Exit::Good)
    }
}

fn print_preview(printer: Printer, preview: &Preview) -> Result<()> {
    printer.line(&format!("rows of {}:", preview.database))?;
    printer.line(&origin(&preview.origin))?;
    for table in &preview.tables {
        printer.line(&format!(
            "{}: {} missing rows to insert, {} changed rows to update, {} rows to delete",
            table.table,
            human_count(table.missing),
            human_count(table.changed),
            human_count(table.extra)
        ))?;
        for (reason, count) in &table.reasons {
            printer.line(&format!("  {:>9} {}", human_count(*count), printable(reason)))?;
        }
        for row in &table.sample {
            let said = printable(&describe(&table.key, &table.columns, row));
            printer.line(&format!("  {:<8} {said}", row.difference))?;
        }
        for note in &table.notes {
            printer.line(&format!("  note: {note}"))?;
        }
        if let Some(kept) = &table.kept_in {
            printer
                .line(&format!("  what is overwritten or deleted is kept in {kept}, or of a later time"))?;
        }
        for trigger in &table.triggers {
            printer.line(&format!("  trigger switched off meanwhile: {trigger}"))?;
        }
    }
    if preview.erased > 0 {
        printer
            .line(&format!("erasure ledger: {} of the rows do not come back", human_count(preview.erased)))?;
    }
    for refusal in preview.refusals() {
        printer.line(&format!("refused: {refusal}"))?;
    }
    printer.detail(&format!("{} read from the store", human_bytes(preview.bytes_read)));
    Ok(())
}

fn print_summary(printer: Printer, summary: &RecoverySummary) -> Result<()> {
    for table in &summary.tables {
        printer.line(&format!(
            "{}: {} rows inserted, {} updated, {} deleted",
            table.table,
            human_count(table.inserted),
            human_count(table.updated),
            human_count(table.deleted)
        ))?;
        if let Some(kept) = &table.kept_in {
            printer.line(&format!(
                "  what was overwritten or deleted is in {kept}; drop it when it is not missed"
            ))?;
        }
    }
    for sequence in &summary.sequences {
        printer.line(&format!("  the sequence {sequence} was behind and moved forward"))?;
    }
    let proven = if summary.proven {
        "proven equal to the archive"
    } else {
        "not equal to the archive: triggers fired"
    };
    printer.line(&format!("done in one transaction of {}; {proven}", human_seconds(summary.seconds)))
}

fn print_beside(printer: Printer, plan: &BesidePlan) -> Result<Exit> {
    if printer.json {
        printer.json(plan)?;
    } else {
        printer.line(&format!("would make a table in {}:", plan.database))?;
        printer.line(&origin(&plan.origin))?;
        printer.line(&format!(
            "  {}, like {} as it is now: {} rows, {} of rows, {} to read from the store",
            plan.table,
            plan.like,
            human_count(plan.rows),
            human_bytes(plan.bytes),
            human_bytes(plan.read_bytes),
        ))?;
        if plan.erasure_entries > 0 {
            let entries = human_count(plan.erasure_entries);
            printer.line(&format!("  without the rows that {entries} entries of the erasure ledger name"))?;
        }
        plan.notes.iter().try_for_each(|note| printer.line(&format!("  note: {note}")))?;
        plan.refused.iter().try_for_each(|why| printer.line(&format!("  refused: {why}")))?;
        printer.line("nothing was touched")?;
    }
    Ok(if plan.refused.is_empty() { Exit::Good } else { Exit::Refused })
}

/// Restores a table beside the live one.
async fn run_beside(name: &str, context: &Context, request: &Request<'_>) -> Result<Exit> {
    let printer = context.printer;
    let [table] = request.selection.tables.as_slice() else {
        return Err(Error::new(ErrorKind::Usage, "--as is for one table: give one --table"));
    };
    let (schema, name) = Pattern::plain_name(name).ok_or_else(|| {
        Error::new(ErrorKind::Usage, format!("{} is no name: NAME or SCHEMA.NAME", printable(name)))
    })?;
    let options = BesideOptions {
        live: request.live.clone(),
        table: table.clone(),
        schema,
        name,
        erasures: Arc::clone(&request.erasures),
    };
    if request.dry_run {
        return print_beside(
            printer,
            &context.stop.or(Box::pin(plan_beside(&options, request.archive))).await?,
        );
    }
    let progress = Progress::new(printer, context.bar);
    let observer: SharedObserver = Arc::<Progress>::clone(&progress);
    let work = Box::pin(beside(&options, request.archive, &observer, &context.stop));
    let done = context.stop.or(work).await;
    progress.finish();
    let made = done?;
    if printer.json {
        printer.json(&made)?;
        return Ok(Exit::Good);
    }
    let proven = if made.verified { "content proven equal" } else { "content not proven" };
    printer.line(&format!(
        "{}: {} rows, {}; {proven}",
        made.table,
        human_count(made.rows),
        human_seconds(made.seconds)
    ))?;
    if made.erased > 0 {
        printer.line(&format!(
            "  erasure ledger: {} rows of the backup are not among them",
            human_count(made.erased)
        ))?;
    }
    for note in &made.notes {
        printer.line(&format!("  note: {note}"))?;
    }
    Ok(Exit::Good)
}
