//! `pgcask hold`.

use clap::{Args, Subcommand};

use super::Context;
use super::args::{FindArgs, actor, located, store_needed, table};
use super::printer::Printer;
use super::record::Record;
use crate::clock::Clock;
use crate::error::Result;
use crate::exit::Exit;
use crate::operate::hold::{self, Hold, Statement};
use crate::pg::quote::printable;
use crate::store::Location;

/// Hold backups: what is held is removed by no prune
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
A hold is an object beside the archive that is never changed; its release is another. Where the bucket
has Object Lock, its own legal hold is set on all objects of the backup too, and read back.

EXAMPLES
  Hold a backup for a case:
    pgcask hold add shop/latest --store s3://backups/prod --reason 'litigation' --case 2026-117 --person 'J. Doe'

  Who holds what, and why:
    pgcask hold list --store s3://backups/prod

  It is over:
    pgcask hold release 6k2x8m41qvtz --store s3://backups/prod --reason 'case closed'

EXIT STATUS
  0 done · 1 failed, or nothing to release · 2 usage · 8 store unreachable")]
pub struct HoldArgs {
    /// What to do
    #[command(subcommand)]
    pub action: HoldAction,
}

/// What to do about holds.
#[derive(Debug, Clone, Subcommand)]
pub enum HoldAction {
    /// Hold a backup
    Add {
        /// The archive: a file, the URL of an object, or with --store `latest`, `latest:weekly`, `shop/latest`, an id
        #[arg(value_name = "ARCHIVE")]
        archive: String,
        #[command(flatten)]
        #[expect(missing_docs, reason = "clap would print it as help text")]
        why: WhyArgs,
        #[command(flatten)]
        #[expect(missing_docs, reason = "clap would print it as help text")]
        find: FindArgs,
    },
    /// End the holds of a backup
    Release {
        /// The archive: a file, the URL of an object, or with --store `latest`, `latest:weekly`, `shop/latest`, an id
        #[arg(value_name = "ARCHIVE")]
        archive: String,
        /// Only this hold of it [default: all]
        #[arg(long, value_name = "N")]
        hold: Option<u32>,
        #[command(flatten)]
        #[expect(missing_docs, reason = "clap would print it as help text")]
        why: WhyArgs,
        #[command(flatten)]
        #[expect(missing_docs, reason = "clap would print it as help text")]
        find: FindArgs,
    },
    /// List the holds in a store
    List {
        /// Only of backups of this database
        #[arg(value_name = "DATABASE")]
        database: Option<String>,
        /// The store: a directory, or `s3://bucket/prefix`, `gs://…`, `az://…`
        #[arg(long, value_name = "STORE", env = "PGCASK_STORE")]
        store: Option<String>,
        /// Those that are over, too
        #[arg(long)]
        released: bool,
    },
}

/// What is written down with a hold or a release.
#[derive(Debug, Clone, Args)]
pub struct WhyArgs {
    /// Why
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// For whom [default: who runs this]
    #[arg(long, value_name = "NAME")]
    pub person: Option<String>,
    /// A reference to the case
    #[arg(long, value_name = "TEXT")]
    pub case: Option<String>,
}

impl WhyArgs {
    fn note(&self, record: &Record, place: &str) {
        record.archive(place);
        record.detail("reason", &self.reason);
        for (name, value) in [("person", &self.person), ("case", &self.case)] {
            if let Some(value) = value {
                record.detail(name, value);
            }
        }
    }

    fn statement(&self) -> Statement {
        let statement = hold::statement(actor(), Clock::System, &self.reason);
        Statement { person: self.person.clone(), case: self.case.clone(), ..statement }
    }
}

impl HoldArgs {
    /// Runs the command.
    pub async fn run(&self, context: &Context) -> Result<Exit> {
        let printer = context.printer;
        match &self.action {
            HoldAction::Add { archive, why, find } => {
                let place = find.place(archive).await?;
                why.note(&context.record, &place);
                let (store, key) = located(&place)?;
                let made = hold::add(&store, &key, &why.statement()).await?;
                if printer.json {
                    printer.json(&made)?;
                } else {
                    printer.line(&format!("held: {}", describe(&made)))?;
                }
            }
            HoldAction::Release { archive, hold, why, find } => {
                let place = find.place(archive).await?;
                why.note(&context.record, &place);
                let (store, key) = located(&place)?;
                let ended = hold::release(&store, &key, *hold, &why.statement()).await?;
                if printer.json {
                    printer.json(&ended)?;
                } else {
                    ended
                        .iter()
                        .try_for_each(|hold| printer.line(&format!("released: {}", describe(hold))))?;
                }
            }
            HoldAction::List { database, store, released } => {
                let store = Location::parse(store_needed(store.as_deref(), "--store")?)?.open_existing()?;
                list(printer, &hold::holds(&store, database.as_deref(), *released).await?)?;
            }
        }
        Ok(Exit::Good)
    }
}

fn describe(hold: &Hold) -> String {
    let locked = match hold.store_hold {
        Some(true) => ", and by the store itself",
        Some(false) => ", and no longer by the store itself",
        None => "",
    };
    format!("{} (hold {}){locked}", printable(&hold.archive), hold.hold)
}

fn list(printer: Printer, holds: &[Hold]) -> Result<()> {
    if printer.json {
        return printer.json(&holds);
    }
    let heads = ["TAKEN (UTC)", "DATABASE", "HOLD", "SINCE", "PERSON", "CASE", "REASON", "RELEASED", "ID"];
    let mut rows = vec![heads.map(str::to_owned)];
    rows.extend(holds.iter().map(|hold| {
        let said = hold.statement.as_ref();
        let text = |of: &dyn Fn(&Statement) -> String| said.map_or_else(|| "?".to_owned(), of);
        let day = |statement: &Statement| statement.at.strftime("%Y-%m-%d").to_string();
        [
            hold.taken_at.strftime("%Y-%m-%d %H:%M:%S").to_string(),
            printable(&hold.database),
            hold.hold.to_string(),
            text(&day),
            text(&|said| printable(said.person.as_deref().unwrap_or(&said.by.person))),
            text(&|said| printable(said.case.as_deref().unwrap_or("-"))),
            text(&|said| printable(&said.reason)),
            hold.released.as_ref().map_or_else(|| "-".to_owned(), day),
            hold.id.clone(),
        ]
    }));
    table(&rows, &[2]).iter().try_for_each(|line| printer.line(line))
}
