//! The command line: one file per command, with its arguments, the call into the library, and what it prints.

pub mod args;
pub mod audit;
pub mod backup;
pub mod config;
mod configured;
pub mod copy;
pub mod diff;
pub mod doctor;
pub mod drill;
pub mod erase;
pub mod erase_record;
pub mod erase_rewrite;
pub mod erasures;
pub mod estimate;
pub mod evidence;
pub mod globals;
pub mod hold;
mod in_place;
pub mod init;
mod keeping;
pub mod key;
pub mod keys;
pub mod list;
pub mod metrics;
pub mod notify;
pub mod order;
mod picker;
pub mod printer;
pub mod progress;
pub mod prompt;
pub mod prune;
pub mod read;
pub mod record;
pub mod report;
pub mod restore;
pub mod rollback;
pub mod rows;
pub mod schedule;
pub mod state;
pub mod status;
pub mod swap;
pub mod test;
pub mod validate;
pub mod watched;

use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use clap::{CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;

use crate::config::{Config, dotenv};
use crate::error::{Error, ErrorKind, Result};
use crate::exit::Exit;
use crate::pg::EnvLookup;
use crate::stop::Stop;
use args::{Color, ConfigFileArgs, OutputArgs};
use notify::Teller;
use printer::{Printer, Verbosity};
use record::Record;

/// Back up and recover PostgreSQL databases: sealed, parallel, proven row by row
#[derive(Debug, Parser)]
#[command(
    name = "pgcask",
    version,
    max_term_width = 110,
    after_help = "See `pgcask COMMAND --help` for examples and exit codes."
)]
pub struct Cli {
    /// What to do
    #[command(subcommand)]
    pub command: Command,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would print it as help text")]
    pub output: OutputArgs,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would print it as help text")]
    pub config: ConfigFileArgs,
}

/// The commands.
#[derive(Debug, Subcommand)]
#[expect(missing_docs, reason = "each command's arguments carry its help text")]
pub enum Command {
    Backup(Box<backup::BackupArgs>),
    Restore(Box<restore::RestoreArgs>),
    Rollback(Box<rollback::RollbackArgs>),
    Validate(Box<validate::ValidateArgs>),
    List(list::ListArgs),
    Prune(prune::PruneArgs),
    Hold(hold::HoldArgs),
    Erase(Box<erase::EraseArgs>),
    Audit(audit::AuditArgs),
    Show(read::ShowArgs),
    Verify(read::VerifyArgs),
    Test(test::TestArgs),
    Drill(Box<drill::DrillArgs>),
    Doctor(Box<doctor::DoctorArgs>),
    Estimate(Box<estimate::EstimateArgs>),
    Status(status::StatusArgs),
    Check(status::CheckArgs),
    Metrics(metrics::MetricsArgs),
    Report(report::ReportArgs),
    Cat(read::CatArgs),
    Diff(diff::DiffArgs),
    Copy(Box<copy::CopyArgs>),
    Keygen(keys::KeygenArgs),
    Key(Box<key::KeyArgs>),
    Init(init::InitArgs),
    Config(config::ConfigArgs),
    Schedule(schedule::ScheduleArgs),
    Notify(notify::NotifyArgs),
    /// Write a completion script for a shell to stdout
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Write the manual pages into a directory
    #[command(hide = true)]
    Man {
        /// The directory
        directory: std::path::PathBuf,
    },
}

/// What a command needs besides its arguments.
#[derive(Debug, Clone)]
pub struct Context {
    /// Where it writes.
    pub printer: Printer,
    /// Whether a progress bar is wanted.
    pub bar: bool,
    /// How it is stopped.
    pub stop: Stop,
    /// What the audit log gets to know.
    pub record: Record,
    /// What the run is about, for the history of runs.
    pub about: state::About,
    /// What the command's result is, for those who are told of it besides.
    told: Arc<Mutex<Option<serde_json::Value>>>,
    /// What the command found to be wrong, a word each.
    troubles: Arc<Mutex<Vec<String>>>,
}

impl Context {
    /// Says what the result is.
    pub(super) fn tell(&self, result: &impl serde::Serialize) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        *told = serde_json::to_value(result).ok();
    }

    /// Says what is wrong, a word each: the same word for the same thing.
    pub(super) fn troubled(&self, troubles: Vec<String>) {
        *self.troubles.lock().unwrap_or_else(PoisonError::into_inner) = troubles;
    }

    /// What is wrong.
    pub(super) fn troubles(&self) -> Vec<String> {
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What the result is, if there is one.
    pub(super) fn told(&self) -> Option<serde_json::Value> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Command {
    /// The name under which a command stands in the audit log; none for those that only look at names and settings.
    fn audited(&self) -> Option<&'static str> {
        use hold::HoldAction::{Add, Release};
        use key::KeyAction;
        Some(match self {
            Self::Backup(_) => "backup",
            Self::Restore(_) => "restore",
            Self::Rollback(args) if !args.list && !args.dry_run => "rollback",
            Self::Validate(_) => "validate",
            Self::Prune(args) if args.apply => "prune",
            Self::Hold(args) if matches!(args.action, Add { .. }) => "hold add",
            Self::Hold(args) if matches!(args.action, Release { .. }) => "hold release",
            Self::Erase(args) => args.action.audited()?,
            Self::Verify(_) => "verify",
            Self::Cat(_) => "cat",
            Self::Diff(_) => "diff",
            Self::Test(_) => "test",
            Self::Drill(_) => "drill",
            Self::Copy(_) => "copy",
            Self::Keygen(_) => "keygen",
            Self::Key(args) if matches!(args.action, KeyAction::Add(_)) => "key add",
            _ => return None,
        })
    }
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = match parse() {
        Ok(cli) => cli,
        Err(exit) => return exit,
    };
    let verbosity = match (cli.output.quiet, cli.output.verbose) {
        (true, _) => Verbosity::Quiet,
        (_, true) => Verbosity::Verbose,
        _ => Verbosity::Normal,
    };
    match cli.output.color {
        Color::Auto => {}
        Color::Always => anstream::ColorChoice::Always.write_global(),
        Color::Never => anstream::ColorChoice::Never.write_global(),
    }
    let context = Context {
        printer: Printer { json: cli.output.json, verbosity },
        bar: !cli.output.no_progress && !cli.output.json,
        stop: Stop::default(),
        record: Record::default(),
        about: state::About::default(),
        told: Arc::default(),
        troubles: Arc::default(),
    };
    let monitors = matches!(cli.command, Command::Check(_));
    if let Err(error) = adopt_env_file() {
        return failed(&error, monitors, context.printer);
    }
    let file = cli.config.file;
    let result = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::with_source(ErrorKind::Failed, "start the runtime", error))
        .and_then(|runtime| {
            let result = runtime.block_on(Box::pin(run(cli.command, file.as_deref(), context.clone())));
            // Cancel requests and aborts of uploads under way get a moment; nothing else may hold the process.
            runtime.shutdown_timeout(std::time::Duration::from_secs(2));
            result
        });
    match result {
        Ok(exit) => exit.into(),
        Err(error) => failed(&error, monitors, context.printer),
    }
}

/// Reads the command line. Monitoring takes the code of a wrong one for CRITICAL, and it is UNKNOWN.
fn parse() -> std::result::Result<Cli, ExitCode> {
    let error = match Cli::try_parse() {
        Ok(cli) => return Ok(cli),
        Err(error) => error,
    };
    let meant = Cli::command().ignore_errors(true).try_get_matches();
    let monitors = meant.is_ok_and(|found| found.subcommand_name() == Some("check"));
    // Nobody is left to be told if even this cannot be written.
    drop(error.print());
    Err(if monitors && error.use_stderr() {
        Exit::MONITOR_UNKNOWN.into()
    } else {
        ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(Exit::Usage as u8))
    })
}

/// Tells a failure; for monitoring in its own way.
fn failed(error: &Error, monitors: bool, printer: Printer) -> ExitCode {
    if monitors && !status::is_stop(error) {
        // The exit code says it, too.
        drop(status::unknown(printer, error));
        return Exit::MONITOR_UNKNOWN.into();
    }
    printer.failure(error);
    Exit::from(error.kind()).into()
}

/// Takes over what a `.env` file adds to the environment, by starting the program anew with it: the process is the same one,
/// and never comes back here. (The environment of a running process cannot be changed safely, and clients of stores read it
/// themselves.)
fn adopt_env_file() -> Result<()> {
    use std::os::unix::process::CommandExt as _;
    let Some(additions) = dotenv::additions(&EnvLookup::system())? else { return Ok(()) };
    let failed =
        |error| Error::with_source(ErrorKind::Failed, "start anew with the variables of .env", error);
    let mut arguments = std::env::args_os();
    let mut anew = std::process::Command::new(std::env::current_exe().map_err(failed)?);
    if let Some(name) = arguments.next() {
        anew.arg0(name);
    }
    anew.args(arguments).env(dotenv::MARK, additions.mark());
    anew.envs(additions.variables.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    Err(failed(anew.exec()))
}

/// The configuration, for a command that needs one; what the operator should know is said.
fn configuration(command: &Command, file: Option<&Path>, context: &Context) -> Result<Config> {
    let without = matches!(
        command,
        Command::Config(_)
            | Command::Init(_)
            | Command::Keygen(_)
            | Command::Completions { .. }
            | Command::Man { .. }
    );
    if without {
        return Ok(Config::without_file(&EnvLookup::system()));
    }
    let config = Config::load(file, &EnvLookup::system())?;
    for warning in config.warnings() {
        context.printer.warning(warning);
    }
    crate::store::account::register(config.accounts()?);
    Ok(config)
}

impl Command {
    /// The name under which a run is remembered; those that only look are not.
    const fn remembered(&self) -> Option<&'static str> {
        match self {
            Self::Backup(_) => Some("backup"),
            Self::Restore(_) => Some("restore"),
            Self::Rollback(_) => Some("rollback"),
            Self::Validate(_) => Some("validate"),
            Self::Verify(_) => Some("verify"),
            Self::Test(_) => Some("test"),
            Self::Drill(_) => Some("drill"),
            Self::Prune(args) if args.apply => Some("prune"),
            _ => None,
        }
    }
}

async fn run(command: Command, file: Option<&Path>, context: Context) -> Result<Exit> {
    watch_signals(&context)?;
    let (name, began) = (command.remembered(), Instant::now());
    let config = configuration(&command, file, &context);
    let changes = name.is_some() || matches!(command, Command::Check(_));
    let (config, outcome) = match config {
        Ok(config) => {
            if let Some(database) = state::subject(&command, &config) {
                context.about.database(&database);
            }
            let outcome = Box::pin(told(command, file, &config, &context)).await;
            (Some(config), outcome)
        }
        Err(error) => (None, Err(error)),
    };
    if let Some(name) = name {
        context.remember(name, &outcome, began.elapsed().as_secs_f64());
    }
    if let Some(config) = config.filter(|_| changes && !context.stop.is_requested()) {
        Box::pin(metrics::after_run(&config, &context)).await;
    }
    outcome
}

/// Carries a command out, and tells the channels how it went.
async fn told(command: Command, file: Option<&Path>, config: &Config, context: &Context) -> Result<Exit> {
    let Some(teller) = Teller::of(&command, config) else {
        return Box::pin(recorded(command, file, config, context)).await;
    };
    // A channel that does not answer must not keep the work from beginning; that it began is told before how it ended.
    let begins = async {
        tokio::select! {
            () = teller.begins(context) => {}
            () = context.stop.requested() => {}
        }
    };
    let ((), outcome) = tokio::join!(begins, Box::pin(recorded(command, file, config, context)));
    teller.ended(&outcome, context).await;
    outcome
}

/// Carries a command out with what is configured, and writes it into the audit log.
async fn recorded(command: Command, file: Option<&Path>, config: &Config, context: &Context) -> Result<Exit> {
    let command = configured::fill(command, config)?;
    let (operation, began) = (command.audited(), Instant::now());
    let outcome = Box::pin(carry_out(command, file, config, context)).await;
    if let Some(operation) = operation {
        context.record.write(operation, &outcome, began, context.printer).await;
    }
    outcome
}

#[expect(clippy::cognitive_complexity, reason = "one arm for each command, and nothing else")]
async fn carry_out(
    command: Command,
    file: Option<&Path>,
    config: &Config,
    context: &Context,
) -> Result<Exit> {
    match command {
        Command::Backup(args) => args.run(context).await,
        Command::Restore(args) => args.run(context).await,
        Command::Rollback(args) => args.run(context).await,
        Command::Validate(args) => args.run(context).await,
        Command::List(args) => args.run(context).await,
        Command::Prune(args) => Box::pin(args.run(context)).await,
        Command::Hold(args) => args.run(context).await,
        Command::Erase(args) => args.run(context).await,
        Command::Audit(args) => args.run(context).await,
        Command::Show(args) => args.run(context).await,
        Command::Verify(args) => args.run(context).await,
        Command::Test(args) => args.run(context).await,
        Command::Cat(args) => args.run(context).await,
        Command::Diff(args) => args.run(context).await,
        Command::Copy(args) => args.run(context).await,
        Command::Keygen(args) => args.run(context),
        Command::Key(args) => args.run(context).await,
        Command::Init(args) => args.run(file, context).await,
        Command::Config(args) => args.run(file, context).await,
        Command::Schedule(args) => args.run(config, context),
        Command::Notify(args) => args.run(config, context).await,
        Command::Drill(args) => args.run(context).await,
        Command::Estimate(args) => args.run(context).await,
        Command::Doctor(args) => args.run(context).await,
        Command::Status(args) => args.run(context).await,
        Command::Check(args) => args.run(context).await,
        Command::Metrics(args) => args.run(config, context).await,
        Command::Report(args) => args.run(context).await,
        Command::Completions { shell } => completions(shell, context),
        Command::Man { directory } => manual(&directory),
    }
}

fn completions(shell: Shell, context: &Context) -> Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "pgcask", &mut script);
    context.printer.bytes(&script)?;
    Ok(Exit::Good)
}

fn manual(directory: &Path) -> Result<Exit> {
    clap_mangen::generate_to(Cli::command(), directory)
        .map_err(|error| Error::with_source(ErrorKind::Failed, "write the manual pages", error))?;
    Ok(Exit::Good)
}

/// Ctrl-C and SIGTERM ask the operation to stop cleanly.
fn watch_signals(context: &Context) -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let failed = |error| Error::with_source(ErrorKind::Failed, "watch for signals", error);
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let (stop, printer) = (context.stop.clone(), context.printer);
    drop(tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => stop.interrupt(),
            _ = terminate.recv() => stop.terminate(),
        }
        printer.info("stopping: what runs at the server is cancelled");
    }));
    Ok(())
}
