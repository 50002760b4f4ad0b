//! `pgcask restore`.

use std::sync::Arc;

use clap::Args;

use super::Context;
use super::args::{FindArgs, ProfileArgs, UnlockArgs, WantedArgs};
use super::backup::default_jobs;
use super::erasures::{self, ErasureArgs};
use super::globals::{RestoreGlobalsArgs, print_report};
use super::order::OrderArgs;
use super::printer::{Printer, human_bytes, human_count, human_seconds};
use super::progress::Progress;
use super::read::{open, open_to_read};
use super::rows::{Request, RowArgs};
use super::swap::SwapArgs;
use super::validate::{DemandArgs, table};
use crate::catalog::profile::Wish;
use crate::erasure::SharedErasures;
use crate::error::{Error, ErrorKind, Result};
use crate::event::SharedObserver;
use crate::exit::Exit;
use crate::manifest::Origin;
use crate::opened::OpenArchive;
use crate::pg::quote::{printable, unquoted};
use crate::pg::{ConnectOptions, EnvLookup, PgError};
use crate::plan::globals::TablespaceMap;
use crate::restore::{Demands, Options, Plan, Summary, Wanted};
use crate::stop::Stop;

/// Restore an archive into a database
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
EXAMPLES
  Into a new database:
    pgcask restore ARCHIVE --into shop_copy --create -i ~/pgcask.key

  What would happen:
    pgcask restore ARCHIVE --into shop_copy --create --dry-run

  Over the live database, which is backed up first and kept under another name:
    pgcask restore ARCHIVE --into shop --swap -i ~/pgcask.key

  With the roles and tablespaces that it needs, into another server:
    pgcask restore ARCHIVE --into postgres://new.example/shop --create --globals

  One table into a database that lacks it:
    pgcask restore ARCHIVE --into shop --table sales.orders

  Rows that were deleted by mistake, and only those:
    pgcask restore ARCHIVE --into shop --table sales.orders --only missing

ENVIRONMENT
  PGCASK_STORE_TIMEOUT  seconds for which a store that cannot be reached is tried [30]; one that
                        answers \"slow down\" is tried for three minutes

EXIT STATUS
  0 done and proven · 1 failed · 2 usage · 3 archive damaged · 4 key · 5 the content differs ·
  7 server lost · 8 store unreachable · 9 refused · 130/143 stopped")]
pub struct RestoreArgs {
    /// The archive: a file, the URL of an object, or with --store `latest`, `latest:weekly`, `shop/latest`, an id; without it,
    /// on a terminal, one is chosen from the newest of the store
    #[arg(value_name = "ARCHIVE", default_value = "", hide_default_value = true)]
    pub archive: String,
    /// The database to restore into: empty, or new with --create
    #[arg(long, value_name = "DBURL")]
    pub into: String,
    /// Create the database
    #[arg(short = 'C', long)]
    pub create: bool,
    /// Go on with a restore of the same archive, with the same options, that was interrupted
    #[arg(long)]
    pub resume: bool,
    /// Say what would happen, touch nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Go on after an object that cannot be restored; list them all at the end, with exit status 1
    #[arg(long)]
    pub keep_going: bool,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,

    /// Connections that load at the same time [default: the number of processors, at most 8]
    #[arg(short, long, value_name = "N", value_parser = super::args::jobs, help_heading = "Speed")]
    pub jobs: Option<usize>,
    /// Memory of the server for one index build (`maintenance_work_mem`), as in postgresql.conf
    #[arg(long, value_name = "SIZE", help_heading = "Speed")]
    pub maintenance_work_mem: Option<String>,
    /// Do not read back what was restored to prove it equal
    #[arg(long, help_heading = "Speed")]
    pub no_verify: bool,
    /// Add foreign keys without checking the rows; `pgcask validate --finish` does that once the database is in service
    #[arg(long, help_heading = "Speed")]
    pub defer_validation: bool,
    /// Do not ANALYZE
    #[arg(long, help_heading = "Speed")]
    pub no_analyze: bool,

    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would print it as help text")]
    pub order: OrderArgs,

    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would print it as help text")]
    pub swap: SwapArgs,

    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would print it as help text")]
    pub demands: DemandArgs,

    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would print it as help text")]
    pub find: FindArgs,

    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would print it as help text")]
    pub globals: RestoreGlobalsArgs,

    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would print it as help text")]
    pub unlock: UnlockArgs,

    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would print it as help text")]
    pub wanted: WantedArgs,

    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would print it as help text")]
    pub rows: RowArgs,

    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would print it as help text")]
    pub profile: ProfileArgs,

    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would print it as help text")]
    pub erasure: ErasureArgs,
}

impl RestoreArgs {
    /// The archive. A dry run writes nothing, not even that it reads.
    async fn open(&self, context: &Context) -> Result<OpenArchive> {
        let place = self.find.place(&self.archive).await?;
        let archive = if self.dry_run {
            context.record.nothing();
            open(&place, &self.unlock).await?
        } else {
            open_to_read(&place, &self.unlock, context).await?
        };
        let personal = archive.manifest().await?.left_out.personal;
        if !personal.is_empty() {
            context.printer.warning(&format!(
                "the archive has no rows of {}: they were left out of it as personal data",
                printable(&unquoted(&personal.join(", ")))
            ));
        }
        Ok(archive)
    }

    /// Runs the command.
    pub async fn run(&self, context: &Context) -> Result<Exit> {
        let printer = context.printer;
        let target =
            ConnectOptions::resolve(Some(&self.into), &EnvLookup::system()).map_err(PgError::from)?;
        context.about.database(&target.database);
        for warning in &target.warnings {
            printer.warning(warning);
        }
        if self.rows.is_given() {
            if self.globals.globals.is_some() {
                return Err(Error::new(
                    ErrorKind::Usage,
                    "--globals goes with a restore of objects, not of rows",
                ));
            }
            let archive = self.open(context).await?;
            let (selection, archive) = (self.wanted.resolve()?.selection, &archive);
            let erasures = self.erasure.of(archive, context).await?;
            let (dry_run, yes) = (self.dry_run, self.yes);
            let request = Request { live: target, selection, archive, erasures, dry_run, yes };
            return self.rows.run(context, request).await;
        }
        let mut options = self.options(target)?;
        let archive = self.open(context).await?;
        options.erasures = self.erasure.of(&archive, context).await?;
        if self.swap.is_given() {
            return Box::pin(self.over_live(&options, &archive, context)).await;
        }
        if self.dry_run {
            let plan = crate::restore::dry_run(&options, &archive).await?;
            return print_plan(printer, &plan);
        }
        let progress = Progress::new(printer, context.bar);
        let observer: SharedObserver = Arc::<Progress>::clone(&progress);
        let work = Box::pin(crate::restore::run(&options, &archive, &observer, &context.stop));
        let result = with_grace(work, &context.stop).await;
        progress.finish();
        let summary = result?;
        erasures::record(summary.erasure.as_ref(), context);
        tell(printer, &summary)?;
        if let Some(class) = self.order.stop_after.as_deref().filter(|_| !printer.json) {
            printer.line(&format!(
                "stopped after {class}: the same command with --resume and without --stop-after does the rest"
            ))?;
        }
        Ok(if summary.failures.is_empty() { Exit::Good } else { Exit::Failed })
    }

    /// Restores over a live database, or says what that would do.
    async fn over_live(&self, options: &Options, archive: &OpenArchive, context: &Context) -> Result<Exit> {
        let (swap, unlock) = (&self.swap, &self.unlock);
        match (swap.in_place, self.dry_run) {
            (true, true) => swap.dry_run_in_place(options, archive, context).await,
            (true, false) => swap.run_in_place(options, archive, unlock, self.yes, context).await,
            (false, true) => swap.dry_run(options, archive, unlock, context).await,
            (false, false) => swap.run(options, archive, unlock, self.yes, context).await,
        }
    }
}

fn tell(printer: Printer, summary: &Summary) -> Result<()> {
    if printer.json {
        printer.json(summary)?;
    } else {
        let proven = if summary.verified { "content proven equal" } else { "content not proven" };
        printer.line(&format!(
            "{}: {} rows in {} tables, {} objects, {}; {proven}",
            summary.database,
            human_count(summary.rows),
            human_count(summary.tables),
            human_count(summary.objects),
            human_seconds(summary.total_seconds),
        ))?;
        // Without priorities there is one class, and its moment is the whole's.
        for class in summary.classes.iter().filter(|class| summary.classes.len() > 1 || class.class != "rest")
        {
            printer.line(&format!("  {} complete after {}", class.class, human_seconds(class.seconds)))?;
        }
        for line in table(&summary.checks) {
            printer.info(&line);
        }
        erasures::words(summary.erasure.as_ref()).iter().try_for_each(|line| printer.line(line))?;
    }
    for failure in &summary.failures {
        printer.warning(&format!("not restored: {}", printable(failure)));
    }
    Ok(())
}

impl RestoreArgs {
    fn options(&self, target: ConnectOptions) -> Result<Options> {
        Ok(Options {
            target,
            create: self.create,
            resume: self.resume,
            jobs: self.jobs.unwrap_or_else(default_jobs).max(1),
            wanted: Wanted { priorities: self.order.classes()?, ..self.wanted.resolve()? },
            globals: self.globals.resolve(),
            tablespace_map: self.globals.map()?,
            profile: self.profile.wish(),
            keep_going: self.keep_going,
            analyze: !self.no_analyze,
            verify: !self.no_verify,
            defer_validation: self.defer_validation,
            erasures: SharedErasures::default(),
            demands: Demands { known_only: true, ..self.demands.resolve()? },
            maintenance_work_mem: self.maintenance_work_mem.clone(),
            stop_after: self.order.last_class()?,
            max_rate: self.order.max_rate,
        })
    }
}

/// How long a stopped restore may take to cancel what runs at the server.
const GRACE: std::time::Duration = std::time::Duration::from_secs(10);

/// Runs work to its end, or until some time after a stop was asked for.
pub(super) async fn with_grace<T>(work: impl Future<Output = Result<T>>, stop: &Stop) -> Result<T> {
    tokio::select! {
        biased;
        result = work => result,
        () = async { stop.requested().await; tokio::time::sleep(GRACE).await } => {
            Err(stop.error().hint("it did not end in time; `pgcask rollback --list` names what it left, if it left something"))
        }
    }
}

/// All of an archive, proven, with statistics.
pub(super) fn whole(target: ConnectOptions, jobs: usize) -> Options {
    Options {
        target,
        create: false,
        resume: false,
        jobs,
        wanted: Wanted::all(),
        globals: None,
        tablespace_map: TablespaceMap::default(),
        profile: Wish::Detect,
        keep_going: false,
        analyze: true,
        verify: true,
        defer_validation: false,
        erasures: SharedErasures::default(),
        demands: Demands::default(),
        maintenance_work_mem: None,
        stop_after: None,
        max_rate: None,
    }
}

/// From which backup, in words: what a person looks at before all else.
pub(super) fn origin(origin: &Origin) -> String {
    let Origin { archive, backup, source, taken_at } = origin;
    let taken = taken_at.strftime("%Y-%m-%d %H:%M:%S");
    format!(
        "  from the backup of {} as of {taken} UTC: {} (id {backup})",
        printable(source),
        printable(archive)
    )
}

/// How long the rows may take, in words.
pub(super) fn estimate(plan: &Plan) -> Option<String> {
    let seconds = plan.estimated_seconds.filter(|_| plan.bytes > 0)?;
    Some(format!(
        "about {} for the rows, as fast as they were read when the backup was made (an estimate: indexes, keys and the proof come on top)",
        human_seconds(seconds)
    ))
}

fn print_plan(printer: Printer, plan: &Plan) -> Result<Exit> {
    let refused = plan.findings.iter().any(|finding| finding.fatal);
    if printer.json {
        printer.json(plan)?;
    } else {
        let create = if plan.create { "create the database, then " } else { "" };
        printer.line(&format!("would {create}restore into {}:", plan.database))?;
        printer.line(&origin(&plan.origin))?;
        if let Some(globals) = &plan.globals {
            print_report(printer, globals)?;
        }
        for (kind, count) in &plan.objects {
            printer.line(&format!("  {:>9} {kind}", human_count(*count)))?;
        }
        printer.line(&format!(
            "  {} rows of {} tables, {} of rows, {} to read from the store",
            human_count(plan.rows),
            human_count(plan.tables),
            human_bytes(plan.bytes),
            human_bytes(plan.read_bytes),
        ))?;
        if !plan.needed.is_empty() {
            printer.line("  needed by what was chosen, and created where the target lacks it:")?;
            for name in &plan.needed {
                printer.line(&format!("    {name}"))?;
            }
        }
        if let Some(line) = estimate(plan) {
            printer.line(&format!("  {line}"))?;
        }
        if let Some(class) = &plan.stop_after {
            printer.line(&format!(
                "  then stop, for {class} is complete; the same command with --resume and without --stop-after does the rest"
            ))?;
        }
        if plan.erasure_entries > 0 {
            printer.line(&format!(
                "  then erase again what {} entries of the erasure ledger name",
                human_count(plan.erasure_entries)
            ))?;
        }
        for finding in &plan.findings {
            let lead = if finding.fatal { "refused" } else { "note" };
            printer.line(&format!("  {lead}: {}", printable(&finding.message)))?;
            if let Some(hint) = finding.hint.as_ref().filter(|_| finding.fatal) {
                printer.line(&format!("           {hint}"))?;
            }
        }
        printer.line("nothing was touched")?;
    }
    Ok(if refused { Exit::Refused } else { Exit::Good })
}
