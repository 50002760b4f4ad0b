//! `pgcask config`.

use std::path::Path;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::Context;
use super::args::patterns;
use super::printer::Printer;
use crate::clock::Clock;
use crate::config::{Config, Form, KEYS, SECTIONS, Settings, Shown, VARIABLES};
use crate::custody;
use crate::error::{Error, ErrorKind, Result};
use crate::exit::Exit;
use crate::pg::quote::printable;
use crate::pg::{ConnectOptions, EnvLookup, PgError, Session, SessionKind};
use crate::plan::priority::Priorities;
use crate::plan::select::Pattern;
use crate::store::Location;
use crate::store::list::{Filter, list};

/// Check and show the configuration: pgcask.toml, .env and the environment
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
The file is the one given by --config or PGCASK_CONFIG, else the first there is of ./pgcask.toml,
~/.config/pgcask/pgcask.toml and /etc/pgcask/pgcask.toml.

EXAMPLES
  Is it right, and can databases and stores be reached?
    pgcask config check --online

  What holds, and where does each value come from?
    pgcask config show

EXIT STATUS
  0 good · 2 something is wrong in the configuration · 1 7 8 it is right, and something cannot be
  reached")]
pub struct ConfigArgs {
    /// What to do
    #[command(subcommand)]
    pub command: ConfigCommand,
}

/// What can be done with the configuration.
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum ConfigCommand {
    /// Check the file, and what it refers to
    Check {
        /// Connect to the databases, and list the stores
        #[arg(long)]
        online: bool,
    },
    /// Show what holds, and where each value comes from; secrets are masked
    Show {
        /// Show what nobody set, too, with its default
        #[arg(long)]
        all: bool,
    },
    /// List every key and every environment variable
    Keys,
}

/// One thing that was checked.
#[derive(Debug, Serialize)]
struct Finding {
    what: String,
    good: bool,
    message: String,
    #[serde(skip)]
    kind: ErrorKind,
}

#[derive(Serialize)]
struct Whole<'a> {
    file: Option<&'a Path>,
    warnings: &'a [String],
    values: &'a [Shown],
}

impl ConfigArgs {
    /// Runs the command.
    pub async fn run(&self, file: Option<&Path>, context: &Context) -> Result<Exit> {
        let printer = context.printer;
        if matches!(self.command, ConfigCommand::Keys) {
            return keys(printer);
        }
        let config = Config::load(file, &EnvLookup::system())?;
        for warning in config.warnings() {
            printer.warning(warning);
        }
        crate::store::account::register(config.accounts()?);
        match self.command {
            ConfigCommand::Check { online } => check(&config, online, printer).await,
            ConfigCommand::Show { all } => show(&config, all, printer),
            ConfigCommand::Keys => Ok(Exit::Good),
        }
    }
}

fn show(config: &Config, all: bool, printer: Printer) -> Result<Exit> {
    let values = config.show(all)?;
    if printer.json {
        printer.json(&Whole { file: config.file(), warnings: config.warnings(), values: &values })?;
        return Ok(Exit::Good);
    }
    match config.file() {
        Some(file) => printer.line(&format!("configuration  {}", file.display()))?,
        None => printer.line("configuration  no file")?,
    }
    let width = values.iter().map(|shown| shown.key.len()).max().unwrap_or(0);
    let mut section = "";
    for shown in &values {
        if shown.section != section {
            section = &shown.section;
            printer.line(&format!("[{section}]"))?;
        }
        let value = shown.value.as_deref().map_or_else(|| "-".to_owned(), printable);
        printer.line(&format!("  {:<width$}  {value}  ({})", shown.key, shown.origin))?;
    }
    Ok(Exit::Good)
}

fn keys(printer: Printer) -> Result<Exit> {
    if printer.json {
        let keys = KEYS.iter().flat_map(|key| key.sections.iter().map(move |section| (section, key)));
        let keys: Vec<_> = keys
            .map(|(section, key)| {
                serde_json::json!({
                    "section": section, "key": key.name, "form": key.form.describe(), "default": key.default,
                    "about": key.about, "secret": matches!(key.form, Form::Secret | Form::Reference),
                })
            })
            .collect();
        let sections: Vec<_> = SECTIONS
            .iter()
            .map(|(name, about)| serde_json::json!({ "section": name, "about": about }))
            .collect();
        let variables: Vec<_> = VARIABLES
            .iter()
            .map(|known| serde_json::json!({ "name": known.name, "key": known.key, "about": known.about }))
            .collect();
        printer.json(&serde_json::json!({ "sections": sections, "keys": keys, "variables": variables }))?;
        return Ok(Exit::Good);
    }
    for (section, _) in SECTIONS {
        if !section.is_empty() {
            printer.line(&format!("[{}]", section.replace('*', "NAME")))?;
        }
        for key in KEYS.iter().filter(|key| key.sections.contains(section)) {
            printer.line(&format!("  {:<22}  {} ({})", key.name, key.about, key.form.describe()))?;
        }
    }
    printer.line("environment")?;
    for known in VARIABLES {
        printer.line(&format!("  {:<26}  {}", known.name, known.about))?;
    }
    Ok(Exit::Good)
}

async fn check(config: &Config, online: bool, printer: Printer) -> Result<Exit> {
    let mut findings = Vec::new();
    if config.file().is_none() {
        let places = "./pgcask.toml, ~/.config/pgcask/pgcask.toml, /etc/pgcask/pgcask.toml";
        let message = format!("there is no file ({places}); `pgcask init` writes one");
        findings.push(Finding { what: "file".to_owned(), good: true, message, kind: ErrorKind::Failed });
    }
    let names = config.databases();
    let mut all: Vec<Option<&str>> = names.into_iter().map(Some).collect();
    if all.is_empty() {
        all.push(None);
    }
    for name in all {
        database(config, name, online, &mut findings).await?;
    }
    for name in config.store_names() {
        let what = format!("stores.{name}");
        let opened = reach_store(&config.store(name), online).await;
        findings.push(finding(what, opened));
    }
    let bad = findings.iter().filter(|finding| !finding.good);
    let worst = bad.map(|finding| finding.kind).min_by_key(|kind| u8::from(*kind != ErrorKind::Usage));
    if printer.json {
        printer.json(
            &serde_json::json!({ "file": config.file(), "good": worst.is_none(), "findings": findings }),
        )?;
    } else {
        for Finding { what, good, message, .. } in &findings {
            let word = if *good { "good " } else { "WRONG" };
            printer.line(&format!("{word}  {what}: {}", printable(message)))?;
        }
    }
    Ok(worst.map_or(Exit::Good, Exit::from))
}

/// Checks what is configured of one database, or of all where none is.
async fn database(
    config: &Config,
    name: Option<&str>,
    online: bool,
    findings: &mut Vec<Finding>,
) -> Result<()> {
    let what = name.map_or_else(|| "defaults".to_owned(), |name| format!("databases.{name}"));
    let settings = config.settings(name)?;
    if name.is_some() {
        findings.push(finding(what.clone(), reach_database(config, name, online).await));
    }
    let mut wrong: Vec<Error> = Vec::new();
    wrong.extend(patterns_of(&settings).err());
    wrong.extend(sealing(&settings).err());
    let files = settings.passphrase_file.iter().map(|file| &file.value);
    for file in files.chain(settings.identities.iter().flat_map(|list| &list.value)) {
        let failed = |error| Error::with_source(ErrorKind::Usage, format!("read {}", file.display()), error);
        wrong.extend(std::fs::File::open(file).map_err(failed).err());
    }
    if wrong.is_empty() {
        wrong.extend(store_of(config, &settings, online).await.err());
    }
    let message = "selection, priorities, keys and store".to_owned();
    if wrong.is_empty() {
        findings.push(Finding { what: what.clone(), good: true, message, kind: ErrorKind::Failed });
    }
    findings.extend(wrong.into_iter().map(|error| finding(what.clone(), Err(error))));
    Ok(())
}

async fn reach_database(config: &Config, name: Option<&str>, online: bool) -> Result<String> {
    let meant = config.database(name)?;
    let options = ConnectOptions::resolve(meant.conninfo.as_deref(), config.env()).map_err(PgError::from)?;
    if !online {
        return Ok(options.display());
    }
    let session = Session::open(&options, SessionKind::Source).await?;
    Ok(format!("{}, PostgreSQL {}", options.display(), session.version()))
}

fn patterns_of(settings: &Settings) -> Result<()> {
    let Settings { tables, exclude_tables, exclude_table_data, personal, .. } = settings;
    let lists = [tables, exclude_tables, exclude_table_data, personal];
    for list in lists.into_iter().flatten() {
        patterns(&list.value)?;
    }
    patterns(&settings.critical)?;
    let schemas = [&settings.schemas, &settings.exclude_schemas].into_iter().flatten();
    for text in schemas.flat_map(|list| &list.value) {
        Pattern::schema(text)
            .map_err(|error| Error::with_source(ErrorKind::Usage, "read the selection", error))?;
    }
    Priorities::parse(&settings.priorities)
        .map_err(|error| Error::with_source(ErrorKind::Usage, "read the priorities", error))?;
    Ok(())
}

fn sealing(settings: &Settings) -> Result<()> {
    let Some(recipients) = &settings.recipients else { return Ok(()) };
    for word in &recipients.value {
        custody::recipients(word, Clock::System.now()).map_err(|error| {
            Error::with_source(ErrorKind::Usage, format!("recipients ({})", recipients.origin), error)
        })?;
    }
    Ok(())
}

async fn store_of(config: &Config, settings: &Settings, online: bool) -> Result<()> {
    let mut place = None;
    super::configured::store(&mut place, settings, config);
    match place {
        Some(place) => reach_store(&place, online).await.map(drop),
        None => Ok(()),
    }
}

async fn reach_store(place: &str, online: bool) -> Result<String> {
    let location = Location::parse(place)?;
    if !online {
        return Ok(place.to_owned());
    }
    if let Location::Directory(directory) = &location
        && !directory.exists()
    {
        return Ok(format!("{place} is not there yet: the first backup makes it"));
    }
    let listing = list(&location.open_existing()?, &Filter::default()).await?;
    Ok(format!("{place}, {} backups", listing.backups.len()))
}

fn finding(what: String, result: Result<String>) -> Finding {
    match result {
        Ok(message) => Finding { what, good: true, message, kind: ErrorKind::Failed },
        Err(error) => {
            let mut message = error.to_string();
            let mut cause = std::error::Error::source(&error);
            while let Some(inner) = cause {
                message.push_str(&format!(": {inner}"));
                cause = inner.source();
            }
            Finding { what, good: false, message, kind: error.kind() }
        }
    }
}
