//! The command line: one file per command, with its arguments, the call into the library, and what it prints.

pub mod args;
pub mod backup;
pub mod diff;
pub mod globals;
mod in_place;
pub mod keys;
pub mod list;
pub mod order;
pub mod printer;
pub mod progress;
pub mod prompt;
pub mod read;
pub mod restore;
pub mod rollback;
pub mod rows;
pub mod swap;
pub mod test;
pub mod validate;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;

use crate::error::{Error, ErrorKind, Result};
use crate::exit::Exit;
use crate::stop::Stop;
use args::{Color, OutputArgs};
use printer::{Printer, Verbosity};

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
    Show(read::ShowArgs),
    Verify(read::VerifyArgs),
    Test(test::TestArgs),
    Cat(read::CatArgs),
    Diff(diff::DiffArgs),
    Keygen(keys::KeygenArgs),
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
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
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
    };
    let result = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::with_source(ErrorKind::Failed, "start the runtime", error))
        .and_then(|runtime| {
            let result = runtime.block_on(Box::pin(run(cli.command, context.clone())));
            // Cancel requests and aborts of uploads under way get a moment; nothing else may hold the process.
            runtime.shutdown_timeout(std::time::Duration::from_secs(2));
            result
        });
    match result {
        Ok(exit) => exit.into(),
        Err(error) => {
            context.printer.failure(&error);
            Exit::from(error.kind()).into()
        }
    }
}

async fn run(command: Command, context: Context) -> Result<Exit> {
    watch_signals(&context)?;
    match command {
        Command::Backup(args) => args.run(&context).await,
        Command::Restore(args) => args.run(&context).await,
        Command::Rollback(args) => args.run(&context).await,
        Command::Validate(args) => args.run(&context).await,
        Command::List(args) => args.run(&context).await,
        Command::Show(args) => args.run(&context).await,
        Command::Verify(args) => args.run(&context).await,
        Command::Test(args) => args.run(&context).await,
        Command::Cat(args) => args.run(&context).await,
        Command::Diff(args) => args.run(&context).await,
        Command::Keygen(args) => args.run(&context),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "pgcask", &mut script);
            context.printer.bytes(&script)?;
            Ok(Exit::Good)
        }
        Command::Man { directory } => {
            clap_mangen::generate_to(Cli::command(), &directory)
                .map_err(|error| Error::with_source(ErrorKind::Failed, "write the manual pages", error))?;
            Ok(Exit::Good)
        }
    }
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
        printer.info("stopping; what was begun is cleaned up");
    }));
    Ok(())
}
