//! `pgcask doctor`.

use std::path::Path;

use clap::Args;
use jiff::SignedDuration;
use serde::Serialize;

use super::Context;
use super::args::{UnlockArgs, seconds};
use super::backup::default_jobs;
use super::drill::WORK_DIR;
use super::keys;
use super::printer::Printer;
use crate::clock::Clock;
use crate::custody;
use crate::drill::abandoned;
use crate::error::Result;
use crate::exit::Exit;
use crate::operate::doctor::{Finding, Level, ServerOptions, machine, server, store};
use crate::pg::{ConnectOptions, EnvLookup, PgError};
use crate::store::Location;
use crate::store::list::{Filter, list};

/// Find out beforehand what would make a backup or a restore fail
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
Looks at the database and its server, at this machine, at keys and recipients, and at the store. Nothing
is changed but for one small object that is put into the store and removed again. Each finding says
what was found, why it matters, and what to do.

EXAMPLES
  What is configured:
    pgcask doctor

  Before the first backup:
    pgcask doctor postgres://db.example/shop s3://backups/prod --recipient age1…

  For a script: what is worth a look
    pgcask doctor --json | jq '.findings[] | select(.level != \"ok\")'

EXIT STATUS
  0 nothing is critical · 1 something is, or it failed · 2 usage")]
pub struct DoctorArgs {
    /// The database: a configured name, a libpq URL, keyword string or name; default from PG* variables as in psql
    #[arg(value_name = "DBURL")]
    pub source: Option<String>,
    /// The store: a directory, or `s3://bucket/prefix`, `gs://…`, `az://…`
    #[arg(value_name = "STORE", env = "PGCASK_STORE")]
    pub store: Option<String>,
    /// For whom backups are sealed, as `pgcask backup` takes it; may be repeated
    #[arg(short, long = "recipient", value_name = "RECIPIENT", help_heading = "Keys")]
    pub recipients: Vec<String>,
    /// Connections that backups and restores use [default: the number of processors, at most 8]
    #[arg(short, long, value_name = "N", value_parser = super::args::jobs)]
    pub jobs: Option<usize>,
    /// Tell transactions that are open for longer
    #[arg(long, value_name = "TIME", value_parser = seconds, default_value = "10m")]
    pub longer_than: f64,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would print it as help text")]
    pub unlock: UnlockArgs,
}

/// What `--json` gives.
#[derive(Serialize)]
struct Answer {
    worst: Level,
    findings: Vec<Finding>,
}

impl DoctorArgs {
    /// Runs the command.
    pub async fn run(&self, context: &Context) -> Result<Exit> {
        let printer = context.printer;
        let database =
            ConnectOptions::resolve(self.source.as_deref(), &EnvLookup::system()).map_err(PgError::from)?;
        let place = self.store.as_deref().map(Location::parse).transpose()?;
        let jobs = self.jobs.unwrap_or_else(default_jobs).max(1);
        let long = SignedDuration::try_from_secs_f64(self.longer_than).unwrap_or(SignedDuration::MAX);
        let mut findings: Vec<Finding> = database
            .warnings
            .iter()
            .map(|warning| {
                Finding::new("connection", Level::Warning, warning.clone(), "it is not used as it was meant")
            })
            .collect();
        findings.extend(Box::pin(server(&ServerOptions { database, jobs, long }, Clock::System)).await);
        let newest = match &place {
            Some(place) => newest(place).await,
            None => None,
        };
        findings.extend(machine(place.as_ref(), jobs, newest.as_ref().map(|(_, bytes)| *bytes)));
        findings.extend(drills());
        findings.extend(self.keys());
        match &place {
            Some(place) => {
                findings.extend(Box::pin(store(place, Clock::System)).await);
                if let Some((archive, _)) = newest {
                    findings.extend(self.opens(&archive).await);
                }
            }
            None => findings.push(
                Finding::new("store", Level::Notice, "no store is named", "it was not looked at")
                    .remedy("pgcask doctor DBURL STORE, or set store in pgcask.toml"),
            ),
        }
        let worst = findings.iter().map(|finding| finding.level).max().unwrap_or(Level::Ok);
        if printer.json {
            printer.json(&Answer { worst, findings })?;
        } else {
            tell(printer, &findings)?;
        }
        Ok(if worst == Level::Critical { Exit::Failed } else { Exit::Good })
    }

    /// Whether recipients and identities can be read, and whether one lost key would lose all.
    fn keys(&self) -> Vec<Finding> {
        const CHECK: &str = "keys";
        let mut found = Vec::new();
        let mut recipients = usize::from(self.unlock.command.key_command.is_some());
        for word in &self.recipients {
            match custody::recipients(word, Clock::System.now()) {
                Ok(read) => recipients += read.len(),
                Err(error) => {
                    let why = "backups that are to be sealed for it fail";
                    found.push(Finding::of_error(CHECK, Level::Critical, &error, why));
                }
            }
        }
        match self.unlock.passphrase.read() {
            Ok(Some(secret)) => {
                recipients += 1;
                if secret.chars().count() < WEAK {
                    found.push(
                        Finding::new(
                            CHECK,
                            Level::Warning,
                            format!("the passphrase has fewer than {WEAK} characters"),
                            "who gets an archive can try passphrases for as long as they like",
                        )
                        .remedy("a longer one; `pgcask copy --rekey` seals old archives anew"),
                    );
                }
            }
            Ok(None) => {}
            Err(error) => {
                let why = "backups ask for it, and fail";
                found.push(Finding::of_error(CHECK, Level::Critical, &error, why));
            }
        }
        found.extend(match recipients {
            0 => Some(
                Finding::new(
                    CHECK,
                    Level::Notice,
                    "no recipient is named",
                    "a backup asks for a passphrase on a terminal, and fails without one",
                )
                .remedy("pgcask keygen makes a key; recipients = [\"age1…\"] in pgcask.toml names it"),
            ),
            1 => Some(
                Finding::new(
                    CHECK,
                    Level::Warning,
                    "backups are sealed for one recipient alone",
                    "if that key is lost, all backups are",
                )
                .remedy(
                    "name a second one whose key is kept elsewhere; `pgcask key add` adds it to old backups",
                ),
            ),
            many => Some(Finding::ok(CHECK, format!("backups are sealed for {many} recipients"))),
        });
        found.push(match keys::identities(&self.unlock) {
            Ok(none) if none.is_empty() => Finding::new(
                CHECK,
                Level::Notice,
                "no identity is at hand",
                "this host can make backups and restore none, which is right for one that only backs up",
            )
            .remedy("on the host that restores: --identity FILE, or identities in pgcask.toml"),
            Ok(some) => Finding::ok(CHECK, format!("{} identities are at hand", some.len())),
            Err(error) => {
                Finding::of_error(CHECK, Level::Critical, &error, "no archive can be opened with it")
            }
        });
        found
    }

    /// Whether what is at hand opens the newest backup.
    async fn opens(&self, archive: &str) -> Option<Finding> {
        const CHECK: &str = "newest backup";
        if !self.unlock.is_given() {
            return None;
        }
        Some(match super::read::open(archive, &self.unlock).await {
            Ok(_) => Finding::ok(CHECK, format!("it can be opened: {archive}")),
            Err(error) => {
                Finding::of_error(CHECK, Level::Critical, &error, "a restore needs a key that opens it")
            }
        })
    }
}

/// What killed drills left on this machine: rows in the clear.
fn drills() -> Option<Finding> {
    let left = abandoned(Path::new(WORK_DIR));
    let names: Vec<String> = left.iter().map(|path| path.display().to_string()).collect();
    let found = format!("drills that were killed left {}", names.join(", "));
    let finding =
        Finding::new("leftovers", Level::Warning, found, "they hold a copy of all that was backed up")
            .remedy("the next `pgcask drill` of this account removes them");
    (!names.is_empty()).then_some(finding)
}

/// The newest backup in a store, and its length. That a store cannot be listed is told by its own check.
async fn newest(place: &Location) -> Option<(String, u64)> {
    let store = place.open_existing().ok()?;
    let listed = list(&store, &Filter::default()).await.ok()?.backups;
    listed.first().map(|backup| (store.display(&backup.key), backup.bytes))
}

/// Characters below which a passphrase can be guessed.
const WEAK: usize = 12;

fn tell(printer: Printer, findings: &[Finding]) -> Result<()> {
    for Finding { check, level, found, why, remedy } in findings {
        let (word, style) = match level {
            Level::Ok => ("ok", anstyle::AnsiColor::Green),
            Level::Notice => ("notice", anstyle::AnsiColor::Cyan),
            Level::Warning => ("warning", anstyle::AnsiColor::Yellow),
            Level::Critical => ("CRITICAL", anstyle::AnsiColor::Red),
        };
        let word = printer.styled(style.on_default(), &format!("{word:<8}"));
        printer.line(&format!("{word}  {check}: {found}"))?;
        if let Some(why) = why {
            printer.line(&format!("            {why}"))?;
        }
        if let Some(remedy) = remedy {
            printer.line(&format!("            → {remedy}"))?;
        }
    }
    let count = |level: Level| findings.iter().filter(|finding| finding.level == level).count();
    printer.line(&format!(
        "{} critical, {} warnings, {} notices, {} ok",
        count(Level::Critical),
        count(Level::Warning),
        count(Level::Notice),
        count(Level::Ok)
    ))
}
