//! `pgcask test`, and the table of checks that it and `drill` print.

use std::sync::Arc;

use clap::Args;
use serde::Serialize;

use super::args::{FindArgs, RPO, RTO, UnlockArgs, seconds};
use super::evidence::EvidenceArgs;
use super::printer::Printer;
use super::progress::Progress;
use super::state::this_machine;
use super::{Context, keys};
use crate::archive::Located;
use crate::drill::evidence::Files;
use crate::drill::{ArchiveFacts, Check, Outcome, QuickOptions, TestOptions, Verdict, test, text};
use crate::error::Result;
use crate::event::SharedObserver;
use crate::exit::Exit;
use crate::pg::quote::printable;
use crate::seal::recipient::Identity;

/// Test a backup without a server: is it there, whole, authentic and young?
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
Without a key everything is checked that can be: whether the archive is authentic, and whether the
key opens it, is then not. `pgcask drill` restores it, too.

EXAMPLES
  The newest backup of a store:
    pgcask test --store s3://backups/prod -i ~/pgcask.key

  Of one database, which is backed up once a week:
    pgcask test shop/latest --store /backups --rpo 7d

FILES
  backup-tests/results/test-TIME.json, logs/, reports/ (a page to read and to print),
  compliance-register.jsonl and .md; with --upload-evidence beside the archive, too

EXIT STATUS
  0 passed · 1 failed · 2 usage · 5 a critical check failed, or fewer than 80 % passed · 6 good, but
  older than the RPO · 8 store unreachable · 130/143 stopped")]
pub struct TestArgs {
    /// The archive: a file, the URL of an object, or with --store `latest`, `latest:weekly`, `shop/latest`, an id
    #[arg(value_name = "ARCHIVE", default_value = "latest")]
    pub archive: String,
    /// How old it may be: as much time as you can bear to lose [default: 24h]
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    pub rpo: Option<f64>,
    /// Read only the archive's ends and its sidecars, not every byte
    #[arg(long)]
    pub no_read: bool,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would print it as help text")]
    pub find: FindArgs,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would print it as help text")]
    pub unlock: UnlockArgs,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would print it as help text")]
    pub evidence: EvidenceArgs,
    /// How long a recovery may take, by the configuration: the record tells it
    #[arg(skip)]
    pub rto: Option<f64>,
}

/// What `--json` gives.
#[derive(Serialize)]
struct Answer<'a> {
    #[serde(flatten)]
    verdict: Verdict,
    stale: bool,
    age_seconds: Option<f64>,
    archive: &'a ArchiveFacts,
    checks: &'a [Check],
    files: Option<&'a Files>,
    /// What lies beside the archive.
    uploaded: &'a [String],
}

impl TestArgs {
    /// Runs the command.
    pub async fn run(&self, context: &Context) -> Result<Exit> {
        let printer = context.printer;
        let place = self.find.place(&self.archive).await?;
        context.record.archive(&place);
        let options = TestOptions {
            quick: QuickOptions { rpo_seconds: self.rpo.unwrap_or(RPO), read_all: !self.no_read },
            rto_seconds: self.rto.unwrap_or(RTO),
            who: this_machine(),
        };
        self.evidence.prepare()?;
        let progress = Progress::new(printer, context.bar);
        let observer: SharedObserver = Arc::<Progress>::clone(&progress);
        let given = |located: &Located| given_keys(&self.unlock, located);
        let tested = test(&place, &options, &given, &observer, &context.stop).await;
        progress.finish();
        let tested = tested?;
        let record = &tested.record;
        context.about.database(&record.archive.database);
        context.about.archive(&place, Some(record.archive.bytes));
        context.tell(&record.summary());
        let kept = self.evidence.keep(&tested).await;
        let verdict = record.verdict;
        if printer.json {
            let stale =
                record.checks.iter().any(|check| check.check == crate::drill::AGE && check.is_failed());
            printer.json(&Answer {
                verdict,
                stale,
                age_seconds: record.rpo.measured_seconds,
                archive: &record.archive,
                checks: &record.checks,
                files: kept.files.as_ref(),
                uploaded: &kept.uploaded,
            })?;
        } else if !(verdict.failed == 0 && printer.is_quiet()) {
            printer.line(&printable(&place))?;
            print_checks(printer, &record.checks)?;
            printer.line(&summary_line(verdict))?;
            kept.tell(printer)?;
        }
        let exit = if record.is_only_stale() {
            Exit::Stale
        } else if verdict.passed {
            Exit::Good
        } else {
            Exit::Validation
        };
        kept.end(exit, context)
    }
}

/// The keys that were given for an archive; `None` when none was: nobody is asked.
pub(super) fn given_keys(unlock: &UnlockArgs, located: &Located) -> Result<Option<Vec<Identity>>> {
    if !unlock.is_given() {
        return Ok(None);
    }
    if !located.header.encrypted {
        return Ok(Some(Vec::new()));
    }
    keys::identities(unlock).map(Some)
}

/// A line for each check, then what is wrong.
pub(super) fn print_checks(printer: Printer, checks: &[Check]) -> Result<()> {
    for Check { check, outcome, critical, found, problems } in checks {
        let word = match outcome {
            Outcome::Passed => "passed",
            Outcome::Noted => "passed, with a note",
            Outcome::Skipped => "not checked",
            Outcome::Failed if *critical => "FAILED",
            Outcome::Failed => "FAILED, not critical",
        };
        printer.line(format!("  {check:<26} {word:<20}  {}", printable(found)).trim_end())?;
        for problem in problems {
            printer.line(&format!("      {}", printable(problem)))?;
        }
    }
    Ok(())
}

/// What all checks together say.
pub(super) fn summary_line(verdict: Verdict) -> String {
    let word = if verdict.passed { "passed" } else { "FAILED" };
    let (made, good) = (verdict.made, verdict.made - verdict.failed);
    format!("{word}: {good} of {made} checks passed ({})", text::percent(verdict.pass_rate))
}
