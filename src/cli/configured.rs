//! What the configuration does to each command: it fills what neither a flag nor the environment said, and turns names of
//! databases and stores into what they stand for. A flag replaces the key of the same meaning; it does not add to it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use jiff::{Span, SpanRelativeTo, Unit};

use super::args::{FindArgs, PassphraseArgs, ProfileArgs, RPO, RTO, SelectionArgs, UnlockArgs, WantedArgs};
use super::audit::AuditAction;
use super::backup::BackupArgs;
use super::doctor::DoctorArgs;
use super::drill::{DrillArgs, WheretoArgs};
use super::erase::{EraseAction, EraseArgs};
use super::erasures::ErasureArgs;
use super::estimate::EstimateArgs;
use super::hold::HoldAction;
use super::key::KeyAction;
use super::restore::RestoreArgs;
use super::rollback::RollbackArgs;
use super::test::TestArgs;
use super::validate::{DemandArgs, ValidateArgs};
use super::{Command, keeping};
use crate::config::{Config, Origin, Settings, Sourced};
use crate::drill::Targets;
use crate::error::Result;
use crate::store::naming::Kind;

/// The command with what is configured.
pub(super) fn fill(mut command: Command, config: &Config) -> Result<Command> {
    match &mut command {
        Command::Backup(args) => backup(args, config)?,
        Command::Restore(args) => restore(args, config)?,
        Command::Rollback(args) => rollback(args, config)?,
        Command::Validate(args) => validate(args, config)?,
        Command::List(args) => listed(&mut args.database, &mut args.store, config)?,
        Command::Prune(args) => keeping::prune(args, config)?,
        Command::Erase(args) => erase(args, config)?,
        Command::Hold(args) => match &mut args.action {
            HoldAction::Add { archive, find, .. } | HoldAction::Release { archive, find, .. } => {
                self::archive(archive, find, &mut UnlockArgs::default(), config)?;
            }
            HoldAction::List { database, store, .. } => listed(database, store, config)?,
        },
        Command::Audit(args) => {
            let (AuditAction::Verify { from }
            | AuditAction::Show { from, .. }
            | AuditAction::Export { from }) = &mut args.action;
            listed(&mut None, &mut from.store, config)?;
        }
        Command::Show(args) => archive(&mut args.archive, &mut args.find, &mut args.unlock, config)?,
        Command::Verify(args) => archive(&mut args.archive, &mut args.find, &mut args.unlock, config)?,
        Command::Cat(args) => archive(&mut args.archive, &mut args.find, &mut args.unlock, config)?,
        Command::Test(args) => tested(args, config)?,
        Command::Drill(args) => drill(args, config)?,
        Command::Doctor(args) => doctor(args, config)?,
        Command::Estimate(args) => estimate(args, config)?,
        Command::Status(args) => args.demanded.watch(config)?,
        Command::Check(args) => args.demanded.watch(config)?,
        Command::Diff(args) => {
            dburl(&mut args.against, config)?;
            archive(&mut args.archive, &mut args.find, &mut args.unlock, config)?;
        }
        Command::Copy(args) => {
            archive(&mut args.archive, &mut args.find, &mut args.unlock, config)?;
            args.to = config.store(&args.to);
        }
        Command::Key(args) => match &mut args.action {
            KeyAction::List(args) => archive(&mut args.archive, &mut args.find, &mut args.unlock, config)?,
            KeyAction::Add(args) => archive(&mut args.archive, &mut args.find, &mut args.unlock, config)?,
            KeyAction::Remove(_) => {}
        },
        Command::Metrics(args) => args.watch(config)?,
        Command::Report(args) => args.watch(config)?,
        Command::Keygen(_)
        | Command::Init(_)
        | Command::Config(_)
        | Command::Schedule(_)
        | Command::Notify(_)
        | Command::Completions { .. }
        | Command::Man { .. } => {}
    }
    Ok(command)
}

fn doctor(args: &mut DoctorArgs, config: &Config) -> Result<()> {
    let name = dburl(&mut args.source, config)?;
    let settings = config.settings(name.as_deref())?;
    store(&mut args.store, &settings, config);
    set(&mut args.jobs, settings.jobs.clone());
    if args.recipients.is_empty() {
        args.recipients = value(settings.recipients.clone()).unwrap_or_default();
    }
    unlock(&mut args.unlock, &settings);
    Ok(())
}

/// Fills what the erasure ledger needs: it is written into each store that the database's backups go to.
fn erase(args: &mut EraseArgs, config: &Config) -> Result<()> {
    let ledger = args.action.ledger();
    let name = ledger.database.clone().or_else(|| config.default_database());
    let settings = config.settings(name.as_deref())?;
    if let Some(name) = name.filter(|name| config.databases().contains(&name.as_str())) {
        ledger.database = Some(config.database_name(&name));
    }
    store(&mut ledger.store, &settings, config);
    copies(&mut ledger.copy_to, settings.copy_to.clone(), config);
    if let EraseAction::Rewrite(args) = &mut args.action {
        args.configured();
        reference(&mut args.archive, config);
        unlock(&mut args.unlock, &settings);
    }
    if let Some(key) = args.action.key() {
        set(&mut key.erasure_key_file, settings.erasure_key_file);
    }
    if let Some(live) = args.action.live() {
        dburl(live, config)?;
    }
    Ok(())
}

/// What of the erasure ledger a command minds that restores.
fn erasure(args: &mut ErasureArgs, configured: Option<String>, settings: &Settings, config: &Config) {
    args.configured = configured;
    args.stores.iter_mut().for_each(|place| *place = config.store(place));
    set(&mut args.key.erasure_key_file, settings.erasure_key_file.clone());
}

/// Fills what a command needs that looks through a store, perhaps for the backups of one database.
pub(super) fn listed(
    database: &mut Option<String>,
    place: &mut Option<String>,
    config: &Config,
) -> Result<()> {
    let settings = config.settings(database.clone().or_else(|| config.default_database()).as_deref())?;
    if let Some(name) = database.as_mut().filter(|name| config.databases().contains(&name.as_str())) {
        *name = config.database_name(name);
    }
    store(place, &settings, config);
    Ok(())
}

/// A configured name as the server of a drill; without one the drill has a server of its own.
fn server(whereto: &mut WheretoArgs, config: &Config) -> Result<()> {
    if whereto.server.is_some() {
        dburl(&mut whereto.server, config)?;
    }
    Ok(())
}

/// What is configured for the database that an archive is of.
fn settings_of(archive: &str, config: &Config) -> Result<Settings> {
    let database = database_of(archive, config).or_else(|| config.default_database());
    Ok(config.settings(database.as_deref())?)
}

fn tested(args: &mut TestArgs, config: &Config) -> Result<()> {
    let settings = settings_of(&args.archive, config)?;
    set(&mut args.rpo, seconds(settings.rpo));
    args.rto = value(seconds(settings.rto));
    set(&mut args.evidence.evidence, settings.evidence);
    archive(&mut args.archive, &mut args.find, &mut args.unlock, config)
}

fn drill(args: &mut DrillArgs, config: &Config) -> Result<()> {
    let settings = settings_of(&args.archive, config)?;
    // Of a sample not all can be demanded.
    if args.selection.tables.is_empty() && args.selection.schemas.is_empty() {
        demands(&mut args.demands, &settings);
    }
    set(&mut args.rto, seconds(settings.rto));
    set(&mut args.rpo, seconds(settings.rpo));
    set(&mut args.next_in, settings.drill_every);
    set(&mut args.evidence.evidence, settings.evidence);
    args.evidence.upload_evidence |= value(settings.upload_evidence).unwrap_or(false);
    set(&mut args.jobs, settings.jobs);
    server(&mut args.whereto, config)?;
    archive(&mut args.archive, &mut args.find, &mut args.unlock, config)?;
    erasure(&mut args.erasure, args.find.store.clone(), &settings_of(&args.archive, config)?, config);
    Ok(())
}

fn estimate(args: &mut EstimateArgs, config: &Config) -> Result<()> {
    let settings = settings_of(&args.archive, config)?;
    if args.priorities.is_empty() {
        args.priorities.clone_from(&settings.priorities);
        args.usual_priorities = true;
    }
    set(&mut args.rto, seconds(settings.rto));
    set(&mut args.jobs, settings.jobs);
    server(&mut args.whereto, config)?;
    archive(&mut args.archive, &mut args.find, &mut args.unlock, config)
}

/// What flags say of targets, which holds for all databases.
#[derive(Clone, Copy, Default)]
pub(super) struct Given {
    pub(super) rpo: Option<f64>,
    pub(super) rto: Option<f64>,
    pub(super) drill_every: Option<Span>,
}

/// What is demanded where a database has nothing of its own.
pub(super) fn targets(settings: Settings, given: Given) -> Targets {
    let of = |flag: Option<f64>, configured, default| {
        flag.or_else(|| value(seconds(configured))).unwrap_or(default)
    };
    Targets {
        rpo_seconds: of(given.rpo, settings.rpo, RPO),
        rto_seconds: of(given.rto, settings.rto, RTO),
        drill_every: given
            .drill_every
            .or_else(|| value(settings.drill_every))
            .unwrap_or_else(|| Span::new().months(3)),
    }
}

/// What is demanded of each configured database, by the name that its backups bear.
pub(super) fn own_targets(config: &Config, given: Given) -> Result<BTreeMap<String, Targets>> {
    let of = |name: &str| Ok((config.database_name(name), targets(config.settings(Some(name))?, given)));
    config.databases().into_iter().map(of).collect()
}

/// Everybody that the configuration seals for, once.
pub(super) fn all_recipients(config: &Config) -> Result<Vec<String>> {
    let mut all = value(config.settings(None)?.recipients).unwrap_or_default();
    for name in config.databases() {
        all.extend(value(config.settings(Some(name))?.recipients).unwrap_or_default());
    }
    all.sort();
    all.dedup();
    Ok(all)
}

fn backup(args: &mut BackupArgs, config: &Config) -> Result<()> {
    let name = dburl(&mut args.source, config)?;
    let settings = config.settings(name.as_deref())?;
    store(&mut args.to, &settings, config);
    copies(&mut args.copy_to, settings.copy_to, config);
    set(&mut args.kind, settings.kind);
    set(&mut args.keep_for, settings.keep_for);
    // A kind that is none is told when it is read.
    if let Ok(kind) = args.kind.as_deref().unwrap_or("daily").parse() {
        args.keep_for = args.keep_for.or_else(|| settings.retention.age(kind));
    }
    keeping::policy(&mut args.policy, &settings.retention);
    set(&mut args.jobs, settings.jobs);
    set(&mut args.level, settings.level);
    set(&mut args.lock_timeout, settings.lock_timeout);
    set(&mut args.rto, seconds(settings.rto));
    args.globals.role_passwords |=
        value(settings.role_passwords).unwrap_or(false) && !args.globals.no_globals;
    let none_given = args.recipients.is_empty() && args.key_command.key_command.is_none();
    if none_given && !args.passphrase.is_given() && !args.no_encrypt {
        args.recipients = value(settings.recipients).unwrap_or_default();
        passphrase(&mut args.passphrase, settings.passphrase_file, settings.passphrase_command);
        args.key_command.key_command = value(settings.key_command);
        let sealed = !args.recipients.is_empty()
            || args.passphrase.is_given()
            || args.key_command.key_command.is_some();
        args.no_encrypt = !sealed && value(settings.encrypt) == Some(false);
    }
    // Rows of others' servers are asked for by name.
    let SelectionArgs { tables, schemas, exclude_tables, exclude_schemas, exclude_data, foreign_data: _ } =
        &mut args.selection;
    // What is asked for by name is not narrowed by what is usual.
    let by_name = !tables.is_empty() || !schemas.is_empty();
    if !by_name {
        fill_list(tables, settings.tables);
        fill_list(schemas, settings.schemas);
    }
    fill_list(exclude_tables, settings.exclude_tables);
    fill_list(exclude_schemas, settings.exclude_schemas);
    fill_list(exclude_data, settings.exclude_table_data);
    let kind = args.kind.as_deref().unwrap_or("daily");
    if value(settings.without_personal).unwrap_or_default().iter().any(|known| known == kind) {
        args.personal = value(settings.personal).unwrap_or_default();
    }
    profile(&mut args.profile, settings.profile.as_ref());
    Ok(())
}

fn restore(args: &mut RestoreArgs, config: &Config) -> Result<()> {
    let mut into = Some(std::mem::take(&mut args.into));
    let target = dburl(&mut into, config)?;
    args.into = into.unwrap_or_default();
    let of_archive =
        database_of(&args.archive, config).or_else(|| target.clone()).or_else(|| config.default_database());
    let source = config.settings(of_archive.as_deref())?;
    reference(&mut args.archive, config);
    unlock(&mut args.unlock, &source);
    // What is restored in part, or row by row, is not what those demands and classes are about.
    let WantedArgs { selection, schema_only, data_only, sections, .. } = &args.wanted;
    let selected = [
        &selection.tables,
        &selection.schemas,
        &selection.exclude_tables,
        &selection.exclude_schemas,
        &selection.exclude_data,
    ];
    let part = args.rows.is_given()
        || *schema_only
        || *data_only
        || !sections.is_empty()
        || selected.into_iter().any(|list| !list.is_empty());
    if !part {
        if args.order.priorities.is_empty() {
            args.order.priorities.clone_from(&source.priorities);
        }
        if args.order.stop_after.is_none() {
            demands(&mut args.demands, &source);
        }
    }
    store(&mut args.find.store, &source, config);
    erasure(&mut args.erasure, args.find.store.clone(), &source, config);
    args.swap.safety_keeps = config.settings(target.as_deref())?.retention.age(Kind::PreRestore);
    if let Some(place) = &mut args.swap.safety_to {
        *place = config.store(place);
    }
    let settings = config.settings(target.as_deref())?;
    set(&mut args.jobs, settings.jobs);
    set(&mut args.maintenance_work_mem, settings.maintenance_work_mem);
    set(&mut args.order.max_rate, settings.max_rate);
    profile(&mut args.profile, settings.profile.as_ref());
    Ok(())
}

fn rollback(args: &mut RollbackArgs, config: &Config) -> Result<()> {
    let slot = if args.database.is_some() { &mut args.database } else { &mut args.target };
    let name = dburl(slot, config)?;
    let settings = config.settings(name.as_deref())?;
    unlock(&mut args.unlock, &settings);
    let mut configured = None;
    store(&mut configured, &settings, config);
    erasure(&mut args.erasure, configured, &settings, config);
    // Only where it is asked for: without a store, the way back is the database that was replaced.
    if let Some(place) = &mut args.store {
        *place = config.store(place);
    }
    Ok(())
}

fn validate(args: &mut ValidateArgs, config: &Config) -> Result<()> {
    let slot = if args.database.is_some() { &mut args.database } else { &mut args.target };
    let name = dburl(slot, config)?;
    let settings = config.settings(name.as_deref())?;
    demands(&mut args.demands, &settings);
    set(&mut args.jobs, settings.jobs);
    if let Some(against) = &mut args.against {
        archive(against, &mut args.find, &mut args.unlock, config)?;
    }
    Ok(())
}

/// Turns a configured name into its connection string; gives the name.
pub(super) fn dburl(slot: &mut Option<String>, config: &Config) -> Result<Option<String>> {
    let meant = config.database(slot.as_deref())?;
    *slot = meant.conninfo;
    Ok(meant.name)
}

/// Fills what a command needs to find and to open an archive.
pub(super) fn archive(
    text: &mut String,
    find: &mut FindArgs,
    keys: &mut UnlockArgs,
    config: &Config,
) -> Result<()> {
    let settings =
        config.settings(database_of(text, config).or_else(|| config.default_database()).as_deref())?;
    reference(text, config);
    store(&mut find.store, &settings, config);
    unlock(keys, &settings);
    Ok(())
}

/// The configured database that a reference such as `shop/latest` names.
fn database_of(archive: &str, config: &Config) -> Option<String> {
    let (name, _) = archive.rsplit_once('/')?;
    config.databases().contains(&name).then(|| name.to_owned())
}

/// In `shop/latest`, the name in the configuration becomes the name that the backups bear.
fn reference(archive: &mut String, config: &Config) {
    if let Some(name) = database_of(archive, config) {
        let which = archive.rsplit('/').next().unwrap_or_default();
        *archive = format!("{}/{which}", config.database_name(&name));
    }
}

/// The store of a flag by its meaning, else the configured one.
pub(super) fn store(slot: &mut Option<String>, settings: &Settings, config: &Config) {
    *slot = match (slot.take(), &settings.store) {
        (Some(given), _) => Some(config.store(&given)),
        (None, Some(Sourced { value, origin: Origin::File { .. } })) => Some(config.store_of_file(value)),
        (None, Some(Sourced { value, .. })) => Some(config.store(value)),
        (None, None) => None,
    };
}

/// Keys that open archives, unless any are given.
pub(super) fn unlock(args: &mut UnlockArgs, settings: &Settings) {
    if !args.is_given() {
        args.identities = value(settings.identities.clone()).unwrap_or_default();
        let (file, command) = (settings.passphrase_file.clone(), settings.passphrase_command.clone());
        passphrase(&mut args.passphrase, file, command);
        args.command.key_command = value(settings.key_command.clone());
    }
}

/// The stores for copies by their meaning, else the configured ones.
fn copies(slot: &mut Vec<String>, settings: Option<Sourced<Vec<String>>>, config: &Config) {
    *slot = match settings.filter(|_| slot.is_empty()) {
        Some(Sourced { value, origin: Origin::File { .. } }) => {
            value.iter().map(|place| config.store_of_file(place)).collect()
        }
        Some(Sourced { value, .. }) => value.iter().map(|place| config.store(place)).collect(),
        None => slot.iter().map(|place| config.store(place)).collect(),
    };
}

fn passphrase(args: &mut PassphraseArgs, file: Option<Sourced<PathBuf>>, command: Option<Sourced<String>>) {
    args.passphrase_file = value(file);
    args.passphrase_command = value(command);
}

fn demands(args: &mut DemandArgs, settings: &Settings) {
    if args.critical.is_empty() {
        args.critical.clone_from(&settings.critical);
    }
    if args.assertions.is_empty() {
        args.assertions.clone_from(&settings.assertions);
    }
}

fn profile(args: &mut ProfileArgs, configured: Option<&Sourced<String>>) {
    if args.profile.is_none() {
        // The words that the file may have are the profile's own.
        args.profile = configured.and_then(|configured| configured.value.parse().ok());
    }
}

fn fill_list(slot: &mut Vec<String>, configured: Option<Sourced<Vec<String>>>) {
    if slot.is_empty() {
        *slot = value(configured).unwrap_or_default();
    }
}

fn set<T>(slot: &mut Option<T>, configured: Option<Sourced<T>>) {
    if slot.is_none() {
        *slot = value(configured);
    }
}

/// A configured span in seconds; a day has 24 hours.
fn seconds(configured: Option<Sourced<Span>>) -> Option<Sourced<f64>> {
    let configured = configured?;
    let seconds = configured.value.total((Unit::Second, SpanRelativeTo::days_are_24_hours())).ok()?;
    Some(configured.map(|_| seconds))
}

fn value<T>(configured: Option<Sourced<T>>) -> Option<T> {
    configured.map(|configured| configured.value)
}
