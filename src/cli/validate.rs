//! `pgcask validate`, and the table of checks that it and `restore` print.

use std::sync::Arc;

use clap::Args;

use super::Context;
use super::args::{FindArgs, UnlockArgs, WantedArgs, patterns};
use super::backup::default_jobs;
use super::printer::{Printer, human_count};
use super::progress::Progress;
use crate::error::{Error, ErrorKind, Result};
use crate::event::SharedObserver;
use crate::exit::Exit;
use crate::pg::quote::printable;
use crate::pg::{ConnectOptions, EnvLookup, PgError};
use crate::restore::{Check, Demands, Options, Outcome, PendingKey, finish_validation, validate};

/// What must hold besides what is always checked.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Validation")]
pub struct DemandArgs {
    /// These tables must have rows; may be repeated
    #[arg(long = "critical", value_name = "PATTERN")]
    pub critical: Vec<String>,
    /// This query must give true; may be repeated
    #[arg(long = "assert", value_name = "SQL")]
    pub assertions: Vec<String>,
}

impl DemandArgs {
    pub(super) fn resolve(&self) -> Result<Demands> {
        Ok(Demands {
            critical: patterns(&self.critical)?,
            assertions: self.assertions.clone(),
            known_only: false,
        })
    }
}

/// Validate a database against an archive: rows, keys, indexes, sequences, extensions
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
Nothing is changed. Rows that were written since the backup are differences, too.

EXAMPLES
  A restored database:
    pgcask validate shop_copy --against ARCHIVE -i ~/pgcask.key --critical 'sales.*' \\
      --assert 'SELECT count(*) > 1000 FROM orders'

  Validate the foreign keys that a restore with --defer-validation left:
    pgcask validate shop --finish

EXIT STATUS
  0 all is as it should be · 1 failed · 2 usage · 3 archive damaged · 4 key · 5 a check failed ·
  7 server lost · 8 store unreachable · 130/143 stopped")]
pub struct ValidateArgs {
    /// The database: a configured name, a libpq URL, keyword string or name; default from PG* variables as in psql
    #[arg(value_name = "DBURL", conflicts_with = "database")]
    pub target: Option<String>,
    /// The same as DBURL
    #[arg(long, value_name = "DBURL")]
    pub database: Option<String>,
    /// The archive: a file, the URL of an object, or with --store `latest`, `latest:weekly`, `shop/latest`, an id
    #[arg(long, value_name = "ARCHIVE", required_unless_present = "finish")]
    pub against: Option<String>,
    /// Validate the foreign keys that a restore with --defer-validation left
    #[arg(long, conflicts_with = "against")]
    pub finish: bool,
    /// Do not read rows
    #[arg(long)]
    pub no_rows: bool,
    /// Connections that read at the same time [default: the number of processors, at most 8]
    #[arg(short, long, value_name = "N", value_parser = super::args::jobs)]
    pub jobs: Option<usize>,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would print it as help text")]
    pub demands: DemandArgs,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would print it as help text")]
    pub find: FindArgs,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would print it as help text")]
    pub unlock: UnlockArgs,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would print it as help text")]
    pub wanted: WantedArgs,
}

impl ValidateArgs {
    /// Runs the command.
    pub async fn run(&self, context: &Context) -> Result<Exit> {
        let printer = context.printer;
        let url = self.target.as_deref().or(self.database.as_deref());
        let target = ConnectOptions::resolve(url, &EnvLookup::system()).map_err(PgError::from)?;
        context.about.database(&target.database);
        let progress = Progress::new(printer, context.bar);
        let observer: SharedObserver = Arc::<Progress>::clone(&progress);
        let Some(against) = &self.against else {
            let keys = Box::pin(finish_validation(&target, &observer, &context.stop)).await;
            progress.finish();
            return print_keys(printer, &keys?);
        };
        let place = self.find.place(against).await?;
        let archive = super::read::open_to_read(&place, &self.unlock, context).await?;
        let options = Options {
            wanted: self.wanted.resolve()?,
            verify: !self.no_rows,
            demands: self.demands.resolve()?,
            ..super::restore::whole(target, self.jobs.unwrap_or_else(default_jobs).max(1))
        };
        let checks = Box::pin(validate(&options, &archive, &observer, &context.stop)).await;
        progress.finish();
        let checks = checks?;
        let failed = checks.iter().any(|check| check.outcome == Outcome::Failed);
        if printer.json {
            printer.json(&serde_json::json!({ "valid": !failed, "checks": checks }))?;
        } else {
            table(&checks).iter().try_for_each(|line| printer.line(line))?;
        }
        Ok(if failed { Exit::Validation } else { Exit::Good })
    }
}

/// The checks as lines for people: a line each, then what is wrong.
pub(super) fn table(checks: &[Check]) -> Vec<String> {
    let mut lines = Vec::new();
    for Check { check, outcome, checked, problems } in checks {
        let word = match outcome {
            Outcome::Passed => "passed",
            Outcome::Noted => "passed, with a note",
            Outcome::Pending => "pending",
            Outcome::Skipped => "not asked for",
            Outcome::Failed => "FAILED",
        };
        let checked = if *outcome == Outcome::Skipped { String::new() } else { human_count(*checked) };
        lines.push(format!("  {check:<26} {checked:>9}  {word}"));
        lines.extend(problems.iter().map(|problem| format!("      {}", printable(problem))));
        if *outcome == Outcome::Pending {
            lines.push(
                "      they hold for new rows; `pgcask validate DBURL --finish` checks the others, once the database is in service"
                    .to_owned(),
            );
        }
    }
    lines
}

fn print_keys(printer: Printer, keys: &[PendingKey]) -> Result<Exit> {
    if printer.json {
        printer.json(&keys)?;
    } else {
        for PendingKey { relation, name, problem, .. } in keys {
            let end = problem
                .as_ref()
                .map_or_else(|| "valid".to_owned(), |problem| format!("NOT VALID: {problem}"));
            printer.line(&printable(&format!("{name} of {relation}: {end}")))?;
        }
        if keys.is_empty() {
            printer.info("no foreign key is waiting to be validated");
        }
    }
    let violated = keys.iter().filter(|key| key.valid != Some(true)).count();
    if violated == 0 {
        return Ok(Exit::Good);
    }
    Err(Error::new(ErrorKind::Validation, format!("{violated} foreign keys do not hold for all rows"))
        .hint("mend the rows, then run it again"))
}
