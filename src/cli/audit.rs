//! `pgcask audit`.

use clap::{Args, Subcommand};
use jiff::Timestamp;

use super::Context;
use super::args::{moment, store_needed, table};
use super::printer::human_count;
use super::record::state_directory;
use crate::error::{Error, ErrorKind, Result};
use crate::exit::Exit;
use crate::operate::audit::stored::{self, Stored};
use crate::operate::audit::verify::{Problem, Verdict, verify};
use crate::operate::audit::{Entry, Journal};
use crate::pg::quote::printable;
use crate::store::list::{Filter, list};
use crate::store::sidecar::{self, AuditHead};
use crate::store::{Location, Store, StoreError};

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

/// Sidecars read at the same time.
const READS: usize = 64;

/// Show, export and verify the audit log
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
Each operation leaves an entry: who, on which host, when, what, which archive, with which result. Each
host has a chain of its own in the store; each entry carries the hash of the one before, and sidecars of
backups name the head of their time. An entry that cannot be written is told, and ends no operation.

EXAMPLES
  Is it whole?
    pgcask audit verify --store s3://backups/prod

  What was done since a day:
    pgcask audit show --store s3://backups/prod --since 2026-11-01

  All of it, as JSON lines, for an auditor:
    pgcask audit export --store s3://backups/prod > audit.jsonl

ENVIRONMENT
  PGCASK_AUDIT     store [default], local (nothing into the store), off
  XDG_STATE_HOME   where this host keeps its copies [~/.local/state]

EXIT STATUS
  0 whole, or shown · 2 usage · 5 something was changed, removed or reordered · 8 store unreachable")]
pub struct AuditArgs {
    /// What to do
    #[command(subcommand)]
    pub action: AuditAction,
}

/// What to do with the audit log.
#[derive(Debug, Clone, Subcommand)]
pub enum AuditAction {
    /// Check that no entry was changed, removed or reordered
    Verify {
        #[command(flatten)]
        #[expect(missing_docs, reason = "clap would print it as help text")]
        from: FromArgs,
    },
    /// Show entries, newest first
    Show {
        #[command(flatten)]
        #[expect(missing_docs, reason = "clap would print it as help text")]
        from: FromArgs,
        /// Only of this operation: backup, restore, prune, …
        #[arg(long, value_name = "OPERATION")]
        operation: Option<String>,
        /// Show at most so many; 0 shows all
        #[arg(long, value_name = "N", default_value_t = 100)]
        limit: usize,
    },
    /// Write the entries as JSON lines, each as it was written, in the order of time
    Export {
        #[command(flatten)]
        #[expect(missing_docs, reason = "clap would print it as help text")]
        from: FromArgs,
    },
}

/// Which entries.
#[derive(Debug, Clone, Args)]
pub struct FromArgs {
    /// The store: a directory, or `s3://bucket/prefix`, `gs://…`, `az://…`
    #[arg(long, value_name = "STORE", env = "PGCASK_STORE")]
    pub store: Option<String>,
    /// What this host itself wrote down, of all stores and of none
    #[arg(long)]
    pub local: bool,
    /// Only those of this time or later; without a zone it is UTC
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub since: Option<Timestamp>,
    /// Only those before this time; without a zone it is UTC
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub before: Option<Timestamp>,
}

impl FromArgs {
    fn store(&self) -> Result<Store> {
        Ok(Location::parse(store_needed(self.store.as_deref(), "--store")?)?.open_existing()?)
    }

    async fn entries(&self) -> Result<Vec<Stored>> {
        if self.local { copies(None) } else { stored::read(&self.store()?).await }
    }

    /// The entries of the wanted time, oldest first, each with its line.
    async fn wanted(&self) -> Result<Vec<(Entry, String)>> {
        let lines = self.entries().await?.into_iter().filter_map(|stored| stored.line);
        let read = lines.filter_map(|line| Some((serde_json::from_str::<Entry>(&line).ok()?, line)));
        let mut all: Vec<_> = read
            .filter(|(entry, _)| self.since.is_none_or(|since| entry.at >= since))
            .filter(|(entry, _)| self.before.is_none_or(|before| entry.at < before))
            .collect();
        all.sort_by(|(a, _), (b, _)| (a.at, &a.chain, a.number).cmp(&(b.at, &b.chain, b.number)));
        Ok(all)
    }
}

/// What this host wrote down about a store, or about all.
fn copies(store: Option<&Store>) -> Result<Vec<Stored>> {
    let failed = |error| Error::with_source(ErrorKind::Failed, "read this host's audit log", error);
    let Some(state) = state_directory() else { return Ok(Vec::new()) };
    let journals = match store {
        Some(store) => vec![Journal::of(&state, &store.display(""))],
        None => Journal::all(&state).map_err(failed)?,
    };
    let mut all = Vec::new();
    for journal in journals {
        all.extend(stored::of_lines(journal.lines().map_err(failed)?));
    }
    Ok(all)
}

/// The heads that sidecars name.
async fn anchors(store: &Store) -> Result<Vec<(String, AuditHead)>> {
    let backups = list(store, &Filter::default()).await?.backups;
    let read = stream::iter(&backups).map(|backup| async move {
        let metadata = match sidecar::read(store, &backup.key).await {
            // Removed since it was listed.
            Err(StoreError::NotFound { .. }) => None,
            other => other?,
        };
        Ok::<_, StoreError>(metadata.and_then(|metadata| Some((store.display(&backup.key), metadata.audit?))))
    });
    let found: Vec<_> = read.buffer_unordered(READS).try_collect().await?;
    Ok(found.into_iter().flatten().collect())
}

impl AuditArgs {
    /// Runs the command.
    pub async fn run(&self, context: &Context) -> Result<Exit> {
        match &self.action {
            AuditAction::Verify { from } => check(from, context).await,
            AuditAction::Export { from } => {
                for (_, line) in from.wanted().await? {
                    context.printer.line(&line)?;
                }
                Ok(Exit::Good)
            }
            AuditAction::Show { from, operation, limit } => {
                let mut entries: Vec<Entry> =
                    from.wanted().await?.into_iter().map(|(entry, _)| entry).collect();
                entries.retain(|entry| operation.as_ref().is_none_or(|wanted| *wanted == entry.operation));
                entries.reverse();
                if *limit > 0 {
                    entries.truncate(*limit);
                }
                show(&entries, context)
            }
        }
    }
}

async fn check(from: &FromArgs, context: &Context) -> Result<Exit> {
    let entries = from.entries().await?;
    let verdict = if from.local {
        verify(&entries, &[], &[])
    } else {
        let store = from.store()?;
        verify(&entries, &anchors(&store).await?, &copies(Some(&store))?)
    };
    let exit = if verdict.findings.is_empty() { Exit::Good } else { Exit::Validation };
    if context.printer.json {
        context.printer.json(&verdict)?;
    } else {
        report(&verdict).iter().try_for_each(|line| context.printer.line(line))?;
    }
    Ok(exit)
}

fn report(verdict: &Verdict) -> Vec<String> {
    let mut lines: Vec<String> = verdict
        .findings
        .iter()
        .map(|found| {
            let what = match &found.problem {
                Problem::Unreadable => "is no entry".to_owned(),
                Problem::Misplaced(other) => format!("is another one: {}", printable(other)),
                Problem::Missing => "is missing".to_owned(),
                Problem::Changed(why) => format!("was changed: {}", printable(why)),
                Problem::CutOff(why) => format!("is missing at the end: {}", printable(why)),
            };
            let number = found.number.map(|number| number.to_string()).unwrap_or_default();
            format!("{}: entry {number} {what}", printable(&found.chain))
        })
        .collect();
    let entries: u64 = verdict.chains.iter().map(|chain| chain.entries).sum();
    let verdict_word = if lines.is_empty() { "whole" } else { "not whole" };
    lines.push(format!(
        "{verdict_word}: {} entries in {} chains, {} heads named by backups",
        human_count(entries),
        verdict.chains.len(),
        human_count(verdict.anchors)
    ));
    lines
}

fn show(entries: &[Entry], context: &Context) -> Result<Exit> {
    if context.printer.json {
        context.printer.json(&entries)?;
        return Ok(Exit::Good);
    }
    let heads = ["AT (UTC)", "HOST", "PERSON", "OPERATION", "RESULT", "SECONDS", "ARCHIVE", "DETAILS"];
    let mut rows = vec![heads.map(str::to_owned)];
    rows.extend(entries.iter().map(|entry| {
        let archive =
            entry.archive.as_deref().map_or("-", |archive| archive.rsplit('/').next().unwrap_or(archive));
        let details: Vec<String> =
            entry.details.iter().map(|(name, value)| format!("{name}={value}")).collect();
        [
            entry.at.strftime("%Y-%m-%d %H:%M:%S").to_string(),
            printable(&entry.by.host),
            printable(&entry.by.person),
            printable(&entry.operation),
            printable(&entry.result),
            format!("{:.1}", entry.seconds),
            printable(archive),
            printable(&details.join(" ")),
        ]
    }));
    table(&rows, &[5]).iter().try_for_each(|line| context.printer.line(line))?;
    Ok(Exit::Good)
}
