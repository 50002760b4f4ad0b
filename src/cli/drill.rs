//! `pgcask drill`.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use jiff::Span;
use serde::Serialize;

use super::Context;
use super::args::{FindArgs, RPO, RTO, SelectionArgs, UnlockArgs, seconds, span_ahead};
use super::backup::default_jobs;
use super::erasures::{Asked, ErasureArgs};
use super::evidence::EvidenceArgs;
use super::printer::Printer;
use super::progress::Progress;
use super::state::{state, this_machine};
use super::test::{given_keys, print_checks, summary_line};
use super::validate::DemandArgs;
use crate::archive::Located;
use crate::drill::evidence::{self, Files, Mark};
use crate::drill::{
    Basis, DrillOptions, Drilled, PrivateOptions, QuickOptions, Record, Whereto, drill, text,
};
use crate::error::{Error, ErrorKind, Result};
use crate::event::SharedObserver;
use crate::exit::Exit;
use crate::pg::quote::printable;
use crate::pg::{ConnectOptions, EnvLookup, PgError};
use crate::restore::Wanted;

/// Where the data of private servers lie.
pub(super) const WORK_DIR: &str = "/tmp";

/// Where a drill restores into.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Server")]
pub struct WheretoArgs {
    /// Restore into a new database of this server, which is dropped again, instead of a private server
    #[arg(long, value_name = "DBURL", conflicts_with_all = ["pg_bin", "run_as", "settings"])]
    pub server: Option<String>,
    /// The folder of the private server's programs [default: the archive's major version, or the next newer one, in the
    /// usual places]
    #[arg(long, value_name = "DIR")]
    pub pg_bin: Option<PathBuf>,
    /// As root: run the private server as this account [default: postgres, else nobody]
    #[arg(long, value_name = "ACCOUNT")]
    pub run_as: Option<String>,
    /// Where the private server's data lie while it is there; for the time of the drill they are not encrypted
    #[arg(long, value_name = "DIR", default_value = WORK_DIR)]
    pub work_dir: PathBuf,
    /// A setting of the private server, as in postgresql.conf; may be repeated
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub settings: Vec<String>,
}

impl WheretoArgs {
    /// Where that is.
    pub(super) fn resolve(&self) -> Result<Whereto> {
        if let Some(url) = &self.server {
            let options = ConnectOptions::resolve(Some(url), &EnvLookup::system()).map_err(PgError::from)?;
            return Ok(Whereto::Server(Box::new(options)));
        }
        let setting = |text: &String| {
            let (name, value) = text.split_once('=').ok_or_else(|| {
                Error::new(ErrorKind::Usage, format!("{} is no NAME=VALUE", printable(text)))
            })?;
            Ok((name.to_owned(), value.to_owned()))
        };
        let path = EnvLookup::system().var("PATH").unwrap_or_default();
        Ok(Whereto::Private {
            bin: self.pg_bin.clone(),
            path: std::env::split_paths(&path).collect(),
            options: PrivateOptions {
                folder: self.work_dir.clone(),
                account: self.run_as.clone(),
                settings: self.settings.iter().map(setting).collect::<Result<_>>()?,
            },
        })
    }
}

/// Restore a backup on trial: prove every row, measure the time, remove all of it again
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
All of `pgcask test` first. Then the archive is restored into a private server that is made for the
drill from installed PostgreSQL programs (reached by a socket in its own folder alone), or into a new
database of --server; every row is read back and compared by content hash, constraints, indexes,
sequences and your own --assert are checked, and all is removed, also after Ctrl-C.

EXAMPLES
  The newest backup, on this machine:
    pgcask drill --store s3://backups/prod -i ~/pgcask.key --rto 1h

  On a server for tests, with what must hold besides:
    pgcask drill shop/latest --store /backups --server postgres://test.example/postgres \\
      --critical 'sales.*' --assert 'SELECT count(*) > 1000 FROM orders'

  A sample of tables only:
    pgcask drill ARCHIVE --table 'sales.*' -i ~/pgcask.key

FILES
  backup-tests/results/test-TIME.json, logs/, reports/ (a page to read and to print),
  compliance-register.jsonl and .md; and beside the archive ….drill-TIME.json, with --upload-evidence
  ….evidence-TIME.json, .log and .html

EXIT STATUS
  0 passed · 1 failed · 2 usage · 5 a critical check failed, the RTO was missed, or fewer than 80 % of
  the checks passed · 8 store unreachable · 130/143 stopped, and all removed")]
pub struct DrillArgs {
    /// The archive: a file, the URL of an object, or with --store `latest`, `latest:weekly`, `shop/latest`, an id
    #[arg(value_name = "ARCHIVE", default_value = "latest")]
    pub archive: String,
    /// How long a recovery may take [default: 1h]
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    pub rto: Option<f64>,
    /// How old the backup may be; an older one is told, and does not fail alone [default: 24h]
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    pub rpo: Option<f64>,
    /// Connections that load at the same time [default: the number of processors, at most 8]
    #[arg(short, long, value_name = "N", value_parser = super::args::jobs)]
    pub jobs: Option<usize>,
    /// When the next drill is due, from now [default: 3mo]
    #[arg(long, value_name = "SPAN", value_parser = span_ahead)]
    pub next_in: Option<Span>,
    /// Put no mark beside the archive
    #[arg(long, help_heading = "Evidence")]
    pub no_mark: bool,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would print it as help text")]
    pub evidence: EvidenceArgs,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would print it as help text")]
    pub whereto: WheretoArgs,
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
    pub selection: SelectionArgs,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would print it as help text")]
    pub erasure: ErasureArgs,
}

/// What `--json` gives.
#[derive(Serialize)]
struct Answer<'a> {
    #[serde(flatten)]
    record: &'a Record,
    files: Option<&'a Files>,
    /// What lies beside the archive.
    uploaded: &'a [String],
}

impl DrillArgs {
    /// Runs the command.
    pub async fn run(&self, context: &Context) -> Result<Exit> {
        let printer = context.printer;
        let place = self.find.place(&self.archive).await?;
        context.record.archive(&place);
        let options = DrillOptions {
            quick: QuickOptions { rpo_seconds: self.rpo.unwrap_or(RPO), read_all: true },
            // A sample that is not there proves nothing.
            wanted: Wanted { selection: self.selection.resolve()?, strict_names: true, ..Wanted::all() },
            demands: self.demands.resolve()?,
            jobs: self.jobs.unwrap_or_else(default_jobs).max(1),
            rto_seconds: self.rto.unwrap_or(RTO),
            whereto: self.whereto.resolve()?,
            next_after: self.next_in.unwrap_or_else(|| Span::new().months(3)),
            who: this_machine(),
            erasures: self.erasure.gather(Asked { archive: &place, database: None }, context).await?,
        };
        self.evidence.prepare()?;
        let progress = Progress::new(printer, context.bar);
        let observer: SharedObserver = Arc::<Progress>::clone(&progress);
        let given = |located: &Located| given_keys(&self.unlock, located);
        let marks = state().map(|state| state.drills()).unwrap_or_default();
        let basis = |database: &str| Basis::of_drills(&marks, database).unwrap_or_else(Basis::rough);
        let drilled = Box::pin(drill(&place, &options, &given, &basis, &observer, &context.stop)).await;
        progress.finish();
        let drilled = drilled?;
        context.about.database(&drilled.record.archive.database);
        context.about.archive(&place, Some(drilled.record.archive.bytes));
        context.tell(&drilled.record.summary());
        self.remember(&drilled, printer).await;
        let kept = self.evidence.keep(&drilled).await;
        let record = &drilled.record;
        if printer.json {
            printer.json(&Answer { record, files: kept.files.as_ref(), uploaded: &kept.uploaded })?;
        } else if !(record.verdict.failed == 0 && printer.is_quiet()) {
            print_record(printer, record)?;
            kept.tell(printer)?;
        }
        kept.end(if record.verdict.passed { Exit::Good } else { Exit::Validation }, context)
    }

    /// Puts the mark beside the archive, and remembers the drill on this machine. That a mark cannot be put (a store that may
    /// only be read) is told.
    async fn remember(&self, drilled: &Drilled, printer: Printer) {
        let record = &drilled.record;
        if !self.no_mark
            && let Err(error) = evidence::mark(record).await
        {
            printer.warning(&format!("no mark of the drill is put beside the archive: {error}"));
        }
        if let Some(Err(error)) = state().map(|state| state.add_drill(&Mark::of(record))) {
            printer.detail(&format!("the drill is not remembered on this machine: {error}"));
        }
    }
}

fn print_record(printer: Printer, record: &Record) -> Result<()> {
    printer.line(&printable(&record.archive.place))?;
    print_checks(printer, &record.checks)?;
    if let (Some(measured), Some(forecast)) = (record.rto.measured_seconds, &record.forecast) {
        let off = forecast.error.map_or_else(String::new, |error| format!(", off by {}", text::off(error)));
        printer.line(&format!(
            "recovery time {} of {}; forecast {}{off}",
            text::seconds(measured),
            text::seconds(record.rto.target_seconds),
            text::seconds(forecast.seconds)
        ))?;
    }
    printer.line(&summary_line(record.verdict))
}
