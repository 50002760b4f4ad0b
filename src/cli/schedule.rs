//! `pgcask schedule`.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};

use super::Context;
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::exit::Exit;
use crate::operate::schedule::{Job, Plan, When, cron_jobs, crontab, units, workflow};

/// Write the files that run backups at their times
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
What runs when is in [schedule] of pgcask.toml; each configured database has its own jobs. Backups are
started with --no-overlap, so that two runs of one database never overlap, on whatever hosts.

EXAMPLES
  A crontab:
    pgcask schedule print cron

  Units of systemd, then enabled:
    pgcask schedule print systemd --output /etc/systemd/system
    systemctl daemon-reload && systemctl enable --now pgcask-daily-shop.timer

  A workflow:
    pgcask schedule print github-actions > .github/workflows/pgcask.yml")]
pub struct ScheduleArgs {
    /// What to do
    #[command(subcommand)]
    pub command: ScheduleCommand,
}

/// What can be done with the schedule.
#[derive(Debug, Clone, Subcommand)]
pub enum ScheduleCommand {
    /// Write the files to stdout, or into a directory
    Print {
        /// For whom
        form: Form,
        /// Write the files into this directory; files that are there are not overwritten
        #[arg(long, value_name = "DIRECTORY")]
        output: Option<PathBuf>,
        /// The program, as it is called there [default: this one]
        #[arg(long, value_name = "PATH")]
        program: Option<String>,
        /// The container image that has the program, for Kubernetes
        #[arg(long, value_name = "IMAGE", default_value = concat!("pgcask:", env!("CARGO_PKG_VERSION")))]
        image: String,
    },
}

/// Who runs the jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// A crontab.
    Cron,
    /// A service and a timer for each job.
    Systemd,
    /// A workflow.
    GithubActions,
    /// A manifest with a cron job for each.
    Kubernetes,
}

impl ScheduleArgs {
    /// Runs the command.
    pub fn run(&self, config: &Config, context: &Context) -> Result<Exit> {
        let printer = context.printer;
        let ScheduleCommand::Print { form, output, program, image } = &self.command;
        let plan = plan(config, program.as_deref(), image)?;
        if *form == Form::Systemd && plan.program.contains(['"', '\'', '\\']) {
            let message =
                format!("systemd runs no program with a quote or backslash in its path: {}", plan.program);
            return Err(Error::new(ErrorKind::Usage, message).hint("name another path with --program"));
        }
        let files = match form {
            Form::Cron => vec![("pgcask.crontab".to_owned(), crontab(&plan))],
            Form::Systemd => units(&plan),
            Form::GithubActions => vec![("pgcask.yml".to_owned(), workflow(&plan))],
            Form::Kubernetes => vec![("pgcask.yaml".to_owned(), cron_jobs(&plan))],
        };
        if let Some(folder) = output {
            for (name, text) in &files {
                write_new(&folder.join(name), text)?;
                printer.info(&format!("wrote {}", folder.join(name).display()));
            }
            if printer.json {
                let names: Vec<PathBuf> = files.iter().map(|(name, _)| folder.join(name)).collect();
                printer.json(&names)?;
            }
            return Ok(Exit::Good);
        }
        if printer.json {
            let files: serde_json::Map<_, _> =
                files.into_iter().map(|(name, text)| (name, text.into())).collect();
            printer.json(&files)?;
            return Ok(Exit::Good);
        }
        let several = files.len() > 1;
        for (name, text) in &files {
            if several {
                printer.line(&format!("#### {name}"))?;
            }
            printer.bytes(text.as_bytes())?;
        }
        Ok(Exit::Good)
    }
}

fn write_new(path: &Path, text: &str) -> Result<()> {
    let written = std::fs::File::create_new(path)
        .and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()));
    written.map_err(|error| Error::with_source(ErrorKind::Failed, format!("write {}", path.display()), error))
}

/// Reads when a job runs.
type Read = fn(&str) -> Option<When>;

/// A job for each database, when it runs unless the configuration says otherwise, how that is read.
const OF_DATABASES: &[(&str, &str, Read)] = &[
    ("daily", "03:15", When::daily),
    ("weekly", "Sun 04:15", When::weekly),
    ("monthly", "1 05:15", When::monthly),
    ("prune", "06:30", When::daily),
    ("check", ":50", When::hourly),
    ("test", "07:45", When::daily),
    ("drill", "2 08:15", When::quarterly),
];

fn plan(config: &Config, program: Option<&str>, image: &str) -> Result<Plan> {
    let names = config.databases();
    if names.is_empty() {
        return Err(Error::new(
            ErrorKind::Usage,
            "no database is configured, so that there is nothing to schedule",
        )
        .hint("`pgcask init` writes a configuration"));
    }
    let program = match program {
        Some(program) => program.to_owned(),
        None => std::env::current_exe()
            .map(|path| path.display().to_string())
            .map_err(|error| Error::with_source(ErrorKind::Failed, "find this program", error))?,
    };
    let file = config.file().map(|file| std::path::absolute(file).unwrap_or_else(|_| file.to_path_buf()));
    let mut scheduled = Vec::new();
    for (job, usual, read) in OF_DATABASES {
        let Some(when) = when(config, job, usual, *read)? else { continue };
        scheduled.push((*job, when));
    }
    let rpo = usual_rpo(|kind| scheduled.iter().any(|(job, _)| *job == kind));
    let mut jobs = Vec::new();
    for (job, when) in scheduled {
        for name in &names {
            let own = config.settings(Some(name))?.rpo.is_some();
            jobs.push(of_database(job, name, when, rpo.filter(|_| !own)));
        }
    }
    Ok(Plan {
        program,
        config: file.map(|file| file.display().to_string()),
        variables: config.secret_variables(),
        jobs,
        image: image.to_owned(),
    })
}

/// When a job runs; `None` for one that is switched off.
fn when(config: &Config, job: &str, usual: &str, read: Read) -> Result<Option<When>> {
    let text = config.schedule(job).unwrap_or(usual);
    if text == "off" {
        return Ok(None);
    }
    read(text).map(Some).ok_or_else(|| {
        Error::new(ErrorKind::Usage, format!("schedule.{job}: {text:?} is no time for it"))
            .hint(format!("write it as {usual:?}, or \"off\""))
    })
}

/// How old the newest backup may be where nothing is configured: as long as until the next, and four hours for that to be made.
fn usual_rpo(runs: impl Fn(&str) -> bool) -> Option<&'static str> {
    let each = [("daily", "28h"), ("weekly", "172h"), ("monthly", "748h")];
    each.into_iter().find(|(kind, _)| runs(kind)).map(|(_, rpo)| rpo)
}

fn of_database(job: &str, name: &str, when: When, rpo: Option<&str>) -> Job {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let newest = format!("{name}/latest");
    let (about, mut args) = match job {
        "prune" => {
            (format!("remove the backups of {name} whose time has come"), words(&["prune", name, "--apply"]))
        }
        "check" => (format!("are the backups of {name} as they should be?"), words(&["check", name])),
        "drill" => (
            format!("restore the newest backup of {name} on trial, and prove it"),
            words(&["drill", &newest]),
        ),
        "test" => {
            (format!("is the newest backup of {name} whole and young enough?"), words(&["test", &newest]))
        }
        _ => (format!("{job} backup of {name}"), words(&["backup", name, "--kind", job, "--no-overlap"])),
    };
    if let Some(rpo) = rpo.filter(|_| matches!(job, "check" | "test")) {
        args.extend(words(&["--rpo", rpo]));
    }
    let fleeting = if job == "drill" { words(&["--upload-evidence"]) } else { Vec::new() };
    Job { name: format!("{job}-{name}"), about, when, args, fleeting }
}
