//! What a test or a drill leaves: which files, where, and whether beside the archive.

use std::path::{Path, PathBuf};

use clap::Args;

use super::Context;
use super::printer::Printer;
use crate::drill::evidence::{self, Files};
use crate::drill::{Drilled, Entry};
use crate::error::{Context as _, Error, Result};
use crate::exit::Exit;
use crate::pg::quote::printable;

/// Where evidence goes.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Evidence")]
pub struct EvidenceArgs {
    /// The folder for log, record, report and register [default: backup-tests]
    #[arg(long, value_name = "DIR")]
    pub evidence: Option<PathBuf>,
    /// Write no files
    #[arg(long, conflicts_with = "evidence")]
    pub no_evidence: bool,
    /// Put log, record and report beside the archive, too
    #[arg(long)]
    pub upload_evidence: bool,
}

/// What was kept.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// The files.
    pub files: Option<Files>,
    /// What lies beside the archive.
    pub uploaded: Vec<String>,
    /// What could not be kept.
    failed: Vec<Error>,
}

impl EvidenceArgs {
    fn folder(&self) -> Option<&Path> {
        (!self.no_evidence).then(|| self.evidence.as_deref().unwrap_or_else(|| Path::new("backup-tests")))
    }

    /// Sees that the files can be written, before the work.
    pub(super) fn prepare(&self) -> Result<()> {
        self.folder().map_or(Ok(()), evidence::prepare)
    }

    /// Keeps what was asked for. What cannot be kept is told at the end: the result is worth more.
    pub(super) async fn keep(&self, drilled: &Drilled) -> Kept {
        let mut kept = Kept::default();
        match self.folder().map(|folder| evidence::write(folder, drilled)).transpose() {
            Ok(files) => kept.files = files,
            Err(error) => kept.failed.push(error.context("keep the evidence")),
        }
        if self.upload_evidence {
            let entry = Entry::of(&drilled.record);
            let history =
                self.folder().map_or_else(|| vec![entry.clone()], |folder| evidence::history(folder, &entry));
            let uploaded = evidence::upload(drilled, &history).await;
            match uploaded.context(|| "put the evidence beside the archive".to_owned()) {
                Ok(places) => kept.uploaded = places,
                Err(error) => kept.failed.push(error),
            }
        }
        kept
    }
}

impl Kept {
    /// Says where it is.
    pub(super) fn tell(&self, printer: Printer) -> Result<()> {
        if let Some(files) = &self.files {
            printer.line(&format!("report: {}", printable(&files.report.display().to_string())))?;
        }
        for place in &self.uploaded {
            printer.line(&format!("uploaded: {}", printable(place)))?;
        }
        Ok(())
    }

    /// How the run ends, of which `exit` is the result. That evidence could not be kept is a failure; a bad result is the
    /// worse news.
    pub(super) fn end(self, exit: Exit, context: &Context) -> Result<Exit> {
        let mut failed = self.failed.into_iter();
        let first = if exit == Exit::Good { failed.next() } else { None };
        failed.for_each(|error| context.printer.warning(&error.in_one_line()));
        first.map_or(Ok(exit), Err)
    }
}
