//! `pgcask estimate`, and the forecast that a backup gives of its own restore.

use std::sync::Arc;

use clap::Args;
use serde::Serialize;

use super::Context;
use super::args::{FindArgs, RTO, SelectionArgs, UnlockArgs, seconds};
use super::backup::default_jobs;
use super::drill::WheretoArgs;
use super::order::OrderArgs;
use super::printer::Printer;
use super::progress::Progress;
use super::read::open;
use super::state::state;
use crate::drill::{Basis, Estimate, ForecastFacts, calibrate, text};
use crate::error::{Error, ErrorKind, Result};
use crate::event::SharedObserver;
use crate::exit::Exit;
use crate::restore::Wanted;

/// Say how long a restore would take on this machine
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
The restore is planned, and its schedule played through with rates that were measured: by the last
drill of this database, else of another one, else by --calibrate, else by experience with other
machines. The error shown is that of the last drills, or what such rates are off by.

EXAMPLES
  pgcask estimate latest --store /backups -i ~/pgcask.key
  pgcask estimate ARCHIVE --priority 'P0=users,billing.*' --jobs 8
  pgcask estimate ARCHIVE --table orders --calibrate

EXIT STATUS
  0 within --rto · 1 failed · 2 usage · 3 archive damaged · 4 key · 5 the forecast is beyond --rto ·
  8 store unreachable")]
pub struct EstimateArgs {
    /// The archive: a file, the URL of an object, or with --store `latest`, `latest:weekly`, `shop/latest`, an id
    #[arg(value_name = "ARCHIVE", default_value = "latest")]
    pub archive: String,
    /// Connections [default: the number of processors, at most 8]
    #[arg(short, long, value_name = "N", value_parser = super::args::jobs)]
    pub jobs: Option<usize>,
    /// How long a recovery may take [default: 1h]
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    pub rto: Option<f64>,
    /// Measure this machine first: a made-up database is restored, for some seconds
    #[arg(long)]
    pub calibrate: bool,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would print it as help text")]
    pub whereto: WheretoArgs,
    /// Which tables come first: P0=users,billing.*; may be repeated
    #[arg(long = "priority", value_name = "CLASS=PATTERNS")]
    pub priorities: Vec<String>,
    /// That these are configured, for whatever archive
    #[arg(skip)]
    pub usual_priorities: bool,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would print it as help text")]
    pub selection: SelectionArgs,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would print it as help text")]
    pub find: FindArgs,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would print it as help text")]
    pub unlock: UnlockArgs,
}

/// What `--json` gives.
#[derive(Serialize)]
struct Answer<'a> {
    archive: &'a str,
    database: &'a str,
    #[serde(flatten)]
    estimate: &'a Estimate,
    rto_seconds: f64,
    within_rto: bool,
}

impl EstimateArgs {
    /// Runs the command.
    pub async fn run(&self, context: &Context) -> Result<Exit> {
        let printer = context.printer;
        let order = OrderArgs { priorities: self.priorities.clone(), ..OrderArgs::default() };
        let wanted =
            Wanted { selection: self.selection.resolve()?, priorities: order.classes()?, ..Wanted::all() };
        let jobs = self.jobs.unwrap_or_else(default_jobs).max(1);
        let place = self.find.place(&self.archive).await?;
        let archive = open(&place, &self.unlock).await?;
        let database = archive.manifest().await?.database;
        let basis = if self.calibrate {
            let progress = Progress::new(printer, context.bar);
            let observer: SharedObserver = Arc::<Progress>::clone(&progress);
            let (whereto, folder) = (self.whereto.resolve()?, &self.whereto.work_dir);
            let measured = Box::pin(calibrate(&whereto, folder, jobs, &observer, &context.stop)).await;
            progress.finish();
            measured?
        } else {
            basis(&database)
        };
        let estimate = basis.estimate(&archive, &wanted, jobs).await?;
        self.find_classes(&estimate, printer)?;
        let within_rto = estimate.forecast.seconds <= self.rto.unwrap_or(RTO);
        if printer.json {
            let (archive, database) = (place.as_str(), database.as_str());
            let answer = Answer {
                archive,
                database,
                estimate: &estimate,
                rto_seconds: self.rto.unwrap_or(RTO),
                within_rto,
            };
            printer.json(&answer)?;
        } else {
            print_estimate(printer, &estimate, self.rto.unwrap_or(RTO))?;
        }
        Ok(if within_rto { Exit::Good } else { Exit::Validation })
    }
}

impl EstimateArgs {
    /// A class that names no table of the archive has no time: who asked for it has mistyped it.
    fn find_classes(&self, estimate: &Estimate, printer: Printer) -> Result<()> {
        let known =
            |class: &str| estimate.forecast.classes.iter().any(|(name, _)| name.eq_ignore_ascii_case(class));
        let class = |text: &str| text.split_once('=').map_or("", |(class, _)| class.trim()).to_owned();
        let Some(missing) = self.priorities.iter().find(|text| !known(&class(text))) else { return Ok(()) };
        let message = format!("no table of the archive is of the class {missing}");
        if self.usual_priorities {
            printer.warning(&message);
            return Ok(());
        }
        Err(Error::new(ErrorKind::Usage, message)
            .hint("patterns are those of psql; `pgcask show ARCHIVE --toc` lists what is there"))
    }
}

/// What is known on this machine about the restores of a database.
pub(super) fn basis(database: &str) -> Basis {
    let marks = state().map(|state| state.drills()).unwrap_or_default();
    Basis::of_drills(&marks, database).unwrap_or_else(Basis::rough)
}

fn print_estimate(printer: Printer, estimate: &Estimate, rto: f64) -> Result<()> {
    let forecast = &estimate.forecast;
    printer.line(&format!(
        "{} (between {} and {}) for {} rows of {} tables, {} of row data, {} objects, on {} connections",
        text::seconds(forecast.seconds),
        text::seconds(estimate.low_seconds),
        text::seconds(estimate.high_seconds),
        text::count(forecast.rows),
        text::count(forecast.tables),
        text::bytes(forecast.plain_bytes),
        text::count(forecast.objects),
        forecast.jobs,
    ))?;
    for (part, seconds) in &forecast.parts {
        printer.line(&format!("  {part:<22} {:>12}", text::seconds(*seconds)))?;
    }
    for (class, seconds) in forecast.classes.iter().filter(|(class, _)| class != "rest") {
        printer.line(&format!("  {class} complete after {}", text::seconds(*seconds)))?;
    }
    printer.line(&format!("from {}", estimate.basis))?;
    if forecast.seconds > rto {
        printer.warning(&format!("that is beyond the RTO of {}", text::seconds(rto)));
    } else if estimate.high_seconds > rto {
        printer.warning(&format!("it may be beyond the RTO of {}", text::seconds(rto)));
    }
    Ok(())
}

/// A forecast nears the RTO from this share of it on.
const NEAR: f64 = 0.8;

/// The forecast of a backup's own restore.
pub(super) fn of_backup(database: &str, plain_bytes: u64) -> ForecastFacts {
    basis(database).by_size(plain_bytes)
}

/// Says it.
pub(super) fn tell(printer: Printer, forecast: &ForecastFacts) {
    let (seconds, high) = (text::seconds(forecast.seconds), text::seconds(forecast.high_seconds));
    printer.info(&format!("restoring it takes about {seconds}, at most {high} (from {})", forecast.basis));
}

/// Warns when it nears what a recovery may take.
pub(super) fn warn(printer: Printer, forecast: &ForecastFacts, rto: f64) {
    if forecast.seconds > rto * NEAR {
        printer.warning(&format!(
            "a restore of it would take about {}, and the RTO is {}; `pgcask drill` measures it",
            text::seconds(forecast.seconds),
            text::seconds(rto)
        ));
    }
}
