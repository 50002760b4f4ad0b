//! The only place that writes to the terminal: results to stdout, talk to stderr. A reader that has gone away (a
//! closed pipe) is no error: what it wanted it has.

use std::error::Error as _;
use std::io::{self, Write};

use serde::Serialize;

use crate::error::{Error, ErrorKind, Result};
use crate::exit::Exit;
use crate::pg::quote::printable;

/// How much is said on stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Only errors.
    Quiet,
    /// Warnings, and what a person wants to know.
    Normal,
    /// Details too.
    Verbose,
}

/// Writes results and messages in the form the user asked for.
#[derive(Debug, Clone, Copy)]
pub struct Printer {
    /// Results as JSON.
    pub json: bool,
    /// How much is said.
    pub verbosity: Verbosity,
}

const ERROR: anstyle::Style = anstyle::AnsiColor::Red.on_default().bold();
const WARNING: anstyle::Style = anstyle::AnsiColor::Yellow.on_default().bold();
const HINT: anstyle::Style = anstyle::AnsiColor::Cyan.on_default();

impl Printer {
    /// Whether only what went wrong is wanted.
    pub fn is_quiet(self) -> bool {
        self.verbosity == Verbosity::Quiet
    }

    /// A line of a result, for people.
    pub fn line(self, text: &str) -> Result<()> {
        to_stdout(format!("{text}\n").as_bytes())
    }

    /// Bytes of a result, as they are.
    pub fn bytes(self, bytes: &[u8]) -> Result<()> {
        to_stdout(bytes)
    }

    /// A result as one JSON object on one line.
    pub fn json(self, value: &impl Serialize) -> Result<()> {
        let text = serde_json::to_string(value)
            .map_err(|error| Error::with_source(ErrorKind::Failed, "write the result as JSON", error))?;
        self.line(&text)
    }

    /// Text of a result in a style, where results are coloured.
    pub fn styled(self, style: anstyle::Style, text: &str) -> String {
        let choice = anstream::AutoStream::choice(&io::stdout());
        if choice == anstream::ColorChoice::Never {
            text.to_owned()
        } else {
            format!("{style}{text}{style:#}")
        }
    }

    /// Something that a person wants to know.
    pub fn info(self, text: &str) {
        if self.verbosity >= Verbosity::Normal {
            to_stderr(&format!("{}\n", printable(text)));
        }
    }

    /// A detail.
    pub fn detail(self, text: &str) {
        if self.verbosity >= Verbosity::Verbose {
            to_stderr(&format!("{}\n", printable(text)));
        }
    }

    /// Something to be aware of, though the work goes on.
    pub fn warning(self, text: &str) {
        if self.verbosity >= Verbosity::Normal {
            to_stderr(&format!("{WARNING}warning:{WARNING:#} {}\n", printable(text)));
        }
    }

    /// A failure: what, why, and what to do; with `--json` an object on stdout too.
    pub fn failure(self, error: &Error) {
        let mut text = format!("{ERROR}error:{ERROR:#} {}\n", printable(&error.to_string()));
        let mut causes = Vec::new();
        let mut cause = error.source();
        while let Some(inner) = cause {
            let message = inner.to_string();
            for (number, line) in message.lines().enumerate() {
                let lead = if number == 0 { "  cause: " } else { "         " };
                text.push_str(&format!("{lead}{}\n", printable(line)));
            }
            causes.push(message);
            cause = inner.source();
        }
        if !error.hints().is_empty() {
            text.push('\n');
        }
        for hint in error.hints() {
            text.push_str(&format!("{HINT}hint:{HINT:#} {}\n", printable(hint)));
        }
        to_stderr(&text);
        if self.json {
            let object = Failure {
                outcome: "failed",
                exit_code: Exit::from(error.kind()) as u8,
                error: error.to_string(),
                causes,
                hints: error.hints(),
            };
            // Nothing is left to do if even this cannot be written: the exit code still tells.
            drop(self.json(&object));
        }
    }
}

/// The object that ends a failed run under `--json`.
#[derive(Serialize)]
struct Failure<'a> {
    outcome: &'static str,
    exit_code: u8,
    error: String,
    causes: Vec<String>,
    hints: &'a [String],
}

fn to_stdout(bytes: &[u8]) -> Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(|error| Error::with_source(ErrorKind::Failed, "write to stdout", error)),
    }
}

fn to_stderr(text: &str) {
    let mut out = anstream::stderr().lock();
    // With stderr gone there is nobody left to tell.
    drop(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
}

/// Bytes as people read them: `1.2 GiB`.
pub fn human_bytes(bytes: u64) -> String {
    indicatif::BinaryBytes(bytes).to_string()
}

/// Seconds as people read them: `1m 12s`, `3.4 s`.
pub fn human_seconds(seconds: f64) -> String {
    if seconds < 60.0 {
        return format!("{seconds:.1} s");
    }
    indicatif::HumanDuration(std::time::Duration::from_secs_f64(seconds)).to_string()
}

/// A count with thousands separated: `6,001,215`.
pub fn human_count(count: u64) -> String {
    indicatif::HumanCount(count).to_string()
}
