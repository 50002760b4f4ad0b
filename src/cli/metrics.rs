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
use crate::estate::{Exposition, Wish, gather, metrics, push, send_otlp, write_textfile};
use crate::exit::Exit;
use crate::pg::Secret;

/// The newest backup of each kind says it all.
const SIDECARS: usize = 1;

/// Tell Prometheus or OpenTelemetry how backups, drills, stores and keys are
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
Without --textfile, --push and --otlp the metrics are written to stdout. With [metrics] in pgcask.toml
they are told after each run by themselves. docs/monitoring.md describes them, with alert rules and a
dashboard.

EXAMPLES
  For node_exporter:
    pgcask metrics --textfile /var/lib/node_exporter/textfile/pgcask.prom

  To a Pushgateway:
    pgcask metrics --push http://pushgateway.example:9091

  To an OpenTelemetry Collector, by OTLP over HTTP:
    pgcask metrics --otlp http://collector.example:4318

EXIT STATUS
  0 told, stores that cannot be looked at (pgcask_store_up 0) too · 1 the file was not written, or a
  receiver did not take them · 2 usage")]
pub struct MetricsArgs {
    /// Write them into this file, in one step; its name ends in .prom
    #[arg(long, value_name = "FILE")]
    pub textfile: Option<PathBuf>,
    /// Put them into the Pushgateway at this URL
    #[arg(long, value_name = "URL")]
    pub push: Option<String>,
    /// Send them to the receiver of OTLP over HTTP at this URL
    #[arg(long, value_name = "URL")]
    pub otlp: Option<String>,
    /// The instance that is pushed or sent for [default: the name of the host]
    #[arg(long, value_name = "NAME")]
    pub instance: Option<String>,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would print it as help text")]
    pub watch: WatchArgs,
}

/// Where metrics are told.
#[derive(Debug, Default)]
struct Receivers {
    textfile: Option<PathBuf>,
    push: Option<Secret>,
    otlp: Option<(Secret, Option<Secret>)>,
    instance: String,
}

impl Receivers {
    const fn is_empty(&self) -> bool {
        self.textfile.is_none() && self.push.is_none() && self.otlp.is_none()
    }

    /// Tells all of them, whichever fails; gives the failures.
    async fn tell(&self, told: &Exposition) -> Vec<Error> {
        let failed = |what: &str, why: String| Error::new(ErrorKind::Failed, format!("{what}: {why}"));
        let mut failures = Vec::new();
        if let Some(file) = &self.textfile {
            failures.extend(write_textfile(file, &told.text()).err());
        }
        if let Some(url) = &self.push {
            let pushed = push(url, &self.instance, &told.text()).await;
            failures.extend(pushed.err().map(|why| failed("push the metrics", why)));
        }
        if let Some((url, authorization)) = &self.otlp {
            let at = Clock::System.now();
            let sent = send_otlp(url, authorization.as_ref(), &self.instance, told, at).await;
            failures.extend(sent.err().map(|why| failed("send the metrics by OTLP", why)));
        }
        failures
    }
}

/// The instance that is told: the configured one, else the host.
fn instance(config: &Config) -> String {
    config.metrics_instance().map_or_else(|| this_machine().host, str::to_owned)
}

/// A secret of `[metrics]`.
fn secret(config: &Config, key: &str) -> Result<Option<Secret>> {
    let source = config.metrics_secret(key);
    Ok(source.map(|source| config.take(&format!("metrics.{key}"), source)).transpose()?)
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
        let otlp = match &self.otlp {
            Some(url) => Some((Secret::new(url), secret(config, "otlp_authorization")?)),
            None => None,
        };
        let receivers = Receivers {
            textfile: self.textfile.clone(),
            push: self.push.as_deref().map(Secret::new),
            otlp,
            instance: self.instance.clone().unwrap_or_else(|| instance(config)),
        };
        let told = tell(self.watch.wish(SIDECARS, None, Clock::System.now())?).await;
        let mut failures = receivers.tell(&told).await.into_iter();
        let first = failures.next();
        failures.for_each(|other| printer.warning(&in_one_line(&other)));
        if let Some(error) = first {
            return Err(error);
        }
        if printer.json {
            printer.json(&told.samples().collect::<Vec<_>>())?;
        } else if receivers.is_empty() {
            printer.bytes(told.text().as_bytes())?;
        }
        Ok(Exit::Good)
    }
}

async fn tell(wish: Wish) -> Exposition {
    let runs = state().map(|state| state.runs()).unwrap_or_default();
    metrics(&gather(&wish, &runs, Clock::System.now()).await, &runs)
}

/// Tells the metrics after a run, where that is configured. What cannot be told is a warning, and changes nothing of the run.
pub(super) async fn after_run(config: &Config, context: &Context) {
    let warn = |error: &Error| context.printer.warning(&format!("metrics: {}", in_one_line(error)));
    // One that lacks its secret keeps no other from being told.
    let taken = |key: &str| {
        secret(config, key).unwrap_or_else(|error| {
            warn(&error);
            None
        })
    };
    let receivers = Receivers {
        textfile: config.metrics_textfile(),
        push: taken("push"),
        otlp: taken("otlp").map(|url| (url, taken("otlp_authorization"))),
        instance: instance(config),
    };
    if receivers.is_empty() {
        return;
    }
    let mut watch = WatchArgs::default();
    match watch.watch(config).and_then(|()| watch.wish(SIDECARS, None, Clock::System.now())) {
        Ok(wish) => {
            let told = Box::pin(tell(wish)).await;
            Box::pin(receivers.tell(&told)).await.iter().for_each(warn);
        }
        Err(error) => warn(&error),
    }
}
