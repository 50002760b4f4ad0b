//! `pgcask restore --in-place`: what is asked and said.

use std::sync::Arc;

use super::Context;
use super::args::UnlockArgs;
use super::erasures;
use super::printer::{human_bytes, human_count, human_seconds};
use super::progress::Progress;
use super::restore::{estimate, origin};
use super::swap::{SwapArgs, ask, began_with, end_of_dry_run, erasing, refusal, verify_all};
use crate::error::Result;
use crate::event::SharedObserver;
use crate::exit::Exit;
use crate::opened::OpenArchive;
use crate::pg::quote::printable;
use crate::restore::{InPlacePlan, Options, in_place, plan_in_place};

impl SwapArgs {
    /// Restores inside the live database.
    pub(super) async fn run_in_place(
        &self,
        options: &Options,
        archive: &OpenArchive,
        unlock: &UnlockArgs,
        yes: bool,
        context: &Context,
    ) -> Result<Exit> {
        let printer = context.printer;
        let plan = plan_in_place(options, archive).await?;
        if let Some(refused) = refusal(&plan.restore.findings) {
            return Err(refused);
        }
        // Beside a live database a damaged archive shows itself before anything is replaced; in it that is too late.
        if self.verify_first || !plan.resumes {
            verify_all(archive, context).await?;
        }
        let safety = self.safety(options, archive, unlock, printer).await?;
        for line in words(&plan, safety.is_some()) {
            printer.info(&line);
        }
        ask(yes, "All that is in the live database will be dropped.", "RESTORE")?;
        let progress = Progress::new(printer, context.bar);
        let observer: SharedObserver = Arc::<Progress>::clone(&progress);
        let backup = safety.map(|safety| safety.take(&observer, context));
        let work = Box::pin(in_place(options, archive, backup, &observer, &context.stop));
        let result = super::restore::with_grace(work, &context.stop).await;
        progress.finish();
        let summary = result?;
        erasures::record(summary.restore.erasure.as_ref(), context);
        if printer.json {
            printer.json(&summary)?;
            return Ok(Exit::Good);
        }
        let proven = if summary.restore.verified { "content proven equal" } else { "content not proven" };
        printer.line(&format!(
            "{}: restored in place in {}, {} rows; {proven}",
            summary.restore.database,
            human_seconds(summary.restore.total_seconds),
            human_count(summary.restore.rows)
        ))?;
        super::validate::table(&summary.restore.checks).iter().try_for_each(|line| printer.line(line))?;
        let erased = erasures::words(summary.restore.erasure.as_ref());
        erased.iter().try_for_each(|line| printer.line(line))?;
        if let Some(place) = &summary.safety_backup {
            printer.line(&format!("safety backup, the only way back: {place}"))?;
        }
        Ok(Exit::Good)
    }

    /// Says what would happen.
    pub(super) async fn dry_run_in_place(
        &self,
        options: &Options,
        archive: &OpenArchive,
        context: &Context,
    ) -> Result<Exit> {
        let printer = context.printer;
        self.verify(archive, context).await?;
        let plan = plan_in_place(options, archive).await?;
        if printer.json {
            printer.json(&plan)?;
        } else {
            words(&plan, !self.no_safety_backup).iter().try_for_each(|line| printer.line(line))?;
            end_of_dry_run(printer, &plan.restore.findings)?;
        }
        Ok(if refusal(&plan.restore.findings).is_some() { Exit::Refused } else { Exit::Good })
    }
}

/// The plan in plain words, and what is different from a swap.
fn words(plan: &InPlacePlan, safety: bool) -> Vec<String> {
    let InPlacePlan {
        restore,
        drops,
        drops_at_once,
        live_bytes,
        sessions,
        left_behind,
        resumes,
        safety_backup,
    } = plan;
    let mut lines =
        vec![format!("{}: restore inside the live database", restore.database), origin(&restore.origin)];
    if *resumes {
        lines.push("  go on with the interrupted restore".to_owned());
        lines.push(began_with(safety_backup.as_deref()));
    } else {
        lines.push("  read all of the archive first, to be sure of it".to_owned());
        let backup = if safety { "back it up (kind pre-restore)" } else { "take no backup of it first" };
        lines.push(format!("  {backup}"));
        lines.push(format!("  end {} sessions", human_count(*sessions)));
        let (count, bytes) =
            (human_count(u64::try_from(drops.len()).unwrap_or(u64::MAX)), human_bytes(*live_bytes));
        let pace = if *drops_at_once { "one transaction" } else { "several transactions" };
        lines.push(format!("  drop all that is in it ({bytes}), in {pace}: {count} things"));
        lines.extend(drops.iter().take(20).map(|name| format!("    {}", printable(name))));
        if drops.len() > 20 {
            lines.push("    …".to_owned());
        }
        if !*drops_at_once {
            lines.push(
                "    it has more objects than the server can lock at once (max_locks_per_transaction): a run that is killed \
                 meanwhile leaves a part of it, and goes on with --resume"
                    .to_owned(),
            );
        }
    }
    lines.push(format!(
        "  load {} rows of {} tables ({}), reading {} from the store, and prove them",
        human_count(restore.rows),
        human_count(restore.tables),
        human_bytes(restore.bytes),
        human_bytes(restore.read_bytes),
    ));
    lines.extend(estimate(restore).map(|line| format!("  {line}")));
    lines.extend(erasing(restore));
    lines.push("  other than with --swap:".to_owned());
    lines.push(
        "    others cannot write from the backup of it on until the end: they wait, are ended, and then find the database read-only; \
         from the moment it is emptied until the end it is not usable"
            .to_owned(),
    );
    lines.push("    no old database is kept: the safety backup is the only way back".to_owned());
    lines.push("    a check that fails is told when the old content is gone".to_owned());
    lines.push(
        "    the database's own settings, and privileges on schema public besides the archive's, stay"
            .to_owned(),
    );
    lines.extend(left_behind.iter().map(|note| format!("  note: {note}")));
    lines
}
