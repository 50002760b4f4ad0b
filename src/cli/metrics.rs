//! `pgcask metrics`, and metrics after other commands.

use std::path::PathBuf;

use clap::Args;

use super::Context;
use super::backup::in_one_line;
use super::state::{state, this_machine};
use super::watched::WatchArgs;
use crate::clock::Clock;
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::estate::{Exposition, Wish, gather, metrics, push, write_textfile};
use crate::exit::Exit;
use crate::pg::Secret;

/// The newest backup of each kind says it all.
const SIDECARS: usize = 1;

/// Tell Prometheus how backups, drills, stores and keys are
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
Without --textfile and --push the metrics are written to stdout. With [metrics] in pgcask.toml they are
written after each run by themselves. docs/monitoring.md describes them, with alert rules and a dashboard.

EXAMPLES
  For node_exporter:
    pgcask metrics --textfile /var/lib/node_exporter/textfile/pgcask.prom

  To a Pushgateway:
    pgcask metrics --push http://pushgateway.example:9091

EXIT STATUS
  0 told, stores that cannot be looked at (pgcask_store_up 0) too · 1 the file was not written, or the
  Pushgateway did not take them · 2 usage")]
pub struct MetricsArgs {
    /// Write them into this file, in one step; its name ends in .prom
    #[arg(long, value_name = "FILE")]
    pub textfile: Option<PathBuf>,
    /// Put them into the Pushgateway at this URL
    #[arg(long, value_name = "URL")]
    pub push: Option<String>,
    /// The instance that is pushed for [default: the name of the host]
    #[arg(long, value_name = "NAME", requires = "push")]
    pub instance: Option<String>,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would print it as help text")]
    pub watch: WatchArgs,
}

impl MetricsArgs {
    /// Takes over what is configured.
    pub(super) fn watch(&mut self, config: &Config) -> Result<()> {
        self.watch.watch(config)
    }

    /// Runs the command.
    pub async fn run(&self, config: &Config, context: &Context) -> Result<Exit> {
        let printer = context.printer;
        if let Some(file) = &self.textfile
            && file.extension().is_none_or(|extension| extension != "prom")
        {
            let message = format!("{} does not end in .prom: collectors would not read it", file.display());
            return Err(Error::new(ErrorKind::Usage, message));
        }
        let told = tell(self.watch.wish(SIDECARS, None, Clock::System.now())?).await;
        if let Some(file) = &self.textfile {
            write_textfile(file, &told.text())?;
        }
        if let Some(url) = &self.push {
            let configured = config.metrics_push().and_then(|(_, instance)| instance);
            let instance = self.instance.as_deref().or(configured);
            put(&Secret::new(url), instance, &told).await?;
        }
        if printer.json {
            printer.json(&told.samples().collect::<Vec<_>>())?;
        } else if self.textfile.is_none() && self.push.is_none() {
            printer.bytes(told.text().as_bytes())?;
        }
        Ok(Exit::Good)
    }
}

async fn tell(wish: Wish) -> Exposition {
    let runs = state().map(|state| state.runs()).unwrap_or_default();
    metrics(&gather(&wish, &runs, Clock::System.now()).await, &runs)
}

async fn put(url: &Secret, instance: Option<&str>, told: &Exposition) -> Result<()> {
    let host = this_machine().host;
    let pushed = push(url, instance.unwrap_or(&host), &told.text()).await;
    pushed.map_err(|why| Error::new(ErrorKind::Failed, format!("push the metrics: {why}")))
}

/// Tells the metrics after a run, where that is configured. What cannot be told is a warning, and changes nothing of the run.
pub(super) async fn after_run(config: &Config, context: &Context) {
    let (textfile, pushed) = (config.metrics_textfile(), config.metrics_push());
    if textfile.is_none() && pushed.is_none() {
        return;
    }
    let warn = |error: Error| context.printer.warning(&format!("metrics: {}", in_one_line(&error)));
    let mut watch = WatchArgs::default();
    let wish = watch.watch(config).and_then(|()| watch.wish(SIDECARS, None, Clock::System.now()));
    let told = match wish {
        Ok(wish) => Box::pin(tell(wish)).await,
        Err(error) => return warn(error),
    };
    if let Some(Err(error)) = textfile.map(|file| write_textfile(&file, &told.text())) {
        warn(error);
    }
    if let Some((source, instance)) = pushed {
        let done = match config.take("metrics.push", source) {
            Ok(url) => put(&url, instance, &told).await,
            Err(error) => Err(error.into()),
        };
        if let Err(error) = done {
            warn(error);
        }
    }
}
