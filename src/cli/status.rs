//! `pgcask status` and `pgcask check`: the health of a store's databases, for people and for monitoring.

use std::collections::BTreeMap;

use clap::Args;
use jiff::Span;

use super::Context;
use super::args::{RPO, RTO, seconds, span_ahead, store_needed};
use super::keys::key_facts;
use super::printer::Printer;
use super::state::state;
use crate::clock::Clock;
use crate::drill::{DatabaseHealth, Health, HealthOptions, Level, Problem, Targets, health, text};
use crate::error::{ErrorKind, Result};
use crate::exit::Exit;
use crate::pg::quote::printable;
use crate::store::Location;

/// What is demanded of a store.
#[derive(Debug, Clone, Args)]
pub struct DemandedArgs {
    /// Only this database
    #[arg(value_name = "DATABASE")]
    pub database: Option<String>,
    /// The store: a directory, or `s3://bucket/prefix`, `gs://…`, `az://…`
    #[arg(long, value_name = "STORE", env = "PGCASK_STORE")]
    pub store: Option<String>,
    /// How old the newest backup may be [default: 24h]
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    pub rpo: Option<f64>,
    /// How long a drill counts [default: 3mo]
    #[arg(long, value_name = "SPAN", value_parser = span_ahead)]
    pub drill_every: Option<Span>,
    /// What the configuration demands of single databases
    #[arg(skip)]
    pub own: BTreeMap<String, Targets>,
    /// For whom the configuration seals
    #[arg(skip)]
    pub recipients: Vec<String>,
}

impl DemandedArgs {
    async fn look(&self) -> Result<Health> {
        let location = Location::parse(store_needed(self.store.as_deref(), "--store")?)?;
        let now = Clock::System.now();
        let options = HealthOptions {
            targets: Targets {
                rpo_seconds: self.rpo.unwrap_or(RPO),
                rto_seconds: RTO,
                drill_every: self.drill_every.unwrap_or_else(|| Span::new().months(3)),
            },
            own: self.own.clone(),
            database: self.database.clone(),
            expected: Vec::new(),
            keys: key_facts(&self.recipients, now),
        };
        let runs = state().map(|state| state.runs()).unwrap_or_default();
        health(&location, &options, &runs, now).await
    }
}

/// Show all databases of a store at a glance: newest backup, last drill, what is wrong
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
EXAMPLES
  pgcask status --store s3://backups/prod
  pgcask status shop --store /backups --rpo 1h --json

EXIT STATUS
  0 all is well, or only warnings · 2 usage · 6 a database's newest backup is too old or its last drill
  failed, or the store has no room · 8 store unreachable")]
pub struct StatusArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would print it as help text")]
    pub demanded: DemandedArgs,
}

/// Check a store's health for monitoring, in one line
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
Critical: no backup within the RPO, the last drill failed, no room for the next backup, a configured
recipient that cannot be sealed for. Warning: never drilled, or longer ago than --drill-every; a size
out of the usual; the last backup on this machine failed; room is scarce; a recipient's key expires
within 30 days.

EXAMPLES
  pgcask check shop --store s3://backups/prod --rpo 25h

EXIT STATUS
  0 OK · 1 WARNING · 2 CRITICAL · 3 UNKNOWN, as the store cannot be looked at")]
pub struct CheckArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would print it as help text")]
    pub demanded: DemandedArgs,
}

const GOOD: anstyle::Style = anstyle::AnsiColor::Green.on_default();
const WARNING: anstyle::Style = anstyle::AnsiColor::Yellow.on_default().bold();
const CRITICAL: anstyle::Style = anstyle::AnsiColor::Red.on_default().bold();

fn style(level: Level) -> anstyle::Style {
    match level {
        Level::Ok => GOOD,
        Level::Warning => WARNING,
        Level::Critical => CRITICAL,
    }
}

fn word(level: Level) -> &'static str {
    match level {
        Level::Ok => "OK",
        Level::Warning => "WARNING",
        Level::Critical => "CRITICAL",
    }
}

impl StatusArgs {
    /// Runs the command.
    pub async fn run(&self, context: &Context) -> Result<Exit> {
        let printer = context.printer;
        let health = self.demanded.look().await?;
        if printer.json {
            printer.json(&health)?;
        } else {
            print_status(printer, &health)?;
        }
        Ok(if health.level == Level::Critical { Exit::Stale } else { Exit::Good })
    }
}

fn print_status(printer: Printer, health: &Health) -> Result<()> {
    let heads = ["DATABASE", "HEALTH", "NEWEST", "KIND", "SIZE", "BACKUPS", "IN ALL", "LAST DRILL", "TOOK"];
    let mut lines = vec![heads.map(str::to_owned)];
    lines.extend(health.databases.iter().map(cells));
    let width = |column: usize| {
        lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..heads.len()).map(width).collect();
    for (number, line) in lines.iter().enumerate() {
        let level =
            number.checked_sub(1).and_then(|at| health.databases.get(at)).map(|database| database.level);
        let padded = line.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
            let right = matches!(column, 4..=6);
            let cell = if right { format!("{cell:>width$}") } else { format!("{cell:<width$}") };
            match level.filter(|_| column == 1) {
                Some(level) => printer.styled(style(level), &cell),
                None => cell,
            }
        });
        printer.line(padded.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    let told =
        health.databases.iter().flat_map(|one| one.problems.iter().map(move |p| (one.database.as_str(), p)));
    for (name, Problem { level, message, .. }) in
        told.chain(health.problems.iter().map(|p| (if p.about == "key" { "key" } else { "store" }, p)))
    {
        let lead = printer.styled(style(*level), word(*level));
        printer.line(&format!("{lead} {}: {}", printable(name), printable(message)))?;
    }
    if health.orphans > 0 {
        printer.info(&format!(
            "{} leftovers of backups that failed: `pgcask list --orphans` shows them",
            health.orphans
        ));
    }
    Ok(())
}

fn cells(one: &DatabaseHealth) -> [String; 9] {
    let none = || "–".to_owned();
    let drill = one.drilled_at.map_or_else(
        || "never".to_owned(),
        |at| {
            let end = if one.drill_passed == Some(true) { "passed" } else { "FAILED" };
            format!("{} {end}", at.strftime("%Y-%m-%d"))
        },
    );
    [
        printable(&one.database),
        word(one.level).to_owned(),
        one.age_seconds.map_or_else(none, |age| format!("{} ago", text::seconds(age))),
        one.newest_kind.map_or_else(none, |kind| kind.to_string()),
        one.newest_bytes.map_or_else(none, text::bytes),
        text::count(one.backups),
        text::bytes(one.bytes),
        drill,
        one.drill_seconds.map_or_else(none, text::seconds),
    ]
}

impl CheckArgs {
    /// Runs the command. The exit codes are those of monitoring plug-ins, whatever happens.
    pub async fn run(&self, context: &Context) -> Result<Exit> {
        let printer = context.printer;
        let health = match self.demanded.look().await {
            Ok(health) => health,
            Err(error) if error.kind() == ErrorKind::Interrupted || error.kind() == ErrorKind::Terminated => {
                return Err(error);
            }
            Err(error) => {
                if printer.json {
                    printer.json(&serde_json::json!({ "level": "unknown", "error": error.to_string() }))?;
                } else {
                    printer.line(&format!("PGCASK UNKNOWN - {}", printable(&error.to_string())))?;
                }
                return Ok(Exit::MONITOR_UNKNOWN);
            }
        };
        context.tell(&one_line(&health));
        if printer.json {
            printer.json(&health)?;
        } else {
            printer.line(&one_line(&health))?;
        }
        Ok(match health.level {
            Level::Ok => Exit::Good,
            Level::Warning => Exit::MONITOR_WARNING,
            Level::Critical => Exit::MONITOR_CRITICAL,
        })
    }
}

/// `PGCASK OK - …|age=…`: what is wrong, the worst first, and performance data as plug-ins give it.
fn one_line(health: &Health) -> String {
    let own = health.databases.iter().flat_map(|one| {
        one.problems
            .iter()
            .map(move |problem| (problem.level, format!("{}: {}", one.database, problem.message)))
    });
    let store = health.problems.iter().map(|problem| (problem.level, problem.message.clone()));
    let mut told: Vec<(Level, String)> = own.chain(store).collect();
    told.sort_by_key(|(level, _)| std::cmp::Reverse(*level));
    let told: Vec<String> = told.into_iter().map(|(_, message)| message).collect();
    let said = if told.is_empty() {
        let newest = health.databases.iter().filter_map(|one| one.age_seconds).fold(0.0, f64::max);
        format!(
            "{} databases, the oldest newest backup is {} old",
            health.databases.len(),
            text::seconds(newest)
        )
    } else {
        told.join("; ")
    };
    let figures: Vec<String> = health
        .databases
        .iter()
        .filter_map(|one| {
            let name = one.database.replace(['\'', '=', '|', ' '], "_");
            Some(format!("'{name}_age'={:.0}s '{name}_size'={}B", one.age_seconds?, one.newest_bytes?))
        })
        .collect();
    // The bar parts the figures from the words.
    printable(&format!("PGCASK {} - {}|{}", word(health.level), said.replace('|', "/"), figures.join(" ")))
}
