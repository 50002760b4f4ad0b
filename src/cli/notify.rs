//! `pgcask notify`, and telling how other commands went.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use serde_json::Map;

use super::record::state_directory;
use super::state::of_archive;
use super::{Command, Context};
use crate::clock::Clock;
use crate::config::channels::ChannelConfig;
use crate::config::{Config, ConfigError};
use crate::error::{Error, ErrorKind, Result};
use crate::exit::Exit;
use crate::operate::notify::{
    ALL, Channel, Email, Event, Notice, PagerDuty, Ping, Sent, Slack, Tls, Via, Webhook, send,
};
use crate::pg::quote::printable;
use crate::pg::{ConnectOptions, Secret};

/// Try out the channels that are told how backups go
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
Channels are configured as [notify.NAME] in pgcask.toml; `pgcask backup` tells them how it went.

EXIT STATUS
  0 each channel was told · 1 one was not · 2 usage")]
pub struct NotifyArgs {
    /// What to do
    #[command(subcommand)]
    pub command: NotifyCommand,
}

/// What can be done with channels.
#[derive(Debug, Clone, Subcommand)]
pub enum NotifyCommand {
    /// Send a test to each channel, or to those named
    Test {
        /// The channels
        #[arg(value_name = "NAME")]
        names: Vec<String>,
    },
}

impl NotifyArgs {
    /// Runs the command.
    pub async fn run(&self, config: &Config, context: &Context) -> Result<Exit> {
        let printer = context.printer;
        let NotifyCommand::Test { names } = &self.command;
        let all = config.channels();
        let known: Vec<&str> = all.iter().map(|channel| channel.name).collect();
        if let Some(stranger) = names.iter().find(|name| !known.contains(&name.as_str())) {
            return Err(Error::new(
                ErrorKind::Usage,
                format!("there is no [notify.{stranger}] in the configuration"),
            ));
        }
        if all.is_empty() {
            return Err(Error::new(ErrorKind::Usage, "no channel is configured")
                .hint("add [notify.NAME] to pgcask.toml; docs/notifications.md has examples"));
        }
        let wanted = all
            .into_iter()
            .filter(|channel| names.is_empty() || names.iter().any(|name| name == channel.name));
        let (channels, mut sent) = open(config, wanted.collect());
        let notice = notice(Event::Test, "test", "", None);
        sent.extend(send(&channels, &notice).await);
        if printer.json {
            printer.json(&sent)?;
        } else {
            for Sent { channel, error } in &sent {
                let end =
                    error.as_deref().map_or_else(|| "told".to_owned(), |why| format!("NOT TOLD: {why}"));
                printer.line(&format!("{channel}: {end}"))?;
            }
        }
        Ok(if sent.iter().any(|sent| sent.error.is_some()) { Exit::Failed } else { Exit::Good })
    }
}

/// The operation that looks again and again.
const CHECK: &str = "check";
const DAY: Duration = Duration::from_hours(24);

/// Tells the channels how one run goes.
pub(super) struct Teller {
    channels: Vec<Channel>,
    /// Channels that cannot be used, and why.
    unusable: Vec<Sent>,
    operation: &'static str,
    database: String,
    began: Instant,
    /// The file that is there while the last run failed.
    mark: Option<PathBuf>,
}

impl Teller {
    /// For a command that channels are told of; before its names are replaced by what they stand for.
    pub(super) fn of(command: &Command, config: &Config) -> Option<Self> {
        let (operation, named) = match command {
            Command::Backup(args) => ("backup", args.source.clone()),
            Command::Test(args) => ("test", of_archive(&args.archive)),
            Command::Drill(args) => ("drill", of_archive(&args.archive)),
            Command::Check(args) => ("check", args.demanded.database.clone()),
            Command::Prune(args) if args.apply => ("prune", args.database.clone()),
            _ => return None,
        };
        let configured = config.channels();
        if configured.is_empty() {
            return None;
        }
        let (channels, unusable) = open(config, configured);
        let all = named.is_none() && matches!(operation, CHECK | "prune") && config.databases().len() > 1;
        let database = if all { ALL.to_owned() } else { database(config, named.as_deref()) };
        let mark = state_directory().map(|folder| {
            let name = format!("{operation}-{database}").replace(['/', '\0'], "_");
            folder.join("failing").join(name)
        });
        Some(Self { channels, unusable, operation, database, began: Instant::now(), mark })
    }

    /// It begins.
    pub(super) async fn begins(&self, context: &Context) {
        let notice = notice(Event::Start, self.operation, &self.database, None);
        self.tell(&notice, context).await;
    }

    /// It ended so.
    pub(super) async fn ended(&self, outcome: &Result<Exit>, context: &Context) {
        if self.operation == CHECK && outcome.is_err() {
            context.troubled(vec!["unknown".to_owned()]);
        }
        let failed_before = self.mark.as_ref().is_some_and(|mark| mark.exists());
        let event = match outcome {
            // Who pressed Ctrl-C knows.
            Err(error) if error.kind() == ErrorKind::Interrupted => return,
            Ok(Exit::Good) if failed_before => Event::Recovery,
            Ok(Exit::Good) => Event::Success,
            Ok(Exit::Stale) => Event::Stale,
            // It looks each hour: what is known is told again only after a day, what is new or worse at once.
            _ if self.operation == CHECK && self.failed_within(DAY) && self.knows(context) => {
                return self.forget_the_mended(context);
            }
            _ if self.operation == CHECK => Event::Stale,
            _ => Event::Failure,
        };
        let mut notice = notice(event, self.operation, &self.database, Some(self.began));
        match outcome {
            Err(error) => {
                notice.error = Some(error.in_one_line());
                notice.hints = error.hints().to_vec();
            }
            Ok(Exit::Good) => {}
            Ok(exit) => notice.error = Some(format!("it ended with status {}", *exit as u8)),
        }
        match context.told() {
            Some(serde_json::Value::Object(result)) => {
                // What a test or drill found is the reason.
                let issues = result.get("issues").and_then(serde_json::Value::as_array).into_iter().flatten();
                let issues: Vec<&str> = issues.filter_map(serde_json::Value::as_str).collect();
                if matches!(outcome, Ok(exit) if *exit != Exit::Good) && !issues.is_empty() {
                    notice.error = Some(issues.join("; "));
                }
                notice.result = result;
            }
            Some(serde_json::Value::String(said)) if notice.error.is_some() => notice.error = Some(said),
            _ => {}
        }
        self.remember(!matches!(event, Event::Success | Event::Recovery), context);
        self.tell(&notice, context).await;
    }

    async fn tell(&self, notice: &Notice, context: &Context) {
        let sent = send(&self.channels, notice).await;
        let at_the_end = if notice.event == Event::Start { &[] } else { self.unusable.as_slice() };
        for Sent { channel, error } in sent.iter().chain(at_the_end) {
            if let Some(why) = error {
                context
                    .printer
                    .warning(&format!("the channel {channel} was not told of the {}: {why}", notice.event));
            }
        }
    }

    /// Whether a failure was remembered, and told, so short a time ago.
    fn failed_within(&self, time: Duration) -> bool {
        let facts = self.mark.as_ref().and_then(|mark| std::fs::metadata(mark).ok());
        let age = facts.and_then(|facts| facts.modified().ok()?.elapsed().ok());
        age.is_some_and(|age| age < time)
    }

    /// Whether all that is wrong was told already.
    fn knows(&self, context: &Context) -> bool {
        let told = self.mark.as_ref().and_then(|mark| std::fs::read_to_string(mark).ok()).unwrap_or_default();
        context.troubles().iter().all(|trouble| told.lines().any(|line| line == printable(trouble)))
    }

    /// What was wrong and is no longer is news when it comes back. When it was told last stays as it is.
    fn forget_the_mended(&self, context: &Context) {
        let Some(mark) = &self.mark else { return };
        let told = std::fs::metadata(mark).and_then(|facts| facts.modified());
        let rewrite = |told| {
            std::fs::write(mark, words(context))?;
            std::fs::File::options().append(true).open(mark)?.set_modified(told)
        };
        if let Err(error) = told.and_then(rewrite) {
            context.printer.detail(&format!("{}: {error}", mark.display()));
        }
    }

    /// Keeps in mind whether the last run failed, so that the next good one is a recovery; and what was wrong.
    fn remember(&self, failing: bool, context: &Context) {
        let Some(mark) = &self.mark else { return };
        let done = match (failing, mark.parent()) {
            (true, Some(folder)) => {
                std::fs::create_dir_all(folder).and_then(|()| std::fs::write(mark, words(context)))
            }
            _ if mark.exists() => std::fs::remove_file(mark),
            _ => Ok(()),
        };
        if let Err(error) = done {
            let what = format!("{}: {error}; a recovery may not be told as one", mark.display());
            context.printer.warning(&what);
        }
    }
}

/// What is wrong, a line each.
fn words(context: &Context) -> String {
    context.troubles().iter().map(|one| printable(one)).collect::<Vec<_>>().join("\n")
}

/// The database's name in messages: the configured one, else its own.
fn database(config: &Config, named: Option<&str>) -> String {
    let names = config.databases();
    match named {
        Some(name) if names.contains(&name) => name.to_owned(),
        Some(text) => match names.iter().find(|known| config.database_name(known) == text) {
            Some(known) => (*known).to_owned(),
            None => ConnectOptions::parse(text).map_or_else(|_| "?".to_owned(), |options| options.database),
        },
        None => {
            let meant = config.default_database();
            let variable = |name: &str| config.env().var(name).filter(|value| !value.is_empty());
            variable("PGCASK_DATABASE")
                .or_else(|| variable("PGDATABASE"))
                .or(meant)
                .unwrap_or_else(|| "?".to_owned())
        }
    }
}

fn notice(event: Event, operation: &str, database: &str, began: Option<Instant>) -> Notice {
    Notice {
        event,
        operation: operation.to_owned(),
        database: database.to_owned(),
        host: whoami::hostname().unwrap_or_else(|_| "unknown host".to_owned()),
        time: Clock::System.now(),
        seconds: began.map(|began| began.elapsed().as_secs_f64()),
        error: None,
        hints: Vec::new(),
        result: Map::new(),
    }
}

/// Channels with their secrets, and those whose secrets cannot be had.
fn open(config: &Config, configured: Vec<ChannelConfig<'_>>) -> (Vec<Channel>, Vec<Sent>) {
    let mut channels = Vec::new();
    let mut unusable = Vec::new();
    for channel in configured {
        match via(config, channel) {
            Ok(via) => channels.push(Channel {
                name: channel.name.to_owned(),
                events: events(channel),
                databases: channel.list("databases").unwrap_or_default().to_vec(),
                via,
            }),
            Err(error) => {
                unusable.push(Sent { channel: channel.name.to_owned(), error: Some(error.to_string()) });
            }
        }
    }
    (channels, unusable)
}

fn events(channel: ChannelConfig<'_>) -> Vec<Event> {
    use Event::{Failure, Recovery, Stale, Start, Success};
    match channel.list("on") {
        Some(words) => {
            let all = [Start, Success, Failure, Recovery, Stale];
            all.into_iter().filter(|event| words.iter().any(|word| word == event.word())).collect()
        }
        None if channel.text("type") == Some("ping") => vec![Start, Success, Failure, Recovery, Stale],
        None => vec![Failure, Recovery, Stale],
    }
}

fn via(config: &Config, channel: ChannelConfig<'_>) -> std::result::Result<Via, ConfigError> {
    let optional = |key: &str| -> std::result::Result<Option<Secret>, ConfigError> {
        let source = channel.secret(key);
        source.map(|source| config.take(&format!("notify.{}.{key}", channel.name), source)).transpose()
    };
    let needed = |key: &str| {
        let missing = || ConfigError::Value {
            key: format!("notify.{}.{key}", channel.name),
            why: "it is not set".to_owned(),
        };
        optional(key)?.ok_or_else(missing)
    };
    Ok(match channel.text("type").unwrap_or_default() {
        "slack" => Via::Slack(Slack { url: needed("url")? }),
        "pagerduty" => {
            Via::PagerDuty(PagerDuty { routing_key: needed("routing_key")?, url: optional("url")? })
        }
        "webhook" => Via::Webhook(Webhook { url: needed("url")?, secret: optional("secret")? }),
        "ping" => Via::Ping(Ping {
            success: needed("url")?,
            start: optional("start_url")?,
            fail: optional("fail_url")?,
        }),
        _ => {
            let text = |key: &str| channel.text(key).unwrap_or_default().to_owned();
            let login = channel.text("user").map(str::to_owned).zip(optional("password")?);
            Via::Email(Email {
                host: text("smtp_host"),
                port: channel.whole("smtp_port").and_then(|port| u16::try_from(port).ok()),
                tls: match channel.text("tls") {
                    Some("implicit") => Tls::Implicit,
                    Some("none") => Tls::None,
                    _ => Tls::StartTls,
                },
                login,
                from: text("from"),
                to: channel.list("to").unwrap_or_default().to_vec(),
            })
        }
    })
}
