//! `pgcask prune`, and `--prune` of `pgcask backup`.

use std::collections::BTreeMap;

use clap::Args;
use jiff::{SignedDuration, Span, Timestamp};

use super::Context;
use super::args::{FindArgs, actor, located, span_ahead, store_needed, table};
use super::printer::{Printer, human_bytes, human_count};
use super::record::Record;
use crate::clock::Clock;
use crate::error::Result;
use crate::exit::Exit;
use crate::operate::prune::{
    DEFAULT_GRACE, DEFAULT_LEFTOVER_AGE, Leftover, LeftoverKind, Options, Outcome, Plan, Planned, Step,
    apply, plan,
};
use crate::operate::retention::{Counts, Policy};
use crate::pg::quote::printable;
use crate::store::naming::Kind;
use crate::store::{Location, Store};

/// Remove the backups whose time has come, and what failed ones left behind
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
Without --apply nothing is touched: it says what would go and what stays, and why. With it, a backup
that is to go is marked first, and removed by a later run when the grace period is over. A backup
stays while it has not expired, or while any --keep… rule keeps it. No rule removes a backup that is
held, the newest good one of a database, the last safety backup, or one that is not understood.

EXAMPLES
  What would go, and why:
    pgcask prune --store s3://backups/prod

  Do it, every night:
    pgcask prune --store s3://backups/prod --apply

  Keep more than what has not expired, by restic's rules:
    pgcask prune --store s3://backups/prod --keep-monthly 24 --keep-yearly 10 --apply

  Remove one backup before its time:
    pgcask prune --store s3://backups/prod --backup 6k2x8m41qvtz --apply

EXIT STATUS
  0 done · 1 failed · 2 usage · 8 store unreachable, or it does not let us delete · 9 refused: a held or
  otherwise protected backup is named, another prune is at work, clocks differ")]
pub struct PruneArgs {
    /// Only backups of this database
    #[arg(value_name = "DATABASE")]
    pub database: Option<String>,
    /// The store: a directory, or `s3://bucket/prefix`, `gs://…`, `az://…`
    #[arg(long, value_name = "STORE", env = "PGCASK_STORE")]
    pub store: Option<String>,
    /// Do it
    #[arg(long)]
    pub apply: bool,
    /// Remove this backup whatever the rules say: an id, `latest:weekly`, a path or URL; may be repeated
    #[arg(long = "backup", value_name = "ARCHIVE")]
    pub backups: Vec<String>,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would print it as help text")]
    pub policy: PolicyArgs,
    /// Remove what was marked so long ago, as `24h`, `2d`; `0s` removes at once [default: 24h]
    #[arg(long, value_name = "SPAN", value_parser = waiting)]
    pub grace: Option<SignedDuration>,
    /// Remove leftovers of failed backups that are so old [default: 7d]
    #[arg(long, value_name = "SPAN", value_parser = waiting)]
    pub leftover_age: Option<SignedDuration>,
    /// The clock is right although the newest backup is old, or the store's clock differs
    #[arg(long)]
    pub trust_clock: bool,
}

/// How long backups are kept.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Retention")]
pub struct PolicyArgs {
    /// Keep this kind so long, even if the backup expires sooner: `daily=120d`; may be repeated
    #[arg(long = "keep", value_name = "KIND=SPAN", value_parser = kind_and_span)]
    pub ages: Vec<(Kind, Span)>,
    /// Keep so many of the newest backups of a database
    #[arg(long, value_name = "N")]
    pub keep_last: Option<u32>,
    /// Keep the newest backup of each of the last N days that have one
    #[arg(long, value_name = "N")]
    pub keep_daily: Option<u32>,
    /// … of each of the last N weeks
    #[arg(long, value_name = "N")]
    pub keep_weekly: Option<u32>,
    /// … of each of the last N months
    #[arg(long, value_name = "N")]
    pub keep_monthly: Option<u32>,
    /// … of each of the last N years
    #[arg(long, value_name = "N")]
    pub keep_yearly: Option<u32>,
    /// The --keep… rules hold even against a backup's own expiry: what they do not keep goes
    #[arg(long)]
    pub shorten: bool,
    /// Let the newest safety backup of a database go, too, when it has expired
    #[arg(long)]
    pub drop_last_safety: bool,
    /// What is configured for single databases, by the names that their backups bear.
    #[arg(skip)]
    pub own: Vec<(String, Self)>,
}

impl PolicyArgs {
    /// The policies of single databases.
    fn resolve_own(&self) -> BTreeMap<String, Policy> {
        self.own.iter().map(|(name, policy)| (name.clone(), policy.resolve())).collect()
    }

    /// The policy.
    pub fn resolve(&self) -> Policy {
        Policy {
            ages: self.ages.iter().copied().collect(),
            counts: Counts {
                last: self.keep_last.unwrap_or(0),
                daily: self.keep_daily.unwrap_or(0),
                weekly: self.keep_weekly.unwrap_or(0),
                monthly: self.keep_monthly.unwrap_or(0),
                yearly: self.keep_yearly.unwrap_or(0),
            },
            shorten: self.shorten,
            last_safety: self.drop_last_safety,
        }
    }
}

fn kind_and_span(text: &str) -> std::result::Result<(Kind, Span), String> {
    let (kind, span) = text.split_once('=').ok_or("it is written as daily=120d")?;
    Ok((kind.parse().map_err(|error: crate::store::StoreError| error.to_string())?, span_ahead(span)?))
}

/// A duration that may be zero: `24h`, `2d`.
fn waiting(text: &str) -> std::result::Result<SignedDuration, String> {
    let wrong = || "a duration is written as 24h, 90m, 2d".to_owned();
    let span: Span = text.parse().map_err(|_| wrong())?;
    let duration = span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).map_err(|_| wrong())?;
    if duration.is_negative() { Err(wrong()) } else { Ok(duration) }
}

impl PruneArgs {
    /// Runs the command.
    pub async fn run(&self, context: &Context) -> Result<Exit> {
        let printer = context.printer;
        let place = store_needed(self.store.as_deref(), "--store")?;
        let store = Location::parse(place)?.open_existing()?;
        context.record.store(&store);
        let find = FindArgs { store: self.store.clone(), before: None };
        let mut named = Vec::new();
        for backup in &self.backups {
            named.push(located(&find.place(backup).await?)?.1);
        }
        let options = Options {
            database: self.database.clone(),
            named,
            policy: self.policy.resolve(),
            policies: self.policy.resolve_own(),
            grace: self.grace.unwrap_or(DEFAULT_GRACE),
            leftover_age: self.leftover_age.unwrap_or(DEFAULT_LEFTOVER_AGE),
            trust_clock: self.trust_clock,
            actor: actor(),
        };
        if self.policy.shorten && options.policy.is_default() {
            printer.warning("--shorten does nothing without a --keep… rule");
        }
        let mut plan = plan(&store, &options, Clock::System.now()).await?;
        let done = if self.apply {
            apply(&store, &mut plan, &options, Clock::System, &context.stop).await
        } else {
            Ok(())
        };
        note(&context.record, &plan);
        show(printer, &plan)?;
        done?;
        versions(printer, &store, &plan).await;
        Ok(Exit::Good)
    }
}

/// Prunes after a backup, with what was asked for beside it.
pub(super) async fn after_backup(
    store: &Store,
    database: &str,
    policy: &PolicyArgs,
    context: &Context,
) -> Result<Plan> {
    let options = Options {
        database: Some(database.to_owned()),
        named: Vec::new(),
        policy: policy.resolve(),
        policies: BTreeMap::new(),
        grace: DEFAULT_GRACE,
        leftover_age: DEFAULT_LEFTOVER_AGE,
        trust_clock: false,
        actor: actor(),
    };
    let mut plan = plan(store, &options, Clock::System.now()).await?;
    let done = apply(store, &mut plan, &options, Clock::System, &context.stop).await;
    note(&context.record, &plan);
    done.map(|()| plan)
}

/// What the audit log has of a prune: what was marked and removed, by id.
fn note(record: &Record, plan: &Plan) {
    for (step, name) in [(Step::Mark, "marked"), (Step::Remove, "removed")] {
        let done = |one: &&Planned| one.step == step && one.outcome == Some(Outcome::Done);
        let ids: Vec<&str> = plan.backups.iter().filter(done).map(|one| one.id.as_str()).collect();
        if !ids.is_empty() {
            record.detail(name, &ids.join(" "));
        }
    }
    let leftovers = plan.leftovers.iter().filter(|one| one.outcome == Some(Outcome::Done)).count();
    if leftovers > 0 {
        record.detail("leftovers_removed", &leftovers);
    }
}

/// A bucket that keeps versions gives back no space for what is removed.
async fn versions(printer: Printer, store: &Store, plan: &Plan) {
    let removed = plan.applied && plan.count(Step::Remove).0 > 0;
    if removed && store.protection().await.is_ok_and(|protection| protection.versioned == Some(true)) {
        printer.info(
            "the bucket keeps older versions of what was removed: a lifecycle rule of its own ends them",
        );
    }
}

fn show(printer: Printer, plan: &Plan) -> Result<()> {
    for warning in &plan.warnings {
        printer.warning(warning);
    }
    if printer.json {
        return printer.json(plan);
    }
    let mut rows = vec![["TAKEN (UTC)", "KIND", "DATABASE", "SIZE", "STEP", "WHY", "ID"].map(str::to_owned)];
    rows.extend(plan.backups.iter().map(|one| {
        [
            one.taken_at.strftime("%Y-%m-%d %H:%M:%S").to_string(),
            one.kind.to_string(),
            printable(&one.database),
            human_bytes(one.bytes),
            step(one, plan.applied),
            printable(&one.reasons.join(", ")),
            one.id.clone(),
        ]
    }));
    for line in table(&rows, &[3]) {
        printer.line(&line)?;
    }
    for leftover in &plan.leftovers {
        printer.line(&describe(leftover))?;
    }
    printer.line(&summary(plan))?;
    if let (Some(why), false) = (&plan.blocked, plan.applied) {
        printer.warning(&format!("--apply would be refused: {why}"));
    }
    Ok(())
}

fn step(one: &Planned, applied: bool) -> String {
    match &one.outcome {
        Some(Outcome::Spared(why)) => return format!("kept: {}", printable(why)),
        Some(Outcome::Failed(why)) => return format!("failed: {}", printable(why)),
        Some(Outcome::NotDone) => return "not done".to_owned(),
        Some(Outcome::Done) | None => {}
    }
    let minute = |time: Option<Timestamp>| {
        time.map(|time| time.strftime("%Y-%m-%d %H:%MZ").to_string()).unwrap_or_default()
    };
    match (one.step, applied) {
        (Step::Keep, _) => "keep".to_owned(),
        (Step::Unmark, false) => "keep, unmark".to_owned(),
        (Step::Unmark, true) => "kept, unmarked".to_owned(),
        (Step::Mark, false) => "mark".to_owned(),
        (Step::Mark | Step::Wait, _) => format!("marked, goes after {}", minute(one.removable_at)),
        (Step::Remove, false) => "remove".to_owned(),
        (Step::Remove, true) => "removed".to_owned(),
    }
}

fn describe(leftover: &Leftover) -> String {
    let Leftover { place, kind, bytes, written, remove, reason, outcome, .. } = leftover;
    let what = match kind {
        LeftoverKind::Archive => "an archive without .json",
        LeftoverKind::Sidecar => "without an archive",
        LeftoverKind::TemporaryFile => "an unfinished file",
        LeftoverKind::Upload => "an unfinished upload",
    };
    let fate = match outcome {
        Some(Outcome::Done) => "removed".to_owned(),
        Some(Outcome::Spared(why)) => format!("kept: {}", printable(why)),
        Some(Outcome::Failed(why)) => format!("failed: {}", printable(why)),
        Some(Outcome::NotDone) => "not done".to_owned(),
        None if *remove => "remove".to_owned(),
        None => format!("keep: {reason}"),
    };
    let size = bytes.map(|bytes| format!(", {}", human_bytes(bytes))).unwrap_or_default();
    let written = written.strftime("%Y-%m-%d %H:%M:%S");
    format!("leftover: {}: {what}{size}, of {written}: {fate}", printable(place))
}

/// The whole in one line.
pub(super) fn summary(plan: &Plan) -> String {
    let say = |step: Step, word: &str| {
        let (count, bytes) = plan.count(step);
        (count > 0).then(|| format!("{} {word} ({})", human_count(count), human_bytes(bytes)))
    };
    let words = if plan.applied { ("removed", "marked") } else { ("to be removed", "to be marked") };
    let parts = [
        say(Step::Remove, words.0),
        say(Step::Mark, words.1),
        say(Step::Wait, "waiting"),
        say(Step::Unmark, "kept, with a mark that goes"),
        say(Step::Keep, "kept"),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    let all = if parts.is_empty() { "no backups".to_owned() } else { parts.join(", ") };
    if plan.applied { all } else { format!("{all}; nothing was touched") }
}
