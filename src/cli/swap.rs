//! `pgcask restore --swap`: what is asked, done first, and said.

use std::sync::Arc;

use clap::Args;
use jiff::Span;

use super::Context;
use super::args::UnlockArgs;
use super::backup::in_one_line;
use super::printer::{Printer, human_bytes, human_count, human_seconds};
use super::progress::Progress;
use super::prompt::confirm;
use super::restore::{estimate, origin};
use super::{erasures, keys};
use crate::archive::Verifier;
use crate::backup;
use crate::clock::Clock;
use crate::custody;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::event::SharedObserver;
use crate::exit::Exit;
use crate::opened::OpenArchive;
use crate::pg::quote::printable;
use crate::plan::select::Selection;
use crate::restore::{Finding, Options, Plan, SafetyBackup, SwapPlan, SwapSummary, plan_swap, swap};
use crate::seal::compress::Level;
use crate::store::naming::{self, Kind};
use crate::store::sidecar::ReplacedBy;
use crate::store::{Location, Store};

/// How a restore goes over a live database.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Over a live database")]
pub struct SwapArgs {
    /// Restore beside the live database, prove it, then put it in its place; the old one is kept
    #[arg(long, conflicts_with = "create")]
    pub swap: bool,
    /// Empty the live database and restore into it, where databases cannot be created or renamed: it is not usable meanwhile
    #[arg(long, conflicts_with_all = ["create", "swap"])]
    pub in_place: bool,
    /// Read the whole archive and verify it before anything else; --in-place does so before it empties the database
    #[arg(long)]
    pub verify_first: bool,
    /// Store of the safety backup of the live database [default: the archive's]
    #[arg(long, value_name = "STORE", conflicts_with = "no_safety_backup")]
    pub safety_to: Option<String>,
    /// Take no backup of the live database first
    #[arg(long)]
    pub no_safety_backup: bool,
    /// How long it is kept, where that is configured.
    #[arg(skip)]
    pub safety_keeps: Option<Span>,
}

impl SwapArgs {
    /// Whether the restore goes over a live database.
    pub(super) const fn is_given(&self) -> bool {
        self.swap || self.in_place
    }

    /// Restores over the live database.
    pub(super) async fn run(
        &self,
        options: &Options,
        archive: &OpenArchive,
        unlock: &UnlockArgs,
        yes: bool,
        context: &Context,
    ) -> Result<Exit> {
        let printer = context.printer;
        self.verify(archive, context).await?;
        let plan = plan_swap(options, archive).await?;
        if let Some(refused) = refusal(&plan.restore.findings) {
            return Err(refused);
        }
        let safety = self.safety(options, archive, unlock, printer).await?;
        for line in words(&plan, safety.as_ref().map(|safety| safety.store.display(""))) {
            printer.info(&line);
        }
        ask(yes, "The live database will be replaced.", "RESTORE")?;
        let progress = Progress::new(printer, context.bar);
        let observer: SharedObserver = Arc::<Progress>::clone(&progress);
        let backup = safety.map(|safety| safety.take(&observer, context));
        let work = Box::pin(swap(options, archive, backup, &observer, &context.stop));
        let result = super::restore::with_grace(work, &context.stop).await;
        progress.finish();
        let summary = result?;
        erasures::record(summary.restore.erasure.as_ref(), context);
        tell(printer, &summary)?;
        Ok(Exit::Good)
    }

    /// Says what would happen.
    pub(super) async fn dry_run(
        &self,
        options: &Options,
        archive: &OpenArchive,
        unlock: &UnlockArgs,
        context: &Context,
    ) -> Result<Exit> {
        let printer = context.printer;
        self.verify(archive, context).await?;
        let plan = plan_swap(options, archive).await?;
        if printer.json {
            printer.json(&plan)?;
        } else {
            let safety = self.safety(options, archive, unlock, printer).await?;
            for line in words(&plan, safety.map(|safety| safety.store.display(""))) {
                printer.line(&line)?;
            }
            end_of_dry_run(printer, &plan.restore.findings)?;
        }
        Ok(if refusal(&plan.restore.findings).is_some() { Exit::Refused } else { Exit::Good })
    }

    pub(super) async fn verify(&self, archive: &OpenArchive, context: &Context) -> Result<()> {
        if self.verify_first { verify_all(archive, context).await } else { Ok(()) }
    }

    pub(super) async fn safety(
        &self,
        options: &Options,
        archive: &OpenArchive,
        unlock: &UnlockArgs,
        printer: Printer,
    ) -> Result<Option<Safety>> {
        if self.no_safety_backup {
            printer.warning("no backup of the live database is taken first");
            return Ok(None);
        }
        let store = match &self.safety_to {
            Some(store) => store.clone(),
            None => naming::store_of(&archive.source().display()),
        };
        let recipients = if archive.is_encrypted() {
            let known = archive.manifest().await?.recipients;
            let (known, gone) = custody::still_good(&known, Clock::System.now());
            for error in gone {
                // Not a reason to be without the backup that is the way back: the others open it.
                printer.warning(&format!(
                    "the safety backup is not sealed for one who opens the archive: {}",
                    in_one_line(&error)
                ));
            }
            keys::recipients(&known, unlock.command.command(), &unlock.passphrase)
                .context(|| "seal the safety backup as the archive is sealed".to_owned())?
        } else {
            printer.warning("the safety backup is not encrypted, as the archive is not");
            Vec::new()
        };
        let store = Location::parse(&store)?.open()?;
        let manifest = archive.manifest().await?;
        let replaced_by = ReplacedBy { id: manifest.id, kind: manifest.kind };
        let options = backup::Options {
            source: options.target.clone(),
            kind: Kind::PreRestore,
            keep_for: self.safety_keeps,
            jobs: options.jobs,
            level: Level::new(1).map_err(|error| Error::new(ErrorKind::Usage, error.to_string()))?,
            recipients,
            selection: Selection::default(),
            personal: Vec::new(),
            unlogged_rows: true,
            strict_names: false,
            parts: backup::Parts::All,
            globals: backup::Globals::IfAllowed,
            role_passwords: false,
            profile: crate::catalog::profile::Wish::Detect,
            lock_timeout: std::time::Duration::from_mins(1),
            serializable_deferrable: false,
            audit: super::record::head(&store),
            replaced_by: Some(replaced_by),
        };
        Ok(Some(Safety { options, store }))
    }
}

/// A backup that is still to be taken.
pub(super) struct Safety {
    options: backup::Options,
    store: Store,
}

impl Safety {
    pub(super) fn take<'a>(self, observer: &SharedObserver, context: &Context) -> SafetyBackup<'a> {
        let (observer, stop) = (Arc::clone(observer), context.stop.clone());
        let record = context.record.clone();
        Box::pin(async move {
            let made = backup::run(&self.options, &self.store, Clock::System, &observer, &stop).await?;
            record.detail("safety_backup", &made.archive);
            record.detail("safety_backup_digest", &made.sha256);
            Ok(made.archive)
        })
    }
}

/// Reads all of an archive before anything is touched.
pub(super) async fn verify_all(archive: &OpenArchive, context: &Context) -> Result<()> {
    let verifier = Verifier::with_key(archive.opener().clone())?;
    let report = super::read::scan(archive.source(), verifier, context).await?;
    if report.is_sound() {
        return Ok(());
    }
    let first = report.findings.first().map(ToString::to_string).unwrap_or_default();
    Err(Error::new(ErrorKind::Damaged, format!("the archive is damaged: {first}"))
        .hint("nothing was touched; take another archive; `pgcask verify` lists all that is damaged"))
}

/// The last lines of a dry run: what stands in the way, and that nothing was done.
pub(super) fn end_of_dry_run(printer: Printer, findings: &[Finding]) -> Result<()> {
    for finding in findings.iter().filter(|finding| finding.fatal) {
        printer.line(&format!("refused: {}", printable(&finding.message)))?;
    }
    printer.line("nothing was touched")
}

/// What stands in the way, as one error.
pub(super) fn refusal(findings: &[Finding]) -> Option<Error> {
    let fatal: Vec<&Finding> = findings.iter().filter(|finding| finding.fatal).collect();
    let messages: Vec<&str> = fatal.iter().map(|finding| finding.message.as_str()).collect();
    let error =
        Error::new(ErrorKind::Refused, format!("refused, nothing was touched: {}", messages.join("; ")));
    let error = fatal
        .iter()
        .filter_map(|finding| finding.hint.as_ref())
        .fold(error, |error, hint| error.hint(hint.clone()));
    (!fatal.is_empty()).then_some(error)
}

/// Asks, unless the answer is given.
pub(super) fn ask(yes: bool, question: &str, word: &str) -> Result<()> {
    if yes || confirm(question, word)? {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Refused, "not confirmed, nothing was touched"))
}

/// What the erasure ledger will do, where there is one.
pub(super) fn erasing(plan: &Plan) -> Option<String> {
    let entries = human_count(plan.erasure_entries);
    (plan.erasure_entries > 0)
        .then(|| format!("  erase again in it what {entries} entries of the erasure ledger name"))
}

/// Which backup of the live database an interrupted restore began with.
pub(super) fn began_with(safety_backup: Option<&str>) -> String {
    safety_backup.map_or_else(
        || "  no backup of the database was taken when that began, and none is now".to_owned(),
        |place| format!("  the backup of the database as it was when that began: {}", printable(place)),
    )
}

/// The plan in plain words.
fn words(plan: &SwapPlan, safety: Option<String>) -> Vec<String> {
    let SwapPlan { restore, staging, kept_as, live_bytes, sessions, left_behind, resumes, safety_backup } =
        plan;
    let mut lines =
        vec![format!("{}: restore over the live database", restore.database), origin(&restore.origin)];
    if *resumes {
        lines.push(format!("  go on with the interrupted restore in {}", printable(staging)));
        lines.push(began_with(safety_backup.as_deref()));
    } else {
        match safety {
            Some(store) => lines.push(format!("  back it up into {store} (kind pre-restore)")),
            None => lines.push("  take no backup of it first".to_owned()),
        }
        lines.push(format!("  create the database {}", printable(staging)));
    }
    lines.push(format!(
        "  load {} rows of {} tables ({}) into it, reading {} from the store, and prove them",
        human_count(restore.rows),
        human_count(restore.tables),
        human_bytes(restore.bytes),
        human_bytes(restore.read_bytes),
    ));
    lines.extend(estimate(restore).map(|line| format!("  {line}")));
    lines.extend(erasing(restore));
    lines.push(format!(
        "  end {} sessions; whoever connects just then gets an error once",
        human_count(*sessions)
    ));
    lines.push(format!(
        "  keep the old database ({}) as {} or a later time; `pgcask rollback` goes back to it",
        human_bytes(*live_bytes),
        printable(kept_as)
    ));
    lines.extend(left_behind.iter().map(|note| format!("  note: {note}")));
    let notes = restore.findings.iter().filter(|finding| !finding.fatal);
    lines.extend(notes.map(|finding| format!("  note: {}", printable(&finding.message))));
    lines
}

fn tell(printer: Printer, summary: &SwapSummary) -> Result<()> {
    if printer.json {
        return printer.json(summary);
    }
    let SwapSummary { restore, kept_as, safety_backup, terminated, swap_seconds, left_behind } = summary;
    let proven = if restore.verified { "content proven equal" } else { "content not proven" };
    printer.line(&format!(
        "{}: restored in {}, {} rows; {proven}",
        restore.database,
        human_seconds(restore.total_seconds),
        human_count(restore.rows)
    ))?;
    for line in super::validate::table(&restore.checks) {
        printer.line(&line)?;
    }
    erasures::words(restore.erasure.as_ref()).iter().try_for_each(|line| printer.line(line))?;
    printer.line(&format!(
        "swapped in {}, {} sessions ended; the old database is {}",
        human_seconds(*swap_seconds),
        human_count(*terminated),
        printable(kept_as)
    ))?;
    if let Some(place) = safety_backup {
        printer.line(&format!("safety backup: {place}"))?;
    }
    for note in left_behind {
        printer.line(&format!("note: {note}"))?;
    }
    printer
        .info("`pgcask rollback` goes back to the old database; `pgcask rollback --list` shows what is kept");
    Ok(())
}
