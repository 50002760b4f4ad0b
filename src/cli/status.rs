//! `pgcask status` and `pgcask check`: the health of all watched databases, for people and for monitoring.

use clap::Args;
use jiff::Span;

use super::Context;
use super::args::{seconds, span_ahead};
use super::printer::Printer;
use super::state::state;
use super::watched::WatchArgs;
use crate::clock::Clock;
use crate::config::Config;
use crate::drill::{Level, Problem, text};
use crate::error::{Error, ErrorKind, Result};
use crate::estate::{DatabaseView, Overall, Overview, overview};
use crate::exit::Exit;
use crate::pg::quote::printable;

/// What is demanded of which databases.
#[derive(Debug, Clone, Args)]
pub struct DemandedArgs {
    /// Only this database: a configured name, or the name that its backups bear [default: all that are configured, and all that
    /// have backups in their stores]
    #[arg(value_name = "DATABASE")]
    pub database: Option<String>,
    /// A store: a directory, or `s3://bucket/prefix`, `gs://…`, `az://…`; may be repeated [default: all that are configured
    /// for databases, and those of their copies]
    #[arg(long = "store", value_name = "STORE", env = "PGCASK_STORE")]
    pub stores: Vec<String>,
    /// How old the newest backup may be [default: 24h]
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    pub rpo: Option<f64>,
    /// How long a drill counts [default: 3mo]
    #[arg(long, value_name = "SPAN", value_parser = span_ahead)]
    pub drill_every: Option<Span>,
    /// What is looked at
    #[arg(skip)]
    pub watch: WatchArgs,
}

impl DemandedArgs {
    /// Takes over what is configured.
    pub(super) fn watch(&mut self, config: &Config) -> Result<()> {
        self.watch = WatchArgs {
            stores: self.stores.clone(),
            rpo: self.rpo,
            drill_every: self.drill_every,
            ..WatchArgs::default()
        };
        self.watch.watch(config)?;
        self.database.as_deref().map_or(Ok(()), |name| self.watch.of_database(name, config))
    }

    async fn look(&self) -> Result<Overview> {
        let now = Clock::System.now();
        let wish = self.watch.wish(0, None, now)?;
        let runs = state().map(|state| state.runs()).unwrap_or_default();
        overview(&wish.stores, &wish.health, &runs, now).await
    }
}

/// Show all databases at a glance: newest backup, last drill, what is wrong
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
All configured databases in all their stores, those of copies too, and whatever else has backups there.

EXAMPLES
  All that is configured:
    pgcask status

  pgcask status --store s3://backups/prod
  pgcask status shop --store /backups --rpo 1h --json

EXIT STATUS
  0 all is well, or only warnings · 2 usage · 6 a database's newest backup is too old or its last drill
  failed, or a store has no room · 8 a store is unreachable, and nothing worse is known")]
pub struct StatusArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would print it as help text")]
    pub demanded: DemandedArgs,
}

/// Check the health of all databases for monitoring, in one line
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
Looks at what `pgcask status` does; with --quiet it says nothing while all is well. Critical: no backup within the RPO, the last drill failed, no room for the next backup, a configured
recipient that cannot be sealed for. Warning: never drilled, or longer ago than --drill-every; a size
out of the usual; the last backup on this machine failed; room is scarce; a recipient's key expires
within 30 days; a backup bears a time that is yet to come.

EXAMPLES
  pgcask check
  pgcask check shop --store s3://backups/prod --rpo 25h

EXIT STATUS
  0 OK · 1 WARNING · 2 CRITICAL · 3 UNKNOWN: a store cannot be looked at, the configuration cannot be
  read, or the command line is wrong")]
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
        let seen = self.demanded.look().await?;
        if printer.json {
            printer.json(&seen)?;
        } else {
            print_status(printer, &seen)?;
        }
        Ok(match seen.level {
            Overall::Critical => Exit::Stale,
            Overall::Unknown => Exit::Store,
            Overall::Warning | Overall::Ok => Exit::Good,
        })
    }
}

/// The columns, and whether their numbers are compared by the last digit.
const HEADS: [(&str, bool); 10] = [
    ("DATABASE", false),
    ("STORE", false),
    ("HEALTH", false),
    ("NEWEST", false),
    ("KIND", false),
    ("SIZE", true),
    ("BACKUPS", true),
    ("IN ALL", true),
    ("LAST DRILL", false),
    ("TOOK", false),
];

fn print_status(printer: Printer, seen: &Overview) -> Result<()> {
    let mut lines = vec![HEADS.map(|(head, _)| head.to_owned())];
    lines.extend(seen.databases.iter().map(cells));
    let width = |column: usize| {
        lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..HEADS.len()).map(width).collect();
    let several = seen.stores.len() > 1;
    for (number, line) in lines.iter().enumerate() {
        let level = number.checked_sub(1).and_then(|at| seen.databases.get(at)).map(|one| one.health.level);
        let columns =
            line.iter().zip(&widths).zip(HEADS).filter(|(_, (head, _))| several || *head != "STORE");
        let padded = columns.map(|((cell, width), (head, right))| {
            let cell = if right { format!("{cell:>width$}") } else { format!("{cell:<width$}") };
            match level.filter(|_| head == "HEALTH") {
                Some(level) => printer.styled(style(level), &cell),
                None => cell,
            }
        });
        printer.line(padded.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    for (subject, Problem { level, message, .. }) in problems(seen) {
        let lead = printer.styled(style(*level), word(*level));
        printer.line(&format!("{lead} {}: {}", printable(&subject), printable(message)))?;
    }
    for store in &seen.stores {
        if let Some(why) = &store.unreachable {
            let lead = printer.styled(WARNING, "UNKNOWN");
            let store = printable(&store.store);
            printer.line(&format!("{lead} {store}: it cannot be looked at: {}", printable(why)))?;
        }
    }
    let orphans: u64 = seen.stores.iter().map(|store| store.orphans).sum();
    if orphans > 0 {
        printer
            .info(&format!("{orphans} leftovers of backups that failed: `pgcask list --orphans` shows them"));
    }
    Ok(())
}

/// All problems, each with what it is about.
fn problems(seen: &Overview) -> Vec<(String, &Problem)> {
    let several = seen.stores.len() > 1;
    let named = |one: &DatabaseView| {
        let DatabaseView { store, health } = one;
        if several { format!("{} in {store}", health.database) } else { health.database.clone() }
    };
    let databases = seen
        .databases
        .iter()
        .flat_map(|one| one.health.problems.iter().map(move |problem| (named(one), problem)));
    let stores = seen.stores.iter().flat_map(|store| {
        let name = if several { store.store.clone() } else { "store".to_owned() };
        store.problems.iter().map(move |problem| (name.clone(), problem))
    });
    let keys = seen.problems.iter().map(|problem| ("key".to_owned(), problem));
    databases.chain(stores).chain(keys).collect()
}

fn cells(one: &DatabaseView) -> [String; 10] {
    let none = || "–".to_owned();
    let DatabaseView { store, health: one } = one;
    let drill = one.drilled_at.map_or_else(
        || "never".to_owned(),
        |at| {
            let end = if one.drill_passed == Some(true) { "passed" } else { "FAILED" };
            format!("{} {end}", at.strftime("%Y-%m-%d"))
        },
    );
    [
        printable(&one.database),
        printable(store),
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
        let seen = match self.demanded.look().await {
            Ok(seen) => seen,
            Err(error) if is_stop(&error) => return Err(error),
            Err(error) => {
                context.tell(&unknown_line(&error));
                context.troubled(vec!["unknown".to_owned()]);
                unknown(printer, &error)?;
                return Ok(Exit::MONITOR_UNKNOWN);
            }
        };
        context.tell(&one_line(&seen));
        context.troubled(troubles(&seen));
        if printer.json {
            printer.json(&seen)?;
        } else if !(seen.level == Overall::Ok && printer.is_quiet()) {
            printer.line(&one_line(&seen))?;
        }
        Ok(match seen.level {
            Overall::Ok => Exit::Good,
            Overall::Warning => Exit::MONITOR_WARNING,
            Overall::Critical => Exit::MONITOR_CRITICAL,
            Overall::Unknown => Exit::MONITOR_UNKNOWN,
        })
    }
}

/// Whether somebody stopped it.
pub(super) fn is_stop(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::Terminated)
}

fn unknown_line(error: &Error) -> String {
    printable(&format!("PGCASK UNKNOWN - {}", error.in_one_line().replace('|', "/")))
}

/// Says that nothing could be looked at, as monitoring wants to hear it.
pub(super) fn unknown(printer: Printer, error: &Error) -> Result<()> {
    if printer.json {
        printer.json(&serde_json::json!({ "level": "unknown", "error": error.in_one_line() }))
    } else {
        printer.line(&unknown_line(error))
    }
}

/// What is wrong, a word each: those who were told of it are told again of what is new.
fn troubles(seen: &Overview) -> Vec<String> {
    let known = problems(seen);
    let told =
        known.iter().map(|(subject, problem)| format!("{subject} {} {}", problem.about, word(problem.level)));
    let silent = seen.stores.iter().filter(|store| store.unreachable.is_some());
    told.chain(silent.map(|store| format!("{} store UNKNOWN", store.store))).collect()
}

/// `PGCASK OK - …|age=…`: what is wrong, the worst first, and performance data as plug-ins give it.
fn one_line(seen: &Overview) -> String {
    let mut told: Vec<(Overall, String)> = problems(seen)
        .into_iter()
        .map(|(subject, problem)| {
            let bare = subject == "store" || subject == "key";
            let said = if bare { problem.message.clone() } else { format!("{subject}: {}", problem.message) };
            (problem.level.into(), said)
        })
        .collect();
    told.extend(seen.stores.iter().filter_map(|store| {
        let why = store.unreachable.as_ref()?;
        Some((Overall::Unknown, format!("{} cannot be looked at: {why}", store.store)))
    }));
    told.sort_by_key(|(level, _)| std::cmp::Reverse(*level));
    let told: Vec<String> = told.into_iter().map(|(_, message)| message).collect();
    let said = if told.is_empty() {
        let newest = seen.databases.iter().filter_map(|one| one.health.age_seconds).fold(0.0, f64::max);
        format!(
            "{} databases, the oldest newest backup is {} old",
            seen.databases.len(),
            text::seconds(newest)
        )
    } else {
        told.join("; ")
    };
    let several = seen.stores.len() > 1;
    let figures: Vec<String> = seen
        .databases
        .iter()
        .filter_map(|DatabaseView { store, health: one }| {
            let name = if several { format!("{store}/{}", one.database) } else { one.database.clone() };
            let name = name.replace(['\'', '=', '|', ' '], "_");
            Some(format!("'{name}_age'={:.0}s '{name}_size'={}B", one.age_seconds?, one.newest_bytes?))
        })
        .collect();
    let word = match seen.level {
        Overall::Ok => "OK",
        Overall::Warning => "WARNING",
        Overall::Unknown => "UNKNOWN",
        Overall::Critical => "CRITICAL",
    };
    // The bar parts the figures from the words.
    printable(&format!("PGCASK {word} - {}|{}", said.replace('|', "/"), figures.join(" ")))
}
