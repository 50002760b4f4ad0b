//! `pgcask init`.

use std::io::{BufRead as _, IsTerminal as _, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::Context;
use super::keys::{identity, write_identity};
use super::printer::human_bytes;
use crate::clock::Clock;
use crate::config::template::{Sealing, Template};
use crate::custody;
use crate::error::{Error, ErrorKind, Result};
use crate::exit::Exit;
use crate::pg::{ConnectOptions, EnvLookup, PgError, Secret, Session, SessionKind};
use crate::store::Location;
use crate::store::probe::probe;

/// Write a configuration: asks, tries the database and the store out, makes a key
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
Nothing is overwritten. The file is readable by you alone, and has comments on what else there is.

EXAMPLES
  By questions:
    pgcask init

  From a script:
    pgcask init postgres://backup@db.example/shop --store s3://backups/prod --yes

EXIT STATUS
  0 written · 1 failed · 2 usage · 7 server lost · 8 store unreachable · 9 refused: the file is there")]
pub struct InitArgs {
    /// The database: a libpq URL or keyword string
    #[arg(value_name = "DBURL")]
    pub database: Option<String>,
    /// Its name on the command line [default: its name at the server]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Where backups go: a directory, or `s3://bucket/prefix`, `gs://…`, `az://…`
    #[arg(long, value_name = "STORE", env = "PGCASK_STORE")]
    pub store: Option<String>,
    /// URL of an S3-compatible service
    #[arg(long, value_name = "URL")]
    pub endpoint: Option<String>,
    /// Seal for this recipient, and make no key; may be repeated
    #[arg(short, long = "recipient", value_name = "RECIPIENT", help_heading = "Keys")]
    pub recipients: Vec<String>,
    /// Seal by the passphrase in this file, and make no key
    #[arg(long, value_name = "FILE", help_heading = "Keys", conflicts_with = "recipients")]
    pub passphrase_file: Option<PathBuf>,
    /// Do not encrypt: anybody who gets an archive reads all of it
    #[arg(long, help_heading = "Keys", conflicts_with_all = ["recipients", "passphrase_file"])]
    pub no_encrypt: bool,
    /// Write the new key to this file [default: pgcask.key beside the configuration]
    #[arg(long, value_name = "FILE", help_heading = "Keys", conflicts_with_all = ["recipients", "passphrase_file", "no_encrypt"])]
    pub key: Option<PathBuf>,
    /// Do not connect to the database, and do not write to the store
    #[arg(long)]
    pub offline: bool,
    /// Do not ask: take what is given, and the defaults
    #[arg(short, long)]
    pub yes: bool,
}

/// What was made.
#[derive(Debug, Serialize)]
struct Made {
    file: PathBuf,
    name: String,
    database: String,
    store: String,
    identity_file: Option<PathBuf>,
    recipients: Vec<String>,
    /// `null` when nothing was tried out.
    server_version: Option<String>,
    may_delete: Option<bool>,
    next: String,
}

impl InitArgs {
    /// Runs the command.
    pub async fn run(&self, file: Option<&Path>, context: &Context) -> Result<Exit> {
        let printer = context.printer;
        let file = file.unwrap_or_else(|| Path::new("pgcask.toml"));
        if file.exists() {
            let what = format!("{} is there already", file.display());
            return Err(
                Error::new(ErrorKind::Refused, what).hint("give another file by --config, or edit that one")
            );
        }
        let url = self.answer(
            self.database.as_deref(),
            "Database (a libpq URL)",
            std::env::var("PGDATABASE").ok(),
        )?;
        let options = ConnectOptions::resolve(Some(&url), &EnvLookup::system()).map_err(PgError::from)?;
        let name = self.name.clone().unwrap_or_else(|| options.database.clone());
        let (server_version, password) = self.try_database(&options, context).await?;
        let given = self.answer(self.store.as_deref(), "Store (a directory, or s3://bucket/prefix)", None)?;
        let store = absolute(&given)?;
        self.register(&store)?;
        let may_delete = self.try_store(&store, context).await?;
        let (sealing, identity_file) = self.sealing(file)?;
        let recipients = if let Sealing::Recipients(list) = &sealing { list.clone() } else { Vec::new() };
        let identity = identity_file.as_ref().map(|path| path.display().to_string());
        let template = Template {
            name: name.clone(),
            url,
            password,
            store: store.clone(),
            endpoint: self.endpoint.clone(),
            sealing,
            identity,
        };
        write_new(file, &template.text())?;
        let next = format!("pgcask backup {name}");
        let database = options.display();
        let made = Made {
            file: file.to_path_buf(),
            name,
            database,
            store,
            identity_file,
            recipients,
            server_version,
            may_delete,
            next,
        };
        if printer.json {
            printer.json(&made)?;
            return Ok(Exit::Good);
        }
        printer.line(&format!("wrote {}", made.file.display()))?;
        if let Some(key) = &made.identity_file {
            printer.line(&format!("wrote the key {}", key.display()))?;
            printer.line("  Without it no backup can be opened by anybody: keep it in two places that are not this host")?;
            printer.line("  (a password manager, a safe), and remove it here. The host that backs up does not need it.")?;
        }
        printer.line(&format!("next: {}", made.next))?;
        Ok(Exit::Good)
    }

    /// What was given, or is asked for on a terminal.
    fn answer(&self, given: Option<&str>, question: &str, default: Option<String>) -> Result<String> {
        if let Some(text) = given {
            return Ok(text.to_owned());
        }
        if self.yes || !std::io::stdin().is_terminal() {
            return default.ok_or_else(|| {
                Error::new(ErrorKind::Usage, format!("not given: {question}"))
                    .hint("without a terminal, give DBURL and --store")
            });
        }
        let failed = |error| Error::with_source(ErrorKind::Failed, "ask", error);
        let suggestion = default.as_deref().map(|text| format!(" [{text}]")).unwrap_or_default();
        let mut shown = anstream::stderr().lock();
        shown.write_all(format!("{question}{suggestion}: ").as_bytes()).map_err(failed)?;
        let mut line = String::new();
        std::io::stdin().lock().take(64 << 10).read_line(&mut line).map_err(failed)?;
        match (line.trim(), default) {
            ("", Some(default)) => Ok(default),
            ("", None) => Err(Error::new(ErrorKind::Usage, format!("not given: {question}"))),
            (text, _) => Ok(text.to_owned()),
        }
    }

    /// Connects. A password that is missing is asked for on a terminal, and goes into the file.
    async fn try_database(
        &self,
        options: &ConnectOptions,
        context: &Context,
    ) -> Result<(Option<String>, Option<Secret>)> {
        if self.offline {
            return Ok((None, None));
        }
        let (session, password) = match Box::pin(Session::open(options, SessionKind::Source)).await {
            Ok(session) => (session, None),
            Err(PgError::Authentication { .. }) if !self.yes && std::io::stdin().is_terminal() => {
                let typed = rpassword::prompt_password(format!("Password of {}: ", options.display()))
                    .map_err(|error| Error::with_source(ErrorKind::Failed, "ask for the password", error))?;
                let password = Secret::new(typed);
                let with_password = options.with_password(password.clone());
                (Box::pin(Session::open(&with_password, SessionKind::Source)).await?, Some(password))
            }
            Err(error) => return Err(error.into()),
        };
        let size = session
            .query_one_text("SELECT pg_catalog.pg_database_size(pg_catalog.current_database())")
            .await?;
        let size = size.and_then(|text| text.parse().ok()).map(human_bytes).unwrap_or_default();
        let version = session.version().to_string();
        context.printer.info(&format!("database: {}, PostgreSQL {version}, {size}", options.display()));
        Ok((Some(version), password))
    }

    /// Makes the endpoint known to whoever opens the store.
    fn register(&self, store: &str) -> Result<()> {
        if let (Location::Url(url), Some(endpoint)) = (Location::parse(store)?, &self.endpoint) {
            let options = vec![("aws_endpoint".to_owned(), endpoint.clone())];
            let none = Box::new(|| Ok(Vec::new()));
            crate::store::account::register(vec![crate::store::account::Account::new(
                "main", url, options, none,
            )]);
        }
        Ok(())
    }

    /// Writes a small object to the store and reads it back.
    async fn try_store(&self, store: &str, context: &Context) -> Result<Option<bool>> {
        if self.offline {
            return Ok(None);
        }
        let rights = probe(&Location::parse(store)?.open()?).await?;
        context.printer.info(&format!("store: {store}, writable"));
        if let Some(left) = &rights.left {
            context.printer.warning(&format!(
                "objects cannot be removed with these credentials, which is right for a host that only backs up: {left} is left"
            ));
        }
        Ok(Some(rights.delete))
    }

    /// How archives are sealed; a new key unless something else is given.
    fn sealing(&self, file: &Path) -> Result<(Sealing, Option<PathBuf>)> {
        if self.no_encrypt {
            return Ok((Sealing::None, None));
        }
        if let Some(path) = &self.passphrase_file {
            return Ok((Sealing::PassphraseFile(absolute(&path.display().to_string())?), None));
        }
        if !self.recipients.is_empty() {
            let mut words = Vec::new();
            for word in &self.recipients {
                custody::recipients(word, Clock::System.now())?;
                words.push(if Path::new(word).is_file() { absolute(word)? } else { word.clone() });
            }
            return Ok((Sealing::Recipients(words), None));
        }
        let beside = file.with_file_name("pgcask.key");
        let path = PathBuf::from(absolute(&self.key.clone().unwrap_or(beside).display().to_string())?);
        let (text, recipient) = identity();
        write_identity(&path, &text)?;
        Ok((Sealing::Recipients(vec![recipient]), Some(path)))
    }
}

/// A directory whole, so that it means the same wherever the program is started; a URL as it is.
fn absolute(text: &str) -> Result<String> {
    if text.contains("://") {
        return Ok(text.to_owned());
    }
    std::path::absolute(text)
        .map(|path| path.display().to_string())
        .map_err(|error| Error::with_source(ErrorKind::Usage, format!("find {text}"), error))
}

/// Writes a file that is not there, readable by its owner alone.
fn write_new(path: &Path, text: &str) -> Result<()> {
    let doing = |error| Error::with_source(ErrorKind::Failed, format!("write {}", path.display()), error);
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(doing)?;
    }
    let mut file =
        std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(doing)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(doing)
}
