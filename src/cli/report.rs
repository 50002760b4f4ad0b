//! `pgcask report`.

use std::path::PathBuf;

use clap::Args;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

use super::Context;
use super::args::span_ahead;
use super::state::{state, this_machine};
use super::watched::WatchArgs;
use crate::clock::Clock;
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::estate::{gather, report_page, write_textfile};
use crate::exit::Exit;

/// Of so many of the newest backups of each database and kind the durations are drawn: a year of daily ones.
const SIDECARS: usize = 400;

/// Write a page about all backups: health, sizes and times, drills, retention, runs
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
One file that holds all it needs: no script, nothing loaded from elsewhere; light and dark, on paper, on
a narrow screen. What was run is taken from the stores' audit logs, which all hosts write.

EXAMPLES
  Of all configured stores:
    pgcask report --html backups.html

  Of one store, for a script:
    pgcask report --store s3://backups/prod --json

EXIT STATUS
  0 written, whatever it says · 1 the file cannot be written · 2 usage")]
pub struct ReportArgs {
    /// Write the page into this file, in one step
    #[arg(long, value_name = "FILE", required_unless_present = "json")]
    pub html: Option<PathBuf>,
    /// How far back runs are looked for
    #[arg(long, value_name = "SPAN", value_parser = span_ahead, default_value = "90d")]
    pub since: Span,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would print it as help text")]
    pub watch: WatchArgs,
}

impl ReportArgs {
    /// Takes over what is configured.
    pub(super) fn watch(&mut self, config: &Config) -> Result<()> {
        self.watch.watch(config)
    }

    /// Runs the command.
    pub async fn run(&self, context: &Context) -> Result<Exit> {
        let now = Clock::System.now();
        let wish = self.watch.wish(SIDECARS, Some(before(now, self.since)?), now)?;
        let remembered = state().map(|state| state.runs()).unwrap_or_default();
        let estate = Box::pin(gather(&wish, &remembered, now)).await;
        if let Some(file) = &self.html {
            write_textfile(file, &report_page(&estate, &this_machine().host))?;
        }
        if context.printer.json {
            context.printer.json(&estate)?;
        } else if let Some(file) = &self.html {
            context.printer.line(&file.display().to_string())?;
        }
        Ok(Exit::Good)
    }
}

/// A moment so much earlier.
fn before(now: Timestamp, span: Span) -> Result<Timestamp> {
    let earlier = now.to_zoned(TimeZone::UTC).checked_sub(span);
    earlier
        .map(|zoned| zoned.timestamp())
        .map_err(|error| Error::with_source(ErrorKind::Usage, "reckon back from now", error))
}
