//! `pgcask rollback`.

use std::sync::Arc;

use clap::Args;

use super::Context;
use super::args::UnlockArgs;
use super::backup::default_jobs;
use super::erasures::{self, Asked, ErasureArgs};
use super::printer::{Printer, human_bytes, human_count, human_seconds};
use super::progress::Progress;
use super::swap::{SwapArgs, ask, refusal};
use crate::error::{Error, ErrorKind, Result};
use crate::event::SharedObserver;
use crate::exit::Exit;
use crate::pg::quote::printable;
use crate::pg::{ConnectOptions, EnvLookup, PgError};
use crate::restore::{
    Leftover, LeftoverKind, RollbackPlan, Writes, discard, find_discardable, leftovers, plan_rollback,
    rollback,
};
use crate::store::safety::{WayBack, way_back};
use crate::store::{Location, StoreError};

/// Go back to the database that a restore with --swap replaced
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
The database that is live now is kept in turn, so that a rollback can be rolled back. Nothing is
dropped but by --discard. What the erasure ledger names is erased in the database that comes back.

EXAMPLES
  What is there to go back to, and what do interrupted restores leave:
    pgcask rollback shop --list

  Go back to the database that was replaced last:
    pgcask rollback shop

  The replaced database is gone; restore the backup that was taken before the swap:
    pgcask rollback shop --store s3://backups/prod -i ~/pgcask.key

  It was interrupted: the same command goes on.

EXIT STATUS
  0 done · 1 failed · 2 usage · 3 archive damaged · 4 key · 5 the content differs · 7 server lost ·
  8 store unreachable · 9 refused, or no way back · 130/143 stopped")]
pub struct RollbackArgs {
    /// The live database: a configured name, a libpq URL, keyword string or name; default from PG* variables as in psql
    #[arg(value_name = "DBURL", conflicts_with = "database")]
    pub target: Option<String>,
    /// The same as DBURL
    #[arg(long, value_name = "DBURL")]
    pub database: Option<String>,
    /// List the databases that were replaced, and what interrupted restores left
    #[arg(long, conflicts_with_all = ["discard", "to", "store"])]
    pub list: bool,
    /// Drop one of those that --list names
    #[arg(long, value_name = "NAME", conflicts_with_all = ["to", "store"])]
    pub discard: Option<String>,
    /// Go back to this one of them [default: the one that was replaced last]; with --store, the id of a safety backup
    #[arg(long, value_name = "NAME")]
    pub to: Option<String>,
    /// Restore the newest safety backup (kind pre-restore) out of this store, but none that a rollback took; begun again, it goes on
    #[arg(long, value_name = "STORE")]
    pub store: Option<String>,
    /// Say what would happen, touch nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would print it as help text")]
    pub unlock: UnlockArgs,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would print it as help text")]
    pub erasure: ErasureArgs,
}

impl RollbackArgs {
    /// Runs the command.
    pub async fn run(&self, context: &Context) -> Result<Exit> {
        let printer = context.printer;
        let url = self.target.as_deref().or(self.database.as_deref());
        let target = ConnectOptions::resolve(url, &EnvLookup::system()).map_err(PgError::from)?;
        context.about.database(&target.database);
        if self.list {
            return list(printer, &leftovers(&target, None).await?);
        }
        if let Some(name) = &self.discard {
            return self.discard(&target, name, printer).await;
        }
        if let Some(store) = &self.store {
            return self.restore_safety_backup(target, store, context).await;
        }
        let plan = plan_rollback(&target, self.to.as_deref()).await?;
        if self.dry_run {
            if printer.json {
                printer.json(&plan)?;
            } else {
                words(&plan).into_iter().try_for_each(|line| printer.line(&line))?;
                printer.line("nothing was touched")?;
            }
            return Ok(if refusal(&plan.findings).is_some() { Exit::Refused } else { Exit::Good });
        }
        if let Some(refused) = refusal(&plan.findings) {
            return Err(refused);
        }
        let safety = plan.safety_backup.as_deref().unwrap_or_default();
        let asked = Asked { archive: safety, database: Some(&target.database) };
        let erasures = self.erasure.gather(asked, context).await?;
        for line in words(&plan) {
            printer.info(&line);
        }
        ask(self.yes, "The live database will be replaced.", "ROLLBACK")?;
        let progress = Progress::new(printer, context.bar);
        let observer: SharedObserver = Arc::<Progress>::clone(&progress);
        let result = Box::pin(rollback(&target, &plan, &erasures, &observer, &context.stop)).await;
        progress.finish();
        let summary = result?;
        erasures::record(summary.erasure.as_ref(), context);
        if printer.json {
            printer.json(&summary)?;
        } else {
            printer.line(&format!(
                "{} is again what {} was, in {}",
                printable(&summary.database),
                printable(&summary.back_to),
                human_seconds(summary.seconds)
            ))?;
            erasures::words(summary.erasure.as_ref()).iter().try_for_each(|line| printer.line(line))?;
            if let Some(kept) = &summary.kept_as {
                printer.line(&format!("what was live until now is kept as {}", printable(kept)))?;
            }
        }
        Ok(Exit::Good)
    }

    async fn discard(&self, target: &ConnectOptions, name: &str, printer: Printer) -> Result<Exit> {
        let found = find_discardable(target, name).await?;
        let (gone, done) = if self.dry_run {
            (found, "would discard")
        } else {
            let shown = printable(name);
            let question = match found.kind {
                LeftoverKind::Marks => {
                    format!(
                        "{shown} stays as it is, and its unfinished restore can no longer be gone on with."
                    )
                }
                LeftoverKind::Note => format!("{shown} stays as it is, without the note of its replacement."),
                _ => format!("{shown} will be gone for good."),
            };
            ask(self.yes, &question, "DISCARD")?;
            (discard(target, name).await?, "discarded")
        };
        if printer.json {
            printer.json(&gone)?;
            return Ok(Exit::Good);
        }
        printer.line(&format!("{done}: {}", describe(&gone)))?;
        if self.dry_run {
            printer.line("nothing was touched")?;
        }
        Ok(Exit::Good)
    }

    /// Restores the backup that was taken before the swap, by the same way.
    async fn restore_safety_backup(
        &self,
        target: ConnectOptions,
        store: &str,
        context: &Context,
    ) -> Result<Exit> {
        let opened = Location::parse(store)?.open()?;
        let found = way_back(&opened, &target.database, self.to.as_deref()).await;
        let WayBack { backup, metadata, passed_over } = found.map_err(|error| match error {
            StoreError::NoBackup { .. } => Error::new(ErrorKind::Refused, error.to_string()).hint(
                "`pgcask list --kind pre-restore` lists safety backups; `pgcask restore` brings back any other backup",
            ),
            other => other.into(),
        })?;
        for newer in &passed_over {
            context.printer.info(&format!(
                "passed over: {}, which a rollback took at {} of what it was to replace; --to {} goes to it",
                newer.facts.id, newer.facts.taken, newer.facts.id
            ));
        }
        let place = opened.display(&backup.key);
        let what = metadata.map_or_else(String::new, |metadata| {
            format!(", {} rows of {} tables", human_count(metadata.rows), human_count(metadata.tables))
        });
        context.printer.info(&format!(
            "the safety backup is {place}, taken at {}: {}{what}",
            backup.facts.taken,
            human_bytes(backup.bytes)
        ));
        let archive = super::read::open_to_read(&place, &self.unlock, context).await?;
        let mut options = super::restore::whole(target, default_jobs());
        options.erasures = self.erasure.of(&archive, context).await?;
        // A second safety backup would be one of what the first run was to get away from.
        options.resume = true;
        let swap = SwapArgs { swap: true, safety_to: Some(store.to_owned()), ..SwapArgs::default() };
        if self.dry_run {
            return swap.dry_run(&options, &archive, &self.unlock, context).await;
        }
        swap.run(&options, &archive, &self.unlock, self.yes, context).await.map_err(|error| {
            error.hint(format!(
                "if the database itself is gone: `pgcask restore {place} --into DBURL --create`"
            ))
        })
    }
}

/// The plan in plain words.
fn words(plan: &RollbackPlan) -> Vec<String> {
    let RollbackPlan {
        database,
        back_to,
        since,
        kept_as,
        lost,
        sessions,
        safety_backup,
        left_behind,
        findings,
    } = plan;
    let mut lines = vec![format!("{} becomes {} again", printable(back_to), printable(database))];
    if let Some(since) = since {
        lines.push(format!("  it was replaced at {since}"));
    }
    if let Some(kept) = kept_as {
        let kept = printable(kept);
        lines.push(format!("  what is live now is kept as {kept} or a later time"));
        lines.push(match lost {
            Some(Writes { inserted: 0, updated: 0, deleted: 0 }) => {
                "  nothing was written to it since, as far as the server counts".to_owned()
            }
            Some(Writes { inserted, updated, deleted }) => format!(
                "  written to it since, and then only there: {} rows inserted, {} updated, {} deleted",
                human_count(*inserted),
                human_count(*updated),
                human_count(*deleted)
            ),
            None => "  what was written to it since is not known, and is then only there".to_owned(),
        });
        lines.push(format!("  end {} sessions", human_count(*sessions)));
    } else {
        lines.push("  there is no database of that name now".to_owned());
    }
    if let Some(place) = safety_backup {
        lines.push(format!("  a backup of what comes back is {}", printable(place)));
    }
    lines.extend(left_behind.iter().map(|note| format!("  note: {note}")));
    lines.extend(
        findings
            .iter()
            .filter(|finding| finding.fatal)
            .map(|finding| format!("  refused: {}", finding.message)),
    );
    lines
}

fn list(printer: Printer, left: &[Leftover]) -> Result<Exit> {
    if printer.json {
        printer.json(&left)?;
        return Ok(Exit::Good);
    }
    left.iter().try_for_each(|left| printer.line(&describe(left)))?;
    if left.is_empty() {
        printer.info("nothing is kept, nothing was left");
    }
    Ok(Exit::Good)
}

fn describe(left: &Leftover) -> String {
    let Leftover { name, kind, database, since, bytes, archive, safety_backup, at_work } = left;
    let (name, database) = (printable(name), printable(database));
    let what = match kind {
        LeftoverKind::Before => format!("{name}: was {database}"),
        LeftoverKind::Interrupted if *at_work => {
            format!("{name}: a restore that is at work just now, and is to become {database}")
        }
        LeftoverKind::Interrupted => format!("{name}: an unfinished restore that is to become {database}"),
        LeftoverKind::Marks if *at_work => format!("{name}: a restore into it is at work just now"),
        LeftoverKind::Marks => format!("{name}: has marks of an unfinished restore"),
        LeftoverKind::Pending => {
            format!("{name}: has foreign keys to be validated by `pgcask validate --finish`")
        }
        LeftoverKind::Note => {
            format!("{name}: was brought back by a rollback, and has the note of its replacement still")
        }
    };
    let mut text = format!("{what}, {}", human_bytes(*bytes));
    let moment = since.map(|since| match kind {
        LeftoverKind::Before => format!("until {since}"),
        _ => format!("begun {since}"),
    });
    let archive = archive.as_ref().map(|id| match kind {
        LeftoverKind::Before => format!("replaced by backup {}", printable(id)),
        _ => format!("of backup {}", printable(id)),
    });
    let safety = safety_backup.as_ref().map(|place| format!("safety backup {}", printable(place)));
    for part in [moment, archive, safety].into_iter().flatten() {
        text.push_str(", ");
        text.push_str(&part);
    }
    text
}
